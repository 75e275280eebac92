package kernel

import "math"

// AdamW is one step of the optimizer for one group of parameters: Adam with decoupled
// weight decay (Loshchilov & Hutter 2019), p -= Rate·(m̂/(√v̂+Eps) + Decay·p).
type AdamW struct {
	Rate, Beta1, Beta2, Eps, Decay float64
	Step                           int // from 1; for the bias corrections
}

// AdamW updates parameters p and moments m and v by the gradient scale·g.
func (c *CPU[T]) AdamW(p, g, m, v []T, s AdamW, scale T) {
	b1, b2 := T(s.Beta1), T(s.Beta2)
	o1, o2 := T(1-s.Beta1), T(1-s.Beta2)
	// m̂/(√v̂+eps) = m/(√v+eps·√c2) · √c2/c1
	c1, c2 := 1-Pow(s.Beta1, float64(s.Step)), 1-Pow(s.Beta2, float64(s.Step))
	step, eps := T(s.Rate*math.Sqrt(c2)/c1), T(s.Eps*math.Sqrt(c2))
	keep := T(1 - float64(s.Rate*s.Decay))
	c.tasks.adamW = adamWTask[T]{c.path.adamW, p, g, m, v, scale, b1, o1, b2, o2, keep, step, eps}
	c.spans(len(p), span, &c.tasks.adamW)
}

type adamWTask[T Float] struct {
	f                                      func(p, g, m, v []T, scale, b1, o1, b2, o2, keep, step, eps T)
	p, g, m, v                             []T
	scale, b1, o1, b2, o2, keep, step, eps T
}

func (k *adamWTask[T]) span(_, lo, hi int) {
	k.f(k.p[lo:hi], k.g[lo:hi], k.m[lo:hi], k.v[lo:hi], k.scale, k.b1, k.o1, k.b2, k.o2, k.keep, k.step, k.eps)
}

func adamW[T Float](p, g, m, v []T, scale, b1, o1, b2, o2, keep, step, eps T) {
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	for i := range p {
		x := T(g[i] * scale)
		mi := T(b1*m[i]) + T(o1*x)
		vi := T(b2*v[i]) + T(T(o2*x)*x)
		m[i], v[i] = mi, vi
		root := T(math.Sqrt(float64(vi))) // of a float32: correctly rounded
		p[i] = T(p[i]*keep) - T(step*mi)/(root+eps)
	}
}

// SumSquares returns Σx², in float64: squares in 16 lanes by span, spans in order.
func (c *CPU[T]) SumSquares(x []T) float64 {
	n := (len(x) + span - 1) / span
	if len(c.squares) < n {
		c.squares = make([]float64, n)
	}
	c.tasks.squares = squares[T]{c.path, x, c.squares}
	c.each(n, &c.tasks.squares)
	var total float64
	for _, s := range c.squares[:n] {
		total += s
	}
	return total
}

type squares[T Float] struct {
	path *path[T]
	x    []T
	part []float64 // by span
}

func (k *squares[T]) do(_, i int) {
	k.part[i] = k.path.squares(k.x[i*span : min((i+1)*span, len(k.x))])
}

// Accumulate computes y += x.
func (c *CPU[T]) Accumulate(y, x []T) { c.Add(y, y, x) }
