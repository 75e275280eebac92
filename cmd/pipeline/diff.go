package main

import (
	"fmt"
	"io"
	"math"

	"github.com/ptbr-slm/pipeline/dag"
	"github.com/spf13/cobra"
)

func diffCommand() *cobra.Command {
	var f storeFlags
	var asJSON, all bool
	c := &cobra.Command{
		Use:   "diff RUN [RUN]",
		Short: "Say what changed from one run to another",
		Long: `Say what changed from one run to another, or to the last: settings, sources, keys of
parts, outputs with their documents and bytes, metrics, and the time the work took when
it was done. Stages that are the same in both are left out, unless --all is given.

With --json: {"runs": [a, b], "pipelines", "states", "seconds", "settings": [{"stage",
"path", "old", "new"}], "sources": [{"source", "file", "old", "new"}], "stages": [{"name",
"parts": [a, b], "shared", "seconds": [a, b], "outputs": [{"port", "digests", "bytes",
"files", "documents"}]}], "metrics": [{"name", "old", "new"}]}. Pairs are [first, second].`,
		Example: "  pipeline diff 3 5\n  pipeline diff 3 --json",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := f.forReading()
			if err != nil {
				return err
			}
			defer s.Close()
			from, err := pickRun(s.Ledger(), args[:1])
			if err != nil {
				return err
			}
			to, err := pickRun(s.Ledger(), args[1:])
			if err != nil {
				return err
			}
			d, err := dag.Compare(s, from, to)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), d)
			}
			printDiff(c.OutOrStdout(), d, all)
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	c.Flags().BoolVar(&all, "all", false, "show the stages that are the same, too")
	return c
}

func printDiff(w io.Writer, d *dag.Diff, all bool) {
	for i, verb := range []string{"from", "to  "} {
		fmt.Fprintf(w, "%s run %d of %s, %s, %s\n", verb, d.Runs[i], d.Pipeline[i], stateWord(d.State[i]), duration(d.Seconds[i]))
	}
	for _, r := range d.Unrecorded {
		fmt.Fprintf(w, "\nrun %d was made by an older program, which did not record settings and sources: they are not compared\n", r)
	}
	if len(d.Settings) > 0 {
		heading(w, "settings")
		t := newTable("stage", "setting", "was → is")
		for _, s := range d.Settings {
			t.row(s.Stage, s.Path, fmt.Sprintf("%s → %s", notSet(s.Old), notSet(s.New)))
		}
		t.print(w)
	}
	if len(d.Sources) > 0 {
		heading(w, "sources")
		t := newTable("source", "was → is", "file")
		for _, s := range d.Sources {
			t.row(s.Source, fmt.Sprintf("%s → %s", short(s.Old), short(s.New)), s.File)
		}
		t.print(w)
	}
	printStageDiffs(w, d, all)
	if len(d.Metrics) > 0 {
		heading(w, "metrics")
		t := newTable("metric", "was", "is", "change").right(1, 2, 3)
		for _, m := range d.Metrics {
			was, is, change := "–", "–", ""
			if m.Was != nil {
				was = fmt.Sprintf("%.5g", *m.Was)
			}
			if m.Is != nil {
				is = fmt.Sprintf("%.5g", *m.Is)
			}
			if m.Was != nil && m.Is != nil && *m.Was != 0 {
				change = fmt.Sprintf("%+.2f %%", 100*(*m.Is-*m.Was)/math.Abs(*m.Was))
			}
			t.row(m.Name, was, is, change)
		}
		t.print(w)
	}
	if len(d.Settings)+len(d.Sources)+len(d.Metrics) == 0 && !outputsDiffer(d) {
		fmt.Fprintln(w, "\nnothing changed")
	}
}

func printStageDiffs(w io.Writer, d *dag.Diff, all bool) {
	parts := newTable("stage", "parts", "same key", "work").right(1, 2)
	outs := newTable("output", "digest", "documents", "bytes", "files")
	for _, st := range d.Stages {
		same := st.Parts[0] == st.Parts[1] && st.Shared == st.Parts[0]
		if !same || all {
			n := fmt.Sprint(st.Parts[1])
			if st.Parts[0] != st.Parts[1] {
				n = fmt.Sprintf("%d → %d", st.Parts[0], st.Parts[1])
			}
			parts.row(st.Name, n, fmt.Sprint(st.Shared), pair(took(st.Seconds[0]), took(st.Seconds[1])))
		}
		for _, o := range st.Outputs {
			if o.Digest[0] == o.Digest[1] && !all {
				continue
			}
			docs := pair(known(o.Documents[0]), known(o.Documents[1]))
			if o.Documents == [2]int64{} {
				docs = ""
			}
			outs.row(st.Name+"."+o.Port, pair(short(o.Digest[0]), short(o.Digest[1])), docs,
				pair(size(o.Bytes[0]), size(o.Bytes[1])), pair(fmt.Sprint(o.Files[0]), fmt.Sprint(o.Files[1])))
		}
	}
	if len(parts.rows) > 1 {
		heading(w, "parts")
		parts.print(w)
	}
	if len(outs.rows) > 1 {
		heading(w, "outputs")
		outs.print(w)
	}
}

func outputsDiffer(d *dag.Diff) bool {
	for _, st := range d.Stages {
		if st.Parts[0] != st.Parts[1] || st.Shared != st.Parts[0] {
			return true
		}
		for _, o := range st.Outputs {
			if o.Digest[0] != o.Digest[1] {
				return true
			}
		}
	}
	return false
}

func heading(w io.Writer, s string) { fmt.Fprintf(w, "\n%s\n", paint(bold, s)) }

// pair shows what was and what is, once where they are the same.
func pair(was, is string) string {
	if was == is {
		return is
	}
	return was + " → " + is
}

func short(digest string) string {
	if len(digest) > 12 {
		return digest[:12]
	}
	if digest == "" {
		return "–"
	}
	return digest
}

func notSet(s string) string {
	if s == "" {
		return "(not set)"
	}
	return s
}

func known(n int64) string {
	if n < 0 {
		return "?"
	}
	return count(n)
}

func took(s float64) string {
	if s < 0 {
		return "?"
	}
	return duration(s)
}
