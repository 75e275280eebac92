package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/spf13/cobra"
)

// gcDocument is the JSON of `pipeline gc`.
type gcDocument struct {
	Store  string `json:"store"`
	DryRun bool   `json:"dry-run"`
	*artifacts.GCPlan
}

type gcFlags struct {
	storeFlags
	keepRuns  int
	grace     ageValue
	maxSize   bytesValue
	oneLedger bool
	dryRun    bool
	wait      bool
	json      bool
}

func gcCommand() *cobra.Command {
	f := gcFlags{grace: ageValue(24 * time.Hour)}
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove from the store what nobody needs any more",
		Long: `Remove what no pin, no kept run and no work in flight needs and is older than the grace
period. Kept are, of each pipeline (a profile is part of its name), all that the last
--keep-runs runs made or found made which were done, all runs since the first of those,
and the last runs that completed a stage which the pipeline still has; what is pinned,
with what made it (` + "`pipeline pin`" + `); and checkpoints of unfinished parts. Also removed are
logs and rows of parts of runs that are not kept, quarantined objects, and what dead runs
left. The list of runs, with their outputs' digests and metrics, stays. Views and published
files are never touched.

With --max-size, results go beyond that until the store fits, whatever their age: those
first that runs have not used for longest; never what is pinned or in use by a run.

A store that is known to be used with other ledgers, too (--ledger), is refused: their
results would be waste to this one.

It needs the store for itself: while a run is on it says whose, or waits with --wait.
It may be stopped at any time and started again. --dry-run decides the same and removes
nothing, also while a run is on.

With --json: {"store", "dry-run", "remove": [{"what", "why", "count", "files", "bytes"}],
"runs", "pins", "unkept", "results", "objects", "before", "after", "linked", "over",
"ledger", "left"}: what goes, by kind and reason; how many runs, pins, results and objects
stay; pinned artifacts that the store does not have; the bytes of the store before and
after, those removed that stay on the disk as files of views, those above --max-size that
cannot go, and those of the ledger; and how many files were left when it was stopped.`,
		Example: "  pipeline gc --dry-run\n  pipeline gc --keep-runs 1 --grace 0\n  pipeline gc --max-size 20GiB --wait",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			stopsByItself.Store(true)
			if f.keepRuns < 0 {
				return usage{fmt.Errorf("--keep-runs %d: there cannot be less than none", f.keepRuns)}
			}
			return f.run(c)
		},
	}
	f.add(c.Flags())
	c.Flags().IntVar(&f.keepRuns, "keep-runs", 3, "runs of each pipeline that keep what they made")
	c.Flags().Var(&f.grace, "grace", "remove nothing that is younger: 90m, 36h, 7d, 0")
	c.Flags().Var(&f.maxSize, "max-size", "let unpinned results go until the store has at most this size: 20GiB")
	c.Flags().BoolVar(&f.oneLedger, "one-ledger", false, "let go what only other ledgers of a shared store know")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be removed, and remove nothing")
	c.Flags().BoolVar(&f.wait, "wait", false, "wait for runs that are on to end")
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON document")
	return c
}

func (f *gcFlags) run(c *cobra.Command) error {
	open := artifacts.Options{LedgerPath: f.ledger, LeaveLitter: true, ReadOnly: f.dryRun}
	s, err := artifacts.Open(f.dir(), open)
	if err != nil {
		return err
	}
	defer s.Close()
	o := artifacts.GCOptions{KeepRuns: f.keepRuns, Grace: time.Duration(f.grace), MaxSize: int64(f.maxSize), OneLedger: f.oneLedger}
	plan, err := f.collect(c.Context(), s, o)
	if plan == nil {
		return err
	}
	if f.json {
		err = errors.Join(err, printJSON(c.OutOrStdout(), gcDocument{f.dir(), f.dryRun, plan}))
	} else {
		f.print(c.OutOrStdout(), plan)
	}
	return err
}

func (f *gcFlags) collect(ctx context.Context, s *artifacts.Store, o artifacts.GCOptions) (*artifacts.GCPlan, error) {
	m := newMeter("removing", func(n int64) string { return things(int(n), "file") })
	defer m.close()
	m.first("looking through the store")
	if f.dryRun {
		return s.PlanGC(ctx, o)
	}
	var onWait func([]string)
	if f.wait {
		onWait = func(holders []string) {
			fmt.Fprintf(os.Stderr, "waiting for the store, which is in use by %s\n", strings.Join(holders, " and "))
		}
	}
	return s.Collect(ctx, o, onWait, func(done, total int) { m.at(int64(done), int64(total)) })
}

func (f *gcFlags) print(w io.Writer, p *artifacts.GCPlan) {
	did := "removed"
	if f.dryRun {
		did = "to be removed"
	}
	if len(p.Remove) > 0 {
		t := newTable(did, "count", "files", "bytes", "why").right(1, 2, 3)
		for _, r := range p.Remove {
			bytes, files := "", ""
			if r.Files > 0 {
				bytes, files = size(r.Bytes), count(int64(r.Files))
			}
			t.row(r.What, count(int64(r.Count)), files, bytes, r.Why)
		}
		t.print(w)
		fmt.Fprintln(w)
	}
	for _, a := range p.Unkept {
		fmt.Fprintf(w, "%s pinned %s is not in the store; a run may make it again, or `pipeline unpin` it\n", paint(yellow, "note"), a[:12])
	}
	if p.Linked > 0 {
		fmt.Fprintf(w, "%s %s of it stay on the disk: they are files of views, too\n", paint(yellow, "note"), size(p.Linked))
	}
	if p.Over > 0 {
		fmt.Fprintf(w, "%s the store is %s too large still: that is pinned, in use by a run, or too young\n", paint(yellow, "note"), size(p.Over))
	}
	if p.Left > 0 {
		fmt.Fprintf(w, "%s stopped: %s left, which `pipeline gc` takes when it is started again\n", paint(yellow, "note"), things(p.Left, "file"))
	}
	files, bytes := p.Sum()
	switch {
	case len(p.Remove) == 0:
		fmt.Fprint(w, "nothing to remove: ")
	case f.dryRun:
		fmt.Fprintf(w, "%s in %s would go: ", size(bytes), things(files, "file"))
	default:
		fmt.Fprintf(w, "%s in %s gone: ", size(bytes), things(files-p.Left, "file"))
	}
	fmt.Fprintf(w, "%s → %s; %s of %s and %s stay\n", size(p.Before), size(p.After), things(p.Results, "result"), things(p.Runs, "run"), things(p.Pins, "pin"))
}
