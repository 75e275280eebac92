package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// polar is the orthogonal matrix nearest to x, [rows,cols], by Newton's iteration
// X ← X(3I - XᵀX)/2 in float64, which converges to it.
func polar(x []float64, rows, cols int) []float64 {
	c := NewCPU[float64](1)
	x = slices.Clone(x)
	scale(x, 1/math.Sqrt(c.SumSquares(x)))
	gram, next := make([]float64, cols*cols), make([]float64, len(x))
	for range 60 {
		c.Gemm(true, false, cols, cols, rows, x, x, gram, false)
		scale(gram, -0.5)
		for i := range cols {
			gram[i*cols+i] += 1.5
		}
		c.Gemm(false, false, rows, cols, cols, x, gram, next, false)
		x, next = next, x
	}
	return x
}

// A step goes along the nearest orthogonal matrix of the running mean, whatever the shape
// and however small the gradient, with the same bits on every path and for any threads.
func TestMuon(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, q := range []struct {
		rows, cols int
		size       float64
	}{{1, 1, 1}, {1, 7, 1}, {5, 1, 1}, {16, 16, 1}, {33, 17, 1e-12}, {17, 33, 1e6}, {64, 16, 1e-30}, {48, 96, 1}} {
		n := q.rows * q.cols
		p, m, g := make([]float32, n), make([]float32, n), make([]float32, n)
		mean, mixed := make([]float64, n), make([]float64, n)
		for i := range g {
			p[i] = float32(r.NormFloat64())
			m[i], g[i] = float32(q.size*r.NormFloat64()), float32(4*q.size*r.NormFloat64())
			mean[i] = 0.9*float64(m[i]) + 0.1*0.25*float64(g[i])
			mixed[i] = 0.9*mean[i] + 0.1*0.25*float64(g[i])
		}
		o := polar(mixed, q.rows, q.cols)
		var first []float32
		for _, path := range paths() {
			for threads := 1; threads <= 3; threads++ {
				c := NewCPU[float32](threads)
				c.path = path
				p, m := slices.Clone(p), slices.Clone(m)
				before := slices.Clone(p)
				c.Muon(p, g, m, q.rows, q.cols, Muon{Rate: 0.1, Momentum: 0.9, Decay: 0.5}, 0.25)
				if first == nil {
					first = p
					var dot, length float64
					up := 0.1 * math.Sqrt(max(1, float64(q.rows)/float64(q.cols)))
					for i := range p {
						moved := (0.95*float64(before[i]) - float64(p[i])) / up
						dot += moved * o[i]
						length += moved * moved
						if math.Abs(float64(m[i])-mean[i]) > 1e-5*q.size*8 {
							t.Fatalf("%v: mean %g, want %g", q, m[i], mean[i])
						}
					}
					rank := float64(min(q.rows, q.cols)) // the squared length of o
					if cos := dot / math.Sqrt(length*rank); cos < 0.96 || length < 0.45*rank || length > 1.4*rank {
						t.Errorf("%v: cosine %.3f to the orthogonal matrix, squared length %.2f of %g", q, cos, length, rank)
					}
				}
				if !slices.Equal(p, first) {
					t.Errorf("%v: other bits on %s with %d threads", q, path.name, threads)
				}
			}
		}
	}
}

// A matrix that no gradient has reached, as those that begin with zeros behind others that
// do, stays, and is no source of NaN.
func TestMuonWithoutGradient(t *testing.T) {
	p, g, m := []float32{1, 2, 3, 4, 5, 6}, make([]float32, 6), make([]float32, 6)
	NewCPU[float32](1).Muon(p, g, m, 2, 3, Muon{Rate: 0.1, Momentum: 0.95}, 1)
	if !slices.Equal(p, []float32{1, 2, 3, 4, 5, 6}) || !slices.Equal(m, make([]float32, 6)) {
		t.Errorf("moved to %v, mean %v", p, m)
	}
}
