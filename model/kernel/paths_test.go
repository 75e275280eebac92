package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// on is a CPU that uses a path.
func on(p *path[float32], threads int) *CPU[float32] {
	c := NewCPU[float32](threads)
	c.path = p
	return c
}

// harsh are values that break what is nearly right: around exp's ends, denormals, zeros
// of both signs, ties, the empty state's exponent, infinities and what is no number.
var harsh = []float32{0, float32(math.Copysign(0, -1)), 1, -1, 30, -30, 88.72, 88.73, -86.5, -86.51, -87.4, 1e-38, -1e-40, 1.4e-45,
	3e38, -1e38, EmptyP, 1 << 24, 1<<24 + 2, 0.5, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}

func inputs(r *rand.Rand, n int, rough bool) []float32 {
	x := normal[float32](r, n)
	for i := range x {
		if rough && r.IntN(3) == 0 {
			x[i] = harsh[r.IntN(len(harsh))]
		}
	}
	return x
}

// battery runs every kernel once and returns all that they wrote.
func battery(c *CPU[float32], batch, steps, d, vocab int, rough bool) (all [][]float32) {
	r := rng(uint64(9 + d))
	n := batch * steps
	buf := func(n int) []float32 { x := make([]float32, n); all = append(all, x); return x }
	in := func(n int) []float32 { return inputs(r, n, rough) }
	some := func(n int) []float32 { x := in(n); all = append(all, x); return x } // read and written
	x, g, b, dy := in(n*d), in(d), in(d), in(n*d)
	y, mean, rstd := buf(n*d), buf(n), buf(n)
	c.LayerNorm(y, mean, rstd, x, g, b)
	c.LayerNormBackward(buf(n*d), buf(d), buf(d), dy, x, mean, rstd, g, false)
	c.LayerNormBackward(some(n*d), buf(d), buf(d), dy, x, mean, rstd, g, true)
	c.TokenShift(buf(n*d), x, g, nil, steps, nil)
	c.TokenShift(buf(n*d), x, g, in(batch*d), steps, nil)
	c.TokenShiftBackward(buf(n*d), buf(d), nil, dy, x, g, nil, steps, nil, false)
	c.TokenShiftBackward(some(n*d), buf(d), some(batch*d), dy, x, g, in(batch*d), steps, nil, true)
	w, wy := buf(d), buf(n*d)
	c.Decay(w, g)
	state := WKVState[float32]{some(batch * d), some(batch * d), some(batch * d)}
	start := WKVState[float32]{append([]float32(nil), state.A...), append([]float32(nil), state.B...), append([]float32(nil), state.P...)}
	c.WKV(wy, w, b, x, y, state, nil)
	c.WKVBackward(buf(d), buf(d), buf(n*d), buf(n*d), dy, wy, w, b, x, y, start, WKVState[float32]{some(batch * d), some(batch * d), some(batch * d)}, nil)
	c.WKVBackward(buf(d), buf(d), buf(n*d), buf(n*d), dy, wy, w, b, x, y, WKVState[float32]{}, NewWKVState[float32](batch*d), nil)
	fresh := make([]bool, n)
	for t := range fresh {
		fresh[t] = t%5 == 2
	}
	c.TokenShift(buf(n*d), x, g, in(batch*d), steps, fresh)
	c.TokenShiftBackward(some(n*d), buf(d), some(batch*d), dy, x, g, in(batch*d), steps, fresh, true)
	state = WKVState[float32]{some(batch * d), some(batch * d), some(batch * d)}
	c.WKV(wy, w, b, x, y, state, fresh)
	c.WKVBackward(buf(d), buf(d), buf(n*d), buf(n*d), dy, wy, w, b, x, y, start, WKVState[float32]{some(batch * d), some(batch * d), some(batch * d)}, fresh)
	s := some(n * d)
	c.Sigmoid(s)
	c.Gate(buf(n*d), s, y)
	c.AddGate(buf(n*d), x, s, y)
	c.Add(buf(n*d), x, y)
	c.SigmoidGateBackward(buf(n*d), buf(n*d), dy, s, y)
	c.SquaredReLU(buf(n*d), x)
	c.SquaredReLUBackward(buf(n*d), dy, x)
	tokens := make([]uint32, n)
	for i := range tokens {
		tokens[i] = uint32(r.IntN(vocab))
	}
	c.Embedding(buf(n*d), in(vocab*d), tokens, d)
	c.EmbeddingBackward(buf(vocab*d), dy, tokens, d, false)
	c.EmbeddingBackward(some(vocab*d), some(n*d), tokens, d, true)
	c.CrossEntropy(buf(n), some(n*vocab), tokens)
	probabilities := some(vocab)
	c.Softmax(probabilities)
	p, m, v := some(n*d), some(n*d), buf(n*d)
	c.AdamW(p, dy, m, v, AdamW{Rate: 1e-3, Beta1: .9, Beta2: .99, Eps: 1e-8, Decay: .1, Step: 1}, 0.3)
	all = append(all, []float32{float32(c.SumSquares(p))})
	row := some(d)
	c.TokenShiftRow(buf(d), row, g, b)
	weights := in(vocab * d)
	var list []Product[float32]
	for _, kind := range []Weights{FP32, BF16, Int8} {
		list = append(list, NewProduct(buf(vocab), Pack(kind, make([]uint32, kind.Words(vocab, d)), weights, vocab, d), row))
	}
	c.Products(list)
	for form := range 8 {
		ta, tb, add := form&1 != 0, form&2 != 0, form&4 != 0
		c.Gemm(ta, tb, n, vocab, d, x, in(vocab*d), some(n*vocab), add)
		c.Gemm(ta, tb, d, vocab, n, x, in(vocab*n), some(d*vocab), add)
	}
	return all
}

// same says whether two numbers have the same bits; all that are not numbers are one.
func same(x, y float32) bool {
	return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
}

// Every path gives the bits of plain Go, on one thread and on several, for shapes that
// fill registers and tiles and for those that stick out.
func TestPaths(t *testing.T) {
	all := paths()
	plain := all[len(all)-1]
	for _, s := range []struct{ batch, steps, d, vocab int }{{1, 1, 1, 1}, {1, 2, 7, 3}, {2, 5, 8, 16}, {3, 17, 31, 33}, {2, 40, 64, 100}, {1, 33, 131, 257}, {2, 9, 192, 64}} {
		for _, rough := range []bool{false, true} {
			want := battery(on(plain, 1), s.batch, s.steps, s.d, s.vocab, rough)
			for _, p := range all {
				for threads := 1; threads <= 3; threads += 2 {
					t.Run(fmt.Sprintf("%s/%v/rough=%v/threads=%d", p.name, s, rough, threads), func(t *testing.T) {
						got := battery(on(p, threads), s.batch, s.steps, s.d, s.vocab, rough)
						for i := range got {
							for j := range got[i] {
								if !same(got[i][j], want[i][j]) {
									t.Errorf("buffer %d of %d elements: element %d is %x, plain Go gives %x (%g, %g)", i, len(got[i]), j,
										math.Float32bits(got[i][j]), math.Float32bits(want[i][j]), got[i][j], want[i][j])
									break
								}
							}
						}
					})
				}
			}
		}
	}
}

// Sums of squares, which are float64, have the same bits too.
func TestPathsSquares(t *testing.T) {
	all := paths()
	for _, n := range []int{0, 1, 15, 16, 17, 100, span + 3} {
		x := inputs(rng(uint64(n)), n, n%2 == 0)
		want := on(all[len(all)-1], 1).SumSquares(x)
		for _, p := range all {
			if got := on(p, 2).SumSquares(x); math.Float64bits(got) != math.Float64bits(want) && !(got != got && want != want) {
				t.Errorf("%s: sum of %d squares is %x, plain Go gives %x", p.name, n, math.Float64bits(got), math.Float64bits(want))
			}
		}
	}
}

// Products larger than a block have the bits of plain Go too, whatever C held before.
func TestPathsBlocks(t *testing.T) {
	all := paths()
	for _, s := range [][3]int{{blockM + 9, blockN + 7, blockK + 3}, {64, 2 * blockN, 2 * blockK}, {40, 0, 3}, {3, 5, 0}} {
		m, n, k := s[0], s[1], s[2]
		r := rng(uint64(m))
		a, b, c := inputs(r, m*k, false), inputs(r, k*n, false), inputs(r, m*n, true)
		for form := range 8 {
			var want []float32
			for i := len(all) - 1; i >= 0; i-- {
				got := append([]float32(nil), c...)
				on(all[i], 1+i).Gemm(form&1 != 0, form&2 != 0, m, n, k, a, b, got, form&4 != 0)
				if want == nil {
					want = got
				}
				for j := range got {
					if !same(got[j], want[j]) {
						t.Fatalf("%s, %v, form %d: C[%d] = %x, plain Go gives %x", all[i].name, s, form, j, math.Float32bits(got[j]), math.Float32bits(want[j]))
					}
				}
			}
		}
	}
}

func FuzzPaths(f *testing.F) {
	f.Add(uint64(1), uint8(40), uint8(33), uint8(70))
	f.Fuzz(func(t *testing.T, seed uint64, m, n, k uint8) {
		all := paths()
		r := rng(seed)
		a, b, c := inputs(r, int(m)*int(k), true), inputs(r, int(k)*int(n), true), inputs(r, int(m)*int(n), true)
		for form := range 4 {
			var want []float32
			for i := len(all) - 1; i >= 0; i-- {
				got := append([]float32(nil), c...)
				on(all[i], 2).Gemm(form&1 != 0, form&2 != 0, int(m), int(n), int(k), a, b, got, true)
				if want == nil {
					want = got
				}
				for j := range got {
					if !same(got[j], want[j]) {
						t.Fatalf("%s: C[%d] = %x, plain Go gives %x", all[i].name, j, math.Float32bits(got[j]), math.Float32bits(want[j]))
					}
				}
			}
		}
	})
}
