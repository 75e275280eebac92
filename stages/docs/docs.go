// Package docs joins the two contracts that most stages stand between: the Task of
// package stage and the shards of package corpus.
package docs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// Each calls f for every document of the files, in order, until f or ctx says stop.
// It reports progress in bytes of text where the files' stats tell how many there are.
func Each(ctx context.Context, t stage.Task, files []stage.File, f func(*corpus.Document) error) error {
	var total, done int64
	for _, file := range files {
		total += file.Stats.Bytes
	}
	for _, file := range files {
		if err := each(ctx, t, file, func(d *corpus.Document) error {
			n := int64(len(d.Text)) // before f changes it
			err := f(d)
			done += n
			t.Progress(done, total, "B")
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func each(ctx context.Context, t stage.Task, file stage.File, f func(*corpus.Document) error) error {
	h, err := t.Open(file)
	if err != nil {
		return err
	}
	defer h.Close()
	r, err := corpus.NewReader(h)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var d corpus.Document
		switch err := r.Next(&d); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("documents %.12s: %w", file.Digest, err)
		}
		if err := f(&d); err != nil {
			return err
		}
	}
}

// Writer writes documents to a port as shards.
type Writer struct {
	t    stage.Task
	port string
	cut  *corpus.Cutter // nil: one shard
	n    int
	out  stage.Writer
	w    *corpus.Writer
}

// NewWriter writes shards of about target bytes of text, cut by content; target 0
// writes one shard, whatever comes. A shard of no documents is not written.
func NewWriter(t stage.Task, port string, target int64) *Writer {
	w := &Writer{t: t, port: port}
	if target > 0 {
		w.cut = corpus.NewCutter(target)
	}
	return w
}

// Write appends a document.
func (w *Writer) Write(d *corpus.Document) (err error) {
	if w.w == nil {
		if w.out, err = w.t.Create(w.port, fmt.Sprintf("%06d.jsonl.zst", w.n)); err != nil {
			return err
		}
		if w.w, err = corpus.NewWriter(w.out); err != nil {
			return err
		}
		w.n++
	}
	if err = w.w.Write(d); err != nil {
		return err
	}
	if w.cut != nil && w.cut.After(d) {
		return w.Close()
	}
	return nil
}

// Close ends the last shard.
func (w *Writer) Close() error {
	if w.w == nil {
		return nil
	}
	if err := w.w.Close(); err != nil {
		return err
	}
	s := w.w.Stats()
	w.out.SetStats(stage.Stats{Documents: s.Documents, Bytes: s.Bytes, First: s.First, Last: s.Last})
	w.w = nil
	return w.out.Close()
}

// WriteReport writes a report to the port "report" and its rule counts to the ledger.
func WriteReport(t stage.Task, r *corpus.Report) error {
	for rule, by := range r.Rules {
		for source, n := range by {
			t.Count(source, rule, n.Matches)
		}
	}
	w, err := t.Create("report", "report.json")
	if err != nil {
		return err
	}
	if _, err := r.WriteTo(w); err != nil {
		return err
	}
	return w.Close()
}

// ReadReports merges the reports among the files of a port, by File.Origin.
func ReadReports(t stage.Task, port string) (map[string]*corpus.Report, error) {
	by := map[string]*corpus.Report{}
	for _, f := range t.Inputs(port) {
		h, err := t.Open(f)
		if err != nil {
			return nil, err
		}
		r, err := corpus.ReadReport(h)
		h.Close()
		if err != nil {
			return nil, fmt.Errorf("report %.12s of %s: %w", f.Digest, f.Origin, err)
		}
		if by[f.Origin] == nil {
			by[f.Origin] = corpus.NewReport(r.Kind)
		}
		by[f.Origin].Merge(r)
	}
	return by, nil
}

// ReportPort is the output port that WriteReport writes to.
var ReportPort = stage.Port{Name: "report", Type: stage.Reports, Doc: "what went in and out and what each rule touched, by source"}
