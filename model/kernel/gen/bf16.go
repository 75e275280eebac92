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
	a.label("loop")
	for i, m := range eightRows {
		a.op("VMOVUPS %s, Z16", m)
		a.op("%s", toBF16(16, i))
	}
	transposeRegisters(a)
	for i := range 8 {
		a.op("VMOVUPS Y%d, (DI)", 8+i)
		a.op("ADDQ R8, DI")
	}
	a.op("ADDQ $64, SI")
	a.op("ADDQ $64, DX")
	a.op("DECQ CX")
	a.op("JNZ loop")
	a.op("VZEROUPPER")
	a.op("RET\n")

	a.begin("interleave16", "lays out pairs of rows, stride bytes apart, as 16 words each, step bytes apart: the rows' elements rounded to bfloat16.",
		"pairs int, dst *float32, step int, src *float32, stride int", 5)
	a.op("MOVQ pairs+0(FP), CX")
	a.op("MOVQ dst+8(FP), DI")
	a.op("MOVQ step+16(FP), R8")
	a.op("MOVQ src+24(FP), SI")
	a.op("MOVQ stride+32(FP), R9")
	a.label("loop")
	a.op("VMOVUPS (SI), Z0")
	a.op("VMOVUPS (SI)(R9*1), Z1")
	a.op("%s", toBF16(0, 2))
	a.op("%s", toBF16(1, 3))
	a.op("VPMOVZXWD Y2, Z2")
	a.op("VPMOVZXWD Y3, Z3")
	a.op("VPSLLD $16, Z3, Z3")
	a.op("VPORD Z3, Z2, Z2")
	a.op("VMOVUPS Z2, (DI)")
	a.op("LEAQ (SI)(R9*2), SI")
	a.op("ADDQ R8, DI")
	a.op("DECQ CX")
	a.op("JNZ loop")
	a.op("VZEROUPPER")
	a.op("RET\n")
}
