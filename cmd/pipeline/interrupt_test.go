package main

import (
	"database/sql"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	_ "github.com/mattn/go-sqlite3"
)

// TestThirdInterrupt holds that the third interrupt ends a run that cannot end well: here
// somebody else has the ledger. The run that comes next goes on.
func TestThirdInterrupt(t *testing.T) {
	s := newSandbox(t)
	g := newGates(s)
	s.write("p.yaml", "pipeline: p\nstages:\n"+g.stage("x", "x"))
	r := s.start("p.yaml")
	g.wait("x", 1)
	db, err := sql.Open("sqlite3", filepath.Join(s.dir, ".pipeline", "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	h := s.processes()
	r.cmd.Process.Signal(syscall.SIGINT)
	r.says("interrupted: waiting for 1 part to stop")
	r.cmd.Process.Signal(syscall.SIGINT)
	h.without(held{r.cmd.Process.Pid: 0}).gone(t) // the workers, at once
	r.cmd.Process.Signal(syscall.SIGINT)
	for range r.lines {
	}
	r.cmd.Wait()
	if code := r.cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if _, err := db.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	g.pass("x")
	if ran := ranParts(s.run("p.yaml")); ran["x"] != 1 {
		t.Errorf("the next run ran %v", ran)
	}
}

// TestInterruptOfQuietCommands holds that a command which looks and changes nothing ends
// when it is interrupted, wherever it is: here nobody reads what it prints.
func TestInterruptOfQuietCommands(t *testing.T) {
	s := newSandbox(t)
	s.write("p.yaml", "pipeline: p\nstages:\n  x: {uses: command, with: {run: \"seq 1 40000; echo 1 > {out}/f\"}}\n")
	s.run("p.yaml")
	cmd := s.command("log", "x")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(syscall.SIGINT)
	state, err := cmd.Process.Wait() // not Cmd.Wait, which would read what is left
	if err != nil || state.ExitCode() != exitInterrupted {
		t.Errorf("%v, %v", state, err)
	}
}

// TestLimits holds what is said of parts over their limits, and that the run goes on
// beside them.
func TestLimits(t *testing.T) {
	s := newSandbox(t)
	s.write("p.yaml", `pipeline: p
stages:
  big:
    uses: command
    resources: {memory: 100MiB}
    with: {run: "sh -c 'x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done'; true"}
  slow:
    uses: command
    timeout: 200ms
    with: {run: "sh -c 'sleep 1000; true'; true"}
  slower:
    uses: command
    resources: {time: 200ms}
    with: {run: "sleep 1000; true"}
  fine: {uses: command, with: {run: "echo 1 > {out}/f"}}
`)
	code, out, stderr := s.pipeline("run", "p.yaml", "--keep-going")
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"its limit is 100 MiB (resources.memory of stage big, p.yaml:3:3): raise the limit, or give a part less to do",
		"it took longer than its limit of 200ms (timeout of stage slow, p.yaml:7:3): raise the limit, or give a part less to do",
		"it took longer than its limit of 200ms (resources.time of stage slower, p.yaml:11:3): raise",
	} {
		if n := strings.Count(stderr, want); n != 1 {
			t.Errorf("%d times %q in\n%s", n, want, stderr)
		}
	}
	if !strings.Contains(out, "fine ") {
		t.Error(out)
	}
	for pid := range s.processes() {
		t.Errorf("process %d is left", pid)
	}
}

// TestCommandSaysItOnce holds that the end of a command's log is told once.
func TestCommandSaysItOnce(t *testing.T) {
	s := newSandbox(t)
	s.write("p.yaml", "pipeline: p\nstages:\n  x: {uses: command, with: {run: \"echo so was; exit 3\"}}\n")
	_, _, stderr := s.pipeline("run", "p.yaml")
	if n := strings.Count(stderr, "so was"); n != 1 {
		t.Errorf("it is told %d times:\n%s", n, fmt.Sprint(stderr))
	}
}
