package main

import (
	"fmt"
	"os"
	"time"
)

// meter shows on stderr how far something is that goes on for more than two seconds: one
// line that is redrawn on a terminal, a line every ten seconds elsewhere.
type meter struct {
	doing string
	show  func(int64) string // words an amount
	began time.Time
	said  time.Time
	drawn bool
}

func newMeter(doing string, show func(int64) string) *meter {
	return &meter{doing: doing, show: show, began: time.Now()}
}

// at says how far it is. It is not for several goroutines at once.
func (m *meter) at(done, total int64) {
	now, terminal := time.Now(), isTerminal(os.Stderr) && os.Getenv("TERM") != "dumb"
	every, took := quiet, now.Sub(m.began)
	if terminal {
		every = 150 * time.Millisecond
		if took < 2*time.Second {
			return
		}
	}
	if m.said.IsZero() && !terminal {
		m.said = m.began
	}
	if now.Sub(m.said) < every {
		return
	}
	m.said = now
	line := fmt.Sprintf("%s %s of %s", m.doing, m.show(done), m.show(total))
	if done > 0 && total > done {
		line += fmt.Sprintf(", about %s left", duration(took.Seconds()*float64(total-done)/float64(done)))
	}
	if terminal {
		m.drawn = true
		fmt.Fprintf(os.Stderr, "\r%s\x1b[K", line)
		return
	}
	fmt.Fprintln(os.Stderr, line)
}

// close takes the line off the terminal.
func (m *meter) close() {
	if m.drawn {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}
