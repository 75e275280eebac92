package kernel

import (
	"slices"
	"testing"
)

// Every kernel that hands work out gives the same bits for any number of threads.
func TestThreads(t *testing.T) {
	const batch, steps, d, vocab = 3, 50, 130, 300
	run := func(threads int) (all [][]float32) {
		r, c := rng(9), NewCPU[float32](threads)
		n := batch * steps
		buf := func(n int) []float32 { x := make([]float32, n); all = append(all, x); return x }
		x, g, b, dy := normal[float32](r, n*d), normal[float32](r, d), normal[float32](r, d), normal[float32](r, n*d)
		y, mean, rstd := buf(n*d), buf(n), buf(n)
		c.LayerNorm(y, mean, rstd, x, g, b)
		c.LayerNormBackward(buf(n*d), buf(d), buf(d), dy, x, mean, rstd, g, false)
		c.TokenShift(buf(n*d), x, g, nil, steps, nil)
		c.TokenShiftBackward(buf(n*d), buf(d), nil, dy, x, g, nil, steps, nil, false)
		w, wy := buf(d), buf(n*d)
		c.Decay(w, g)
		c.WKV(wy, w, b, x, y, NewWKVState[float32](batch*d), nil)
		c.WKVBackward(buf(d), buf(d), buf(n*d), buf(n*d), dy, wy, w, b, x, y, WKVState[float32]{}, NewWKVState[float32](batch*d), nil)
		s := buf(n * d)
		copy(s, x)
		c.Sigmoid(s)
		c.SigmoidGateBackward(buf(n*d), buf(n*d), dy, s, y)
		c.SquaredReLUBackward(buf(n*d), dy, x)
		tokens := make([]uint32, n)
		for i := range tokens {
			tokens[i] = uint32(r.IntN(vocab))
		}
		c.EmbeddingBackward(buf(vocab*d), dy, tokens, d, false)
		logits := buf(n * vocab)
		copy(logits, normal[float32](r, n*vocab))
		c.CrossEntropy(buf(n), logits, tokens)
		p, m, v := buf(n*d), buf(n*d), buf(n*d)
		c.AdamW(p, dy, m, v, AdamW{Rate: 1e-3, Beta1: .9, Beta2: .99, Eps: 1e-8, Decay: .1, Step: 1}, 0.3)
		all = append(all, []float32{float32(c.SumSquares(logits))})
		return all
	}
	one := run(1)
	for threads := 2; threads <= 5; threads++ {
		for i, x := range run(threads) {
			if !slices.Equal(x, one[i]) {
				t.Errorf("buffer %d: other bits with %d threads", i, threads)
			}
		}
	}
}
