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

// Every path rounds as bf16 does, whatever the bits.
func TestRound16(t *testing.T) {
	r := rng(2)
	x := append([]float32(nil), harsh...)
	for range 20000 {
		b := uint32(r.Uint64())
		if r.IntN(4) == 0 {
			b = b&0xffff0000 | 0x8000 // a tie
		}
		if r.IntN(8) == 0 {
			b &= 0x807fffff // below the normal numbers
		}
		x = append(x, math.Float32frombits(b))
	}
	want := rounded(x)
	for _, p := range paths() {
		got := make([]float32, len(x))
		p.round16(got, x)
		for i := range got {
			if !same(got[i], want[i]) {
				t.Fatalf("%s: %b (%x) rounds to %x, want %x", p.name, x[i], math.Float32bits(x[i]), math.Float32bits(got[i]), math.Float32bits(want[i]))
			}
		}
	}
}

// A product in bfloat16 is that of the rounded factors, but for the rounding of its sums. Within
// a class of processors it has the same bits on every path, for any number of threads.
func TestGemmBF16(t *testing.T) {
	classes := map[string][]string{"bf16": nil}
	for _, name := range Paths() {
		class := "bf16"
		if name == nativeBF16 {
			class = name
		}
		classes[class] = append(classes[class], name)
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
			for class, names := range classes {
				var first []float32
				for i, name := range names {
					for threads := 1 + i; threads <= 3; threads++ {
						c, err := NewCPUOn(name, threads)
						if err == nil && name != nativeBF16 {
							err = c.UseBF16()
						}
						if err != nil {
							t.Fatal(err)
						}
						got := slices.Clone(c0)
						c.Gemm(ta, tb, m, n, k, a, b, got, add)
						for i := range got {
							if d := math.Abs(float64(got[i]) - want[i]); !(d <= 1.2e-7*float64(k+1)*mag[i]) {
								t.Fatalf("%s, %v, transposed %v %v, add %v: C[%d,%d] = %g, want %g", name, s, ta, tb, add, i/n, i%n, got[i], want[i])
							}
						}
						if first == nil {
							first = got
						}
						if !slices.Equal(first, got) {
							t.Fatalf("%s, %v: on %s with %d threads other bits than on %s", class, s, name, threads, names[0])
						}
					}
				}
			}
		}
	}
	if err := NewCPU[float64](1).UseBF16(); err == nil {
		t.Error("float64 in bfloat16")
	}
}

// PIPELINE_CPU names the path of float32, and with it how bfloat16 is multiplied.
func TestChoose(t *testing.T) {
	for _, name := range append(Paths(), "") {
		c, err := choose(name)
		native := HasBF16() && (name == "" || name == nativeBF16)
		if err != nil || c.native != native {
			t.Errorf("%q: native %v, %v", name, c.native, err)
		}
		want := name
		if native {
			want = "avx512"
		}
		if name != "" && c.path.name != want {
			t.Errorf("%q: float32 on %s", name, c.path.name)
		}
	}
	missing := []string{"sse", "AVX2"}
	if !HasBF16() {
		missing = append(missing, nativeBF16)
	}
	for _, name := range missing {
		if c, err := choose(name); err == nil || c.path != paths()[0] && c.path.name != paths()[0].name {
			t.Errorf("%q: %s, %v", name, c.path.name, err)
		}
	}
}
