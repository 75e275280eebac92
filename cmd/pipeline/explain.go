package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/ptbr-slm/pipeline/dag"
	"github.com/spf13/cobra"
)

func explainCommand() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:   "explain FILE STAGE",
		Short: "Say why a stage would run again: which setting or file, old → new",
		Long: `Say what differs between a stage as it is now and as it was when it last ran: the
setting with its place in the file, the input files, the version of the stage kind.
Where the cause lies in stages above, it follows them up.

With --json: a JSON array with the stage and then those above it that have to run,
each as in ` + "`pipeline plan --json`.",
		Example: "  pipeline explain pipelines/v16.yaml train --profile sample",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := f.plan(c, args[0], args[1:], runtime.NumCPU())
			if err != nil {
				return err
			}
			chain := causes(plan, args[1])
			if f.json {
				return printJSON(c.OutOrStdout(), chain)
			}
			printCauses(c.OutOrStdout(), chain)
			return nil
		},
	}
	f.add(c)
	return c
}

// causes lists the named stage (all of its matrix), then every stage above that it
// waits for, nearest first.
func causes(plan *dag.Plan, name string) []dag.PlanStage {
	by := map[string]dag.PlanStage{}
	var queue []string
	for _, s := range plan.Stages {
		by[s.Name] = s
		if s.Name == name || strings.HasPrefix(s.Name, name+"[") {
			queue = append(queue, s.Name)
		}
	}
	var chain []dag.PlanStage
	seen := map[string]bool{}
	for len(queue) > 0 {
		s := by[queue[0]]
		queue = queue[1:]
		if seen[s.Name] {
			continue
		}
		seen[s.Name] = true
		chain = append(chain, s)
		queue = append(queue, s.After...)
	}
	return chain
}

func printCauses(w io.Writer, chain []dag.PlanStage) {
	for _, s := range chain {
		fmt.Fprintf(w, "%s (%s): %s", paint(bold, s.Name), s.Kind, planWord(s.State))
		switch {
		case s.State == dag.PlanCached:
			fmt.Fprintf(w, ", nothing changed: %s cached\n", parts(s.Cached))
			continue
		case s.State == dag.PlanMayRun:
			own := "nothing of its own changed"
			if len(s.Reasons) > 0 {
				own = "all parts known so far are cached"
			}
			fmt.Fprintf(w, ", %s; it waits for %s\n", own, strings.Join(s.After, ", "))
		case s.Run > 0 && s.Open:
			fmt.Fprintf(w, ", %d of %s known so far\n", s.Run, parts(s.Run+s.Cached))
		case s.Run > 0:
			fmt.Fprintf(w, ", %d of %s\n", s.Run, parts(s.Run+s.Cached))
		default:
			fmt.Fprintln(w)
		}
		if s.Error != "" {
			fmt.Fprintf(w, "  %s\n", s.Error)
		}
		for _, r := range s.Reasons {
			fmt.Fprintf(w, "  %s\n", r.Text)
		}
	}
}
