package kernel

import (
	"runtime"
	"sync/atomic"
)

// team is threads that wait for products. What a token needs are a hundred of them, of some
// microseconds each: too many to start goroutines for, so the team looks out for the next one
// in a loop, and sleeps only when none comes for some time.
type team[T Float] struct {
	// turn is the number of the job in its upper half and how many of its chunks are not taken
	// in the lower one. Who takes a chunk counts it down and has it for itself; the job's number
	// keeps a chunk of the job before from being taken for one of this.
	turn   atomic.Uint64
	undone atomic.Int64 // chunks
	asleep atomic.Int64
	wake   chan struct{} // one for each that sleeps; closed at the end

	cleanup runtime.Cleanup // ends the team when the CPU is collected

	// The job, which stands until all its chunks are done.
	path *path[T]
	list []Product[T]
}

const (
	// spins is how many looks, of a nanosecond or so, are worth more than going to sleep: what
	// goes on between two products of a token takes less.
	spins = 1 << 15
	// politeSpins is after how many looks others may have the processor.
	politeSpins = 1 << 10
)

// newTeam starts the threads of c but the one that calls. They end with stop, or when c is
// collected.
func newTeam[T Float](c *CPU[T]) *team[T] {
	t := &team[T]{wake: make(chan struct{}, c.threads-1)}
	for range c.threads - 1 {
		go t.work()
	}
	t.cleanup = runtime.AddCleanup(c, func(wake chan struct{}) { close(wake) }, t.wake)
	return t
}

// stop ends the threads, which must have nothing to do.
func (t *team[T]) stop() {
	t.cleanup.Stop()
	close(t.wake)
}

// do does all products of a list, in so many chunks.
func (t *team[T]) do(path *path[T], list []Product[T], chunks int) {
	t.path, t.list = path, list
	t.undone.Store(int64(chunks))
	t.turn.Store((t.turn.Load()>>32+1)<<32 | uint64(chunks))
	for range t.asleep.Load() {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	for t.chunk() {
	}
	for i := 1; t.undone.Load() > 0; i++ {
		if i%politeSpins == 0 {
			runtime.Gosched()
		}
	}
}

// chunk takes a chunk and does it; it is false when there is none.
func (t *team[T]) chunk() bool {
	turn := t.turn.Load()
	left := int(uint32(turn))
	if left == 0 {
		return false
	}
	if !t.turn.CompareAndSwap(turn, turn-1) {
		return true // another was faster; there may be more
	}
	for i := range t.list {
		p := &t.list[i]
		n := p.chunks()
		if left > n {
			left -= n
			continue
		}
		lo := (n - left) * p.rows
		p.run(t.path, lo, min(lo+p.rows, len(p.y)))
		break
	}
	t.undone.Add(-1)
	return true
}

func (t *team[T]) work() {
	for i := 1; ; i++ {
		switch {
		case t.chunk():
			i = 0
		case i == spins:
			t.asleep.Add(1)
			if uint32(t.turn.Load()) == 0 { // else a job came that did not see the sleeper
				if _, ok := <-t.wake; !ok {
					return
				}
			}
			t.asleep.Add(-1)
			i = 0
		case i%politeSpins == 0:
			runtime.Gosched()
		}
	}
}
