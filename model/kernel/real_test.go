package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestExpAndLog(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		x := -r.Float64() * math.Pow(10, float64(r.IntN(5))-1)
		if want := math.Exp(x); x > -700 && math.Abs(Exp(x)-want) > 2e-15*want {
			t.Fatalf("Exp(%v) = %v, want %v", x, Exp(x), want)
		}
		y := math.Ldexp(0.5+r.Float64(), r.IntN(200)-100)
		if want := math.Log(y); math.Abs(Log(y)-want) > 1e-15*max(1, math.Abs(want)) {
			t.Fatalf("Log(%v) = %v, want %v", y, Log(y), want)
		}
	}
	for x, want := range map[float64]float64{0: 1, -1000: 0, math.Inf(-1): 0} {
		if Exp(x) != want {
			t.Errorf("Exp(%v) = %v, want %v", x, Exp(x), want)
		}
	}
	if Exp(math.NaN()) != 0 || Log(1) != 0 {
		t.Error("Exp(NaN) or Log(1) is not 0")
	}
}

// The bits of a few results are fixed: they must be those of every machine.
func TestNumericBits(t *testing.T) {
	for _, c := range []struct {
		got  float64
		want uint64
	}{
		{Exp(-1), 0x3fd78b56362cef38},
		{Exp(-17.25), 0x3e614f49dbc5078c},
		{Log(10), 0x40026bb1bbb55516},
		{Log(0.3), 0xbff34378fcbda721},
	} {
		if b := math.Float64bits(c.got); b != c.want {
			t.Errorf("%v has bits %#x, want %#x", c.got, b, c.want)
		}
	}
}

func TestPowAndCosPi(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 100_000 {
		x, y := r.Float64(), 20*r.Float64()
		if want := math.Pow(x, y); want > 1e-300 && math.Abs(Pow(x, y)-want) > 1e-15*want*(2+math.Abs(y*math.Log(x))) {
			t.Fatalf("Pow(%v, %v) = %v, want %v", x, y, Pow(x, y), want)
		}
		if want := math.Cos(math.Pi * x); math.Abs(CosPi(x)-want) > 1e-15 {
			t.Fatalf("CosPi(%v) = %v, want %v", x, CosPi(x), want)
		}
	}
	for _, c := range [][3]float64{{0, 0, 1}, {0, 2, 0}, {1, 5, 1}, {0.5, 1, 0.5}} {
		if got := Pow(c[0], c[1]); math.Abs(got-c[2]) > 1e-16 {
			t.Errorf("Pow(%v, %v) = %v, want %v", c[0], c[1], got, c[2])
		}
	}
	if CosPi(0) != 1 || CosPi(1) != -1 || CosPi(0.5) != 0 {
		t.Errorf("CosPi of 0, ½, 1: %v %v %v", CosPi(0), CosPi(0.5), CosPi(1))
	}
}
