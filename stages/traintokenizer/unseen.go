package traintokenizer

import (
	"context"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/model/tokenizer/gpt2"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// unseen is how the tokenizer fits text that it was not learnt from, beside how GPT-2's
// does, which cuts the text by rules of its own.
type unseen struct {
	Own  *fit `json:"own"`
	GPT2 *fit `json:"gpt2"`
}

// measureUnseen encodes the documents of port val, all of them and whole, with both.
func (s *Trainer) measureUnseen(ctx context.Context, t stage.Task, own *tokenizer.Tokenizer) (*unseen, error) {
	files := t.Inputs("val")
	if len(files) == 0 {
		return nil, nil
	}
	theirs, err := gpt2.Tokenizer()
	if err != nil {
		return nil, err
	}
	u := &unseen{newFit(), newFit()}
	both := []struct {
		tok        *tokenizer.Tokenizer
		fit        *fit
		splitter   string
		normalizer []string
		pieces     map[string]*tokenizer.Counter // by source
	}{
		{own, u.Own, s.c.Splitter, s.c.Normalizer, map[string]*tokenizer.Counter{}},
		{theirs, u.GPT2, gpt2.Splitter, nil, map[string]*tokenizer.Counter{}},
	}
	var ids []uint32
	err = docs.Each(ctx, t, files, func(d *corpus.Document) error {
		words := uint64(corpus.CountWords(d.Text))
		for _, b := range both {
			if b.pieces[d.Source] == nil {
				if b.pieces[d.Source], err = tokenizer.NewCounter(b.splitter, b.normalizer); err != nil {
					return err
				}
			}
			b.pieces[d.Source].Add(d.Text)
			ids = b.tok.Encode(ids[:0], d.Text)
			x := b.fit.source(d.Source)
			x.Documents++
			x.Bytes += uint64(len(d.Text))
			x.Words += words
			x.Tokens += uint64(len(ids))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, b := range both {
		for source, pieces := range b.pieces {
			x := b.fit.source(source)
			x.Long = pieces.Long
			for _, p := range pieces.Words() {
				ids = b.tok.Encode(ids[:0], p.Text)
				x.countSplit(p, len(ids))
			}
		}
		b.fit.finish()
	}
	return u, nil
}
