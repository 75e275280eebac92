package main

import "fmt"

// The Go assembler does not know the instructions of AVX512_BF16: they are written as
// bytes (Intel SDM, volume 2, EVEX encoding of register operands, 512 bits, map 0F38, W0).
func evex(pp, opcode byte, dst, src1, src2 int) string {
	not := func(v, bit int) byte { return byte(v>>bit&1) ^ 1 }
	p0 := not(dst, 3)<<7 | not(src2, 4)<<6 | not(src2, 3)<<5 | not(dst, 4)<<4 | 0x02
	p1 := byte(^src1&15)<<3 | 1<<2 | pp
	p2 := byte(2<<5) | not(src1, 4)<<3
	modrm := byte(0xc0 | dst&7<<3 | src2&7)
	s := "BYTE $0x62"
	for _, b := range []byte{p0, p1, p2, opcode, modrm} {
		s += fmt.Sprintf("; BYTE $0x%02x", b)
	}
	return s
}

// dpbf16 is VDPBF16PS: each float32 of acc plus the products of its two pairs of bfloat16.
func dpbf16(b, a, acc int) string { return evex(2, 0x52, acc, a, b) }

// toBF16 is VCVTNEPS2BF16: 16 float32 of Z src, rounded to nearest even, into Y dst.
func toBF16(src, dst int) string { return evex(2, 0x72, dst, 0, src) }

// packPairs writes what lays out lines of float32 as pairs of bfloat16: words of two
// neighbours along k, the earlier one low.
func packPairs(a *asm) {
	a.begin("transposePairs8", "lays 8 rows out as 8·blocks columns of words, each two elements rounded to bfloat16.",
		"blocks int, dst *float32, step int, src *float32, stride int", 5)
	a.op("MOVQ blocks+0(FP), CX")
	a.op("MOVQ dst+8(FP), DI")
	a.op("MOVQ step+16(FP), R8")
	a.op("MOVQ src+24(FP), SI")
	a.op("MOVQ stride+32(FP), R9")
	a.op("LEAQ (R9)(R9*2), R10")
	a.op("LEAQ (SI)(R9*4), DX")
	a.op("LEAQ (SI)(R9*8), AX")
	a.op("LEAQ (DX)(R9*8), BX")
	a.label("loop")
	for i, m := range eightRows {
		a.op("VMOVUPS %s, Z16", m)
		a.op("%s", toBF16(16, i))
	}
	prefetchRows(a)
	transposeRegisters(a)
	for i := range 8 {
		a.op("VMOVUPS Y%d, (DI)", 8+i)
		a.op("ADDQ R8, DI")
	}
	a.op("ADDQ $64, SI")
	a.op("ADDQ $64, DX")
	a.op("ADDQ $64, AX")
	a.op("ADDQ $64, BX")
	a.op("DECQ CX")
	a.op("JNZ loop")
	a.op("VZEROUPPER")
	a.op("RET\n")

	a.begin("interleave32", "lays out pairs of rows of 32 elements, stride bytes apart, as 32 words each: the rows' elements rounded to bfloat16.",
		"pairs int, dst, src *float32, stride int", 4)
	a.op("MOVQ pairs+0(FP), CX")
	a.op("MOVQ dst+8(FP), DI")
	a.op("MOVQ src+16(FP), SI")
	a.op("MOVQ stride+24(FP), R9")
	a.op("VMOVDQU16 wordsOfHalves<>(SB), Z5")
	a.op("LEAQ (R9)(R9*8), R10")
	a.label("loop")
	for v := range 2 { // rows further on: see prefetchRows
		a.op("PREFETCHT0 %d(SI)(R9*8)", 64*v)
		a.op("PREFETCHT0 %d(SI)(R10*1)", 64*v)
	}
	for v := range 2 {
		a.op("VMOVUPS %d(SI), Z%d", 64*v, v)
		a.op("VMOVUPS %d(SI)(R9*1), Z%d", 64*v, 2+v)
	}
	a.op("LEAQ (SI)(R9*2), SI")
	for v := range 2 {
		a.op("%s", twoToBF16(v, 2+v, v))
		a.op("VPERMW Z%d, Z5, Z%d", v, v)
		a.op("VMOVUPS Z%d, %d(DI)", v, 64*v)
	}
	a.op("ADDQ $128, DI")
	a.op("DECQ CX")
	a.op("JNZ loop")
	a.op("VZEROUPPER")
	a.op("RET\n")

	a.begin("roundPairs", "rounds 2n elements to bfloat16, n a multiple of 16.", "n int, dst, src *float32", 3)
	a.op("MOVQ n+0(FP), CX")
	a.op("MOVQ dst+8(FP), DI")
	a.op("MOVQ src+16(FP), SI")
	a.label("loop")
	a.op("VMOVUPS (SI), Z0")
	a.op("VMOVUPS 64(SI), Z1")
	a.op("%s", twoToBF16(0, 1, 2))
	a.op("VMOVUPS Z2, (DI)")
	a.op("ADDQ $128, SI")
	a.op("ADDQ $64, DI")
	a.op("SUBQ $16, CX")
	a.op("JNZ loop")
	a.op("VZEROUPPER")
	a.op("RET\n")

	a.begin("roundAcross", "rounds n elements of x (low halves) and of y to words of two bfloat16, n a multiple of 16.", "n int, dst, x, y *float32", 4)
	a.op("MOVQ n+0(FP), CX")
	a.op("MOVQ dst+8(FP), DI")
	a.op("MOVQ x+16(FP), SI")
	a.op("MOVQ y+24(FP), DX")
	a.op("VMOVDQU16 wordsOfHalves<>(SB), Z3")
	a.label("loop")
	a.op("VMOVUPS (SI), Z0")
	a.op("VMOVUPS (DX), Z1")
	a.op("%s", twoToBF16(0, 1, 2))
	a.op("VPERMW Z2, Z3, Z2")
	a.op("VMOVUPS Z2, (DI)")
	a.op("ADDQ $64, SI")
	a.op("ADDQ $64, DX")
	a.op("ADDQ $64, DI")
	a.op("SUBQ $16, CX")
	a.op("JNZ loop")
	a.op("VZEROUPPER")
	a.op("RET\n")
	for i := 0; i < 16; i += 2 {
		fmt.Fprintf(&a.text, "DATA wordsOfHalves<>+%d(SB)/8, $0x%04x%04x%04x%04x\n", 4*i, i+17, i+1, i+16, i)
	}
	a.text.WriteString("GLOBL wordsOfHalves<>(SB), RODATA|NOPTR, $64\n\n")
}

// twoToBF16 is VCVTNE2PS2BF16: 16 float32 of Z low and 16 of Z high, rounded to nearest even,
// into Z dst.
func twoToBF16(low, high, dst int) string { return evex(3, 0x72, dst, high, low) }
