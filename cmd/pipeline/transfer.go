package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// transfer counts bytes that move to or from a remote, and shows them once they take a
// while: on a meter, or, where a run's bars are drawn, in lines among them.
type transfer struct {
	verb  string // pushing, pulling
	meter *meter // or nil, and then
	lines io.Writer

	mu   sync.Mutex
	said time.Time
	done int64
}

func newTransfer(verb string) *transfer { return &transfer{verb: verb, meter: newMeter(verb, size)} }

func (s *screen) transfer(verb string) *transfer {
	return &transfer{verb: verb, lines: s.out, said: time.Now()}
}

// progress is what remote.Options.Progress wants.
func (t *transfer) progress(done, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = done
	switch now := time.Now(); {
	case total == 0:
	case t.meter != nil:
		t.meter.at(done, total)
	case now.Sub(t.said) >= quiet:
		t.said = now
		fmt.Fprintf(t.lines, "%s %s of %s\n", t.verb, size(done), size(total))
	}
}

// alone goes on with a meter, once the bars are gone.
func (t *transfer) alone(verb string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.verb, t.meter = verb, newMeter(verb, size)
}

// close takes the meter away.
func (t *transfer) close() {
	if t.meter != nil {
		t.meter.close()
	}
}

// moved is how many bytes of objects were moved.
func (t *transfer) moved() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}
