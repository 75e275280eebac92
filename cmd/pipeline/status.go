package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/spf13/cobra"
)

// runDocument is a run as `status` and `history` show it in JSON.
type runDocument struct {
	Run      int64           `json:"run"`
	Pipeline string          `json:"pipeline"`
	File     string          `json:"file"`
	State    string          `json:"state"`
	Started  time.Time       `json:"started"`
	Seconds  float64         `json:"seconds"`
	PID      int             `json:"pid"`
	Stages   []stageDocument `json:"stages,omitempty"`
	Summary  json.RawMessage `json:"summary,omitempty"` // as `pipeline run --json` printed it
}

type stageDocument struct {
	Name   string         `json:"name"`
	Kind   string         `json:"kind"`
	Parts  map[string]int `json:"parts"` // state → how many
	Failed []partDocument `json:"failed,omitempty"`
}

type partDocument struct {
	Part    string `json:"part"`
	Attempt int    `json:"attempt"`
	Error   string `json:"error"`
	Log     string `json:"log"`
}

func statusCommand() *cobra.Command {
	var f storeFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "status [RUN]",
		Short: "Say where a run stands: its stages, their parts, what failed",
		Long: `Say where a run stands, or the last one: stages, parts by state, failures with the path
of their log. A run whose process died is said to have died; run again to go on.

With --json: {"run", "pipeline", "file", "state", "started", "seconds", "pid", "stages":
[{"name", "kind", "parts": {state: n}, "failed": [{"part", "attempt", "error", "log"}]}],
"summary"}, where "summary" is the document of ` + "`pipeline run --json`, once the run ended.",
		Example: "  pipeline status\n  pipeline status 12 --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := f.forReading()
			if err != nil {
				return err
			}
			defer s.Close()
			r, err := pickRun(s.Ledger(), args)
			if err != nil {
				return err
			}
			d, err := describeRun(s, r)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), d)
			}
			w := c.OutOrStdout()
			fmt.Fprintf(w, "run %d of %s, %s, %s\n\n", d.Run, d.Pipeline, stateWord(d.State), since(d.Started))
			t := newTable("stage", "kind", "ran", "cached", "failed", "stopped").right(2, 3, 4, 5)
			for _, st := range d.Stages {
				t.row(st.Name, st.Kind, blank(st.Parts["ran"]), blank(st.Parts["cached"]), blank(st.Parts["failed"]), blank(st.Parts["stopped"]))
			}
			t.print(w)
			for _, st := range d.Stages {
				for _, p := range st.Failed {
					fmt.Fprintf(w, "\n%s, part %s: %s\n  log: %s\n", st.Name, p.Part, p.Error, shortPath(p.Log))
				}
			}
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return c
}

// pickRun finds the run that a command names, or the last one.
func pickRun(l *artifacts.Ledger, args []string) (artifacts.Run, error) {
	if len(args) == 0 {
		runs, err := l.Runs("", 1)
		if err == nil && len(runs) == 0 {
			err = usage{fmt.Errorf("this store has seen no run yet: start one with `pipeline run FILE`")}
		}
		if err != nil {
			return artifacts.Run{}, err
		}
		return runs[0], nil
	}
	id, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return artifacts.Run{}, usage{fmt.Errorf("%q is not a run's number; `pipeline history` lists them", args[0])}
	}
	r, err := l.Run(id)
	if err != nil {
		return r, usage{fmt.Errorf("%w; `pipeline history` lists the runs", err)}
	}
	return r, nil
}

func describeRun(s *artifacts.Store, r artifacts.Run) (*runDocument, error) {
	d := &runDocument{Run: r.ID, Pipeline: r.Pipeline, File: r.File, State: r.State, Started: r.Started, Seconds: ended(r).Sub(r.Started).Seconds(), PID: r.PID, Summary: r.Summary}
	parts, err := s.Ledger().Parts(r.ID, "")
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	for _, p := range parts {
		i, ok := at[p.Stage]
		if !ok {
			i = len(d.Stages)
			at[p.Stage] = i
			d.Stages = append(d.Stages, stageDocument{Name: p.Stage, Kind: p.Kind, Parts: map[string]int{}})
		}
		st := &d.Stages[i]
		st.Parts[p.State]++
		if p.State == "failed" {
			st.Failed = append(st.Failed, partDocument{p.Part, p.Attempt, p.Error, s.LogPath(p.Key, p.Attempt)})
		}
	}
	return d, nil
}

// ended is when a run ended, or now.
func ended(r artifacts.Run) time.Time {
	if r.Ended.IsZero() {
		if r.State == "died" {
			return r.Started // nobody knows when it died
		}
		return time.Now()
	}
	return r.Ended
}

func since(t time.Time) string { return duration(time.Since(t).Seconds()) + " ago" }

func blank(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
