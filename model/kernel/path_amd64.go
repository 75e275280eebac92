package kernel

import (
	"math"

	"golang.org/x/sys/cpu"
)

//go:generate go run ./gen

// vectorPaths lists the paths of this processor, the fastest first.
func vectorPaths() (all []*path[float32]) {
	x := &cpu.X86
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasFMA {
		all = append(all, &path[float32]{name: "avx512", pair: 1, direct: true, peak: peakAVX512, round: 24 * 16 * 2, mr: 8, nr: 32, packA: packA8, packB: packB32, tiles: tiles512,
			gemv: gemvAVX512, gemvPairs: gemvPairsAVX512, gemvBytes: gemvBytesAVX512, quantize: quantizeAVX512, magnitude: magnitudeAVX512,
			dot: dot512, sum: sum512, top: top512, expSum: expSum512, squares: squares512, exp: exp32AVX512, sigmoid: sigmoidAVX512, add: addAVX512, gate: gateAVX512, addGate: addGateAVX512,
			sigmoidGateBackward: sigmoidGateBackwardAVX512, squaredReLU: squaredReLUAVX512, squaredReLUBackward: squaredReLUBackwardAVX512,
			round16: round16AVX512, scale: scaleAVX512, subtract: subtractAVX512, axpy: axpyAVX512, mix: mixAVX512, mixBackward: mixBackwardAVX512, mixBackwardAdd: mixBackwardAddAVX512,
			norm: normAVX512, normBackward: normBackwardAVX512, normInput: normInputAVX512, normInputAdd: normInputAddAVX512, adamW: adamWAVX512,
			wkv: group512.wkv, wkvBackward: group512.wkvBackward})
	}
	if x.HasAVX2 && x.HasFMA {
		all = append(all, &path[float32]{name: "avx2", pair: 1, direct: true, peak: peakAVX2, round: 12 * 8 * 2, mr: 6, nr: 16, packA: packA6, packB: packB16, tiles: tiles256,
			gemv: gemvAVX2, gemvPairs: gemvPairsAVX2, gemvBytes: gemvBytesAVX2, quantize: quantizeAVX2, magnitude: magnitudeAVX2,
			dot: dot256, sum: sum256, top: top256, expSum: expSum256, squares: squares256, exp: exp32AVX2, sigmoid: sigmoidAVX2, add: addAVX2, gate: gateAVX2, addGate: addGateAVX2,
			sigmoidGateBackward: sigmoidGateBackwardAVX2, squaredReLU: squaredReLUAVX2, squaredReLUBackward: squaredReLUBackwardAVX2,
			round16: round16AVX2, scale: scaleAVX2, subtract: subtractAVX2, axpy: axpyAVX2, mix: mixAVX2, mixBackward: mixBackwardAVX2, mixBackwardAdd: mixBackwardAddAVX2,
			norm: normAVX2, normBackward: normBackwardAVX2, normInput: normInputAVX2, normInputAdd: normInputAddAVX2, adamW: adamWAVX2,
			wkv: group256.wkv, wkvBackward: group256.wkvBackward})
	}
	return all
}

// bf16Path is the AVX-512 path with products in bfloat16, or nil.
func bf16Path() *path[float32] {
	all := vectorPaths()
	if !cpu.X86.HasAVX512BF16 || len(all) == 0 || all[0].name != "avx512" {
		return nil
	}
	p := *all[0]
	p.name, p.direct, p.pair, p.words, p.wordsAcross, p.packB, p.tiles = nativeBF16, false, 2, wordsAVX512, wordsAcrossAVX512, packPairsB32, tilesBF
	p.peak, p.round = peakBF16, 24*16*4
	return &p
}

func tilesBF(k, n int, a []float32, row, col int, b []float32, step, next int, c []float32, ldc int, first bool) {
	tilesBF16(k, n, &a[0], 4*row, 4*col, &b[0], 4*step, 4*next, &c[0], 4*ldc, flag(first))
}

func packPairsB32(dst, b []float32, row, col, n, k int) {
	const width = 32
	done := 0
	switch {
	case n < width:
	case row == 1:
		done = pairsOfRows(dst, b, col, k, width)
	case col == 1 && k >= 2:
		done = k / 2
		interleave32(done, &dst[0], &b[:(2*done-1)*row+width][0], 4*row)
	}
	packPairs(dst, b, col, row, n, k, width, done)
}

// wordsAVX512 rounds two neighbours of x at a time to a word; after an odd one comes zero.
func wordsAVX512(dst, x []float32) {
	done := len(x) / 2 &^ 15
	if done > 0 {
		roundPairs(done, &dst[0], &x[0])
	}
	packPairs(dst, x, 0, 1, 1, len(x), 1, done)
}

// wordsAcrossAVX512 rounds an element of x and one of y at a time to a word; y may be nil: zeros.
func wordsAcrossAVX512(dst, x, y []float32) {
	done := 0
	if y != nil {
		if done = len(x) &^ 15; done > 0 {
			roundAcross(done, &dst[0], &x[0], &y[0])
		}
	}
	for w := done; w < len(x); w++ {
		v := bf16(x[w])
		if y != nil {
			v |= bf16(y[w]) << 16
		}
		dst[w] = math.Float32frombits(v)
	}
}

// pairsOfRows lays out what it can of rows of k elements, each row together in memory, and
// returns how many words of each it did.
func pairsOfRows(dst, src []float32, stride, k, width int) int {
	blocks := k / 16
	if blocks == 0 || len(src) < (width-1)*stride+16*blocks {
		return 0
	}
	for i := 0; i < width; i += 8 {
		transposePairs8(blocks, &dst[i], 4*width, &src[i*stride], 4*stride)
	}
	return 8 * blocks
}

func tiles512(k, n int, a []float32, row, col int, b []float32, step, next int, c []float32, ldc int, first bool) {
	tilesAVX512(k, n, &a[0], 4*row, 4*col, &b[0], 4*step, 4*next, &c[0], 4*ldc, flag(first))
}

func tiles256(k, n int, a []float32, row, col int, b []float32, step, next int, c []float32, ldc int, first bool) {
	tilesAVX2(k, n, &a[0], 4*row, 4*col, &b[0], 4*step, 4*next, &c[0], 4*ldc, flag(first))
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func packA8(dst, a []float32, row, col, m, k int) { pack(dst, a, row, col, m, k, 8) }
func packA6(dst, a []float32, row, col, m, k int) { pack(dst, a, row, col, m, k, 6) }

func packB32(dst, b []float32, row, col, n, k int) {
	if n == 32 && col == 1 && len(b) >= (k-1)*row+32 {
		copyRowsAVX512(k, &dst[0], &b[0], 4*row)
		return
	}
	pack(dst, b, col, row, n, k, 32)
}

func packB16(dst, b []float32, row, col, n, k int) {
	if n == 16 && col == 1 && len(b) >= (k-1)*row+16 {
		copyRowsAVX2(k, &dst[0], &b[0], 4*row)
		return
	}
	pack(dst, b, col, row, n, k, 16)
}

// pack lays m lines of k elements out as k columns of width, line i's element p being
// src[i*row+p*col], with zeros for the lines from m on. Where lines are contiguous it goes by
// blocks of 8 lines and 8 elements; a block of fewer lines than 8 at the end of the
// columns writes too much, which the next column puts right, and so the last columns go
// one by one.
func pack(dst, src []float32, row, col, m, k, width int) {
	done := 0 // columns that are laid out
	lines := (width + 7) &^ 7
	if col == 1 && m == width && k >= 16 && len(src) >= (lines-1)*row+k {
		blocks := k / 8
		if lines > width {
			blocks = (k - 1) / 8
		}
		for i := 0; i < width; i += 8 {
			transpose8(blocks, &dst[i], 4*width, &src[i*row], 4*row)
		}
		done = 8 * blocks
	}
	if row == 1 && m == width && width == 8 { // the lines lie side by side
		for p := range k {
			*(*[8]float32)(dst[8*p:]) = *(*[8]float32)(src[p*col:])
		}
		return
	}
	if m < width {
		for p := done; p < k; p++ {
			clear(dst[p*width+m : (p+1)*width])
		}
	}
	for i := range m {
		s, d := src[i*row:], dst[i:]
		for p := done; p < k; p++ {
			d[p*width] = s[p*col]
		}
	}
}

func sum512(x []float32) float32 {
	var s [lanes]float32
	n := len(x) &^ (lanes - 1)
	if n > 0 {
		sumLanesAVX512(n, &s[0], &x[0])
	}
	for i, a := range x[n:] {
		s[i] += a
	}
	return fold(&s)
}

func sum256(x []float32) float32 {
	var s [lanes]float32
	n := len(x) &^ (lanes - 1)
	if n > 0 {
		sumLanesAVX2(n, &s[0], &x[0])
	}
	for i, a := range x[n:] {
		s[i] += a
	}
	return fold(&s)
}

func dot512(x, y []float32) float32 {
	var s [lanes]float32
	y = y[:len(x)]
	n := len(x) &^ (lanes - 1)
	if n > 0 {
		dotLanesAVX512(n, &s[0], &x[0], &y[0])
	}
	for i, a := range x[n:] {
		s[i] += float32(a * y[n+i])
	}
	return fold(&s)
}

func dot256(x, y []float32) float32 {
	var s [lanes]float32
	y = y[:len(x)]
	n := len(x) &^ (lanes - 1)
	if n > 0 {
		dotLanesAVX2(n, &s[0], &x[0], &y[0])
	}
	for i, a := range x[n:] {
		s[i] += float32(a * y[n+i])
	}
	return fold(&s)
}

func top512(x []float32) float32 {
	var s [lanes]float32
	for i := range s {
		s[i] = x[0]
	}
	n := len(x) &^ (lanes - 1)
	if n > 0 {
		maxLanesAVX512(n, &s[0], &x[0])
	}
	for i, a := range x[n:] {
		s[i] = larger(s[i], a)
	}
	return foldTop(&s)
}

func top256(x []float32) float32 {
	var s [lanes]float32
	for i := range s {
		s[i] = x[0]
	}
	n := len(x) &^ (lanes - 1)
	if n > 0 {
		maxLanesAVX2(n, &s[0], &x[0])
	}
	for i, a := range x[n:] {
		s[i] = larger(s[i], a)
	}
	return foldTop(&s)
}

func expSum512(x []float32, top float32) float32 {
	var s [lanes]float32
	n := len(x) &^ (lanes - 1)
	if n > 0 {
		expSumLanesAVX512(n, &s[0], &x[0], &top)
	}
	rest := x[n:]
	for i := range rest {
		rest[i] -= top
	}
	exp32(rest)
	for i, a := range rest {
		s[i] += a
	}
	return fold(&s)
}

func squares512(x []float32) float64 {
	var s [lanes]float64
	n := len(x) &^ (lanes - 1)
	if n > 0 {
		squareLanesAVX512(n, &s[0], &x[0])
	}
	addSquares(&s, x[n:])
	return fold(&s)
}

func expSum256(x []float32, top float32) float32 {
	var s [lanes]float32
	n := len(x) &^ (lanes - 1)
	if n > 0 {
		expSumLanesAVX2(n, &s[0], &x[0], &top)
	}
	rest := x[n:]
	for i := range rest {
		rest[i] -= top
	}
	exp32(rest)
	for i, a := range rest {
		s[i] += a
	}
	return fold(&s)
}

func squares256(x []float32) float64 {
	var s [lanes]float64
	n := len(x) &^ (lanes - 1)
	if n > 0 {
		squareLanesAVX2(n, &s[0], &x[0])
	}
	addSquares(&s, x[n:])
	return fold(&s)
}
