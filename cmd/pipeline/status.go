package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
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
	Name    string         `json:"name"`
	Kind    string         `json:"kind"`
	State   string         `json:"state"` // done, running, failed, waiting, unfinished
	Parts   map[string]int `json:"parts"` // state → how many
	Running []partDocument `json:"running,omitempty"`
	Failed  []partDocument `json:"failed,omitempty"`
}

type partDocument struct {
	Part    string  `json:"part"`
	Attempt int     `json:"attempt"`
	Seconds float64 `json:"seconds"`         // that it took, or takes so far
	Error   string  `json:"error,omitempty"` // of one that failed
	Log     string  `json:"log"`
}

func statusCommand() *cobra.Command {
	var f storeFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "status [RUN]",
		Short: "Say where a run stands: its stages, their parts, what failed",
		Long: `Say where a run stands, or the last one: its stages in the order of the pipeline, their
parts by state, those under way, failures with the path of their log. A run whose
process died is said to have died; run again to go on.

With --json: {"run", "pipeline", "file", "state", "started", "seconds", "pid", "stages":
[{"name", "kind", "state": "done"|"running"|"failed"|"waiting"|"unfinished", "parts":
{state: n}, "running": [{"part", "attempt", "seconds", "log"}], "failed": [{"part",
"attempt", "seconds", "error", "log"}]}], "summary"}. "running" and "failed" are there
where there are such parts, "summary" once the run ended: the document of
` + "`pipeline run --json`.",
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
			printStatus(w, d)
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return c
}

func printStatus(w io.Writer, d *runDocument) {
	t := newTable("stage", "kind", "state", "running", "ran", "cached", "failed", "stopped").right(3, 4, 5, 6, 7)
	for _, st := range d.Stages {
		t.row(st.Name, st.Kind, stateWord(st.State), blank(st.Parts["running"]), blank(st.Parts["ran"]), blank(st.Parts["cached"]),
			blank(st.Parts["failed"]), blank(st.Parts["stopped"]))
	}
	t.print(w)
	for _, st := range d.Stages {
		for _, p := range st.Running {
			again := ""
			if p.Attempt > 1 {
				again = fmt.Sprintf(", attempt %d", p.Attempt)
			}
			fmt.Fprintf(w, "\n%s, part %s: running for %s%s\n  log: %s\n", st.Name, p.Part, duration(p.Seconds), again, shortPath(p.Log))
		}
		for _, p := range st.Failed {
			fmt.Fprintf(w, "\n%s, part %s: %s\n  log: %s\n", st.Name, p.Part, p.Error, shortPath(p.Log))
		}
	}
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
	if errors.Is(err, fs.ErrNotExist) {
		return r, usage{noRun(l, id)}
	}
	return r, err
}

// noRun says that there is no run of a number, and which there are.
func noRun(l *artifacts.Ledger, id int64) error {
	last, err := l.Runs("", 1)
	switch {
	case err != nil:
		return err
	case len(last) == 0:
		return fmt.Errorf("there is no run %d: this store has seen none yet", id)
	}
	return fmt.Errorf("there is no run %d in this store; the last is %d, and `pipeline history` lists them", id, last[0].ID)
}

func describeRun(s *artifacts.Store, r artifacts.Run) (*runDocument, error) {
	l := s.Ledger()
	d := &runDocument{Run: r.ID, Pipeline: r.Pipeline, File: r.File, State: r.State, Started: r.Started, Seconds: ended(r).Sub(r.Started).Seconds(), PID: r.PID, Summary: r.Summary}
	at := map[string]int{}
	stage := func(name, kind string) *stageDocument {
		i, ok := at[name]
		if !ok {
			i = len(d.Stages)
			at[name] = i
			d.Stages = append(d.Stages, stageDocument{Name: name, Kind: kind, Parts: map[string]int{}})
		}
		return &d.Stages[i]
	}
	resolved, err := dag.ResolvedBy(l, r.ID)
	if err != nil {
		return nil, err
	}
	if resolved != nil {
		for _, st := range resolved.Stages {
			stage(st.Name, st.Kind)
		}
	}
	parts, err := l.Parts(r.ID, "")
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		st := stage(p.Stage, p.Kind)
		doc := partDocument{p.Part, p.Attempt, p.Seconds, p.Error, s.LogPath(p.Key, p.Attempt)}
		switch {
		case p.State == "failed":
			st.Failed = append(st.Failed, doc)
		case p.State == "running" && r.State != "running": // its last word: the run died
			p.State = "stopped"
		case p.State == "running":
			doc.Seconds = time.Since(p.Started).Seconds()
			st.Running = append(st.Running, doc)
		}
		st.Parts[p.State]++
	}
	completed, err := l.Stages(r.ID)
	if err != nil {
		return nil, err
	}
	for _, c := range completed {
		stage(c.Stage, c.Kind).State = "done"
	}
	for i := range d.Stages {
		st := &d.Stages[i]
		switch {
		case st.Parts["failed"] > 0:
			st.State = "failed"
		case st.State == "done":
		case r.State != "running":
			st.State = "unfinished"
		case len(st.Parts) > 0:
			st.State = "running"
		default:
			st.State = "waiting"
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
