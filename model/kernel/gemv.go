package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// Weights says how a matrix keeps its numbers for products with one vector at a time, whose
// speed is that of reading them.
type Weights string

// The kinds of weights. In all of them sums are in float32, and their bits are the same on
// every path and for any number of threads.
const (
	FP32 Weights = "fp32"
	BF16 Weights = "bf16" // rounded to bfloat16; products as of float32
	// Int8 has for each row and 512 columns a scale, the largest weight by 127. The vector is
	// rounded to 16 bits, with scales alike, so that the sums of a block are whole numbers.
	Int8 Weights = "int8"
)

// ParseWeights is the kind of a name.
func ParseWeights(name string) (Weights, error) {
	switch w := Weights(name); w {
	case FP32, BF16, Int8:
		return w, nil
	}
	return "", fmt.Errorf("weights are fp32, bf16 or int8, not %q", name)
}

// Of the layouts of packed weights. Rows come in groups, the last of which is filled up; a
// group's rows lie beside each other, 16 words of each, so that they are read in order and yet
// together. Columns are filled up with zeros, which change no sum.
const (
	gemvRows    = 4 // rows that assembly takes together
	pairColumns = 2 * lanes
	byteColumns = 4 * lanes
	// byteBlock is how many columns share a scale: the most whose sum, each term at most 127·32767,
	// is below 2³¹.
	byteBlock = 512
)

// Matrix is weights [rows,cols] as a Product reads them.
type Matrix[T Float] struct {
	rows, cols int
	kind       Weights
	dense      []T      // of FP32: row by row
	words      []uint32 // else packed
	scales     []T      // of Int8: [groups,blocks,gemvRows]
}

// Dense is a matrix of w itself.
func Dense[T Float](w []T, rows, cols int) Matrix[T] {
	return Matrix[T]{rows: rows, cols: cols, kind: FP32, dense: w[:rows*cols]}
}

// rowWords is how many words a packed row has.
func (w Weights) rowWords(cols int) int {
	if w == Int8 {
		return (cols + byteColumns - 1) / byteColumns * lanes
	}
	return (cols + pairColumns - 1) / pairColumns * lanes
}

func groups(rows int) int { return (rows + gemvRows - 1) / gemvRows }

// Words is how many words of 32 bits Pack needs for a matrix; none in FP32.
func (w Weights) Words(rows, cols int) int {
	if w == FP32 {
		return 0
	}
	return groups(rows) * gemvRows * w.rowWords(cols)
}

// Bytes is the memory of a matrix of float32 in the kind.
func (w Weights) Bytes(rows, cols int) int64 {
	if w == FP32 {
		return 4 * int64(rows) * int64(cols)
	}
	n := 4 * int64(w.Words(rows, cols))
	if w == Int8 {
		n += 4 * int64(groups(rows)*gemvRows) * int64(scaleBlocks(cols))
	}
	return n
}

// Pack rounds w, [rows,cols], to a matrix of a kind, in words, of which it takes what Words
// says. In FP32 it is w itself.
func Pack[T Float](kind Weights, words []uint32, w []T, rows, cols int) Matrix[T] {
	if kind == FP32 {
		return Dense(w, rows, cols)
	}
	m := Matrix[T]{rows: rows, cols: cols, kind: kind, words: words[:kind.Words(rows, cols)]}
	if kind == BF16 {
		for r := range rows {
			for i, v := range w[r*cols : (r+1)*cols] {
				at, shift := m.place(r, i)
				m.words[at] |= bf16(float32(v)) << shift
			}
		}
		return m
	}
	m.scales = make([]T, groups(rows)*gemvRows*m.blocks())
	for r := range rows {
		for b := range m.blocks() {
			lo, hi := b*byteBlock, min((b+1)*byteBlock, cols)
			part := w[r*cols+lo : r*cols+hi]
			scale := T(float32(magnitude(part) / 127))
			m.scales[m.scaleAt(r, b)] = scale
			if !(scale > 0 && scale <= math.MaxFloat32) {
				continue // all zeros; or too large for a number, which the result then is not either
			}
			for i, v := range part {
				q := int8(math.RoundToEven(max(-127, min(127, float64(v)/float64(scale)))))
				at, shift := m.place(r, lo+i)
				m.words[at] |= uint32(uint8(q)) << shift
			}
		}
	}
	return m
}

// place is the word of a weight and where in it its bits begin.
func (m *Matrix[T]) place(row, col int) (word, shift int) {
	chunk := col / pairColumns
	shift = 16 * (col / lanes % 2)
	if m.kind == Int8 {
		chunk = col / byteColumns
		shift += 8 * (col / pairColumns % 2)
	}
	group := row / gemvRows * gemvRows * m.kind.rowWords(m.cols)
	return group + (chunk*gemvRows+row%gemvRows)*lanes + col%lanes, shift
}

func (m *Matrix[T]) blocks() int { return scaleBlocks(m.cols) }

// scaleBlocks is how many scales a row has.
func scaleBlocks(cols int) int { return (cols + byteBlock - 1) / byteBlock }

func (m *Matrix[T]) scaleAt(row, block int) int {
	return (row/gemvRows*m.blocks()+block)*gemvRows + row%gemvRows
}

// Row is a row's weights: in buf, of at least as many elements as there are columns, unless
// they lie in memory as they are.
func (m *Matrix[T]) Row(r int, buf []T) []T {
	if m.kind == FP32 {
		return m.dense[r*m.cols : (r+1)*m.cols]
	}
	buf = buf[:m.cols]
	for i := range buf {
		at, shift := m.place(r, i)
		if m.kind == BF16 {
			buf[i] = T(math.Float32frombits(m.words[at] >> shift << 16))
		} else {
			buf[i] = T(int8(m.words[at]>>shift)) * m.scales[m.scaleAt(r, i/byteBlock)]
		}
	}
	return buf
}

// Bytes is the memory that the weights take.
func (m *Matrix[T]) Bytes() int64 {
	return Bytes(m.dense) + Bytes(m.scales) + 4*int64(len(m.words))
}

// Bytes is the memory that x takes.
func Bytes[T Float](x []T) int64 {
	var v T
	return int64(len(x)) * int64(unsafe.Sizeof(v))
}

// Product is y = w·x, to be done again and again with other x. It has what memory that needs.
type Product[T Float] struct {
	y, x   []T
	w      Matrix[T]
	filled []T      // of BF16, where columns are filled up: x with zeros
	words  []uint32 // of Int8: x rounded, in pairs of int16, as quantize lays them out
	scales []T      // of Int8: of x, by block
	rows   int      // that a thread takes at a time
}

// chunkBytes is about how much of the weights a thread takes at a time.
const chunkBytes = 64 << 10

// NewProduct returns the product that writes w·x to y whenever it is done.
func NewProduct[T Float](y []T, w Matrix[T], x []T) Product[T] {
	p := Product[T]{y: y[:w.rows], x: x[:w.cols], w: w}
	width := w.Bytes() / int64(max(1, w.rows))
	switch n := w.kind.rowWords(w.cols); w.kind {
	case BF16:
		if 2*n != w.cols {
			p.filled = make([]T, 2*n)
		}
	case Int8:
		p.words, p.scales, p.filled = make([]uint32, 2*n), make([]T, w.blocks()), make([]T, byteColumns)
	}
	p.rows = max(1, int(chunkBytes/max(1, width*gemvRows))) * gemvRows
	return p
}

// Products does products that do not wait for each other. It allocates nothing but, the first
// time, the threads.
func (c *CPU[T]) Products(list []Product[T]) {
	chunks := 0
	for i := range list {
		list[i].take(c.path)
		chunks += list[i].chunks()
	}
	if c.threads == 1 || chunks < 2 {
		for i := range list {
			list[i].run(c.path, 0, len(list[i].y))
		}
		return
	}
	c.tasks.products = products[T]{c.path, list}
	c.each(chunks, &c.tasks.products)
}

// products are done chunk by chunk, those of the first before those of the second.
type products[T Float] struct {
	path *path[T]
	list []Product[T]
}

func (q *products[T]) do(_, chunk int) {
	for i := range q.list {
		p := &q.list[i]
		n := p.chunks()
		if chunk < n {
			lo := chunk * p.rows
			p.run(q.path, lo, min(lo+p.rows, len(p.y)))
			return
		}
		chunk -= n
	}
}

func (p *Product[T]) chunks() int { return (len(p.y) + p.rows - 1) / p.rows }

// take reads x.
func (p *Product[T]) take(path *path[T]) {
	switch {
	case p.w.kind == Int8:
		p.quantize(path)
	case p.filled != nil:
		copy(p.filled, p.x)
	}
}

// quantize rounds x block by block to multiples of 1/32767 of its largest element. Blocks
// below 1e-30 are taken for zeros; one that has an infinity or what is no number makes every
// product so.
func (p *Product[T]) quantize(path *path[T]) {
	for b := range p.scales {
		lo, hi := b*byteBlock, min((b+1)*byteBlock, len(p.x))
		x := p.x[lo:hi]
		words := p.words[byteBlock/2*b : min(byteBlock/2*(b+1), len(p.words))]
		m := path.magnitude(x)
		if !(m >= 1e-30 && m <= math.MaxFloat32) {
			clear(words)
			p.scales[b] = m - m // 0, or no number
			continue
		}
		inv := 32767 / m
		p.scales[b] = m / 32767
		whole := len(x) / byteColumns * byteColumns
		if whole > 0 {
			path.quantize(words, x[:whole], inv)
		}
		if whole < len(x) {
			clear(p.filled)
			copy(p.filled, x[whole:])
			path.quantize(words[whole/2:], p.filled, inv)
		}
	}
}

// run does rows from lo, which begins a group, to hi.
func (p *Product[T]) run(path *path[T], lo, hi int) {
	if p.w.cols == 0 {
		clear(p.y[lo:hi])
		return
	}
	n := p.w.kind.rowWords(p.w.cols)
	switch y := p.y[lo:hi]; p.w.kind {
	case BF16:
		x := p.x
		if p.filled != nil {
			x = p.filled
		}
		path.gemvPairs(y, p.w.words[lo*n:], x)
	case Int8:
		path.gemvBytes(y, p.w.words[lo*n:], p.w.scales[lo*len(p.scales):], p.words, p.scales)
	default:
		path.gemv(y, p.w.dense[lo*p.w.cols:hi*p.w.cols], p.x)
	}
}

// gemv computes y = w·x, each element a dot.
func gemv[T Float](y, w, x []T) {
	n := len(x)
	for i := range y {
		y[i] = dot(w[i*n:(i+1)*n], x)
	}
}

// gemvPairs is gemv for words of two bfloat16, packed: the lower half of word j of 16 is column
// j, the upper one column 16+j. The bits are what dot would give.
func gemvPairs[T Float](y []T, w []uint32, x []T) {
	n := len(x) / pairColumns
	for r := range y {
		row := packedRow(w, r, n)
		var s [lanes]T
		for l := 0; l < lanes; l += 2 {
			var s0, s1 T
			for i := range n {
				a, b := (*[2]uint32)(row[i*gemvRows*lanes+l:]), x[i*pairColumns+l:]
				b = b[:lanes+2]
				s0 += T(T(math.Float32frombits(a[0]<<16)) * b[0])
				s1 += T(T(math.Float32frombits(a[1]<<16)) * b[1])
				s0 += T(T(math.Float32frombits(a[0]&^0xffff)) * b[lanes])
				s1 += T(T(math.Float32frombits(a[1]&^0xffff)) * b[lanes+1])
			}
			s[l], s[l+1] = s0, s1
		}
		y[r] = fold(&s)
	}
}

// packedRow begins at the first of a packed row's n chunks of 16 words; the next one is
// gemvRows chunks on.
func packedRow(w []uint32, row, n int) []uint32 {
	return w[(row/gemvRows*n*gemvRows+row%gemvRows)*lanes:]
}

// gemvBytes is gemv for words of four int8, packed. Word j of 16 has columns j and 32+j in its
// lower half and 16+j and 48+j in the upper one; x has two words for it, of columns j and 16+j,
// and, 16 words on, of 32+j and 48+j.
func gemvBytes[T Float](y []T, w []uint32, scales []T, x []uint32, xs []T) {
	n := len(x) / (2 * lanes)
	for r := range y {
		row := packedRow(w, r, n)
		var total T
		for b := range xs {
			var s int32 // of whole numbers: in any order
			for i := b * byteBlock / byteColumns; i < min((b+1)*byteBlock/byteColumns, n); i++ {
				v := (*[2 * lanes]uint32)(x[2*lanes*i:])
				for j, a := range (*[lanes]uint32)(row[i*gemvRows*lanes:]) {
					v0, v1 := v[j], v[lanes+j]
					s += int32(int8(a))*int32(int16(v0)) + int32(int8(a>>16))*(int32(v0)>>16)
					s += int32(int8(a>>8))*int32(int16(v1)) + int32(int8(a>>24))*(int32(v1)>>16)
				}
			}
			total += T(T(T(s)*xs[b]) * scales[(r/gemvRows*len(xs)+b)*gemvRows+r%gemvRows])
		}
		y[r] = total
	}
}

// quantize rounds x·inv, each below 2¹⁵, to whole numbers, half to even; of 32 elements, x[j]
// and x[16+j] share word j.
func quantize[T Float](dst []uint32, x []T, inv T) {
	round := func(v T) uint32 { return uint32(uint16(int16(math.RoundToEven(float64(v * inv))))) }
	for i := 0; i < len(x); i += pairColumns {
		for j := range lanes {
			dst[i/2+j] = round(x[i+j]) | round(x[i+lanes+j])<<16
		}
	}
}

// magnitude is the largest |x|, or no number if one is none.
func magnitude[T Float](x []T) T {
	var m T
	for _, v := range x {
		if v = max(v, -v); v > m || v != v {
			m = v
		}
	}
	return m
}
