// Package local runs parts in worker processes on this machine.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"github.com/ptbr-slm/pipeline/dag/executor"
)

// Pool is an executor.Executor: workers are started as jobs ask for them and kept for
// the next job. How many run at once is the caller's business.
type Pool struct {
	command []string
	env     []string
	dir     string // where workers start; empty: where this process is

	mu     sync.Mutex
	idle   []*worker
	all    map[*worker]bool
	closed bool

	spawn chan func() // runs on one locked thread: see New
}

// New makes a pool whose workers are started with command and, beside this process's
// environment, env.
func New(command []string, env []string) *Pool {
	p := &Pool{command: command, env: env, all: map[*worker]bool{}, spawn: make(chan func())}
	// Pdeathsig fires when the thread that forked dies, so all workers are forked from
	// one thread that lives as long as the pool.
	go func() {
		runtime.LockOSThread()
		for f := range p.spawn {
			f()
		}
	}()
	return p
}

// In makes workers start in a directory. The command's path must then be absolute.
func (p *Pool) In(dir string) *Pool {
	p.dir = dir
	return p
}

type worker struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	client *executor.Client
	stderr *tail
	ended  chan struct{}
	how    string // set when ended is closed
}

// Run implements executor.Executor.
func (p *Pool) Run(ctx context.Context, j executor.Job, l executor.Listener) (*executor.Result, error) {
	w, err := p.take()
	if err != nil {
		return nil, err
	}
	res, err := w.client.Do(ctx, j, l)
	var pe *executor.PartError
	switch {
	case err == nil, errors.Is(err, executor.ErrStopped), errors.As(err, &pe):
		p.give(w)
		return res, err
	}
	if !errors.Is(err, executor.ErrGone) || ctx.Err() != nil {
		w.kill()
	}
	<-w.ended
	p.drop(w)
	if ctx.Err() != nil {
		return nil, executor.ErrStopped
	}
	return nil, &executor.Lost{How: w.how, Tail: w.stderr.lines()}
}

func (p *Pool) take() (*worker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, executor.ErrStopped
	}
	for len(p.idle) > 0 {
		w := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		select {
		case <-w.ended: // killed while it had nothing to do
			delete(p.all, w)
			continue
		default:
			return w, nil
		}
	}
	w, err := p.start()
	if err != nil {
		return nil, fmt.Errorf("start a worker process: %w", err)
	}
	p.all[w] = true
	return w, nil
}

func (p *Pool) give(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		w.stdin.Close()
		return
	}
	p.idle = append(p.idle, w)
}

func (p *Pool) drop(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, w)
}

func (p *Pool) start() (*worker, error) {
	w := &worker{stderr: &tail{}, ended: make(chan struct{})}
	w.cmd = exec.Command(p.command[0], p.command[1:]...)
	w.cmd.Env = append(os.Environ(), p.env...)
	w.cmd.Dir = p.dir
	w.cmd.Stderr = w.stderr
	// A process group of its own: the terminal's interrupt goes to the coordinator alone.
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not StdoutPipe: Wait would close it before the last reply is read.
	r, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	w.cmd.Stdout = out
	done := make(chan error)
	p.spawn <- func() { done <- fault.Do(fault.Spawn, p.command[0], "", w.cmd.Start) }
	err = <-done
	out.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	w.stdin = stdin
	w.client = executor.NewClient(stdin, r)
	go func() {
		err := w.cmd.Wait()
		w.how = "exit status 0"
		if err != nil {
			w.how = err.Error()
		}
		close(w.ended)
	}()
	return w, nil
}

func (w *worker) kill() {
	fault.Do(fault.Signal, "worker", "", func() error { return syscall.Kill(-w.cmd.Process.Pid, syscall.SIGKILL) })
}

// Kill implements executor.Executor.
func (p *Pool) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for w := range p.all {
		w.kill()
	}
}

// Close implements executor.Executor.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	all := p.all
	p.all = map[*worker]bool{}
	for w := range all {
		w.stdin.Close()
	}
	p.mu.Unlock()
	for w := range all {
		<-w.ended
	}
	close(p.spawn)
	return nil
}

// PIDs lists the worker processes.
func (p *Pool) PIDs() (pids []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.all {
		pids = append(pids, w.cmd.Process.Pid)
	}
	return pids
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
