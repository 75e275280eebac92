// Package split is the stage kind split: which documents train and which validate.
package split

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/droplist"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is the `with:` of a split stage.
type Config struct {
	ValPercent float64 `json:"val-percent" jsonschema:"minimum=0,maximum=100" jsonschema_description:"documents in a hundred that validate, in the mean"`
	Salt       string  `json:"salt" jsonschema_description:"another salt draws other documents"`
}

// Kind is split.
var Kind = stage.Kind{
	Name:    "split",
	Version: 1,
	Doc:     "parts documents into training and validation by a hash of their ids, duplicates together",
	In: []stage.Port{
		{Name: "docs", Doc: "the documents", Type: stage.Documents, Many: true},
		{Name: "drop", Doc: "the drop list of dedup-index: documents of one cluster go the same way", Type: stage.Droplist, Optional: true},
	},
	Out: []stage.Port{
		{Name: "train", Doc: "documents to train on", Type: stage.Documents},
		{Name: "val", Doc: "documents to validate on", Type: stage.Documents},
		docs.ReportPort,
	},
	Map:    "docs",
	Config: Config{ValPercent: 1},
	New:    stage.Build(New),
}

// Splitter is a configured split stage.
type Splitter struct {
	c     Config
	below uint64 // of hashes: these validate
}

// New checks what the schema cannot say.
func New(c Config) (stage.Stage, error) {
	if !(c.ValPercent >= 0 && c.ValPercent <= 100) {
		return nil, fmt.Errorf("val-percent is %v; it can be 0 to 100", c.ValPercent)
	}
	return &Splitter{c, threshold(c.ValPercent)}, nil
}

// threshold is the share of the 2^53 possible draws that validate.
func threshold(percent float64) uint64 { return uint64(math.Round(percent / 100 * (1 << 53))) }

// validates draws for a document, or for the one that stands for its cluster: the first
// 53 bits of SHA-256 of salt, 0 and key. Neither shards nor order nor other documents
// enter, so that a corpus that grows keeps its validation set.
func (s *Splitter) validates(key string) bool {
	h := sha256.Sum256([]byte(s.c.Salt + "\x00" + key))
	return binary.BigEndian.Uint64(h[:])>>11 < s.below
}

// Run parts the documents of one shard.
func (s *Splitter) Run(ctx context.Context, t stage.Task) error {
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
	train, val := docs.NewWriter(t, "train", 0), docs.NewWriter(t, "val", 0)
	report := corpus.NewReport(Kind.Name)
	err := docs.Each(ctx, t, t.Inputs("docs"), func(d *corpus.Document) error {
		report.Enter(d)
		report.Leave(d)
		if s.validates(list.Cluster(d.Source, d.ID)) {
			report.Touch("val", d.Source, 1, int64(len(d.Text)))
			return val.Write(d)
		}
		report.Touch("train", d.Source, 1, int64(len(d.Text)))
		return train.Write(d)
	})
	if err != nil {
		return err
	}
	if err := train.Close(); err != nil {
		return err
	}
	if err := val.Close(); err != nil {
		return err
	}
	return docs.WriteReport(t, report)
}
