package dag_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/source"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// lastPart gives the record of the last run's only part of a stage.
func (b *bench) lastPart(name string) artifacts.PartRecord {
	b.t.Helper()
	s, err := artifacts.Open(b.store, artifacts.Options{ReadOnly: true})
	if err != nil {
		b.t.Fatal(err)
	}
	defer s.Close()
	runs, err := s.Ledger().Runs("", 1)
	if err != nil || len(runs) == 0 {
		b.t.Fatalf("runs: %v, %v", runs, err)
	}
	parts, err := s.Ledger().Parts(runs[0].ID, name)
	if err != nil || len(parts) != 1 {
		b.t.Fatalf("parts of %s: %+v, %v", name, parts, err)
	}
	parts[0].Metrics, err = s.Ledger().Metrics(runs[0].ID, name)
	if err != nil {
		b.t.Fatal(err)
	}
	return parts[0]
}

// TestAttemptsAndMetricsOfAResumedPart holds that a part which is interrupted, fails, and
// is resumed has its attempts counted on, a log for each, and the series of an undisturbed
// run.
func TestAttemptsAndMetricsOfAResumedPart(t *testing.T) {
	const steps, crash = 900, 800 // far behind the interrupt at 10
	undisturbed := newBench(t)
	undisturbed.edit("steps: 5", fmt.Sprintf("steps: %d", steps))
	want := undisturbed.run()

	b := newBench(t)
	b.edit("steps: 5", fmt.Sprintf("steps: %d, crash: %d", steps, crash))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := b.try(ctx, func(o *dag.Options) { o.Observer = &interrupter{cancel: cancel, at: "train", step: 10} })
	if err == nil {
		t.Fatal("the run was not interrupted")
	}
	if p := b.lastPart("train"); p.State != "stopped" || p.Attempt != 1 || len(p.Metrics) < 10 {
		t.Errorf("after the interrupt: %s, attempt %d, %d metrics", p.State, p.Attempt, len(p.Metrics))
	}
	if _, err := b.try(t.Context(), nil); err == nil {
		t.Fatal("the part did not crash")
	}
	if p := b.lastPart("train"); p.State != "failed" || p.Attempt != 2 || len(p.Metrics) != crash-1 {
		t.Errorf("after the crash: %s, attempt %d, %d metrics", p.State, p.Attempt, len(p.Metrics))
	}
	got := b.run()
	p := b.lastPart("train")
	if p.State != "ran" || p.Attempt != 3 {
		t.Errorf("at last: %s, attempt %d", p.State, p.Attempt)
	}
	whole := undisturbed.lastPart("train").Metrics
	said := map[int64]float64{}
	for _, m := range p.Metrics {
		said[m.Step] = m.Value
	}
	for _, m := range whole {
		if x, ok := said[m.Step]; (!ok || x != m.Value) && m.Step != crash { // it died before it said that one
			t.Errorf("step %d: %v (%v), undisturbed %v", m.Step, x, ok, m.Value)
		}
	}
	if got.Metrics["train.x"] != want.Metrics["train.x"] {
		t.Errorf("last metric %v, undisturbed %v", got.Metrics, want.Metrics)
	}
	logs, err := filepath.Glob(filepath.Join(b.store, "logs", p.Key, "*.log"))
	if err != nil || len(logs) != 3 {
		t.Errorf("logs %v, %v", logs, err)
	}
}

// TestRetriesAreOfThisRun holds that earlier attempts use up no retries.
func TestRetriesAreOfThisRun(t *testing.T) {
	b := newBench(t)
	b.write("p.yaml", "pipeline: test\nsources:\n  text: {path: text.txt}\nstages:\n  bad: {uses: misbehave, retries: 1, from: {docs: sources.text}, with: {how: fail}}\n")
	for _, want := range []int{2, 4} {
		if _, err := b.try(t.Context(), nil); err == nil {
			t.Fatal("it did not fail")
		}
		if p := b.lastPart("bad"); p.Attempt != want || p.State != "failed" {
			t.Errorf("%s at attempt %d, want %d", p.State, p.Attempt, want)
		}
	}
}

// TestPartsUnderWayAreRecorded holds that the ledger shows a part that runs, in time.
func TestPartsUnderWayAreRecorded(t *testing.T) {
	b := newBench(t)
	b.write("p.yaml", "pipeline: test\nsources:\n  text: {path: text.txt}\nstages:\n  bad: {uses: misbehave, from: {docs: sources.text}, with: {how: hang}}\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := b.try(ctx, nil)
		done <- err
	}()
	state := func() string {
		s, err := artifacts.Open(b.store, artifacts.Options{ReadOnly: true})
		if err != nil {
			return "" // not made yet
		}
		defer s.Close()
		parts, err := s.Ledger().Parts(1, "bad")
		if err != nil || len(parts) == 0 {
			return ""
		}
		return parts[0].State
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); state() == ""; <-tick.C {
		if time.Now().After(end) {
			t.Fatal("the ledger does not show the part")
		}
	}
	if got := state(); got != "running" {
		t.Errorf("state %q", got)
	}
	cancel()
	<-done
	if got := state(); got != "stopped" {
		t.Errorf("state %q after the interrupt", got)
	}
}

// cutter is a kind whose parts read what its config says.
type cutter struct {
	Port string `json:"port"`
	File int    `json:"file"`
}

func (c cutter) Split(stage.Inputs) ([]stage.Part, error) {
	return []stage.Part{{Name: "first", Files: map[string][]int{c.Port: {c.File}}}}, nil
}
func (cutter) Run(context.Context, stage.Task) error { return errors.New("not reached") }

// joiner has a Join, whether or not its kind has ports for it.
type joiner struct{ cutter }

func (joiner) Join(context.Context, stage.Task) error { return nil }

// TestFaultyKinds holds that a stage kind which breaks the contract gets an error that
// says so, and no panic.
func TestFaultyKinds(t *testing.T) {
	in := []stage.Port{{Name: "docs", Type: stage.Any}}
	out := []stage.Port{{Name: "out", Type: stage.Any}}
	faulty := []stage.Kind{
		{Name: "cutter", Version: 1, In: in, Out: out, Config: cutter{Port: "docs"}, New: stage.Build(func(c cutter) (stage.Stage, error) { return c, nil })},
		{Name: "joiner", Version: 1, In: in, Out: out, Config: joiner{}, New: stage.Build(func(c joiner) (stage.Stage, error) { return c, nil })},
	}
	for _, c := range []struct{ uses, want string }{
		{"{uses: cutter, with: {file: 1}", `stage bad, part split: cut the inputs into parts: part "first" reads file 1 of port "docs", which has 1, counted from 0`},
		{"{uses: cutter, with: {file: -1}", `part "first" reads file -1 of port "docs"`},
		{"{uses: cutter, with: {port: dics}", `part "first" reads from port "dics", which is no input`},
		{"{uses: joiner", "stage kind joiner must have both Mid ports and a Join, or neither"},
	} {
		b := newBench(t)
		b.write("p.yaml", "pipeline: test\nsources:\n  text: {path: text.txt}\nstages:\n  bad: "+c.uses+", from: {docs: sources.text}}\n")
		p, err := pipelinefile.Load(filepath.Join(b.dir, "p.yaml"), pipelinefile.Options{Kinds: faulty})
		if err != nil {
			t.Fatal(err)
		}
		s, err := artifacts.Open(b.store, artifacts.Options{CreateIfMissing: true})
		if err != nil {
			t.Fatal(err)
		}
		src, err := source.Resolve(t.Context(), p.Sources, noMemo{}, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = dag.Run(t.Context(), p, s, src, dag.Options{Jobs: 1, Executor: &counting{}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.uses, err, c.want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestMemoryLimitOfAStage holds what is said of a part that uses too much, and that the
// run goes on beside it.
func TestMemoryLimitOfAStage(t *testing.T) {
	b := newBench(t)
	b.write("p.yaml", "pipeline: test\nsources:\n  text: {path: text.txt}\nstages:\n  bad:\n    uses: misbehave\n    resources: {memory: 200MiB}\n    from: {docs: sources.text}\n    with: {how: swell}\n  beside: {uses: replace, from: {docs: sources.text}}\n")
	s, err := b.try(t.Context(), func(o *dag.Options) { o.KeepGoing = true })
	if err == nil || len(s.Failures) != 1 || s.Stages[1].State != "done" {
		t.Fatalf("error %v, summary %+v", err, s)
	}
	f := s.Failures[0]
	for _, want := range []string{"it used ", " MiB of memory, its limit is 200 MiB (resources.memory of stage bad, ", "p.yaml:5:3): raise the limit, or give a part less to do"} {
		if !strings.Contains(f.Error, want) {
			t.Errorf("%q does not say %q", f.Error, want)
		}
	}
	if _, err := os.Stat(f.Log); err != nil {
		t.Error(err)
	}
}
