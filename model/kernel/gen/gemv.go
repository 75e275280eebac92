package main

import "fmt"

// gemvRows is how many rows of the weights go together: their chains of additions overlap,
// and what is loaded of x serves them all.
const gemvRows = 4

// gemv writes the products of a matrix with a vector: for each row 16 lanes, folded by halves.
type gemv struct {
	*asm
	isa
	per int // registers of 16 lanes
}

func gemvs(a *asm, s isa) {
	g := gemv{a, s, 16 / s.lanes}
	g.dense()
	g.pairs()
	g.bytes()
	g.quantize()
	g.magnitude()
	fmt.Fprintf(&a.decl, gemvWrappers, s.name, 32*s.lanes)
}

// gemvWrappers give the assembly whole groups and whole registers.
const gemvWrappers = `
func gemv%[1]s(y, w, x []float32) {
	n, groups := len(x), len(y)/gemvRows
	if n%%lanes != 0 {
		groups = 0
	}
	if groups > 0 {
		gemvGroups%[1]s(groups, n, &y[0], &w[0], &x[0])
	}
	for i := gemvRows * groups; i < len(y); i++ {
		y[i] = dot%[2]d(w[i*n:(i+1)*n], x)
	}
}

func gemvPairs%[1]s(y []float32, w []uint32, x []float32) {
	n, groups := len(x)/2, len(y)/gemvRows
	if groups > 0 {
		gemvPairsGroups%[1]s(groups, n, &y[0], &w[0], &x[0])
	}
	if rest := y[gemvRows*groups:]; len(rest) > 0 {
		var t [gemvRows]float32
		gemvPairsGroups%[1]s(1, n, &t[0], &w[gemvRows*groups*n], &x[0])
		copy(rest, t[:])
	}
}

func gemvBytes%[1]s(y []float32, w []uint32, scales []float32, x []uint32, xs []float32) {
	n, groups := len(x)/2, len(y)/gemvRows
	if groups > 0 {
		gemvBytesGroups%[1]s(groups, n, &y[0], &w[0], &x[0], &scales[0], &xs[0])
	}
	if rest := y[gemvRows*groups:]; len(rest) > 0 {
		var t [gemvRows]float32
		gemvBytesGroups%[1]s(1, n, &t[0], &w[gemvRows*groups*n], &x[0], &scales[gemvRows*groups*len(xs)], &xs[0])
		copy(rest, t[:])
	}
}

func quantize%[1]s(dst []uint32, x []float32, inv float32) {
	quantizeGroups%[1]s(len(x)/32, &dst[0], &x[0], &inv)
}

func magnitude%[1]s(x []float32) float32 {
	var s [lanes]float32
	n := len(x) &^ (lanes - 1)
	if n > 0 {
		magnitudeLanes%[1]s(n, &s[0], &x[0])
	}
	return max(magnitude(s[:]), magnitude(x[n:]))
}
`

// acc is the register of 16 lanes of a row, or of their second half.
func (g gemv) acc(row, half int) int { return row*g.per + half }

// spare is the i-th register that holds no lanes.
func (g gemv) spare(i int) int { return gemvRows*g.per + i }

func (g gemv) r(i int) string { return fmt.Sprintf("%s%d", g.reg, i) }

// row is the place of a row's weights, which lie beside the other rows', 64 bytes of each.
func (g gemv) row(row, half int) string { return fmt.Sprintf("%d(SI)", 64*row+4*g.lanes*half) }

// and, or and copies of integers have other names in AVX-512.
func (g gemv) bitwise(op string) string {
	if g.reg == "Z" {
		return op + "D"
	}
	return op
}

// rows writes the loop over groups of rows of n words.
func (g gemv) rows(name, doc, words, of, params string, args int, before, start, step, after func()) {
	g.begin(name+g.name, doc, "groups, n int, y *float32, w *"+words+", x *"+of+params, args)
	g.op("MOVQ groups+0(FP), CX")
	g.op("MOVQ n+8(FP), BX")
	g.op("MOVQ y+16(FP), DI")
	g.op("MOVQ w+24(FP), SI")
	g.op("MOVQ x+32(FP), DX")
	before()
	g.label("group")
	g.op("MOVQ DX, R12")
	g.op("MOVQ BX, R11")
	start()
	step()
	after()
	g.op("ADDQ $%d, DI", 4*gemvRows)
	g.op("DECQ CX")
	g.op("JNZ group")
	g.op("VZEROUPPER")
	g.op("RET\n")
}

// along writes the loop along rows: so many bytes of the weights, 64 of each row, and of x.
func (g gemv) along(label string, ofW, ofX int, body func()) {
	g.op("PCALIGN $32")
	g.label(label)
	body()
	g.op("ADDQ $%d, SI", ofW)
	g.op("ADDQ $%d, R12", ofX)
	g.op("SUBQ $16, R11")
	g.op("JG %s", label)
}

func (g gemv) zero(op string) {
	for i := range gemvRows * g.per {
		g.op("%s %s, %s, %s", g.bitwise(op), g.r(i), g.r(i), g.r(i))
	}
}

// fold folds the lanes of the rows by halves and leaves the rows' sums in X0.
func (g gemv) fold(add, extract string) {
	var x []int
	for row := range gemvRows {
		y, t := g.acc(row, 0), g.spare(0)
		if g.reg == "Z" {
			g.op("%s64X4 $1, Z%d, Y%d", extract, y, t)
		} else {
			t = g.acc(row, 1)
		}
		g.op("%s Y%d, Y%d, Y%d", add, t, y, y)
		t = g.spare(1)
		g.op("%s128 $1, Y%d, X%d", extract, y, t)
		g.op("%s X%d, X%d, X%d", add, t, y, y)
		x = append(x, y)
	}
	for i := 0; i < gemvRows; i += 2 { // two rows: lanes 0 and 1 of each, and 2 and 3
		g.op("VUNPCKLPD X%d, X%d, X%d", x[i+1], x[i], g.spare(0))
		g.op("VUNPCKHPD X%d, X%d, X%d", x[i+1], x[i], g.spare(1))
		g.op("%s X%d, X%d, X%d", add, g.spare(1), g.spare(0), x[i])
	}
	g.op("VSHUFPS $0x88, X%d, X%d, X%d", x[2], x[0], g.spare(0))
	g.op("VSHUFPS $0xdd, X%d, X%d, X%d", x[2], x[0], g.spare(1))
	g.op("%s X%d, X%d, X0", add, g.spare(1), g.spare(0))
}

// dense is for float32 weights, which lie row after row: so they are read, for memory is
// fastest in order.
func (g gemv) dense() {
	g.rows("gemvGroups", "computes 4·groups elements of y = w·x; rows have n elements, whole registers.", "float32", "float32", "", 5,
		func() {}, func() { g.zero("VPXOR") }, func() {
			for row := range gemvRows {
				if row > 0 {
					g.op("MOVQ DX, R12")
					g.op("MOVQ BX, R11")
				}
				g.along(fmt.Sprintf("row%d", row), 64, 64, func() {
					for h := range g.per {
						t := g.r(g.spare(h))
						g.op("VMOVUPS %d(R12), %s", 4*g.lanes*h, t)
						g.op("VMULPS %d(SI), %s, %s", 4*g.lanes*h, t, t)
						g.op("VADDPS %s, %s, %s", t, g.r(g.acc(row, h)), g.r(g.acc(row, h)))
					}
				})
			}
		}, func() {
			g.fold("VADDPS", "VEXTRACTF")
			g.op("VMOVUPS X0, (DI)")
		})
}

// pairs is for words of two bfloat16, of columns 16 apart. A bfloat16 is the upper half of a
// float32.
func (g gemv) pairs() {
	mask := g.spare(4)
	g.rows("gemvPairsGroups", "is gemvGroups for rows of n words, each two weights in bfloat16.", "uint32", "float32", "", 5,
		func() { g.op("VMOVUPS %s, %s", g.constant(0xffff0000), g.r(mask)) },
		func() { g.zero("VPXOR") }, func() {
			g.along("along", 64*gemvRows, 128, func() {
				for h := range g.per {
					x0, x1, t := g.spare(0), g.spare(1), g.spare(2)
					g.op("VMOVUPS %d(R12), %s", 4*g.lanes*h, g.r(x0))
					g.op("VMOVUPS %d(R12), %s", 64+4*g.lanes*h, g.r(x1))
					for row := range gemvRows {
						acc := g.r(g.acc(row, h))
						g.op("VMOVUPS %s, %s", g.row(row, h), g.r(t))
						g.op("VPSLLD $16, %s, %s", g.r(t), g.r(t+1))
						g.op("VMULPS %s, %s, %s", g.r(x0), g.r(t+1), g.r(t+1))
						g.op("%s %s, %s, %s", g.bitwise("VPAND"), g.r(mask), g.r(t), g.r(t))
						g.op("VADDPS %s, %s, %s", g.r(t+1), acc, acc)
						g.op("VMULPS %s, %s, %s", g.r(x1), g.r(t), g.r(t))
						g.op("VADDPS %s, %s, %s", g.r(t), acc, acc)
					}
				}
			})
		}, func() {
			g.fold("VADDPS", "VEXTRACTF")
			g.op("VMOVUPS X0, (DI)")
		})
}

// bytes is for words of four int8, of columns 16 apart but for the middle two, which stand
// crosswise: the even bytes and the odd ones are then what two words of x have, which are
// pairs of int16. Sums of a block of columns are whole numbers, and exact.
func (g gemv) bytes() {
	sums := g.spare(5) // of 4 rows
	g.rows("gemvBytesGroups", "is gemvGroups for rows of n words, each four weights of 8 bits. A block of 128 words has a scale for each row, in scales, and one for x, in xs.",
		"uint32", "uint32", ", scales, xs *float32", 7,
		func() {
			g.op("MOVQ scales+40(FP), R8")
			g.op("MOVQ xs+48(FP), R13")
		}, func() {
			g.op("MOVQ R13, AX")
			g.op("VXORPS X%d, X%d, X%d", sums, sums, sums)
		}, func() {
			g.op("MOVQ R11, R15") // words left; R11 counts those of the block
			g.label("block")
			g.op("MOVQ $128, R11")
			g.op("CMPQ R15, R11")
			g.op("CMOVQLT R15, R11")
			g.op("SUBQ $128, R15")
			g.zero("VPXOR")
			g.along("along", 64*gemvRows, 128, func() {
				for h := range g.per {
					x0, x1, t := g.spare(0), g.spare(1), g.spare(2)
					g.op("VMOVUPS %d(R12), %s", 4*g.lanes*h, g.r(x0))
					g.op("VMOVUPS %d(R12), %s", 64+4*g.lanes*h, g.r(x1))
					for row := range gemvRows {
						acc := g.r(g.acc(row, h))
						g.op("VMOVUPS %s, %s", g.row(row, h), g.r(t))
						g.op("VPSLLW $8, %s, %s", g.r(t), g.r(t+1))
						g.op("VPSRAW $8, %s, %s", g.r(t), g.r(t))
						g.op("VPSRAW $8, %s, %s", g.r(t+1), g.r(t+1))
						g.op("VPMADDWD %s, %s, %s", g.r(x1), g.r(t), g.r(t))
						g.op("VPMADDWD %s, %s, %s", g.r(x0), g.r(t+1), g.r(t+1))
						g.op("VPADDD %s, %s, %s", g.r(t), acc, acc)
						g.op("VPADDD %s, %s, %s", g.r(t+1), acc, acc)
					}
				}
			})
			g.fold("VPADDD", "VEXTRACTI")
			g.op("VCVTDQ2PS X0, X0")
			g.op("VBROADCASTSS (AX), X1")
			g.op("VMULPS X1, X0, X0")
			g.op("VMULPS (R8), X0, X0")
			g.op("VADDPS X0, X%d, X%d", sums, sums)
			g.op("ADDQ $4, AX")
			g.op("ADDQ $16, R8")
			g.op("TESTQ R15, R15")
			g.op("JG block")
		}, func() { g.op("VMOVUPS X%d, (DI)", sums) })
}

// quantize makes of 32 elements of x 16 words of two int16: of columns 16 apart.
func (g gemv) quantize() {
	g.begin("quantizeGroups"+g.name, "rounds 32·groups elements of x·inv, each below 2¹⁵, to pairs of int16.", "groups int, dst *uint32, x, inv *float32", 4)
	g.op("MOVQ groups+0(FP), CX")
	g.op("MOVQ dst+8(FP), DI")
	g.op("MOVQ x+16(FP), SI")
	g.op("MOVQ inv+24(FP), AX")
	g.op("VBROADCASTSS (AX), %s", g.r(0))
	g.label("loop")
	for h := range g.per {
		for i := range 2 {
			g.op("VMULPS %d(SI), %s, %s", 64*i+4*g.lanes*h, g.r(0), g.r(1+i))
			g.op("VADDPS %s, %s, %s", g.constant(0x4b400000), g.r(1+i), g.r(1+i)) // 1.5·2²³ leaves a whole number in the low bits
		}
		g.op("%s %s, %s, %s", g.bitwise("VPAND"), g.constant(0xffff), g.r(1), g.r(1))
		g.op("VPSLLD $16, %s, %s", g.r(2), g.r(2))
		g.op("%s %s, %s, %s", g.bitwise("VPOR"), g.r(2), g.r(1), g.r(1))
		g.op("VMOVUPS %s, %d(DI)", g.r(1), 4*g.lanes*h)
	}
	g.op("ADDQ $128, SI")
	g.op("ADDQ $64, DI")
	g.op("DECQ CX")
	g.op("JNZ loop")
	g.op("VZEROUPPER")
	g.op("RET\n")
}

// magnitude puts the largest bits of |x|, which are in the order of the numbers, into 16 lanes.
func (g gemv) magnitude() {
	g.begin("magnitudeLanes"+g.name, "puts the larger of itself and the bits of |x| into 16 lanes.", "n int, lanes, x *float32", 3)
	g.op("MOVQ n+0(FP), CX")
	g.op("MOVQ lanes+8(FP), DI")
	g.op("MOVQ x+16(FP), SI")
	for h := range g.per {
		g.op("VMOVUPS %d(DI), %s", 4*g.lanes*h, g.r(h))
	}
	g.op("VMOVUPS %s, %s", g.constant(0x7fffffff), g.r(3))
	g.label("loop")
	for h := range g.per {
		g.op("%s %d(SI), %s, %s", g.bitwise("VPAND"), 4*g.lanes*h, g.r(3), g.r(2))
		g.op("VPMAXSD %s, %s, %s", g.r(2), g.r(h), g.r(h))
	}
	g.op("ADDQ $64, SI")
	g.op("SUBQ $16, CX")
	g.op("JG loop")
	for h := range g.per {
		g.op("VMOVUPS %s, %d(DI)", g.r(h), 4*g.lanes*h)
	}
	g.op("VZEROUPPER")
	g.op("RET\n")
}
