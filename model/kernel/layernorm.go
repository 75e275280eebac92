package kernel

import "math"

// LayerNormEps is added to the variance.
const LayerNormEps = 1e-5

// LayerNorm computes y = (x-mean)/sqrt(var+eps)·g + b along rows of len(g), the variance
// biased. It keeps the rows' mean and 1/sqrt(var+eps) for the backward; both may be nil.
func (c *CPU[T]) LayerNorm(y, mean, rstd, x, g, b []T) {
	d := len(g)
	if len(x) == d { // one row: no closure
		m, r := c.normRow(y, x, g, b)
		if mean != nil {
			mean[0], rstd[0] = m, r
		}
		return
	}
	c.tasks.norm = normRows[T]{c, y, mean, rstd, x, g, b}
	c.spans(len(x)/d, rowBlock, &c.tasks.norm)
}

type normRows[T Float] struct {
	c                      *CPU[T]
	y, mean, rstd, x, g, b []T
}

func (k *normRows[T]) span(_, lo, hi int) {
	d := len(k.g)
	for t := lo; t < hi; t++ {
		m, r := k.c.normRow(k.y[t*d:(t+1)*d], k.x[t*d:(t+1)*d], k.g, k.b)
		if k.mean != nil {
			k.mean[t], k.rstd[t] = m, r
		}
	}
}

func (c *CPU[T]) normRow(y, x, g, b []T) (mean, rstd T) {
	d := T(len(x))
	m := c.path.sum(x) / d
	y = y[:len(x)]
	c.path.subtract(y, x, m)
	r := T(1 / math.Sqrt(float64(c.path.dot(y, y)/d)+LayerNormEps))
	c.path.norm(y, g, b, r)
	return m, r
}

func norm[T Float](y, g, b []T, rstd T) {
	g, b = g[:len(y)], b[:len(y)]
	for i, v := range y {
		y[i] = T(T(v*rstd)*g[i]) + b[i]
	}
}

// LayerNormBackward adds to dx what x gets of dy (or overwrites dx when add is not set)
// and overwrites dg and db. dx may be dy.
func (c *CPU[T]) LayerNormBackward(dx, dg, db, dy, x, mean, rstd, g []T, add bool) {
	d := len(g)
	c.tasks.normBackward = normRowsBackward[T]{c, dx, dy, x, mean, rstd, g, add}
	c.sumRows(len(x)/d, 2*d, &c.tasks.normBackward, dg, db)
}

type normRowsBackward[T Float] struct {
	c                        *CPU[T]
	dx, dy, x, mean, rstd, g []T
	add                      bool
}

func (k *normRowsBackward[T]) rows(thread, lo, hi int, sums []T) {
	d, p := len(k.g), k.c.path
	sg, sb := sums[:d], sums[d:]
	tmp := k.c.scratch(thread, 2*d)
	xh, dh := tmp[:d], tmp[d:]
	for t := lo; t < hi; t++ {
		xr, dr, o := k.x[t*d:(t+1)*d], k.dy[t*d:(t+1)*d], k.dx[t*d:(t+1)*d]
		m, r := k.mean[t], k.rstd[t]
		p.normBackward(xh, dh, sg, sb, dr, xr, k.g, m, r)
		m1, m2 := p.sum(dh)/T(d), p.dot(dh, xh)/T(d)
		if k.add {
			p.normInputAdd(o, dh, xh, m1, m2, r)
		} else {
			p.normInput(o, dh, xh, m1, m2, r)
		}
	}
}

// normBackward computes the normalised xh and what it gets, dh, and adds to the sums of
// the gain and the bias.
func normBackward[T Float](xh, dh, sg, sb, dy, x, g []T, mean, rstd T) {
	for i, v := range dy {
		h := T((x[i] - mean) * rstd)
		xh[i] = h
		dh[i] = T(v * g[i])
		sg[i] += T(v * h)
		sb[i] += v
	}
}

func normInput[T Float](dx, dh, xh []T, m1, m2, rstd T) {
	for i := range dx {
		dx[i] = (dh[i] - m1 - T(xh[i]*m2)) * rstd
	}
}

func normInputAdd[T Float](dx, dh, xh []T, m1, m2, rstd T) {
	for i := range dx {
		dx[i] += T((dh[i] - m1 - T(xh[i]*m2)) * rstd)
	}
}
