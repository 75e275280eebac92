// Package local runs parts in worker processes on this machine.
package local

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/ptbr-slm/pipeline/dag/executor"
)

// Pool is an executor.Executor: workers are started as jobs ask for them and kept for
// the next job. How many run at once is the caller's business.
type Pool struct {
	command []string
	env     []string
	dir     string // where workers start; empty: where this process is
	grace   time.Duration

	mu     sync.Mutex
	idle   []*worker
	all    map[*worker]bool
	closed bool

	spawn chan func() // runs on one locked thread: see New
}

// New makes a pool whose workers are started with command and, beside this process's
// environment, env.
func New(command []string, env []string) *Pool {
	p := &Pool{command: command, env: env, grace: executor.StopGrace, all: map[*worker]bool{}, spawn: make(chan func())}
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

// Run implements executor.Executor.
func (p *Pool) Run(ctx context.Context, j executor.Job, l executor.Listener) (*executor.Result, error) {
	w, err := p.take()
	if err != nil {
		return nil, err
	}
	watching := w.watch(j.Memory)
	res, err := w.client.Do(ctx, j, p.grace, l)
	over := watching()
	var pe *executor.PartError
	if over == nil && (err == nil || errors.Is(err, executor.ErrStopped) || errors.As(err, &pe)) {
		p.give(w)
		return res, err
	}
	why := ""
	select {
	case <-w.ended:
	default:
		if errors.Unwrap(err) != nil { // more than that it is gone
			why = err.Error()
		}
		w.end()
	}
	p.drop(w)
	switch {
	case err == nil:
		return res, nil // it was done when it was found to hold too much
	case over != nil:
		return nil, over
	case ctx.Err() != nil:
		return nil, executor.ErrStopped
	}
	return nil, &executor.Lost{How: w.how, Why: why, Tail: w.stderr.lines()}
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
			w.client.Close()
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
		w.client.Close()
		return
	}
	p.idle = append(p.idle, w)
}

func (p *Pool) drop(w *worker) {
	w.client.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, w)
}

// start forks a worker on the thread for that.
func (p *Pool) start() (w *worker, err error) {
	done := make(chan struct{})
	p.spawn <- func() {
		w, err = spawn(p.command, p.env, p.dir)
		close(done)
	}
	<-done
	return w, err
}

// Kill implements executor.Executor.
func (p *Pool) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for w := range p.all {
		go w.kill()
	}
}

// Close implements executor.Executor. A worker that does not end when its stdin does is
// killed.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed && p.all == nil {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	all := p.all
	p.all = nil
	p.mu.Unlock()
	var wait sync.WaitGroup
	for w := range all {
		wait.Go(w.end)
	}
	wait.Wait()
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
