package train

import (
	"slices"
	"sync"

	"github.com/ptbr-slm/pipeline/model/kernel"
)

// tree sums one gradient for each of n leaves, pairwise: leaves 0+1, 2+3, …, then those
// sums, and so on; one without a neighbour goes up as it is. Leaves come in any order,
// from any goroutine; the order of the additions, and so the bits, do not depend on it.
type tree struct {
	size   int    // of a gradient
	active []span // of it that are summed; the rest is 0
	mu     sync.Mutex
	n      int
	wait   map[node][]float32
	free   [][]float32
	root   []float32
}

// node is the i-th sum of 2^level leaves.
type node struct{ level, i int }

// span is a stretch of a gradient.
type span struct{ from, to int }

func newTree(size int) *tree { return &tree{size: size, wait: map[node][]float32{}} }

// start begins a sum of n leaves, of which only what is active is ever written. The last one's
// buffers are used again, unless something else was active in them.
func (t *tree) start(n int, active []span) {
	t.n = n
	for id, b := range t.wait { // of a step that was given up
		t.free = append(t.free, b)
		delete(t.wait, id)
	}
	if t.root != nil {
		t.free = append(t.free, t.root)
		t.root = nil
	}
	if !slices.Equal(active, t.active) {
		t.active, t.free = slices.Clone(active), nil
	}
}

// buffer returns memory for a leaf.
func (t *tree) buffer() []float32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := len(t.free); k > 0 {
		b := t.free[k-1]
		t.free = t.free[:k-1]
		return b
	}
	return kernel.Large[float32](t.size)
}

// allocated is how many values there is memory for.
func (t *tree) allocated() int64 {
	n := len(t.free) + len(t.wait)
	if t.root != nil {
		n++
	}
	return int64(n) * int64(t.size)
}

// put hands in a leaf and does the additions that it makes possible.
func (t *tree) put(leaf int, b []float32, cpu *kernel.CPU[float32]) {
	at, width := node{0, leaf}, t.n
	for ; width > 1; at, width = (node{at.level + 1, at.i / 2}), (width+1)/2 {
		neighbour := node{at.level, at.i ^ 1}
		if neighbour.i >= width {
			continue
		}
		t.mu.Lock()
		other, ok := t.wait[neighbour]
		if !ok {
			t.wait[at] = b
			t.mu.Unlock()
			return
		}
		delete(t.wait, neighbour)
		t.mu.Unlock()
		for _, s := range t.active {
			cpu.Accumulate(b[s.from:s.to], other[s.from:s.to]) // a+b and b+a have the same bits
		}
		t.mu.Lock()
		t.free = append(t.free, other)
		t.mu.Unlock()
	}
	t.mu.Lock()
	t.root = b
	t.mu.Unlock()
}
