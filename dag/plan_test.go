package dag_test

import (
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/dag"
)

func stageOf(t *testing.T, plan *dag.Plan, name string) dag.PlanStage {
	t.Helper()
	for _, s := range plan.Stages {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("the plan has no stage %s", name)
	return dag.PlanStage{}
}

// TestPlanBelowABrokenGate holds that a plan does not promise to run what a run would not.
func TestPlanBelowABrokenGate(t *testing.T) {
	b := newBench(t)
	b.edit("total: {uses: count,", "total: {uses: count, with: {gate: 3},")
	if _, err := b.try(t.Context(), nil); err == nil {
		t.Fatal("the gate did not break")
	}
	plan := b.plan()
	total, train := stageOf(t, plan, "total"), stageOf(t, plan, "train")
	if total.State != dag.PlanRefuse || train.State != dag.PlanHeld || train.Run != 0 || train.Open || plan.Run != 0 {
		t.Errorf("total %+v\ntrain %+v", total, train)
	}
	if len(train.Reasons) != 1 || train.Reasons[0].Component != "gate" || !strings.Contains(train.Reasons[0].Text, "a gate of stage total is broken") {
		t.Errorf("train is held because of %+v", train.Reasons)
	}
}

// TestPlanOfSettingsThatRanBefore holds that a stage whose settings differ from those of
// the last run, but all of whose parts are known from a run before, is not said to run.
func TestPlanOfSettingsThatRanBefore(t *testing.T) {
	b := newBench(t)
	b.run()
	b.edit("to: E", "to: F")
	b.run()
	b.edit("to: F", "to: E")
	if s := stageOf(t, b.plan(), "again"); s.State != dag.PlanCached {
		t.Errorf("the settings of the run before the last: %+v", s)
	}
	b.write("text.txt", strings.Replace(text, "dez", "dez e meia", 1))
	b.run1("parse")
	if s := stageOf(t, b.plan(), "again"); s.State != dag.PlanMayRun || s.Cached != 3 || s.Run != 0 || len(s.Reasons) != 1 || s.Reasons[0].Component != "config.to" {
		t.Errorf("three of four parts are known, the fourth waits: %+v", s)
	}
}

// TestEstimates holds that a plan and a run know nothing of the time of what never ran,
// and something once the ledger does; and that a run says what it took of the CPUs.
func TestEstimates(t *testing.T) {
	b := newBench(t)
	if plan := b.plan(); plan.Estimate != nil || plan.Wall != nil || plan.Seconds >= 0 {
		t.Errorf("nothing ran yet; the plan's estimate is %+v, wall %+v", plan.Estimate, plan.Wall)
	}
	first := b.run()
	if first.Estimate != nil {
		t.Errorf("nothing ran yet; the run estimated itself at %+v", first.Estimate)
	}
	if first.CPU == nil || *first.CPU <= 0 || first.Stages[0].CPU == nil || first.Stages[0].Memory < 1<<20 {
		t.Errorf("what the run took of the machine: CPU %v, of the first stage %v, memory %d", first.CPU, first.Stages[0].CPU, first.Stages[0].Memory)
	}
	b.edit("to: b", "to: c")
	plan := b.plan()
	clean, again := stageOf(t, plan, "clean"), stageOf(t, plan, "again")
	if clean.Estimate == nil || clean.Estimate.Low <= 0 || clean.Estimate.CPU == nil || clean.Seconds != clean.Estimate.Seconds {
		t.Errorf("clean runs; its estimate is %+v", clean.Estimate)
	}
	if again.State != dag.PlanMayRun || again.Estimate == nil || again.Estimate.Low != 0 || again.Estimate.Seconds <= 0 {
		t.Errorf("again may be cut off: %s, its estimate is %+v", again.State, again.Estimate)
	}
	if plan.Wall == nil || plan.Wall.Low > plan.Wall.Seconds || plan.Wall.Seconds > plan.Wall.High || plan.Wall.Seconds > plan.Estimate.Seconds {
		t.Errorf("wall %+v, work %+v", plan.Wall, plan.Estimate)
	}
	if second := b.run(); second.Estimate == nil {
		t.Error("the second run had nothing to estimate itself by")
	}
	if third := b.run(); third.Estimate != nil || third.CPU == nil || *third.CPU != 0 {
		t.Errorf("nothing to run: estimate %+v, CPU %v", third.Estimate, third.CPU)
	}
}
