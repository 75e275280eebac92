package main

import (
	"encoding/json"
	"fmt"

	"github.com/ptbr-slm/pipeline/dag"
	"github.com/spf13/cobra"
)

func historyCommand() *cobra.Command {
	var f storeFlags
	var asJSON bool
	var limit int
	c := &cobra.Command{
		Use:   "history [PIPELINE]",
		Short: "List past runs, newest first",
		Long: `List past runs, newest first; those of one pipeline if it is named (a profile is part of
the name: v16@sample).

With --json: an array of {"run", "pipeline", "file", "state", "started", "seconds", "pid",
"summary"}, where "summary" is the document of ` + "`pipeline run --json`.",
		Example: "  pipeline history\n  pipeline history v16@sample --limit 5 --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := f.forReading()
			if err != nil {
				return err
			}
			defer s.Close()
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			runs, err := s.Ledger().Runs(name, limit)
			if err != nil {
				return err
			}
			docs := []runDocument{}
			t := newTable("run", "pipeline", "state", "started", "took", "ran", "cached", "metrics").right(0, 4, 5, 6)
			for _, r := range runs {
				d := runDocument{Run: r.ID, Pipeline: r.Pipeline, File: r.File, State: r.State, Started: r.Started, Seconds: ended(r).Sub(r.Started).Seconds(), PID: r.PID, Summary: r.Summary}
				docs = append(docs, d)
				var sum dag.Summary
				if len(r.Summary) > 0 {
					if err := json.Unmarshal(r.Summary, &sum); err != nil {
						return fmt.Errorf("ledger: summary of run %d: %w", r.ID, err)
					}
				}
				ran, cached := 0, 0
				for _, st := range sum.Stages {
					ran += st.Ran
					cached += st.Cached
				}
				headline := ""
				for _, st := range sum.Stages {
					for _, m := range shownMetrics {
						if x, ok := sum.Metrics[st.Name+"."+m]; ok {
							headline = fmt.Sprintf("%s %s %.4g", st.Name, m, x)
						}
					}
				}
				t.row(fmt.Sprint(d.Run), d.Pipeline, stateWord(d.State), d.Started.Local().Format("2006-01-02 15:04:05"), duration(d.Seconds), fmt.Sprint(ran), fmt.Sprint(cached), headline)
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), docs)
			}
			t.print(c.OutOrStdout())
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	c.Flags().IntVar(&limit, "limit", 20, "how many runs to list")
	return c
}
