package main

import (
	"fmt"
	"strings"
)

// tiles writes the inner loop of a product: n tiles of mr rows and nv registers that lie beside each
// other in C, each element a chain of fused multiply-adds over k that goes on from what C holds, or
// from zero where first is not 0. Element (i, p) of A lies i·row + p·col bytes from a, the
// registers of B for p lie p·step bytes from b, those of the next tile next bytes further on: whatever
// the form of the product, both can be read where they stand. multiply is of words: elements, or
// pairs of bfloat16.
func tiles(a *asm, s isa, mr, nv int, name string, multiply func(b, a, acc int) string) {
	width := 4 * s.lanes
	a.begin(name, fmt.Sprintf("adds products to n times %d×%d elements of C, whose rows are ldc bytes apart, or where first is not 0 overwrites them.", mr, nv*s.lanes),
		"k, n int, a *float32, row, col int, b *float32, step, next int, c *float32, ldc, first int", 11)
	a.op("MOVQ row+24(FP), R9")
	a.op("MOVQ col+32(FP), R12")
	a.op("MOVQ step+48(FP), R13")
	a.op("MOVQ c+64(FP), DI")
	a.op("MOVQ ldc+72(FP), R8")
	a.op("LEAQ (R9)(R9*2), R10")
	a.label("tile")
	a.op("MOVQ k+0(FP), CX")
	a.op("MOVQ a+16(FP), SI")
	a.op("MOVQ b+40(FP), DX")
	half := (mr + 1) / 2 // rows that SI is the base of; R11 is that of the others
	a.op("LEAQ (SI)(R%d*%d), R11", map[int]int{4: 9, 3: 10}[half], map[int]int{4: 4, 3: 1}[half])
	rows := func(f func(i int)) {
		a.op("MOVQ DI, BX")
		for i := range mr {
			f(i)
			if i < mr-1 {
				a.op("ADDQ R8, BX")
			}
		}
	}
	a.op("CMPQ first+80(FP), $0")
	a.op("JNE zero")
	a.op("MOVQ $%d, AX", width*nv) // from this tile of C to the next: the one beside it, or
	a.op("CMPQ n+8(FP), $1")
	a.op("JNE load")
	a.op("MOVQ c+64(FP), AX") // the first of the rows below
	a.op("SUBQ DI, AX")
	for _, rows := range map[int][]int{8: {8}, 6: {4, 2}}[mr] {
		a.op("LEAQ (AX)(R8*%d), AX", rows)
	}
	a.label("load")
	rows(func(i int) {
		for v := range nv {
			a.op("VMOVUPS %d(BX), %s%d", width*v, s.reg, i*nv+v)
		}
		for at := 0; at < width*nv; at += 64 {
			a.op("PREFETCHT0 %d(BX)(AX*1)", at)
		}
	})
	a.op("JMP begin")
	a.label("zero")
	rows(func(i int) {
		for v := range nv {
			x := i*nv + v
			a.op("VXORPS %s%d, %s%d, %s%d", s.reg, x, s.reg, x, s.reg, x)
		}
		for at := 0; at < width*nv; at += 64 {
			a.op("PREFETCHT0 %d(BX)", at) // to be there when it is written
		}
	})
	a.label("begin")
	nb := mr * nv // first register of B
	nx := nb + nv // first of the broadcast elements of A
	spare := min(s.regs-nx, 4)
	places := []string{"(%s)", "(%s)(R9*1)", "(%s)(R9*2)", "(%s)(R10*1)"}
	one := func() {
		for v := range nv {
			a.op("VMOVUPS %d(DX), %s%d", v*width, s.reg, nb+v)
		}
		a.op("ADDQ R13, DX")
		for i := range mr {
			x, base := nx+i%spare, "SI"
			if i >= half {
				base = "R11"
			}
			a.op("VBROADCASTSS "+places[i%half]+", %s%d", base, s.reg, x)
			for v := range nv {
				a.op("%s", multiply(nb+v, x, i*nv+v))
			}
		}
		a.op("ADDQ R12, SI")
		a.op("ADDQ R12, R11")
	}
	const unroll = 4
	a.op("MOVQ CX, BX")
	a.op("SHRQ $2, BX")
	a.op("JZ rest")
	a.op("PCALIGN $32")
	a.label("loop")
	for range unroll {
		one()
	}
	a.op("DECQ BX")
	a.op("JNZ loop")
	a.label("rest")
	a.op("ANDQ $3, CX")
	a.op("JZ done")
	a.label("one")
	one()
	a.op("DECQ CX")
	a.op("JNZ one")
	a.label("done")
	rows(func(i int) {
		for v := range nv {
			a.op("VMOVUPS %s%d, %d(BX)", s.reg, i*nv+v, width*v)
		}
	})
	a.op("MOVQ next+56(FP), AX")
	a.op("ADDQ AX, b+40(FP)")
	a.op("ADDQ $%d, DI", nv*width)
	a.op("DECQ n+8(FP)")
	a.op("JNZ tile")
	a.op("VZEROUPPER")
	a.op("RET\n")
}

// fma is the multiplication of a tile of float32.
func (s isa) fma(b, a, acc int) string {
	return fmt.Sprintf("VFMADD231PS %s%d, %s%d, %s%d", s.reg, b, s.reg, a, s.reg, acc)
}

// eightRows are the places of 8 rows at SI, of which DX is the fifth; R9 is the stride and R10
// three times it.
var eightRows = []string{"(SI)", "(SI)(R9*1)", "(SI)(R9*2)", "(SI)(R10*1)", "(DX)", "(DX)(R9*1)", "(DX)(R9*2)", "(DX)(R10*1)"}

// prefetchRows asks for the 8 rows after those that are read, at AX and BX: what is packed has
// often not been read for long, and lies too far apart for the processor to foresee.
func prefetchRows(a *asm) {
	for _, m := range eightRows {
		a.op("PREFETCHT0 %s", strings.NewReplacer("SI", "AX", "DX", "BX").Replace(m))
	}
}

// transposeRegisters turns rows of words in Y0 to Y7 into columns in Y8 to Y15.
func transposeRegisters(a *asm) {
	for i := 0; i < 8; i += 2 { // pairs of rows, alternating elements
		a.op("VUNPCKLPS Y%d, Y%d, Y%d", i+1, i, 8+i)
		a.op("VUNPCKHPS Y%d, Y%d, Y%d", i+1, i, 9+i)
	}
	for i := 0; i < 8; i += 4 { // fours
		a.op("VUNPCKLPD Y%d, Y%d, Y%d", 10+i, 8+i, i)
		a.op("VUNPCKHPD Y%d, Y%d, Y%d", 10+i, 8+i, i+1)
		a.op("VUNPCKLPD Y%d, Y%d, Y%d", 11+i, 9+i, i+2)
		a.op("VUNPCKHPD Y%d, Y%d, Y%d", 11+i, 9+i, i+3)
	}
	for i := range 4 { // the low halves are columns 0 to 3, the high ones 4 to 7
		a.op("VPERM2F128 $0x20, Y%d, Y%d, Y%d", 4+i, i, 8+i)
		a.op("VPERM2F128 $0x31, Y%d, Y%d, Y%d", 4+i, i, 12+i)
	}
}

// transpose writes what packs rows for a tile: 8 rows of src, stride bytes apart, become
// for each of 8·blocks columns 8 elements in dst, step bytes apart. Where step is less than 8
// elements each column overwrites what the one before wrote too much.
func transpose(a *asm) {
	a.begin("transpose8", "lays 8 rows out as 8·blocks columns.", "blocks int, dst *float32, step int, src *float32, stride int", 5)
	a.op("MOVQ blocks+0(FP), CX")
	a.op("MOVQ dst+8(FP), DI")
	a.op("MOVQ step+16(FP), R8")
	a.op("MOVQ src+24(FP), SI")
	a.op("MOVQ stride+32(FP), R9")
	a.op("LEAQ (R9)(R9*2), R10") // 3·stride
	a.op("LEAQ (SI)(R9*4), DX")  // row 4
	a.op("LEAQ (SI)(R9*8), AX")
	a.op("LEAQ (DX)(R9*8), BX")
	a.label("loop")
	for i, m := range eightRows {
		a.op("VMOVUPS %s, Y%d", m, i)
	}
	prefetchRows(a)
	transposeRegisters(a)
	for i := range 8 {
		a.op("VMOVUPS Y%d, (DI)", 8+i)
		a.op("ADDQ R8, DI")
	}
	a.op("ADDQ $32, SI")
	a.op("ADDQ $32, DX")
	a.op("ADDQ $32, AX")
	a.op("ADDQ $32, BX")
	a.op("DECQ CX")
	a.op("JNZ loop")
	a.op("VZEROUPPER")
	a.op("RET\n")
}

// gather writes what packs columns: for each of k rows of src, stride bytes apart, width
// elements are copied to dst.
func gather(a *asm, s isa, regs int) {
	width := 4 * s.lanes * regs
	a.begin("copyRows"+s.name, fmt.Sprintf("copies %d elements of each of k rows, stride bytes apart.", regs*s.lanes), "k int, dst, src *float32, stride int", 4)
	a.op("MOVQ k+0(FP), CX")
	a.op("MOVQ dst+8(FP), DI")
	a.op("MOVQ src+16(FP), SI")
	a.op("MOVQ stride+24(FP), R8")
	a.label("loop")
	for v := range regs {
		a.op("VMOVUPS %d(SI), %s%d", 4*s.lanes*v, s.reg, v)
	}
	for v := range regs {
		a.op("VMOVUPS %s%d, %d(DI)", s.reg, v, 4*s.lanes*v)
	}
	a.op("ADDQ R8, SI")
	a.op("ADDQ $%d, DI", width)
	a.op("DECQ CX")
	a.op("JNZ loop")
	a.op("VZEROUPPER")
	a.op("RET\n")
}
