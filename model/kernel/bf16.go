package kernel

import (
	"errors"
	"math"
)

// ErrNoBF16 says that this processor cannot multiply in bfloat16.
var ErrNoBF16 = errors.New("products in bf16 need a processor with AVX512_BF16 (AMD Zen 4, Intel Cooper Lake, or later); this one has none: use fp32")

// UseBF16 makes products round their factors to bfloat16 and sum in float32. All else
// stays float32. Bits are then those of this class of processors, still the same for
// any number of threads.
func (c *CPU[T]) UseBF16() error {
	p := bf16Path()
	q, ok := any(p).(*path[T])
	if p == nil || !ok {
		return ErrNoBF16
	}
	c.path = q
	return nil
}

// HasBF16 says whether UseBF16 works here.
func HasBF16() bool { return bf16Path() != nil }

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
