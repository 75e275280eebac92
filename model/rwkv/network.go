package rwkv

import "github.com/ptbr-slm/pipeline/model/kernel"

// Network runs the whole network forward, without gradients: for evaluation and for the
// prompt of a generation. Not for concurrent use.
type Network[T kernel.Float] struct {
	cpu    *kernel.CPU[T]
	p      *Params[T]
	embed  *Embedding[T]
	layer  *Layer[T]
	x      []T // [N,d]
	logits []T // [headRows,V]
	n      int
}

// NewNetwork returns a Network for batch sequences of seq tokens at a time.
func NewNetwork[T kernel.Float](cpu *kernel.CPU[T], p *Params[T], batch, seq int) *Network[T] {
	n := batch * seq
	return &Network[T]{cpu: cpu, p: p, n: n, embed: NewEmbedding(cpu, p.Config, n),
		layer: NewForward(cpu, p.Config, batch, seq), x: make([]T, n*p.Embd)}
}

// Forward reads tokens, [B,T], going on from s (nil: from nothing), and leaves s after
// them. Where fresh, [B,T] unless nil, says that a document begins, what came before is
// forgotten. Logits of these rows can be had until the next Forward.
func (n *Network[T]) Forward(tokens []uint32, s State[T], fresh []bool) {
	n.embed.Forward(n.x, n.p.Emb, n.p.LN0W, n.p.LN0B, tokens)
	for l := range n.p.Blocks {
		var ls *LayerState[T]
		if s != nil {
			ls = &s[l]
		}
		n.layer.Forward(&n.p.Blocks[l], n.x, n.x, ls, fresh)
	}
}

// Logits calls visit with each row in [lo, hi) and its logits, which it may overwrite
// and which are gone afterwards.
func (n *Network[T]) Logits(lo, hi int, visit func(row int, logits []T)) {
	d, v := n.p.Embd, n.p.Vocab
	if n.logits == nil {
		n.logits = make([]T, min(headRows, n.n)*v)
	}
	for ; lo < hi; lo += headRows {
		rows := min(headRows, hi-lo)
		h := n.embed.e[:rows*d] // free once the blocks have run
		n.cpu.LayerNorm(h, nil, nil, n.x[lo*d:(lo+rows)*d], n.p.LNOutW, n.p.LNOutB)
		n.cpu.Linear(n.logits[:rows*v], h, n.p.Head, rows, d, v)
		for i := range rows {
			visit(lo+i, n.logits[i*v:(i+1)*v])
		}
	}
}
