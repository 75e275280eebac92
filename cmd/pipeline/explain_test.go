package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/executor/task"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/source"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages"
)

// tiny is an executor that does no kind's work: a feed hands its inputs on, any other
// part writes a line to each of its ports. Keys, their components and the history are the
// engine's own.
type tiny struct{ outside string }

func (tiny) Kill()        {}
func (tiny) Close() error { return nil }

func (e tiny) Run(_ context.Context, j executor.Job, _ executor.Listener) (*executor.Result, error) {
	t := task.New(j.Spec, nil)
	put := func(port, name, text string) error {
		w, err := t.Create(port, name)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
		return w.Close()
	}
	for _, port := range j.Spec.Outputs {
		if j.Kind != "feed" {
			if err := put(port, "made", j.Kind+" "+port); err != nil {
				return nil, err
			}
			continue
		}
		for _, in := range j.Spec.Inputs["files"] {
			b, err := os.ReadFile(in.Path)
			if err != nil {
				return nil, err
			}
			if err := put(port, in.Name, string(b)); err != nil {
				return nil, err
			}
		}
	}
	outs, err := t.Finish()
	r := &executor.Result{Outputs: outs}
	if e.outside != "" { // as if the part had read it, and said so
		digest, err := task.Outside(e.outside, func(path string) (string, error) {
			d, _, err := artifacts.HashFile(path)
			return d, err
		})
		if err != nil {
			return nil, err
		}
		r.Depends = []task.Dependence{{Path: e.outside, Digest: digest}}
	}
	return r, err
}

// feed hands files on, so that they come to another stage from a stage.
var feed = stage.Kind{Name: "feed", Version: 1, In: []stage.Port{{Name: "files", Type: stage.Source, Many: true, Names: true}},
	Out: []stage.Port{{Name: "out", Type: stage.Any}}, New: func([]byte) (stage.Stage, error) { return nothing{}, nil }}

type nothing struct{}

func (nothing) Run(context.Context, stage.Task) error { return nil }

// recipe is a pipeline of one stage, called it, and what feeds each of its ports.
type recipe struct {
	kind    stage.Kind
	others  []stage.Kind
	uses    string
	seed    int
	with    any
	sources map[string][]string // name → files
	from    map[string][]string // port → sources; those of a port not of sources pass a feed
	feeds   map[string]string   // source → name of the feed that hands it on
	env     []string
	extra   string // further settings of the stage
}

func (r recipe) clone() recipe {
	r.sources, r.from, r.feeds, r.env = maps.Clone(r.sources), maps.Clone(r.from), maps.Clone(r.feeds), slices.Clone(r.env)
	for k, v := range r.sources {
		r.sources[k] = slices.Clone(v)
	}
	for k, v := range r.from {
		r.from[k] = slices.Clone(v)
	}
	return r
}

func (r recipe) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "pipeline: mutant\nseed: %d\nsources:\n", r.seed)
	for _, s := range keys(r.sources) {
		fmt.Fprintf(&b, "  %s:\n    files:\n", s)
		for _, f := range r.sources[s] {
			fmt.Fprintf(&b, "    - path: %s\n", f)
		}
	}
	b.WriteString("stages:\n")
	for _, s := range keys(r.feeds) {
		fmt.Fprintf(&b, "  %s: {uses: feed, from: {files: sources.%s}}\n", r.feeds[s], s)
	}
	with, err := json.Marshal(r.with)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(&b, "  it:\n    uses: %s\n    env: [%s]\n    with: %s\n%s    from:\n", r.uses, strings.Join(r.env, ", "), with, r.extra)
	for _, port := range keys(r.from) {
		var refs []string
		for _, s := range r.from[port] {
			if f := r.feeds[s]; f != "" {
				refs = append(refs, f+".out")
			} else {
				refs = append(refs, "sources."+s)
			}
		}
		if len(refs) > 0 {
			fmt.Fprintf(&b, "      %s: [%s]\n", port, strings.Join(refs, ", "))
		}
	}
	return b.String()
}

// world is a directory and a store in which recipes run.
type world struct {
	*sandbox
	store *artifacts.Store
}

func newWorld(t *testing.T) *world {
	w := &world{sandbox: newSandbox(t)}
	w.inMemory()
	w.open()
	t.Cleanup(func() { w.store.Close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	s, err := artifacts.Open(filepath.Join(w.dir, "store"), artifacts.Options{CreateIfMissing: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s
}

func (w *world) load(r recipe) (*pipelinefile.Pipeline, error) {
	w.t.Helper()
	kinds := append([]stage.Kind{feed, r.kind}, r.others...)
	return pipelinefile.Load(w.write("mutant.yaml", r.yaml()), pipelinefile.Options{Kinds: kinds})
}

func (w *world) sources(p *pipelinefile.Pipeline) map[string][]source.Resolved {
	w.t.Helper()
	src, err := source.Resolve(w.t.Context(), p.Sources, memo{w.store.Ledger()}, source.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	return src
}

func (w *world) make(r recipe, targets ...string) {
	w.t.Helper()
	p, err := w.load(r)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := dag.Run(w.t.Context(), p, w.store, w.sources(p), dag.Options{Jobs: 4, Executor: tiny{}, Targets: targets}); err != nil {
		w.t.Fatal(err)
	}
}

// explain makes all that stands before the stage, as runs before did, and asks why the
// stage would run.
func (w *world) explain(r recipe) dag.PlanStage {
	w.t.Helper()
	p, err := w.load(r)
	if err != nil {
		w.t.Fatal(err)
	}
	got := w.ask(p)
	if len(got.After) > 0 {
		w.make(r, slices.Collect(maps.Values(r.feeds))...)
		got = w.ask(p)
	}
	return got
}

func (w *world) ask(p *pipelinefile.Pipeline) dag.PlanStage {
	w.t.Helper()
	plan, err := dag.MakePlan(p, w.store, w.sources(p), nil, 2)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan.Stages[len(plan.Stages)-1]
}

// hold compares what a plan says of the stage with the one component that changed; ""
// for nothing.
func hold(t *testing.T, what string, got dag.PlanStage, want string) {
	t.Helper()
	var named []string
	for _, r := range got.Reasons {
		named = append(named, r.Component)
	}
	mutated.Add(1)
	switch {
	case want == "" && (got.State != dag.PlanCached || len(named) > 0):
		t.Errorf("%s: nothing of the key changed; explain says %s %+v", what, got.State, got.Reasons)
	case want != "" && (got.State != dag.PlanRun || len(named) != 1 || named[0] != want):
		t.Errorf("%s: explain says %s %+v, want %s alone", what, got.State, got.Reasons, want)
	default:
		explained.Add(1)
	}
}

var mutated, explained atomic.Int64

// richer is put over the defaults of kinds, so that every list and map has entries.
var richer = map[string]string{
	"wiki-parse":      `{"part-size": 7, "disambiguation": ["dab", "des"]}`,
	"clean":           `{"sections": ["Fontes", "Notas", "Ver"], "magic-words": ["__TOC__", "__INDEX__"], "rules": {"links": false, "refs": true}, "templates": {"Lang": "{{{2}}}", "Ver": ""}, "user-rules": [{"name": "a", "match": "x+", "replace": "y", "per": "line"}, {"name": "b", "match": "z", "replace": "", "per": "document"}]}`,
	"filter":          `{"stop-words": ["de", "a"], "sources": {"senado": "law", "wiki": "book"}}`,
	"dedup-index":     `{"priority": ["law", "wiki2"]}`,
	"audit":           `{"gates": {"words": {"min": 1, "max": null}, "bytes": {"min": null, "max": 100}}}`,
	"train-tokenizer": `{"source-weights": {"law": 2, "zz2": 1}}`,
	"tokenize":        `{"allow-specials": ["[UNK]", "[PAD]"]}`,
	"text-parse":      `{"fields": {"meta": ["a", "b"]}}`,
	"train":           `{"n-embd": 64, "n-layer": 2, "phases": [{"from-step": 0, "n-layer": 1, "grad-accum": 2}]}`,
	"command":         `{"run": "cat {in.in}/*; sh {in.scripts}/*", "env": {"A": "1", "B": "2"}, "undeclared": "fail", "allow": ["/usr", "/etc"]}`,
}

// fixed are the leaves that have no other value, and why.
var fixed = map[string]string{
	"train-tokenizer specials[3]": "[EOS] must be among them",
}

func recipeOf(t *testing.T, k stage.Kind) recipe {
	t.Helper()
	b, err := json.Marshal(k.Config)
	if err != nil {
		t.Fatal(err)
	}
	with, err := decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if r := richer[k.Name]; r != "" {
		more, err := decode([]byte(r))
		if err != nil {
			t.Fatal(err)
		}
		with = over(with, more)
	}
	// A list or map that the defaults leave nil is empty in a pipeline file.
	for name, v := range with.(map[string]any) {
		if v == nil {
			delete(with.(map[string]any), name)
		}
	}
	r := recipe{kind: k, uses: k.Name, seed: 7, with: with, sources: map[string][]string{}, from: map[string][]string{}, feeds: map[string]string{},
		env: []string{"MUTANT_SET", "MUTANT_EMPTY", "MUTANT_UNSET"}}
	for _, port := range k.In {
		wired := []string{"a-" + port.Name}
		if port.Many {
			wired = append(wired, "b-"+port.Name)
		}
		for _, s := range wired {
			r.sources[s] = []string{s + "-1.txt", s + "-2.txt"}
			if port.Type != stage.Source {
				r.feeds[s] = "feed-" + s
			}
		}
		r.from[port.Name] = wired
	}
	return r
}

// TestExplainNamesWhatChanged changes one component of one key at a time, of every stage
// kind: explain must name that component and no other, and must say that nothing changed
// where the change is of nothing that is in a key.
func TestExplainNamesWhatChanged(t *testing.T) {
	if underRace {
		t.Skip("walked by the plain suite")
	}
	t.Setenv("MUTANT_SET", "1")
	t.Setenv("MUTANT_EMPTY", "")
	os.Unsetenv("MUTANT_UNSET")
	for _, k := range stages.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			w := newWorld(t)
			r := recipeOf(t, k)
			for _, files := range r.sources {
				for _, f := range files {
					w.write(f, "content of "+f)
				}
			}
			w.make(r)
			hold(t, "no change", w.explain(r), "")
			mutateSettings(t, w, r)
			mutateInputs(t, w, r)
			mutateEnvironment(t, w, r)
			mutateStore(t, w, r) // last: it changes what the store knows
		})
	}
	t.Logf("%d of %d single mutations were explained by the one component that changed", explained.Load(), mutated.Load())
}

// mutateSettings changes the kind, its version, each place of its config, the seed, how
// its inputs are cut; and what is in no key.
func mutateSettings(t *testing.T, w *world, r recipe) {
	m := r.clone()
	m.kind.Version++
	hold(t, "version", w.explain(m), "version")

	m = r.clone()
	m.kind.Name, m.uses = "other", "other"
	hold(t, "kind", w.explain(m), "kind")

	m = r.clone()
	m.kind.Machine = func([]byte) (string, error) { return "another", nil }
	hold(t, "machine", w.explain(m), "machine")

	m = r.clone()
	m.seed++
	got := w.explain(m)
	if len(r.feeds) == 0 {
		hold(t, "seed", got, "seed")
	} else { // those that feed it run again, too
		got.State = dag.PlanRun
		hold(t, "seed", got, "seed")
	}

	m = r.clone()
	m.kind.New = recut(r.kind.New)
	if _, splits := built(t, w, r).(stage.Splitter); splits {
		hold(t, "cut", w.explain(m), "cut")
	}

	for _, extra := range []string{"retries: 3", "timeout: 9m", "continue-on-error: true", "resources: {cpus: 2, memory: 1GiB, time: 2h}"} {
		m = r.clone()
		m.extra = "    " + extra + "\n"
		hold(t, extra, w.explain(m), "")
	}

	p, err := w.load(r)
	if err != nil {
		t.Fatal(err)
	}
	base := p.Stages[len(p.Stages)-1].Config
	config, err := decode(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, mu := range mutations(config) {
		p, path := taken(t, w, r, config, mu)
		if p == nil {
			if mu.must && fixed[r.kind.Name+" "+mu.variants[0].path] == "" {
				t.Errorf("%s: no other value of %s is taken: give the mutation one, or list it among those that are fixed", r.kind.Name, mu.variants[0].path)
			}
			continue
		}
		top, _, _ := strings.Cut(strings.ReplaceAll(path, "[", "."), ".")
		got := w.ask(p)
		if slices.Contains(r.kind.Unkeyed, top) {
			hold(t, "with."+path+" of no effect", got, "")
			continue
		}
		hold(t, "with."+path, got, "config."+path)
		if slices.Contains(r.kind.JoinConfig, top) && (got.Run != 1 || got.Cached == 0) {
			t.Errorf("with.%s: %d parts run and %d are cached; the join alone reads it", path, got.Run, got.Cached)
		}
		if got.Reasons != nil && !strings.Contains(got.Reasons[0].Where, "mutant.yaml:") {
			t.Errorf("with.%s: no place in the file: %+v", path, got.Reasons)
		}
	}
}

// taken is the pipeline with the first variant of a mutation that the kind takes as it is.
func taken(t *testing.T, w *world, r recipe, config any, mu mutation) (*pipelinefile.Pipeline, string) {
	t.Helper()
	for _, v := range mu.variants {
		if reflect.DeepEqual(v.config, config) {
			continue
		}
		b, err := json.Marshal(v.config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.kind.New(b); err != nil {
			continue
		}
		m := r.clone()
		m.with = v.config
		p, err := w.load(m)
		if err != nil {
			continue
		}
		if got, err := decode(p.Stages[len(p.Stages)-1].Config); err == nil && reflect.DeepEqual(got, v.config) {
			return p, v.path
		}
	}
	return nil, ""
}

func built(t *testing.T, w *world, r recipe) stage.Stage {
	t.Helper()
	p, err := w.load(r)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.kind.New(p.Stages[len(p.Stages)-1].Config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recut makes a kind that cuts its inputs otherwise: each part has other arguments.
func recut(build func([]byte) (stage.Stage, error)) func([]byte) (stage.Stage, error) {
	return func(config []byte) (stage.Stage, error) {
		s, err := build(config)
		if err != nil {
			return nil, err
		}
		if j, ok := s.(stage.Joiner); ok {
			return struct {
				otherCut
				stage.Joiner
			}{otherCut{s}, j}, nil
		}
		return otherCut{s}, nil
	}
}

type otherCut struct{ stage.Stage }

func (o otherCut) Split(in stage.Inputs) ([]stage.Part, error) {
	parts, err := o.Stage.(stage.Splitter).Split(in)
	for i := range parts {
		parts[i].Name += " anew"
		parts[i].Args = []any{parts[i].Args, "anew"}
	}
	return parts, err
}

// mutateInputs changes, for each port, content, names, origins, order and number of files.
func mutateInputs(t *testing.T, w *world, r recipe) {
	joins := false
	if _, ok := built(t, w, r).(stage.Joiner); ok {
		joins = true
	}
	_, splits := built(t, w, r).(stage.Splitter)
	for _, port := range r.kind.In {
		src := r.from[port.Name][0]
		file := r.sources[src][0]
		component := "input." + port.Name
		only := func(asks bool, s string) string {
			if asks {
				return component + s
			}
			return ""
		}
		// Whoever reads all files of the port at once sees their order; a part that reads
		// one of them does not.
		together := joins || !splits && r.kind.Map != port.Name || splits && !cutsBy(t, w, r, port)

		w.write(file, "other content of "+file)
		hold(t, port.Name+": content", w.explain(r), component)
		w.write(file, "content of "+file)
		hold(t, port.Name+": content as it was", w.explain(r), "")

		m := r.clone()
		m.sources[src][1] = "renamed-" + file // in the place of the second, so that the order stays
		w.write("renamed-"+file, "content of "+r.sources[src][1])
		hold(t, port.Name+": name", w.explain(m), only(port.Names, ".name"))

		if port.Type != stage.Source {
			m = r.clone()
			m.feeds[src] = "zfeed"
			hold(t, port.Name+": origin", w.explain(m), only(port.Origins, ".origin"))
		} else if port.Origins {
			t.Errorf("port %s asks for the origins of sources: mutate them", port.Name)
		}

		if port.Many {
			m = r.clone()
			slices.Reverse(m.from[port.Name])
			hold(t, port.Name+": order", w.explain(m), only(together, ".order"))
		}

		m = r.clone()
		m.sources[src] = append(m.sources[src], "z-more.txt")
		w.write("z-more.txt", "one more file")
		hold(t, port.Name+": a file more", w.explain(m), component)

		if r.kind.Map != port.Name && together || joins {
			m = r.clone()
			m.sources[src] = m.sources[src][:1]
			hold(t, port.Name+": a file fewer", w.explain(m), component)
		}
		if port.Optional && (together || joins) {
			m = r.clone()
			delete(m.from, port.Name)
			if _, err := w.load(m); err == nil && splittable(t, w, m) {
				hold(t, port.Name+": unwired", w.explain(m), component)
			}
		}
	}
}

// cutsBy says whether the parts of a stage that cuts its inputs itself read single files
// of a port.
func cutsBy(t *testing.T, w *world, r recipe, port stage.Port) bool {
	t.Helper()
	in := stage.Inputs{}
	for _, p := range r.kind.In {
		in[p.Name] = []stage.File{{Name: "a", Size: 10}, {Name: "b", Size: 10}}
	}
	parts, err := built(t, w, r).(stage.Splitter).Split(in)
	if err != nil {
		t.Fatal(err)
	}
	return parts[0].Files[port.Name] != nil
}

// splittable says whether the stage can be cut into parts as it is wired.
func splittable(t *testing.T, w *world, r recipe) bool {
	t.Helper()
	sp, ok := built(t, w, r).(stage.Splitter)
	if !ok {
		return true
	}
	in := stage.Inputs{}
	for port := range r.from {
		in[port] = []stage.File{{Name: "a", Size: 10}, {Name: "b", Size: 10}}
	}
	_, err := sp.Split(in)
	return err == nil
}

func mutateEnvironment(t *testing.T, w *world, r recipe) {
	for _, c := range []struct {
		name string
		set  bool
		to   string
	}{
		{"MUTANT_SET", true, "2"}, {"MUTANT_SET", true, ""}, {"MUTANT_SET", false, ""},
		{"MUTANT_EMPTY", true, "x"}, {"MUTANT_EMPTY", false, ""},
		{"MUTANT_UNSET", true, ""}, {"MUTANT_UNSET", true, "x"},
	} {
		was, had := os.LookupEnv(c.name)
		if c.set {
			os.Setenv(c.name, c.to)
		} else {
			os.Unsetenv(c.name)
		}
		hold(t, fmt.Sprintf("%s set %v to %q", c.name, c.set, c.to), w.explain(r), "env."+c.name)
		if had {
			os.Setenv(c.name, was)
		} else {
			os.Unsetenv(c.name)
		}
	}
	m := r.clone()
	m.env = append(m.env, "MUTANT_MORE")
	os.Setenv("MUTANT_MORE", "1")
	hold(t, "a variable declared", w.explain(m), "env.MUTANT_MORE")
	os.Unsetenv("MUTANT_MORE")
	m = r.clone()
	m.env = m.env[1:]
	hold(t, "a variable not declared any more", w.explain(m), "env.MUTANT_SET")
}

// mutateStore takes an output away, then the record of a part, then makes all records
// those of an engine of another format.
func mutateStore(t *testing.T, w *world, r recipe) {
	runs, err := w.store.Ledger().Runs("mutant", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var last []artifacts.PartRecord
	for _, u := range runs {
		parts, err := w.store.Ledger().Parts(u.ID, "it")
		if err != nil {
			t.Fatal(err)
		}
		if len(parts) > 0 && last == nil {
			last = parts
		}
	}
	key := last[0].Key
	actions, err := w.store.Ledger().Actions([]string{key})
	if err != nil || actions[key] == nil {
		t.Fatal("the stage has no action", err)
	}
	object := w.store.ObjectPath(actions[key].Outputs.Files[0].Digest)
	if err := os.Rename(object, object+".away"); err != nil {
		t.Fatal(err)
	}
	hold(t, "an output gone", w.explain(r), "output")
	if err := os.Rename(object+".away", object); err != nil {
		t.Fatal(err)
	}

	w.store.Close()
	db, err := sql.Open("sqlite3", filepath.Join(w.dir, "store", "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE saved AS SELECT * FROM actions WHERE key = ?", key)
	exec("DELETE FROM actions WHERE key = ?", key)
	w.open()
	hold(t, "a record removed", w.explain(r), "history")
	w.store.Close()
	exec("INSERT INTO actions SELECT * FROM saved")
	exec("DROP TABLE saved")

	// What an engine of another format recorded: the same parts under its own keys.
	w.open()
	l := w.store.Ledger()
	id, err := l.BeginRun(artifacts.RunInfo{Pipeline: "mutant"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range last {
		actions, err := l.Actions([]string{p.Key})
		if err != nil {
			t.Fatal(err)
		}
		a := actions[p.Key]
		if fmt.Sprintf("%x", sha256.Sum256(a.Components)) != p.Key {
			t.Fatalf("key %s is not the digest of its components %s", p.Key, a.Components)
		}
		a.Components = []byte(strings.Replace(string(a.Components), `"engine":1`, `"engine":0`, 1))
		a.Key = fmt.Sprintf("%x", sha256.Sum256(a.Components))
		p.Run, p.Key, p.State = id, a.Key, "ran"
		if err := l.RecordPart(p, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.RecordStage(artifacts.StageRecord{Run: id, Stage: "it", Outputs: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if err := l.EndRun(id, "done", nil); err != nil {
		t.Fatal(err)
	}
	w.store.Close()
	for _, p := range last {
		exec("DELETE FROM actions WHERE key = ?", p.Key)
	}
	w.open()
	hold(t, "the engine's format", w.explain(r), "engine")
}

// TestExplainUndeclared changes, makes and removes a file that nothing declares and that a
// part said it read.
func TestExplainUndeclared(t *testing.T) {
	w := newWorld(t)
	k := stages.Kinds()[len(stages.Kinds())-1]
	r := recipeOf(t, k)
	for _, files := range r.sources {
		for _, f := range files {
			w.write(f, "content of "+f)
		}
	}
	outside := w.write("outside.txt", "as it was")
	p, err := w.load(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dag.Run(t.Context(), p, w.store, w.sources(p), dag.Options{Jobs: 2, Executor: tiny{outside}}); err != nil {
		t.Fatal(err)
	}
	// Those that feed it read the file, too: of the stages that run the first tells.
	why := func() dag.PlanStage {
		plan, err := dag.MakePlan(p, w.store, w.sources(p), nil, 2)
		if err != nil {
			t.Fatal(err)
		}
		return plan.Stages[0]
	}
	hold(t, "nothing", why(), "")
	w.write("outside.txt", "as it is")
	hold(t, "an undeclared file changed", why(), "undeclared")
	if err := os.Remove(outside); err != nil {
		t.Fatal(err)
	}
	hold(t, "an undeclared file gone", why(), "undeclared")
	w.write("outside.txt", "as it was")
	hold(t, "an undeclared file as it was", why(), "")
}

// TestExplainMatrixAndProfile changes a value of a matrix, and one that a profile lays
// over the file: the stage that has it is explained, at the place that says so, and no
// other; a profile is compared with runs of that profile.
func TestExplainMatrixAndProfile(t *testing.T) {
	w := newWorld(t)
	file := `pipeline: mutant
sources: {text: {path: a.txt}}
stages:
  it:
    uses: command
    matrix: {word: [one, two]}
    from: {in: sources.text}
    with: {run: "cat {in.in}/*", env: {WORD: "${{ matrix.word }}", LEVEL: "1"}}
profiles:
  loud:
    stages:
      it: {with: {env: {LEVEL: "9"}}}
`
	w.write("a.txt", "text")
	plan := func(text, profile string, run bool) map[string]dag.PlanStage {
		t.Helper()
		p, err := pipelinefile.Load(w.write("mutant.yaml", text), pipelinefile.Options{Kinds: stages.Kinds(), Profile: profile})
		if err != nil {
			t.Fatal(err)
		}
		if run {
			if _, err := dag.Run(t.Context(), p, w.store, w.sources(p), dag.Options{Jobs: 2, Executor: tiny{}}); err != nil {
				t.Fatal(err)
			}
		}
		plan, err := dag.MakePlan(p, w.store, w.sources(p), nil, 2)
		if err != nil {
			t.Fatal(err)
		}
		by := map[string]dag.PlanStage{}
		for _, s := range plan.Stages {
			by[s.Name] = s
		}
		return by
	}
	plan(file, "", true)
	hold(t, "a profile that never ran", plan(file, "loud", false)["it[one]"], "history")
	for _, s := range plan(file, "loud", true) {
		hold(t, "after a run of the profile", s, "")
	}
	for _, s := range plan(file, "", false) {
		hold(t, "without the profile", s, "")
	}

	other := plan(strings.Replace(file, "{WORD: ", "{MORE: x, WORD: ", 1), "", false)
	for _, s := range other {
		hold(t, "a variable more", s, "config.env.MORE")
	}
	shout := strings.Replace(file, `LEVEL: "9"`, `LEVEL: "10"`, 1)
	for _, s := range plan(shout, "loud", false) {
		hold(t, "a value in the profile", s, "config.env.LEVEL")
		if len(s.Reasons) == 1 && !strings.HasSuffix(s.Reasons[0].Where, "mutant.yaml:12:32") {
			t.Errorf("a value in the profile: explain says it stands at %s", s.Reasons[0].Where)
		}
	}
	for _, s := range plan(shout, "", false) {
		hold(t, "the profile changed, and is not applied", s, "")
	}
	renamed := plan(strings.Replace(file, "[one, two]", "[one, three]", 1), "", false)
	hold(t, "the other value of the matrix", renamed["it[one]"], "")
	hold(t, "a value of the matrix", renamed["it[three]"], "history")
}

// TestExplainTouchCopyRename holds, with real processes, that touching the sources, and
// copying or renaming the working directory with its store, is no change.
func TestExplainTouchCopyRename(t *testing.T) {
	if underRace {
		t.Skip("walked by the plain suite")
	}
	s := newSandbox(t)
	s.dir = filepath.Join(s.dir, "here")
	s.copy("ptwiki-berlim-rev56220935.xml.bz2", "berlim-1.xml.bz2")
	s.write("texts.jsonl", smallTexts(12))
	s.write("p.yaml", `pipeline: same
sources:
  dump: {path: berlim-1.xml.bz2}
  texts: {path: texts.jsonl}
stages:
  wiki: {uses: wiki-parse, from: {dump: sources.dump}, with: {source: wiki, shard-size: 8192}}
  texts: {uses: text-parse, from: {files: sources.texts}, with: {source: texts, shard-size: 8192}}
  clean: {uses: clean, matrix: {source: [wiki, texts]}, from: {docs: "${{ matrix.source }}.docs"}}
  size: {uses: command, from: {in: clean.docs}, with: {run: "cat {in.in}/* | wc -c > {out.out}/size"}}
`)
	s.run("p.yaml")
	same := func(t *testing.T, s *sandbox) {
		t.Helper()
		for _, name := range []string{"wiki", "texts", "clean", "size"} {
			code, out, stderr := s.pipeline("explain", "p.yaml", name)
			if code != 0 || !strings.Contains(out, "nothing changed") || strings.Contains(out, "run") {
				t.Errorf("explain %s: exit code %d\n%s%s", name, code, out, stderr)
			}
		}
	}
	same(t, s)
	for _, f := range []string{"texts.jsonl", "berlim-1.xml.bz2", "p.yaml"} {
		if out, err := exec.Command("touch", filepath.Join(s.dir, f)).CombinedOutput(); err != nil {
			t.Fatal(string(out))
		}
	}
	t.Run("touch", func(t *testing.T) { same(t, s) })
	there := filepath.Join(filepath.Dir(s.dir), "a copy")
	if out, err := exec.Command("cp", "-r", s.dir, there).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	t.Run("copy", func(t *testing.T) { same(t, &sandbox{t: t, dir: there}) })
	moved := filepath.Join(filepath.Dir(s.dir), "elsewhere")
	if err := os.Rename(s.dir, moved); err != nil {
		t.Fatal(err)
	}
	s.dir = moved
	t.Run("rename", func(t *testing.T) { same(t, s) })
	s.edit("texts.jsonl", "Texto 3", "Texto três")
	if _, out, _ := s.pipeline("explain", "p.yaml", "texts"); !strings.Contains(out, "texts.jsonl changed (") || strings.Contains(out, s.dir) {
		t.Errorf("a document edited: explain says\n%s", out)
	}
}
