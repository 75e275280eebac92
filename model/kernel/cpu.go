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
	"sync"
	"sync/atomic"
	"unsafe"
)

// Float is an element type. Training runs in float32, gradient checks in float64.
type Float interface{ float32 | float64 }

// CPU runs kernels on a fixed number of threads, with scratch memory of its own. One
// CPU does one thing at a time: give each worker its own.
type CPU[T Float] struct {
	threads int
	path    *path[T]
	packA   []T
	packB   []T
	rows    []T     // partial sums by block of rows
	matrix  []T     // of Muon: two as large as the matrix
	square  []T     // of Muon: two of its smaller side
	local   [][]T   // by thread
	seen    []int32 // by token: where it stands first
}

// NewCPU returns a CPU of so many threads, at least one.
func NewCPU[T Float](threads int) *CPU[T] {
	threads = max(threads, 1)
	return &CPU[T]{threads: threads, path: fastest[T](), local: make([][]T, threads)}
}

// Scratch is the memory, in bytes, that the CPU has laid aside for its kernels so far.
func (c *CPU[T]) Scratch() int64 {
	n := cap(c.packA) + cap(c.packB) + cap(c.rows)
	for _, s := range c.local {
		n += cap(s)
	}
	var x T
	return int64(n)*int64(unsafe.Sizeof(x)) + 4*int64(cap(c.seen))
}

// each calls f(thread, i) for i in [0, n), from at most c.threads goroutines that take
// the next i from a shared counter.
func (c *CPU[T]) each(n int, f func(thread, i int)) {
	threads := min(c.threads, n)
	if threads <= 1 {
		for i := range n {
			f(0, i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	work := func(thread int) {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(thread, i)
		}
	}
	for thread := 1; thread < threads; thread++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			work(thread)
		}()
	}
	work(0)
	wg.Wait()
}

// spans is each over [0, n) in spans of at most size.
func (c *CPU[T]) spans(n, size int, f func(lo, hi int)) {
	c.each((n+size-1)/size, func(_, i int) { f(i*size, min((i+1)*size, n)) })
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

// sumRows calls f for each block of rows with width zeroed sums of its own, then adds
// the blocks' sums up in order into out, which it overwrites.
func (c *CPU[T]) sumRows(rows, width int, out [][]T, f func(lo, hi int, sums []T)) {
	blocks := (rows + rowBlock - 1) / rowBlock
	c.rows = grow(c.rows, blocks*width)
	c.each(blocks, func(_, i int) {
		sums := c.rows[i*width : (i+1)*width]
		clear(sums)
		f(i*rowBlock, min((i+1)*rowBlock, rows), sums)
	})
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
