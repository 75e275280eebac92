package kernel

import "math"

// Elementary functions in plain float64 operations, each rounded on its own. The standard
// library's use other instructions on other machines, and their last bits differ;
// weights and figures that are known by their digest must not.

const (
	ln2Hi = 6.93147180369123816490e-01 // ln 2 in two parts: the first has zeros enough
	ln2Lo = 1.90821492927058770002e-10 // that a small integer times it is exact
)

// Exp gives e^x for x ≤ 0 with a relative error below 1e-15; 0 below -708.
func Exp(x float64) float64 {
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

// Log gives ln x for x > 0 with a relative error below 1e-15.
func Log(x float64) float64 {
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

// Pow gives x^y for x in [0, 1] and y ≥ 0, with a relative error below 1e-15·(2 + |y·ln x|).
func Pow(x, y float64) float64 {
	switch {
	case y == 0 || x == 1:
		return 1
	case x == 0:
		return 0
	}
	return Exp(float64(y * Log(x)))
}

// CosPi gives cos(π·x) for x in [0, 1] with an error below 1e-15.
func CosPi(x float64) float64 {
	switch {
	case x > 0.5:
		return -CosPi(1 - x)
	case x > 0.25: // as the sine of what is left to a right angle
		r := float64(math.Pi * (0.5 - x))
		return float64(r * series(float64(r*r), 1))
	}
	r := float64(math.Pi * x)
	return series(float64(r*r), 0)
}

// series is Taylor's for the cosine (odd = 0), or for the sine divided by its argument
// (odd = 1), of an argument whose square is r2 ≤ (π/4)².
func series(r2 float64, odd int) float64 {
	p := 1.0
	for n := 18 + odd; n > 1; n -= 2 {
		p = 1 - float64(float64(p*r2)/float64(n*(n-1)))
	}
	return p
}
