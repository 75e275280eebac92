package local

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/executor/process"
)

const (
	// leaveGrace is how long a worker whose stdin was closed may take to end what it has
	// started, and itself.
	leaveGrace = 1500 * time.Millisecond
	// deathGrace is how long a worker may take to be gone once it was killed. Some cannot
	// be: they wait for a disk or a dead network file system.
	deathGrace = 10 * time.Second
	// drainGrace is how long a worker's stdout and stderr are read after its end, which
	// what it has started may hold open.
	drainGrace = time.Second
)

// worker is a worker process. It leads a session of its own: the terminal's interrupt
// goes to the coordinator alone, and whatever is below this process in a session that is
// not this one's was started by a worker.
type worker struct {
	cmd    *exec.Cmd
	client *executor.Client
	stderr *tail
	ended  chan struct{}
	how    string // set when ended is closed
}

// crew is all live workers of this process, of all pools. A worker is forked and entered
// in one step, so that none is taken for an orphan.
var crew = struct {
	sync.Mutex
	pids map[int]bool
}{pids: map[int]bool{}}

// adopt makes this process the parent of what killed workers leave behind.
var adopt = sync.OnceValue(process.Adopt)

func spawn(command, env []string, dir string) (*worker, error) {
	if err := adopt(); err != nil {
		return nil, err
	}
	w := &worker{stderr: &tail{}, ended: make(chan struct{})}
	w.cmd = exec.Command(command[0], command[1:]...)
	w.cmd.Env = append(os.Environ(), env...)
	w.cmd.Dir = dir
	w.cmd.Stderr = w.stderr
	w.cmd.WaitDelay = drainGrace
	// When this process dies the worker finds its stdin closed. The signal tells it also
	// where something else holds the pipe open.
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not StdoutPipe: Wait would close it before the last reply is read.
	r, out, err := os.Pipe()
	if err != nil {
		stdin.Close()
		return nil, err
	}
	w.cmd.Stdout = out
	crew.Lock()
	err = fault.Do(fault.Spawn, command[0], "", w.cmd.Start)
	if w.cmd.Process != nil {
		crew.pids[w.cmd.Process.Pid] = true
	}
	crew.Unlock()
	out.Close()
	if err != nil && w.cmd.Process != nil { // it was started and the event failed
		w.cmd.Process.Kill()
		w.wait()
	}
	if err != nil {
		stdin.Close()
		r.Close()
		return nil, err
	}
	w.client = executor.NewClient(stdin, r)
	go func() {
		w.wait()
		r.SetReadDeadline(time.Now().Add(drainGrace))
	}()
	return w, nil
}

// wait waits for the worker's end and clears up after it.
func (w *worker) wait() {
	err := w.cmd.Wait()
	w.how = w.cmd.ProcessState.String()
	crew.Lock()
	delete(crew.pids, w.cmd.Process.Pid)
	if err != nil { // one that ends by itself leaves nothing
		_, _ = process.End(orphans)
	}
	crew.Unlock()
	close(w.ended)
}

// orphans picks what workers that were killed have left behind, and all below that.
func orphans(all []process.Process) (left []process.Process) {
	self := os.Getpid()
	mine := 0
	for _, p := range all {
		if p.PID == self {
			mine = p.Session
		}
	}
	for _, p := range all {
		if p.Parent == self && p.Session != mine && !crew.pids[p.PID] {
			left = append(append(left, p), process.Below(all, p.PID)...)
		}
	}
	return left
}

// end lets the worker end by itself, and its part's processes with it, then kills it. On
// return it is gone, or cannot be killed.
func (w *worker) end() {
	w.client.Close()
	if !w.endsWithin(leaveGrace) {
		w.kill()
	}
}

// kill kills the worker at once. What it has started is killed when it is gone.
func (w *worker) kill() {
	for began := time.Now(); time.Since(began) < deathGrace; {
		fault.Do(fault.Signal, "worker", "", func() error { return w.cmd.Process.Kill() })
		if w.endsWithin(200 * time.Millisecond) {
			return
		}
	}
	// Its name goes on being in crew: it is no orphan.
}

func (w *worker) endsWithin(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.ended:
		return true
	case <-t.C:
		return false
	}
}

// tail keeps the last few KiB that a worker wrote to stderr.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - tailBytes; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := string(bytes.TrimSpace(t.b))
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
