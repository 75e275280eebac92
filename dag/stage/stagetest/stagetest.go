// Package stagetest runs a stage kind without an engine, as its tests need: split,
// parts, join, over files in memory. Every Run is done twice, the second time with
// the parts in reverse order and another number of CPUs, and must give the same bytes.
package stagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/executor/task"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.json")

// Input is a file handed to a stage.
type Input struct {
	Name, Origin string
	Data         []byte
	Stats        stage.Stats
}

// Output is a file that a stage made.
type Output struct {
	stage.File
	Data []byte
}

// Result is all that a stage gave.
type Result struct {
	Parts   []stage.Part
	Out     map[string][]Output // by port, in part order and by name
	Counts  map[string]int64    // "source/rule"
	Metrics map[string][]float64
	Log     []string
	Refused []string
	Notices []string
	Depends []task.Dependence
}

// Docs reads the documents of an output port.
func (r *Result) Docs(t testing.TB, port string) []corpus.Document {
	t.Helper()
	var docs []corpus.Document
	for _, o := range r.Out[port] {
		rd, err := corpus.NewReader(bytes.NewReader(o.Data))
		if err != nil {
			t.Fatal(err)
		}
		for {
			var d corpus.Document
			if err := rd.Next(&d); err != nil {
				break
			}
			docs = append(docs, d)
		}
		rd.Close()
	}
	return docs
}

// Shard encodes documents as an input file.
func Shard(t testing.TB, docs ...corpus.Document) Input {
	t.Helper()
	var b bytes.Buffer
	w, err := corpus.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range docs {
		if err := w.Write(&docs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s := w.Stats()
	return Input{Data: b.Bytes(), Stats: stage.Stats{Documents: s.Documents, Bytes: s.Bytes, First: s.First, Last: s.Last}}
}

// Run runs a kind with a config (a value of the kind's Config type) over inputs by
// port, and fails the test if it fails or is not deterministic.
func Run(t testing.TB, k stage.Kind, config any, inputs map[string][]Input) *Result {
	t.Helper()
	a, err := Try(t, k, config, inputs, 1, false)
	if err != nil {
		t.Fatalf("%s: %v", k.Name, err)
	}
	b, err := Try(t, k, config, inputs, 3, true)
	if err != nil {
		t.Fatalf("%s, second time: %v", k.Name, err)
	}
	if x, y := digests(a), digests(b); strings.Join(x, "\n") != strings.Join(y, "\n") {
		t.Fatalf("%s is not deterministic:\n%s\nthen\n%s", k.Name, strings.Join(x, "\n"), strings.Join(y, "\n"))
	}
	return a
}

// Try runs a kind once and returns its error.
func Try(t testing.TB, k stage.Kind, config any, inputs map[string][]Input, cpus int, reverse bool) (*Result, error) {
	t.Helper()
	return try(t, k, config, inputs, manner{cpus: cpus, reverse: reverse})
}

// Interrupted runs a kind as Run does, but asks each part to stop when it has made so much
// progress, and then does it again in another work directory, with the checkpoints that
// the first attempt left. It fails the test if no part was interrupted.
func Interrupted(t testing.TB, k stage.Kind, config any, inputs map[string][]Input, progress int64) *Result {
	t.Helper()
	m := manner{cpus: 2, stopAt: progress}
	r, err := try(t, k, config, inputs, m)
	if err != nil {
		t.Fatalf("%s, interrupted: %v", k.Name, err)
	}
	if !slices.Contains(r.Log, interrupted) {
		t.Fatalf("%s never made a progress of %d", k.Name, progress)
	}
	return r
}

// interrupted is the line in Result.Log between two attempts.
const interrupted = "(interrupted)"

// manner is how a kind is run.
type manner struct {
	cpus    int
	reverse bool
	stopAt  int64 // progress at which a part's first attempt is stopped; 0: never
}

func try(t testing.TB, k stage.Kind, config any, inputs map[string][]Input, how manner) (*Result, error) {
	t.Helper()
	cpus, reverse := how.cpus, how.reverse
	dir := t.TempDir()
	in := map[string][]task.Input{}
	for port, files := range inputs {
		p, ok := k.Input(port)
		if !ok {
			t.Fatalf("%s has no input port %q", k.Name, port)
		}
		for i, f := range files {
			path := filepath.Join(dir, fmt.Sprintf("in-%s-%d", port, i))
			if err := os.WriteFile(path, f.Data, 0o444); err != nil {
				t.Fatal(err)
			}
			digest, size, err := artifacts.HashFile(path)
			if err != nil {
				t.Fatal(err)
			}
			x := task.Input{Path: path, File: stage.File{Digest: digest, Size: size, Stats: f.Stats}}
			if p.Names {
				x.Name = f.Name
			}
			if p.Origins {
				x.Origin = f.Origin
			}
			in[port] = append(in[port], x)
		}
	}
	cfg, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.New(cfg)
	if err != nil {
		return nil, err
	}
	partCfg, err := k.PartConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	part, err := k.New(partCfg)
	if err != nil {
		return nil, err
	}
	r := &Result{Out: map[string][]Output{}, Counts: map[string]int64{}, Metrics: map[string][]float64{}}
	if r.Parts, err = split(k, s, in); err != nil {
		return nil, err
	}
	outs := ports(k.Out)
	if len(k.Mid) > 0 {
		outs = ports(k.Mid)
	}
	order := make([]int, len(r.Parts))
	for i := range order {
		order[i] = i
		if reverse {
			order[i] = len(order) - 1 - i
		}
	}
	made := make([][]task.Output, len(r.Parts))
	for _, i := range order {
		spec := task.Spec{Config: partCfg, Outputs: outs, Seed: 42, CPUs: cpus, Inputs: cut(k, in, r.Parts[i]),
			Work: filepath.Join(dir, fmt.Sprintf("work-%d", i)), Partial: filepath.Join(dir, fmt.Sprintf("partial-%d", i))}
		if r.Parts[i].Args != nil {
			if spec.Args, err = json.Marshal(r.Parts[i].Args); err != nil {
				t.Fatal(err)
			}
		}
		if made[i], err = do(t, spec, r, part.Run, how.stopAt); err != nil {
			return nil, fmt.Errorf("part %q: %w", r.Parts[i].Name, err)
		}
	}
	var all []task.Output
	for _, m := range made {
		all = append(all, m...)
	}
	if j, ok := s.(stage.Joiner); ok {
		spec := task.Spec{Config: cfg, Outputs: ports(k.Out), Seed: 42, CPUs: cpus, Inputs: map[string][]task.Input{},
			Work: filepath.Join(dir, "work-join"), Partial: filepath.Join(dir, "partial-join"), Join: true}
		for port, files := range in {
			spec.Inputs[port] = files
		}
		for _, o := range all {
			f := o.File
			f.Name = ""
			spec.Inputs[o.Port] = append(spec.Inputs[o.Port], task.Input{File: f, Path: o.Path})
		}
		if all, err = do(t, spec, r, j.Join, 0); err != nil {
			return nil, fmt.Errorf("join: %w", err)
		}
	}
	for _, o := range all {
		b, err := os.ReadFile(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		r.Out[o.Port] = append(r.Out[o.Port], Output{o.File, b})
	}
	return r, nil
}

// do runs one part, or, with a stopAt, two attempts at it.
func do(t testing.TB, spec task.Spec, r *Result, run func(context.Context, stage.Task) error, stopAt int64) ([]task.Output, error) {
	if stopAt > 0 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		first := spec
		first.Work += "-first"
		out, err := attempt(t, ctx, first, &listener{r: r, stopAt: stopAt, stop: cancel}, run)
		if err == nil || !errors.Is(err, context.Canceled) {
			return out, err
		}
		r.Log = append(r.Log, interrupted)
	}
	return attempt(t, t.Context(), spec, &listener{r: r}, run)
}

func attempt(t testing.TB, ctx context.Context, spec task.Spec, l *listener, run func(context.Context, stage.Task) error) ([]task.Output, error) {
	if err := os.MkdirAll(spec.Work, 0o755); err != nil {
		t.Fatal(err)
	}
	tk := task.New(spec, l)
	defer tk.Close()
	if err := run(ctx, tk); err != nil {
		return nil, err
	}
	return tk.Finish()
}

func split(k stage.Kind, s stage.Stage, in map[string][]task.Input) ([]stage.Part, error) {
	if sp, ok := s.(stage.Splitter); ok {
		files := stage.Inputs{}
		for port, f := range in {
			for i := range f {
				files[port] = append(files[port], f[i].File)
			}
		}
		return sp.Split(files)
	}
	if k.Map == "" {
		return []stage.Part{{Name: "all"}}, nil
	}
	var parts []stage.Part
	for i := range in[k.Map] {
		parts = append(parts, stage.Part{Name: fmt.Sprint(i), Files: map[string][]int{k.Map: {i}}})
	}
	return parts, nil
}

func cut(k stage.Kind, in map[string][]task.Input, p stage.Part) map[string][]task.Input {
	r := map[string][]task.Input{}
	for port, files := range in {
		if q, _ := k.Input(port); q.Join {
			continue
		}
		idx, ok := p.Files[port]
		if !ok {
			r[port] = files
			continue
		}
		for _, i := range idx {
			r[port] = append(r[port], files[i])
		}
	}
	return r
}

func ports(p []stage.Port) (names []string) {
	for _, x := range p {
		names = append(names, x.Name)
	}
	return names
}

type listener struct {
	mu     sync.Mutex
	r      *Result
	stopAt int64
	stop   func()
}

func (l *listener) Progress(done, total int64, unit string) {
	if l.stop != nil && done >= l.stopAt {
		l.stop()
	}
}

func (l *listener) Metric(name string, _ int64, x float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.Metrics[name] = append(l.r.Metrics[name], x)
}
func (l *listener) Count(source, rule string, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.Counts[source+"/"+rule] += n
}
func (l *listener) Log(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.Log = append(l.r.Log, line)
}
func (l *listener) Notice(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.Notices = append(l.r.Notices, text)
}
func (l *listener) Dependence(d task.Dependence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.Depends = append(l.r.Depends, d)
}
func (l *listener) Refuse(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r.Refused = append(l.r.Refused, reason)
}

func digests(r *Result) []string {
	var s []string
	for port, files := range r.Out {
		for i, f := range files {
			s = append(s, fmt.Sprintf("%s %05d %s %s", port, i, f.Name, f.Digest))
		}
	}
	sort.Strings(s)
	return s
}

type golden struct {
	Version int      `json:"version"`
	Outputs []string `json:"outputs"`
}

// Golden holds the outputs against testdata/golden.json: for one version of a kind the
// same input gives the same bytes for ever. With -update it records them, and refuses
// when they changed and the version did not.
func Golden(t *testing.T, k stage.Kind, r *Result) {
	t.Helper()
	path := filepath.Join("testdata", "golden.json")
	if t.Name() != "TestGolden" {
		path = filepath.Join("testdata", strings.ReplaceAll(t.Name(), "/", "-")+".golden.json")
	}
	now := golden{k.Version, digests(r)}
	var was golden
	b, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(b, &was); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	same := strings.Join(was.Outputs, "\n") == strings.Join(now.Outputs, "\n")
	switch {
	case *update:
		if err == nil && !same && was.Version == now.Version {
			t.Fatalf("the output of %s changed: raise its Version above %d, then record it", k.Name, was.Version)
		}
		b, _ := json.MarshalIndent(now, "", " ")
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	case err != nil:
		t.Fatalf("no golden digests: run the test with -update (%v)", err)
	case was.Version != now.Version:
		t.Fatalf("%s is version %d, its golden digests are of version %d: run the test with -update", k.Name, now.Version, was.Version)
	case !same:
		t.Fatalf("the output of %s version %d changed: raise the version and run the test with -update\nwas\n%s\nis\n%s",
			k.Name, k.Version, strings.Join(was.Outputs, "\n"), strings.Join(now.Outputs, "\n"))
	}
}
