package rwkv

import (
	"slices"

	"github.com/ptbr-slm/pipeline/model/kernel"
)

// Stepper reads one token at a time, from the recurrent state alone: no product of two
// matrices, no memory that grows, no allocation. Its speed is that of reading the weights,
// each of them once for a token. Not for concurrent use.
type Stepper[T kernel.Float] struct {
	cpu          *kernel.CPU[T]
	emb          kernel.Matrix[T] // [V,d]
	row          []T              // [d]: of emb
	ln0, lnOut   stepNorm[T]
	blocks       []stepBlock[T]
	head         []kernel.Product[T] // h → logits
	bytes, reads int64

	x, h, mixK, mixV, mixR, k, v, r, y, dx []T // [d]
	key                                    []T // [f]
	logits                                 []T // [V]
}

// stepNorm is the parameters of a LayerNorm.
type stepNorm[T kernel.Float] struct{ w, b []T } // [d]

// stepBlock is the vectors of a block, and its products with the Stepper's buffers: those in
// one list do not wait for each other.
type stepBlock[T kernel.Float] struct {
	ln1, ln2         stepNorm[T]
	decay, first     []T                 // [d]: -e^Decay, First
	mixK, mixV, mixR []T                 // [d]
	ffnMixK, ffnMixR []T                 // [d]
	in, out          []kernel.Product[T] // mixK, mixV, mixR → k, v, r; y → dx
	ffnIn, ffnOut    []kernel.Product[T] // mixK, mixR → key, r; key → dx
}

// NewStepper returns a Stepper whose matrices are of a kind. In kernel.FP32 they are those of
// p; else it has its own, and p is not needed any more.
func NewStepper[T kernel.Float](cpu *kernel.CPU[T], p *Params[T], kind kernel.Weights) *Stepper[T] {
	c := p.Config
	a := &Stepper[T]{cpu: cpu, row: make([]T, c.Embd), key: make([]T, c.FFN), logits: make([]T, c.Vocab)}
	for _, b := range []*[]T{&a.x, &a.h, &a.mixK, &a.mixV, &a.mixR, &a.k, &a.v, &a.r, &a.y, &a.dx} {
		*b = make([]T, c.Embd)
	}
	need := 0
	for _, t := range p.Tensors() {
		if t.Group.IsMatrix() {
			need += kind.Words(t.Shape[0], t.Shape[1])
		}
	}
	words := kernel.Large[uint32](need)
	pack := func(w []T, rows, cols int) kernel.Matrix[T] {
		m := kernel.Pack(kind, words, w, rows, cols)
		words = words[kind.Words(rows, cols):]
		a.bytes += m.Bytes()
		return m
	}
	product := func(y, w, x []T) kernel.Product[T] {
		m := pack(w, len(y), len(x))
		a.reads += m.Bytes()
		return kernel.NewProduct(y, m, x)
	}
	vector := func(x []T) []T {
		n := kernel.Bytes(x)
		a.bytes += n
		a.reads += n
		if kind != kernel.FP32 {
			x = slices.Clone(x) // so that p can go
		}
		return x
	}
	norm := func(w, b []T) stepNorm[T] { return stepNorm[T]{vector(w), vector(b)} }

	a.emb = pack(p.Emb, c.Vocab, c.Embd)
	a.ln0 = norm(p.LN0W, p.LN0B)
	for l := range p.Blocks {
		b := &p.Blocks[l]
		decay := make([]T, c.Embd)
		cpu.Decay(decay, b.Decay)
		a.blocks = append(a.blocks, stepBlock[T]{
			ln1: norm(b.LN1W, b.LN1B), ln2: norm(b.LN2W, b.LN2B), decay: vector(decay), first: vector(b.First),
			mixK: vector(b.MixK), mixV: vector(b.MixV), mixR: vector(b.MixR), ffnMixK: vector(b.FFNMixK), ffnMixR: vector(b.FFNMixR),
			in:     []kernel.Product[T]{product(a.k, b.Key, a.mixK), product(a.v, b.Value, a.mixV), product(a.r, b.Receptance, a.mixR)},
			out:    []kernel.Product[T]{product(a.dx, b.Output, a.y)},
			ffnIn:  []kernel.Product[T]{product(a.key, b.FFNKey, a.mixK), product(a.r, b.FFNReceptance, a.mixR)},
			ffnOut: []kernel.Product[T]{product(a.dx, b.FFNValue, a.key)}})
	}
	a.lnOut = norm(p.LNOutW, p.LNOutB)
	if c.Tied {
		a.reads += a.emb.Bytes()
		a.head = []kernel.Product[T]{kernel.NewProduct(a.logits, a.emb, a.h)}
	} else {
		a.head = []kernel.Product[T]{product(a.logits, p.Head, a.h)}
	}
	return a
}

// Bytes is the memory of the weights.
func (a *Stepper[T]) Bytes() int64 { return a.bytes }

// TokenBytes is how much of it a token reads: all but the embedding, of which it is a row.
func (a *Stepper[T]) TokenBytes() int64 { return a.reads }

// Step reads a token and returns the logits of the next one, valid until the next Step.
func (a *Stepper[T]) Step(s State[T], token uint32) []T {
	c := a.cpu
	c.LayerNorm(a.x, nil, nil, a.emb.Row(int(token), a.row), a.ln0.w, a.ln0.b)
	for l := range a.blocks {
		b, st := &a.blocks[l], &s[l]
		c.LayerNorm(a.h, nil, nil, a.x, b.ln1.w, b.ln1.b)
		c.TokenShiftRow(a.mixK, a.h, st.Att, b.mixK)
		c.TokenShiftRow(a.mixV, a.h, st.Att, b.mixV)
		c.TokenShiftRow(a.mixR, a.h, st.Att, b.mixR)
		copy(st.Att, a.h)
		c.Products(b.in)
		c.Sigmoid(a.r)
		c.WKV(a.y, b.decay, b.first, a.k, a.v, st.WKV, nil)
		c.Gate(a.y, a.r, a.y)
		c.Products(b.out)
		c.Add(a.x, a.x, a.dx)

		c.LayerNorm(a.h, nil, nil, a.x, b.ln2.w, b.ln2.b)
		c.TokenShiftRow(a.mixK, a.h, st.FFN, b.ffnMixK)
		c.TokenShiftRow(a.mixR, a.h, st.FFN, b.ffnMixR)
		copy(st.FFN, a.h)
		c.Products(b.ffnIn)
		c.SquaredReLU(a.key, a.key)
		c.Products(b.ffnOut)
		c.Sigmoid(a.r)
		c.AddGate(a.x, a.x, a.r, a.dx)
	}
	c.LayerNorm(a.h, nil, nil, a.x, a.lnOut.w, a.lnOut.b)
	c.Products(a.head)
	return a.logits
}
