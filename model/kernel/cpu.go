// Package kernel holds the numbers of the network: matrix products, WKV, LayerNorm,
// gates, cross-entropy, AdamW, over slices, forward beside backward. It knows nothing
// of models and imports nothing of this module.
//
// Bits are part of the contract. The same inputs give the same bits for any number of
// threads: work is cut along rows, channels and tiles, never along a sum; every sum
// has a fixed order (one chain over k in a product, 16 lanes folded by halves in a
// row, blocks of rows in order). Products are rounded before they are added, written
// T(x*y)+z, so that no compiler fuses them.
//
// The functions of a CPU cut the work; the loops inside are a table (path) with one
// value per instruction set. Here is the table in plain Go, for float32 and, for
// checking gradients, for float64.
package kernel

import (
	"runtime"
	"unsafe"
)

// Float is an element type. Training runs in float32, gradient checks in float64.
type Float interface{ float32 | float64 }

// CPU runs kernels on a fixed number of threads, with scratch memory of its own. One
// CPU does one thing at a time: give each worker its own.
type CPU[T Float] struct {
	threads int
	path    *path[T]
	native  bool // bfloat16 by the processor's own instruction
	packA   []T
	rows    []T       // partial sums by block of rows
	matrix  []T       // of Muon: two as large as the matrix
	square  []T       // of Muon: two of its smaller side
	local   [][]T     // by thread
	seen    []int32   // by token: where it stands first
	zeros   []T       // a row of them
	squares []float64 // sums of squares by span
	tasks   tasks[T]
	team    *team // nil until there is work for more than one
}

// NewCPU returns a CPU of so many threads, at least one.
func NewCPU[T Float](threads int) *CPU[T] {
	threads = max(threads, 1)
	use, _ := chosen()
	p, ok := any(use.path).(*path[T])
	if !ok {
		p = plain[T]()
	}
	return &CPU[T]{threads: threads, path: p, native: use.native, local: make([][]T, threads)}
}

// SetThreads changes the number of threads, to at least one.
func (c *CPU[T]) SetThreads(n int) {
	c.threads = max(n, 1)
	c.local = make([][]T, c.threads)
	if c.team != nil {
		c.team.stop() // the cleanup may do so again
		c.team = nil
	}
}

// Scratch is the memory, in bytes, that the CPU has laid aside for its kernels so far.
func (c *CPU[T]) Scratch() int64 {
	n := cap(c.packA) + cap(c.rows) + cap(c.matrix) + cap(c.square) + cap(c.zeros)
	for _, s := range c.local {
		n += cap(s)
	}
	var x T
	return int64(n)*int64(unsafe.Sizeof(x)) + 4*int64(cap(c.seen)) + 8*int64(cap(c.squares))
}

// each does all n parts of k, from at most c.threads goroutines that take the next part from a
// shared counter.
func (c *CPU[T]) each(n int, k task) {
	if c.threads == 1 || n <= 1 {
		for i := range n {
			k.do(0, i)
		}
		return
	}
	if c.team == nil {
		c.team = newTeam(c.threads - 1)
		runtime.AddCleanup(c, (*team).stop, c.team)
	}
	c.team.do(n, k)
}

// spans is each over [0, n) in spans of at most size.
func (c *CPU[T]) spans(n, size int, k spanned) {
	c.tasks.cut = cut{n, size, k}
	c.each((n+size-1)/size, &c.tasks.cut)
}

// span is the cut of element-wise work: large enough to pay for handing it out.
const span = 8192

// grow returns s with length n, its contents unspecified.
func grow[T Float](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// scratch returns n elements that belong to a thread until it asks again.
func (c *CPU[T]) scratch(thread, n int) []T {
	c.local[thread] = grow(c.local[thread], n)
	return c.local[thread]
}

// rowBlock is how many rows make one partial sum of a sum over rows. It is part of
// the bits and does not depend on the number of threads.
const rowBlock = 32

// rowSummed is a task over blocks of rows, each with sums of its own.
type rowSummed[T Float] interface {
	rows(thread, lo, hi int, sums []T)
}

// rowSums does a task for each block of rows.
type rowSums[T Float] struct {
	of       rowSummed[T]
	n, width int
	sums     []T
}

func (k *rowSums[T]) do(thread, i int) {
	sums := k.sums[i*k.width : (i+1)*k.width]
	clear(sums)
	k.of.rows(thread, i*rowBlock, min((i+1)*rowBlock, k.n), sums)
}

// sumRows does k for each block of rows with width zeroed sums of its own, then adds
// the blocks' sums up in order into out, which it overwrites.
func (c *CPU[T]) sumRows(rows, width int, k rowSummed[T], out ...[]T) {
	blocks := (rows + rowBlock - 1) / rowBlock
	c.rows = grow(c.rows, blocks*width)
	c.tasks.sums = rowSums[T]{k, rows, width, c.rows}
	c.each(blocks, &c.tasks.sums)
	at := 0
	for _, o := range out {
		clear(o)
		for i := range blocks {
			for j, x := range c.rows[i*width+at : i*width+at+len(o)] {
				o[j] += x
			}
		}
		at += len(o)
	}
}

// zero returns a row of zeros.
func (c *CPU[T]) zero(d int) []T {
	if len(c.zeros) < d {
		c.zeros = make([]T, d)
	}
	return c.zeros[:d]
}
