package rwkv

import "github.com/ptbr-slm/pipeline/model/kernel"

// Embedding is the network's first part: x = LN0(emb[token]).
type Embedding[T kernel.Float] struct {
	cpu           *kernel.CPU[T]
	e, mean, rstd []T // [N,d], [N], [N]
	d             int
}

// NewEmbedding returns an Embedding for n tokens.
func NewEmbedding[T kernel.Float](cpu *kernel.CPU[T], c Config, n int) *Embedding[T] {
	return &Embedding[T]{cpu: cpu, e: make([]T, n*c.Embd), mean: make([]T, n), rstd: make([]T, n), d: c.Embd}
}

// Forward computes x, [N,d].
func (a *Embedding[T]) Forward(x, emb, w, b []T, tokens []uint32) {
	a.cpu.Embedding(a.e, emb, tokens, a.d)
	a.cpu.LayerNorm(x, a.mean, a.rstd, a.e, w, b)
}

// Backward overwrites the gradients of the three tensors with what they get of dx, which is
// gone afterwards. When add is set it adds to gemb: a tied head's gradient is there before.
func (a *Embedding[T]) Backward(gemb, gw, gb, dx, w []T, tokens []uint32, add bool) {
	a.cpu.LayerNormBackward(dx, gw, gb, dx, a.e, a.mean, a.rstd, w, false)
	a.cpu.EmbeddingBackward(gemb, dx, tokens, a.d, add)
}

// headRows is how many rows of logits stand in memory at a time.
const headRows = 256

// Head is the network's last part with its loss: cross-entropy of Whead·LNout(x). The
// logits of all N rows never stand in memory: each chunk of rows goes forth and back at
// once, so the gradients are there when the loss is.
type Head[T kernel.Float] struct {
	cpu        *kernel.CPU[T]
	h          []T // [headRows,d]
	mean, rstd []T // [N]
	logits     []T // [headRows,V]
	Loss       []T // [N], by position
	v, d       int
}

// NewHead returns a Head for n rows.
func NewHead[T kernel.Float](cpu *kernel.CPU[T], c Config, n int) *Head[T] {
	rows := min(headRows, n)
	return &Head[T]{cpu: cpu, h: make([]T, rows*c.Embd), mean: make([]T, n), rstd: make([]T, n),
		logits: kernel.Large[T](rows * c.Vocab), Loss: make([]T, n), v: c.Vocab, d: c.Embd}
}

// Forward leaves each position's loss in Loss and overwrites dx and the gradients of
// the three tensors with those of the losses' sum. x is [N,d].
func (a *Head[T]) Forward(dx, gw, gb, ghead, x, w, b, head []T, targets []uint32) {
	c, d := a.cpu, a.d
	for lo := 0; lo < len(targets); lo += headRows {
		hi := min(lo+headRows, len(targets))
		logits, h := a.logits[:(hi-lo)*a.v], a.h[:(hi-lo)*d]
		c.LayerNorm(h, a.mean[lo:hi], a.rstd[lo:hi], x[lo*d:hi*d], w, b)
		c.Linear(logits, h, head, hi-lo, d, a.v)
		c.CrossEntropy(a.Loss[lo:hi], logits, targets[lo:hi])
		c.Gemm(false, false, hi-lo, d, a.v, logits, head, dx[lo*d:hi*d], false)
		c.Gemm(true, false, a.v, d, hi-lo, logits, h, ghead, lo > 0)
	}
	c.LayerNormBackward(dx, gw, gb, dx, x, a.mean, a.rstd, w, false)
}
