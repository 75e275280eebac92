package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"github.com/ptbr-slm/pipeline/artifacts"
)

// Diff is what changed from one run to another. It is the JSON document of
// `pipeline diff --json`. Of the pairs the first belongs to the earlier named run.
type Diff struct {
	Runs     [2]int64     `json:"runs"`
	Pipeline [2]string    `json:"pipelines"`
	State    [2]string    `json:"states"`
	Seconds  [2]float64   `json:"seconds"` // of the runs
	Settings []Setting    `json:"settings"`
	Sources  []SourceDiff `json:"sources"`
	Stages   []StageDiff  `json:"stages"`
	Metrics  []MetricDiff `json:"metrics"`
	// Unrecorded names runs of a program that did not keep what it resolved: settings
	// and sources cannot be compared.
	Unrecorded []int64 `json:"unrecorded,omitempty"`
}

// Setting is a setting that differs: of a stage, or of the pipeline when Stage is empty.
type Setting struct {
	Stage string `json:"stage,omitempty"`
	Path  string `json:"path"` // "with.rules.links", "uses", "version", "from.docs", "seed", "engine"
	Old   string `json:"old"`  // empty: not set
	New   string `json:"new"`
}

// SourceDiff is a file of a source that differs.
type SourceDiff struct {
	Source string `json:"source"`
	File   string `json:"file"`
	Old    string `json:"old"` // sha256; empty: was not there
	New    string `json:"new"`
}

// StageDiff sets a stage in the one run beside itself in the other.
type StageDiff struct {
	Name    string       `json:"name"`
	Parts   [2]int       `json:"parts"`
	Shared  int          `json:"shared"`  // parts with the same key in both
	Seconds [2]float64   `json:"seconds"` // that its parts took when they were made, summed; negative when not known
	Outputs []OutputDiff `json:"outputs"`
}

// OutputDiff is one output of a stage. An output that a run does not have is zero.
type OutputDiff struct {
	Port      string    `json:"port"`
	Digest    [2]string `json:"digests"`
	Bytes     [2]int64  `json:"bytes"`
	Files     [2]int    `json:"files"`
	Documents [2]int64  `json:"documents"` // negative when its manifest is not in the store any more
}

// MetricDiff is the last value of a metric in both runs; null when a run does not have it.
type MetricDiff struct {
	Name string   `json:"name"` // stage.metric
	Was  *float64 `json:"old"`
	Is   *float64 `json:"new"`
}

// ranRun is a run with all that Compare looks at.
type ranRun struct {
	artifacts.Run
	resolved *Resolved
	summary  Summary
	stages   []string
	records  map[string]artifacts.StageRecord
	parts    map[string]map[string]bool // stage → keys
	seconds  map[string]float64
}

// Compare tells what changed from one run to another.
func Compare(s *artifacts.Store, from, to artifacts.Run) (*Diff, error) {
	a, err := lookBack(s.Ledger(), from)
	if err != nil {
		return nil, err
	}
	b, err := lookBack(s.Ledger(), to)
	if err != nil {
		return nil, err
	}
	d := &Diff{Runs: [2]int64{from.ID, to.ID}, Pipeline: [2]string{from.Pipeline, to.Pipeline}, State: [2]string{from.State, to.State},
		Seconds: [2]float64{a.summary.Seconds, b.summary.Seconds}, Settings: []Setting{}, Sources: []SourceDiff{}, Stages: []StageDiff{}, Metrics: []MetricDiff{}}
	for _, r := range []*ranRun{a, b} {
		if r.resolved == nil {
			d.Unrecorded = append(d.Unrecorded, r.ID)
		}
	}
	if len(d.Unrecorded) == 0 {
		if err := d.compareResolved(s.Ledger(), a.resolved, b.resolved); err != nil {
			return nil, err
		}
	}
	order := b.stages
	for _, name := range a.stages {
		if _, ok := b.parts[name]; !ok {
			order = append(order, name)
		}
	}
	for _, name := range order {
		st := StageDiff{Name: name, Parts: [2]int{len(a.parts[name]), len(b.parts[name])}, Seconds: [2]float64{a.seconds[name], b.seconds[name]}, Outputs: []OutputDiff{}}
		for k := range a.parts[name] {
			if b.parts[name][k] {
				st.Shared++
			}
		}
		if st.Outputs, err = compareOutputs(s, a.records[name], b.records[name]); err != nil {
			return nil, err
		}
		d.Stages = append(d.Stages, st)
	}
	for _, name := range unionKeys(a.summary.Metrics, b.summary.Metrics) {
		m := MetricDiff{Name: name}
		if x, ok := a.summary.Metrics[name]; ok {
			m.Was = &x
		}
		if x, ok := b.summary.Metrics[name]; ok {
			m.Is = &x
		}
		if m.Was == nil || m.Is == nil || *m.Was != *m.Is {
			d.Metrics = append(d.Metrics, m)
		}
	}
	return d, nil
}

func lookBack(l *artifacts.Ledger, run artifacts.Run) (*ranRun, error) {
	r := &ranRun{Run: run, records: map[string]artifacts.StageRecord{}, parts: map[string]map[string]bool{}, seconds: map[string]float64{}}
	var err error
	if r.resolved, err = ResolvedBy(l, run.ID); err != nil {
		return nil, err
	}
	if len(run.Summary) > 0 {
		if err := json.Unmarshal(run.Summary, &r.summary); err != nil {
			return nil, fmt.Errorf("ledger: summary of run %d: %w", run.ID, err)
		}
	}
	stages, err := l.Stages(run.ID)
	if err != nil {
		return nil, err
	}
	for _, st := range stages {
		r.records[st.Stage] = st
	}
	parts, err := l.Parts(run.ID, "")
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, p := range parts {
		if p.Key == "" {
			continue
		}
		if r.parts[p.Stage] == nil {
			r.parts[p.Stage] = map[string]bool{}
		}
		r.parts[p.Stage][p.Key] = true
		keys = append(keys, p.Key)
	}
	actions, err := l.Actions(keys)
	if err != nil {
		return nil, err
	}
	for stage, keys := range r.parts {
		for k := range keys {
			if a := actions[k]; a == nil {
				r.seconds[stage] = math.Inf(-1)
			} else {
				r.seconds[stage] += a.Seconds
			}
		}
		r.seconds[stage] = max(r.seconds[stage], -1)
	}
	if r.resolved != nil {
		for _, st := range r.resolved.Stages {
			r.stages = append(r.stages, st.Name)
		}
		return r, nil
	}
	for _, st := range stages {
		r.stages = append(r.stages, st.Stage)
	}
	return r, nil
}

func (d *Diff) compareResolved(l *artifacts.Ledger, a, b *Resolved) error {
	set := func(stage, path, was, is string) {
		if was != is {
			d.Settings = append(d.Settings, Setting{stage, path, was, is})
		}
	}
	set("", "engine", fmt.Sprint(a.Engine), fmt.Sprint(b.Engine))
	set("", "seed", fmt.Sprint(a.Seed), fmt.Sprint(b.Seed))
	was := map[string]*ResolvedStage{}
	for i := range a.Stages {
		was[a.Stages[i].Name] = &a.Stages[i]
	}
	for i := range b.Stages {
		is := &b.Stages[i]
		w := was[is.Name]
		delete(was, is.Name)
		if w == nil {
			set(is.Name, "uses", "", is.Kind)
			continue
		}
		set(is.Name, "uses", w.Kind, is.Kind)
		if w.Kind == is.Kind {
			set(is.Name, "version", fmt.Sprint(w.Version), fmt.Sprint(is.Version))
		}
		for _, port := range unionKeys(w.From, is.From) {
			set(is.Name, "from."+port, fmt.Sprint(w.From[port]), fmt.Sprint(is.From[port]))
		}
		if w.Config != is.Config {
			x, err := configOf(l, w.Config)
			if err != nil {
				return err
			}
			y, err := configOf(l, is.Config)
			if err != nil {
				return err
			}
			for _, path := range unionKeys(x, y) {
				if !bytes.Equal(x[path], y[path]) {
					set(is.Name, "with."+path, shown(x[path]), shown(y[path]))
				}
			}
		}
	}
	for _, name := range unionKeys(was, nil) {
		set(name, "uses", was[name].Kind, "")
	}
	return d.compareSources(l, a, b)
}

// configOf gives the leaves of a config by path.
func configOf(l *artifacts.Ledger, digest string) (map[string]json.RawMessage, error) {
	b, err := l.Config(digest)
	if err != nil {
		return nil, err
	}
	leaves := map[string]json.RawMessage{}
	flatten("", b, leaves)
	return leaves, nil
}

func (d *Diff) compareSources(l *artifacts.Ledger, a, b *Resolved) error {
	digests := func(r *Resolved) (map[string]map[string]string, error) {
		m := map[string]map[string]string{}
		for i := range r.Sources {
			files, err := r.Sources[i].FilesOf(l)
			if err != nil {
				return nil, err
			}
			names := map[string]string{}
			for _, f := range files {
				names[f.Name] = f.SHA256
			}
			m[r.Sources[i].Name] = names
		}
		return m, nil
	}
	was, err := digests(a)
	if err != nil {
		return err
	}
	is, err := digests(b)
	if err != nil {
		return err
	}
	for _, src := range unionKeys(was, is) {
		for _, name := range unionKeys(was[src], is[src]) {
			if x, y := was[src][name], is[src][name]; x != y {
				d.Sources = append(d.Sources, SourceDiff{src, name, x, y})
			}
		}
	}
	return nil
}

func compareOutputs(s *artifacts.Store, a, b artifacts.StageRecord) ([]OutputDiff, error) {
	was, err := outputsOf(a)
	if err != nil {
		return nil, err
	}
	is, err := outputsOf(b)
	if err != nil {
		return nil, err
	}
	diffs := []OutputDiff{}
	for _, port := range unionKeys(was, is) {
		x, y := was[port], is[port]
		diffs = append(diffs, OutputDiff{Port: port, Digest: [2]string{x.Digest, y.Digest}, Bytes: [2]int64{x.Bytes, y.Bytes},
			Files: [2]int{x.Files, y.Files}, Documents: [2]int64{documents(s, x.Digest), documents(s, y.Digest)}})
	}
	return diffs, nil
}

// outputsOf gives a recorded stage's outputs by port.
func outputsOf(r artifacts.StageRecord) (map[string]Output, error) {
	outs := map[string]Output{}
	if len(r.Outputs) == 0 {
		return outs, nil
	}
	if err := json.Unmarshal(r.Outputs, &outs); err != nil {
		return nil, fmt.Errorf("ledger: outputs of %s in run %d: %w", r.Stage, r.Run, err)
	}
	return outs, nil
}

// documents counts the documents of an artifact; negative when nobody knows any more.
func documents(s *artifacts.Store, digest string) int64 {
	if digest == "" {
		return 0
	}
	m, err := s.Manifest(digest)
	if err != nil {
		return -1
	}
	var n int64
	for _, f := range m.Files {
		var st struct {
			Documents int64 `json:"documents"`
		}
		if len(f.Stats) > 0 && json.Unmarshal(f.Stats, &st) == nil {
			n += st.Documents
		}
	}
	return n
}
