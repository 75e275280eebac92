package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/remote"
	"github.com/spf13/cobra"
)

// addressHelp says what a remote's URL is; push, pull and run say it alike.
const addressHelp = `URL is s3://BUCKET/FOLDER or file:///DIRECTORY (a shared disk). For S3, credentials are
found as AWS programs find them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE,
…); ?region=R names the region, and ?endpoint=https://HOST another server than Amazon's.`

// remoteFlags are the flags of the commands that talk to a remote.
type remoteFlags struct {
	jobs     int
	attempts int
}

func (f *remoteFlags) add(c *cobra.Command) {
	c.Flags().IntVarP(&f.jobs, "jobs", "j", 32, "requests under way at a time")
	c.Flags().IntVar(&f.attempts, "attempts", 5, "at each request, with growing pauses, while it fails in a way that may pass")
}

// open opens a remote; what is wrong with its URL is a usage error.
func (f *remoteFlags) open(ctx context.Context, url string, store *artifacts.Store, progress func(done, total int64)) (*remote.Remote, error) {
	if f.jobs < 1 || f.attempts < 1 {
		return nil, usage{fmt.Errorf("--jobs %d, --attempts %d: there must be at least one", f.jobs, f.attempts)}
	}
	r, err := remote.Open(ctx, url, store, remote.Options{Parallel: f.jobs, Attempts: f.attempts, Progress: progress})
	if errors.As(err, new(*remote.URLError)) {
		err = usage{err}
	}
	return r, err
}

type pushFlags struct {
	storeFlags
	remoteFlags
	profile string
	run     string
	dryRun  bool
	json    bool
}

// pushDocument is what `push --json` prints.
type pushDocument struct {
	URL   string `json:"url"`
	Run   int64  `json:"run"`
	State string `json:"state"` // of the run
	*remote.Push
}

func pushCommand() *cobra.Command {
	var f pushFlags
	c := &cobra.Command{
		Use:   "push URL [FILE [STAGE…]]",
		Short: "Share what a run made through a bucket or a shared disk",
		Long: `Send what the last run of a pipeline made, or found made, to a bucket: its files, and
what the ledger knows of the parts that made them. Without FILE it is the last run of any
pipeline; with stages, what they and those above them made. ` + "`pipeline pull`" + ` and
` + "`pipeline run --remote`" + ` take it from there, on any machine, when they need the same parts.

` + addressHelp + `

Only what is not there yet is sent, so a push that was stopped goes on where it was, and
several machines may push at once. What a reader found damaged in the bucket is sent again.
Sources are not sent: they are files of yours.

With --json: {"url", "run", "state" (of the run), "entries" (parts), "objects" (files),
"bytes", "new_entries", "new_objects", "new_bytes" (what was sent; with --dry-run, what would
be), "left_out" (parts of the run that this store has lost)}.`,
		Example: `  pipeline push file:///mnt/team/corpus pipelines/v16.yaml --profile sample
  pipeline push 's3://corpus/v16?region=sa-east-1' --dry-run
  pipeline push 's3://corpus?endpoint=http://127.0.0.1:9000&region=us-east-1' --run 12 --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			stopsByItself.Store(true)
			return f.push(c, args)
		},
	}
	f.storeFlags.add(c.Flags())
	f.remoteFlags.add(c)
	addProfileFlag(c, &f.profile)
	c.Flags().StringVar(&f.run, "run", "", "number of the run to share (default: the last)")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "only say what would be sent")
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON document")
	return c
}

func (f *pushFlags) push(c *cobra.Command, args []string) error {
	ctx := c.Context()
	pipeline, want := "", map[string]bool(nil)
	if len(args) > 1 {
		p, err := loadPipeline(args[1], f.profile)
		if err != nil {
			return err
		}
		if want, err = dag.Closure(p, args[2:]); err != nil {
			return err
		}
		pipeline = dag.ID(p)
	}
	store, err := f.forReading()
	if err != nil {
		return err
	}
	defer store.Close()
	run, err := f.pick(store.Ledger(), pipeline)
	if err != nil {
		return err
	}
	show := newTransfer("pushing")
	r, err := f.open(ctx, args[0], store, show.progress)
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := pushRun(ctx, r, store.Ledger(), run.ID, want, f.dryRun)
	show.close()
	if err != nil {
		return interrupted(ctx, err, "what was sent stays; push again to go on")
	}
	if f.json {
		return printJSON(c.OutOrStdout(), pushDocument{args[0], run.ID, run.State, p})
	}
	fmt.Fprintf(c.OutOrStdout(), "run %d of %s (%s): ", run.ID, run.Pipeline, run.State)
	printPush(c.OutOrStdout(), p, f.dryRun)
	return nil
}

// interrupted makes of an error what the user should read who pressed Ctrl-C.
func interrupted(ctx context.Context, err error, then string) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("interrupted: %s: %w", then, context.Canceled)
}

func printPush(w io.Writer, p *remote.Push, dryRun bool) {
	verb := "sent"
	if dryRun {
		verb = "to send"
	}
	if p.NewEntries == 0 && p.NewObjects == 0 {
		fmt.Fprintf(w, "%s with %s files (%s) are all there\n", parts(p.Entries), count(int64(p.Objects)), size(p.Bytes))
	} else {
		fmt.Fprintf(w, "%s %s, with %s files, %s", parts(p.NewEntries), verb, count(int64(p.NewObjects)), size(p.NewBytes))
		if p.NewEntries < p.Entries || p.NewObjects < p.Objects {
			fmt.Fprintf(w, "; the rest of %s, %s files, %s is there", parts(p.Entries), count(int64(p.Objects)), size(p.Bytes))
		}
		fmt.Fprintln(w)
	}
	if p.LeftOut > 0 {
		fmt.Fprintf(w, "%s of the run not shared: this store has lost what they made; `pipeline run` makes it again\n", parts(p.LeftOut))
	}
}

// pick finds the run to share: the one named, or the last of a pipeline that did anything.
func (f *pushFlags) pick(l *artifacts.Ledger, pipeline string) (artifacts.Run, error) {
	if f.run != "" {
		r, err := pickRun(l, []string{f.run})
		if err == nil && pipeline != "" && r.Pipeline != pipeline {
			err = usage{fmt.Errorf("run %d is one of %s, not of %s", r.ID, r.Pipeline, pipeline)}
		}
		return r, err
	}
	runs, err := l.Runs(pipeline, 100)
	if err != nil {
		return artifacts.Run{}, err
	}
	for _, r := range runs {
		made, err := l.Parts(r.ID, "")
		if err != nil {
			return r, err
		}
		for _, p := range made {
			if shared(p) {
				return r, nil
			}
		}
	}
	of := ""
	if pipeline != "" {
		of = " of " + pipeline
	}
	return artifacts.Run{}, usage{fmt.Errorf("no run%s in this store has made anything: start one with `pipeline run FILE`", of)}
}

// shared says whether a part of a run has something to share.
func shared(p artifacts.PartRecord) bool {
	return p.Key != "" && (p.State == "ran" || p.State == "cached")
}

// pushRun shares what a run made for the wanted stages; nil means all.
func pushRun(ctx context.Context, r *remote.Remote, l *artifacts.Ledger, run int64, want map[string]bool, dryRun bool) (*remote.Push, error) {
	made, err := l.Parts(run, "")
	if err != nil {
		return nil, err
	}
	var keys, manifests []string
	for _, p := range made {
		if shared(p) && (want == nil || want[p.Stage]) {
			keys = append(keys, p.Key)
		}
	}
	stages, err := l.Stages(run)
	if err != nil {
		return nil, err
	}
	for _, st := range stages {
		if want != nil && !want[st.Stage] {
			continue
		}
		outs := map[string]dag.Output{}
		if err := json.Unmarshal(st.Outputs, &outs); err != nil {
			return nil, fmt.Errorf("ledger: outputs of %s in run %d: %w", st.Stage, run, err)
		}
		for _, o := range outs {
			manifests = append(manifests, o.Digest)
		}
	}
	p, err := r.Compare(ctx, keys, manifests)
	if err == nil && !dryRun {
		err = p.Send(ctx)
	}
	return p, err
}
