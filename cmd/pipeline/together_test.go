package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/dag"
	"golang.org/x/sys/unix"
)

// gates is a directory of pipes: a command of the pipelines below says that it is there,
// then waits at its pipe until the test lets it pass.
type gates struct {
	t     *testing.T
	dir   string
	watch *watcher
	came  map[string]int
}

func newGates(s *sandbox) *gates {
	g := &gates{t: s.t, dir: filepath.Join(s.dir, "gates"), came: map[string]int{}}
	if err := os.MkdirAll(filepath.Join(g.dir, "came"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	g.watch = watch(s.t, filepath.Join(g.dir, "came"))
	s.t.Cleanup(g.watch.close)
	time.AfterFunc(time.Minute, g.watch.stop) // a test that waits for what never comes
	return g
}

// stage is a stage of one gated part, in YAML.
func (g *gates) stage(name, gate string) string {
	if err := unix.Mkfifo(filepath.Join(g.dir, gate), 0o600); err != nil && err != unix.EEXIST {
		g.t.Fatal(err)
	}
	return fmt.Sprintf("  %s: {uses: command, with: {env: {G: %q}, run: \"mktemp $G/came/%s.XXXXXX; read x < $G/%s; echo %s > {out}/f\"}}\n", name, g.dir, gate, gate, gate)
}

// wait waits until so many commands have come to a gate.
func (g *gates) wait(gate string, times int) {
	g.t.Helper()
	for {
		names, err := filepath.Glob(filepath.Join(g.dir, "came", gate+".*"))
		if err != nil {
			g.t.Fatal(err)
		}
		if g.came[gate] = len(names); len(names) >= times {
			return
		}
		if !g.watch.next() {
			g.t.Fatalf("%d commands came to gate %s in a minute, want %d", len(names), gate, times)
		}
	}
}

// pass lets one command through.
func (g *gates) pass(gate string) {
	g.t.Helper()
	// Both ways, so that opening does not wait for the command to open its end.
	f, err := os.OpenFile(filepath.Join(g.dir, gate), os.O_RDWR, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { f.Close() }) // what is in the pipe goes when nobody has it open
	if _, err := f.WriteString("\n"); err != nil {
		g.t.Fatal(err)
	}
}

// once holds that to each gate one command came in all, but for the given ones.
func (g *gates) once(twice ...string) {
	g.t.Helper()
	names, err := filepath.Glob(filepath.Join(g.dir, "came", "*"))
	if err != nil {
		g.t.Fatal(err)
	}
	n := map[string]int{}
	for _, name := range names {
		gate, _, _ := strings.Cut(filepath.Base(name), ".")
		n[gate]++
	}
	for gate, n := range n {
		want := 1
		if slices.Contains(twice, gate) {
			want = 2
		}
		if n != want {
			g.t.Errorf("%d commands came to gate %s, want %d", n, gate, want)
		}
	}
}

// started is a run under way.
type started struct {
	t     *testing.T
	cmd   *exec.Cmd
	out   bytes.Buffer
	lines chan string // of stderr
	all   []string
}

func (s *sandbox) start(args ...string) *started {
	s.t.Helper()
	r := &started{t: s.t, cmd: s.command(append([]string{"run", "--json"}, args...)...), lines: make(chan string, 1000)}
	r.cmd.Stdout = &r.out
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.cmd.Process.Kill() })
	go func() {
		for l := bufio.NewScanner(stderr); l.Scan(); {
			r.lines <- l.Text()
		}
		close(r.lines)
	}()
	return r
}

// says waits for a line that holds all the words.
func (r *started) says(words ...string) {
	r.t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case l, ok := <-r.lines:
			if !ok {
				r.t.Fatalf("it ended and never said %q:\n%s", words, strings.Join(r.all, "\n"))
			}
			r.all = append(r.all, l)
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(l, w) }) {
				return
			}
		case <-limit:
			r.t.Fatalf("it does not say %q:\n%s", words, strings.Join(r.all, "\n"))
		}
	}
}

// ends waits for the run's good end.
func (r *started) ends() *dag.Summary {
	r.t.Helper()
	for l := range r.lines {
		r.all = append(r.all, l)
	}
	if err := r.cmd.Wait(); err != nil {
		r.t.Fatalf("%v\n%s", err, strings.Join(r.all, "\n"))
	}
	var d dag.Summary
	if err := json.Unmarshal(r.out.Bytes(), &d); err != nil {
		r.t.Fatal(err)
	}
	return &d
}

func (r *started) name() string { return fmt.Sprintf("pid %d,", r.cmd.Process.Pid) }

// TestTwoCoordinators holds that two runs on one store share the work, of the same
// pipeline and of different ones that have a part in common, and that the one that waits
// says for whom.
func TestTwoCoordinators(t *testing.T) {
	for _, c := range []struct{ name, second, stage string }{
		{"the same pipeline", "a.yaml", "shared"},
		{"another pipeline", "b.yaml", "mine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t)
			g := newGates(s)
			s.write("a.yaml", "pipeline: a\nstages:\n"+g.stage("shared", "x"))
			s.write("b.yaml", "pipeline: b\nstages:\n"+g.stage("mine", "x")+g.stage("alone", "y"))
			first := s.start("a.yaml")
			g.wait("x", 1)
			second := s.start(c.second)
			second.says(c.stage+", part all: waiting for "+first.name(), "run 1, stage shared, which is doing it")
			g.pass("x")
			g.pass("y")
			a, b := first.ends(), second.ends()
			if a.Stages[0].Ran != 1 || b.Stages[0].Cached != 1 || b.Stages[0].Ran != 0 {
				t.Errorf("the first ran %d; the second ran %d and found %d", a.Stages[0].Ran, b.Stages[0].Ran, b.Stages[0].Cached)
			}
			if a.Stages[0].Outputs["out"].Digest != b.Stages[0].Outputs["out"].Digest {
				t.Error("they have different outputs")
			}
			if b.Stages[0].Seconds != 0 {
				t.Errorf("a stage of which nothing ran took %v s", b.Stages[0].Seconds)
			}
			if len(b.Said) == 0 || !strings.Contains(b.Said[0], first.name()) {
				t.Errorf("the summary says %q", b.Said)
			}
			g.once()
		})
	}
}

// TestTwoCoordinatorsCrossed holds that two runs which each wait for what the other does
// come to their end, and that a part that waits holds no CPU.
func TestTwoCoordinatorsCrossed(t *testing.T) {
	s := newSandbox(t)
	g := newGates(s)
	s.write("a.yaml", "pipeline: a\nstages:\n"+g.stage("x", "x")+g.stage("block", "a")+g.stage("y", "y")+g.stage("z", "z"))
	s.write("b.yaml", "pipeline: b\nstages:\n"+g.stage("y", "y")+g.stage("block", "b")+g.stage("x", "x")+g.stage("w", "w"))
	a, b := s.start("a.yaml", "--jobs", "2"), s.start("b.yaml", "--jobs", "2")
	for _, gate := range []string{"x", "y", "a", "b"} { // each holds one and has no CPU for more
		g.wait(gate, 1)
	}
	g.pass("a")
	a.says("y, part all: waiting for "+b.name(), "stage y")
	g.wait("z", 1) // on the CPU that y would have
	g.pass("b")
	b.says("x, part all: waiting for "+a.name(), "stage x")
	g.wait("w", 1)
	for _, gate := range []string{"x", "y", "z", "w"} {
		g.pass(gate)
	}
	if ran, cached := total(a.ends()); ran != 3 || cached != 1 {
		t.Errorf("a: %d ran, %d cached", ran, cached)
	}
	if ran, cached := total(b.ends()); ran != 3 || cached != 1 {
		t.Errorf("b: %d ran, %d cached", ran, cached)
	}
	g.once()
}

func total(d *dag.Summary) (ran, cached int) {
	for _, st := range d.Stages {
		ran += st.Ran
		cached += st.Cached
	}
	return ran, cached
}

// TestTwoCoordinatorsOneKilled holds that a run which waits for another takes over when
// that one is killed.
func TestTwoCoordinatorsOneKilled(t *testing.T) {
	s := newSandbox(t)
	g := newGates(s)
	s.write("a.yaml", "pipeline: a\nstages:\n"+g.stage("x", "x"))
	first := s.start("a.yaml")
	g.wait("x", 1)
	second := s.start("a.yaml")
	second.says("x, part all: waiting for " + first.name())
	below := s.processes()
	first.cmd.Process.Kill()
	g.wait("x", 2)
	below.without(s.processes()).gone(t)
	g.pass("x")
	if ran, _ := total(second.ends()); ran != 1 {
		t.Errorf("the second ran %d parts", ran)
	}
	g.once("x")
	if d := s.run("a.yaml"); len(ranParts(d)) != 0 {
		t.Errorf("the run after ran %v", ranParts(d))
	}
}

// TestTwoCoordinatorsManyParts lets two runs of one pipeline with many small parts race:
// every part runs once in all.
func TestTwoCoordinatorsManyParts(t *testing.T) {
	const parts = 40
	s := newSandbox(t)
	for i := range parts {
		s.write(fmt.Sprintf("in/%02d", i), fmt.Sprint(i))
	}
	s.write("ran/.keep", "")
	s.write("p.yaml", fmt.Sprintf("pipeline: p\nsources:\n  in: {path: in}\nstages:\n  many:\n    uses: command\n    from: {in: sources.in}\n    with: {each: true, env: {R: %q}, run: \"mktemp $R/{part}.XXXXXX; cp {file} {out}/\"}\n", filepath.Join(s.dir, "ran")))
	a, b := s.start("p.yaml", "--jobs", "3"), s.start("p.yaml", "--jobs", "3")
	x, y := a.ends(), b.ends()
	if digests(x) != digests(y) {
		t.Errorf("different outputs:\n%s\n%s", digests(x), digests(y))
	}
	ranX, _ := total(x)
	ranY, _ := total(y)
	names, err := filepath.Glob(filepath.Join(s.dir, "ran", "[0-9]*"))
	if err != nil || len(names) != parts || ranX+ranY != parts {
		t.Errorf("%d commands ran, %d parts in one run and %d in the other, want %d in all; %v", len(names), ranX, ranY, parts, err)
	}
}

// TestInterruptEndsWaiting holds that a run that waits for another can be interrupted.
func TestInterruptEndsWaiting(t *testing.T) {
	s := newSandbox(t)
	g := newGates(s)
	s.write("a.yaml", "pipeline: a\nstages:\n"+g.stage("x", "x"))
	first := s.start("a.yaml")
	g.wait("x", 1)
	second := s.start("a.yaml")
	second.says("waiting for " + first.name())
	second.cmd.Process.Signal(syscall.SIGINT)
	for range second.lines {
	}
	second.cmd.Wait()
	if code := second.cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	g.pass("x")
	first.ends()
	g.once()
}
