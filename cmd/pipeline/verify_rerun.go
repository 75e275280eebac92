package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor/local"
	"github.com/ptbr-slm/pipeline/dag/firstdiff"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// rerunFlags are the flags of `pipeline verify --rerun`.
type rerunFlags struct {
	sample  string
	profile string
	seed    uint64
	repeat  int
	save    string
}

// only are the flags of verify that mean something with --rerun, and nothing without.
var rerunOnly = []string{"profile", "seed", "repeat", "save"}

func (f *rerunFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.sample, "rerun", "", "do parts of FILE again and compare: a share of each stage's parts (10%), a number of parts (5), or all")
	addProfileFlag(c, &f.profile)
	c.Flags().Uint64Var(&f.seed, "seed", 0, "with --rerun: another number picks other parts")
	c.Flags().IntVar(&f.repeat, "repeat", 2, "with --rerun: how often each part is done again, each time under other circumstances")
	c.Flags().StringVar(&f.save, "save", "", "with --rerun: directory for both outputs of parts that differ (default rerun in the store)")
}

// options reads the flags.
func (f *rerunFlags) options() (o dag.RerunOptions, err error) {
	o.Seed, o.Repeat = f.seed, f.repeat
	if f.repeat < 1 {
		return o, usage{fmt.Errorf("--repeat %d: each part must be done once at least", f.repeat)}
	}
	if f.sample == "all" {
		o.Share = 1
		return o, nil
	}
	wrong := usage{fmt.Errorf("--rerun %s: give a share of each stage's parts (10%%), a number of parts (5), or all", f.sample)}
	if s, ok := strings.CutSuffix(f.sample, "%"); ok {
		p, err := strconv.ParseFloat(s, 64)
		if err != nil || !(p > 0 && p <= 100) {
			return o, wrong
		}
		o.Share = p / 100
		return o, nil
	}
	if o.Count, err = strconv.Atoi(f.sample); err != nil || o.Count < 1 {
		return o, wrong
	}
	return o, nil
}

// rerun does a sample of a pipeline's known parts again and compares.
func (f *verifyFlags) rerun(c *cobra.Command, args []string) (err error) {
	o, err := f.again.options()
	if err != nil {
		return err
	}
	p, err := loadPipeline(args[0], f.again.profile)
	if err != nil {
		return err
	}
	store, err := artifacts.Open(f.dir(), artifacts.Options{LedgerPath: f.ledger})
	if err != nil {
		return err
	}
	defer store.Close()
	m := newMeter("", duration1000)
	defer m.close()
	sources, err := resolveSources(c.Context(), p, args[1:], store, true, nil)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file, to start workers: %w", err)
	}
	o.Targets, o.Jobs, o.Memory = args[1:], f.jobs, memoryTotal()
	o.Start = func(dir string, env []string) dag.Workers { return local.New([]string{self, "worker"}, env).In(dir) }
	o.Plan = f.dryRun
	if o.Save = f.again.save; o.Save == "" {
		o.Save = filepath.Join(f.dir(), "rerun")
	}
	if o.Save, err = filepath.Abs(o.Save); err != nil {
		return err
	}
	if !f.dryRun {
		var remove, removeAway func() error
		if o.Scratch, remove, err = store.Scratch(""); err != nil {
			return err
		}
		defer remove()
		if away := elsewhere(o.Scratch); away != "" {
			if o.Away, removeAway, err = store.Scratch(away); err == nil {
				defer removeAway()
			}
		}
	}
	o.Progress = func(p dag.RerunProgress) {
		m.doing = fmt.Sprintf("%d of %s done again%s:", p.Done, parts(p.Parts), differing(p.Differ))
		if p.Investigating != "" {
			m.doing = fmt.Sprintf("why does %s differ? %s;", p.Investigating, things(p.Tried, "rerun"))
		}
		m.at(int64(1000*p.Handled), int64(1000*p.Total))
	}
	out := c.OutOrStdout()
	if f.json {
		out = c.ErrOrStderr()
	}
	r, err := dag.MakeRerun(c.Context(), p, store, sources, o, func(r *dag.Reruns) { printSample(out, r, o) })
	m.close()
	if err != nil {
		return err
	}
	switch {
	case r.Known == 0:
		return usage{fmt.Errorf("%s: no part of it is known in the store %s, so there is nothing to do again: `pipeline run` makes them", args[0], f.dir())}
	case f.json:
		err = printJSON(c.OutOrStdout(), r)
	case !f.dryRun:
		printReruns(out, r)
	}
	switch {
	case err != nil:
		return err
	case r.Differ > 0:
		return reported{refused{fmt.Errorf("%s came out otherwise", parts(r.Differ))}}
	case r.Failed > 0:
		return reported{fmt.Errorf("%s could not be done again", parts(r.Failed))}
	}
	return nil
}

func differing(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d differ", n)
}

// duration1000 words milliseconds of CPU time.
func duration1000(ms int64) string { return duration(float64(ms) / 1000) }

// elsewhere names a directory on another file system than dir, where there is one that
// everybody may write to; or "".
func elsewhere(dir string) string {
	var here, there unix.Stat_t
	if unix.Stat(dir, &here) != nil {
		return ""
	}
	for _, d := range []string{"/dev/shm", os.TempDir(), "/var/tmp"} {
		if unix.Stat(d, &there) == nil && there.Dev != here.Dev && unix.Access(d, unix.W_OK) == nil {
			return d
		}
	}
	return ""
}

// printSample says what will be done, before it is.
func printSample(w io.Writer, r *dag.Reruns, o dag.RerunOptions) {
	if r.Known == 0 {
		return
	}
	fmt.Fprintf(w, "%d of %s, each done again %s: about %s\n", r.Sampled, things(r.Known, "known part"), times(o.Repeat), duration(r.Estimate))
	if r.Unknown > 0 {
		fmt.Fprintf(w, "%s %s not known: the pipeline or its sources changed, or no run has made them\n", paint(yellow, "note"), wereParts(r.Unknown))
	}
	if o.Plan {
		t := newTable("stage", "kind", "part", "took before").right(3)
		for _, x := range r.Parts {
			t.row(x.Stage, x.Kind, x.Part, duration(x.Seconds))
		}
		t.print(w)
	}
}

func wereParts(n int) string {
	if n == 1 {
		return "1 part is"
	}
	return fmt.Sprintf("%d parts are", n)
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// printReruns shows what came out otherwise, then a line of each stage.
func printReruns(w io.Writer, r *dag.Reruns) {
	type row struct {
		kind                         string
		parts, reruns, differ, wrong int
		seconds                      float64
		metrics                      map[string]bool
	}
	var names []string
	rows := map[string]*row{}
	for _, x := range r.Parts {
		s := rows[x.Stage]
		if s == nil {
			s = &row{kind: x.Kind, metrics: map[string]bool{}}
			rows[x.Stage] = s
			names = append(names, x.Stage)
		}
		s.parts++
		s.reruns += x.Reruns
		s.seconds += x.Seconds
		switch x.State {
		case dag.RerunDiffers:
			s.differ++
		case dag.RerunFailed, dag.RerunDamaged:
			s.wrong++
		case dag.RerunMetrics:
			for _, m := range x.Metrics {
				s.metrics[m] = true
			}
		}
		if x.State == dag.RerunDiffers || x.State == dag.RerunFailed || x.State == dag.RerunDamaged {
			printRerun(w, &x)
		}
	}
	t := newTable("stage", "kind", "parts", "reruns", "result", "time", "").right(2, 3, 5)
	for _, n := range names {
		s := rows[n]
		word, note := paint(green, "same"), ""
		switch {
		case s.differ > 0:
			word = paint(red, fmt.Sprintf("%d differ", s.differ))
		case s.wrong > 0:
			word = paint(red, fmt.Sprintf("%d failed", s.wrong))
		case len(s.metrics) > 0:
			note = "only metrics differ: " + strings.Join(keys(s.metrics), ", ")
		}
		t.row(n, s.kind, fmt.Sprint(s.parts), fmt.Sprint(s.reruns), word, duration(s.seconds), note)
	}
	fmt.Fprintln(w)
	t.print(w)
	fmt.Fprintln(w)
	reruns := 0
	for _, x := range r.Parts {
		reruns += x.Reruns
	}
	switch {
	case r.Differ > 0:
		fmt.Fprintf(w, "%s: %d of %s came out otherwise", paint(red, "not deterministic"), r.Differ, parts(len(r.Parts)))
	case r.Failed > 0:
		fmt.Fprintf(w, "%s: %d of %s could not be done again", paint(red, "failed"), r.Failed, parts(len(r.Parts)))
	default:
		fmt.Fprintf(w, "%s: %s came out the same", paint(green, "clean"), parts(len(r.Parts)))
	}
	fmt.Fprintf(w, ", %s in %s\n", things(reruns, "rerun"), duration(r.Seconds))
}

// printRerun tells the story of one part that came out otherwise.
func printRerun(w io.Writer, x *dag.Rerun) {
	word := "differs"
	if x.State != dag.RerunDiffers {
		word = x.State
	}
	fmt.Fprintf(w, "\n%s, part %s: %s\n", paint(bold, x.Stage), x.Part, paint(red, word))
	for _, d := range x.Differences {
		fmt.Fprintf(w, "  %s\n", differenceTitle(&d))
		was, is, same := d.Was, d.Is, ""
		if d.Place != nil {
			was, is = d.Place.Was, d.Place.Is
			same = sameWords(d.Place.Same)
		}
		fmt.Fprintf(w, "    recorded  %s\n    rerun     %s\n", orNothing(was), orNothing(is))
		if same != "" {
			fmt.Fprintf(w, "    %s\n", same)
		}
	}
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %-9s %s\n", name, wrap(text, 12))
		}
	}
	line("error", x.Error)
	switch {
	case x.Cause != nil:
		line("cause", x.Cause.Text)
	case x.State == dag.RerunDiffers:
		line("cause", "looked for in another part of the stage")
	}
	line("under", x.Under)
	if x.Saved != "" {
		line("kept", shortPath(x.Saved))
	}
}

func differenceTitle(d *dag.Difference) string {
	switch d.What {
	case "file":
		if d.Place != nil {
			return d.Name + placeWords(d.Place)
		}
		return d.Name
	case "verdict":
		return "what the gate says"
	case "error":
		return "it fails"
	}
	return d.What + " " + d.Name
}

// placeWords says where in a file a difference is.
func placeWords(p *firstdiff.Place) string {
	var w []string
	if p.Document != "" {
		w = append(w, "document "+p.Document)
	}
	if p.Path != "" {
		w = append(w, p.Path)
	}
	if p.Line > 0 && p.Document == "" {
		w = append(w, fmt.Sprintf("line %d", p.Line))
	}
	if p.Column > 0 {
		w = append(w, fmt.Sprintf("column %d", p.Column))
	}
	if len(w) == 0 {
		w = append(w, fmt.Sprintf("byte %d", p.Offset))
	}
	return ": " + strings.Join(w, ", ")
}

func sameWords(what string) string {
	switch what {
	case "":
		return ""
	case "content":
		return "the content is the same, packed or written otherwise"
	}
	return "the same " + what + " in another order"
}

// wrap breaks a text between words, on a terminal, where its line begins indent columns
// from the left.
func wrap(text string, indent int) string {
	if columns < indent+20 {
		return text
	}
	var b strings.Builder
	used := indent
	for i, word := range strings.Fields(text) {
		n := shownWidth(word)
		switch {
		case i == 0:
		case used+1+n > columns:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			used = indent
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String()
}

func orNothing(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return s
}
