// Command pipeline turns raw text into a corpus, a tokenizer and a trained language
// model: `pipeline run pipelines/v16.yaml`. `pipeline help` lists what it can do.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailed      = 1 // a stage failed, or the machine did
	exitUsage       = 2 // wrong command line, invalid pipeline file, missing or wrong source
	exitRefused     = 3 // a gate is broken
	exitInterrupted = 130
)

func main() {
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	force := make(chan struct{})
	go obey(signals, cancel, force)
	os.Exit(Main(ctx, force, os.Args[1:]))
}

// stopsByItself says that the command in hand ends soon enough after the first interrupt,
// with what it did in order.
var stopsByItself atomic.Bool

// obey obeys interrupts: the first asks the command to stop, the second asks a
// command that stops by itself to hurry, and the third is the end. Workers need nobody to
// end them: they see that the coordinator is gone.
func obey(signals <-chan os.Signal, cancel func(), force chan struct{}) {
	<-signals
	cancel()
	if !stopsByItself.Load() {
		select { // what heeds ctx clears up and says why it ends
		case <-time.After(time.Second):
		case <-signals:
		}
		os.Exit(exitInterrupted)
	}
	<-signals
	close(force)
	<-signals
	os.Exit(exitInterrupted)
}

// Main runs the command line and returns the exit code. ctx ends with the first
// interrupt; force is closed by the second.
func Main(ctx context.Context, force chan struct{}, args []string) int {
	root := newRoot(force)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.As(err, new(reported)) {
		fmt.Fprintf(os.Stderr, "pipeline: %v\n", err)
	}
	return exitCode(ctx, err)
}

// usage is an error of the command line or of what it names.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// reported is an error whose whole story was printed where it happened.
type reported struct{ error }

func (r reported) Unwrap() error { return r.error }

// refused is an error that a gate broke: not a fault of what runs, but of what came out.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

func exitCode(ctx context.Context, err error) int {
	var stopped *dag.Stopped
	switch {
	case errors.As(err, &stopped):
		switch stopped.State {
		case dag.StateRefused:
			return exitRefused
		case dag.StateInterrupted:
			return exitInterrupted
		}
		return exitFailed
	case errors.As(err, new(*pipelinefile.Problems)), errors.As(err, new(usage)), errors.As(err, new(*dag.UnknownStage)), errors.As(err, new(*dag.Unlocked)):
		return exitUsage
	case errors.As(err, new(refused)):
		return exitRefused
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

func newRoot(force chan struct{}) *cobra.Command {
	root := &cobra.Command{
		Use:   "pipeline",
		Short: "From raw text to a cleaned corpus, a tokenizer and a trained language model",
		Long: `pipeline runs the stages that a YAML file declares. Every output is named by the
hash of its content and kept; a rerun does only what changed, and can say why.

  pipeline run pipelines/v16.yaml --profile sample
  pipeline plan pipelines/v16.yaml --profile sample

Exit codes: 0 done, 1 a stage failed, 2 wrong usage or invalid pipeline,
3 a gate refused, 130 interrupted.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			err := fmt.Errorf("there is no command %q; `pipeline help` lists them", args[0])
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				err = fmt.Errorf("there is no command %q; did you mean `%s`?", args[0], near[0])
			}
			return usage{err}
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if _, err := kernel.Path(); err != nil {
				return usage{err}
			}
			return nil
		},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage{fmt.Errorf("%w; `%s --help` shows what there is", err, c.CommandPath())}
	})
	root.AddCommand(
		runCommand(force), planCommand(), explainCommand(), statusCommand(), logCommand(), graphCommand(),
		pushCommand(), pullCommand(),
		getCommand(), historyCommand(), lockCommand(), diffCommand(), provenanceCommand(), benchmarkCommand(), infoCommand(), tokenizerCommand(), generateCommand(), doctorCommand(), schemaCommand(), versionCommand(), workerCommand(),
		verifyCommand(), gcCommand(), pinCommand(), unpinCommand(),
	)
	finish(root)
	return root
}

// finish gives all commands below c what all have.
func finish(c *cobra.Command) {
	for _, c := range c.Commands() {
		wrapArgs(c)
		complete(c)
		finish(c)
	}
}

// wrapArgs makes errors about the number of arguments usage errors.
func wrapArgs(c *cobra.Command) {
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usage{fmt.Errorf("%s: %w; usage: %s", c.Name(), err, c.UseLine())}
		}
		return nil
	}
}
