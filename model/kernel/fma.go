//go:build !arm64

package kernel

import "math"

// fma32 is x·y + z, rounded once, if ok. The product is exact in float64. The sum is not,
// but rounding it once more, to float32, goes wrong only when the first rounding hit a
// tie of the second: then, and below the normal numbers, it is for fma32Odd.
func fma32(x, y, z float32) (r float32, ok bool) {
	s := float64(x)*float64(y) + float64(z)
	const tie, rest = 1 << 28, 1<<29 - 1 // of the 29 bits that float32 does not have
	bits := math.Float64bits(s)
	return float32(s), bits&rest != tie && bits>>52&0x7ff > 1023-126
}

// fma32Odd rounds the sum to odd: its last bit is set where it is not exact, so that
// float32 sees on which side of a tie the exact sum lies (Boldo & Melquiond, IEEE Trans.
// Computers 57(4), 2008).
func fma32Odd(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z)
	s := p + c
	b := s - p
	if e := (p - (s - b)) + (c - b); e > 0 || e < 0 { // TwoSum: s+e is the exact sum
		if bits := math.Float64bits(s); bits&1 == 0 {
			if (e > 0) == (s > 0) {
				bits++
			} else {
				bits--
			}
			s = math.Float64frombits(bits)
		}
	}
	return float32(s)
}
