package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// transfer shows how bytes move to or from a remote, once they take a while: on a
// terminal in one line that changes, elsewhere in lines of their own.
type transfer struct {
	verb  string // pushing, pulling
	out   io.Writer
	live  bool // out is a terminal and nothing else draws on it
	began time.Time

	mu    sync.Mutex
	said  time.Time
	drawn bool
	done  int64
}

// newTransfer shows on f.
func newTransfer(verb string, f *os.File) *transfer {
	return &transfer{verb: verb, out: f, live: isTerminal(f) && os.Getenv("TERM") != "dumb", began: time.Now()}
}

// besides shows among the lines of a screen.
func besides(s *screen, verb string) *transfer {
	return &transfer{verb: verb, out: s.out, began: time.Now()}
}

// briefly is how long a transfer goes without a word.
const briefly = 2 * time.Second

// progress is what remote.Options.Progress wants.
func (t *transfer) progress(done, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.done = done
	every := quiet
	if t.live {
		every = 200 * time.Millisecond
	}
	elapsed := now.Sub(t.began)
	if elapsed < briefly || now.Sub(t.said) < every || total == 0 {
		return
	}
	t.said = now
	rate := float64(done) / elapsed.Seconds()
	line := fmt.Sprintf("%s: %s of %s, %s/s", t.verb, size(done), size(total), size(int64(rate)))
	if done > 0 && done < total {
		line += fmt.Sprintf(", about %s left", duration(float64(total-done)/rate))
	}
	if t.live {
		t.drawn = true
		fmt.Fprintf(t.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(t.out, line)
}

// close takes the line away.
func (t *transfer) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.drawn {
		fmt.Fprint(t.out, "\r\x1b[K")
		t.drawn = false
	}
}

// moved is how many bytes of objects were moved.
func (t *transfer) moved() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}
