package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/spf13/cobra"
)

func lockCommand() *cobra.Command {
	var f storeFlags
	var profile string
	c := &cobra.Command{
		Use:   "lock FILE",
		Short: "Write down the digest of every source and every output",
		Long: `Write FILE.lock: the digests of all sources, the settings of all stages with their
defaults, and the digests of all outputs, as they are now. Everything must have been
made. Each profile has its own section; those of other profiles stay as they are.

Keep the file under version control. ` + "`pipeline run --locked`" + ` then refuses to begin with
anything else (exit code 2), and stops with exit code 3 when an output comes out
different: on another machine, or with another version of the program.`,
		Example: "  pipeline lock pipelines/v16.yaml --profile sample\n  pipeline run pipelines/v16.yaml --profile sample --locked",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := loadPipeline(args[0], profile)
			if err != nil {
				return err
			}
			s, err := f.forPlanning()
			if err != nil {
				return err
			}
			defer s.Close()
			sources, err := resolveSources(c.Context(), p, nil, s, true, nil)
			if err != nil {
				return err
			}
			l, err := dag.MakeLock(p, s, sources)
			if errors.As(err, new(*dag.NotDone)) {
				return usage{err}
			}
			if err != nil {
				return err
			}
			path := lockPath(p)
			if err := dag.PutLock(path, profile, l); err != nil {
				return err
			}
			sourceFiles, outputs := 0, 0
			for _, s := range l.Sources {
				sourceFiles += len(s)
			}
			for _, s := range l.Stages {
				outputs += len(s.Outputs)
			}
			fmt.Fprintf(c.ErrOrStderr(), "%s holds %s and %d outputs of %d stages\n", shortPath(path), files(sourceFiles), outputs, len(l.Stages))
			return nil
		},
	}
	f.add(c.Flags())
	addProfileFlag(c, &profile)
	return c
}

func lockPath(p *pipelinefile.Pipeline) string { return p.Path + ".lock" }

// readLock finds what a pipeline is locked to.
func readLock(p *pipelinefile.Pipeline) (*dag.Lock, error) {
	path := lockPath(p)
	f, err := dag.ReadLockFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage{fmt.Errorf("there is no %s: `pipeline lock %s` writes it once the pipeline is made", path, p.Path)}
	}
	if err != nil {
		return nil, usage{err}
	}
	l := f.Profiles[p.Profile]
	if l == nil {
		what := "the pipeline without a profile"
		if p.Profile != "" {
			what = "profile " + p.Profile
		}
		return nil, usage{fmt.Errorf("%s has no section for %s: run it to its end, then `pipeline lock` it", path, what)}
	}
	return l, nil
}
