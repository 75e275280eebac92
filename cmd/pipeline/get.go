package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/spf13/cobra"
)

func getCommand() *cobra.Command {
	var f storeFlags
	var run string
	c := &cobra.Command{
		Use:   "get STAGE.PORT DIR",
		Short: "Place an output as plain files in a directory",
		Long: `Place the output of a stage as plain, read-only files: reflinks where the file system
has them, else hard links, else copies. The output is that of the last run that
completed the stage, or of the run named. DIR must not exist, or be an earlier view.`,
		Example: "  pipeline get dedup.docs corpus\n  pipeline get 'clean[wiki].docs' clean-wiki --run 12",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			i := strings.LastIndexByte(args[0], '.')
			if i < 0 {
				return usage{fmt.Errorf("%q is not STAGE.PORT", args[0])}
			}
			s, err := f.forReading()
			if err != nil {
				return err
			}
			defer s.Close()
			o, id, err := findOutput(s.Ledger(), args[0][:i], args[0][i+1:], run)
			if err != nil {
				return err
			}
			m, err := s.Manifest(o.Digest)
			if err != nil {
				return err
			}
			if err := s.Place(m, args[1]); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "%s of run %d: %s, %s in %s\n", args[0], id, files(o.Files), size(o.Bytes), args[1])
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().StringVar(&run, "run", "", "number of the run (default: the last that completed the stage)")
	return c
}

// findOutput finds the output of a stage in the named run, or in the last that has it.
func findOutput(l *artifacts.Ledger, stage, port, run string) (dag.Output, int64, error) {
	var runs []artifacts.Run
	var err error
	if run != "" {
		var r artifacts.Run
		r, err = pickRun(l, []string{run})
		runs = []artifacts.Run{r}
	} else {
		runs, err = l.Runs("", 1000)
	}
	if err != nil {
		return dag.Output{}, 0, err
	}
	seen := map[string]bool{}
	for _, r := range runs {
		stages, err := l.Stages(r.ID)
		if err != nil {
			return dag.Output{}, 0, err
		}
		for _, st := range stages {
			seen[st.Stage] = true
			if st.Stage != stage {
				continue
			}
			outs, err := recordedOutputs(st)
			if err != nil {
				return dag.Output{}, 0, err
			}
			if o, ok := outs[port]; ok {
				return o, r.ID, nil
			}
			return dag.Output{}, 0, usage{fmt.Errorf("stage %s has no output port %q; it has %s", stage, port, strings.Join(keys(outs), ", "))}
		}
	}
	return dag.Output{}, 0, usage{noStage(keys(seen), stage, port)}
}

// recordedOutputs reads the outputs of a stage that a run completed, by port.
func recordedOutputs(st artifacts.StageRecord) (outs map[string]dag.Output, err error) {
	if err := json.Unmarshal(st.Outputs, &outs); err != nil {
		return nil, fmt.Errorf("ledger: outputs of %s in run %d: %w", st.Stage, st.Run, err)
	}
	return outs, nil
}

// noStage says that no run has completed a stage, and what its name may have meant.
func noStage(completed []string, stage, port string) error {
	var expanded []string
	for _, name := range completed {
		if strings.HasPrefix(name, stage+"[") {
			expanded = append(expanded, fmt.Sprintf("'%s.%s'", name, port))
		}
	}
	switch {
	case len(expanded) > 0:
		return fmt.Errorf("stage %s has a matrix, and each of its stages an output of its own; name one of %s", stage, strings.Join(expanded, ", "))
	case len(completed) == 0:
		return errors.New("no run has completed a stage in this store")
	}
	return fmt.Errorf("no run completed a stage %q; there are %s", stage, strings.Join(completed, ", "))
}

func keys[V any](m map[string]V) []string {
	var k []string
	for s := range m {
		k = append(k, s)
	}
	sort.Strings(k)
	return k
}
