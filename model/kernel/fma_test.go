package kernel

import (
	"math"
	"math/big"
	"testing"
)

// exactFMA rounds x·y + z once, by way of exact numbers.
func exactFMA(x, y, z float32) float32 {
	p := new(big.Float).SetPrec(600).Mul(big.NewFloat(float64(x)), big.NewFloat(float64(y)))
	f, _ := p.SetPrec(600).Add(p, new(big.Float).SetPrec(600).SetFloat64(float64(z))).Float32()
	return f
}

func fused(x, y, z float32) float32 {
	if r, ok := fma32(x, y, z); ok {
		return r
	}
	return fma32Odd(x, y, z)
}

func TestFMA(t *testing.T) {
	r := rng(1)
	float := func() float32 { // of any exponent, with few or many bits
		b := uint32(r.Uint64())
		if r.Uint64()%2 == 0 {
			b &^= 1<<(r.Uint64()%23) - 1
		}
		return math.Float32frombits(b)
	}
	near := func(x float32) float32 { return math.Float32frombits(math.Float32bits(x) + uint32(r.Uint64()%8) - 4) }
	check := func(x, y, z float32) {
		t.Helper()
		if math.IsNaN(float64(x*y)) || math.IsNaN(float64(z)) || math.IsInf(float64(x), 0) || math.IsInf(float64(y), 0) || math.IsInf(float64(z), 0) {
			return
		}
		got, want := fused(x, y, z), exactFMA(x, y, z)
		if got != want || got == 0 && want != 0 {
			t.Fatalf("%b·%b + %b = %b, want %b", x, y, z, got, want)
		}
	}
	for range 200000 {
		x, y := float(), float()
		check(x, y, float())
		check(x, y, near(-x*y)) // all but cancels
		// A product of which half an ulp of z hangs over, and a little more.
		z := math.Float32frombits(uint32(r.Uint64()%(200<<23)) + 20<<23)
		h := z * (1.0 / (1 << 24))
		check(near(1), h, z)
		check(near(1), -h, z)
		check(near(1), h/2, z)
		check(x, 1, z)
	}
	inf := float32(math.Inf(1))
	if fused(inf, 1, -1) != inf || !math.IsNaN(float64(fused(inf, 1, -inf))) || !math.IsNaN(float64(fused(inf, 0, 1))) {
		t.Error("infinities")
	}
}
