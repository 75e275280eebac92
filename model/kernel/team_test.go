package kernel

import (
	"runtime"
	"sync/atomic"
	"testing"
)

type doing func(thread, i int)

func (f doing) do(thread, i int) { f(thread, i) }

// Every part is done once, and done when do returns: by helpers that look out, that sleep, that
// have not started yet, however many more there are than processors.
func TestTeam(t *testing.T) {
	for _, helpers := range []int{1, 2, 7} {
		team := newTeam(helpers)
		times := 3000
		if helpers == 7 {
			times = 300
		}
		for round := range times {
			n := round % 40
			done := make([]int, n) // not atomic: -race sees who does not wait
			team.do(n, doing(func(thread, i int) {
				if thread < 0 || thread > helpers {
					t.Errorf("thread %d of %d", thread, helpers+1)
				}
				done[i]++
			}))
			for i, d := range done {
				if d != 1 {
					t.Fatalf("%d helpers, round %d: task %d of %d done %d times", helpers, round, i, n, d)
				}
			}
			if round%(times/10) == 0 { // let them fall asleep
				for i := range team.asleep {
					for !team.asleep[i].Load() {
						runtime.Gosched()
					}
				}
			}
		}
		team.stop()
	}
}

// Tasks that wait for each other need all of the team.
func TestTeamTogether(t *testing.T) {
	const helpers = 3
	team := newTeam(helpers)
	defer team.stop()
	for range 100 {
		var here atomic.Int64
		team.do(helpers+1, doing(func(_, _ int) {
			here.Add(1)
			for here.Load() <= helpers {
				runtime.Gosched()
			}
		}))
	}
}

// The helpers end with the CPU that they work for.
func TestTeamEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 10 {
		x := make([]float32, 3*span)
		NewCPU[float32](4).Sigmoid(x)
	}
	for runtime.NumGoroutine() > before {
		runtime.GC()
	}
}
