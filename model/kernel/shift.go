package kernel

// TokenShift computes y_t = mu·h_t + (1-mu)·h_{t-1} along sequences of seq rows. first
// holds h_{-1} of each sequence; nil means zeros. Where fresh, unless nil, says that a
// document begins at row t, h_{t-1} counts as zeros.
func (c *CPU[T]) TokenShift(y, h, mu, first []T, seq int, fresh []bool) {
	c.tasks.shift = shiftRows[T]{c.path, y, h, mu, first, c.zero(len(mu)), seq, fresh}
	c.spans(len(h)/len(mu), rowBlock, &c.tasks.shift)
}

type shiftRows[T Float] struct {
	path                  *path[T]
	y, h, mu, first, zero []T
	seq                   int
	fresh                 []bool
}

func (k *shiftRows[T]) span(_, lo, hi int) {
	d := len(k.mu)
	for t := lo; t < hi; t++ {
		k.path.mix(k.y[t*d:(t+1)*d], k.h[t*d:(t+1)*d], before(k.h, k.first, k.zero, t, k.seq, k.fresh), k.mu)
	}
}

// TokenShiftRow is TokenShift for one row: y = mu·h + (1-mu)·prev.
func (c *CPU[T]) TokenShiftRow(y, h, prev, mu []T) { c.path.mix(y, h, prev, mu) }

func mix[T Float](y, h, prev, mu []T) {
	h, prev = h[:len(mu)], prev[:len(mu)]
	for i, m := range mu {
		y[i] = T(h[i]*m) + T(prev[i]*(1-m))
	}
}

// before is the row before row t in its sequence.
func before[T Float](h, first, zero []T, t, seq int, fresh []bool) []T {
	d := len(zero)
	switch {
	case fresh != nil && fresh[t]:
		return zero
	case t%seq != 0:
		return h[(t-1)*d : t*d]
	case first != nil:
		return first[t/seq*d : (t/seq+1)*d]
	}
	return zero
}

// TokenShiftBackward adds to dh (or overwrites it when add is not set) what h gets of
// dy, overwrites dmu, and adds to dfirst, unless nil, what first gets.
func (c *CPU[T]) TokenShiftBackward(dh, dmu, dfirst, dy, h, mu, first []T, seq int, fresh []bool, add bool) {
	d := len(mu)
	c.tasks.shiftBackward = shiftRowsBackward[T]{shiftRows[T]{c.path, dh, h, mu, first, c.zero(d), seq, fresh}, dy, add}
	c.sumRows(len(h)/d, d, &c.tasks.shiftBackward, dmu)
	if dfirst == nil {
		return
	}
	for s := 0; s*seq*d < len(h); s++ {
		if fresh != nil && fresh[s*seq] {
			continue
		}
		for i, m := range mu {
			dfirst[s*d+i] += T((1 - m) * dy[s*seq*d+i])
		}
	}
}

// shiftRowsBackward has dh as y.
type shiftRowsBackward[T Float] struct {
	shiftRows[T]
	dy  []T
	add bool
}

func (k *shiftRowsBackward[T]) rows(_, lo, hi int, sums []T) {
	d := len(k.mu)
	for t := lo; t < hi; t++ {
		dr, hr, o := k.dy[t*d:(t+1)*d], k.h[t*d:(t+1)*d], k.y[t*d:(t+1)*d]
		next := k.zero
		if (t+1)%k.seq != 0 && (k.fresh == nil || !k.fresh[t+1]) {
			next = k.dy[(t+1)*d : (t+2)*d]
		}
		prev := before(k.h, k.first, k.zero, t, k.seq, k.fresh)
		if k.add {
			k.path.mixBackwardAdd(o, sums, dr, next, hr, prev, k.mu)
		} else {
			k.path.mixBackward(o, sums, dr, next, hr, prev, k.mu)
		}
	}
}

func mixBackward[T Float](dh, sums, dy, next, h, prev, mu []T) {
	for i, m := range mu {
		sums[i] += T(dy[i] * (h[i] - prev[i]))
		dh[i] = T(m*dy[i]) + T((1-m)*next[i])
	}
}

func mixBackwardAdd[T Float](dh, sums, dy, next, h, prev, mu []T) {
	for i, m := range mu {
		sums[i] += T(dy[i] * (h[i] - prev[i]))
		dh[i] += T(m*dy[i]) + T((1-m)*next[i])
	}
}
