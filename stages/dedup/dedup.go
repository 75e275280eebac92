// Package dedup is the stage kind dedup: it leaves out the documents that a drop list
// names.
package dedup

import (
	"context"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/droplist"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is the `with:` of a dedup stage: there is nothing to set.
type Config struct{}

// Kind is dedup.
var Kind = stage.Kind{
	Name:    "dedup",
	Version: 1,
	Doc:     "leaves out the documents that a drop list names",
	In: []stage.Port{
		{Name: "docs", Doc: "the documents", Type: stage.Documents, Many: true},
		{Name: "drop", Doc: "the drop list of dedup-index", Type: stage.Droplist},
	},
	Out:    []stage.Port{{Name: "docs", Doc: "the documents that stay", Type: stage.Documents}, docs.ReportPort},
	Map:    "docs",
	Config: Config{},
	New:    stage.Build(New),
}

// Dropper is a dedup stage.
type Dropper struct{}

// New makes a dedup stage.
func New(Config) (stage.Stage, error) { return Dropper{}, nil }

// Run drops from one shard.
func (Dropper) Run(ctx context.Context, t stage.Task) error {
	list := droplist.List{}
	for _, f := range t.Inputs("drop") {
		h, err := t.Open(f)
		if err != nil {
			return err
		}
		err = list.Read(h)
		h.Close()
		if err != nil {
			return err
		}
	}
	out := docs.NewWriter(t, "docs", 0)
	report := corpus.NewReport(Kind.Name)
	err := docs.Each(ctx, t, t.Inputs("docs"), func(d *corpus.Document) error {
		report.Enter(d)
		if e, ok := list.Find(d.Source, d.ID); ok && !e.Keep {
			report.Touch(e.Reason, d.Source, 1, int64(len(d.Text)))
			return nil
		}
		report.Leave(d)
		return out.Write(d)
	})
	if err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return docs.WriteReport(t, report)
}
