package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var kinds = []Weights{FP32, BF16, Int8}

// multiplied is a matrix of a kind with a vector, on a path.
func multiplied(c *CPU[float32], kind Weights, w, x []float32, rows, cols int) []float32 {
	y := make([]float32, rows)
	c.Products([]Product[float32]{NewProduct(y, Pack(kind, make([]uint32, kind.Words(rows, cols)), w, rows, cols), x)})
	return y
}

// dequantized is what a packed matrix stands for, as its rows say.
func dequantized(kind Weights, w []float32, rows, cols int) []float32 {
	m := Pack(kind, make([]uint32, kind.Words(rows, cols)), w, rows, cols)
	var all []float32
	for r := range rows {
		all = append(all, m.Row(r, make([]float32, cols))...)
	}
	return all
}

// magnitudes that numbers of a test have.
var magnitudes = []float32{1, 30, 1e-20, 1e-41, 1e18}

// Every product is that of the weights as they were rounded, in float64, but for the rounding
// of its sums and, of int8, of the vector: to 1/32767 of the largest of a block.
func TestProducts(t *testing.T) {
	for seed, s := range [][2]int{{0, 7}, {5, 0}, {1, 1}, {3, 16}, {4, 32}, {5, 31}, {4, 64}, {8, 63}, {7, 65}, {67, 257}, {9, 512}, {6, 513}, {13, 1031}, {130, 768}, {257, 33}, {2, 4099}} {
		rows, cols := s[0], s[1]
		for _, mw := range magnitudes {
			for _, mx := range magnitudes {
				r := rng(uint64(seed))
				w, x := normal[float32](r, rows*cols), normal[float32](r, cols)
				for i := range w {
					w[i] *= mw
				}
				for i := range x {
					x[i] *= mx
				}
				for _, kind := range kinds {
					q := dequantized(kind, w, rows, cols)
					for _, p := range paths() {
						got := multiplied(on(p, 1), kind, w, x, rows, cols)
						for i, y := range got {
							want, mag := 0.0, 0.0
							top := make([]float64, (cols+byteBlock-1)/byteBlock)
							for j, v := range x {
								term := float64(q[i*cols+j]) * float64(v)
								want += term
								mag += math.Abs(term)
								top[j/byteBlock] = max(top[j/byteBlock], math.Abs(float64(v)))
							}
							bound := 1.2e-7*float64(cols/lanes+6)*mag + 1e-44*float64(cols)
							if kind == Int8 {
								for j := range cols {
									step := top[j/byteBlock] / 32767
									if step*32767 < 1e-30 {
										step = 1e-30
									}
									bound += math.Abs(float64(q[i*cols+j])) * step * 0.51
								}
							}
							if d := math.Abs(float64(y) - want); !(d <= bound) {
								t.Fatalf("%s, %s, %d×%d, weights about %g, vector %g: y[%d] = %g, want %g ± %g", p.name, kind, rows, cols, mw, mx, i, y, want, bound)
							}
						}
					}
				}
			}
		}
	}
}

// What weights become: bfloat16 as it is rounded elsewhere, int8 within half a step of its
// block's scale, the largest exactly as large.
func TestPack(t *testing.T) {
	const rows, cols = 7, 1100
	r := rng(8)
	w := normal[float32](r, rows*cols)
	w[3*cols+600] = 50
	clear(w[5*cols+512 : 5*cols+1024])
	for i, v := range dequantized(BF16, w, rows, cols) {
		if want := math.Float32frombits(bf16(w[i]) << 16); v != want {
			t.Fatalf("bf16: %g became %g, want %g", w[i], v, want)
		}
	}
	q := dequantized(Int8, w, rows, cols)
	for row := range rows {
		for lo := 0; lo < cols; lo += byteBlock {
			at, n := row*cols+lo, min(byteBlock, cols-lo)
			top := magnitude(w[at : at+n])
			for i := range n {
				d := math.Abs(float64(q[at+i] - w[at+i]))
				if d > float64(top)/254*1.000001 || float32(math.Abs(float64(w[at+i]))) == top && d > 1e-6*float64(top) {
					t.Fatalf("int8: row %d, column %d: %g became %g; the largest is %g", row, lo+i, w[at+i], q[at+i], top)
				}
			}
		}
	}
	if d := dequantized(FP32, w, rows, cols); !slices.Equal(d, w) {
		t.Error("fp32 weights were changed")
	}
	if n := Int8.Words(rows, cols); n != 8*1152/4 {
		t.Errorf("%d words for 8 rows of 1152 bytes", n)
	}
}

// An infinity or what is no number, in the weights or in the vector, is not lost.
func TestProductsOfNoNumbers(t *testing.T) {
	const rows, cols = 5, 600
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, kind := range kinds {
		for _, p := range paths() {
			for _, bad := range []float32{inf, -inf, nan} {
				r := rng(3)
				w, x := normal[float32](r, rows*cols), normal[float32](r, cols)
				x[590] = bad
				for i, y := range multiplied(on(p, 1), kind, w, x, rows, cols) {
					if y-y == 0 {
						t.Errorf("%s, %s: y[%d] = %g of a vector with %g", p.name, kind, i, y, bad)
					}
				}
				x[590], w[2*cols+3] = 1, bad
				for i, y := range multiplied(on(p, 1), kind, w, x, rows, cols) {
					if (y-y == 0) != (i != 2) {
						t.Errorf("%s, %s: y[%d] = %g of weights with %g in row 2", p.name, kind, i, y, bad)
					}
				}
			}
		}
	}
}

// Products done together, on any number of threads and path, have the bits of plain Go on one
// thread, however often they are done, and allocate nothing.
func TestProductsTogether(t *testing.T) {
	shapes := [][2]int{{2500, 48}, {3, 700}, {1030, 160}}
	make1 := func() (list []Product[float32], ys [][]float32) {
		r := rng(77)
		for _, kind := range kinds {
			for _, s := range shapes {
				rows, cols := s[0], s[1]
				w := Pack(kind, make([]uint32, kind.Words(rows, cols)), inputs(r, rows*cols, false), rows, cols)
				y := make([]float32, rows)
				list, ys = append(list, NewProduct(y, w, inputs(r, cols, false))), append(ys, y)
			}
		}
		return list, ys
	}
	all := paths()
	list, want := make1()
	on(all[len(all)-1], 1).Products(list)
	for _, p := range all {
		for _, threads := range []int{1, 2, 3, 8} {
			t.Run(fmt.Sprintf("%s/%d", p.name, threads), func(t *testing.T) {
				c := on(p, threads)
				list, got := make1()
				for range 50 {
					for _, y := range got {
						clear(y)
					}
					c.Products(list)
					for i := range got {
						if !slices.Equal(got[i], want[i]) {
							t.Fatalf("product %d has other bits", i)
						}
					}
				}
				if n := testing.AllocsPerRun(3, func() { c.Products(list) }); n != 0 {
					t.Errorf("%g allocations", n)
				}
				c.SetThreads(2) // a team of others
				c.Products(list)
				if !slices.Equal(got[0], want[0]) {
					t.Error("other bits after another number of threads")
				}
				c.SetThreads(1)
			})
		}
	}
}

func FuzzProducts(f *testing.F) {
	f.Add(uint64(1), uint16(9), uint16(700))
	f.Add(uint64(2), uint16(4), uint16(64))
	f.Fuzz(func(t *testing.T, seed uint64, m, n uint16) {
		rows, cols := int(m)%300, int(n)%1500
		r := rand.New(rand.NewPCG(seed, 5))
		w, x := inputs(r, rows*cols, seed%2 == 0), inputs(r, cols, seed%3 == 0)
		all := paths()
		for _, kind := range kinds {
			want := multiplied(on(all[len(all)-1], 1), kind, w, x, rows, cols)
			for _, p := range all {
				for i, y := range multiplied(on(p, 2), kind, w, x, rows, cols) {
					if !same(y, want[i]) {
						t.Fatalf("%s, %s, %d×%d: y[%d] = %x, plain Go gives %x", p.name, kind, rows, cols, i, math.Float32bits(y), math.Float32bits(want[i]))
					}
				}
			}
		}
	})
}

func BenchmarkProducts(b *testing.B) {
	const rows, cols = 32000, 768
	w, x := normal[float32](rng(1), rows*cols), normal[float32](rng(2), cols)
	for _, kind := range kinds {
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%s/%d", kind, threads), func(b *testing.B) {
				c := NewCPU[float32](threads)
				m := Pack(kind, Large[uint32](kind.Words(rows, cols)), w, rows, cols)
				list := []Product[float32]{NewProduct(make([]float32, rows), m, x)}
				b.SetBytes(m.Bytes())
				for b.Loop() {
					c.Products(list)
				}
			})
		}
	}
}
