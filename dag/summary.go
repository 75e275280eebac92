package dag

import (
	"context"
	"fmt"
	"time"

	"github.com/ptbr-slm/pipeline/dag/executor"
)

// The states a run can end in.
const (
	StateDone        = "done"
	StateFailed      = "failed"
	StateRefused     = "refused" // a gate is broken
	StateInterrupted = "interrupted"
)

// Summary is what a run did. It is the JSON document of `pipeline run --json`.
type Summary struct {
	Run      int64              `json:"run"`
	State    string             `json:"state"`
	Pipeline string             `json:"pipeline"`
	Profile  string             `json:"profile,omitempty"`
	Seconds  float64            `json:"seconds"`
	Estimate *Span              `json:"estimate"`    // of seconds, when the run began; nil: unknown, or nothing to run
	CPU      *float64           `json:"cpu_seconds"` // of the parts that ran; nil when not known of all
	Stages   []StageSummary     `json:"stages"`
	Metrics  map[string]float64 `json:"metrics"` // "<stage>.<metric>": its last value
	Failures []Failure          `json:"failures,omitempty"`
	Refusals []Refusal          `json:"refusals,omitempty"`
	Notices  []Notice           `json:"notices,omitempty"`
	Said     []string           `json:"said,omitempty"` // while it ran, the first 200: whom it waited for, what was tried again
}

// StageSummary is what a run did for one stage.
type StageSummary struct {
	Name    string            `json:"name"`
	Kind    string            `json:"kind"`
	State   string            `json:"state"` // "done", "failed", "refused", "skipped", "unfinished"
	Parts   int               `json:"parts"`
	Ran     int               `json:"ran"`
	Cached  int               `json:"cached"`
	Fetched int               `json:"fetched,omitempty"` // of Cached: from another machine, in this run
	Seconds float64           `json:"seconds"`           // in which at least one of its parts was at work
	CPU     *float64          `json:"cpu_seconds"`       // of the parts that ran; nil when not known of all
	Memory  int64             `json:"memory,omitempty"`  // bytes, the largest peak of a worker; 0 when not known
	Outputs map[string]Output `json:"outputs,omitempty"`
}

// Output describes an output port of a finished stage.
type Output struct {
	Digest string `json:"digest"` // of the artifact's manifest
	Bytes  int64  `json:"bytes"`
	Files  int    `json:"files"`
}

// Failure is a part that failed, with all it takes to find out why.
type Failure struct {
	Stage   string   `json:"stage"`
	Part    string   `json:"part"`
	Error   string   `json:"error"`
	Sources []string `json:"sources,omitempty"` // paths of the source files that the part reads
	Log     string   `json:"log,omitempty"`
	Tail    []string `json:"tail,omitempty"`    // last lines of the log
	Ignored bool     `json:"ignored,omitempty"` // the stage says continue-on-error
}

// Notice is what parts of a finished stage had to say to the user, in this run or in the
// one that made them.
type Notice struct {
	Stage string `json:"stage"`
	Parts int    `json:"parts"` // how many said something
	Text  string `json:"text"`  // of the first of them
}

// Refusal is a gate that broke.
type Refusal struct {
	Stage  string `json:"stage"`
	Reason string `json:"reason"`
}

// Stopped says that a run ended without being done; the summary says how.
type Stopped struct{ *Summary }

func (e *Stopped) Error() string {
	switch e.State {
	case StateRefused:
		return fmt.Sprintf("stage %s refused: %s", e.Refusals[0].Stage, e.Refusals[0].Reason)
	case StateFailed:
		for _, f := range e.Failures {
			if !f.Ignored {
				return fmt.Sprintf("stage %s, part %s: %s", f.Stage, f.Part, f.Error)
			}
		}
	}
	return "run " + e.State
}

// Observer is shown how a run goes. Calls come from one goroutine and must not block.
type Observer interface {
	Stage(StageStatus)
	Metric(stage string, m executor.Metric)
	Notice(text string)
}

// StageStatus is where a stage stands in the middle of a run.
type StageStatus struct {
	Left           *Span // what the stage still takes; nil when unknown
	RunLeft        *Span // what the whole run still takes; nil when unknown
	Name, Kind     string
	State          string // "waiting", "running", or as StageSummary.State
	Parts          int    // known so far
	Open           bool   // more may come
	Done           int    // parts
	Ran, Cached    int
	Running        []PartStatus
	Seconds        float64 // in which at least one part was at work, until now
	Bytes, Handled int64   // of input: of the parts that had to run, and of those that did
}

// PartStatus is a part that runs.
type PartStatus struct {
	Name     string
	Started  time.Time
	Bytes    int64 // of input
	Progress executor.Progress
	Heard    time.Time // when it first said how far it is; zero before
	From     int64     // how far it was then: not 0 when it resumed
}

// mostSaid is how many notices a summary keeps.
const mostSaid = 200

func (c *coordinator) notice(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(c.said) < mostSaid {
		c.said = append(c.said, text)
	}
	if c.o.Observer != nil {
		c.o.Observer.Notice(text)
	}
}

// show tells the observer where a stage stands.
func (c *coordinator) show(n *node) {
	if c.o.Observer == nil {
		return
	}
	s := c.stageSummary(n)
	t := c.stat[n]
	left, all := c.left(n)
	st := StageStatus{Left: left, RunLeft: all, Name: n.Name, Kind: n.Kind.Name, State: s.State, Parts: s.Parts, Open: !n.done && (!n.closed || (len(n.Kind.Mid) > 0 && n.join == nil)),
		Done: t.ran + t.cached, Ran: t.ran, Cached: t.cached, Seconds: s.Seconds, Handled: t.bytesDone}
	if st.State == "unfinished" {
		st.State = "waiting"
		if len(c.running[n]) > 0 || t.ran > 0 {
			st.State = "running"
		}
	}
	for _, w := range c.running[n] {
		st.Running = append(st.Running, PartStatus{Name: w.name, Started: w.started, Bytes: w.bytes, Progress: w.progress, Heard: w.heard, From: w.from})
	}
	st.Bytes = n.missedBytes
	c.o.Observer.Stage(st)
}

func (c *coordinator) stageSummary(n *node) StageSummary {
	t := c.stat[n]
	s := StageSummary{Name: n.Name, Kind: n.Kind.Name, State: "unfinished", Parts: n.count(), Ran: t.ran, Cached: t.cached, Fetched: t.fetched, Outputs: n.outputs,
		Seconds: t.took(time.Now()).Seconds(), CPU: t.cpu, Memory: t.memory}
	switch {
	case n.failed > 0:
		s.State = "failed"
	case len(n.refusals) > 0:
		s.State = "refused"
	case n.done:
		s.State = "done"
	case n.skipped:
		s.State = "skipped"
	}
	return s
}

func (c *coordinator) summary(ctx context.Context) *Summary {
	s := &Summary{Run: c.run, State: StateDone, Pipeline: c.pipeline.Name, Profile: c.pipeline.Profile, Seconds: time.Since(c.began).Seconds(),
		CPU: new(float64), Metrics: c.metrics, Failures: c.failures, Said: c.said}
	if c.foreseen != nil {
		s.Estimate = c.foreseen.Wall
	}
	for _, n := range c.nodes {
		st := c.stageSummary(n)
		s.Stages = append(s.Stages, st)
		if st.Ran > 0 && st.CPU == nil {
			s.CPU = nil
		} else if st.Ran > 0 && s.CPU != nil {
			cpu := *s.CPU + *st.CPU
			s.CPU = &cpu
		}
		if n.notices.Parts > 0 {
			s.Notices = append(s.Notices, n.notices)
		}
		for _, r := range n.refusals {
			s.Refusals = append(s.Refusals, Refusal{n.Name, r})
		}
	}
	failed := false
	for _, f := range c.failures {
		failed = failed || !f.Ignored
	}
	unfinished := false
	for _, n := range c.nodes {
		unfinished = unfinished || !n.done && !n.skipped && n.failed == 0
	}
	switch {
	case failed:
		s.State = StateFailed
	case len(s.Refusals) > 0:
		s.State = StateRefused
	case unfinished && (ctx.Err() != nil || c.o.KnownOnly):
		s.State = StateInterrupted
	case unfinished: // nothing failed and nobody asked: a fault of the engine, never a success
		s.State = StateFailed
	}
	return s
}
