package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ptbr-slm/pipeline/dag/executor/process"
	"golang.org/x/sys/unix"
)

// held is processes that are held by a descriptor, so that their numbers stay theirs.
type held map[int]int // pid → pidfd

// processes holds all that work in the sandbox: coordinators, workers, commands and what
// these have started.
func (s *sandbox) processes() held {
	s.t.Helper()
	all, err := process.All()
	if err != nil {
		s.t.Fatal(err)
	}
	h := held{}
	for _, p := range all {
		dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.PID))
		if err != nil || dir != s.dir && !strings.HasPrefix(dir, s.dir+"/") {
			continue
		}
		if fd, err := unix.PidfdOpen(p.PID, 0); err == nil {
			s.t.Cleanup(func() { unix.Close(fd) })
			h[p.PID] = fd
		}
	}
	return h
}

func (h held) without(o held) held {
	r := held{}
	for pid, fd := range h {
		if _, ok := o[pid]; !ok {
			r[pid] = fd
		}
	}
	return r
}

// gone holds that all of them are dead within 5 s.
func (h held) gone(t *testing.T) {
	t.Helper()
	for pid, fd := range h {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 5000); n == 0 || err != nil && err != unix.EINTR {
			cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			t.Errorf("process %d (%.80q) is still there", pid, cmd)
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// TestNothingOutlivesItsCoordinator kills a coordinator with eight workers at work, each
// on a command that has started children, some of them in the background, in sessions of
// their own, or with parents that ended; then workers instead of the coordinator. What
// they have started must be gone within 5 s.
func TestNothingOutlivesItsCoordinator(t *testing.T) {
	const workers = 8
	commands := []string{
		"sleep 1000; true",
		"sh -c 'sleep 1000; true'; true",
		"sh -c 'sleep 1000; true' & sh -c 'sleep 1000; true'",
		"setsid sh -c 'sleep 1000; true' & wait",
		"sh -c 'sleep 1000 &'; sleep 1000; true",
		"setsid sh -c 'sh -c \\\"sleep 1000; true\\\" &'; sleep 1000; true",
		"sh -c 'trap : TERM HUP INT; while :; do sleep 1000; done'; true",
		"sleep 1000 | sleep 1000 | cat; true",
	}
	for _, kill := range []string{"the coordinator", "the workers", "the workers, stopped before"} {
		t.Run(kill, func(t *testing.T) {
			s := newSandbox(t)
			came := filepath.Join(s.dir, "came")
			var b strings.Builder
			b.WriteString("pipeline: p\nstages:\n")
			for i := range workers {
				fmt.Fprintf(&b, "  s%d: {uses: command, with: {env: {C: %q}, run: \"echo > $C/%d; %s\"}}\n", i, came, i, commands[i%len(commands)])
			}
			s.write("p.yaml", b.String())
			s.write("came/.keep", "")
			w := watch(t, came)
			defer w.close()
			cmd := s.command("run", "p.yaml", "--jobs", fmt.Sprint(workers), "--keep-going")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				cmd.Wait()
				w.stop()
				close(done)
			}()
			for range workers {
				if !w.next() {
					t.Fatalf("the run ended, exit code %d", cmd.ProcessState.ExitCode())
				}
			}
			// A shell says that it is there before it starts what follows.
			h := s.processes()
			for len(h) < 1+2*workers+12 {
				h = s.processes()
			}
			all, err := process.All()
			if err != nil {
				t.Fatal(err)
			}
			killed := 0
			if kill == "the coordinator" {
				killed = workers
				cmd.Process.Kill()
			} else {
				for _, p := range all {
					if p.Parent == cmd.Process.Pid {
						killed++
						if strings.Contains(kill, "stopped") {
							syscall.Kill(p.PID, syscall.SIGSTOP)
						}
						syscall.Kill(p.PID, syscall.SIGKILL)
					}
				}
			}
			if killed != workers {
				t.Errorf("%d workers", killed)
			}
			h.gone(t)
			<-done
			if code := cmd.ProcessState.ExitCode(); kill != "the coordinator" && code != exitFailed {
				t.Errorf("exit code %d", code)
			}
			later := s.processes().without(h) // what had not started yet when we looked
			later.gone(t)
			for pid := range s.processes() {
				cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				t.Errorf("process %d (%.80q) came afterwards", pid, cmd)
			}
			t.Logf("%d processes were ended", len(h)+len(later))
		})
	}
}
