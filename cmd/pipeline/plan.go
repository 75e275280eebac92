package main

import (
	"fmt"
	"io"
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

func (f *planFlags) plan(c *cobra.Command, file string, targets []string) (*dag.Plan, error) {
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
	return dag.MakePlan(p, store, sources, targets)
}

func planCommand() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:   "plan FILE [STAGE…]",
		Short: "Say what a run would do, and why, without doing it",
		Long: `Say what a run would do: which stages are cached, which have to run and why, and which
may be cut off because the stages above them may give the same bytes as before.
Nothing is fetched, made or changed.

With --json: {"pipeline", "profile", "run", "cached", "seconds", "stages": [{"name",
"kind", "state": "cached"|"run"|"may-run"|"refused"|"held"|"fails", "cached", "run", "open", "after":
[stage], "reasons": [{"component", "old", "new", "where", "text"}], "seconds"}]};
"seconds" is negative where the ledger has no history to estimate from.`,
		Example: "  pipeline plan pipelines/v16.yaml --profile sample\n  pipeline plan pipelines/v16.yaml --profile sample train --json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := f.plan(c, args[0], args[1:])
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(c.OutOrStdout(), plan)
			}
			printPlan(c.OutOrStdout(), plan)
			return nil
		},
	}
	f.add(c)
	return c
}

func printPlan(w io.Writer, plan *dag.Plan) {
	t := newTable("stage", "kind", "plan", "cached", "to run", "estimate", "why").right(3, 4, 5)
	for _, s := range plan.Stages {
		run := fmt.Sprint(s.Run)
		if s.Open {
			run += "+"
		}
		why := ""
		switch {
		case s.Error != "":
			why = s.Error
		case len(s.Reasons) > 0:
			why = s.Reasons[0].Text
			if n := len(s.Reasons) - 1; n > 0 {
				why += fmt.Sprintf(" (and %d more)", n)
			}
		case s.State == dag.PlanMayRun:
			why = "waits for " + strings.Join(s.After, ", ") + "; cut off if that comes out the same"
		}
		estimate := ""
		if s.Run > 0 && s.Seconds >= 0 {
			estimate = duration(s.Seconds)
		}
		t.row(s.Name, s.Kind, planWord(s.State), fmt.Sprint(s.Cached), run, estimate, why)
	}
	t.print(w)
	open := slices.ContainsFunc(plan.Stages, func(s dag.PlanStage) bool { return s.State != dag.PlanCached })
	switch {
	case plan.Run == 0 && open:
		fmt.Fprintf(w, "\nhow many parts will run shows when the sources are here; %s cached\n", parts(plan.Cached))
	case plan.Run == 0:
		fmt.Fprintf(w, "\nnothing to run: all %s are cached\n", parts(plan.Cached))
	case plan.Seconds >= 0:
		fmt.Fprintf(w, "\nat least %s to run, %d cached; about %s of work, going by the ledger\n", parts(plan.Run), plan.Cached, duration(plan.Seconds))
	default:
		fmt.Fprintf(w, "\nat least %s to run, %d cached\n", parts(plan.Run), plan.Cached)
	}
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
