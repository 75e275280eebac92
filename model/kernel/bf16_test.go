package kernel

import (
	"math"
	"slices"
	"testing"
)

func rounded(x []float32) []float32 {
	y := make([]float32, len(x))
	for i := range x {
		y[i] = math.Float32frombits(bf16(x[i]) << 16)
	}
	return y
}

func TestBF16Rounding(t *testing.T) {
	for x, want := range map[float32]float32{0: 0, 1: 1, -3: -3, 1 + 1.0/256: 1, 1 + 3.0/256: 1 + 2.0/128, 1e-40: 0, 3.4e38: float32(math.Inf(1))} {
		if got := math.Float32frombits(bf16(x) << 16); got != want {
			t.Errorf("%b rounds to %b, want %b", x, got, want)
		}
	}
	if y := math.Float32frombits(bf16(float32(math.NaN())) << 16); y == y {
		t.Error("NaN became", y)
	}
}

// A product in bfloat16 is that of the rounded factors, but for the rounding of its sums.
func TestGemmBF16(t *testing.T) {
	if !HasBF16() {
		t.Skip("this processor has no AVX512_BF16")
	}
	for seed, s := range [][3]int{{1, 1, 1}, {8, 32, 2}, {8, 32, 3}, {8, 32, 16}, {5, 3, 7}, {1, 131, 17}, {131, 1, 300}, {67, 71, 257}, {64, 64, 512}, {130, 66, 513}, {16, 96, 40}, {40, 33, 31}, {33, 70, 1}, {blockM + 9, blockN + 7, blockK + 3}} {
		m, n, k := s[0], s[1], s[2]
		r := rng(uint64(seed))
		a, b, c0 := normal[float32](r, m*k), normal[float32](r, k*n), normal[float32](r, m*n)
		for form := range 8 {
			ta, tb, add := form&1 != 0, form&2 != 0, form&4 != 0
			start := c0
			if !add {
				start = make([]float32, m*n)
			}
			want, mag := naive(ta, tb, m, n, k, rounded(a), rounded(b), start)
			var first []float32
			for threads := 1; threads <= 3; threads++ {
				c := NewCPU[float32](threads)
				if err := c.UseBF16(); err != nil {
					t.Fatal(err)
				}
				got := slices.Clone(c0)
				c.Gemm(ta, tb, m, n, k, a, b, got, add)
				for i := range got {
					if d := math.Abs(float64(got[i]) - want[i]); !(d <= 1.2e-7*float64(k+1)*mag[i]) {
						t.Fatalf("%v, transposed %v %v, add %v: C[%d,%d] = %g, want %g", s, ta, tb, add, i/n, i%n, got[i], want[i])
					}
				}
				if first == nil {
					first = got
				}
				if !slices.Equal(first, got) {
					t.Fatalf("%v: other bits with %d threads", s, threads)
				}
			}
		}
	}
}
