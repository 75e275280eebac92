package dag

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/executor/task"
	"github.com/ptbr-slm/pipeline/dag/source"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// Detail is what the ledger keeps of an action beside its outputs: what its rules
// touched, and the last value of each metric.
type Detail struct {
	Counts  executor.Counts    `json:"counts,omitempty"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
}

// attempt does a part once: in a worker, then into the store, then into the ledger.
func (c *coordinator) attempt(ctx context.Context, w *work, attempt int) (*artifacts.Action, map[string]float64, error) {
	dir := c.store.WorkDir(c.run, fmt.Sprintf("%06d-%d", w.seq, attempt))
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("make the part's work directory: %w", err)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	defer disk.RemoveAll(dir) // of a failed attempt too: the next needs the room
	limit := w.node.limit()
	pctx := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		pctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	job, err := c.job(w, dir, attempt)
	if err != nil {
		return nil, nil, err
	}
	hear := &hearing{c: c, w: w, last: map[string]float64{}}
	began := time.Now()
	res, err := c.o.Executor.Run(pctx, job, hear)
	if errors.Is(err, executor.ErrStopped) && ctx.Err() == nil && pctx.Err() != nil {
		err = fmt.Errorf("it took longer than its timeout of %s", limit)
	}
	if err == nil {
		err = unchanged(w.part, c.ids)
	}
	if err != nil {
		return nil, nil, err
	}
	a, err := c.action(w, res, hear.last, time.Since(began))
	if err != nil {
		return nil, nil, err
	}
	staged := make([]artifacts.Staged, len(res.Outputs))
	for i, o := range res.Outputs {
		staged[i] = artifacts.Staged{Path: o.Path, Digest: o.Digest, Size: o.Size}
	}
	if err := c.store.Publish(staged); err != nil {
		return nil, nil, err
	}
	if a.Artifact, err = c.store.PutManifest(a.Outputs); err != nil {
		return nil, nil, err
	}
	if err := c.keep(w); err != nil {
		return nil, nil, err
	}
	rec := c.record(w, "ran", attempt, "")
	rec.Metrics = hear.series
	if err := c.store.Ledger().RecordPart(rec, a); err != nil {
		return nil, nil, err
	}
	// The part is made and known: checkpoints that cannot be cleared away are waste.
	_ = c.store.DropPartial(w.key)
	return a, hear.last, nil
}

// limit is the time a part may take; 0 for no bound.
func (n *node) limit() time.Duration {
	t, r := n.Timeout, n.Time
	if t == 0 || (r > 0 && r < t) {
		return r
	}
	return t
}

func (c *coordinator) job(w *work, dir string, attempt int) (executor.Job, error) {
	partial, err := filepath.Abs(c.store.PartialDir(w.key))
	if err != nil {
		return executor.Job{}, err
	}
	log, err := filepath.Abs(c.store.LogPath(w.key, attempt))
	if err != nil {
		return executor.Job{}, err
	}
	return c.graph.job(w.part, site{work: dir, partial: partial, log: log, cpus: w.cpus})
}

// site is where a part is done and with how many CPUs: all that its job says beside what
// determines its outputs. Paths are absolute.
type site struct {
	work, partial, log string
	cpus               int
}

// job says what a part is and where to do it.
func (g *graph) job(p *part, at site) (executor.Job, error) {
	n := p.node
	j := executor.Job{Kind: n.Kind.Name, Log: at.log, Spec: task.Spec{Config: p.settings().json, Args: p.args, Join: p.join, Inputs: map[string][]task.Input{},
		Work: at.work, Partial: at.partial, Seed: g.pipeline.Seed, CPUs: at.cpus}}
	ports := n.Kind.Out
	if len(n.Kind.Mid) > 0 && !p.join {
		ports = n.Kind.Mid
	}
	for _, o := range ports {
		j.Spec.Outputs = append(j.Spec.Outputs, o.Name)
	}
	for port, files := range p.reads {
		for _, f := range files {
			path := f.path
			if path == "" {
				var err error
				if path, err = filepath.Abs(g.store.ObjectPath(f.Digest)); err != nil {
					return executor.Job{}, err
				}
			}
			j.Spec.Inputs[port] = append(j.Spec.Inputs[port], task.Input{File: f.File, Path: path})
		}
	}
	return j, nil
}

// unchanged makes sure that the sources a part read are still what was hashed (ids, by
// path): else its outputs would be taken for those of other inputs.
func unchanged(p *part, ids map[string]source.FileID) error {
	for _, files := range p.reads {
		for _, f := range files {
			if f.path == "" {
				continue
			}
			id, err := source.Identify(f.path)
			if err != nil {
				return fmt.Errorf("source changed during the run: %w", err)
			}
			if id != ids[f.path] {
				return fmt.Errorf("source %s changed during the run; run again to take it as it is now", f.path)
			}
		}
	}
	return nil
}

func (c *coordinator) action(w *work, res *executor.Result, last map[string]float64, took time.Duration) (*artifacts.Action, error) {
	m, err := manifestOf(res.Outputs)
	if err != nil {
		return nil, err
	}
	detail, err := json.Marshal(Detail{Counts: res.Counts, Metrics: last})
	if err != nil {
		return nil, err
	}
	n := w.node
	return &artifacts.Action{Key: w.key, Kind: n.Kind.Name, Version: n.Kind.Version, Components: canonical(&w.comps), Config: w.settings().digest,
		Outputs: m, Seconds: took.Seconds(), InputBytes: w.bytes, Refusal: strings.Join(res.Refused, "\n"), Counts: detail, Created: time.Now()}, nil
}

// manifestOf lists a part's outputs as port/name.
func manifestOf(outputs []task.Output) (*artifacts.Manifest, error) {
	m := &artifacts.Manifest{}
	for _, o := range outputs {
		mf, err := manifestFile(o.Port+"/"+o.Name, file{File: o.File})
		if err != nil {
			return nil, err
		}
		m.Files = append(m.Files, mf)
	}
	return m, nil
}

func manifestFile(path string, f file) (artifacts.ManifestFile, error) {
	mf := artifacts.ManifestFile{Path: path, Digest: f.Digest, Size: f.Size}
	if f.Stats != (stage.Stats{}) {
		b, err := json.Marshal(f.Stats)
		if err != nil {
			return mf, err
		}
		mf.Stats = b
	}
	return mf, nil
}

// keep puts the config and lists that a key names by digest into the ledger.
func (c *coordinator) keep(w *work) error {
	put := func(digest string, b []byte) error {
		c.keptMu.Lock()
		defer c.keptMu.Unlock()
		if c.kept[digest] {
			return nil
		}
		if err := c.store.Ledger().PutConfig(digest, b); err != nil {
			return err
		}
		c.kept[digest] = true
		return nil
	}
	if err := put(w.settings().digest, w.settings().keyed); err != nil {
		return err
	}
	for digest, b := range w.keep {
		if err := put(digest, b); err != nil {
			return err
		}
	}
	return nil
}

func (c *coordinator) record(w *work, state string, attempt int, message string) artifacts.PartRecord {
	return artifacts.PartRecord{Run: c.run, Stage: w.node.Name, Kind: w.node.Kind.Name, Part: w.name, Index: w.seq, Key: w.key,
		State: state, Attempt: attempt, Started: w.started, Seconds: time.Since(w.started).Seconds(), Error: message}
}

// failure records a failed attempt and tells its story.
func (c *coordinator) failure(w *work, attempt int, err error) *Failure {
	f := &Failure{Stage: w.node.Name, Part: w.name, Error: err.Error(), Log: c.store.LogPath(w.key, attempt)}
	for _, files := range w.reads {
		for _, in := range files {
			if in.path != "" {
				f.Sources = append(f.Sources, in.path)
			}
		}
	}
	sort.Strings(f.Sources)
	var pe *executor.PartError
	var lost *executor.Lost
	switch {
	case errors.As(err, &pe):
		f.Tail = pe.Tail
	case errors.As(err, &lost):
		f.Tail = lost.Tail
	}
	if e := c.store.Ledger().RecordPart(c.record(w, "failed", attempt, f.Error), nil); e != nil {
		f.Error += "; and the ledger cannot be written: " + e.Error()
	}
	return f
}

// hearing passes on what a part says of itself to the goroutine that owns the run.
type hearing struct {
	c      *coordinator
	w      *work
	mu     sync.Mutex
	last   map[string]float64
	series []artifacts.Metric
}

func (h *hearing) Progress(p executor.Progress) {
	h.c.events <- func() error {
		if h.w.heard.IsZero() {
			h.w.heard, h.w.from = time.Now(), p.Done
		}
		h.w.progress = p
		h.c.show(h.w.node)
		return nil
	}
}

func (h *hearing) Metric(m executor.Metric) {
	h.mu.Lock()
	h.last[m.Name] = m.Value
	h.series = append(h.series, artifacts.Metric{Stage: h.w.node.Name, Name: m.Name, Step: m.Step, Value: m.Value})
	h.mu.Unlock()
	h.c.events <- func() error {
		if h.c.o.Observer != nil {
			h.c.o.Observer.Metric(h.w.node.Name, m)
		}
		return nil
	}
}
