package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// naive is op(A)·op(B) + C in float64, and the sum of magnitudes that bounds its error.
func naive[T Float](ta, tb bool, m, n, k int, a, b, c []T) (y, mag []float64) {
	y, mag = make([]float64, m*n), make([]float64, m*n)
	for i := range m {
		for j := range n {
			s := float64(c[i*n+j])
			g := math.Abs(s)
			for p := range k {
				x, z := a[i*k+p], b[p*n+j]
				if ta {
					x = a[p*m+i]
				}
				if tb {
					z = b[j*k+p]
				}
				s += float64(x) * float64(z)
				g += math.Abs(float64(x) * float64(z))
			}
			y[i*n+j], mag[i*n+j] = s, g
		}
	}
	return y, mag
}

func checkGemm[T Float](t *testing.T, m, n, k int, eps float64, seed uint64) {
	t.Helper()
	r := rng(seed)
	a, b, c0 := normal[T](r, m*k), normal[T](r, k*n), normal[T](r, m*n)
	for form := range 8 {
		ta, tb, add := form&1 != 0, form&2 != 0, form&4 != 0
		start := c0
		if !add {
			start = make([]T, m*n)
		}
		want, mag := naive(ta, tb, m, n, k, a, b, start)
		var first []T
		for threads := 1; threads <= 3; threads++ {
			got := slices.Clone(c0)
			NewCPU[T](threads).Gemm(ta, tb, m, n, k, a, b, got, add)
			for i := range got {
				if d := math.Abs(float64(got[i]) - want[i]); !(d <= eps*float64(k+1)*mag[i]) {
					t.Fatalf("%dx%dx%d, transposed %v %v, add %v: C[%d,%d] = %g, want %g", m, n, k, ta, tb, add, i/n, i%n, got[i], want[i])
				}
			}
			if first == nil {
				first = got
			}
			if !slices.Equal(first, got) {
				t.Fatalf("%dx%dx%d, transposed %v %v, add %v: other bits with %d threads", m, n, k, ta, tb, add, threads)
			}
		}
	}
}

func TestGemm(t *testing.T) {
	for i, s := range [][3]int{{0, 3, 2}, {3, 0, 2}, {3, 2, 0}, {1, 1, 1}, {4, 2, 1}, {5, 3, 7}, {1, 131, 17}, {131, 1, 300}, {67, 71, 257}, {64, 64, 512}, {130, 66, 513}, {blockM + 9, blockN + 7, blockK + 3}} {
		checkGemm[float32](t, s[0], s[1], s[2], 1.2e-7, uint64(i))
		checkGemm[float64](t, s[0], s[1], s[2], 2.3e-16, uint64(i))
	}
}

func FuzzGemm(f *testing.F) {
	f.Add(uint8(3), uint8(5), uint16(7), uint64(1))
	f.Add(uint8(65), uint8(63), uint16(257), uint64(2))
	f.Fuzz(func(t *testing.T, m, n uint8, k uint16, seed uint64) {
		checkGemm[float32](t, int(m)%90, int(n)%90, int(k)%600, 1.2e-7, seed)
	})
}

func TestLinear(t *testing.T) {
	r, c := rng(1), NewCPU[float64](2)
	const rows, in, out = 9, 5, 7
	x, w, u := normal[float64](r, rows*in), normal[float64](r, out*in), normal[float64](r, rows*out)
	y, dx, dw := make([]float64, rows*out), make([]float64, rows*in), make([]float64, out*in)
	f := func() float64 { c.Linear(y, x, w, rows, in, out); return weighted(y, u) }
	c.LinearBackward(dx, dw, u, x, w, rows, in, out, false)
	checkGrad(t, "dx", x, dx, f)
	checkGrad(t, "dw", w, dw, f)
	f()
}

func BenchmarkGemm(b *testing.B) {
	for _, s := range []struct {
		name    string
		ta, tb  bool
		m, n, k int
	}{
		{"forward", false, true, 1024, 512, 128},
		{"input", false, false, 1024, 128, 512},
		{"weight", true, false, 512, 128, 1024},
		{"head", false, true, 256, 4096, 128},
		{"square", false, false, 512, 512, 512},
	} {
		for threads := 1; threads <= 3; threads++ {
			kind := fmt.Sprintf("threads=%d", threads)
			if threads == 3 {
				kind, threads = "bf16", 1
			}
			b.Run(s.name+"/"+kind, func(b *testing.B) {
				c, r := NewCPU[float32](threads), rng(1)
				if kind == "bf16" {
					if err := c.UseBF16(); err != nil {
						b.Skip(err)
					}
				}
				x, y, z := normal[float32](r, s.m*s.k), normal[float32](r, s.k*s.n), make([]float32, s.m*s.n)
				for b.Loop() {
					c.Gemm(s.ta, s.tb, s.m, s.n, s.k, x, y, z, false)
				}
				b.ReportMetric(2e-9*float64(s.m*s.n*s.k)*float64(b.N)/b.Elapsed().Seconds(), "GFLOP/s")
			})
			if kind == "bf16" {
				break
			}
		}
	}
}
