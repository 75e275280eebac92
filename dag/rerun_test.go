package dag_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor/local"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/source"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"golang.org/x/sys/unix"
)

// plant is a stage kind into which a source of nondeterminism is planted.
type plant struct {
	How string `json:"how"`
}

func plants() []stage.Kind {
	in := stage.Port{Name: "docs", Type: stage.Any, Many: true}
	return append(kinds(), stage.Kind{Name: "plant", Version: 1, In: []stage.Port{in}, Out: []stage.Port{{Name: "out", Type: stage.Any}},
		Config: plant{}, New: stage.Build(func(c plant) (stage.Stage, error) { return c, nil })})
}

func (c plant) Run(ctx context.Context, t stage.Task) error {
	text := ""
	switch c.How {
	case "map":
		return mapOrder(t)
	case "order":
		dir, err := t.InputDir("docs")
		if err != nil {
			return err
		}
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer d.Close()
		names, err := d.Readdirnames(-1)
		if err != nil {
			return err
		}
		text = strings.Join(names, "\n") + "\n"
	case "race":
		text = race()
	case "time":
		text = time.Now().Format(time.RFC3339Nano)
	case "seconds":
		text = fmt.Sprintf(`{"made": {"at": %d}}`, time.Now().Unix())
	case "pid":
		text = fmt.Sprintf("tmp-%d", os.Getpid())
	case "name":
		return spill(t, "out", fmt.Sprintf("out-%d.txt", os.Getpid()), "x")
	case "coin":
		text = fmt.Sprint(rand.N(2))
	case "locale":
		text = fmt.Sprintf(`{"a": 1, "thousands": %q}`, os.Getenv("LC_ALL"))
	case "zone":
		text = time.Unix(1e9, 0).In(zone()).String()
	case "cwd":
		wd, err := os.Getwd()
		if err != nil {
			return err
		}
		text = wd
	case "path":
		p, err := t.Partial()
		if err != nil {
			return err
		}
		text = p
	case "tmpdir":
		text = os.TempDir()
	case "cpus":
		text = fmt.Sprint(runtime.GOMAXPROCS(0))
	case "together":
		wd, _ := os.Getwd()
		text = fmt.Sprint(strings.Contains(wd, "elsewhere") && os.Getenv("TZ") != "UTC")
	case "failure":
		if strings.HasPrefix(os.Getenv("LC_ALL"), "tr") {
			return fmt.Errorf("no such locale")
		}
	case "hopeless":
		if _, err := os.Stat(os.Getenv("DAG_TEST_BROKEN")); err == nil {
			return fmt.Errorf("broken since")
		}
	case "past":
		b, err := os.ReadFile(os.Getenv("DAG_TEST_BROKEN"))
		text = fmt.Sprint(string(b), err == nil)
	case "metric":
		t.Metric("speed", 0, float64(time.Now().UnixNano()))
	case "count":
		t.Count("s", "rule", int64(os.Getpid()))
	case "verdict":
		if wd, _ := os.Getwd(); strings.Contains(wd, "elsewhere") {
			t.Refuse("too far from home")
		}
	case "stats":
		w, err := t.Create("out", "x")
		if err != nil {
			return err
		}
		w.SetStats(stage.Stats{Documents: int64(os.Getpid())})
		return w.Close()
	}
	name := "out.txt"
	if strings.HasPrefix(text, "{") {
		name = "out.json"
	}
	return spill(t, "out", name, text)
}

// mapOrder writes eight documents, each with what walking a map of 64 gave. Go starts
// such a walk at one of some 64 places, so that two runs agree about once in 64^8.
func mapOrder(t stage.Task) error {
	m := map[int]bool{}
	for i := range 64 {
		m[i] = true
	}
	var b strings.Builder
	for i := range 8 {
		tags, _ := json.Marshal(slices.Collect(maps.Keys(m)))
		fmt.Fprintf(&b, `{"id":"doc:%d","text":"igual","meta":{"tags":%s}}`+"\n", i, tags)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		return err
	}
	return spill(t, "out", "000000.jsonl.zst", string(z.EncodeAll([]byte(b.String()), nil)))
}

// race is a pool of a goroutine for each thread that notes results in the order in which
// they come.
func race() string {
	jobs := make(chan int)
	var mu sync.Mutex
	var wait sync.WaitGroup
	var order []string
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for i := range jobs {
				x := uint64(i)
				for range 50_000 {
					x = x*6364136223846793005 + 1
				}
				mu.Lock()
				order = append(order, fmt.Sprint(i, x%2))
				mu.Unlock()
			}
		})
	}
	for i := range 300 {
		jobs <- i
	}
	close(jobs)
	wait.Wait()
	return strings.Join(order, "\n") + "\n"
}

// zone is what $TZ says, as time.Local would be if it were set when the process started.
func zone() *time.Location {
	z, err := time.LoadLocation(os.Getenv("TZ"))
	if err != nil {
		return time.FixedZone(os.Getenv("TZ"), 3600)
	}
	return z
}

// planted is a bench with a stage for each way to be nondeterministic.
func planted(t *testing.T, how ...string) *bench {
	b := newBench(t)
	yaml := "pipeline: planted\nsources:\n  text: {path: text.txt}\nstages:\n  parse: {uses: paragraphs, from: {files: sources.text}}\n"
	for _, h := range how {
		yaml += fmt.Sprintf("  %s: {uses: plant, from: {docs: parse.docs}, with: {how: %s}}\n", h, h)
	}
	b.write("p.yaml", yaml)
	return b
}

// otherFileSystem is a directory on another file system than the test's, or "".
func otherFileSystem(t *testing.T) string {
	t.Helper()
	var here, there unix.Stat_t
	if unix.Stat(t.TempDir(), &here) != nil || unix.Stat("/dev/shm", &there) != nil || here.Dev == there.Dev {
		return ""
	}
	dir, err := os.MkdirTemp("/dev/shm", "dag-test-")
	if err != nil {
		return ""
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// again does parts of the bench again.
func (b *bench) again(tune func(*dag.RerunOptions)) (*dag.Reruns, error) {
	b.t.Helper()
	p, err := pipelinefile.Load(filepath.Join(b.dir, "p.yaml"), pipelinefile.Options{Kinds: plants()})
	if err != nil {
		b.t.Fatal(err)
	}
	s, err := artifacts.Open(b.store, artifacts.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer s.Close()
	src, err := source.Resolve(b.t.Context(), p.Sources, noMemo{}, source.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		b.t.Fatal(err)
	}
	scratch, remove, err := s.Scratch("")
	if err != nil {
		b.t.Fatal(err)
	}
	o := dag.RerunOptions{Share: 1, Repeat: 2, Jobs: b.jobs, Scratch: scratch, Away: otherFileSystem(b.t), Save: filepath.Join(b.dir, "saved"),
		Start: func(dir string, env []string) dag.Workers {
			return local.New([]string{self}, append(env, "DAG_TEST_WORKER=1")).In(dir)
		}}
	if tune != nil {
		tune(&o)
	}
	r, err := dag.MakeRerun(b.t.Context(), p, s, src, o, func(*dag.Reruns) {})
	if left := files(b.t, scratch); len(left) > 0 {
		b.t.Errorf("the reruns left %v", left)
	}
	if e := remove(); e != nil {
		b.t.Error(e)
	}
	return r, err
}

// make runs the pipeline of plants.
func (b *bench) make() {
	b.t.Helper()
	p, err := pipelinefile.Load(filepath.Join(b.dir, "p.yaml"), pipelinefile.Options{Kinds: plants()})
	if err != nil {
		b.t.Fatal(err)
	}
	s, err := artifacts.Open(b.store, artifacts.Options{CreateIfMissing: true})
	if err != nil {
		b.t.Fatal(err)
	}
	defer s.Close()
	src, err := source.Resolve(b.t.Context(), p.Sources, noMemo{}, source.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	pool := local.New([]string{os.Args[0]}, []string{"DAG_TEST_WORKER=1"})
	defer pool.Close()
	if _, err := dag.Run(b.t.Context(), p, s, src, dag.Options{Jobs: b.jobs, Executor: pool}); err != nil {
		b.t.Fatal(err)
	}
}

// files lists the files below a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func find(t *testing.T, r *dag.Reruns, stage string) dag.Rerun {
	t.Helper()
	i := slices.IndexFunc(r.Parts, func(x dag.Rerun) bool { return x.Stage == stage })
	if i < 0 {
		t.Fatalf("no part of %s was done again", stage)
	}
	return r.Parts[i]
}

// caught is what must be said of a plant.
type caught struct {
	how    string
	causes []string // names of the cause that fit
	word   string   // in its text
	what   string   // of the first difference
	name   string   // of the file that differs
	path   string   // in a document, as it begins
}

// TestRerunCatches plants sources of nondeterminism, one a stage, and holds that each is
// caught, that its cause is named, and the place where it shows.
func TestRerunCatches(t *testing.T) {
	t.Setenv("TZ", "UTC")
	t.Setenv("LC_ALL", "C")
	cases := []caught{
		{"map", []string{dag.CauseChance}, "the same elements in another order", "file", "out/000000.jsonl.zst", "$.meta.tags["},
		{"time", []string{dag.CauseTime}, "the time", "file", "out/out.txt", ""},
		{"seconds", []string{dag.CauseTime}, "the time", "file", "out/out.json", "$.made.at"},
		{"pid", []string{dag.CausePID}, "the process id", "file", "out/out.txt", ""},
		{"name", []string{dag.CausePID}, "the process id", "file", "", ""},
		{"locale", []string{dag.CauseCircumstance}, "locale", "file", "out/out.json", "$.thousands"},
		{"order", []string{dag.CauseCircumstance}, "directory order", "file", "out/out.txt", ""},
		{"race", []string{dag.CauseThreads}, "a race", "file", "out/out.txt", ""},
		{"zone", []string{dag.CauseCircumstance}, "time zone", "file", "out/out.txt", ""},
		{"cwd", []string{dag.CauseCircumstance}, "working directory", "file", "out/out.txt", ""},
		{"path", []string{dag.CauseCircumstance}, "working directory", "file", "out/out.txt", ""},
		{"tmpdir", []string{dag.CauseCircumstance}, "TMPDIR", "file", "out/out.txt", ""},
		{"cpus", []string{dag.CauseCircumstance}, "CPU", "file", "out/out.txt", ""},
		{"together", []string{dag.CauseTogether}, "working directory and time zone", "file", "out/out.txt", ""},
		{"failure", []string{dag.CauseCircumstance}, "locale tr_TR.UTF-8", "error", "", ""},
		{"verdict", []string{dag.CauseCircumstance}, "working directory", "verdict", "", ""},
		{"count", []string{dag.CauseChance}, "", "count", "s/rule", ""},
		{"stats", []string{dag.CauseChance}, "", "statistics", "out/x", ""},
	}
	if underRace {
		cases = slices.DeleteFunc(cases, func(c caught) bool { return c.how != "map" && c.how != "pid" })
	}
	if otherFileSystem(t) == "" {
		t.Log("there is no second file system; one alone may list a directory in one order only")
		cases = slices.DeleteFunc(cases, func(c caught) bool { return c.how == "order" })
	}
	var how []string
	for _, c := range cases {
		how = append(how, c.how)
	}
	b := planted(t, how...)
	b.jobs = 4 // most of the time goes by in waiting
	b.make()
	r, err := b.again(func(o *dag.RerunOptions) { o.Targets = how })
	if err != nil {
		t.Fatal(err)
	}
	if r.Differ != len(cases) || r.Failed != 0 {
		t.Errorf("%d of %d plants differ, %d failed", r.Differ, len(cases), r.Failed)
	}
	for _, c := range cases {
		t.Run(c.how, func(t *testing.T) {
			x := find(t, r, c.how)
			if x.State != dag.RerunDiffers || len(x.Differences) == 0 || x.Cause == nil {
				t.Fatalf("not caught: %+v", x)
			}
			t.Logf("%d reruns, %.1f s: %s", x.Reruns, x.Seconds, x.Cause.Text)
			if !slices.Contains(c.causes, x.Cause.Name) || !strings.Contains(x.Cause.Text, c.word) {
				t.Errorf("cause %+v; want %s, %q", x.Cause, c.causes, c.word)
			}
			d := x.Differences[0]
			if d.What != c.what || c.name != "" && d.Name != c.name {
				t.Errorf("difference %+v; want %s %s", d, c.what, c.name)
			}
			if c.path != "" && (d.Place == nil || !strings.HasPrefix(d.Place.Path, c.path)) {
				t.Errorf("place %+v; want %s", d.Place, c.path)
			}
			saved := files(t, x.Saved)
			if !slices.Contains(saved, "rerun.log") || c.what != "error" && (!slices.ContainsFunc(saved, func(s string) bool { return strings.HasPrefix(s, "recorded/out/") }) ||
				!slices.ContainsFunc(saved, func(s string) bool { return strings.HasPrefix(s, "rerun/out/") })) {
				t.Errorf("kept %v", saved)
			}
		})
	}
}

// TestRerunCatchesCoin: what comes out the same every other time is caught by enough
// reruns; 21 miss it once in two million.
func TestRerunCatchesCoin(t *testing.T) {
	if underRace {
		t.Skip("done by the plain suite")
	}
	b := planted(t, "coin")
	b.make()
	r, err := b.again(func(o *dag.RerunOptions) { o.Targets, o.Repeat = []string{"coin"}, 21 })
	if err != nil {
		t.Fatal(err)
	}
	if x := find(t, r, "coin"); x.State != dag.RerunDiffers || x.Cause.Name != dag.CauseChance {
		t.Errorf("%+v", x)
	}
}

// TestRerunIsQuiet: parts that are deterministic raise no alarm; nothing is published,
// recorded or left behind.
func TestRerunIsQuiet(t *testing.T) {
	b := newBench(t)
	b.edit("clean: {", "clean: {env: [TZ, LC_ALL, TMPDIR, PWD, GOMAXPROCS], ")
	b.run()
	ledger := func() string {
		s, err := artifacts.Open(b.store, artifacts.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		runs, err := s.Ledger().Runs("", 100)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(len(runs))
	}
	was, runs := store(t, b.store), ledger()
	r, err := b.again(nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Known != 15 || r.Sampled != 15 || r.Unknown != 0 || r.Differ != 0 || r.Failed != 0 || r.Estimate <= 0 {
		t.Errorf("%+v", r)
	}
	for _, x := range r.Parts {
		if x.State != dag.RerunSame || x.Reruns != 2 || x.Cause != nil || x.Saved != "" {
			t.Errorf("%+v", x)
		}
	}
	if is := store(t, b.store); is != was || ledger() != runs {
		t.Errorf("the store changed:\n%s\n\n%s", was, is)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "saved")); err == nil {
		t.Error("outputs were kept though none differ")
	}
}

// store lists what a store holds beside the ledger and locks.
func store(t *testing.T, dir string) string {
	var names []string
	for _, n := range files(t, dir) {
		if !strings.HasPrefix(n, "ledger.db") && !strings.HasPrefix(n, "lock") {
			names = append(names, n)
		}
	}
	return strings.Join(names, "\n")
}

// TestRerunOtherwise holds the verdicts that are no nondeterminism.
func TestRerunOtherwise(t *testing.T) {
	if underRace {
		t.Skip("done by the plain suite")
	}
	broken := filepath.Join(t.TempDir(), "broken")
	t.Setenv("DAG_TEST_BROKEN", broken)
	b := planted(t, "metric", "hopeless", "past", "none")
	b.make()
	if err := os.WriteFile(broken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := b.again(nil)
	if err != nil {
		t.Fatal(err)
	}
	if x := find(t, r, "metric"); x.State != dag.RerunMetrics || !slices.Equal(x.Metrics, []string{"speed"}) {
		t.Errorf("metric: %+v", x)
	}
	if x := find(t, r, "hopeless"); x.State != dag.RerunFailed || !strings.Contains(x.Error, "broken since") {
		t.Errorf("hopeless: %+v", x)
	}
	if x := find(t, r, "past"); x.State != dag.RerunDiffers || x.Cause.Name != dag.CausePast {
		t.Errorf("past: %+v", x)
	}
	if x := find(t, r, "none"); x.State != dag.RerunSame {
		t.Errorf("none: %+v", x)
	}
	if r.Differ != 1 || r.Failed != 1 {
		t.Errorf("%d differ, %d failed", r.Differ, r.Failed)
	}
}

// TestRerunDamaged: an object that rotted is no nondeterminism.
func TestRerunDamaged(t *testing.T) {
	if underRace {
		t.Skip("done by the plain suite")
	}
	b := newBench(t)
	s := b.run()
	st, err := artifacts.Open(b.store, artifacts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	m, err := st.Manifest(s.Stages[0].Outputs["docs"].Digest)
	if err != nil {
		t.Fatal(err)
	}
	path := st.ObjectPath(m.Files[0].Digest)
	x, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	x[0] ^= 1
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, x, 0o444); err != nil {
		t.Fatal(err)
	}
	r, err := b.again(func(o *dag.RerunOptions) { o.Targets = []string{"clean"} })
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for _, p := range r.Parts {
		if p.State == dag.RerunDamaged && strings.Contains(p.Error, m.Files[0].Digest) && strings.Contains(p.Error, "pipeline verify") {
			damaged++
		}
	}
	if damaged != 1 || r.Differ != 0 || r.Failed != 1 {
		t.Errorf("%+v", r)
	}
}

// TestRerunSample: the same P picks the same parts, another seed others, a larger sample
// holds the smaller, a share leaves no stage out.
func TestRerunSample(t *testing.T) {
	if underRace {
		t.Skip("done by the plain suite")
	}
	b := newBench(t)
	b.write("text.txt", strings.Repeat("um dois\n\n", 3)+text+strings.Repeat("\n\nvinte", 1)) // equal parts have one key
	b.run()
	sample := func(tune func(*dag.RerunOptions)) (keys []string, r *dag.Reruns) {
		t.Helper()
		r, err := b.again(func(o *dag.RerunOptions) { o.Plan = true; o.Share = 0; tune(o) })
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range r.Parts {
			keys = append(keys, x.Key)
		}
		return keys, r
	}
	five, r := sample(func(o *dag.RerunOptions) { o.Count = 5 })
	again, _ := sample(func(o *dag.RerunOptions) { o.Count = 5 })
	ten, _ := sample(func(o *dag.RerunOptions) { o.Count = 10 })
	seeded, _ := sample(func(o *dag.RerunOptions) { o.Count = 5; o.Seed = 1 })
	if len(five) != 5 || !slices.Equal(five, again) || slices.Equal(five, seeded) || len(ten) != 10 || r.Reruns != 0 {
		t.Errorf("5 parts: %v\nagain: %v\n10: %v\nseed 1: %v", five, again, ten, seeded)
	}
	for _, k := range five {
		if !slices.Contains(ten, k) {
			t.Errorf("10 parts leave out %s of the 5", k)
		}
	}
	_, tenth := sample(func(o *dag.RerunOptions) { o.Share = 0.1 })
	if len(tenth.Parts) != 5 {
		t.Errorf("a tenth: %+v", tenth.Parts)
	}
	all, whole := sample(func(o *dag.RerunOptions) { o.Share = 1 })
	slices.Sort(all)
	if len(slices.Compact(all)) != whole.Known || whole.Sampled != whole.Known {
		t.Errorf("all: %d of %d", len(all), whole.Known)
	}
	many, _ := sample(func(o *dag.RerunOptions) { o.Count = 1000 })
	if len(many) != whole.Known {
		t.Errorf("1000 of %d: %d", whole.Known, len(many))
	}
	if _, err := b.again(func(o *dag.RerunOptions) { o.Targets = []string{"nowhere"} }); err == nil || !strings.Contains(err.Error(), `no stage "nowhere"`) {
		t.Errorf("unknown stage: %v", err)
	}
}

// TestRerunUnknown: parts that no run made are counted, not done.
func TestRerunUnknown(t *testing.T) {
	if underRace {
		t.Skip("done by the plain suite")
	}
	b := newBench(t)
	b.run()
	b.edit("from: a, to: b", "from: a, to: c")
	r, err := b.again(nil)
	if err != nil {
		t.Fatal(err)
	}
	// parse is known, and what of again and total does not depend on an a.
	if r.Unknown == 0 || r.Known == 0 || r.Sampled != r.Known || r.Differ != 0 {
		t.Errorf("%+v", r)
	}
}

// TestRerunStops: when asked to stop it does, and leaves nothing.
func TestRerunStops(t *testing.T) {
	b := newBench(t)
	b.edit("steps: 5", "steps: 1000")
	b.run()
	ctx, cancel := context.WithCancel(t.Context())
	p, err := pipelinefile.Load(filepath.Join(b.dir, "p.yaml"), pipelinefile.Options{Kinds: plants()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := artifacts.Open(b.store, artifacts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	src, err := source.Resolve(ctx, p.Sources, noMemo{}, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	scratch, remove, err := s.Scratch("")
	if err != nil {
		t.Fatal(err)
	}
	_, err = dag.MakeRerun(ctx, p, s, src, dag.RerunOptions{Share: 1, Repeat: 2, Jobs: 2, Targets: []string{"train"}, Scratch: scratch, Save: scratch,
		Start: func(dir string, env []string) dag.Workers {
			return local.New([]string{os.Args[0]}, append(env, "DAG_TEST_WORKER=1")).In(dir)
		},
		Progress: func(p dag.RerunProgress) {
			if p.Handled > 0 {
				cancel()
			}
		}}, func(*dag.Reruns) {})
	if ctx.Err() == nil || err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("error %v", err)
	}
	if left := files(t, scratch); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
}
