package dag_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/executor/local"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/source"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// The test binary is its own worker.
func TestMain(m *testing.M) {
	if os.Getenv("DAG_TEST_WORKER") != "" {
		if err := executor.Work(os.Stdin, os.Stdout, plants()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// kinds are stage kinds of every shape: a map over sources that makes several files, a
// map over files, a map that joins, a whole that checkpoints, and misbehaviour.
func kinds() []stage.Kind {
	file := func(name string) stage.Port { return stage.Port{Name: name, Type: stage.Any} }
	many := func(p stage.Port) stage.Port { p.Many = true; return p }
	return []stage.Kind{
		{Name: "paragraphs", Version: 1, Map: "files", In: []stage.Port{many(file("files"))}, Out: []stage.Port{file("docs")},
			Config: paragraphs{}, New: stage.Build(func(c paragraphs) (stage.Stage, error) { return c, nil })},
		{Name: "replace", Version: 1, Map: "docs", In: []stage.Port{many(file("docs"))}, Out: []stage.Port{file("docs")},
			Config: replace{From: "a", To: "A"}, New: stage.Build(func(c replace) (stage.Stage, error) { return c, nil })},
		{Name: "count", Version: 1, Map: "docs", In: []stage.Port{many(file("docs"))}, Mid: []stage.Port{file("counts")}, Out: []stage.Port{file("total")},
			Config: count{Gate: 1 << 30}, JoinConfig: []string{"gate"}, New: stage.Build(func(c count) (stage.Stage, error) { return c, nil })},
		{Name: "steps", Version: 1, Threads: true, In: []stage.Port{file("total")}, Out: []stage.Port{file("model")},
			Config: steps{Steps: 3}, Unkeyed: []string{"crash"}, Machine: func([]byte) (string, error) { return processors, nil }, New: stage.Build(func(c steps) (stage.Stage, error) { return c, nil })},
		{Name: "misbehave", Version: 1, In: []stage.Port{many(file("docs"))}, Out: []stage.Port{file("docs")},
			Config: misbehave{}, New: stage.Build(func(c misbehave) (stage.Stage, error) { return c, nil })},
	}
}

type paragraphs struct{}

func (paragraphs) Run(ctx context.Context, t stage.Task) error {
	text, err := slurp(t, t.Inputs("files"))
	if err != nil {
		return err
	}
	for i, p := range strings.Split(text, "\n\n") {
		if err := spill(t, "docs", fmt.Sprintf("%04d.txt", i), p); err != nil {
			return err
		}
	}
	return nil
}

type replace struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func (c replace) Run(ctx context.Context, t stage.Task) error {
	text, err := slurp(t, t.Inputs("docs"))
	if err != nil {
		return err
	}
	t.Count("test", "replaced", int64(strings.Count(text, c.From)))
	return spill(t, "docs", "out.txt", strings.ReplaceAll(text, c.From, c.To))
}

type count struct {
	Gate int `json:"gate"`
}

func (c count) Run(ctx context.Context, t stage.Task) error {
	text, err := slurp(t, t.Inputs("docs"))
	if err != nil {
		return err
	}
	return spill(t, "counts", "n", fmt.Sprint(len(strings.Fields(text))))
}

func (c count) Join(ctx context.Context, t stage.Task) error {
	sum := 0
	for _, f := range t.Inputs("counts") {
		text, err := slurp(t, []stage.File{f})
		if err != nil {
			return err
		}
		n := 0
		fmt.Sscan(text, &n)
		sum += n
	}
	if sum > c.Gate {
		t.Refuse(fmt.Sprintf("%d words, %d over the gate", sum, sum-c.Gate))
	}
	return spill(t, "total", "total.txt", fmt.Sprint(sum))
}

type steps struct {
	Steps int `json:"steps"`
	Crash int `json:"crash"` // 1-based step at which the process dies, once
}

// Run hashes its way through the steps; each depends on the last, as training does.
func (c steps) Run(ctx context.Context, t stage.Task) error {
	dir, err := t.Partial()
	if err != nil {
		return err
	}
	text, err := slurp(t, t.Inputs("total"))
	if err != nil {
		return err
	}
	var at struct {
		Step int
		X    uint64
	}
	at.X = uint64(len(text)) + t.Seed()
	path := filepath.Join(dir, "checkpoint.json")
	if b, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(b, &at); err != nil {
			return err
		}
		t.Logf("resumed at step %d", at.Step)
	}
	for at.Step < c.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		at.Step++
		for range 100_000 {
			at.X = at.X*6364136223846793005 + 1442695040888963407
		}
		b, _ := json.Marshal(at)
		if err := os.WriteFile(path+".tmp", b, 0o644); err != nil {
			return err
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			return err
		}
		if at.Step == c.Crash {
			if _, err := os.Stat(filepath.Join(dir, "crashed")); err != nil {
				os.WriteFile(filepath.Join(dir, "crashed"), nil, 0o644)
				panic("crash on demand")
			}
		}
		t.Metric("x", int64(at.Step), float64(at.X%1000))
		t.Progress(int64(at.Step), int64(c.Steps), "steps")
	}
	return spill(t, "model", "model.txt", fmt.Sprint(at.X))
}

type misbehave struct {
	How string `json:"how"`
}

func (c misbehave) Run(ctx context.Context, t stage.Task) error {
	switch c.How {
	case "panic":
		var none []int
		_ = none[len(c.How)]
	case "exit":
		os.Exit(7)
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	case "swell":
		for held := []byte(nil); ; {
			held = append(held, make([]byte, 16<<20)...)
			for i := range held {
				held[i]++
			}
		}
	case "open":
		_, err := t.Create("docs", "never-closed")
		return err
	case "port":
		_, err := t.Create("nowhere", "x")
		return err
	}
	return fmt.Errorf("told to fail: %s", c.How)
}

func slurp(t stage.Task, files []stage.File) (string, error) {
	var b strings.Builder
	for _, f := range files {
		h, err := t.Open(f)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(&b, bufio.NewReader(h))
		h.Close()
		if err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func spill(t stage.Task, port, name, text string) error {
	w, err := t.Create(port, name)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	return w.Close()
}

// bench is a pipeline file, its sources and a store, in a directory of their own.
type bench struct {
	t     *testing.T
	dir   string
	store string
	jobs  int
}

const pipelineYAML = `pipeline: test
seed: 7
sources:
  text: {path: text.txt}
stages:
  parse: {uses: paragraphs, from: {files: sources.text}}
  clean: {uses: replace, from: {docs: parse.docs}, with: {from: a, to: b}}
  again: {uses: replace, from: {docs: clean.docs}, with: {from: e, to: E}}
  total: {uses: count, from: {docs: again.docs}}
  train: {uses: steps, from: {total: total.total}, with: {steps: 5}}
`

const text = "um dois tres\n\nquatro cinco\n\nseis sete oito nove\n\ndez"

func newBench(t *testing.T) *bench {
	b := &bench{t: t, dir: t.TempDir(), jobs: 2}
	b.store = filepath.Join(b.dir, "store")
	b.write("p.yaml", pipelineYAML)
	b.write("text.txt", text)
	return b
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) edit(old, new string) {
	b.t.Helper()
	path := filepath.Join(b.dir, "p.yaml")
	was, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	if !strings.Contains(string(was), old) {
		b.t.Fatalf("the pipeline file has no %q", old)
	}
	b.write("p.yaml", strings.ReplaceAll(string(was), old, new))
}

func (b *bench) open() (*pipelinefile.Pipeline, *artifacts.Store, map[string][]source.Resolved) {
	b.t.Helper()
	p, err := pipelinefile.Load(filepath.Join(b.dir, "p.yaml"), pipelinefile.Options{Kinds: kinds()})
	if err != nil {
		b.t.Fatal(err)
	}
	s, err := artifacts.Open(b.store, artifacts.Options{CreateIfMissing: true})
	if err != nil {
		b.t.Fatal(err)
	}
	src, err := source.Resolve(b.t.Context(), p.Sources, noMemo{}, source.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	return p, s, src
}

type noMemo struct{}

func (noMemo) SourceDigests(ids []source.FileID) []string      { return make([]string, len(ids)) }
func (noMemo) RememberSources([]source.FileID, []string) error { return nil }

func (b *bench) try(ctx context.Context, tune func(*dag.Options)) (*dag.Summary, error) {
	b.t.Helper()
	p, s, src := b.open()
	defer s.Close()
	pool := local.New([]string{os.Args[0]}, []string{"DAG_TEST_WORKER=1"})
	defer pool.Close()
	o := dag.Options{Jobs: b.jobs, Executor: pool}
	if tune != nil {
		tune(&o)
	}
	return dag.Run(ctx, p, s, src, o)
}

func (b *bench) run() *dag.Summary {
	b.t.Helper()
	s, err := b.try(b.t.Context(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bench) plan() *dag.Plan {
	b.t.Helper()
	p, s, src := b.open()
	defer s.Close()
	plan, err := dag.MakePlan(p, s, src, nil, b.jobs)
	if err != nil {
		b.t.Fatal(err)
	}
	return plan
}

// ran lists "stage:ran/parts" of a summary.
func ran(s *dag.Summary) string {
	var r []string
	for _, st := range s.Stages {
		r = append(r, fmt.Sprintf("%s:%d/%d", st.Name, st.Ran, st.Parts))
	}
	return strings.Join(r, " ")
}

// digests lists every output of a summary.
func digests(s *dag.Summary) string {
	var r []string
	for _, st := range s.Stages {
		for port, o := range st.Outputs {
			r = append(r, fmt.Sprintf("%s.%s %s %d", st.Name, port, o.Digest, o.Files))
		}
	}
	sort.Strings(r)
	return strings.Join(r, "\n")
}

func TestRunThenNothing(t *testing.T) {
	b := newBench(t)
	first := b.run()
	if got, want := ran(first), "parse:1/1 clean:4/4 again:4/4 total:5/5 train:1/1"; got != want {
		t.Errorf("first run: %s, want %s", got, want)
	}
	second := b.run()
	if got, want := ran(second), "parse:0/1 clean:0/4 again:0/4 total:0/5 train:0/1"; got != want {
		t.Errorf("second run: %s, want %s", got, want)
	}
	if digests(first) != digests(second) {
		t.Errorf("digests differ:\n%s\n\n%s", digests(first), digests(second))
	}
	if first.Metrics["train.x"] == 0 || first.Metrics["train.x"] != second.Metrics["train.x"] {
		t.Errorf("metrics: %v then, cached, %v", first.Metrics, second.Metrics)
	}
	if plan := b.plan(); plan.Run != 0 || plan.Cached != 15 {
		t.Errorf("plan: %+v", plan)
	}
}

func TestWhatReruns(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*bench)
		want   string
	}{
		{"a setting in the middle", func(b *bench) { b.edit("to: b", "to: c") }, "parse:0/1 clean:4/4 again:1/4 total:2/5 train:0/1"},
		{"a setting of the last stage", func(b *bench) { b.edit("steps: 5", "steps: 6") }, "parse:0/1 clean:0/4 again:0/4 total:0/5 train:1/1"},
		{"a setting of a join", func(b *bench) { b.edit("total: {uses: count,", "total: {uses: count, with: {gate: 99},") }, "parse:0/1 clean:0/4 again:0/4 total:1/5 train:0/1"},
		{"a setting that changes nothing", func(b *bench) { b.edit("steps: 5", "steps: 5, crash: 99") }, "parse:0/1 clean:0/4 again:0/4 total:0/5 train:0/1"},
		{"touch", func(b *bench) { b.write("text.txt", text) }, "parse:0/1 clean:0/4 again:0/4 total:0/5 train:0/1"},
		{"one more paragraph", func(b *bench) { b.write("text.txt", "zero mais\n\n"+text) }, "parse:1/1 clean:1/5 again:1/5 total:2/6 train:1/1"},
		{"an edit that clean undoes", func(b *bench) { b.write("text.txt", strings.Replace(text, "quatro", "qubtro", 1)) }, "parse:1/1 clean:1/4 again:0/4 total:0/5 train:0/1"},
		{"a renamed stage", func(b *bench) { b.edit("clean", "wash") }, "parse:0/1 wash:0/4 again:0/4 total:0/5 train:0/1"},
		{"a removed object", func(b *bench) { b.removeOutput("again", "docs") }, "parse:0/1 clean:0/4 again:1/4 total:0/5 train:0/1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.run()
			c.change(b)
			plan := b.plan()
			got := b.run()
			if ran(got) != c.want {
				t.Errorf("ran %s, want %s", ran(got), c.want)
			}
			for i, st := range plan.Stages {
				if st.State == dag.PlanCached && got.Stages[i].Ran > 0 {
					t.Errorf("the plan said %s was cached; %d parts ran", st.Name, got.Stages[i].Ran)
				}
				if !st.Open && st.Run != got.Stages[i].Ran {
					t.Errorf("the plan said %d parts of %s; %d ran", st.Run, st.Name, got.Stages[i].Ran)
				}
			}
			clean := newBench(t)
			clean.write("text.txt", b.read("text.txt"))
			clean.write("p.yaml", b.read("p.yaml"))
			if want := clean.run(); digests(got) != digests(want) {
				t.Errorf("digests differ from those of a clean build:\n%s\n\n%s", digests(got), digests(want))
			}
		})
	}
}

func (b *bench) read(name string) string {
	b.t.Helper()
	x, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(x)
}

// removeOutput deletes the first object of an output from the store.
func (b *bench) removeOutput(stage, port string) {
	b.t.Helper()
	s := b.run()
	st, err := artifacts.Open(b.store, artifacts.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer st.Close()
	for _, x := range s.Stages {
		if x.Name == stage {
			m, err := st.Manifest(x.Outputs[port].Digest)
			if err != nil {
				b.t.Fatal(err)
			}
			if err := os.Remove(st.ObjectPath(m.Files[0].Digest)); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

func TestSameDigestsEverywhere(t *testing.T) {
	one := newBench(t)
	one.jobs = 1
	four := newBench(t)
	four.jobs = 4
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("LC_ALL", "pt_BR.UTF-8")
	if a, b := digests(one.run()), digests(four.run()); a != b {
		t.Errorf("1 job:\n%s\n4 jobs:\n%s", a, b)
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		name      string
		change    func(*bench)
		stage     string
		component string
		text      string
	}{
		{"setting", func(b *bench) { b.edit("to: b", "to: c") }, "clean", "config.to", `with.to: "b" → "c" (`},
		{"seed", func(b *bench) { b.edit("seed: 7", "seed: 8") }, "parse", "seed", "seed: 7 → 8"},
		{"kind", func(b *bench) {
			b.edit("again: {uses: replace", "again: {uses: misbehave")
			b.edit(", with: {from: e, to: E}", "")
		}, "again", "kind", "uses: replace → misbehave"},
		{"source", func(b *bench) { b.write("text.txt", "x"+text) }, "parse", "input.files", "text.txt changed ("},
		{"shard", func(b *bench) { b.write("text.txt", "x"+text); b.run1("parse") }, "clean", "input.docs", "input docs from parse.docs: 1 of 4 files changed"},
		{"two shards", func(b *bench) { b.write("text.txt", "x"+text+"x"); b.run1("parse") }, "clean", "input.docs", "2 of 4 files are new and 2 files are gone, the first new one is"},
		{"environment", func(b *bench) { b.t.Setenv("DAG_X", "2") }, "total", "env.DAG_X", "the environment variable DAG_X: 1 → 2"},
		{"object", func(b *bench) { b.removeOutput("again", "docs") }, "again", "output", "is not in the store any more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.edit("total: {", "total: {env: [DAG_X], ")
			t.Setenv("DAG_X", "1")
			b.run()
			c.change(b)
			for _, st := range b.plan().Stages {
				if st.Name != c.stage {
					continue
				}
				if len(st.Reasons) == 0 || st.Reasons[0].Component != c.component || !strings.Contains(st.Reasons[0].Text, c.text) {
					t.Errorf("reasons of %s: %+v; want %s, %q", c.stage, st.Reasons, c.component, c.text)
				}
			}
		})
	}
}

// run1 makes one stage.
func (b *bench) run1(target string) {
	b.t.Helper()
	if _, err := b.try(b.t.Context(), func(o *dag.Options) { o.Targets = []string{target} }); err != nil {
		b.t.Fatal(err)
	}
}

func TestMisbehaviour(t *testing.T) {
	for _, c := range []struct{ how, want string }{
		{"fail", "told to fail: fail"},
		{"panic", "panic: runtime error: index out of range [5] with length 0"},
		{"exit", "the worker process ended in the middle of the part (exit status 7)"},
		{"open", "output docs/never-closed was not closed"},
		{"port", `no output port "nowhere" here; there are docs`},
		{"hang", "it took longer than its limit of 300ms (timeout of stage bad, "},
	} {
		t.Run(c.how, func(t *testing.T) {
			b := newBench(t)
			b.write("p.yaml", fmt.Sprintf("pipeline: test\nsources:\n  text: {path: text.txt}\nstages:\n  bad: {uses: misbehave, timeout: 300ms, retries: 1, from: {docs: sources.text}, with: {how: %s}}\n  after: {uses: replace, from: {docs: bad.docs}}\n  beside: {uses: replace, from: {docs: sources.text}}\n", c.how))
			s, err := b.try(t.Context(), func(o *dag.Options) { o.KeepGoing = true })
			if err == nil || s.State != dag.StateFailed || len(s.Failures) != 1 || !strings.Contains(s.Failures[0].Error, c.want) {
				t.Fatalf("error %v, summary %+v; want %q", err, s, c.want)
			}
			if _, err := os.Stat(s.Failures[0].Log); err != nil {
				t.Error(err)
			}
			states := ""
			for _, st := range s.Stages {
				states += st.State + " "
			}
			if states != "failed skipped done " {
				t.Errorf("states: %s", states)
			}
		})
	}
}

func TestCrashResumesAtCheckpoint(t *testing.T) {
	want := digests(newBench(t).run())
	b := newBench(t)
	b.edit("steps: 5", "steps: 5, crash: 3")
	b.edit("train: {", "train: {retries: 1, ")
	s := b.run()
	if digests(s) != want {
		t.Errorf("after a crash:\n%s\nundisturbed:\n%s", digests(s), want)
	}
	log := b.findLog("resumed at step 3")
	if !log {
		t.Error("no log says that the second attempt resumed at step 3")
	}
}

func (b *bench) findLog(text string) bool {
	found := false
	filepath.WalkDir(filepath.Join(b.store, "logs"), func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			x, _ := os.ReadFile(p)
			found = found || strings.Contains(string(x), text)
		}
		return nil
	})
	return found
}

func TestGate(t *testing.T) {
	b := newBench(t)
	b.edit("total: {uses: count,", "total: {uses: count, with: {gate: 3},")
	for range 2 { // the second time the verdict comes from the cache
		s, err := b.try(t.Context(), nil)
		if err == nil || s.State != dag.StateRefused || len(s.Refusals) != 1 || s.Refusals[0].Reason != "10 words, 7 over the gate" {
			t.Fatalf("error %v, summary %+v", err, s)
		}
		if s.Stages[3].Outputs["total"].Files != 1 || s.Stages[4].State != "skipped" {
			t.Errorf("stages: %+v", s.Stages)
		}
	}
}

func TestInterrupt(t *testing.T) {
	want := func() string {
		b := newBench(t)
		b.edit("steps: 5", "steps: 400")
		return digests(b.run())
	}()
	b := newBench(t)
	b.edit("steps: 5", "steps: 400")
	ctx, cancel := context.WithCancel(t.Context())
	obs := &interrupter{cancel: cancel, at: "train", step: 20}
	s, err := b.try(ctx, func(o *dag.Options) { o.Observer = obs })
	if err == nil || s.State != dag.StateInterrupted {
		t.Fatalf("error %v, state %v", err, s.State)
	}
	got := b.run()
	if digests(got) != want {
		t.Error("digests after an interrupt differ from the undisturbed ones")
	}
	if !b.findLog("resumed at step") {
		t.Error("the second run did not resume")
	}
}

type interrupter struct {
	cancel func()
	at     string
	step   int64
}

func (i *interrupter) Stage(dag.StageStatus) {}
func (i *interrupter) Notice(string)         {}
func (i *interrupter) Metric(stage string, m executor.Metric) {
	if stage == i.at && m.Step == i.step {
		i.cancel()
	}
}

func TestTwoRunsShareWork(t *testing.T) {
	b := newBench(t)
	b.edit("steps: 5", "steps: 200")
	type result struct {
		s   *dag.Summary
		err error
	}
	results := make(chan result, 2)
	for range 2 {
		go func() {
			s, err := b.try(t.Context(), nil)
			results <- result{s, err}
		}()
	}
	total := map[string]int{}
	var d []string
	for range 2 {
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		d = append(d, digests(r.s))
		for _, st := range r.s.Stages {
			total[st.Name] += st.Ran
		}
	}
	if d[0] != d[1] {
		t.Errorf("digests differ:\n%s\n\n%s", d[0], d[1])
	}
	for name, want := range map[string]int{"parse": 1, "clean": 4, "again": 4, "total": 5, "train": 1} {
		if total[name] != want {
			t.Errorf("%s: %d parts ran in both runs together, want %d", name, total[name], want)
		}
	}
}

func TestNoGoroutineLeaks(t *testing.T) {
	b := newBench(t)
	b.run()
	before := runtime.NumGoroutine()
	for range 5 {
		b.run()
	}
	for i := 0; runtime.NumGoroutine() > before+3; i++ {
		if i > 1000 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
		runtime.GC()
	}
}
