package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/executor/process"
	"github.com/ptbr-slm/pipeline/dag/executor/task"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"golang.org/x/sys/unix"
)

// The test binary is its own worker.
func TestMain(m *testing.M) {
	if os.Getenv("LOCAL_TEST_WORKER") != "" {
		if err := executor.Work(os.Stdin, os.Stdout, []stage.Kind{ill}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// ill is a stage kind whose config says how it misbehaves.
var ill = stage.Kind{Name: "ill", Out: []stage.Port{{Name: "out", Type: stage.Any}}, Config: illness{},
	New: stage.Build(func(c illness) (stage.Stage, error) { return c, nil })}

type illness struct{ How string }

func (c illness) Run(ctx context.Context, t stage.Task) error {
	switch c.How {
	case "print":
		fmt.Println(`{"done":{}}`)
		unix.Write(1, []byte("not a message\n"))
		if n, err := os.Stdin.Read(make([]byte, 1)); n != 0 || err == nil {
			return fmt.Errorf("stdin gave %d bytes, %v", n, err)
		}
	case "deaf":
		t.Metric("ready", 0, 0)
		select {}
	case "leave":
		return spread(t, "exit 0")
	case "spread":
		if err := spread(t, "wait"); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	case "swell":
		var held [][]byte
		for {
			held = append(held, fill(8<<20))
			runtime.KeepAlive(held)
		}
	case "child swells":
		err := exec.Command("/bin/sh", "-c", `x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done & wait`).Run()
		return fmt.Errorf("the child ended: %v", err)
	case "garbage":
		for range 64 {
			fill(8 << 20)
		}
	case "core":
		var l unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil || l.Cur != 0 || l.Max != 0 {
			return fmt.Errorf("core dumps of %d bytes are allowed, %v", l.Cur, err)
		}
	}
	return nil
}

func fill(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) | 1
	}
	return b
}

// spread starts a shell with a child, one in the background whose parent ends, one in a
// session of its own, and one that is both, and tells their numbers.
func spread(t stage.Task, then string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", `echo $$
sh -c 'echo $$; sleep 1000; true' &
sh -c 'sh -c "echo \$\$; sleep 1000; true" &'
setsid sh -c 'echo $$; sleep 1000; true' &
setsid sh -c 'sh -c "echo \$\$; sleep 1000; true" &'
`+then)
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(r)
	for i := range spreads {
		if !lines.Scan() {
			return fmt.Errorf("only %d processes said their number", i)
		}
		var pid int
		if _, err := fmt.Sscan(lines.Text(), &pid); err != nil {
			return err
		}
		t.Metric("pid", int64(i), float64(pid))
	}
	if then == "wait" {
		t.Metric("ready", 0, 0)
		return nil
	}
	return cmd.Wait()
}

const spreads = 5 // processes that tell their numbers; each has a child of its own besides

// ear hears the numbers of processes, and when a part is ready to be disturbed.
type ear struct {
	pids  []int
	ready chan struct{}
}

func newEar() *ear { return &ear{ready: make(chan struct{})} }

func (e *ear) Progress(executor.Progress) {}
func (e *ear) Metric(m executor.Metric) {
	if m.Name == "pid" {
		e.pids = append(e.pids, int(m.Value))
		return
	}
	close(e.ready)
}

func job(t *testing.T, how string) executor.Job {
	dir := t.TempDir()
	return executor.Job{Kind: "ill", Log: filepath.Join(dir, "log"),
		Spec: task.Spec{Config: []byte(`{"How":"` + how + `"}`), Work: dir, Partial: filepath.Join(dir, "partial"), Outputs: []string{"out"}}}
}

// pool starts workers that work, or a shell that only pretends to be one.
func pool(t *testing.T, script string) *Pool {
	p := New([]string{os.Args[0]}, []string{"LOCAL_TEST_WORKER=1"})
	if script != "" {
		p = New([]string{"/bin/sh", "-c", script}, nil)
	}
	p.grace = 100 * time.Millisecond
	t.Cleanup(func() { p.Close() })
	return p
}

// family is a process and all below it, each held so that its number is not given to
// another.
type family struct {
	fds  []int
	pids []int
}

func hold(t *testing.T, pids ...int) (f family) {
	t.Helper()
	all, err := process.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range process.Below(all, pids...) {
		pids = append(pids, p.PID)
	}
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // gone already
		}
		t.Cleanup(func() { unix.Close(fd) })
		f.fds, f.pids = append(f.fds, fd), append(f.pids, pid)
	}
	return f
}

// gone holds that all are dead within 5 s.
func (f family) gone(t *testing.T) {
	t.Helper()
	for i, fd := range f.fds {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 5000); n == 0 || err != nil && err != unix.EINTR {
			cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", f.pids[i]))
			t.Errorf("process %d (%q) is still there", f.pids[i], cmd)
			unix.Kill(f.pids[i], unix.SIGKILL)
		}
	}
}

// TestNothingOutlivesAPart holds, for all ways in which a part can come to its end, that
// of what it has started nothing is left: children, children of children, those whose
// parents ended, those with a session of their own.
func TestNothingOutlivesAPart(t *testing.T) {
	for _, c := range []struct {
		name, how string
		disturb   func(p *Pool, cancel func())
		check     func(error) bool
	}{
		{"it ends", "leave", nil, func(err error) bool { return err == nil }},
		{"it is stopped", "spread", func(_ *Pool, cancel func()) { cancel() }, func(err error) bool { return errors.Is(err, executor.ErrStopped) }},
		{"its worker is killed", "spread", func(p *Pool, _ func()) { unix.Kill(p.PIDs()[0], unix.SIGKILL) },
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "signal: killed") }},
		{"its worker is told to end", "spread", func(p *Pool, _ func()) { unix.Kill(p.PIDs()[0], unix.SIGTERM) },
			func(err error) bool { return errors.Is(err, executor.ErrStopped) }},
		{"the pool is killed", "spread", func(p *Pool, cancel func()) { cancel(); p.Kill() }, func(err error) bool { return errors.Is(err, executor.ErrStopped) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, e := pool(t, ""), newEar()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() {
				_, err := p.Run(ctx, job(t, c.how), e)
				done <- err
			}()
			var f family
			if c.disturb != nil {
				<-e.ready
				f = hold(t, append(p.PIDs(), e.pids...)...)
				if len(f.fds) < 2*spreads {
					t.Errorf("only %d processes", len(f.fds))
				}
				if c.name == "it is stopped" {
					f.fds = f.fds[1:] // the worker stays for the next part
				}
				c.disturb(p, cancel)
			}
			if err := <-done; !c.check(err) {
				t.Errorf("ended with %v", err)
			}
			if c.disturb == nil {
				f = hold(t, e.pids...)
			}
			f.gone(t)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWhatIsPrintedIsNoMessage holds that stdout and stdin are not the protocol's.
func TestWhatIsPrintedIsNoMessage(t *testing.T) {
	p := pool(t, "")
	for _, how := range []string{"print", "core"} {
		if _, err := p.Run(t.Context(), job(t, how), newEar()); err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
	p.mu.Lock()
	said := strings.Join(p.idle[0].stderr.lines(), "|")
	p.mu.Unlock()
	if !strings.Contains(said, "not a message") {
		t.Errorf("stderr holds %q", said)
	}
}

// TestSickWorker holds that whatever a worker does the part ends, and so does the pool.
func TestSickWorker(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"no message", "echo tudo bem; sleep 1000", `it wrote "tudo bem" where a message belongs`},
		{"an empty message", "echo '{}'; sleep 1000", "it wrote a message that says nothing"},
		{"stdout closed", "exec >&-; sleep 1000", "ended in the middle of the part"},
		{"gone at once", "exit 4", "ended in the middle of the part (exit status 4)"},
		{"gone, with a child at its stdout and stderr", "setsid sleep 1000 & exit 4", "ended in the middle of the part (exit status 4)"},
		{"neither reads nor writes", "sleep 1000", "stopped"},
		{"keeps signals off", "trap '' TERM HUP INT; while :; do sleep 1; done", "stopped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pool(t, c.script)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.want == "stopped" {
				cancel()
			}
			j := job(t, "")
			j.Spec.Outputs = []string{strings.Repeat("x", 1<<20)} // more than a pipe holds
			_, err := p.Run(ctx, j, newEar())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ended with %v; want %q", err, c.want)
			}
			if n := len(p.PIDs()); n != 0 {
				t.Errorf("%d workers are left", n)
			}
		})
	}
}

// TestDeafPart holds that a part which does not stop when told to is killed after the
// grace, and that a worker at such a part does not keep the pool from closing.
func TestDeafPart(t *testing.T) {
	for _, stop := range []bool{true, false} {
		p, e := pool(t, ""), newEar()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() {
			_, err := p.Run(ctx, job(t, "deaf"), e)
			done <- err
		}()
		<-e.ready
		f := hold(t, p.PIDs()...)
		if stop {
			cancel()
			if err := <-done; !errors.Is(err, executor.ErrStopped) {
				t.Errorf("ended with %v", err)
			}
		}
		p.Close()
		f.gone(t)
	}
}

// TestMemoryLimit holds that a part which uses too much is killed, also when it is a
// child that does, and that the garbage of one that does not is no use.
func TestMemoryLimit(t *testing.T) {
	for _, c := range []struct {
		how  string
		over bool
	}{{"swell", true}, {"child swells", true}, {"garbage", false}} {
		p := pool(t, "")
		j := job(t, c.how)
		j.Memory = 200 << 20
		_, err := p.Run(t.Context(), j, newEar())
		var over *executor.OverMemory
		if errors.As(err, &over) != c.over || !c.over && err != nil {
			t.Errorf("%s: ended with %v", c.how, err)
		}
		if c.over && (over.Used <= over.Limit || over.Limit != j.Memory) {
			t.Errorf("%s: %+v", c.how, over)
		}
	}
}
