package local

import (
	"time"

	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/executor/process"
)

// watchEvery is how often the memory of a bounded part is looked at.
const watchEvery = 100 * time.Millisecond

// watch kills the worker when it and all below it hold more than limit bytes; 0 watches
// nothing. The function it returns ends the watch and says what was found; not nil means
// that the worker was killed.
//
// Nothing that Linux offers to bound memory fits everywhere: RLIMIT_AS counts what Go and
// others reserve and never touch, RLIMIT_DATA is of one process and not of all that a
// command starts, and a cgroup needs a delegated tree, which containers and shared
// machines seldom have. Looking does. What is allocated between two looks comes on top.
func (w *worker) watch(limit int64) func() *executor.OverMemory {
	if limit <= 0 {
		return func() *executor.OverMemory { return nil }
	}
	done, over := make(chan struct{}), make(chan *executor.OverMemory, 1)
	go func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		pid := w.cmd.Process.Pid
		for {
			select {
			case <-done:
				over <- nil
				return
			case <-tick.C:
			}
			if process.Memory(pid) <= limit {
				continue
			}
			if used := process.Exact(pid); used > limit {
				over <- &executor.OverMemory{Used: used, Limit: limit}
				w.kill()
				return
			}
		}
	}()
	return func() *executor.OverMemory {
		close(done)
		return <-over
	}
}
