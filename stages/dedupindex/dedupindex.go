// Package dedupindex is the stage kind dedup-index: which documents are copies of
// others, word for word or nearly, and which of each cluster is kept.
package dedupindex

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/droplist"
	"github.com/ptbr-slm/pipeline/corpus/minhash"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is the `with:` of a dedup-index stage.
type Config struct {
	Priority  []string `json:"priority" jsonschema_description:"sources whose documents are kept before those of others, first the best"`
	Threshold float64  `json:"threshold" jsonschema:"minimum=0,maximum=1" jsonschema_description:"least Jaccard similarity of near duplicates"`
	Shingle   int      `json:"shingle" jsonschema:"minimum=1" jsonschema_description:"words in a shingle"`
	Bands     int      `json:"bands" jsonschema:"minimum=1,maximum=1024" jsonschema_description:"bands of a MinHash signature"`
	Rows      int      `json:"rows" jsonschema:"minimum=1,maximum=1024" jsonschema_description:"rows of a band"`
	Seed      uint64   `json:"seed" jsonschema_description:"draws the hash functions"`
}

// Kind is dedup-index.
var Kind = stage.Kind{
	Name:    "dedup-index",
	Version: 1,
	Doc:     "finds exact and near duplicates and lists which documents to drop",
	In:      []stage.Port{{Name: "docs", Doc: "all documents among which to look", Type: stage.Documents, Many: true}},
	Mid:     []stage.Port{{Name: "signatures", Doc: "a signature of each document", Type: stage.Any}},
	Out: []stage.Port{
		{Name: "drop", Doc: "every document that has a duplicate: its cluster, and whether it is kept", Type: stage.Droplist},
		docs.ReportPort,
	},
	Map:    "docs",
	Config: Config{Priority: []string{}, Threshold: 0.8, Shingle: 5, Bands: 14, Rows: 8, Seed: 1},
	New:    stage.Build(New),
}

// Indexer is a configured dedup-index stage.
type Indexer struct {
	c      Config
	hasher *minhash.Hasher
	rank   map[string]int // of the sources in priority
}

// New checks what the schema cannot say.
func New(c Config) (stage.Stage, error) {
	var errs []error
	if !(c.Threshold > 0 && c.Threshold <= 1) {
		errs = append(errs, fmt.Errorf("threshold is %v; it must be above 0 and at most 1", c.Threshold))
	}
	for _, v := range []struct {
		name string
		n    int
	}{{"shingle", c.Shingle}, {"bands", c.Bands}, {"rows", c.Rows}} {
		if v.n < 1 || v.n > 1024 {
			errs = append(errs, fmt.Errorf("%s is %d; it can be 1 to 1024", v.name, v.n))
		}
	}
	x := &Indexer{c: c, rank: map[string]int{}}
	for i, s := range c.Priority {
		if _, ok := x.rank[s]; ok {
			errs = append(errs, fmt.Errorf("priority[%d]: source %q is listed twice", i, s))
		}
		x.rank[s] = i
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	x.hasher = minhash.NewHasher(c.Bands, c.Rows, c.Seed)
	return x, nil
}

// Run signs the documents of one shard.
func (x *Indexer) Run(ctx context.Context, t stage.Task) error {
	w, err := t.Create("signatures", "signatures.bin")
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	var line []byte
	err = docs.Each(ctx, t, t.Inputs("docs"), func(d *corpus.Document) error {
		words := minhash.Words(d.Text)
		r := minhash.Record{ID: d.ID, Source: d.Source, Exact: sha256.Sum256([]byte(strings.Join(words, " "))), Words: len(words),
			Bands: x.hasher.Bands(minhash.Shingles(words, x.c.Shingle))}
		if line, err = r.AppendBinary(line[:0]); err != nil {
			return err
		}
		_, err := out.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return w.Close()
}

// Join clusters what the signatures bring together and what proves to be alike.
func (x *Indexer) Join(ctx context.Context, t stage.Task) error {
	all, err := x.read(ctx, t)
	if err != nil {
		return err
	}
	c := newClusters(all)
	c.exact()
	if err := c.verify(ctx, t, c.candidates(x.c.Bands), x.c); err != nil {
		return err
	}
	report := corpus.NewReport(Kind.Name)
	entries, err := c.list(ctx, t, report)
	if err != nil {
		return err
	}
	w, err := t.Create("drop", droplist.Name)
	if err != nil {
		return err
	}
	if err := droplist.Write(w, entries); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return docs.WriteReport(t, report)
}

// read returns the signatures of all documents, best first: by priority of the source,
// then by id. The first of a cluster is the one that is kept.
func (x *Indexer) read(ctx context.Context, t stage.Task) ([]minhash.Record, error) {
	var all []minhash.Record
	for _, f := range t.Inputs("signatures") {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := t.Open(f)
		if err != nil {
			return nil, err
		}
		in := bufio.NewReaderSize(h, 1<<16)
		for {
			var r minhash.Record
			if err = minhash.ReadRecord(in, &r); err != nil {
				break
			}
			all = append(all, r)
		}
		h.Close()
		if !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("signatures %.12s: %w", f.Digest, err)
		}
	}
	if err := x.sort(all); err != nil {
		return nil, err
	}
	return all, nil
}
