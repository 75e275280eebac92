package main

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/dag"
	"github.com/spf13/cobra"
)

// originDocument is an origin as `provenance --json` prints it.
type originDocument struct {
	ID        string           `json:"id"`
	Digest    string           `json:"digest,omitempty"`
	Files     int              `json:"files"`
	Bytes     int64            `json:"bytes"`
	Documents int64            `json:"documents,omitempty"`
	License   string           `json:"license,omitempty"`
	Sources   []dag.SourceFile `json:"sources,omitempty"`
	By        *makingDocument  `json:"by,omitempty"`
	From      []edgeDocument   `json:"from,omitempty"`
}

type makingDocument struct {
	Stage   string    `json:"stage"`
	Kind    string    `json:"kind"`
	Version int       `json:"version"`
	Config  string    `json:"config"`
	Part    string    `json:"part,omitempty"`
	Keys    []string  `json:"keys"`
	Began   time.Time `json:"began"`
	Done    time.Time `json:"done"`
	Seconds float64   `json:"seconds"`
}

type edgeDocument struct {
	Port string `json:"port"`
	ID   string `json:"id"`
}

func provenanceCommand() *cobra.Command {
	var f storeFlags
	var run, file string
	var asJSON, prov bool
	c := &cobra.Command{
		Use:   "provenance STAGE.PORT",
		Short: "Say what an output was made of, back to the sources and their licences",
		Long: `Say what an output was made of: the stages that made it, with kind, version and settings,
what those read, and so on back to the source files, their digests and licences. The
output is that of the last run that completed the stage, or of the run named. With
--file the origin of a single file: just the parts and files that it depends on.

With --json: {"run", "root": id, "origins": [{"id", "digest", "files", "bytes",
"documents", "by": {"stage", "kind", "version", "config", "part", "keys", "began", "done",
"seconds"}, "from": [{"port", "id"}], "license", "sources": [{"name", "path", "url",
"sha256", "size"}]}]}, inputs before what is made of them.
With --prov: the same as a PROV-JSON document of the W3C's provenance model.`,
		Example: "  pipeline provenance train.model\n  pipeline provenance clean.docs --file 000003.jsonl.zst\n  pipeline provenance train.model --prov > model.prov.json",
		Args:    cobra.ExactArgs(1),
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
			_, id, err := findOutput(s.Ledger(), args[0][:i], args[0][i+1:], run)
			if err != nil {
				return err
			}
			root, err := dag.Trace(s, id, args[0][:i], args[0][i+1:], file)
			if errors.As(err, new(*dag.NoSuchOutput)) {
				return usage{err}
			}
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			switch {
			case prov:
				return dag.WritePROV(w, root, id, versionInfo().Version)
			case asJSON:
				return printJSON(w, provenanceDocument(root, id))
			}
			fmt.Fprintf(w, "run %d\n\n", id)
			(&originTree{w: w, seen: map[*dag.Origin]bool{}}).print(root, "", "", "")
			printLicenses(w, root)
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().StringVar(&run, "run", "", "number of the run (default: the last that completed the stage)")
	c.Flags().StringVar(&file, "file", "", "trace one file of the output")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	c.Flags().BoolVar(&prov, "prov", false, "print a PROV-JSON document")
	c.MarkFlagsMutuallyExclusive("json", "prov")
	return c
}

func provenanceDocument(root *dag.Origin, run int64) any {
	doc := struct {
		Run     int64            `json:"run"`
		Root    string           `json:"root"`
		Origins []originDocument `json:"origins"`
	}{Run: run, Root: root.ID()}
	root.Walk(func(o *dag.Origin) {
		d := originDocument{ID: o.ID(), Digest: o.Digest, Files: o.Files, Bytes: o.Bytes, Documents: o.Documents, License: o.License, Sources: o.Sources}
		if m := o.By; m != nil {
			d.By = &makingDocument{m.Stage, m.Kind, m.Version, m.Config, m.Part, m.Keys, m.Began, m.Done, m.Seconds}
		}
		for _, e := range o.From {
			d.From = append(d.From, edgeDocument{e.Port, e.ID()})
		}
		doc.Origins = append(doc.Origins, d)
	})
	return doc
}

// originTree prints origins as a tree, each once.
type originTree struct {
	w    io.Writer
	seen map[*dag.Origin]bool
}

// shownSources is how many files of one source the tree lists.
const shownSources = 5

func (t *originTree) print(o *dag.Origin, port, first, rest string) {
	label := paint(bold, o.ID())
	if port != "" {
		label = port + " ← " + label
	}
	if t.seen[o] {
		if o.By != nil {
			label += paint(dim, "  (see above)")
		}
		fmt.Fprintln(t.w, first+label)
		return
	}
	t.seen[o] = true
	facts := []string{}
	if o.Digest != "" {
		facts = append(facts, short(o.Digest))
	}
	if o.File == "" {
		facts = append(facts, files(o.Files))
	}
	facts = append(facts, size(o.Bytes))
	if o.Documents > 0 {
		facts = append(facts, count(o.Documents)+" documents")
	}
	if o.By == nil && len(o.Sources) > 0 {
		facts = append(facts, licence(o))
	}
	fmt.Fprintln(t.w, first+label+"  "+strings.Join(facts, ", "))
	if o.By != nil {
		work := fmt.Sprintf("by %s version %d, settings %s, %s in %s, done %s", o.By.Kind, o.By.Version, short(o.By.Config), parts(len(o.By.Keys)),
			duration(o.By.Seconds), o.By.Done.Local().Format("2006-01-02 15:04:05"))
		if o.By.Part != "" {
			work = fmt.Sprintf("by part %s of %s version %d, settings %s, in %s, done %s", o.By.Part, o.By.Kind, o.By.Version, short(o.By.Config),
				duration(o.By.Seconds), o.By.Done.Local().Format("2006-01-02 15:04:05"))
		}
		bar := "│ "
		if len(o.From) == 0 {
			bar = "  "
		}
		fmt.Fprintln(t.w, rest+bar+paint(dim, work))
	}
	for i, f := range o.Sources {
		if i == shownSources {
			fmt.Fprintf(t.w, "%s  and %s more\n", rest, files(len(o.Sources)-i))
			break
		}
		from := ""
		if f.URL != "" {
			from = "  " + f.URL
		}
		fmt.Fprintln(t.w, rest+"  "+paint(dim, f.SHA256[:12]+"  "+f.Path+from))
	}
	for i, e := range o.From {
		branch, below := "├─ ", "│  "
		if i == len(o.From)-1 {
			branch, below = "└─ ", "   "
		}
		t.print(e.Origin, e.Port, rest+branch, rest+below)
	}
}

func licence(o *dag.Origin) string {
	if o.License == "" {
		return "no licence declared"
	}
	return o.License
}

// printLicenses sums up under which licences the sources are.
func printLicenses(w io.Writer, root *dag.Origin) {
	by := map[string][]string{}
	root.Walk(func(o *dag.Origin) {
		if o.By == nil && len(o.Sources) > 0 {
			by[licence(o)] = append(by[licence(o)], o.ID())
		}
	})
	fmt.Fprintln(w, "\nlicences of the sources")
	for _, l := range keys(by) {
		sort.Strings(by[l])
		fmt.Fprintf(w, "  %s: %s\n", l, strings.Join(by[l], ", "))
	}
}

// files counts files in words.
func files(n int) string {
	if n == 1 {
		return "1 file"
	}
	return count(int64(n)) + " files"
}
