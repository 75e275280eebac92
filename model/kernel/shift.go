package kernel

// TokenShift computes y_t = mu·h_t + (1-mu)·h_{t-1} along sequences of seq rows. first
// holds h_{-1} of each sequence; nil means zeros. Where fresh, unless nil, says that a
// document begins at row t, h_{t-1} counts as zeros.
func (c *CPU[T]) TokenShift(y, h, mu, first []T, seq int, fresh []bool) {
	d := len(mu)
	c.spans(len(h)/d, rowBlock, func(lo, hi int) {
		zero := make([]T, d)
		for t := lo; t < hi; t++ {
			c.path.mix(y[t*d:(t+1)*d], h[t*d:(t+1)*d], before(h, first, zero, t, seq, fresh), mu)
		}
	})
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
	c.sumRows(len(h)/d, d, [][]T{dmu}, func(lo, hi int, sums []T) {
		zero := make([]T, d)
		for t := lo; t < hi; t++ {
			dr, hr, o := dy[t*d:(t+1)*d], h[t*d:(t+1)*d], dh[t*d:(t+1)*d]
			next := zero
			if (t+1)%seq != 0 && (fresh == nil || !fresh[t+1]) {
				next = dy[(t+1)*d : (t+2)*d]
			}
			prev := before(h, first, zero, t, seq, fresh)
			if add {
				c.path.mixBackwardAdd(o, sums, dr, next, hr, prev, mu)
			} else {
				c.path.mixBackward(o, sums, dr, next, hr, prev, mu)
			}
		}
	})
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
