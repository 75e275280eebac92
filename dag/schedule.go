package dag

import (
	"context"
	"time"
)

// longestWait is how long a part that takes the whole machine lets smaller ones go
// before it.
const longestWait = 15 * time.Minute

// room is what of the machine is free.
type room struct {
	cpus    int
	memory  int64
	bounded bool // memory counts
}

func (r *room) fits(w *work) bool {
	return w.cpus <= r.cpus && (w.memory <= r.memory || !r.bounded)
}

func (r *room) take(w *work) {
	r.cpus -= w.cpus
	r.memory -= w.memory
}

func (r *room) give(w *work) {
	r.cpus += w.cpus
	r.memory += w.memory
}

// queue is the parts that are ready to run, in the order in which they became so.
//
// A part that takes every CPU (training) is kept apart and starts when no smaller one is
// ready: else a report of a minute would wait for days of training. Smaller parts that
// keep coming do not put it off for ever: after longestWait the machine is cleared for it.
type queue struct {
	small, whole []*work
}

func (q *queue) add(w *work, jobs int, now time.Time) {
	if w.queued.IsZero() {
		w.queued = now
	}
	if jobs > 1 && w.cpus == jobs {
		q.whole = append(q.whole, w)
	} else {
		q.small = append(q.small, w)
	}
}

func (q *queue) empty() bool { return len(q.small) == 0 && len(q.whole) == 0 }

// next takes out the parts that fit into the room and may start now. Those of stages
// that are skipped are forgotten.
func (q *queue) next(r room, now time.Time) (start []*work) {
	for len(q.whole) > 0 && q.whole[0].node.skipped {
		q.whole = q.whole[1:]
	}
	if len(q.whole) > 0 && now.Sub(q.whole[0].queued) > longestWait {
		if r.fits(q.whole[0]) {
			start, q.whole = q.whole[:1:1], q.whole[1:]
		}
		return start
	}
	var held []*work // ready, but too large for what is free
	i := 0
	for ; i < len(q.small) && r.cpus > 0; i++ {
		switch w := q.small[i]; {
		case w.node.skipped:
		case r.fits(w):
			r.take(w)
			start = append(start, w)
		default:
			held = append(held, w)
		}
	}
	switch { // thousands may be queued: those behind are not touched
	case i == 0:
	case len(held) == 0:
		clear(q.small[:i])
		q.small = q.small[i:]
	default:
		q.small = append(held, q.small[i:]...)
	}
	if len(q.small) == 0 && len(q.whole) > 0 && r.fits(q.whole[0]) {
		start, q.whole = append(start, q.whole[0]), q.whole[1:]
	}
	return start
}

// needs is what a part takes of this machine, which has so many CPUs and so much memory
// (0: no bound) for parts: never more than there is, or it would wait for ever.
func needs(n *node, jobs int, most int64) (cpus int, memory int64) {
	cpus = n.CPUs
	if cpus == 0 {
		cpus = 1
		if n.Kind.Threads {
			cpus = jobs
		}
	}
	memory = n.Memory
	if most > 0 {
		memory = min(memory, most)
	}
	return min(cpus, jobs), memory
}

// startReady begins what can start now.
func (c *coordinator) startReady(ctx context.Context) {
	for _, w := range c.queue.next(c.free, time.Now()) {
		c.begin(ctx, w)
	}
}
