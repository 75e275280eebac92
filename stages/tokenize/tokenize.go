// Package tokenize is the stage kind tokenize: documents and a tokenizer become the
// token files that training and evaluation read (package dataset). A part encodes one
// shard; join lays the shards end to end.
package tokenize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/dataset"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is the `with:` of a tokenize stage.
type Config struct {
	Layout        string   `json:"layout" jsonschema:"enum=plain,enum=llm.c,enum=megatron,enum=u64-count" jsonschema_description:"how the ids stand in the .bin: plain (nanoGPT), after the header of llm.c, with the index of Megatron-LM and RWKV-LM beside them and 0 as the end of a document, or after their number (PTBR-SLM)"`
	AllowSpecials []string `json:"allow-specials" jsonschema_description:"special tokens that become their ids where documents have them written out, for text made with them (chats); all others stay text"`
}

// Kind is tokenize.
var Kind = stage.Kind{
	Name:    "tokenize",
	Version: 2,
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
	Out:        []stage.Port{{Name: "tokens", Doc: "train.bin, val.bin, the documents in them, manifest.json", Type: stage.Tokens}},
	Config:     Config{Layout: string(dataset.Plain), AllowSpecials: []string{}},
	JoinConfig: []string{"layout"}, // parts write ids and nothing else, whatever the layout
	New:        stage.Build(New),
}

// Encoder is a configured tokenize stage.
type Encoder struct{ c Config }

// New makes the stage.
func New(c Config) (stage.Stage, error) {
	errs := []error{dataset.Layout(c.Layout).Check(0)}
	seen := map[string]bool{}
	for _, name := range c.AllowSpecials {
		if seen[name] {
			errs = append(errs, fmt.Errorf("allow-specials names %q twice", name))
		}
		seen[name] = true
	}
	return &Encoder{c}, errors.Join(errs...)
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
	m := &dataset.Manifest{Format: dataset.Format, Tokenizer: tok.Digest(), Vocab: tok.VocabSize(), Lossy: tok.Lossy(),
		End: end, Seed: t.Seed(), Sources: []string{}, Splits: map[string]dataset.Split{},
		Layout: dataset.Layout(s.c.Layout), Digests: map[string]string{}}
	m.DType, _ = dataset.DType(m.Vocab)
	if err := m.Layout.Check(m.Vocab); err != nil {
		return err
	}
	if m.Layout == dataset.Megatron && end != 0 {
		m.Exchanged = []uint32{0, end}
		t.Logf("layout %s: a document ends with the id 0 there, so 0 (%s) and %d (%s) stand for each other in the .bin files; the manifest says so",
			m.Layout, tok.Token(0), end, tok.Token(end))
	}
	shards, indexes := t.Inputs("shards"), t.Inputs("index")
	parts := 0
	for _, split := range dataset.Splits {
		parts += len(t.Inputs(split))
	}
	if len(shards) != parts || len(indexes) != parts {
		return fmt.Errorf("of %d parts there are %d shards of ids and %d indexes of them", parts, len(shards), len(indexes))
	}
	at := 0
	for _, split := range dataset.Splits {
		n := len(t.Inputs(split))
		if n == 0 {
			continue
		}
		out, err := newSplitWriter(t, m, split, shards[at:at+n])
		if err != nil {
			return err
		}
		for i := at; i < at+n; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			x, err := readIndex(t, indexes[i])
			if err != nil {
				return err
			}
			if err := out.add(t, shards[i], x); err != nil {
				return err
			}
			t.Progress(int64(i+1), int64(parts), "shards")
		}
		if err := out.close(t); err != nil {
			return err
		}
		at += n
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
