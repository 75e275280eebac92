package eval

import "math"

// Logarithm and exponential in plain float64 operations, each rounded on its own: the
// standard library's use other instructions on other machines, and figures that are
// published by digest must not differ in their last bit.

const (
	ln2Hi = 6.93147180369123816490e-01 // ln 2 in two parts: the first has zeros enough
	ln2Lo = 1.90821492927058770002e-10 // that a small integer times it is exact
)

// exp gives e^x for x ≤ 0 with a relative error below 1e-15; 0 below -708.
func exp(x float64) float64 {
	if !(x >= -708) {
		return 0
	}
	k := math.Floor(float64(x/math.Ln2) + 0.5)
	r := x - float64(k*ln2Hi)
	r -= float64(k * ln2Lo)
	// Taylor's series up to r^13/13!, |r| ≤ ln 2 / 2.
	p := 1.0
	for i := 13; i >= 1; i-- {
		p = 1 + float64(float64(p*r)/float64(i))
	}
	return math.Ldexp(p, int(k))
}

// log gives ln x for a positive normal x with a relative error below 1e-15.
func log(x float64) float64 {
	m, e := math.Frexp(x) // m in [½, 1)
	if m < math.Sqrt2/2 {
		m *= 2
		e--
	}
	// ln m = 2 artanh s, s = (m-1)/(m+1), |s| ≤ 0.172: s²³ is below the last bit.
	s := (m - 1) / (m + 1)
	s2 := float64(s * s)
	p := 0.0
	for i := 23; i >= 1; i -= 2 {
		p = float64(p*s2) + 1/float64(i)
	}
	k := float64(e)
	return float64(k*ln2Hi) + (float64(2*float64(s*p)) + float64(k*ln2Lo))
}
