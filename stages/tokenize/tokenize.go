// Package tokenize is the stage kind tokenize: documents and a tokenizer become the
// token files that training and evaluation read (package dataset). A part encodes one
// shard; join lays the shards end to end.
package tokenize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/dataset"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is the `with:` of a tokenize stage.
type Config struct {
	AllowSpecials []string `json:"allow-specials" jsonschema_description:"special tokens that become their ids where documents have them written out, for text made with them (chats); all others stay text"`
}

// Kind is tokenize.
var Kind = stage.Kind{
	Name:    "tokenize",
	Version: 1,
	Doc:     "encodes documents as token files for training and evaluation",
	In: []stage.Port{
		{Name: dataset.Train, Doc: "documents to train on, a part each shard", Type: stage.Documents, Many: true},
		{Name: dataset.Val, Doc: "documents to validate on, a part each shard", Type: stage.Documents, Many: true, Optional: true},
		{Name: "tokenizer", Doc: "the vocabulary", Type: stage.Tokenizer, Names: true},
	},
	Mid: []stage.Port{
		{Name: "index", Doc: "the documents of a shard, in order"},
		{Name: "shards", Doc: "the ids of a shard, as they stand in the .bin"},
	},
	Out:    []stage.Port{{Name: "tokens", Doc: "train.bin, val.bin, the documents in them, manifest.json", Type: stage.Tokens}},
	Config: Config{AllowSpecials: []string{}},
	New:    stage.Build(New),
}

// Encoder is a configured tokenize stage.
type Encoder struct{ c Config }

// New makes the stage.
func New(c Config) (stage.Stage, error) {
	seen := map[string]bool{}
	for _, name := range c.AllowSpecials {
		if seen[name] {
			return nil, fmt.Errorf("allow-specials names %q twice", name)
		}
		seen[name] = true
	}
	return &Encoder{c}, nil
}

// args says which split a part is of.
type args struct {
	Split string `json:"split"`
}

// Split makes a part of every file: training first, then validation.
func (s *Encoder) Split(in stage.Inputs) ([]stage.Part, error) {
	if len(in[dataset.Train]) == 0 {
		return nil, errors.New("there are no documents to train on: the input train has no files")
	}
	var parts []stage.Part
	for _, split := range dataset.Splits {
		for i := range in[split] {
			files := map[string][]int{dataset.Train: {}, dataset.Val: {}}
			files[split] = []int{i}
			parts = append(parts, stage.Part{Name: fmt.Sprintf("%s %d", split, i), Args: args{split}, Files: files})
		}
	}
	return parts, nil
}

// index describes one shard of ids.
type index struct {
	Split     string     `json:"split"`
	Sources   []string   `json:"sources"`
	Documents []document `json:"documents"`
}

type document struct {
	ID     uint64 `json:"id"` // dataset.Hash
	Source int    `json:"source"`
	Tokens int64  `json:"tokens"`
	Bytes  int64  `json:"bytes"`
	Words  int64  `json:"words"`
}

// Run encodes one shard.
func (s *Encoder) Run(ctx context.Context, t stage.Task) error {
	var a args
	if err := t.Args(&a); err != nil {
		return err
	}
	tok, end, err := s.load(t)
	if err != nil {
		return err
	}
	w, err := t.Create("shards", "tokens.bin")
	if err != nil {
		return err
	}
	x := index{Split: a.Split, Sources: []string{}, Documents: []document{}}
	sources := map[string]int{}
	var ids []uint32
	var buf []byte
	_, width := dataset.DType(tok.VocabSize())
	err = docs.Each(ctx, t, t.Inputs(a.Split), func(d *corpus.Document) error {
		n, ok := sources[d.Source]
		if !ok {
			n = len(x.Sources)
			sources[d.Source] = n
			x.Sources = append(x.Sources, d.Source)
		}
		ids = append(tok.EncodeSpecials(ids[:0], d.Text, s.c.AllowSpecials), end)
		x.Documents = append(x.Documents, document{dataset.Hash(d.Source, d.ID), n, int64(len(ids)), int64(len(d.Text)), int64(corpus.CountWords(d.Text))})
		buf = dataset.AppendTokens(buf[:0], ids, width)
		_, err := w.Write(buf)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	if w, err = t.Create("index", "index.json"); err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	return w.Close()
}

// load reads the tokenizer and finds the id that ends a document.
func (s *Encoder) load(t stage.Task) (*tokenizer.Tokenizer, uint32, error) {
	dir, err := t.InputDir("tokenizer")
	if err != nil {
		return nil, 0, err
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, name := range append([]string{tokenizer.End}, s.c.AllowSpecials...) {
		if _, ok := tok.Special(name); !ok {
			return nil, 0, fmt.Errorf("the tokenizer %.12s has no special token %s: name it in the specials of train-tokenizer", tok.Digest(), name)
		}
	}
	end, _ := tok.Special(tokenizer.End)
	return tok, end, nil
}

// Join lays the shards of each split end to end and writes the manifest.
func (s *Encoder) Join(ctx context.Context, t stage.Task) error {
	tok, end, err := s.load(t)
	if err != nil {
		return err
	}
	dtype, _ := dataset.DType(tok.VocabSize())
	m := &dataset.Manifest{Format: dataset.Format, Tokenizer: tok.Digest(), Vocab: tok.VocabSize(), Lossy: tok.Lossy(),
		DType: dtype, End: end, Seed: t.Seed(), Sources: []string{}, Splits: map[string]dataset.Split{}}
	shards, indexes := t.Inputs("shards"), t.Inputs("index")
	if len(shards) != len(indexes) {
		return fmt.Errorf("there are %d shards of ids and %d indexes of them", len(shards), len(indexes))
	}
	var out *splitWriter
	for i := range shards {
		if err := ctx.Err(); err != nil {
			return err
		}
		x, err := readIndex(t, indexes[i])
		if err != nil {
			return err
		}
		if out == nil || out.split != x.Split {
			if err := out.close(m); err != nil {
				return err
			}
			if out, err = newSplitWriter(t, x.Split); err != nil {
				return err
			}
		}
		if err := out.add(t, m, shards[i], x); err != nil {
			return err
		}
		t.Progress(int64(i+1), int64(len(shards)), "shards")
	}
	if err := out.close(m); err != nil {
		return err
	}
	if m.Splits[dataset.Train].Tokens == 0 {
		return errors.New("there are no documents to train on: the shards of train are empty")
	}
	w, err := t.Create("tokens", dataset.ManifestName)
	if err != nil {
		return err
	}
	if _, err := m.WriteTo(w); err != nil {
		return err
	}
	return w.Close()
}

func readIndex(t stage.Task, f stage.File) (x index, err error) {
	h, err := t.Open(f)
	if err != nil {
		return x, err
	}
	defer h.Close()
	if err := json.NewDecoder(h).Decode(&x); err != nil {
		return x, fmt.Errorf("index %.12s: %w", f.Digest, err)
	}
	return x, nil
}

// splitWriter writes the files of one split.
type splitWriter struct {
	split     string
	bin, docs stage.Writer
	sum       dataset.Split
}

func newSplitWriter(t stage.Task, split string) (w *splitWriter, err error) {
	w = &splitWriter{split: split, sum: dataset.Split{Sources: map[string]dataset.Volume{}}}
	if w.bin, err = t.Create("tokens", split+".bin"); err != nil {
		return nil, err
	}
	w.docs, err = t.Create("tokens", split+".docs")
	return w, err
}

// add appends one shard, numbering its sources as the manifest does.
func (w *splitWriter) add(t stage.Task, m *dataset.Manifest, shard stage.File, x index) error {
	number := make([]uint32, len(x.Sources))
	for i, source := range x.Sources {
		number[i] = uint32(sourceNumber(m, source))
	}
	var records []byte
	var err error
	before := w.sum.Tokens
	for _, d := range x.Documents {
		r := dataset.Document{Start: w.sum.Tokens, Tokens: d.Tokens, Bytes: d.Bytes, Words: d.Words, ID: d.ID, Source: number[d.Source]}
		if records, err = dataset.AppendDocument(records, r); err != nil {
			return err
		}
		v := dataset.Volume{Documents: 1, Tokens: d.Tokens, Bytes: d.Bytes, Words: d.Words}
		w.sum.Add(v)
		source := x.Sources[d.Source]
		v.Add(w.sum.Sources[source])
		w.sum.Sources[source] = v
	}
	if _, width := dataset.DType(m.Vocab); shard.Size != (w.sum.Tokens-before)*int64(width) {
		return fmt.Errorf("the shard %.12s has %d bytes; its index counts %d ids of %d bytes", shard.Digest, shard.Size, w.sum.Tokens-before, width)
	}
	if _, err := w.docs.Write(records); err != nil {
		return err
	}
	h, err := t.Open(shard)
	if err != nil {
		return err
	}
	defer h.Close()
	_, err = io.Copy(w.bin, h)
	return err
}

func sourceNumber(m *dataset.Manifest, source string) int {
	for i, s := range m.Sources {
		if s == source {
			return i
		}
	}
	m.Sources = append(m.Sources, source)
	return len(m.Sources) - 1
}

func (w *splitWriter) close(m *dataset.Manifest) error {
	if w == nil {
		return nil
	}
	m.Splits[w.split] = w.sum
	w.bin.SetStats(stage.Stats{Documents: w.sum.Documents, Bytes: w.sum.Bytes, Tokens: w.sum.Tokens})
	if err := w.bin.Close(); err != nil {
		return err
	}
	return w.docs.Close()
}
