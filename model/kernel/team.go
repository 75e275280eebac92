package kernel

import (
	"runtime"
	"sync/atomic"
)

// team is the goroutines that work along with the one that calls. Waking one that sleeps takes
// longer than many a kernel runs, so between jobs they look out for the next for a while
// before they sleep; and a job never waits for one that has not come.
type team struct {
	// state holds the number of the job in its upper half, open while it takes helpers, and in
	// the low bits how many are at it.
	state atomic.Uint64
	next  atomic.Int64 // part of the job
	n     int          // parts of the job
	of    task
	// of each helper
	asleep []atomic.Bool
	wake   []chan struct{}
	ended  atomic.Bool
}

const (
	job  = 1 << 32
	open = 1 << 31
	// lookouts is how often a helper looks for a job, 64 times on end, before it sleeps: some
	// 200 µs, twice what it takes to wake one in a virtual machine.
	lookouts = 1000
)

// newTeam starts n helpers. They end after stop.
func newTeam(n int) *team {
	t := &team{asleep: make([]atomic.Bool, n), wake: make([]chan struct{}, n)}
	for i := range n {
		t.wake[i] = make(chan struct{}, 1)
		go t.help(i)
	}
	return t
}

// do does all n parts of k; thread is 0 for the caller.
func (t *team) do(n int, k task) {
	t.n, t.of = n, k
	t.next.Store(0)
	s := (t.state.Load()/job+1)*job | open
	t.state.Store(s)
	t.call()
	t.work(0)
	for s = t.state.Load(); !t.state.CompareAndSwap(s, s&^open); s = t.state.Load() {
	}
	for i := 1; t.state.Load()%open != 0; i++ {
		if i%64 == 0 {
			runtime.Gosched()
		}
	}
	t.of = nil // it holds the CPU, whose end is the helpers' end
}

// call wakes those who sleep.
func (t *team) call() {
	for i := range t.asleep {
		if t.asleep[i].Load() && t.asleep[i].CompareAndSwap(true, false) {
			t.wake[i] <- struct{}{}
		}
	}
}

func (t *team) work(thread int) {
	for {
		i := int(t.next.Add(1)) - 1
		if i >= t.n {
			return
		}
		t.of.do(thread, i)
	}
}

// join says whether a job later than done is open and the helper is now at it.
func (t *team) join(done uint64) (number uint64, ok bool) {
	for {
		s := t.state.Load()
		if s/job == done || s&open == 0 {
			return 0, false
		}
		if t.state.CompareAndSwap(s, s+1) {
			return s / job, true
		}
	}
}

func (t *team) help(i int) {
	var done uint64
	for looked := 1; !t.ended.Load(); looked++ {
		if number, ok := t.join(done); ok {
			t.work(i + 1)
			t.state.Add(^uint64(0))
			done, looked = number, 0
			continue
		}
		if looked%64 != 0 {
			continue
		}
		runtime.Gosched()
		if looked < 64*lookouts {
			continue
		}
		looked = 0
		t.asleep[i].Store(true)
		// A job or the end may have come before that was seen.
		if s := t.state.Load(); (s/job != done && s&open != 0 || t.ended.Load()) && t.asleep[i].CompareAndSwap(true, false) {
			continue
		}
		<-t.wake[i]
	}
}

// stop ends the helpers.
func (t *team) stop() {
	t.ended.Store(true)
	t.call()
}
