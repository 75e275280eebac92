package eval

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/eval"
	"github.com/ptbr-slm/pipeline/model/infer"
)

// score measures the model on each text, several at a time, and adds up in their order.
func (e *Evaluator) score(ctx context.Context, t stage.Task, m *infer.Model, end uint32, texts []text, r *Report) error {
	var total int64
	longest := make([]int, len(texts)) // first, so that no worker is left alone with it
	for i, x := range texts {
		longest[i] = i
		total += int64(len(x.tokens))
	}
	slices.SortStableFunc(longest, func(a, b int) int { return cmp.Compare(len(texts[b].tokens), len(texts[a].tokens)) })
	width := func(id uint32) int { return len(m.Tokenizer.Token(id)) }
	type scored struct {
		sums eval.Sums
		by   eval.Positions
	}
	all := make([]scored, len(texts))
	var mu sync.Mutex // of next and done
	var next int
	var done int64
	workers := max(1, min(t.CPUs(), len(texts)))
	g, ctx := errgroup.WithContext(ctx)
	for range workers {
		m := m.Fork()
		m.SetThreads(t.CPUs() / workers)
		g.Go(func() error {
			for {
				mu.Lock()
				if next == len(texts) {
					mu.Unlock()
					return nil
				}
				i := longest[next]
				next++
				mu.Unlock()
				if err := ctx.Err(); err != nil {
					return err
				}
				// In the training data a document follows the end of another; that end is not
				// predicted here, so what is measured is the text and nothing else.
				all[i].sums, all[i].by = eval.Score(m, append([]uint32{end}, texts[i].tokens...), e.c.Context, width)
				mu.Lock()
				done += int64(len(texts[i].tokens))
				t.Progress(done, total, "tokens")
				mu.Unlock()
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var positions eval.Positions
	for i, x := range texts {
		s := all[i].sums
		s.Bytes = int64(len(x.text))
		s.Words = int64(corpus.CountWords(x.text))
		positions.Add(all[i].by)
		r.Documents = append(r.Documents, Document{ID: x.id, Source: x.source, Whole: x.whole, Sums: s, BitsPerByte: s.Measures().BitsPerByte})
	}
	r.add(e.c, t.Seed())
	for i, p := range positions {
		m := p.Measures()
		r.Positions = append(r.Positions, Position{From: 1 << i, To: 1<<(i+1) - 1, Tokens: p.Tokens, BitsPerToken: m.BitsPerToken, BitsPerByte: m.BitsPerByte, Top1: m.Top1})
	}
	return nil
}

// baselines measures the n-gram model and the compressor on the same texts.
func (e *Evaluator) baselines(ctx context.Context, t stage.Task, texts []text, r *Report) error {
	if len(t.Inputs("train")) == 0 || e.c.Baselines.TrainBytes == 0 {
		return nil
	}
	picked, _, err := readLowest(ctx, t, "train", e.c.Baselines.TrainBytes, e.c.Baselines.TrainBytes)
	if err != nil {
		return err
	}
	var train, val []string
	room := e.c.Baselines.TrainBytes
	for _, x := range picked {
		s := cut(x.text, room)
		room -= int64(len(s))
		train = append(train, s)
		r.Baselines.TrainBytes += int64(len(s))
	}
	r.Baselines.TrainDocuments = int64(len(train))
	m, err := eval.TrainNGram(train, e.c.Baselines.Order)
	if err != nil {
		return err
	}
	b := NGram{Order: m.Order(), NGrams: m.Size(), BySource: map[string]float64{}}
	var ratios []eval.Ratio
	sums := map[string]eval.Ratio{}
	var all eval.Ratio
	for _, x := range texts {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := eval.Ratio{Num: eval.Bits(m.Nats(x.text)), Den: float64(len(x.text))}
		ratios = append(ratios, d)
		s := sums[x.source]
		sums[x.source] = eval.Ratio{Num: s.Num + d.Num, Den: s.Den + d.Den}
		all.Num += d.Num
		all.Den += d.Den
		val = append(val, x.text)
	}
	b.BitsPerByte = all.Num / all.Den
	for source, s := range sums {
		b.BySource[source] = s.Num / s.Den
	}
	b.Interval = interval(ratios, e.c.Bootstrap, t.Seed())
	r.Baselines.NGram = &b
	z, err := eval.CompressAfter(train, val)
	if err != nil {
		return err
	}
	r.Baselines.Zstd = &Zstd{Zstd: z, BitsPerByte: 8 * float64(z.After) / all.Den, AloneBitsPerByte: 8 * float64(z.Alone) / all.Den}
	return nil
}

func interval(ratios []eval.Ratio, resamples int, seed uint64) *eval.Interval {
	i, ok := eval.Bootstrap(ratios, resamples, seed)
	if !ok || math.IsNaN(i.Low) {
		return nil
	}
	return &i
}
