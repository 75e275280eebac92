package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/dag"
	"github.com/spf13/cobra"
)

// planFlags are the flags of the commands that look at what a run would do.
type planFlags struct {
	storeFlags
	profile string
	json    bool
}

func (f *planFlags) add(c *cobra.Command) {
	f.storeFlags.add(c.Flags())
	addProfileFlag(c, &f.profile)
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON document")
}

func (f *planFlags) plan(c *cobra.Command, file string, targets []string, jobs int) (*dag.Plan, error) {
	p, err := loadPipeline(file, f.profile)
	if err != nil {
		return nil, err
	}
	store, err := f.forPlanning()
	if err != nil {
		return nil, err
	}
	defer store.Close()
	sources, err := resolveSources(c.Context(), p, targets, store, true, nil)
	if err != nil {
		return nil, err
	}
	return dag.MakePlan(p, store, sources, targets, jobs)
}

func planCommand() *cobra.Command {
	var f planFlags
	var jobs int
	var cost price
	c := &cobra.Command{
		Use:   "plan FILE [STAGE…]",
		Short: "Say what a run would do, and why, without doing it",
		Long: `Say what a run would do: which stages are cached, which have to run and why, which may
be cut off because the stages above them may give the same bytes as before, and which
are held because a gate above them is broken or a stage above them fails. Nothing is
fetched, made or changed.

Times are estimated from parts of the same kind (and the same settings, where there are
enough) that the ledger knows, by their bytes of input: a median, and the interval that
holds the time eight times in ten. The time of the whole run is the greater of two
bounds: the work spread over all jobs, and the longest chain of parts that wait for each
other; the upper end is what no order of parts can exceed. Where the ledger has nothing
to go by, the time is unknown.

With --json: {"pipeline", "profile", "jobs", "run", "cached", "seconds", "estimate",
"wall", "stages": [{"name", "kind", "state":
"cached"|"run"|"may-run"|"refused"|"held"|"fails", "cached", "run", "open": more parts may
come, "after": [stages it waits for], "reasons": [{"component", "old", "new", "where",
"text"}], "seconds", "estimate", "error": why it fails}]}. "estimate" is {"seconds",
"low", "high": of the parts one after the other, "cpu": {"seconds", "low", "high"} or null,
"memory": bytes or 0}, or null when it is unknown; "wall" is {"seconds", "low", "high"} or
null. "seconds" is the median of "estimate", negative when it is unknown. "profile",
"error" and a reason's "old", "new" and "where" are absent when empty.`,
		Example: "  pipeline plan pipelines/v16.yaml --profile sample\n  pipeline plan pipelines/v16.yaml --profile sample train --json\n  pipeline plan pipelines/v16.yaml --jobs 16 --price-per-cpu-hour 0.04",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if jobs < 1 {
				return usage{fmt.Errorf("--jobs %d: there must be at least one", jobs)}
			}
			if err := cost.check(); err != nil {
				return err
			}
			plan, err := f.plan(c, args[0], args[1:], jobs)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(c.OutOrStdout(), plan)
			}
			printPlan(c.OutOrStdout(), plan, cost)
			return nil
		},
	}
	f.add(c)
	c.Flags().IntVarP(&jobs, "jobs", "j", runtime.NumCPU(), "CPUs that the run would keep busy, for the estimate of its time")
	cost.add(c.Flags())
	return c
}

// narrow is the width of a terminal, in columns, on which the reasons of a plan stand
// below its table and not in it.
const narrow = 110

func printPlan(w io.Writer, plan *dag.Plan, cost price) {
	below := columns > 0 && columns < narrow
	head := []string{"stage", "kind", "plan", "cached", "to run", "estimate"}
	if !below {
		head = append(head, "why")
	}
	t := newTable(head...).right(3, 4)
	var reasons []string
	last := ""
	for _, s := range plan.Stages {
		run := fmt.Sprint(s.Run)
		if s.Open {
			run += "+"
		}
		estimate := ""
		switch {
		case s.State != dag.PlanRun && s.State != dag.PlanMayRun:
		case s.Estimate == nil:
			estimate = "unknown"
		default:
			estimate = span(s.Estimate.Span)
		}
		cells := []string{s.Name, s.Kind, planWord(s.State), fmt.Sprint(s.Cached), run, estimate}
		why := planReason(s)
		if !below {
			cells = append(cells, why)
		} else if why == last && why != "" {
			i := len(reasons) - 1
			reasons[i] = strings.TrimSuffix(reasons[i], ": "+why) + ", " + paint(bold, s.Name) + ": " + why
		} else if why != "" {
			reasons = append(reasons, paint(bold, s.Name)+": "+why)
		}
		last = why
		t.row(cells...)
	}
	t.print(w)
	if len(reasons) > 0 {
		fmt.Fprintln(w)
		for _, r := range reasons {
			fmt.Fprintln(w, wrap(r, 2))
		}
	}
	todo := slices.ContainsFunc(plan.Stages, func(s dag.PlanStage) bool { return s.State == dag.PlanRun || s.State == dag.PlanMayRun })
	open := slices.ContainsFunc(plan.Stages, func(s dag.PlanStage) bool { return s.Open })
	held := slices.ContainsFunc(plan.Stages, func(s dag.PlanStage) bool { return s.State == dag.PlanHeld || s.State == dag.PlanFail })
	least := ""
	if open {
		least = "at least "
	}
	switch {
	case plan.Run == 0 && todo:
		fmt.Fprintf(w, "\nhow many parts will run shows when the sources are here; %s cached\n", parts(plan.Cached))
	case plan.Run == 0 && held:
		fmt.Fprintf(w, "\nnothing can run: %s cached\n", parts(plan.Cached))
	case plan.Run == 0:
		fmt.Fprintf(w, "\nnothing to run: all %s are cached\n", parts(plan.Cached))
	default:
		fmt.Fprintf(w, "\n%s%s to run, %d cached\n", least, parts(plan.Run), plan.Cached)
	}
	if todo {
		for _, line := range strings.Split(cost.takes(plan), "\n") {
			fmt.Fprintln(w, wrap(line, 2))
		}
	}
}

// planReason is the first reason of a stage, in words.
func planReason(s dag.PlanStage) string {
	switch {
	case s.Error != "":
		return s.Error
	case len(s.Reasons) > 0:
		why := s.Reasons[0].Text
		if n := len(s.Reasons) - 1; n > 0 {
			why += fmt.Sprintf(" (and %d more)", n)
		}
		return why
	case s.State == dag.PlanMayRun:
		return "waits for " + strings.Join(s.After, ", ") + "; cut off if that comes out the same"
	}
	return ""
}

func planWord(state string) string {
	switch state {
	case dag.PlanRun:
		return paint(yellow, "run")
	case dag.PlanMayRun:
		return paint(cyan, "may run")
	case dag.PlanRefuse, dag.PlanHeld, dag.PlanFail:
		return paint(red, state)
	}
	return paint(green, state)
}
