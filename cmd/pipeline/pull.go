package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/spf13/cobra"
)

type pullFlags struct {
	storeFlags
	remoteFlags
	profile string
	json    bool
}

// pullDocument is what `pull --json` prints.
type pullDocument struct {
	URL      string      `json:"url"`
	Run      int64       `json:"run"`
	Complete bool        `json:"complete"` // nothing is left for a run to do
	Fetched  int         `json:"fetched"`  // parts
	Cached   int         `json:"cached"`   // parts that were here
	Bytes    int64       `json:"bytes"`    // of files fetched
	Stages   []pullStage `json:"stages"`
}

type pullStage struct {
	Name    string `json:"name"`
	State   string `json:"state"` // as in `run --json`
	Parts   int    `json:"parts"` // as far as they are known
	Fetched int    `json:"fetched"`
	Cached  int    `json:"cached"`
}

func pullCommand() *cobra.Command {
	var f pullFlags
	c := &cobra.Command{
		Use:   "pull URL FILE [STAGE…]",
		Short: "Fetch what other machines made of a pipeline's parts",
		Long: `Fetch, for the named stages of a pipeline file and all they need, or for every stage,
the parts that others have pushed to a bucket, and make none. What was pulled is a hit for
every later run; ` + "`pipeline get`" + ` places outputs whose stages are complete.

` + addressHelp + `

Which parts a pipeline has is told by its sources, so they have to be here, or to have a url
from which they are fetched, as for a run. Everything that is fetched is hashed; what does
not match is not used, and marked, so that the next push mends it. A pull that was stopped
goes on where it was.

Parts that nobody has pushed are left for ` + "`pipeline run`" + `; that is no error.

With --json: {"url", "run", "complete", "fetched", "cached", "bytes", "stages": [{"name",
"state", "parts", "fetched", "cached"}]}.`,
		Example: `  pipeline pull file:///mnt/team/corpus pipelines/v16.yaml --profile sample
  pipeline pull 's3://corpus/v16?region=sa-east-1' pipelines/v16.yaml audit --json`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			stopsByItself.Store(true)
			return f.pull(c, args)
		},
	}
	f.storeFlags.add(c.Flags())
	f.remoteFlags.add(c)
	addProfileFlag(c, &f.profile)
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON document on stdout, progress on stderr")
	return c
}

// needed is a remote without which there is nothing to do.
type needed struct {
	dag.Remote
	mu  sync.Mutex
	err error
}

func (n *needed) Fetch(ctx context.Context, dir string, keys []string, take func(string, *artifacts.Entry, error) error) error {
	err := n.Remote.Fetch(ctx, dir, keys, take)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil {
		n.err = err
	}
	return err
}

// saying shows the notices of a pull, but for what ends it, which main says.
type saying struct {
	out io.Writer
	n   *needed
}

func (s saying) Stage(dag.StageStatus)          {}
func (s saying) Metric(string, executor.Metric) {}

func (s saying) Notice(text string) {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	if s.n.err == nil {
		fmt.Fprintln(s.out, text)
	}
}

func (f *pullFlags) pull(c *cobra.Command, args []string) error {
	ctx := c.Context()
	p, err := loadPipeline(args[1], f.profile)
	if err != nil {
		return err
	}
	store, err := f.forWriting()
	if err != nil {
		return err
	}
	defer store.Close()
	show := newTransfer("pulling")
	r, err := f.open(ctx, args[0], store, show.progress)
	if err != nil {
		return err
	}
	defer r.Close()
	scr := newScreen(os.Stderr)
	sources, err := resolveSources(ctx, p, args[2:], store, false, scr.source)
	scr.close()
	if err != nil {
		return err
	}
	n := &needed{Remote: r}
	s, err := dag.Run(ctx, p, store, sources, dag.Options{Jobs: 1, Targets: args[2:], Args: os.Args, Observer: saying{out: os.Stderr, n: n}, Remote: n, KnownOnly: true})
	show.close()
	switch {
	case ctx.Err() != nil:
		return interrupted(ctx, err, "what was fetched stays; pull again to go on")
	case n.err != nil:
		return n.err
	case s == nil || !errors.As(err, new(*dag.Stopped)) && err != nil:
		return err
	}
	d := pullDocument{URL: args[0], Run: s.Run, Complete: true, Bytes: show.moved(), Stages: []pullStage{}}
	var rest []string
	for _, st := range s.Stages {
		d.Stages = append(d.Stages, pullStage{st.Name, st.State, st.Parts, st.Fetched, st.Cached - st.Fetched})
		d.Fetched += st.Fetched
		d.Cached += st.Cached - st.Fetched
		if st.State != dag.StateDone && st.State != dag.StateRefused && st.State != "skipped" { // below a gate that refused
			d.Complete = false
			rest = append(rest, st.Name)
		}
	}
	if f.json {
		return printJSON(c.OutOrStdout(), d)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s fetched (%s), %d were here\n", parts(d.Fetched), size(d.Bytes), d.Cached)
	switch {
	case d.Complete:
		fmt.Fprintln(c.OutOrStdout(), "nothing is left to run")
	case len(rest) > 6:
		fmt.Fprintf(c.OutOrStdout(), "for `pipeline run` to make: %s and %d more stages\n", strings.Join(rest[:6], ", "), len(rest)-6)
	default:
		fmt.Fprintf(c.OutOrStdout(), "for `pipeline run` to make: %s\n", strings.Join(rest, ", "))
	}
	return nil
}
