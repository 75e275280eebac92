package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/spf13/cobra"
)

func logCommand() *cobra.Command {
	var f storeFlags
	var run, part string
	c := &cobra.Command{
		Use:   "log STAGE",
		Short: "Print what the parts of a stage logged",
		Long: `Print the logs of a stage's parts in a run, the last one by default. A part that came
out of the cache shows the log of the run that made it.`,
		Example: "  pipeline log train\n  pipeline log clean --part senado-cpi-04 --run 12",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := f.forReading()
			if err != nil {
				return err
			}
			defer s.Close()
			var named []string
			if run != "" {
				named = []string{run}
			}
			r, err := pickRun(s.Ledger(), named)
			if err != nil {
				return err
			}
			parts, err := s.Ledger().Parts(r.ID, "")
			if err != nil {
				return err
			}
			shown := 0
			for _, p := range parts {
				if p.Stage != args[0] && !strings.HasPrefix(p.Stage, args[0]+"[") || part != "" && p.Part != part {
					continue
				}
				shown++
				if err := printLog(c.OutOrStdout(), s, p); err != nil {
					return err
				}
			}
			if shown == 0 {
				return usage{fmt.Errorf("run %d has no part of stage %q%s; `pipeline status %d` lists its stages", r.ID, args[0], partNamed(part), r.ID)}
			}
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().StringVar(&run, "run", "", "number of the run (default: the last)")
	c.Flags().StringVar(&part, "part", "", "only the part of this name")
	return c
}

func partNamed(part string) string {
	if part == "" {
		return ""
	}
	return fmt.Sprintf(" named %q", part)
}

// printLog prints the logs of a part's attempts: up to the one that is recorded, or all,
// where the part was made in another run.
func printLog(w io.Writer, s *artifacts.Store, p artifacts.PartRecord) error {
	fmt.Fprintf(w, "%s\n", paint(bold, fmt.Sprintf("%s, part %s (%s)", p.Stage, p.Part, p.State)))
	attempts := p.Attempt
	if attempts == 0 {
		logs, err := os.ReadDir(filepath.Dir(s.LogPath(p.Key, 1)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, l := range logs {
			n, _ := strconv.Atoi(strings.TrimSuffix(l.Name(), ".log"))
			attempts = max(attempts, n)
		}
	}
	for attempt := 1; attempt <= attempts; attempt++ {
		f, err := os.Open(s.LogPath(p.Key, attempt))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = io.Copy(w, f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
