//go:build unix

package command

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A traced command runs under strace, which tells of every call that could reach a file's
// content or a directory's names. With --seccomp-bpf the kernel stops the command at
// these calls alone, so that computing and reading cost nothing; opening a file and
// starting a program do. The tracer is a process of its own beside the command (-DD), so
// that the command's parent, group and signals are as they are without it.

// traced are the calls: what opens, lists, runs, or gives a file another name, and what
// says in which directory relative paths start.
const traced = "open,openat,openat2,creat,getdents,getdents64,execve,execveat,link,linkat,rename,renameat,renameat2,mkdir,mkdirat," +
	"chdir,fchdir,fork,vfork,clone,clone3"

var errNoStrace = errors.New("strace is not installed (Debian and Ubuntu: apt-get install strace)")

// strace gives the path of the tracer, or says why there is none.
var strace = sync.OnceValues(func() (string, error) {
	path, err := exec.LookPath("strace")
	if err != nil {
		return "", errNoStrace
	}
	if out, err := exec.Command(path, append(traceArgs("/dev/null"), "/bin/sh", "-c", ":")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("strace may not trace here: %w: %s", err, bytes.TrimSpace(out))
	}
	return path, nil
})

func traceArgs(out string) []string {
	return []string{"-DD", "-f", "-qq", "-y", "--seccomp-bpf", "-e", "signal=none", "-e", "trace=" + traced, "-o", out, "--"}
}

// tracer gathers what one traced command did.
type tracer struct {
	path  string
	r, w  *os.File
	trace *trace
	done  chan error
}

// newTracer makes a tracer. outside says which paths are of interest.
func newTracer(dir string, outside func(string) bool) (*tracer, error) {
	path, err := strace()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t := &tracer{path: path, r: r, w: w, trace: newTrace(dir, outside), done: make(chan error, 1)}
	go func() { t.done <- t.trace.read(r) }()
	return t, nil
}

// command is what runs argv under the tracer. strace opens this process's end of the pipe
// by its name, so that the command inherits nothing of it.
func (t *tracer) command(argv []string) []string {
	out := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), t.w.Fd())
	return append(append([]string{t.path}, traceArgs(out)...), argv...)
}

// finish waits for the tracer, when the command and its group are over.
func (t *tracer) finish() error {
	t.w.Close()
	defer t.r.Close() // ends a tracer that goes on with what fled the group
	t.r.SetReadDeadline(time.Now().Add(patience))
	err := <-t.done
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // all that the command did before it ended was heard
	}
	return err
}

// trace is what was read from strace so far. Paths of no interest are not kept.
type trace struct {
	outside func(string) bool
	start   string
	cwd     map[string]string // by pid, as far as known
	half    map[string]string // by pid: a call that has not returned
	forking []string          // pids that are in a call of the fork family

	made map[string]bool // begun empty by the command itself; what follows was not, by then

	reads  map[string]bool // opened to read, run, or linked to
	listed map[string]bool // directories
	missed map[string]bool // not there when it was to be opened
}

func newTrace(dir string, outside func(string) bool) *trace {
	return &trace{outside: outside, start: dir, cwd: map[string]string{}, half: map[string]string{},
		reads: map[string]bool{}, listed: map[string]bool{}, missed: map[string]bool{}, made: map[string]bool{}}
}

func (t *trace) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			t.line(strings.TrimSuffix(line, "\n"))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the trace: %w", err)
		}
	}
}

// line takes one line: "PID  call(arguments) = result", or one of the halves into which
// strace cuts a call when another process says something in between.
func (t *trace) line(s string) {
	pid, s, ok := strings.Cut(s, " ")
	if !ok {
		return
	}
	s = strings.TrimLeft(s, " ")
	if _, known := t.cwd[pid]; !known {
		t.cwd[pid] = t.start
		if n := len(t.forking); n > 0 { // heard of before the fork has returned
			t.cwd[pid] = t.cwd[t.forking[n-1]]
		}
	}
	if first, ok := strings.CutSuffix(s, "<unfinished ...>"); ok {
		t.half[pid] = strings.TrimRight(first, " ")
		if forks(first) {
			t.forking = append(t.forking, pid)
		}
		return
	}
	if rest, ok := strings.CutPrefix(s, "<... "); ok {
		if _, rest, ok = strings.Cut(rest, " resumed>"); !ok {
			return
		}
		s = t.half[pid] + rest
		delete(t.half, pid)
		if forks(s) {
			t.forking = remove(t.forking, pid)
		}
	}
	if name, rest, ok := strings.Cut(s, "("); ok {
		if c, ok := parseCall(name, rest); ok {
			t.call(pid, &c)
		}
	}
}

func forks(s string) bool {
	return strings.HasPrefix(s, "fork") || strings.HasPrefix(s, "vfork") || strings.HasPrefix(s, "clone")
}

func remove(l []string, s string) []string {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i] == s {
			return append(l[:i:i], l[i+1:]...)
		}
	}
	return l
}

// call is a call that has returned.
type call struct {
	name    string
	fds     []string // paths of the descriptors among the arguments, in order
	strings []string // texts among them
	flags   string   // all else
	failed  bool
	result  string // number or error
	real    string // path of the descriptor returned
}

// parseCall reads the arguments and the result of a call.
func parseCall(name, s string) (c call, ok bool) {
	c.name = name
	var flags strings.Builder
	depth, i := 1, 0
	for i < len(s) && depth > 0 {
		switch s[i] {
		case '"':
			text, n := unquote(s[i+1:], '"')
			c.strings = append(c.strings, text)
			i += n + 1
			continue
		case '<':
			text, n := unquote(s[i+1:], '>')
			c.fds = append(c.fds, text)
			i += n + 1
			continue
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		}
		flags.WriteByte(s[i])
		i++
	}
	if depth > 0 {
		return c, false
	}
	c.flags = flags.String()
	_, result, ok := strings.Cut(s[i:], "= ")
	if !ok {
		return c, false
	}
	if at := strings.IndexByte(result, '<'); at >= 0 && !strings.Contains(result[:at], " ") {
		c.real, _ = unquote(result[at+1:], '>')
		result = result[:at]
	}
	number, why, _ := strings.Cut(result, " ")
	if c.result = number; strings.HasPrefix(number, "-") || number == "?" {
		c.failed = true
		c.result, _, _ = strings.Cut(why, " ")
	}
	return c, true
}

// unquote reads up to the end character, and says how many bytes that were with it.
func unquote(s string, end byte) (text string, n int) {
	var b strings.Builder
	for n < len(s) && s[n] != end {
		if s[n] != '\\' || n+1 == len(s) {
			b.WriteByte(s[n])
			n++
			continue
		}
		n++
		switch e := s[n]; {
		case e >= '0' && e <= '7':
			x := 0
			for k := 0; k < 3 && n < len(s) && s[n] >= '0' && s[n] <= '7'; k++ {
				x = x<<3 | int(s[n]-'0')
				n++
			}
			b.WriteByte(byte(x))
			continue
		case e == 'n':
			b.WriteByte('\n')
		case e == 't':
			b.WriteByte('\t')
		case e == 'r':
			b.WriteByte('\r')
		case e == 'v':
			b.WriteByte('\v')
		case e == 'f':
			b.WriteByte('\f')
		default:
			b.WriteByte(e)
		}
		n++
	}
	return b.String(), min(n+1, len(s))
}

// call takes into account what a call did.
func (t *trace) call(pid string, c *call) {
	at := func(i int) string { // the directory of the i-th path
		if strings.Contains(c.flags, "AT_FDCWD") && len(c.fds) > 0 && strings.HasPrefix(c.flags, "AT_FDCWD") {
			t.cwd[pid] = c.fds[0]
		}
		if i < len(c.fds) {
			return c.fds[i]
		}
		return t.cwd[pid]
	}
	path := func(i int) string {
		if i >= len(c.strings) {
			return ""
		}
		return join(at(i), c.strings[i])
	}
	switch c.name {
	case "fork", "vfork", "clone", "clone3":
		if !c.failed {
			t.cwd[c.result] = t.cwd[pid]
		}
	case "chdir":
		if !c.failed && len(c.strings) > 0 {
			t.cwd[pid] = join(t.cwd[pid], c.strings[0])
		}
	case "fchdir":
		if !c.failed && len(c.fds) > 0 {
			t.cwd[pid] = c.fds[0]
		}
	case "open", "openat", "openat2", "creat":
		t.open(c, path(0))
	case "getdents", "getdents64":
		if !c.failed && len(c.fds) > 0 && !t.made[c.fds[0]] {
			t.note(t.listed, c.fds[0])
		}
	case "mkdir", "mkdirat":
		if !c.failed {
			t.note(t.made, path(0))
		}
	case "execve", "execveat":
		if !c.failed {
			t.note(t.reads, path(0))
		}
	case "link", "linkat":
		if !c.failed {
			t.note(t.reads, path(0)) // by its other name it can be read unseen
		}
	case "rename", "renameat", "renameat2":
		if old := path(0); !c.failed && t.made[old] {
			t.note(t.made, path(1))
		}
	}
}

func (t *trace) open(c *call, path string) {
	has := func(flag string) bool { return strings.Contains(c.flags, flag) }
	switch {
	case c.failed:
		if c.result == "ENOENT" && !has("O_CREAT") && c.name != "creat" && !t.made[path] {
			t.note(t.missed, path)
		}
		return
	case has("O_PATH"), has("O_TMPFILE"):
		return
	}
	if c.real != "" {
		path = c.real
	}
	switch {
	case c.name == "creat", has("O_TRUNC"), has("O_CREAT") && has("O_EXCL"):
		t.note(t.made, path)
	case !has("O_WRONLY") && !t.made[filepath.Clean(path)]:
		t.note(t.reads, path)
	}
}

// note keeps a path, if it is one and of interest.
func (t *trace) note(in map[string]bool, path string) {
	if strings.HasPrefix(path, "/") { // else a pipe, a socket, an unknown directory
		if path = filepath.Clean(path); t.outside(path) {
			in[path] = true
		}
	}
}

func join(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
