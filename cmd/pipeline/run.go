package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor/local"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/source"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/spf13/cobra"
)

type runFlags struct {
	storeFlags
	profile   string
	jobs      int
	keepGoing bool
	locked    bool
	json      bool
	sharing
	cost price
}

func runCommand(force chan struct{}) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run FILE [STAGE…]",
		Short: "Make the stages of a pipeline, or all of them",
		Long: `Make the named stages of a pipeline file and all that they need, or every stage. Parts
that are known already are taken from the store; what runs is kept, so a run that
stops for any reason goes on where it was when started again.

With --remote, parts that the store does not know are asked for there, and fetched
instead of run where somebody has pushed them; a remote that cannot be reached costs a
notice. --push shares afterwards what the run made.

Interrupt once (Ctrl-C) to stop at the next checkpoints, twice to stop at once; a third
time leaves without waiting for anything.

The time left, of each stage and of the run, and the estimate that the summary holds
against what the run took, come from the ledger as ` + "`pipeline plan --help`" + ` tells.

With --json the last thing on stdout is one document: {"run": id, "state":
"done"|"failed"|"refused"|"interrupted", "pipeline", "profile", "seconds",
"estimate": {"seconds", "low", "high"} when it began, null when unknown, "cpu_seconds" or null, "stages":
[{"name", "kind", "state", "parts", "ran", "cached", "fetched" (of cached: from
--remote), "seconds" (in which a part was at work), "cpu_seconds" or null, "memory" (peak of a worker, bytes), "outputs": {port: {"digest", "bytes", "files"}}}], "metrics": {"stage.metric": value}, "failures":
[{"stage", "part", "error", "log", "tail"}], "refusals": [{"stage", "reason"}],
"notices": [{"stage", "parts", "text"}], "said": [what was announced while it ran: whom it waited
for, what was tried again]}.`,
		Example: `  pipeline run pipelines/v16.yaml --profile sample
  pipeline run pipelines/v16.yaml --profile sample audit
  pipeline run pipelines/v16.yaml --jobs 4 --keep-going
  pipeline run pipelines/v16.yaml --remote file:///mnt/team/corpus --push`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			stopsByItself.Store(true)
			if f.jobs < 1 {
				return usage{fmt.Errorf("--jobs %d: there must be at least one", f.jobs)}
			}
			if err := f.cost.check(); err != nil {
				return err
			}
			return f.run(c, force, args)
		},
	}
	f.storeFlags.add(c.Flags())
	addProfileFlag(c, &f.profile)
	c.Flags().IntVarP(&f.jobs, "jobs", "j", runtime.NumCPU(), "CPUs to keep busy")
	c.Flags().BoolVarP(&f.keepGoing, "keep-going", "k", false, "after a failure go on with what does not depend on it")
	c.Flags().BoolVar(&f.locked, "locked", false, "hold sources, settings and outputs to FILE.lock (see pipeline help lock)")
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON document on stdout, progress on stderr")
	f.cost.add(c.Flags())
	f.sharing.add(c)
	return c
}

func (f *runFlags) run(c *cobra.Command, force chan struct{}, args []string) error {
	ctx := c.Context()
	p, err := loadPipeline(args[0], f.profile)
	if err != nil {
		return err
	}
	var locked *dag.Lock
	if f.locked {
		if locked, err = readLock(p); err != nil {
			return err
		}
	}
	store, err := f.forWriting()
	if err != nil {
		return err
	}
	defer store.Close()
	out := os.Stdout
	if f.json {
		out = os.Stderr
	}
	scr := newScreen(out)
	moves := scr.transfer("fetching")
	bucket, err := f.sharing.open(ctx, store, moves.progress)
	if err != nil {
		scr.close()
		return err
	}
	sources, err := resolveSources(ctx, p, args[1:], store, false, scr.source)
	if err != nil {
		scr.close()
		return err
	}
	self, err := os.Executable()
	if err != nil {
		scr.close()
		return fmt.Errorf("find this program's own file, to start workers: %w", err)
	}
	pool := local.New([]string{self, "worker"}, nil)
	o := dag.Options{Jobs: f.jobs, Memory: memoryTotal(), KeepGoing: f.keepGoing, Targets: args[1:],
		Args: os.Args, Executor: pool, Observer: scr, Force: force, Locked: locked}
	if bucket != nil {
		defer bucket.Close()
		o.Remote = bucket
	}
	s, err := dag.Run(ctx, p, store, sources, o)
	scr.close()
	if e := pool.Close(); err == nil {
		err = e
	}
	if s == nil {
		return err
	}
	placed, perr := publish(store, p, s)
	if f.json {
		if e := printJSON(c.OutOrStdout(), s); err == nil {
			err = e
		}
	} else {
		printSummary(out, s, f.cost)
		if s.State == dag.StateDone {
			printResults(out, s, placed)
		}
	}
	perr = errors.Join(perr, f.share(ctx, bucket, store, s, moves, out))
	var stopped *dag.Stopped
	tellStory(os.Stderr, s, rerun(args[0], f)) // what continue-on-error let pass as well
	if errors.As(err, &stopped) {
		if perr != nil {
			fmt.Fprintf(os.Stderr, "\npipeline: %v\n", perr)
		}
		return reported{err}
	}
	return errors.Join(err, perr)
}

// rerun is the command that does one failed stage again.
func rerun(file string, f *runFlags) string {
	cmd := "pipeline run " + file
	if f.profile != "" {
		cmd += " --profile " + f.profile
	}
	if f.store != "" {
		cmd += " --store " + f.store
	}
	if f.ledger != "" {
		cmd += " --ledger " + f.ledger
	}
	return cmd
}

// placement is a published output.
type placement struct {
	dir string
	typ stage.Type
}

// publish places the outputs that the pipeline file publishes, of stages that are done
// (or refused: a report of what broke a gate is what one wants to read).
func publish(store *artifacts.Store, p *pipelinefile.Pipeline, s *dag.Summary) (placed []placement, err error) {
	var problems []error
	for _, pub := range p.Publish {
		for _, st := range s.Stages {
			o, ok := st.Outputs[pub.From.Port]
			if st.Name != pub.From.Stage || !ok {
				continue
			}
			m, err := store.Manifest(o.Digest)
			if err == nil {
				err = store.Place(m, pub.Dir)
			}
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: publish %s: %w", pub.Pos, pub.From, err))
				continue
			}
			for i := range p.Stages {
				if q := &p.Stages[i]; q.Name == st.Name {
					port, _ := q.Kind.Output(pub.From.Port)
					placed = append(placed, placement{shortPath(pub.Dir), port.Type})
				}
			}
		}
	}
	return placed, errors.Join(problems...)
}

// shortPath is a path relative to the working directory where that is shorter.
func shortPath(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if r, err := filepath.Rel(wd, path); err == nil && len(r) < len(path) {
			return r
		}
	}
	return path
}

func printSummary(w io.Writer, s *dag.Summary, cost price) {
	t := newTable("stage", "kind", "state", "parts", "ran", "cached", "time", "output").right(3, 4, 5, 6)
	ran, fetched := 0, 0
	for _, st := range s.Stages {
		var outs []string
		for port, o := range st.Outputs {
			outs = append(outs, fmt.Sprintf("%s %s", port, size(o.Bytes)))
		}
		sort.Strings(outs)
		took := ""
		if st.Ran > 0 {
			took = duration(st.Seconds)
		}
		ran += st.Ran
		fetched += st.Fetched
		t.row(st.Name, st.Kind, stateWord(st.State), fmt.Sprint(st.Parts), fmt.Sprint(st.Ran), fmt.Sprint(st.Cached), took, strings.Join(outs, ", "))
	}
	fmt.Fprintln(w)
	t.print(w)
	from := ""
	if fetched > 0 {
		from = fmt.Sprintf(", %d came from the remote", fetched)
	}
	fmt.Fprintf(w, "\nrun %d %s in %s, %s ran%s\n", s.Run, stateWord(s.State), duration(s.Seconds), parts(ran), from)
	if ran == 0 {
		return
	}
	var facts []string
	if s.Estimate != nil {
		facts = append(facts, "estimated: "+span(*s.Estimate))
	}
	if s.CPU != nil {
		facts = append(facts, cost.cpuTime(*s.CPU))
	}
	if len(facts) > 0 {
		fmt.Fprintln(w, strings.Join(facts, "; "))
	}
}

func stateWord(s string) string {
	switch s {
	case "done":
		return paint(green, s)
	case "failed", "refused":
		return paint(red, s)
	}
	return paint(yellow, s)
}

// printResults shows the metrics of the last stage that has a headline, where the
// published files are, and what to do with a model.
func printResults(w io.Writer, s *dag.Summary, placed []placement) {
	if last := headlined(s); last != "" {
		fmt.Fprintf(w, "\n%s\n", paint(bold, last))
		for _, m := range keys(s.Metrics) {
			if name, ok := strings.CutPrefix(m, last+"."); ok && !strings.Contains(name, ".") {
				fmt.Fprintf(w, "  %-24s %.4g\n", name, s.Metrics[m])
			}
		}
	}
	if len(placed) > 0 {
		fmt.Fprintln(w)
	}
	for _, p := range placed {
		switch p.typ {
		case stage.Page:
			fmt.Fprintf(w, "report     %s\n", filepath.Join(p.dir, "report.html"))
		case stage.Model:
			fmt.Fprintf(w, "model      %s\n", p.dir)
		default:
			fmt.Fprintf(w, "%-10s %s\n", p.typ, p.dir)
		}
	}
	for _, p := range placed {
		if p.typ == stage.Model {
			fmt.Fprintf(w, "\ntry it:\n  bin/pipeline generate --model %s --prompt \"O Brasil é\" --max-tokens 60 --temperature 0.8 --top-k 40 --seed 1\n", p.dir)
		}
	}
}

// tellStory prints what stages had to say, and all there is to know about why a run did not
// end well.
func tellStory(w io.Writer, s *dag.Summary, again string) {
	for _, n := range s.Notices {
		who := n.Stage
		if n.Parts > 1 {
			who += fmt.Sprintf(" (%d parts; this is the first)", n.Parts)
		}
		fmt.Fprintf(w, "\n%s %s\n", paint(yellow, "notice"), wrap(who+": "+n.Text, 7))
	}
	for _, f := range s.Failures {
		fmt.Fprintf(w, "\nstage %s, part %s failed: %s\n", f.Stage, f.Part, f.Error)
		for _, src := range f.Sources {
			fmt.Fprintf(w, "  reading %s\n", shortPath(src))
		}
		if len(f.Tail) > 0 {
			fmt.Fprintf(w, "  last lines of its log:\n")
			for _, l := range f.Tail {
				fmt.Fprintf(w, "  | %s\n", l)
			}
		}
		if f.Log != "" {
			fmt.Fprintf(w, "  log: %s\n", shortPath(f.Log))
		}
		fmt.Fprintf(w, "  again: %s '%s'\n", again, f.Stage)
	}
	for _, r := range s.Refusals {
		fmt.Fprintf(w, "\nstage %s refused:\n", r.Stage)
		for _, l := range strings.Split(r.Reason, "\n") {
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
	if s.State == dag.StateInterrupted {
		fmt.Fprintf(w, "\ninterrupted; what was done is kept. To go on: %s\n", again)
	}
}

// headlined is the last stage with one of the metrics that are shown while stages run.
func headlined(s *dag.Summary) (name string) {
	for _, st := range s.Stages {
		for _, m := range shownMetrics {
			if _, ok := s.Metrics[st.Name+"."+m]; ok {
				name = st.Name
			}
		}
	}
	return name
}

// sourceProgress words what is being done to a source.
func sourceProgress(e source.Event) string {
	verb := "hashing"
	if e.Fetching {
		verb = "fetching"
	}
	if e.Total > 0 {
		return fmt.Sprintf("%s %s: %s of %s (%.0f%%)", verb, e.Source, size(e.Done), size(e.Total), 100*float64(e.Done)/float64(e.Total))
	}
	return fmt.Sprintf("%s %s: %s", verb, e.Source, size(e.Done))
}
