package kernel

import "unsafe"

// Sizes of blocks of a product. They do not enter the bits: a chain over k goes on
// from what the last block left in C.
const (
	blockK = 256
	blockM = 64
	blockN = 64
)

// Gemm computes C = op(A)·op(B), or C += op(A)·op(B) when add is set. op(A) is [m,k],
// op(B) is [k,n], C is [m,n], all row-major; transA says that a holds [k,m], transB that
// b holds [n,k].
func (c *CPU[T]) Gemm(transA, transB bool, m, n, k int, a, b, out []T, add bool) {
	rowA, colA, rowB, colB := k, 1, n, 1
	if transA {
		rowA, colA = 1, m
	}
	if transB {
		rowB, colB = 1, k
	}
	if !add {
		c.spans(m*n, span, func(lo, hi int) { clear(out[lo:hi]) })
	}
	if m == 0 || n == 0 {
		return
	}
	mr, nr := c.path.mr, c.path.nr
	panelsM, panelsN := (m+mr-1)/mr, (n+nr-1)/nr
	stepM, stepN := blockM/mr, blockN/nr // in panels
	blocksM, blocksN := (panelsM+stepM-1)/stepM, (panelsN+stepN-1)/stepN
	for p := 0; p < k; p += blockK {
		kc := min(blockK, k-p)
		kw := (kc + c.path.pair - 1) / c.path.pair // words
		c.packA = grow(c.packA, panelsM*mr*kw)
		c.packB = grow(c.packB, panelsN*nr*kw)
		c.each(blocksM+blocksN, func(_, i int) {
			if i < blocksM {
				for q := i * stepM; q < min((i+1)*stepM, panelsM); q++ {
					c.path.packA(c.packA[q*mr*kw:(q+1)*mr*kw], a[q*mr*rowA+p*colA:], rowA, colA, min(mr, m-q*mr), kc)
				}
				return
			}
			i -= blocksM
			for q := i * stepN; q < min((i+1)*stepN, panelsN); q++ {
				c.path.packB(c.packB[q*nr*kw:(q+1)*nr*kw], b[p*rowB+q*nr*colB:], rowB, colB, min(nr, n-q*nr), kc)
			}
		})
		c.each(blocksM*blocksN, func(thread, i int) {
			bm, bn := i/blocksN, i%blocksN
			for qm := bm * stepM; qm < min((bm+1)*stepM, panelsM); qm++ {
				pa := c.packA[qm*mr*kw : (qm+1)*mr*kw]
				for qn := bn * stepN; qn < min((bn+1)*stepN, panelsN); qn++ {
					pb := c.packB[qn*nr*kw : (qn+1)*nr*kw]
					if rows, cols := m-qm*mr, n-qn*nr; rows < mr || cols < nr {
						c.edge(thread, kw, pa, pb, out[qm*mr*n+qn*nr:], n, min(rows, mr), min(cols, nr))
						continue
					}
					c.path.tile(kw, pa, pb, out[qm*mr*n+qn*nr:], n)
				}
			}
		})
	}
}

// edge runs a tile that sticks out of C on a copy.
func (c *CPU[T]) edge(thread, k int, a, b, out []T, ldc, rows, cols int) {
	mr, nr := c.path.mr, c.path.nr
	t := c.scratch(thread, mr*nr)
	clear(t)
	for i := range rows {
		copy(t[i*nr:i*nr+cols], out[i*ldc:i*ldc+cols])
	}
	c.path.tile(k, a, b, t, nr)
	for i := range rows {
		copy(out[i*ldc:i*ldc+cols], t[i*nr:i*nr+cols])
	}
}

// Linear computes y = x·wᵀ: x [rows,in], w [out,in], y [rows,out].
func (c *CPU[T]) Linear(y, x, w []T, rows, in, out int) {
	c.Gemm(false, true, rows, out, in, x, w, y, false)
}

// LinearBackward computes what Linear's inputs get of dy: dx = dy·w (added to dx when
// add is set) and dw = dyᵀ·x.
func (c *CPU[T]) LinearBackward(dx, dw, dy, x, w []T, rows, in, out int, add bool) {
	c.Gemm(false, false, rows, in, out, dy, w, dx, add)
	c.Gemm(true, false, out, in, rows, dy, x, dw, false)
}

// Gemv computes y = w·x: w [out,in].
func (c *CPU[T]) Gemv(y, w, x []T) {
	in := len(x)
	if c.threads == 1 { // no closure, no allocation: a token at a time comes here
		for i := range y {
			y[i] = c.path.dot(w[i*in:(i+1)*in], x)
		}
		return
	}
	c.spans(len(y), max(1, span/max(in, 1)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			y[i] = c.path.dot(w[i*in:(i+1)*in], x)
		}
	})
}

// packA4 lays out four rows as two pairs, pair by pair: (a0,a1) for each p, then
// (a2,a3) for each p.
func packA4[T Float](dst, a []T, row, col, m, k int) {
	if m < 4 {
		clear(dst[:4*k])
	}
	for i := range m {
		d := dst[i/2*2*k+i%2 : 4*k]
		if col == 1 {
			for p, v := range a[i*row : i*row+k] {
				d[2*p] = v
			}
			continue
		}
		s := a[i*row:]
		for p := range k {
			d[2*p] = s[p*col]
		}
	}
}

// packB2 lays out two columns as pairs (b0,b1) for each p.
func packB2[T Float](dst, b []T, row, col, n, k int) {
	if n < 2 {
		clear(dst[:2*k])
	}
	for j := range n {
		d := dst[j : 2*k]
		if row == 1 {
			for p, v := range b[j*col : j*col+k] {
				d[2*p] = v
			}
			continue
		}
		s := b[j*col:]
		for p := range k {
			d[2*p] = s[p*row]
		}
	}
}

// tile4x2 holds its 8 sums in registers. Three things make the compiler keep them
// there: panels of pairs, so that loads need no bounds check but one; that check
// between the two halves, which ends a basic block and with it the scheduler's wish to
// do all products before all sums; no more than 15 live values.
func tile4x2[T Float](k int, a, b, c []T, ldc int) {
	if k == 0 {
		return
	}
	pa, pb := pairs(a, 2*k), pairs(b, k)
	a0, a1 := pa[:len(pb)], pa[len(pb):]
	c0, c1, c2, c3 := c[:2], c[ldc:ldc+2], c[2*ldc:2*ldc+2], c[3*ldc:3*ldc+2]
	s00, s01 := c0[0], c0[1]
	s10, s11 := c1[0], c1[1]
	s20, s21 := c2[0], c2[1]
	s30, s31 := c3[0], c3[1]
	for p := range pb {
		y := &pb[p]
		y0, y1 := y[0], y[1]
		x := &a0[p]
		v := x[0]
		s00 += T(v * y0)
		s01 += T(v * y1)
		v = x[1]
		s10 += T(v * y0)
		s11 += T(v * y1)
		x = &a1[p]
		v = x[0]
		s20 += T(v * y0)
		s21 += T(v * y1)
		v = x[1]
		s30 += T(v * y0)
		s31 += T(v * y1)
	}
	c0[0], c0[1] = s00, s01
	c1[0], c1[1] = s10, s11
	c2[0], c2[1] = s20, s21
	c3[0], c3[1] = s30, s31
}

// tile4x2Fused is tile4x2 for float32, fused as FMA instructions are.
func tile4x2Fused(k int, a, b, c []float32, ldc int) {
	for i := range 4 {
		rows := a[i/2*2*k+i%2 : (i/2+1)*2*k]
		row := c[i*ldc : i*ldc+2]
		s0, s1 := row[0], row[1]
		for p := range k {
			x, y := rows[2*p], (*[2]float32)(b[2*p:])
			r0, ok0 := fma32(x, y[0], s0)
			r1, ok1 := fma32(x, y[1], s1)
			if !ok0 || !ok1 {
				r0, r1 = fma32Odd(x, y[0], s0), fma32Odd(x, y[1], s1)
			}
			s0, s1 = r0, r1
		}
		row[0], row[1] = s0, s1
	}
}

// pairs views n pairs of elements.
func pairs[T Float](x []T, n int) [][2]T {
	return unsafe.Slice((*[2]T)(unsafe.Pointer(&x[:2*n][0])), n)
}
