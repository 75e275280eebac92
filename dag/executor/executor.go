// Package executor is where parts run: the messages between the coordinator and a
// worker process, and the worker itself. How workers come to be is for the packages
// below: local starts them on this machine.
//
// A worker is `pipeline worker`: long-lived, one part at a time, JSON lines on stdin
// and stdout, the work itself through files. It ends when its stdin does, together with
// all that its part has started, so that nothing outlives the coordinator, however that
// one dies.
package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"github.com/ptbr-slm/pipeline/dag/executor/task"
)

// Job is one part (or one join) to do.
type Job struct {
	Kind string    `json:"kind"`
	Log  string    `json:"log"` // path; the worker appends to it
	Spec task.Spec `json:"spec"`

	// Memory bounds the bytes that the worker and all it starts may hold; 0: no bound.
	Memory int64 `json:"memory,omitempty"`
}

// Counts is what rules touched: source → rule → n.
type Counts map[string]map[string]int64

// Result is what a job gave.
type Result struct {
	Outputs []task.Output `json:"outputs"`
	Refused []string      `json:"refused,omitempty"` // gates that broke; the outputs are good all the same
	Counts  Counts        `json:"counts,omitempty"`

	CPU    *float64 `json:"cpu,omitempty"`    // seconds of CPU, of the worker and what it started; nil when not known
	Memory int64    `json:"memory,omitempty"` // bytes of the worker at its peak; 0 when not known

	Notices []string          `json:"notices,omitempty"` // for the user
	Depends []task.Dependence `json:"depends,omitempty"` // what else was read: the outputs hold as long as it stays
}

// Metric is one value of a named series.
type Metric struct {
	Name  string  `json:"name"`
	Step  int64   `json:"step"`
	Value float64 `json:"value"`
}

// Progress is how far a job is.
type Progress struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total"` // 0: not known
	Unit  string `json:"unit"`
}

// Listener hears from a running job. Calls come from one goroutine at a time.
type Listener interface {
	Progress(Progress)
	Metric(Metric)
}

// Executor runs jobs.
type Executor interface {
	// Run does a job. When ctx ends it asks the worker to stop at a checkpoint and
	// returns ErrStopped; when the worker does not within the grace period it is killed.
	Run(ctx context.Context, j Job, l Listener) (*Result, error)
	// Kill ends all workers at once.
	Kill()
	// Close ends the workers, which must be idle.
	Close() error
}

// ErrStopped says that a job ended early because it was asked to.
var ErrStopped = errors.New("stopped")

// PartError is an error of the stage's own, with the end of what it had logged.
type PartError struct {
	Message string
	Tail    []string // last lines of the log
}

func (e *PartError) Error() string { return e.Message }

// Lost says that a worker process ended in the middle of a job.
type Lost struct {
	How  string   // "signal: killed", "exit status 2"
	Why  string   // what it did to be killed; empty when nobody here killed it
	Tail []string // last lines it wrote to stderr: a panic's trace
}

func (e *Lost) Error() string {
	if e.Why != "" {
		return "the worker process was killed: " + e.Why
	}
	s := "the worker process ended in the middle of the part (" + e.How + ")"
	if strings.Contains(e.How, "killed") {
		s += "; the system may have run out of memory"
	}
	for _, l := range e.Tail {
		if strings.HasPrefix(l, "panic:") || strings.HasPrefix(l, "fatal error:") {
			return fmt.Sprintf("%s: %s", s, l)
		}
	}
	return s
}

// OverMemory says that a part held more memory than Job.Memory and was killed.
type OverMemory struct{ Used, Limit int64 } // bytes

func (e *OverMemory) Error() string {
	return fmt.Sprintf("it used %d bytes of memory, its limit is %d", e.Used, e.Limit)
}

// request and reply are the lines of the protocol.
type request struct {
	Do   *Job `json:"do,omitempty"`
	Stop bool `json:"stop,omitempty"`
}

type reply struct {
	Progress *Progress `json:"progress,omitempty"`
	Metric   *Metric   `json:"metric,omitempty"`
	Done     *Result   `json:"done,omitempty"`
	Error    string    `json:"error,omitempty"`
	Tail     []string  `json:"tail,omitempty"`
	Stopped  bool      `json:"stopped,omitempty"`
}

// send writes a message as one line.
func send(to string, w io.Writer, message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_, err = fault.Bytes(fault.Send, to, append(line, '\n'), w.Write)
	return err
}
