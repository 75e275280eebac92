package train

import (
	"sync"
	"sync/atomic"

	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// update moves the parameters by scale times the gradient in t.tree.root, at a rate.
func (t *trainer) update(rate float64, scale float32) {
	var matrices []rwkv.Tensor // that Muon moves
	layers, _ := t.recipe.phase(t.step)
	for _, q := range t.params.Tensors() {
		switch {
		case layers > 0 && q.Block >= layers: // not trained yet
		case q.Group == rwkv.Matrix && t.recipe.Optimizer == Muon:
			matrices = append(matrices, q)
		default:
			t.adamW(q, rate, scale)
		}
	}
	t.muon(matrices, rate/t.recipe.Rate*t.recipe.MuonRate, scale)
}

func (t *trainer) adamW(q rwkv.Tensor, rate float64, scale float32) {
	s := kernel.AdamW{Rate: rate, Beta1: t.recipe.Beta1, Beta2: t.recipe.Beta2, Eps: adamEps, Step: t.step + 1}
	if q.Group.IsMatrix() {
		s.Decay = t.recipe.Decay
	}
	switch q.Group {
	case rwkv.EmbeddingMatrix:
		s.Rate *= t.recipe.EmbRate
	case rwkv.HeadMatrix:
		s.Rate *= t.recipe.HeadRate
	case rwkv.TimeDecay:
		s.Rate *= 2
	case rwkv.TimeFirst:
		s.Rate *= 3
	}
	p, g, m, v := t.views(q)
	t.cpu.AdamW(p, g, m, v, s, scale)
}

// muon shares matrices out among the workers: each is one's, start to end.
func (t *trainer) muon(matrices []rwkv.Tensor, rate float64, scale float32) {
	s := kernel.Muon{Rate: rate, Momentum: t.recipe.Momentum, Decay: t.recipe.Decay}
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, w := range t.workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(matrices) {
					return
				}
				q := matrices[i]
				p, g, m, _ := t.views(q)
				w.cpu.Muon(p, g, m, q.Shape[0], q.Shape[1], s, scale)
			}
		})
	}
	wg.Wait()
}

// views are a tensor's parameters, gradient and moments.
func (t *trainer) views(q rwkv.Tensor) (p, g, m, v []float32) {
	return t.params.Flat[q.Start:q.End], t.tree.root[q.Start:q.End], t.m.Flat[q.Start:q.End], t.v.Flat[q.Start:q.End]
}
