package executor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"github.com/ptbr-slm/pipeline/dag/executor/task"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// orphanGrace is how long a part may go on after the coordinator is gone, to let go of
// its child processes and files.
const orphanGrace = time.Second

// tailLines is how many of the log's last lines an error carries.
const tailLines = 12

// Work is the main loop of a worker process: it does the jobs that come in until in
// ends, then returns. The terminal's interrupt is the coordinator's business.
func Work(in io.Reader, out io.Writer, kinds []stage.Kind) error {
	signal.Ignore(os.Interrupt)
	ctx, orphaned := context.WithCancel(context.Background())
	defer orphaned()
	type job struct {
		ctx context.Context
		*Job
	}
	jobs := make(chan job)
	var stop stopper
	go func() {
		dec := json.NewDecoder(bufio.NewReader(in))
		for {
			var r request
			if err := fault.Do(fault.Receive, "coordinator", "", func() error { return dec.Decode(&r) }); err != nil {
				orphaned()
				close(jobs)
				time.AfterFunc(orphanGrace, func() { os.Exit(3) })
				return
			}
			switch {
			case r.Stop:
				stop.stop()
			case r.Do != nil:
				c, cancel := context.WithCancel(ctx)
				stop.set(cancel) // before the next line is read: a stop right after must not be lost
				jobs <- job{c, r.Do}
			}
		}
	}()
	w := &wire{out: out}
	for j := range jobs {
		w.send(work(j.ctx, j.Job, kinds, w))
	}
	return nil
}

// stopper hands a stop request to the job that runs.
type stopper struct {
	mu     sync.Mutex
	cancel func()
}

func (s *stopper) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel() // of a job that is over
	}
	s.cancel = f
}

func (s *stopper) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

type wire struct {
	mu  sync.Mutex
	out io.Writer
}

func (w *wire) send(r reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if send("coordinator", w.out, r) != nil {
		os.Exit(3) // nobody listens any more
	}
}

// work does one job. A panic becomes an error with its trace in the log.
func work(ctx context.Context, j *Job, kinds []stage.Kind, w *wire) (r reply) {
	log, err := newPartLog(j.Log)
	if err != nil {
		return reply{Error: err.Error()}
	}
	defer log.close()
	defer func() {
		if p := recover(); p != nil {
			log.Log(fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			r = reply{Error: fmt.Sprintf("panic: %v", p), Tail: log.last()}
		}
	}()
	hear := &hearing{partLog: log, wire: w, counts: Counts{}}
	res, err := run(ctx, j, kinds, hear)
	switch {
	case err == nil:
		return reply{Done: res}
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return reply{Stopped: true}
	}
	said := log.last()
	log.Log("error: " + err.Error())
	return reply{Error: err.Error(), Tail: said}
}

func run(ctx context.Context, j *Job, kinds []stage.Kind, h *hearing) (*Result, error) {
	var kind *stage.Kind
	for i := range kinds {
		if kinds[i].Name == j.Kind {
			kind = &kinds[i]
		}
	}
	if kind == nil {
		return nil, fmt.Errorf("this worker knows no stage kind %q: is it the same build as the coordinator?", j.Kind)
	}
	s, err := kind.New(j.Spec.Config)
	if err != nil {
		return nil, err
	}
	t := task.New(j.Spec, h)
	defer t.Close()
	if j.Spec.Join {
		err = s.(stage.Joiner).Join(ctx, t)
	} else {
		err = s.Run(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	out, err := t.Finish()
	if err != nil {
		return nil, err
	}
	return &Result{Outputs: out, Refused: h.refused, Counts: h.counts}, nil
}

// hearing is the task.Listener of a worker: it logs, sums and passes on.
type hearing struct {
	*partLog
	wire    *wire
	mu      sync.Mutex
	counts  Counts
	refused []string
	last    time.Time
}

func (h *hearing) Progress(done, total int64, unit string) {
	h.mu.Lock()
	now := time.Now()
	due := now.Sub(h.last) >= 100*time.Millisecond
	if due {
		h.last = now
	}
	h.mu.Unlock()
	if due {
		h.wire.send(reply{Progress: &Progress{done, total, unit}})
	}
}

func (h *hearing) Metric(name string, step int64, x float64) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		h.Log(fmt.Sprintf("metric %s at %d is %v", name, step, x))
		return
	}
	h.wire.send(reply{Metric: &Metric{name, step, x}})
}

func (h *hearing) Count(source, rule string, n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts[source] == nil {
		h.counts[source] = map[string]int64{}
	}
	h.counts[source][rule] += n
}

func (h *hearing) Refuse(reason string) {
	h.mu.Lock()
	h.refused = append(h.refused, reason)
	h.mu.Unlock()
	h.Log("gate: " + reason)
}

// partLog is the log file of one attempt, with its last lines at hand.
type partLog struct {
	mu   sync.Mutex
	f    *disk.File
	tail []string
}

func newPartLog(path string) (*partLog, error) {
	if err := disk.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("open the part's log: %w", err)
	}
	f, err := disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the part's log: %w", err)
	}
	return &partLog{f: f}, nil
}

// Log appends a line. A log that cannot be written loses the line, not the part.
func (l *partLog) Log(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.f, "%s %s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), line)
	if l.tail = append(l.tail, line); len(l.tail) > tailLines {
		l.tail = l.tail[1:]
	}
}

func (l *partLog) last() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.tail...)
}

func (l *partLog) close() { l.f.Close() }
