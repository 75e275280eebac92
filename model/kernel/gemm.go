package kernel

import "unsafe"

// Sizes of a product's blocks: of k, and of the rows and columns of C that a thread takes at a
// time. Their panels of B, 128 KiB, stay in a second-level cache while all rows go by. They
// do not enter the bits: a chain over k goes on from what the last block left in C.
const (
	blockK = 256
	blockM = 512
	blockN = 128
)

// Gemm computes C = op(A)·op(B), or C += op(A)·op(B) when add is set. op(A) is [m,k],
// op(B) is [k,n], C is [m,n], all row-major; transA says that a holds [k,m], transB that
// b holds [n,k].
func (c *CPU[T]) Gemm(transA, transB bool, m, n, k int, a, b, out []T, add bool) {
	if m == 0 || n == 0 {
		return
	}
	if k == 0 {
		if !add {
			clear(out[:m*n])
		}
		return
	}
	g := &c.tasks.product
	*g = product[T]{c: c, path: c.path, m: m, n: n, k: k, add: add, a: a, b: b, out: out, rowA: k, colA: 1, rowB: n, colB: 1}
	if transA {
		g.rowA, g.colA = 1, m
	}
	if transB {
		g.rowB, g.colB = 1, k
	}
	g.directA, g.directB = g.path.direct, g.path.direct && !transB
	if g.path.words != nil {
		c.words(g)
	}
	mr, nr := c.path.mr, c.path.nr
	stepM, stepN := up(blockM, mr), up(blockN, nr)
	for { // smaller steps, where threads would wait for the last
		units := (m + stepM - 1) / stepM * ((n + stepN - 1) / stepN)
		switch {
		case c.threads == 1 || units >= 8*c.threads:
		case stepN > 2*nr:
			stepN = up(stepN/2, nr)
			continue
		case stepM > 8*mr:
			stepM = up(stepM/2, mr)
			continue
		}
		break
	}
	g.stepM, g.stepN, g.across = stepM, stepN, (m+stepM-1)/stepM
	c.each(g.across*((n+stepN-1)/stepN), g)
}

// up is the next multiple of n from x on.
func up(x, n int) int { return (x + n - 1) / n * n }

// product is a product at work. Element (i, p) of op(A) is a[i*rowA+p*colA], element (p, j)
// of op(B) b[p*rowB+j*colB]; where the path has words, p counts words in A.
type product[T Float] struct {
	c                      *CPU[T]
	path                   *path[T]
	m, n, k                int
	add                    bool
	a, b, out              []T
	rowA, colA, rowB, colB int
	directA, directB       bool // tiles read them where they stand, but for what sticks out
	padded                 bool // a has rows for whole panels
	stepM, stepN           int  // of C that a part takes
	across                 int  // parts along m
}

func (g *product[T]) do(thread, part int) {
	i, j := part%g.across*g.stepM, part/g.across*g.stepN
	panel, tile := g.path.mr*blockK, g.path.mr*g.path.nr
	s := g.c.scratch(thread, panel+tile+g.stepN*blockK)
	g.block(i, min(i+g.stepM, g.m), j, min(j+g.stepN, g.n), s[:panel], s[panel:panel+tile], s[panel+tile:])
}

// block computes rows [i0, i1) and columns [j0, j1) of C, from the first k to the last. It has
// memory for a panel of A, for a tile and for the columns' panels of B.
func (g *product[T]) block(i0, i1, j0, j1 int, packA, tile, packB []T) {
	mr, nr, pair := g.path.mr, g.path.nr, g.path.pair
	for p := 0; p < g.k; p += blockK {
		k := min(blockK, g.k-p)
		kw := (k + pair - 1) / pair // words
		first := p == 0 && !g.add
		for j := j0; j < j1; j += nr {
			if !g.directB || g.n-j < nr {
				g.path.packB(packB[(j-j0)*kw:(j-j0+nr)*kw], g.b[p*g.rowB+j*g.colB:], g.rowB, g.colB, min(nr, g.n-j), k)
			}
		}
		for i := i0; i < i1; i += mr {
			a, row, col := packA, 1, mr
			if g.directA && (g.padded || g.m-i >= mr) {
				a, row, col = g.a[i*g.rowA+p/pair*g.colA:], g.rowA, g.colA
			} else {
				g.path.packA(packA[:mr*kw], g.a[i*g.rowA+p*g.colA:], g.rowA, g.colA, min(mr, g.m-i), k)
			}
			j, b, step, next := j0, packB, nr, nr*kw
			if g.directB {
				b, step, next = g.b[p*g.rowB+j0:], g.rowB, nr
			}
			if n := (min(j1, g.n) - j0) / nr; n > 0 && g.m-i >= mr {
				g.path.tiles(kw, n, a, row, col, b, step, next, g.out[i*g.n+j0:], g.n, first)
				j += n * nr
			}
			for ; j < j1; j += nr {
				b, step := packB[(j-j0)*kw:], nr
				if g.directB && g.n-j >= nr {
					b, step = g.b[p*g.rowB+j:], g.rowB
				}
				g.edge(kw, a, row, col, b, step, g.out[i*g.n+j:], tile, min(g.m-i, mr), min(g.n-j, nr), first)
			}
		}
	}
}

// edge runs a tile that sticks out of C on a copy.
func (g *product[T]) edge(k int, a []T, row, col int, b []T, step int, out, tile []T, rows, cols int, first bool) {
	nr := g.path.nr
	if !first {
		clear(tile)
		for i := range rows {
			copy(tile[i*nr:i*nr+cols], out[i*g.n:i*g.n+cols])
		}
	}
	g.path.tiles(k, 1, a, row, col, b, step, 0, tile, nr, first)
	for i := range rows {
		copy(out[i*g.n:i*g.n+cols], tile[i*nr:i*nr+cols])
	}
}

// words makes the product's A one of words, [m,words] or [words,m], with rows for whole panels.
func (c *CPU[T]) words(g *product[T]) {
	n, rows := (g.k+g.path.pair-1)/g.path.pair, up(g.m, g.path.mr)
	c.packA = grow(c.packA, rows*n)
	q := &c.tasks.words
	*q = words[T]{g.path, c.packA, g.a, g.m, g.k, n, rows, g.colA != 1}
	g.a, g.directA, g.padded = q.dst, true, true
	if !q.across {
		g.rowA, g.colA = n, 1
		clear(q.dst[g.m*n:])
		c.spans(g.m, max(1, span/g.k), q)
		return
	}
	g.rowA, g.colA = 1, rows
	c.spans(n, max(1, span/rows), q)
}

// words makes words of src, [m,k] or, across, [k,m]: n for each of the m lines.
type words[T Float] struct {
	path          *path[T]
	dst, src      []T
	m, k, n, rows int
	across        bool
}

// span takes lines; across, words of all of them.
func (q *words[T]) span(_, lo, hi int) {
	m, k, n, rows := q.m, q.k, q.n, q.rows
	if !q.across {
		for i := lo; i < hi; i++ {
			q.path.words(q.dst[i*n:(i+1)*n], q.src[i*k:(i+1)*k])
		}
		return
	}
	pair := q.path.pair
	for w := lo; w < hi; w++ {
		to, x := q.dst[w*rows:w*rows+m], q.src[pair*w*m:]
		switch {
		case pair == 1:
			q.path.words(to, x[:m])
		case 2*w+1 < k:
			q.path.wordsAcross(to, x[:m], x[m:2*m])
		default:
			q.path.wordsAcross(to, x[:m], nil)
		}
		clear(q.dst[w*rows+m : (w+1)*rows])
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

// oneByOne makes tiles of a tile 2 wide whose A is packed.
func oneByOne[T Float](tile func(k int, a, b, c []T, ldc int, first bool)) func(k, n int, a []T, row, col int, b []T, step, next int, c []T, ldc int, first bool) {
	return func(k, n int, a []T, _, _ int, b []T, _, next int, c []T, ldc int, first bool) {
		for i := range n {
			tile(k, a, b[i*next:], c[2*i:], ldc, first)
		}
	}
}

// tile4x2 holds its 8 sums in registers. Three things make the compiler keep them
// there: panels of pairs, so that loads need no bounds check but one; that check
// between the two halves, which ends a basic block and with it the scheduler's wish to
// do all products before all sums; no more than 15 live values.
func tile4x2[T Float](k int, a, b, c []T, ldc int, first bool) {
	pa, pb := pairs(a, 2*k), pairs(b, k)
	a0, a1 := pa[:len(pb)], pa[len(pb):]
	c0, c1, c2, c3 := c[:2], c[ldc:ldc+2], c[2*ldc:2*ldc+2], c[3*ldc:3*ldc+2]
	s00, s01 := c0[0], c0[1]
	s10, s11 := c1[0], c1[1]
	s20, s21 := c2[0], c2[1]
	s30, s31 := c3[0], c3[1]
	if first {
		s00, s01, s10, s11, s20, s21, s30, s31 = 0, 0, 0, 0, 0, 0, 0, 0
	}
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
func tile4x2Fused(k int, a, b, c []float32, ldc int, first bool) {
	for i := range 4 {
		rows := a[i/2*2*k+i%2 : (i/2+1)*2*k]
		row := c[i*ldc : i*ldc+2]
		s0, s1 := row[0], row[1]
		if first {
			s0, s1 = 0, 0
		}
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
