package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/spf13/cobra"
)

const whatToPin = `An artifact is named by STAGE.PORT, which is that output of the last run that completed
the stage, or of the run that --run names; by run:N, which is all outputs of run N; or by
its digest, of which the first eight digits will do.`

// pinDocument is a pin as `pipeline pin --json` lists it.
type pinDocument struct {
	Artifact string    `json:"artifact"`
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`
	Present  bool      `json:"present"`
}

func pinCommand() *cobra.Command {
	var f storeFlags
	var run, name string
	var asJSON bool
	c := &cobra.Command{
		Use:   "pin [STAGE.PORT | run:N | DIGEST]…",
		Short: "Keep outputs from garbage collection, or list what is kept",
		Long: `Keep artifacts, and the results of the parts that made them, from ` + "`pipeline gc`" + `. Without an
argument the pins are listed.

` + whatToPin + `

With --json, which lists: [{"artifact", "name", "created", "files", "bytes", "present"}], where
"present" is false for one of which the store misses a file.`,
		Example: "  pipeline pin train.model --name \"as published\"\n  pipeline pin run:12\n  pipeline pin 3f2a81c0\n  pipeline pin",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				if run != "" || name != "" {
					return usage{fmt.Errorf("nothing to pin: name it, as STAGE.PORT, run:N or a digest")}
				}
				return listPins(c, &f, asJSON)
			}
			if asJSON {
				return usage{fmt.Errorf("--json lists the pins, and is for `pipeline pin` without arguments")}
			}
			s, err := artifacts.Open(f.dir(), artifacts.Options{LedgerPath: f.ledger})
			if err != nil {
				return err
			}
			defer s.Close()
			pins, err := nameArtifacts(c.Context(), s, args, run)
			if err != nil {
				return err
			}
			for i := range pins {
				if name != "" {
					pins[i].Name = name
				}
			}
			if err := s.Pin(pins...); err != nil {
				return err
			}
			for _, p := range pins {
				fmt.Fprintf(c.ErrOrStderr(), "pinned %s  %s\n", p.Artifact[:12], p.Name)
			}
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().StringVar(&run, "run", "", "number of the run whose output STAGE.PORT is")
	c.Flags().StringVar(&name, "name", "", "what to call it (default: the output and its run)")
	c.Flags().BoolVar(&asJSON, "json", false, "list the pins as one JSON document")
	return c
}

func unpinCommand() *cobra.Command {
	var f storeFlags
	var run string
	c := &cobra.Command{
		Use:   "unpin STAGE.PORT | run:N | DIGEST | NAME…",
		Short: "Give pinned outputs back to garbage collection",
		Long: `Give pinned artifacts back to ` + "`pipeline gc`" + `, which removes them when no run needs them.

` + whatToPin + `
The name that a pin was given will do, too, for all that have it.`,
		Example: "  pipeline unpin train.model --run 12\n  pipeline unpin run:12\n  pipeline unpin \"as published\"",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := artifacts.Open(f.dir(), artifacts.Options{LedgerPath: f.ledger})
			if err != nil {
				return err
			}
			defer s.Close()
			pins, err := s.Ledger().Pins()
			if err != nil {
				return err
			}
			var chosen []artifacts.Pin
			for _, what := range args {
				found, err := pinsNamed(c.Context(), s, pins, what, run)
				if err != nil {
					return err
				}
				chosen = append(chosen, found...)
			}
			var digests []string
			seen := map[string]bool{}
			for _, p := range chosen {
				if !seen[p.Artifact] {
					seen[p.Artifact] = true
					digests = append(digests, p.Artifact)
				}
			}
			if err := s.Unpin(digests...); err != nil {
				return err
			}
			for _, d := range digests {
				fmt.Fprintf(c.ErrOrStderr(), "unpinned %s\n", d[:12])
			}
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().StringVar(&run, "run", "", "number of the run whose output STAGE.PORT is")
	return c
}

var (
	digestPrefix = regexp.MustCompile(`^[0-9a-f]{8,64}$`)
	runNamed     = regexp.MustCompile(`^run:(.*)$`)
)

// nameArtifacts finds the artifacts that a command line names.
func nameArtifacts(ctx context.Context, s *artifacts.Store, args []string, run string) (pins []artifacts.Pin, err error) {
	for _, what := range args {
		found, err := nameArtifact(ctx, s, what, run)
		if err != nil {
			return nil, err
		}
		pins = append(pins, found...)
	}
	return pins, nil
}

func nameArtifact(ctx context.Context, s *artifacts.Store, what, run string) ([]artifacts.Pin, error) {
	l := s.Ledger()
	if m := runNamed.FindStringSubmatch(what); m != nil {
		return ofRun(l, m[1])
	}
	if digestPrefix.MatchString(what) {
		digests, err := l.Artifacts(ctx, what)
		switch {
		case err != nil:
			return nil, err
		case len(digests) == 0:
			return nil, usage{fmt.Errorf("no run made an artifact %s; `pipeline history` lists the runs", what)}
		case len(digests) > 1:
			return nil, usage{fmt.Errorf("%s is the beginning of %d artifacts: %s; write more of it", what, len(digests), strings.Join(digests[:2], ", "))}
		}
		return []artifacts.Pin{{Artifact: digests[0]}}, nil
	}
	i := strings.LastIndexByte(what, '.')
	if i < 0 {
		return nil, usage{fmt.Errorf("%q is not STAGE.PORT, run:N or a digest of at least eight digits", what)}
	}
	o, id, err := findOutput(l, what[:i], what[i+1:], run)
	return []artifacts.Pin{{Artifact: o.Digest, Name: fmt.Sprintf("%s of run %d", what, id)}}, err
}

// ofRun lists all outputs of a run.
func ofRun(l *artifacts.Ledger, run string) (pins []artifacts.Pin, err error) {
	r, err := pickRun(l, []string{run})
	if err != nil {
		return nil, err
	}
	stages, err := l.Stages(r.ID)
	if err != nil {
		return nil, err
	}
	for _, st := range stages {
		outs := map[string]dag.Output{}
		if err := json.Unmarshal(st.Outputs, &outs); err != nil {
			return nil, fmt.Errorf("ledger: outputs of %s in run %d: %w", st.Stage, r.ID, err)
		}
		for _, port := range keys(outs) {
			pins = append(pins, artifacts.Pin{Artifact: outs[port].Digest, Name: fmt.Sprintf("%s.%s of run %d", st.Stage, port, r.ID)})
		}
	}
	if len(pins) == 0 {
		return nil, usage{fmt.Errorf("run %d completed no stage: there is nothing of it to pin", r.ID)}
	}
	return pins, nil
}

// pinsNamed finds the pins that an argument means: those of that name, or those of the
// artifacts that it names.
func pinsNamed(ctx context.Context, s *artifacts.Store, pins []artifacts.Pin, what, run string) (chosen []artifacts.Pin, err error) {
	for _, p := range pins {
		if p.Name == what || digestPrefix.MatchString(what) && strings.HasPrefix(p.Artifact, what) {
			chosen = append(chosen, p)
		}
	}
	if len(chosen) > 0 {
		return chosen, nil
	}
	named, err := nameArtifact(ctx, s, what, run)
	if err != nil {
		return nil, err
	}
	for _, n := range named {
		for _, p := range pins {
			if p.Artifact == n.Artifact {
				chosen = append(chosen, p)
			}
		}
	}
	if len(chosen) == 0 {
		which := named[0].Artifact[:12]
		if named[0].Name != "" {
			which += ", " + named[0].Name + ","
		}
		return nil, usage{fmt.Errorf("%s is not pinned; `pipeline pin` lists what is", which)}
	}
	return chosen, nil
}

func listPins(c *cobra.Command, f *storeFlags, asJSON bool) error {
	s, err := f.forReading()
	if err != nil {
		return err
	}
	defer s.Close()
	pins, err := s.Ledger().Pins()
	if err != nil {
		return err
	}
	docs := []pinDocument{}
	t := newTable("artifact", "pinned", "files", "bytes", "", "name").right(2, 3)
	for _, p := range pins {
		d := pinDocument{Artifact: p.Artifact, Name: p.Name, Created: p.Created}
		m, err := s.Manifest(p.Artifact)
		d.Present = err == nil
		if err == nil {
			d.Files = len(m.Files)
			for _, file := range m.Files {
				d.Bytes += file.Size
				d.Present = d.Present && s.Has(file.Digest, file.Size)
			}
		}
		docs = append(docs, d)
		gone := ""
		if !d.Present {
			gone = paint(yellow, "incomplete")
		}
		t.row(d.Artifact[:12], d.Created.Local().Format("2006-01-02 15:04"), count(int64(d.Files)), size(d.Bytes), gone, d.Name)
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), docs)
	}
	if len(docs) == 0 {
		fmt.Fprintln(c.ErrOrStderr(), "nothing is pinned")
		return nil
	}
	t.print(c.OutOrStdout())
	return nil
}
