package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ptbr-slm/pipeline/artifacts"
	"golang.org/x/sys/unix"
)

// killPoints is at how many points of a run the coordinator, or a worker, is killed.
const killPoints = 20

// TestKillAnywhere kills the coordinator or a worker with SIGKILL at points spread over
// a whole run, from the first file in the store to the last, training and publishing
// among them. Running again must end with the digests of an undisturbed run.
//
// A point is the n-th change that inotify sees in the store: an object renamed into its
// place, a checkpoint written, a file made in a work directory.
func TestKillAnywhere(t *testing.T) {
	if underRace {
		t.Skip("walked by the plain suite")
	}
	want, events := "", 0
	{
		s := smallSandbox(t)
		n, code := s.runKilledAt(0, false)
		if code != 0 {
			t.Fatal("the undisturbed run failed")
		}
		want, events = digests(s.run("small.yaml")), n
	}
	t.Logf("an undisturbed run makes %d changes in the store", events)
	resumed := 0
	for i := range killPoints {
		at := 1 + i*events/killPoints
		worker := i%2 == 1
		s := smallSandbox(t)
		_, code := s.runKilledAt(at, worker)
		d := s.run("small.yaml")
		if got := digests(d); got != want {
			t.Errorf("killed at change %d of %d (worker: %v, exit code %d):\n%s\nundisturbed:\n%s", at, events, worker, code, got, want)
		}
		if ran := ranParts(d); ran["train"] == 1 && ran["tokens"] == 0 {
			resumed++
		}
		if ran := ranParts(s.run("small.yaml")); len(ran) > 0 {
			t.Errorf("killed at change %d: the run after the next ran %v", at, ran)
		}
	}
	if resumed == 0 {
		t.Error("no kill hit the training; are there checkpoints?")
	}
}

// smallSandbox is a pipeline of every stage kind that matters here, on little text.
func smallSandbox(t *testing.T) *sandbox {
	s := newSandbox(t)
	b, err := os.ReadFile(filepath.Join("testdata", "small.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("small.yaml", string(b))
	s.copy("ptwiki-berlim-rev56220935.xml.bz2", "berlim-1.xml.bz2")
	s.copy("ptwiki-berlim-rev62017799.xml.bz2", "berlim-2.xml.bz2")
	s.write("texts.jsonl", smallTexts(12))
	return s
}

// smallTexts makes n documents of sentences in made-up words, no two documents alike.
func smallTexts(n int) string {
	syllables := strings.Fields("ca sa me ni no do lu ra vi to pe ra go mi la que ção dor ma ri bo tu gá fé")
	var b strings.Builder
	for i := range n {
		x := uint64(i + 1)
		next := func(below int) int {
			x = x*6364136223846793005 + 1442695040888963407
			return int((x >> 33) % uint64(below))
		}
		fmt.Fprintf(&b, `{"id": "texto-%02d", "title": "Texto %d", "text": "`, i, i)
		for range 40 {
			for w := range 6 + next(9) {
				word := ""
				for range 1 + next(4) {
					word += syllables[next(len(syllables))]
				}
				b.WriteString([]string{word, " " + word, " de " + word, " que " + word, " " + word}[min(w, 1)*(1+next(4))])
			}
			b.WriteString(". ")
		}
		b.WriteString("\"}\n")
	}
	return b.String()
}

// runKilledAt runs the pipeline and, at the n-th change in its store, kills the
// coordinator or one of its workers; n = 0 kills nobody. It returns how many changes
// there were, and the exit code.
func (s *sandbox) runKilledAt(n int, worker bool) (events, code int) {
	s.t.Helper()
	store := filepath.Join(s.dir, ".pipeline")
	st, err := artifacts.Open(store, artifacts.Options{CreateIfMissing: true})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		s.t.Fatal(err)
	}
	w := watch(s.t, store)
	defer w.close()
	cmd := s.command("run", "small.yaml")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		w.stop()
		close(done)
	}()
	for w.next() {
		events++
		if events != n {
			continue
		}
		victim := cmd.Process.Pid
		if worker {
			victim = childOf(victim)
		}
		if victim != 0 {
			syscall.Kill(victim, syscall.SIGKILL)
		}
	}
	<-done
	code = cmd.ProcessState.ExitCode()
	if n == 0 && code != 0 {
		s.t.Fatalf("exit code %d\n%s", code, out.String())
	}
	return events, code
}

// childOf finds the newest child process of pid, or 0.
func childOf(pid int) (child int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range dirs {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		// pid (name) state ppid …; the name may hold anything but ends at the last ).
		rest := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(rest) < 2 || rest[1] != strconv.Itoa(pid) {
			continue
		}
		if p, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
			child = max(child, p)
		}
	}
	return child
}

// watcher counts changes below a directory, directories made later included.
type watcher struct {
	t     *testing.T
	fd    int
	wake  [2]*os.File // a pipe; files, so that a stop that comes too late does not write to another's descriptor
	dirs  map[int32]string
	buf   []byte
	names int // changes read and not counted yet
}

func watch(t *testing.T, root string) *watcher {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{t: t, fd: fd, dirs: map[int32]string{}, buf: make([]byte, 64<<10)}
	if w.wake[0], w.wake[1], err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	w.add(root)
	return w
}

func (w *watcher) add(root string) {
	filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // gone again already
		}
		if wd, err := unix.InotifyAddWatch(w.fd, p, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR); err == nil {
			w.dirs[int32(wd)] = p
		}
		return nil
	})
}

// next waits for one more change; false once stop was called and all are read.
func (w *watcher) next() bool {
	for w.names == 0 {
		n, err := unix.Read(w.fd, w.buf)
		if err == unix.EAGAIN {
			fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}, {Fd: int32(w.wake[0].Fd()), Events: unix.POLLIN}}
			if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
				w.t.Fatal(err)
			}
			if fds[1].Revents != 0 && fds[0].Revents == 0 {
				return false
			}
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		for b := w.buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			wd, mask, size := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[12:])
			name := string(bytes.TrimRight(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], "\x00"))
			b = b[unix.SizeofInotifyEvent+size:]
			w.names++
			if mask&unix.IN_ISDIR != 0 {
				w.add(filepath.Join(w.dirs[wd], name))
			}
		}
	}
	w.names--
	return true
}

func (w *watcher) stop() { w.wake[1].Write([]byte{0}) }

func (w *watcher) close() {
	unix.Close(w.fd)
	w.wake[0].Close()
	w.wake[1].Close()
}

// TestNoWorkerOutlivesItsCoordinator kills a coordinator in the middle of its work.
func TestNoWorkerOutlivesItsCoordinator(t *testing.T) {
	s := smallSandbox(t)
	s.write("p.yaml", "pipeline: p\nstages:\n  wait: {uses: command, with: {run: \"sleep 1000\"}}\n")
	cmd := s.command("run", "p.yaml")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := watch(t, s.dir)
	defer w.close()
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		w.stop()
		close(done)
	}()
	worker := 0
	for worker == 0 && w.next() {
		worker = childOf(cmd.Process.Pid)
	}
	if worker == 0 {
		t.Fatalf("the run ended without a worker, exit code %d", cmd.ProcessState.ExitCode())
	}
	cmd.Process.Kill()
	<-done
	fd, err := unix.PidfdOpen(worker, 0)
	if err != nil {
		return // it is gone
	}
	defer unix.Close(fd)
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 5000); n == 0 || err != nil {
		t.Errorf("worker %d is still there 5 s after its coordinator was killed", worker)
	}
}
