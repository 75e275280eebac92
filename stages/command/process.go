//go:build unix

package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	patience = 3 * time.Second // between asking a command to end and ending it
	lastSaid = 20              // lines of the log that an error repeats
	longest  = 16 << 10        // bytes of a line in the log
)

// run runs a script and hands on each line it says. The command leads a process group
// of its own: when ctx ends the whole group is asked to end, then killed; when the
// command is over, what it left behind is killed too. On Linux the command also dies
// with this process.
// A tracer, if there is one, follows all of it.
func run(ctx context.Context, script, dir string, env []string, tr *tracer, logf func(string, ...any)) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	argv := []string{"/bin/sh", "-e", "-c", script}
	if tr != nil {
		argv = tr.command(argv)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = attributes()

	// The kernel means the thread when it speaks of the parent whose death is told, so
	// that this one must last as long as the command.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		w.Close()
		if tr != nil {
			err = errors.Join(err, tr.finish())
		}
		return fmt.Errorf("command: %w", err)
	}
	w.Close()
	group := -cmd.Process.Pid

	over := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-over:
			return
		case <-ctx.Done():
		}
		syscall.Kill(group, syscall.SIGTERM)
		select {
		case <-over:
		case <-time.After(patience):
			syscall.Kill(group, syscall.SIGKILL)
		}
	}()
	said := make(chan []string)
	go func() { said <- listen(r, logf) }()

	err = cmd.Wait()
	close(over)
	<-watched
	syscall.Kill(group, syscall.SIGKILL)
	// What fled the group may hold the pipe open still.
	r.SetReadDeadline(time.Now().Add(patience))
	last := <-said
	if tr != nil {
		err = errors.Join(err, tr.finish())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return ended(err, last)
}

// ended says how a command ended that ended badly.
func ended(err error, last []string) error {
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("command: %w", err)
	}
	how := fmt.Sprintf("ended with exit code %d", exit.ExitCode())
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		how = fmt.Sprintf("was killed by signal %d (%s)", s.Signal(), s.Signal())
	}
	if len(last) == 0 {
		return fmt.Errorf("command %s and said nothing", how)
	}
	return fmt.Errorf("command %s; it said last:\n%s", how, strings.Join(last, "\n"))
}

// listen logs what comes line by line, and returns the last lines.
func listen(r io.Reader, logf func(string, ...any)) (last []string) {
	in := bufio.NewReaderSize(r, longest)
	for {
		b, err := in.ReadSlice('\n')
		if len(b) > 0 {
			line := strings.ToValidUTF8(strings.TrimRight(string(b), "\r\n"), "\ufffd")
			logf("%s", line)
			if last = append(last, line); len(last) > lastSaid {
				last = last[1:]
			}
		}
		// A line longer than the buffer goes on in the next.
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return last
		}
	}
}
