package rwkv

import (
	"math"
	"math/rand/v2"

	"github.com/ptbr-slm/pipeline/model/kernel"
)

// Init returns the starting weights for a seed, as RWKV-LM's v4neo draws them: every
// block is the identity (its output projections are 0), the head gives logits of
// variance 1/4, so the first loss is ln V + 1/8, or ln V where the head is tied to the
// embedding, which starts tiny.
func Init(c Config, seed uint64, threads int) *Params[float32] {
	p := NewParams[float32](c)
	r := &source{rand.NewPCG(seed, 0x7277_6b76_2d34)}
	d, layers := float64(c.Embd), float64(c.Layers)
	for i := range p.Emb {
		p.Emb[i] = float32((float64(2*r.uniform()) - 1) * 1e-4)
	}
	fill(p.LN0W, 1)
	fill(p.LNOutW, 1)
	for l := range p.Blocks {
		b := &p.Blocks[l]
		up := 0.0 // 0 in the first block, 1 in the last
		if c.Layers > 1 {
			up = float64(l) / (layers - 1)
		}
		down := 1 - float64(l)/layers // 1 in the first block, towards 0
		fill(b.LN1W, 1)
		fill(b.LN2W, 1)
		for i := range c.Embd {
			x := float64(i) / d
			b.Decay[i] = float32(-5 + float64(8*kernel.Pow(float64(i)/(d-1), 0.7+float64(1.3*up))))
			b.First[i] = float32(kernel.Log(0.3) + float64(0.5*float64((i+1)%3-1)))
			b.MixK[i] = float32(kernel.Pow(x, down))
			b.MixV[i] = float32(kernel.Pow(x, down) + float64(0.3*up))
			b.MixR[i] = float32(kernel.Pow(x, 0.5*down))
			b.FFNMixK[i], b.FFNMixR[i] = b.MixK[i], b.MixK[i]
		}
		orthogonal(b.Value, c.Embd, c.Embd, 1, r, threads)
		orthogonal(b.FFNKey, c.FFN, c.Embd, 1, r, threads)
	}
	if !c.Tied {
		orthogonal(p.Head, c.Vocab, c.Embd, 0.5, r, threads)
	}
	return p
}

func fill(x []float32, v float32) {
	for i := range x {
		x[i] = v
	}
}

// source draws numbers in a way that no release of the standard library changes: PCG
// is specified, what rand.Rand makes of it is not.
type source struct{ *rand.PCG }

// uniform is in (0, 1).
func (s *source) uniform() float64 { return (float64(s.Uint64()>>11) + 0.5) / (1 << 53) }

// normal is one of N(0,1) by Marsaglia's polar method.
func (s *source) normal() float64 {
	for {
		x, y := 2*s.uniform()-1, 2*s.uniform()-1
		if q := float64(x*x) + float64(y*y); q < 1 && q > 0 {
			return x * math.Sqrt(-2*kernel.Log(q)/q)
		}
	}
}

// orthogonal fills w, [out,in], with a random matrix whose longer side has orthonormal
// rows or columns, times scale and, where out > in, √(out/in): a product with it keeps
// the mean square of its input, times scale².
//
// It is the Q of N(0,1) = QR with R's diagonal positive, found by factoring the Gram
// matrix (Cholesky QR) twice: the second pass removes what the first leaves of rounding.
// Of a matrix at least twice as long as wide, whose singular values are within a factor of
// six of each other, products in float32 do; a square one may be close to singular.
func orthogonal(w []float32, out, in int, scale float64, r *source, threads int) {
	m, n := max(out, in), min(out, in) // the tall side
	if out > in {
		scale *= math.Sqrt(float64(out) / float64(in))
	}
	if m >= 2*n {
		place(w, factorQ[float32](m, n, r, threads), out, in, scale)
	} else {
		place(w, factorQ[float64](m, n, r, threads), out, in, scale)
	}
}

// factorQ is the Q of a random matrix, [m,n].
func factorQ[T kernel.Float](m, n int, r *source, threads int) []T {
	a, q := make([]T, m*n), make([]T, m*n)
	for i := range a {
		a[i] = T(r.normal())
	}
	c := kernel.NewCPU[T](threads)
	gram, wide := make([]T, n*n), make([]float64, n*n)
	for range 2 {
		c.Gemm(true, false, n, n, m, a, a, gram, false)
		for i, x := range gram {
			wide[i] = float64(x)
		}
		for i, x := range inverseCholesky(wide, n) {
			gram[i] = T(x)
		}
		c.Gemm(false, false, m, n, n, a, gram, q, false)
		a, q = q, a
	}
	return a
}

// place writes scale times q, or its transpose where that is [out,in], into w.
func place[T kernel.Float](w []float32, q []T, out, in int, scale float64) {
	for i := range out {
		for j := range in {
			at := j*out + i
			if out >= in {
				at = i*in + j
			}
			w[i*in+j] = float32(scale * float64(q[at]))
		}
	}
}

// inverseCholesky returns R⁻¹ of g = RᵀR, R upper triangular with a positive diagonal.
// It overwrites g.
func inverseCholesky(g []float64, n int) []float64 {
	for i := range n { // R into the upper triangle, row by row
		ri := g[i*n : (i+1)*n]
		for p := range i {
			rp := g[p*n : (p+1)*n]
			s := rp[i]
			for j := i; j < n; j++ {
				ri[j] -= float64(s * rp[j])
			}
		}
		d := math.Sqrt(ri[i])
		for j := i; j < n; j++ {
			ri[j] /= d
		}
	}
	inv := make([]float64, n*n)
	for i := n - 1; i >= 0; i-- { // row i of R·X = I, from the last row up
		xi, ri := inv[i*n:(i+1)*n], g[i*n:(i+1)*n]
		xi[i] = 1
		for p := i + 1; p < n; p++ {
			s, xp := ri[p], inv[p*n:(p+1)*n]
			for j := p; j < n; j++ {
				xi[j] -= float64(s * xp[j])
			}
		}
		for j := i; j < n; j++ {
			xi[j] /= ri[i]
		}
	}
	return inv
}
