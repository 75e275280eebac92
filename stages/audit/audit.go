// Package audit is the stage kind audit: it measures the documents that are left, beside
// what every stage before reported, writes both as JSON and as a page to read, and stops
// the run when a measure is beyond its gate.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus"
	stats "github.com/ptbr-slm/pipeline/corpus/audit"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is the `with:` of an audit stage.
type Config struct {
	Gates  map[string]Gate `json:"gates" jsonschema_description:"limits by measure (docs/stages/audit.md lists them); name[source] is the measure of one source"`
	NGrams NGrams          `json:"ngrams" jsonschema_description:"the most frequent runs of words"`
}

// Gate is the limits of a measure; either may be left out.
type Gate struct {
	Min *float64 `json:"min" jsonschema_description:"lowest value that passes"`
	Max *float64 `json:"max" jsonschema_description:"highest value that passes"`
}

// NGrams says which n-grams are counted and how many are shown.
type NGrams struct {
	Orders   []int `json:"orders" jsonschema_description:"words in an n-gram, 1 to 10"`
	Capacity int   `json:"capacity" jsonschema:"minimum=1000" jsonschema_description:"counts kept for each order; above it a sample of the text is counted, and the report says which share"`
	Top      int   `json:"top" jsonschema:"minimum=1" jsonschema_description:"n-grams shown of each order"`
}

// Kind is audit.
var Kind = stage.Kind{
	Name:    "audit",
	Version: 1,
	Doc:     "measures the final documents and what every stage did to them, writes a report, and stops the run at a broken gate",
	In: []stage.Port{
		{Name: "docs", Doc: "the final documents, a part for each shard", Type: stage.Documents, Many: true},
		{Name: "reports", Doc: "reports of the stages before, in the order text passes them", Type: stage.Reports, Many: true, Optional: true, Origins: true, Join: true},
		{Name: "tokenizer", Doc: "counts tokens too", Type: stage.Tokenizer, Optional: true, Names: true},
	},
	Mid:        []stage.Port{{Name: "statistics", Doc: "statistics of a shard", Type: stage.Any}},
	Out:        []stage.Port{{Name: "report", Doc: "report.json and report.html", Type: stage.Page}},
	Map:        "docs",
	Config:     Config{Gates: map[string]Gate{}, NGrams: NGrams{Orders: []int{1, 3, 5}, Capacity: 65536, Top: 40}},
	JoinConfig: []string{"gates"},
	New:        stage.Build(New),
}

// Auditor is a configured audit stage.
type Auditor struct{ c Config }

// New checks what the schema cannot say.
func New(c Config) (stage.Stage, error) {
	var errs []error
	names := make([]string, 0, len(c.Gates))
	for name := range c.Gates {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		errs = append(errs, checkGate(name, c.Gates[name]))
	}
	for _, n := range c.NGrams.Orders {
		if n < 1 || n > 10 {
			errs = append(errs, fmt.Errorf("ngrams.orders has %d; an n-gram is 1 to 10 words", n))
		}
	}
	if c.NGrams.Capacity < 1000 || c.NGrams.Top < 1 {
		errs = append(errs, fmt.Errorf("ngrams: capacity is %d and top %d; they must be at least 1000 and 1", c.NGrams.Capacity, c.NGrams.Top))
	}
	return &Auditor{c}, errors.Join(errs...)
}

// Run measures one shard.
func (a *Auditor) Run(ctx context.Context, t stage.Task) error {
	var tok *tokenizer.Tokenizer
	if len(t.Inputs("tokenizer")) > 0 {
		dir, err := t.InputDir("tokenizer")
		if err != nil {
			return err
		}
		if tok, err = tokenizer.Load(dir); err != nil {
			return fmt.Errorf("tokenizer: %w", err)
		}
	}
	s := stats.New(t.Seed(), a.c.NGrams.Orders, a.c.NGrams.Capacity)
	var ids []uint32
	err := docs.Each(ctx, t, t.Inputs("docs"), func(d *corpus.Document) error {
		var n int64
		if tok != nil {
			ids = tok.Encode(ids[:0], d.Text)
			n = int64(len(ids))
		}
		s.Add(d, n)
		return nil
	})
	if err != nil {
		return err
	}
	return write(t, "statistics", "statistics.json.zst", s.Write)
}

// Join merges the statistics and writes the report.
func (a *Auditor) Join(ctx context.Context, t stage.Task) error {
	s := stats.New(t.Seed(), a.c.NGrams.Orders, a.c.NGrams.Capacity)
	for i, f := range t.Inputs("statistics") {
		if err := ctx.Err(); err != nil {
			return err
		}
		part, err := readStatistics(t, f)
		if err != nil {
			return err
		}
		if err := s.Merge(part); err != nil {
			return err
		}
		t.Progress(int64(i+1), int64(len(t.Inputs("statistics"))), "shards")
	}
	stages, err := readStages(t)
	if err != nil {
		return err
	}
	r := newReport(s, stages, a.c)
	if err := write(t, "report", "report.json", func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		return e.Encode(r)
	}); err != nil {
		return err
	}
	if err := write(t, "report", "report.html", func(w io.Writer) error {
		_, err := r.page().WriteTo(w)
		return err
	}); err != nil {
		return err
	}
	for _, m := range measures {
		t.Metric(m.name, 0, r.Measures[m.name])
	}
	var broken []string
	for _, g := range r.Gates {
		if !g.Passed {
			broken = append(broken, g.Verdict)
		}
	}
	if len(broken) > 0 {
		t.Refuse(strings.Join(broken, "; "))
	}
	return nil
}

func readStatistics(t stage.Task, f stage.File) (*stats.Statistics, error) {
	h, err := t.Open(f)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return stats.Read(h)
}

func write(t stage.Task, port, name string, f func(io.Writer) error) error {
	w, err := t.Create(port, name)
	if err != nil {
		return err
	}
	if err := f(w); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return w.Close()
}
