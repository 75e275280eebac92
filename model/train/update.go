package train

import (
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// update moves the parameters by scale times the gradient in t.tree.root, at a rate.
func (t *trainer) update(rate float64, scale float32) {
	m := &t.matrices
	m.tensors = m.tensors[:0]
	for _, q := range t.tensors {
		switch {
		case t.idle(q):
		case q.Group == rwkv.Matrix && t.recipe.Optimizer == Muon:
			m.tensors = append(m.tensors, q)
		default:
			t.adamW(q, rate, scale)
		}
	}
	if len(m.tensors) == 0 {
		return
	}
	m.how, m.scale = kernel.Muon{Rate: rate / t.recipe.Rate * t.recipe.MuonRate, Momentum: t.recipe.Momentum, Decay: t.recipe.Decay}, scale
	t.turn.Store(0)
	t.working.Add(len(t.workers))
	for _, w := range t.workers {
		go w.matrices()
	}
	t.working.Wait()
}

// muonStep is the matrices that a step moves by Muon.
type muonStep struct {
	tensors []rwkv.Tensor
	how     kernel.Muon
	scale   float32
}

// moveMatrices moves those that the worker gets hold of: each is one's, start to end.
func (t *trainer) moveMatrices(w *worker) {
	for {
		i := int(t.turn.Add(1)) - 1
		if i >= len(t.matrices.tensors) {
			return
		}
		q := t.matrices.tensors[i]
		p, g, m, _ := t.views(q)
		w.cpu.Muon(p, g, m, q.Shape[0], q.Shape[1], t.matrices.how, t.matrices.scale)
	}
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

// views are a tensor's parameters, gradient and moments.
func (t *trainer) views(q rwkv.Tensor) (p, g, m, v []float32) {
	return t.params.Flat[q.Start:q.End], t.tree.root[q.Start:q.End], t.m.Flat[q.Start:q.End], t.v.Flat[q.Start:q.End]
}
