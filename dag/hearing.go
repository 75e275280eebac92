package dag

import (
	"fmt"
	"sync"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/executor"
)

// tellEvery is how often the ledger is told of parts on their way and of their metrics. A
// part that is done sooner is told of once, when it is.
const tellEvery = time.Second

// hearing passes on what a part says of itself to the goroutine that owns the run.
type hearing struct {
	c      *coordinator
	w      *work
	mu     sync.Mutex
	last   map[string]float64
	series []artifacts.Metric // not recorded yet
}

// Progress implements executor.Listener.
func (h *hearing) Progress(p executor.Progress) {
	h.c.events <- func() error {
		if h.w.heard.IsZero() {
			h.w.heard, h.w.from = time.Now(), p.Done
		}
		h.w.progress = p
		h.c.show(h.w.node)
		return nil
	}
}

// Metric implements executor.Listener.
func (h *hearing) Metric(m executor.Metric) {
	h.mu.Lock()
	h.last[m.Name] = m.Value
	h.series = append(h.series, artifacts.Metric{Stage: h.w.node.Name, Name: m.Name, Step: m.Step, Value: m.Value})
	h.mu.Unlock()
	h.c.events <- func() error {
		if h.c.o.Observer != nil {
			h.c.o.Observer.Metric(h.w.node.Name, m)
		}
		return nil
	}
}

// unrecorded takes the metrics that came since it was last called.
func (h *hearing) unrecorded() []artifacts.Metric {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.series
	h.series = nil
	return m
}

// tell records the parts that run or wait, and the metrics that came since: so that
// `status` shows them, and a run that is killed loses no more than tellEvery of a series.
func (c *coordinator) tell() error {
	var parts []artifacts.PartRecord
	add := func(w *work, state string, at *attempt, message string) {
		r := c.record(w, state, at, message)
		if told := fmt.Sprint(state, r.Attempt, message); told != w.told || len(r.Metrics) > 0 {
			w.told = told
			parts = append(parts, r)
		}
	}
	for _, n := range c.nodes {
		for _, w := range c.running[n] {
			if at := w.now.Load(); at != nil {
				add(w, "running", at, "")
			}
		}
	}
	for _, w := range c.away {
		add(w, "waiting", nil, w.waitsFor)
	}
	if len(parts) == 0 {
		return nil
	}
	return c.store.Ledger().RecordUnderWay(parts)
}

// tellEnd records how a part that waited came to its end, if the ledger knows of it.
func (c *coordinator) tellEnd(w *work, state string) error {
	if w.told == "" {
		return nil
	}
	return c.store.Ledger().RecordPart(c.record(w, state, nil, ""), nil)
}
