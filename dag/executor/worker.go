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
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"github.com/ptbr-slm/pipeline/dag/executor/process"
	"github.com/ptbr-slm/pipeline/dag/executor/task"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"golang.org/x/sys/unix"
)

// orphanGrace is how long a part may go on after the coordinator is gone, to let go of
// its child processes and files.
const orphanGrace = time.Second

// tailLines is how many of the log's last lines an error carries.
const tailLines = 12

// Work is the main loop of a worker process: it does the jobs that come in until in
// ends, then returns. The terminal's interrupt is the coordinator's business.
//
// in and out are the process's own stdin and stdout, and Work takes them away: what a
// stage, a C library or a child process prints goes to stderr, and who reads finds the
// end of the file. Only one worker can be in a process.
func Work(in, out *os.File, kinds []stage.Kind) error {
	in, out, err := settle(in, out)
	if err != nil {
		return err
	}
	ctx, orphaned := context.WithCancel(context.Background())
	defer orphaned()
	type job struct {
		ctx context.Context
		*Job
	}
	jobs := make(chan job)
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, unix.SIGTERM, unix.SIGHUP)
	go func() {
		<-ending
		orphaned()
		time.AfterFunc(orphanGrace, leave)
	}()
	var stop stopper
	go func() {
		dec := json.NewDecoder(bufio.NewReader(in))
		for {
			var r request
			if err := fault.Do(fault.Receive, "coordinator", "", func() error { return dec.Decode(&r) }); err != nil {
				orphaned()
				close(jobs)
				time.AfterFunc(orphanGrace, leave)
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
	_, err = sweep()
	return err
}

// settle makes this process a worker: the protocol moves from stdin and stdout to files
// that no child inherits, orphans below come to this process, nobody dumps core.
func settle(in, out *os.File) (*os.File, *os.File, error) {
	// Nobody else in this program may end it at a signal. When the coordinator dies SIGTERM
	// comes several times: once for each of its threads that this process was handed on to.
	signal.Reset(os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	// Caught, not ignored: what is ignored here would be ignored in all children too.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, unix.SIGPIPE)
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	move := func(f, instead *os.File) (*os.File, error) {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, fmt.Errorf("worker: move %s: %w", f.Name(), err)
		}
		if err := unix.Dup3(int(instead.Fd()), int(f.Fd()), 0); err != nil {
			return nil, fmt.Errorf("worker: move %s: %w", f.Name(), err)
		}
		return os.NewFile(uintptr(fd), f.Name()), nil
	}
	if in, err = move(in, null); err != nil {
		return nil, nil, err
	}
	if out, err = move(out, os.Stderr); err != nil {
		return nil, nil, err
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return nil, nil, fmt.Errorf("worker: forbid core dumps: %w", err)
	}
	return in, out, process.Adopt()
}

// leave ends this process and all below it, in the middle of whatever they do.
func leave() {
	_, _ = sweep() // there is nobody left to tell
	os.Exit(3)
}

// sweep ends what a part has left running.
func sweep() (n int, err error) {
	if process.Childless() {
		return 0, nil
	}
	return process.EndBelow()
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
		leave() // nobody listens any more
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
			_, _ = sweep()
			log.Log(fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			r = reply{Error: fmt.Sprintf("panic: %v", p), Tail: log.last()}
		}
	}()
	defer bound(j.Memory)()
	hear := &hearing{partLog: log, wire: w, counts: Counts{}}
	used := meter()
	res, err := run(ctx, j, kinds, hear)
	if err == nil {
		res.CPU, res.Memory = used()
	}
	switch {
	case err == nil:
		return reply{Done: res}
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return reply{Stopped: true}
	}
	said := log.last()
	log.Log("error: " + err.Error())
	if strings.HasSuffix(err.Error(), strings.Join(said, "\n")) {
		said = nil // the error of a command repeats them itself
	}
	return reply{Error: err.Error(), Tail: said}
}

// bound makes the garbage collector work harder as a part with a memory limit comes near
// it, so that what is garbage is not counted as used. It begins by giving back what
// earlier parts left, and returns how to undo it.
func bound(limit int64) func() {
	if limit <= 0 {
		return func() {}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if held := m.HeapSys - m.HeapReleased; held > uint64(limit)/4 {
		debug.FreeOSMemory()
	}
	before := debug.SetMemoryLimit(limit - limit/8)
	return func() { debug.SetMemoryLimit(before) }
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
	// Before the outputs are listed: who still runs might change them afterwards.
	left, e := sweep()
	if e != nil {
		err = errors.Join(err, fmt.Errorf("end what the part left running: %w", e))
	}
	if left > 0 {
		h.Log(fmt.Sprintf("%d processes that the part left running were killed", left))
	}
	if err != nil {
		return nil, err
	}
	out, err := t.Finish()
	if err != nil {
		return nil, err
	}
	return &Result{Outputs: out, Refused: h.refused, Counts: h.counts, Notices: h.notices, Depends: h.depends}, nil
}

// hearing is the task.Listener of a worker: it logs, sums and passes on.
type hearing struct {
	*partLog
	wire    *wire
	mu      sync.Mutex
	counts  Counts
	refused []string
	notices []string
	depends []task.Dependence
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

func (h *hearing) Notice(text string) {
	h.mu.Lock()
	h.notices = append(h.notices, text)
	h.mu.Unlock()
	h.Log("notice: " + text)
}

func (h *hearing) Dependence(d task.Dependence) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.depends = append(h.depends, d)
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
