package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
)

func config(run string, f func(*Config)) Config {
	c := Kind.Config.(Config)
	c.Run = run
	if f != nil {
		f(&c)
	}
	return c
}

func file(name, data string) stagetest.Input { return stagetest.Input{Name: name, Data: []byte(data)} }

func outputs(r *stagetest.Result) string {
	var s []string
	for _, o := range r.Out["out"] {
		s = append(s, o.Name+"="+strings.TrimSpace(string(o.Data)))
	}
	return strings.Join(s, " ")
}

func TestGolden(t *testing.T) {
	in := map[string][]stagetest.Input{
		"in":      {file("b.txt", "dois\n"), file("a.txt", "um\n")},
		"scripts": {file("conta.sh", "wc -l < \"$1\" | tr -d ' '\n")},
	}
	r := stagetest.Run(t, Kind, config(`
mkdir -p {out.out}/d
cat {in.in}/a.txt {in.in}/b.txt > {out.out}/d/todos.txt
sh {in.scripts}/conta.sh {out}/d/todos.txt > {out}/linhas
echo "${X} {part} $(echo ${Y:-nada}) {a,b}" > {out}/x
echo feito; echo aviso >&2`, func(c *Config) { c.Env["X"] = "a b" }), in)
	stagetest.Golden(t, Kind, r)
	if got, want := outputs(r), "d/todos.txt=um\ndois linhas=2 x=a b all nada {a,b}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if log := strings.Join(r.Log, "|"); log != "feito|aviso|feito|aviso" && log != "feito|aviso" {
		t.Errorf("log %q", log)
	}
}

func TestEach(t *testing.T) {
	r := stagetest.Run(t, Kind, config(`tr a-z A-Z < {file} > {out}/{part}.up; ls in | wc -l | tr -d ' ' > {out}/n-{part}`, func(c *Config) { c.Each = true }),
		map[string][]stagetest.Input{"in": {file("um.txt", "um"), file("it's 2.txt", "dois")}})
	if got, want := outputs(r), "n-um.txt=1 um.txt.up=UM it's 2.txt.up=DOIS n-it's 2.txt=1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(r.Parts) != 2 || r.Parts[0].Name != "um.txt" {
		t.Errorf("parts %+v", r.Parts)
	}
}

func TestNamesThatComeTwice(t *testing.T) {
	r := stagetest.Run(t, Kind, config(`cat $(find -L {in} -type f | sort) > {out}/x`, nil),
		map[string][]stagetest.Input{"in": {file("a", "2"), file("a", "1")}})
	if got := outputs(r); got != "x=12" && got != "x=21" {
		t.Errorf("got %q", got)
	}
}

func TestInputsAreFiles(t *testing.T) {
	stagetest.Run(t, Kind, config(`test -f {file}; test ! -L {file}; test ! -L scripts/s.sh; scripts/s.sh; echo y > {file}`, func(c *Config) { c.Each = true }),
		map[string][]stagetest.Input{"in": {file("d/a.txt", "x")}, "scripts": {file("s.sh", "#!/bin/sh\ntrue\n")}})
}

// Nothing of the host's environment reaches a command, and no absolute path that
// differs from run to run stands in what it is told.
func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET", "x")
	r := stagetest.Run(t, Kind, config(`env | cut -d= -f1 | grep -v -e ^PWD -e ^_ -e ^OLDPWD -e ^SHLVL | sort | tr '\n' ' ' > {out}/names
echo "$PATH $LANG $Z" > {out}/values; echo {in} {out} > {out}/paths; test "$HOME" = "$PWD"; test -w "$TMPDIR"; test ! -t 0`,
		func(c *Config) { c.Env = map[string]string{"Z": "z", "PATH": "/opt/x:/usr/bin:/bin"} }), map[string][]stagetest.Input{"in": {file("a", "")}})
	if got, want := outputs(r), "names=HOME LANG PATH TMPDIR Z paths=in out values=/opt/x:/usr/bin:/bin C.UTF-8 z"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFailure(t *testing.T) {
	for _, c := range []struct {
		name, run string
		want      []string
		not       string
	}{
		{"exit code", "echo um; seq 1 40; exit 3", []string{"exit code 3", "\n21\n", "\n40"}, "\n20\n"},
		{"the first failure ends it", "false; echo depois", []string{"exit code 1 and said nothing"}, "depois"},
		{"not found", "nao-existe-mesmo", []string{"exit code 127", "nao-existe-mesmo"}, "\x00"},
		{"signal", "kill -9 $$", []string{"signal 9"}, "\x00"},
		{"not UTF-8", `printf 'n\343o\n'; exit 1`, []string{"n\ufffdo"}, "\x00"},
		{"no file", "ln -s /etc/passwd {out}/x", []string{"out/x is not a regular file"}, "\x00"},
	} {
		_, err := stagetest.Try(t, Kind, config(c.run, nil), nil, 1, false)
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v does not say %q", c.name, err, w)
			}
		}
		if err != nil && strings.Contains(err.Error(), c.not) {
			t.Errorf("%s: %v says %q", c.name, err, c.not)
		}
	}
}

func TestLongLine(t *testing.T) {
	r := stagetest.Run(t, Kind, config("head -c 100000 /dev/zero | tr '\\0' x; echo; echo fim", nil), nil)
	n := 0
	for _, l := range r.Log {
		n += len(l)
	}
	if n%100003 != 0 || r.Log[len(r.Log)-1] != "fim" {
		t.Errorf("%d bytes in %d lines", n, len(r.Log))
	}
}

func TestBadConfig(t *testing.T) {
	_, err := New(Config{Run: "cat {in.docs} {file} > {out.x} ${in}", Env: map[string]string{"A-B": "", "C": "\x00"}})
	for _, w := range []string{"{in.docs}, which means nothing", "{file}, the one file of a part, without each", "{out.x}, which", "env.A-B", "env.C holds a zero byte"} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%v does not say %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "{in}") {
		t.Errorf("the shell's ${in} is taken for a placeholder: %v", err)
	}
	if _, err := New(Config{Run: " \n"}); err == nil {
		t.Error("an empty command passes")
	}
	for run, want := range map[string]string{"ls {in}": "nothing is wired to the port in", "ls {scripts}": "nothing is wired to the port scripts"} {
		if _, err := stagetest.Try(t, Kind, config(run, nil), nil, 1, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", run, err)
		}
	}
	if _, err := stagetest.Try(t, Kind, config("ls", func(c *Config) { c.Each = true }), nil, 1, false); err == nil || !strings.Contains(err.Error(), "there are none") {
		t.Errorf("each of nothing: %v", err)
	}
}

// alive says whether a process is there and no zombie.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func pidIn(t *testing.T, path string) int {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(path); err == nil && strings.HasSuffix(string(b), "\n") {
			n, err := strconv.Atoi(strings.TrimSpace(string(b)))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s was not written", path)
	return 0
}

func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if !alive(pid) {
			return
		}
	}
	syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("process %d lives on", pid)
}

func needProc(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("needs /proc")
	}
}

func TestCancelEndsTheGroup(t *testing.T) {
	needProc(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		// The command and its child both refuse to be asked.
		done <- run(ctx, `trap '' TERM; sh -c 'trap "" TERM; echo $$ > child; while :; do sleep 1; done' & while :; do sleep 1; done`, dir,
			[]string{"PATH=/usr/bin:/bin"}, nil, func(string, ...any) {})
	}()
	child := pidIn(t, filepath.Join(dir, "child"))
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	gone(t, child)
}

func TestWhatIsLeftBehindEnds(t *testing.T) {
	needProc(t)
	dir := t.TempDir()
	if err := run(t.Context(), `sleep 1000 & echo $! > child`, dir, []string{"PATH=/usr/bin:/bin"}, nil, func(string, ...any) {}); err != nil {
		t.Fatal(err)
	}
	gone(t, pidIn(t, filepath.Join(dir, "child")))
}

// A worker that is killed takes its command with it.
func TestCommandDiesWithItsParent(t *testing.T) {
	needProc(t)
	if dir := os.Getenv("COMMAND_TEST_PARENT"); dir != "" {
		run(context.Background(), `echo $$ > child; exec sleep 1000`, dir, []string{"PATH=/usr/bin:/bin"}, nil, func(string, ...any) {})
		return
	}
	dir := t.TempDir()
	parent := exec.Command(os.Args[0], "-test.run=^TestCommandDiesWithItsParent$")
	parent.Env = append(os.Environ(), "COMMAND_TEST_PARENT="+dir)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	child := pidIn(t, filepath.Join(dir, "child"))
	if !alive(child) {
		t.Fatal("the command is gone already")
	}
	parent.Process.Kill()
	parent.Wait()
	gone(t, child)
}

var _ stage.Splitter = (*Command)(nil)
