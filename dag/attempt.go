package dag

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
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
	Notices []string           `json:"notices,omitempty"`

	CPU    *float64 `json:"cpu,omitempty"`    // seconds of CPU it took, where that is known
	Memory int64    `json:"memory,omitempty"` // bytes at its peak, where that is known

	// Depends is what the part read besides its inputs: see depends.go.
	Depends []task.Dependence `json:"depends,omitempty"`
}

// attempt is one try at a part.
type attempt struct {
	number int // from 1, those of earlier runs counted
	made   *artifacts.Action
	cpu    *float64 // seconds of CPU; nil when not known
	memory int64    // bytes at its peak; 0 when not known
	hearing
}

// attemptsBefore counts what was tried at a part's key before now: the attempts left logs.
func (c *coordinator) attemptsBefore(w *work) (n int) {
	logs, _ := os.ReadDir(filepath.Dir(c.store.LogPath(w.key, 1))) // there are none, mostly
	for _, l := range logs {
		number, _ := strconv.Atoi(strings.TrimSuffix(l.Name(), ".log"))
		n = max(n, number)
	}
	return n
}

// newAttempt begins an attempt with what earlier ones at the same key said of
// themselves: a part that resumes at a checkpoint does not say it again.
func (c *coordinator) newAttempt(w *work, number int) (*attempt, error) {
	at := &attempt{number: number, hearing: hearing{c: c, w: w, last: map[string]float64{}}}
	w.now.Store(at)
	if number == 1 {
		return at, nil
	}
	said, err := c.store.Ledger().KeyMetrics([]string{w.key})
	for _, m := range said[w.key] { // by step
		at.last[m.Name] = m.Value
	}
	return at, err
}

// attempt does a part once: in a worker, then into the store, then into the ledger.
func (c *coordinator) attempt(ctx context.Context, w *work, at *attempt) error {
	dir, err := c.rooms.take(c.store.WorkDir(c.run, fmt.Sprintf("%06d-%d", w.seq, at.number)))
	if err != nil {
		return err
	}
	defer func() { c.rooms.give(dir, at.made != nil) }()
	limit := w.node.limit()
	pctx := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		pctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	job, err := c.job(w, dir, at.number)
	if err != nil {
		return err
	}
	began := time.Now()
	res, err := c.o.Executor.Run(pctx, job, &at.hearing)
	if errors.Is(err, executor.ErrStopped) && ctx.Err() == nil && pctx.Err() != nil {
		err = w.node.overTime()
	}
	if over := (*executor.OverMemory)(nil); errors.As(err, &over) {
		err = w.node.overMemory(over)
	}
	if err == nil {
		err = unchanged(w.part, c.ids)
	}
	if err != nil {
		return err
	}
	defer c.leavePlace(w)()
	a, err := c.action(w, res, at.last, time.Since(began))
	if err != nil {
		return err
	}
	staged := make([]artifacts.Staged, len(res.Outputs))
	for i, o := range res.Outputs {
		staged[i] = artifacts.Staged{Path: o.Path, Digest: o.Digest, Size: o.Size}
	}
	if err := c.store.Publish(staged); err != nil {
		return err
	}
	if err := c.keep(w); err != nil {
		return err
	}
	if err := c.store.Ledger().RecordPart(c.record(w, "ran", at, ""), a); err != nil {
		return err
	}
	// The part is made and known: checkpoints that cannot be cleared away are waste.
	_ = c.store.DropPartial(w.key)
	at.made, at.cpu, at.memory = a, res.CPU, res.Memory
	return nil
}

// leavePlace lets another part have the CPUs while this one's outputs are flushed and
// recorded, which is mostly waiting, unless many parts are at that already, or this one might
// have to be done again. The function that it returns is to be called at the end of that.
func (c *coordinator) leavePlace(w *work) (end func()) {
	if w.node.Retries > 0 {
		return func() {}
	}
	select {
	case c.storing <- struct{}{}:
	default:
		return func() {}
	}
	c.events <- func() error {
		w.left = true
		c.free.give(w)
		return nil
	}
	return func() { <-c.storing }
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
		Work: at.work, Partial: at.partial, Seed: g.pipeline.Seed, CPUs: at.cpus},
		Memory: n.Memory}
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
				path = g.store.ObjectPath(f.Digest)
			}
			path, err := filepath.Abs(path) // a worker may be elsewhere
			if err != nil {
				return executor.Job{}, err
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
	detail, err := json.Marshal(Detail{Counts: res.Counts, Metrics: last, Notices: res.Notices, Depends: res.Depends, CPU: res.CPU, Memory: res.Memory})
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

// record is what the ledger is told of a part at an attempt, which may be nil, with what
// it said of itself since it was last recorded.
func (c *coordinator) record(w *work, state string, at *attempt, message string) artifacts.PartRecord {
	r := artifacts.PartRecord{Run: c.run, Stage: w.node.Name, Kind: w.node.Kind.Name, Part: w.name, Index: w.seq, Key: w.key,
		State: state, Started: w.started, Seconds: time.Since(w.started).Seconds(), Error: message}
	if at != nil {
		r.Attempt, r.Metrics = at.number, at.unrecorded()
	}
	return r
}

// failure records a failed attempt and tells its story.
func (c *coordinator) failure(w *work, at *attempt, err error) *Failure {
	f := &Failure{Stage: w.node.Name, Part: w.name, Error: err.Error(), Log: c.store.LogPath(w.key, at.number)}
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
	if e := c.store.Ledger().RecordPart(c.record(w, "failed", at, f.Error), nil); e != nil {
		f.Error += "; and the ledger cannot be written: " + e.Error()
	}
	return f
}
