package rwkv

import "github.com/ptbr-slm/pipeline/model/kernel"

// Stepper reads one token at a time, from the recurrent state alone: no product of two
// matrices, no memory that grows, no allocation. Not for concurrent use.
type Stepper[T kernel.Float] struct {
	cpu                       *kernel.CPU[T]
	p                         *Params[T]
	decay                     [][]T // by layer: -e^Decay
	x, h, mix, k, v, r, y, dx []T   // [d]
	key                       []T   // [f]
	logits                    []T   // [V]
}

// NewStepper returns a Stepper.
func NewStepper[T kernel.Float](cpu *kernel.CPU[T], p *Params[T]) *Stepper[T] {
	a := &Stepper[T]{cpu: cpu, p: p, key: make([]T, p.FFN), logits: make([]T, p.Vocab)}
	for _, b := range []*[]T{&a.x, &a.h, &a.mix, &a.k, &a.v, &a.r, &a.y, &a.dx} {
		*b = make([]T, p.Embd)
	}
	for l := range p.Blocks {
		w := make([]T, p.Embd)
		cpu.Decay(w, p.Blocks[l].Decay)
		a.decay = append(a.decay, w)
	}
	return a
}

// Step reads a token and returns the logits of the next one, valid until the next Step.
func (a *Stepper[T]) Step(s State[T], token uint32) []T {
	c, p, d := a.cpu, a.p, a.p.Embd
	c.LayerNorm(a.x, nil, nil, p.Emb[int(token)*d:(int(token)+1)*d], p.LN0W, p.LN0B)
	for l := range p.Blocks {
		b, st := &p.Blocks[l], &s[l]
		c.LayerNorm(a.h, nil, nil, a.x, b.LN1W, b.LN1B)
		a.mixed(a.k, b.Key, st.Att, b.MixK)
		a.mixed(a.v, b.Value, st.Att, b.MixV)
		a.mixed(a.r, b.Receptance, st.Att, b.MixR)
		copy(st.Att, a.h)
		c.Sigmoid(a.r)
		c.WKV(a.y, a.decay[l], b.First, a.k, a.v, st.WKV, nil)
		c.Gate(a.y, a.r, a.y)
		c.Gemv(a.dx, b.Output, a.y)
		c.Add(a.x, a.x, a.dx)

		c.LayerNorm(a.h, nil, nil, a.x, b.LN2W, b.LN2B)
		a.mixed(a.key, b.FFNKey, st.FFN, b.FFNMixK)
		a.mixed(a.r, b.FFNReceptance, st.FFN, b.FFNMixR)
		copy(st.FFN, a.h)
		c.SquaredReLU(a.key, a.key)
		c.Gemv(a.dx, b.FFNValue, a.key)
		c.Sigmoid(a.r)
		c.AddGate(a.x, a.x, a.r, a.dx)
	}
	c.LayerNorm(a.h, nil, nil, a.x, p.LNOutW, p.LNOutB)
	c.Gemv(a.logits, p.Head, a.h)
	return a.logits
}

// mixed computes y = w·(mu·h + (1-mu)·prev).
func (a *Stepper[T]) mixed(y, w, prev, mu []T) {
	a.cpu.TokenShiftRow(a.mix, a.h, prev, mu)
	a.cpu.Gemv(y, w, a.mix)
}
