package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func normal[T Float](r *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(r.NormFloat64())
	}
	return x
}

func weighted(y, c []float64) (s float64) {
	for i := range y {
		s += y[i] * c[i]
	}
	return s
}

// checkGrad holds grad against central differences of f by x.
func checkGrad(t *testing.T, name string, x, grad []float64, f func() float64) {
	t.Helper()
	for i, v := range x {
		const h = 1e-5
		x[i] = v + h
		up := f()
		x[i] = v - h
		down := f()
		x[i] = v
		want := (up - down) / (2 * h)
		if d := math.Abs(want - grad[i]); !(d <= 1e-7*(1+math.Abs(want))) {
			t.Errorf("%s[%d]: gradient %g, finite difference %g", name, i, grad[i], want)
			return
		}
	}
}

func TestLayerNorm(t *testing.T) {
	r, c := rng(1), NewCPU[float64](2)
	for _, d := range []int{1, 2, 5, 16, 37} {
		rows := 70
		x, g, b, w := normal[float64](r, rows*d), normal[float64](r, d), normal[float64](r, d), normal[float64](r, rows*d)
		y, mean, rstd := make([]float64, rows*d), make([]float64, rows), make([]float64, rows)
		f := func() float64 { c.LayerNorm(y, mean, rstd, x, g, b); return weighted(y, w) }
		f()
		dx, dg, db := make([]float64, rows*d), make([]float64, d), make([]float64, d)
		c.LayerNormBackward(dx, dg, db, w, x, mean, rstd, g, false)
		over := slices.Clone(w)
		c.LayerNormBackward(over, dg, db, over, x, mean, rstd, g, false)
		if !slices.Equal(over, dx) {
			t.Fatalf("d=%d: other gradients where dx is dy", d)
		}
		twice := slices.Clone(dx)
		c.LayerNormBackward(twice, dg, db, w, x, mean, rstd, g, true)
		for i := range dx {
			if twice[i] != 2*dx[i] {
				t.Fatalf("d=%d: adding to dx gave %g, not twice %g", d, twice[i], dx[i])
			}
		}
		if d > 2 { // of one value it is 0/sqrt(eps), too steep for differences; of two, a step
			checkGrad(t, "dx", x, dx, f)
		}
		checkGrad(t, "dg", g, dg, f)
		checkGrad(t, "db", b, db, f)
	}
}

func TestTokenShift(t *testing.T) {
	r, c := rng(2), NewCPU[float64](2)
	for _, q := range []struct{ batch, seq, d int }{{1, 1, 3}, {3, 1, 2}, {2, 7, 5}, {3, 40, 4}} {
		n := q.batch * q.seq * q.d
		h, mu, first, w := normal[float64](r, n), normal[float64](r, q.d), normal[float64](r, q.batch*q.d), normal[float64](r, n)
		y, dh, dmu, dfirst := make([]float64, n), make([]float64, n), make([]float64, q.d), make([]float64, q.batch*q.d)
		f := func() float64 { c.TokenShift(y, h, mu, first, q.seq, nil); return weighted(y, w) }
		c.TokenShiftBackward(dh, dmu, dfirst, w, h, mu, first, q.seq, nil, false)
		checkGrad(t, "dh", h, dh, f)
		checkGrad(t, "dmu", mu, dmu, f)
		checkGrad(t, "dfirst", first, dfirst, f)

		f0 := func() float64 { c.TokenShift(y, h, mu, nil, q.seq, nil); return weighted(y, w) }
		c.TokenShiftBackward(dh, dmu, nil, w, h, mu, nil, q.seq, nil, false)
		checkGrad(t, "dh from zeros", h, dh, f0)
		checkGrad(t, "dmu from zeros", mu, dmu, f0)
	}
}

func TestGates(t *testing.T) {
	r, c := rng(3), NewCPU[float64](2)
	n := 50
	q, x, a, w := normal[float64](r, n), normal[float64](r, n), normal[float64](r, n), normal[float64](r, n)
	s, y := make([]float64, n), make([]float64, n)
	f := func() float64 {
		copy(s, q)
		c.Sigmoid(s)
		c.AddGate(y, a, s, x)
		return weighted(y, w)
	}
	f()
	dq, dx := make([]float64, n), make([]float64, n)
	c.SigmoidGateBackward(dq, dx, w, s, x)
	checkGrad(t, "dq", q, dq, f)
	checkGrad(t, "dx", x, dx, f)
	for i := range s {
		if want := 1 / (1 + math.Exp(-q[i])); math.Abs(s[i]-want) > 1e-15 {
			t.Fatalf("sigmoid(%g) = %g, want %g", q[i], s[i], want)
		}
	}
	c.Gate(y, s, x)
	if y[7] != s[7]*x[7] {
		t.Error("gate")
	}
	g := func() float64 { c.SquaredReLU(y, x); return weighted(y, w) }
	c.SquaredReLUBackward(dx, w, x)
	checkGrad(t, "squared relu", x, dx, g)
}

func TestEmbedding(t *testing.T) {
	r, c := rng(4), NewCPU[float64](2)
	const v, d = 7, 40
	e, tokens := normal[float64](r, v*d), []uint32{3, 3, 0, 6, 3, 1}
	w, y, de := normal[float64](r, len(tokens)*d), make([]float64, len(tokens)*d), make([]float64, v*d)
	f := func() float64 { c.Embedding(y, e, tokens, d); return weighted(y, w) }
	c.EmbeddingBackward(de, w, tokens, d, false)
	checkGrad(t, "de", e, de, f)
	more := normal[float64](r, v*d)
	sum := slices.Clone(more)
	c.EmbeddingBackward(sum, slices.Clone(w), tokens, d, true)
	for i := range sum {
		if sum[i] != more[i]+de[i] {
			t.Fatalf("%g and %g add up to %g", more[i], de[i], sum[i])
		}
	}
}

func TestCrossEntropy(t *testing.T) {
	r, c := rng(5), NewCPU[float64](2)
	const v = 19
	targets := []uint32{0, 18, 4, Ignore, 4}
	x := normal[float64](r, len(targets)*v)
	x[2*v+3] = 700 // far above the rest
	loss := make([]float64, len(targets))
	f := func() (s float64) {
		y := append([]float64(nil), x...)
		c.CrossEntropy(loss, y, targets)
		for _, l := range loss {
			s += l
		}
		return s
	}
	g := append([]float64(nil), x...)
	c.CrossEntropy(loss, g, targets)
	checkGrad(t, "logits", x[:2*v], g[:2*v], f)
	checkGrad(t, "logits", x[3*v:], g[3*v:], f)
	if want := x[2*v+3] - x[2*v+4]; math.Abs(loss[2]-want) > 1e-9 || loss[3] != 0 {
		t.Errorf("losses %g, %g; want %g, 0", loss[2], loss[3], want)
	}
	if l := c.Loss(append([]float64(nil), x[v:2*v]...), 18); math.Abs(l-loss[1]) > 1e-14 {
		t.Errorf("Loss gives %g, CrossEntropy %g", l, loss[1])
	}
	p := append([]float64(nil), x[:v]...)
	c.Softmax(p)
	if s := sum(p); math.Abs(s-1) > 1e-14 || math.Abs(-math.Log(p[0])-loss[0]) > 1e-13 {
		t.Errorf("probabilities sum to %g, p[0] = %g, loss %g", s, p[0], loss[0])
	}
}

func TestAdamW(t *testing.T) {
	r, c := rng(6), NewCPU[float64](2)
	const n = 33
	p, m, v := normal[float64](r, n), make([]float64, n), make([]float64, n)
	q := append([]float64(nil), p...)
	qm, qv := make([]float64, n), make([]float64, n)
	for step := 1; step <= 5; step++ {
		g := normal[float64](r, n)
		s := AdamW{Rate: 1e-2, Beta1: .9, Beta2: .99, Eps: 1e-3, Decay: .1, Step: step}
		c.AdamW(p, g, m, v, s, 0.5)
		for i := range q {
			x := g[i] / 2
			qm[i] = .9*qm[i] + .1*x
			qv[i] = .99*qv[i] + .01*x*x
			mh, vh := qm[i]/(1-math.Pow(.9, float64(step))), qv[i]/(1-math.Pow(.99, float64(step)))
			q[i] -= 1e-2 * (mh/(math.Sqrt(vh)+1e-3) + .1*q[i])
			if math.Abs(q[i]-p[i]) > 1e-14 {
				t.Fatalf("step %d: %g, want %g", step, p[i], q[i])
			}
		}
	}
}

func TestExp(t *testing.T) {
	worst := 0.0
	var x [1]float32
	for i := -8600; i <= 8870; i++ {
		for _, d := range []float32{0, 0.0031, 0.0067} {
			v := float32(i)/100 + d
			x[0] = v
			exp32(x[:])
			want := math.Exp(float64(v))
			worst = max(worst, math.Abs(float64(x[0])-want)/want)
		}
	}
	if worst > 2.5e-7 {
		t.Errorf("relative error up to %g", worst)
	}
	nan := float32(math.NaN())
	y := []float32{0, -87, -1e30, float32(math.Inf(-1)), 100, float32(math.Inf(1)), nan}
	exp32(y)
	if y[0] != 1 || y[1] != 0 || y[2] != 0 || y[3] != 0 || !math.IsInf(float64(y[4]), 1) || !math.IsInf(float64(y[5]), 1) || y[6] == y[6] {
		t.Errorf("special values: %v", y)
	}
}

func TestSums(t *testing.T) {
	r := rng(7)
	for n := range 70 {
		x, y := normal[float64](r, n), normal[float64](r, n)
		var s, d float64
		for i := range x {
			s += x[i]
			d += x[i] * y[i]
		}
		if math.Abs(s-sum(x)) > 1e-12 || math.Abs(d-dot(x, y)) > 1e-12 {
			t.Fatalf("n=%d: sum %g want %g, dot %g want %g", n, sum(x), s, dot(x, y), d)
		}
	}
	c := NewCPU[float32](3)
	x := normal[float32](r, 3*span+5)
	var s float64
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	if got := c.SumSquares(x); math.Abs(got-s) > 1e-9*s {
		t.Errorf("sum of squares %g, want %g", got, s)
	}
}
