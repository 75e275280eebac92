package kernel

import (
	"math"
	"slices"
	"testing"
)

// direct is WKV by its definition, without the running maximum.
func direct(decay, u, k, v []float64, batch, steps int) []float64 {
	c := len(u)
	y := make([]float64, len(k))
	for b := range batch {
		for i := range c {
			at := func(t int) int { return (b*steps+t)*c + i }
			for t := range steps {
				e := math.Exp(u[i] + k[at(t)])
				num, den := e*v[at(t)], e
				for j := range t {
					e := math.Exp(float64(t-1-j)*-math.Exp(decay[i]) + k[at(j)])
					num, den = num+e*v[at(j)], den+e
				}
				y[at(t)] = num / den
			}
		}
	}
	return y
}

func TestWKV(t *testing.T) {
	r, c := rng(1), NewCPU[float64](2)
	const batch, steps, ch = 2, 9, 70
	decay, u := normal[float64](r, ch), normal[float64](r, ch)
	k, v := normal[float64](r, batch*steps*ch), normal[float64](r, batch*steps*ch)
	w, y, s := make([]float64, ch), make([]float64, len(k)), NewWKVState[float64](batch*ch)
	c.Decay(w, decay)
	c.WKV(y, w, u, k, v, s, nil)
	for i, want := range direct(decay, u, k, v, batch, steps) {
		if math.Abs(y[i]-want) > 1e-12 {
			t.Fatalf("y[%d] = %g, want %g", i, y[i], want)
		}
	}
	// Huge keys: y stays between the least and the largest v, and B at least 1.
	for i := range k {
		k[i] *= 1e4
	}
	s.Reset()
	c.WKV(y, w, u, k, v, s, nil)
	for i := range y {
		if !(math.Abs(y[i]) <= slices.Max(v)-slices.Min(v)) {
			t.Fatalf("y[%d] = %g", i, y[i])
		}
	}
	if slices.Min(s.B) < 1 {
		t.Errorf("a denominator fell to %g", slices.Min(s.B))
	}
}

// A gradient in both forms: the loss is Σ w·y plus a weighted sum of the final a·e^p
// and b·e^p, from a state that has seen something.
func TestWKVBackward(t *testing.T) {
	r, c := rng(2), NewCPU[float64](2)
	for _, q := range []struct{ batch, steps, ch int }{{1, 1, 3}, {2, 2, 3}, {2, 12, 67}} {
		n := q.batch * q.steps * q.ch
		decay, u, wy := normal[float64](r, q.ch), normal[float64](r, q.ch), normal[float64](r, n)
		k, v := normal[float64](r, n), normal[float64](r, n)
		start := NewWKVState[float64](q.batch * q.ch)
		for i := range start.A {
			start.A[i], start.B[i], start.P[i] = r.NormFloat64(), 1+r.Float64(), r.NormFloat64()
		}
		ga, gb := normal[float64](r, len(start.A)), normal[float64](r, len(start.A))
		w, y, s := make([]float64, q.ch), make([]float64, n), NewWKVState[float64](len(start.A))
		f := func() float64 {
			copy(s.A, start.A)
			copy(s.B, start.B)
			copy(s.P, start.P)
			c.Decay(w, decay)
			c.WKV(y, w, u, k, v, s, nil)
			l := weighted(y, wy)
			for i := range s.A {
				l += (s.A[i]*ga[i] + s.B[i]*gb[i]) * math.Exp(s.P[i])
			}
			return l
		}
		f()
		g := WKVState[float64]{slices.Clone(ga), slices.Clone(gb), make([]float64, len(ga))}
		gd, gu, gk, gv := make([]float64, q.ch), make([]float64, q.ch), make([]float64, n), make([]float64, n)
		c.WKVBackward(gd, gu, gk, gv, wy, y, w, u, k, v, start, g, nil)
		checkGrad(t, "time_decay", decay, gd, f)
		checkGrad(t, "time_first", u, gu, f)
		checkGrad(t, "k", k, gk, f)
		checkGrad(t, "v", v, gv, f)
		for i := range g.A { // of a and b: p is part of A = a·e^p
			e := math.Exp(g.P[i] + start.P[i])
			g.A[i] *= e
			g.B[i] *= e
		}
		checkGrad(t, "a", start.A, g.A, f)
		checkGrad(t, "b", start.B, g.B, f)
	}
}

// Chunks that hand on states forth and gradients back give what one pass gives.
func TestWKVChunks(t *testing.T) {
	r, c := rng(3), NewCPU[float64](1)
	const steps, ch = 20, 5
	decay, u, gy := normal[float64](r, ch), normal[float64](r, ch), normal[float64](r, steps*ch)
	k, v, w := normal[float64](r, steps*ch), normal[float64](r, steps*ch), make([]float64, ch)
	c.Decay(w, decay)
	run := func(cuts ...int) (y []float64, grads [4][]float64) {
		y = make([]float64, steps*ch)
		s := NewWKVState[float64](ch)
		var starts []WKVState[float64]
		for i := range len(cuts) - 1 {
			lo, hi := cuts[i]*ch, cuts[i+1]*ch
			starts = append(starts, WKVState[float64]{slices.Clone(s.A), slices.Clone(s.B), slices.Clone(s.P)})
			c.WKV(y[lo:hi], w, u, k[lo:hi], v[lo:hi], s, nil)
		}
		g := NewWKVState[float64](ch)
		gd, gu, gk, gv := make([]float64, ch), make([]float64, ch), make([]float64, steps*ch), make([]float64, steps*ch)
		for i := len(cuts) - 2; i >= 0; i-- {
			lo, hi := cuts[i]*ch, cuts[i+1]*ch
			d1, u1 := make([]float64, ch), make([]float64, ch)
			c.WKVBackward(d1, u1, gk[lo:hi], gv[lo:hi], gy[lo:hi], y[lo:hi], w, u, k[lo:hi], v[lo:hi], starts[i], g, nil)
			add(gd, gd, d1)
			add(gu, gu, u1)
		}
		return y, [4][]float64{gd, gu, gk, gv}
	}
	y1, g1 := run(0, steps)
	y2, g2 := run(0, 1, 8, 9, steps)
	for i := range y1 {
		if math.Abs(y1[i]-y2[i]) > 1e-14 {
			t.Fatalf("y[%d]: %g in one, %g in chunks", i, y1[i], y2[i])
		}
	}
	for n := range g1 {
		for i := range g1[n] {
			if math.Abs(g1[n][i]-g2[n][i]) > 1e-13 {
				t.Fatalf("gradient %d[%d]: %g in one, %g in chunks", n, i, g1[n][i], g2[n][i])
			}
		}
	}
}

// Float32 against float64, with magnitudes a trained model never has.
func FuzzWKV(f *testing.F) {
	f.Add(uint64(1), float32(1))
	f.Add(uint64(2), float32(30))
	f.Fuzz(func(t *testing.T, seed uint64, scale float32) {
		if !(scale >= 0 && scale <= 1000) {
			t.Skip()
		}
		r := rng(seed)
		const batch, steps, ch = 2, 17, 6
		n := batch * steps * ch
		decay, u, k, v, gy := normal[float32](r, ch), normal[float32](r, ch), normal[float32](r, n), normal[float32](r, n), normal[float32](r, n)
		for i := range k {
			k[i] *= scale
		}
		y, g := wkvBoth(decay, u, k, v, gy, batch)
		y64, g64 := wkvBoth(wide(decay), wide(u), wide(k), wide(v), wide(gy), batch)
		tol := 1e-5 * (1 + float64(scale))
		for i := range y {
			if !(math.Abs(float64(y[i])-y64[i]) <= tol) {
				t.Fatalf("y[%d] = %g, want %g", i, y[i], y64[i])
			}
		}
		for j := range g {
			for i := range g[j] {
				if !(math.Abs(float64(g[j][i])-g64[j][i]) <= 20*tol*(1+math.Abs(g64[j][i]))) {
					t.Fatalf("gradient %d[%d] = %g, want %g", j, i, g[j][i], g64[j][i])
				}
			}
		}
	})
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func wkvBoth[T Float](decay, u, k, v, gy []T, batch int) ([]T, [4][]T) {
	c, ch := NewCPU[T](1), len(u)
	w, y := make([]T, ch), make([]T, len(k))
	c.Decay(w, decay)
	c.WKV(y, w, u, k, v, NewWKVState[T](batch*ch), nil)
	g := [4][]T{make([]T, ch), make([]T, ch), make([]T, len(k)), make([]T, len(k))}
	c.WKVBackward(g[0], g[1], g[2], g[3], gy, y, w, u, k, v, WKVState[T]{}, NewWKVState[T](batch*ch), nil)
	return y, g
}
