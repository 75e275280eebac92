package dag_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/executor/task"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// counting is an executor that runs parts in this process and keeps the most CPUs and
// memory that were in use together.
type counting struct {
	memory map[string]int64 // what a kind's stage declares

	mu               sync.Mutex
	cpus, mostCPUs   int
	bytes, mostBytes int64
}

func (c *counting) Run(ctx context.Context, j executor.Job, l executor.Listener) (*executor.Result, error) {
	c.mu.Lock()
	c.cpus += j.Spec.CPUs
	c.bytes += c.memory[j.Kind]
	c.mostCPUs, c.mostBytes = max(c.mostCPUs, c.cpus), max(c.mostBytes, c.bytes)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.cpus -= j.Spec.CPUs
		c.bytes -= c.memory[j.Kind]
		c.mu.Unlock()
	}()
	for _, k := range kinds() {
		if k.Name != j.Kind {
			continue
		}
		s, err := k.New(j.Spec.Config)
		if err != nil {
			return nil, err
		}
		t := task.New(j.Spec, deaf{})
		defer t.Close()
		run := s.Run
		if j.Spec.Join {
			run = s.(stage.Joiner).Join
		}
		if err := run(ctx, t); err != nil {
			return nil, err
		}
		out, err := t.Finish()
		return &executor.Result{Outputs: out}, err
	}
	return nil, fmt.Errorf("no kind %s", j.Kind)
}

func (c *counting) Kill()        {}
func (c *counting) Close() error { return nil }

type deaf struct{}

func (deaf) Progress(int64, int64, string) {}
func (deaf) Metric(string, int64, float64) {}
func (deaf) Count(string, string, int64)   {}
func (deaf) Log(string)                    {}
func (deaf) Notice(string)                 {}
func (deaf) Dependence(task.Dependence)    {}
func (deaf) Refuse(string)                 {}

// TestNeverOversubscribed holds that parts together never take more CPUs or memory than
// the run has, whatever they declare, and that one that declares more than there is runs.
func TestNeverOversubscribed(t *testing.T) {
	for _, c := range []struct {
		resources string
		jobs      int
		memory    int64
	}{
		{"", 3, 0},
		{"resources: {cpus: 2}, ", 3, 0},
		{"resources: {cpus: 99}, ", 2, 0},
		{"resources: {memory: 600MiB}, ", 4, 1 << 30},
		{"resources: {memory: 64GiB}, ", 4, 1 << 30},
	} {
		t.Run(c.resources, func(t *testing.T) {
			b := newBench(t)
			b.write("text.txt", strings.Repeat(text+"\n\n", 8))
			b.edit("clean: {", "clean: {"+c.resources)
			ex := &counting{memory: map[string]int64{}}
			if c.memory > 0 {
				ex.memory["replace"] = 600 << 20
				b.edit("again: {", "again: {"+c.resources)
				if strings.Contains(c.resources, "64GiB") {
					ex.memory["replace"] = c.memory
				}
			}
			s, err := b.try(t.Context(), func(o *dag.Options) { o.Jobs, o.Memory, o.Executor = c.jobs, c.memory, ex })
			if err != nil || s.State != dag.StateDone {
				t.Fatal(err)
			}
			if ex.mostCPUs > c.jobs || (c.memory > 0 && ex.mostBytes > c.memory) {
				t.Errorf("%d of %d CPUs and %d of %d bytes in use together", ex.mostCPUs, c.jobs, ex.mostBytes, c.memory)
			}
		})
	}
}

// TestUnknownTarget names the stages there are.
func TestUnknownTarget(t *testing.T) {
	b := newBench(t)
	_, err := b.try(t.Context(), func(o *dag.Options) { o.Targets = []string{"cleen"} })
	if err == nil || err.Error() != `pipeline test has no stage "cleen"; it has parse, clean, again, total, train` {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(b.store); err != nil {
		t.Error(err)
	}
}

// gated is an executor whose parts of one stage fail, but not before all equal parts of
// the stage wait for the first.
type gated struct {
	counting
	open chan struct{}
}

func (g *gated) Run(ctx context.Context, j executor.Job, l executor.Listener) (*executor.Result, error) {
	if j.Kind != "replace" {
		return g.counting.Run(ctx, j, l)
	}
	<-g.open
	return nil, &executor.PartError{Message: "told to fail"}
}

// waitWatcher opens the gate when four of five running parts have begun to wait.
type waitWatcher struct {
	g    *gated
	seen int
}

func (w *waitWatcher) Notice(string)                  {}
func (w *waitWatcher) Metric(string, executor.Metric) {}
func (w *waitWatcher) Stage(s dag.StageStatus) {
	if s.Name != "clean" {
		return
	}
	w.seen = max(w.seen, len(s.Running))
	if w.seen == 5 && len(s.Running) == 1 {
		close(w.g.open)
		w.seen = 0
	}
}

// TestEqualPartsOfAFailingStage holds that a run ends when parts that share a key wait for
// one that fails, and that it gives back no more CPUs than it took.
func TestEqualPartsOfAFailingStage(t *testing.T) {
	b := newBench(t)
	b.write("text.txt", strings.Repeat("a a\n\n", 4)+"a a")
	g := &gated{open: make(chan struct{})}
	s, err := b.try(t.Context(), func(o *dag.Options) { o.Jobs, o.Executor, o.Observer = 6, g, &waitWatcher{g: g} })
	if err == nil || s.State != dag.StateFailed || len(s.Failures) != 1 {
		t.Fatalf("error %v, summary %+v", err, s)
	}
}
