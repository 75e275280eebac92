package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
)

// meter shows on stderr how far something is that goes on for more than two seconds: one
// line that is redrawn on a terminal, a line every ten seconds elsewhere.
type meter struct {
	doing string
	show  func(int64) string // words an amount

	mu    sync.Mutex
	began time.Time
	since time.Time // when it first said how far it is
	from  int64     // how far it was then
	said  time.Time
	drawn bool
	prior *time.Timer
}

// lasting is after how long something is worth a line.
const lasting = 2 * time.Second

func newMeter(doing string, show func(int64) string) *meter {
	return &meter{doing: doing, show: show, began: time.Now()}
}

// first says what is done before at is called, if that takes long.
func (m *meter) first(text string) {
	if stderrMoves() {
		m.prior = time.AfterFunc(lasting, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.since.IsZero() {
				m.draw(text)
			}
		})
	}
}

// stderrMoves says whether a line on stderr can be drawn anew.
func stderrMoves() bool { return isTerminal(os.Stderr) && os.Getenv("TERM") != "dumb" }

// at says how far it is.
func (m *meter) at(done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, terminal := time.Now(), stderrMoves()
	every := quiet
	if terminal {
		every = 150 * time.Millisecond
	}
	if m.since.IsZero() {
		m.since, m.from = now, done
		if !terminal {
			m.said = m.began
		}
	}
	if now.Sub(m.said) < every || terminal && now.Sub(m.began) < lasting {
		return
	}
	m.said = now
	line := fmt.Sprintf("%s %s of %s", m.doing, m.show(done), m.show(total))
	if done > m.from && total > done {
		line += fmt.Sprintf(", about %s left", duration(now.Sub(m.since).Seconds()*float64(total-done)/float64(done-m.from)))
	}
	if terminal {
		m.draw(line)
		return
	}
	fmt.Fprintln(os.Stderr, line)
}

func (m *meter) draw(line string) {
	m.drawn = true
	if columns > 0 {
		line = runewidth.Truncate(line, columns-1, "…") // a line that wraps cannot be drawn anew
	}
	fmt.Fprintf(os.Stderr, "\r%s\x1b[K", line)
}

// close takes the line off the terminal.
func (m *meter) close() {
	if m.prior != nil {
		m.prior.Stop()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since = m.began // the timer may have gone off already
	if m.drawn {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}
