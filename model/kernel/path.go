package kernel

import "math"

// path is the table of inner loops of one instruction set. Its entries see one task:
// threads, blocks and edges are the callers' business, and all paths share them. All
// paths give the same bits. Loops element by element take slices as long as their first;
// what they compute stands in the plain function of that name.
type path[T Float] struct {
	name string

	// A product's tile is mr×nr. packA lays mr rows of k elements out as tile wants
	// them, element (i, p) being a[i*row+p*col]; rows from m on are zeros. packB does
	// so for nr columns, element (p, j) being b[p*row+j*col].
	mr, nr int
	packA  func(dst, a []T, row, col, m, k int)
	packB  func(dst, b []T, row, col, n, k int)
	// direct says that tile can read A in any layout, and B where rows lie together.
	direct bool
	// pair is how many elements of k share a 32-bit word: 2 with VDPBF16PS. In bfloat16 A
	// is made one of words first, by rows of it or across each two.
	pair        int
	words       func(dst, x []T)
	wordsAcross func(dst, x, y []T)
	// tiles adds A·B to n tiles of c beside each other, or overwrites them where first is set: mr
	// rows of nr elements each, ldc apart, each element one chain of fused multiply-adds
	// over k in order, from c or from zero. Element (i, p) of A is a[i*row+p*col], unless not
	// direct; columns of B for p begin at b[p*step], those of the next tile next further on.
	// k counts words.
	tiles func(k, n int, a []T, row, col int, b []T, step, next int, c []T, ldc int, first bool)

	// peak does n rounds of multiply-adds on registers alone, each of so many floating-point
	// operations. nil in plain Go.
	peak  func(n int)
	round int

	dot func(x, y []T) T // 16 lanes, folded by halves
	sum func(x []T) T    // 16 lanes, folded by halves
	top func(x []T) T    // the largest, in 16 lanes
	// expSum computes x = e^(x-top) and returns the sum of x.
	expSum func(x []T, top T) T
	// squares is Σx² in float64: 16 lanes, folded by halves.
	squares func(x []T) float64

	// Of a matrix and one vector: float32 (gemv.go), pairs of bfloat16, and int8.
	gemv      func(y, w, x []T)
	gemvPairs func(y []T, w []uint32, x []T)
	gemvBytes func(y []T, w []uint32, scales []T, x []uint32, xs []T)
	quantize  func(dst []uint32, x []T, inv T)
	magnitude func(x []T) T

	exp, sigmoid            func(x []T)
	add, gate               func(y, a, b []T)
	addGate                 func(y, a, r, v []T)
	sigmoidGateBackward     func(dq, dy, dz, r, y []T)
	squaredReLU             func(y, x []T)
	squaredReLUBackward     func(dx, dy, x []T)
	round16                 func(dst, x []T)
	scale                   func(y []T, a T)
	subtract                func(y, x []T, a T)
	axpy                    func(y, x []T, a T)
	mix                     func(y, h, prev, mu []T)
	mixBackward             func(dh, sums, dy, next, h, prev, mu []T)
	mixBackwardAdd          func(dh, sums, dy, next, h, prev, mu []T)
	norm                    func(y, g, b []T, rstd T)
	normBackward            func(xh, dh, sg, sb, dy, x, g []T, mean, rstd T)
	normInput, normInputAdd func(dx, dh, xh []T, m1, m2, rstd T)
	adamW                   func(p, g, m, v []T, scale, b1, o1, b2, o2, keep, step, eps T)

	wkv         func(s wkvSpan[T], w, u, k, v, y []T, a, b, p []T, tmp []T)
	wkvBackward func(s wkvSpan[T], w, u, k, v, y, gy []T, a, b, p []T, al, be, rho []T, gw, gu, gk, gv []T, tmp []T)
}

func plain[T Float]() *path[T] {
	p := &path[T]{name: "go", pair: 1, mr: 4, nr: 2, packA: packA4[T], packB: packB2[T], tiles: oneByOne(tile4x2[T]),
		gemv: gemv[T], gemvPairs: gemvPairs[T], gemvBytes: gemvBytes[T], quantize: quantize[T], magnitude: magnitude[T],
		dot: dot[T], sum: sum[T], top: top[T], expSum: expSum[T], squares: squaresOf[T], sigmoid: sigmoid[T], add: add[T], gate: gate[T], addGate: addGate[T],
		sigmoidGateBackward: sigmoidGateBackward[T], squaredReLU: squaredReLU[T], squaredReLUBackward: squaredReLUBackward[T],
		round16: round16[T], scale: scale[T], subtract: subtract[T], axpy: axpy[T], mix: mix[T], mixBackward: mixBackward[T], mixBackwardAdd: mixBackwardAdd[T],
		norm: norm[T], normBackward: normBackward[T], normInput: normInput[T], normInputAdd: normInputAdd[T], adamW: adamW[T],
		exp: exponential[T], wkv: wkvForward[T], wkvBackward: wkvBackward[T]}
	if q, ok := any(p).(*path[float32]); ok {
		q.tiles = oneByOne(tile4x2Fused)
	}
	return p
}

// exponential is e^x in place.
func exponential[T Float](x []T) {
	switch x := any(x).(type) {
	case []float32:
		exp32(x)
	case []float64:
		exp64(x)
	}
}

// larger is what the vector instructions give: y also where either is not a number, and
// where both are zeros.
func larger[T Float](x, y T) T {
	if x > y {
		return x
	}
	return y
}

// lanes is the width of every sum along a row: what one AVX-512 register holds, so
// that a vector path can give the same bits.
const lanes = 16

func fold[T Float](s *[lanes]T) T {
	for w := lanes / 2; w > 0; w /= 2 {
		for i := range w {
			s[i] += s[i+w]
		}
	}
	return s[0]
}

func sum[T Float](x []T) T {
	var s [lanes]T
	for ; len(x) >= lanes; x = x[lanes:] {
		for i, a := range (*[lanes]T)(x) {
			s[i] += a
		}
	}
	for i, a := range x {
		s[i] += a
	}
	return fold(&s)
}

// dot keeps four lanes at a time in registers, so it walks the row four times; a row
// fits the first-level cache.
func dot[T Float](x, y []T) T {
	var s [lanes]T
	y = y[:len(x)]
	n := len(x) / lanes * lanes
	for l := 0; l < lanes; l += 4 {
		var s0, s1, s2, s3 T
		for i := l; i+4 <= n; i += lanes {
			a, b := (*[4]T)(x[i:]), (*[4]T)(y[i:])
			s0 += T(a[0] * b[0])
			s1 += T(a[1] * b[1])
			s2 += T(a[2] * b[2])
			s3 += T(a[3] * b[3])
		}
		s[l], s[l+1], s[l+2], s[l+3] = s0, s1, s2, s3
	}
	for i := n; i < len(x); i++ {
		s[i-n] += T(x[i] * y[i])
	}
	return fold(&s)
}

// top is the largest of a row that has one at least. A NaN may be passed over: the sum
// that follows has it.
func top[T Float](x []T) T {
	var s [lanes]T
	for i := range s {
		s[i] = x[0]
	}
	for ; len(x) >= lanes; x = x[lanes:] {
		for i, a := range (*[lanes]T)(x) {
			s[i] = larger(s[i], a)
		}
	}
	for i, a := range x {
		s[i] = larger(s[i], a)
	}
	return foldTop(&s)
}

func foldTop[T Float](s *[lanes]T) T {
	for w := lanes / 2; w > 0; w /= 2 {
		for i := range w {
			s[i] = larger(s[i], s[i+w])
		}
	}
	return s[0]
}

func expSum[T Float](x []T, top T) T {
	for i := range x {
		x[i] -= top
	}
	exponential(x)
	return sum(x)
}

func squaresOf[T Float](x []T) float64 {
	var s [lanes]float64
	addSquares(&s, x)
	return fold(&s)
}

func addSquares[T Float](s *[lanes]float64, x []T) {
	for ; len(x) >= lanes; x = x[lanes:] {
		for j, v := range (*[lanes]T)(x) {
			s[j] += float64(float64(v) * float64(v))
		}
	}
	for j, v := range x {
		s[j] += float64(float64(v) * float64(v))
	}
}

func scale[T Float](y []T, a T) {
	for i := range y {
		y[i] *= a
	}
}

func subtract[T Float](y, x []T, a T) {
	x = x[:len(y)]
	for i := range y {
		y[i] = x[i] - a
	}
}

func axpy[T Float](y, x []T, a T) {
	x = x[:len(y)]
	for i := range y {
		y[i] += T(a * x[i])
	}
}

// ExpAll replaces each x by e^x, at most 2 ulp off and with the same bits on every path; what is
// below e^-86.5 becomes 0.
func ExpAll(x []float32) {
	use, _ := chosen()
	use.path.exp(x)
}

// exp32 is e^x by 2^n·e^r with |r| ≤ ln2/2 and a polynomial of degree 6 in r (the
// coefficients of Cephes' expf): at most 2 ulp off. Below -86.5 it gives 0: results
// that small are never added to anything they could change.
func exp32(x []float32) {
	const (
		log2e = 1.44269504088896341
		ln2hi = 0.693359375 // 9 bits: n*ln2hi is exact
		ln2lo = -2.12194440e-4
		round = 3 << 22 // added and taken away, rounds to a whole number
	)
	for i, v := range x {
		if !(v >= -86.5 && v <= 88.72) {
			switch {
			case v < -86.5:
				x[i] = 0
			case v > 88.72:
				x[i] = float32(math.Inf(1))
			}
			continue // NaN stays
		}
		t := float32(v*log2e) + round
		n := t - round
		r := v - float32(n*ln2hi)
		r -= float32(n * ln2lo)
		p := float32(1.9875691500e-4*r) + 1.3981999507e-3
		p = float32(p*r) + 8.3334519073e-3
		p = float32(p*r) + 4.1665795894e-2
		p = float32(p*r) + 1.6666665459e-1
		p = float32(p*r) + 5.0000001201e-1
		p = float32(p*float32(r*r)) + r + 1
		x[i] = math.Float32frombits(math.Float32bits(p) + (math.Float32bits(t)-math.Float32bits(round))<<23)
	}
}

func exp64(x []float64) {
	for i, v := range x {
		x[i] = math.Exp(v)
	}
}
