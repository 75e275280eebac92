package kernel

import (
	"errors"
	"math"
)

// nativeBF16 is the path, and the class of processors, with the instruction VDPBF16PS.
const nativeBF16 = "avx512bf16"

// UseBF16 makes products round their factors to bfloat16 and sum in float32. All else
// stays float32. Bits are then those of the class of processors that ClassBF16 names, still
// the same for any number of threads. The error says that elements are not float32.
func (c *CPU[T]) UseBF16() error {
	p, ok := any(c.path).(*path[float32])
	if !ok {
		return errors.New("products in bfloat16 are of float32 factors")
	}
	if c.native {
		p = bf16Path()
	} else {
		p = rounding(p)
	}
	c.path, _ = any(p).(*path[T])
	return nil
}

// ClassBF16 names the class of processors whose bits products in bfloat16 have in this process. On
// avx512bf16 (AMD Zen 4, Intel Cooper Lake, and later) the instruction VDPBF16PS adds two
// products at a time, with denormals as zeros. Everywhere else the class is bf16: rounded
// factors go through the chains of float32, which is no faster than float32, and every path
// gives the same bits. PIPELINE_CPU decides: what it names other than avx512bf16 is in the
// class bf16.
func ClassBF16() string {
	if c, _ := chosen(); c.native {
		return nativeBF16
	}
	return "bf16"
}

// HasBF16 says whether this processor has VDPBF16PS.
func HasBF16() bool { return bf16Path() != nil }

// rounding is a path whose products round their factors to bfloat16.
func rounding(p *path[float32]) *path[float32] {
	q := *p
	if p.direct { // A is rounded once, B as it is packed
		q.direct, q.words = false, p.round16
	}
	q.packA = func(dst, a []float32, row, col, m, k int) {
		p.packA(dst, a, row, col, m, k)
		p.round16(dst, dst)
	}
	q.packB = func(dst, b []float32, row, col, n, k int) {
		p.packB(dst, b, row, col, n, k)
		p.round16(dst, dst)
	}
	return &q
}

// round16 rounds x to bfloat16, still as float32. dst may be x.
func round16[T Float](dst, x []T) {
	for i, v := range x[:len(dst)] {
		dst[i] = T(math.Float32frombits(bf16(float32(v)) << 16))
	}
}

// bf16 rounds to bfloat16, to nearest even, as VCVTNEPS2BF16 does: denormals become zero.
func bf16(x float32) uint32 {
	b := math.Float32bits(x)
	switch {
	case x != x:
		return b>>16 | 0x40
	case b&0x7f800000 == 0:
		return b >> 16 & 0x8000
	}
	return (b + 0x7fff + b>>16&1) >> 16
}

// packPairs lays m lines of k elements out as columns of width words, line i's element p
// being src[i*row+p*col]: word w of a line is its elements 2w (low) and 2w+1, rounded to
// bfloat16, with zeros for the lines from m on and for the element after an odd k.
func packPairs(dst, src []float32, row, col, m, k, width, from int) {
	for w := from; w < (k+1)/2; w++ {
		d := dst[w*width : (w+1)*width]
		clear(d[m:])
		for i := range m {
			at := i*row + 2*w*col
			x := bf16(src[at])
			if 2*w+1 < k {
				x |= bf16(src[at+col]) << 16
			}
			d[i] = math.Float32frombits(x)
		}
	}
}
