//go:build linux

package command

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
)

func needStrace(t *testing.T) {
	t.Helper()
	if _, err := strace(); err != nil {
		t.Skip(err)
	}
}

func watching(run, undeclared string, allow ...string) Config {
	return config(run, func(c *Config) { c.Env, c.Undeclared, c.Allow = nil, undeclared, append([]string{}, allow...) })
}

// elsewhere makes files outside all that a command may read.
func elsewhere(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What counts as an undeclared input, and what does not, of real programs.
func TestUndeclared(t *testing.T) {
	needStrace(t)
	for _, c := range []struct {
		name, run string
		want      string // paths below D, "absent:" before one that was not there
	}{
		{"inputs, scripts, outputs and its own files", `cat in/a.txt > out/x; sh scripts/s.sh; cat out/x > tmp/y; cat tmp/y; cp tmp/y z; cat z; find . | sort; mktemp | xargs cat`, ""},
		{"the system", `cat /etc/hostname /proc/self/status > /dev/null; ls /usr/bin | head -n 1; awk 'BEGIN{}' /dev/null`, ""},
		{"a file", `cat D/lex`, "lex"},
		{"by a redirection of the shell", `read x < D/lex; echo $x > out/x`, "lex"},
		{"relative, after changes of directory", `cd D; (cd d/e; cat ../../lex d); cat d/e/d`, "d/e/d lex"},
		{"in a pipe of children", `(cat D/lex | sort) & wait`, "lex"},
		{"a name with all that is odd", `cat 'D/a "b\ <c>) = 3
ç'`, "a \"b\\ <c>) = 3\nç"},
		{"through a link", `ln -s D/lex l; cat l`, "lex"},
		{"by another name", `ln D/lex in/h 2>/dev/null || cp D/lex in/h; cat in/h`, "lex"},
		{"a program", `D/bin/true`, "bin/true"},
		{"a program by a relative path", `cd D; ./bin/true`, "bin/true"},
		{"a script and what it sources", `D/s.sh`, "lex s.sh"},
		{"the names in a directory", `ls D/d`, "d"},
		{"a directory that is only walked through", `cd D/d; cd e; pwd -P`, ""},
		{"written, not read", `echo x > D/new; echo y >> D/new; mv D/new D/moved; cat D/moved; rm D/moved`, ""},
		{"read and written", `exec 3<> D/lex; echo x >&3`, "lex"},
		{"not there", `cat D/none || true`, "absent:none"},
		{"read, then written anew", `cat D/lex; echo x > D/lex`, "lex"},
		{"a directory of its own", `mkdir D/own; echo > D/own/x; ls D/own; cat D/own/none || true; rm -r D/own`, "absent:own/none"},
		{"not there, then made", `cat D/none || true; echo > D/none; cat D/none; rm D/none`, "absent:none"},
		{"many processes", `for i in 1 2 3 4 5 6 7 8; do (cd D; for j in 1 2 3; do cat lex d/e/d; done) & done; wait`, "d/e/d lex"},
		{"allowed", `cat D/ok/a/b D/o.txt D/k1/x`, ""},
		{"what a pattern does not reach", `cat D/o.txta D/k12/x`, "k12/x o.txta"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := elsewhere(t, map[string]string{"lex": "l", "d/e/d": "d", "a \"b\\ <c>) = 3\nç": "o", "s.sh": "#!/bin/sh\n. D/lex\n",
				"ok/a/b": "", "o.txt": "", "o.txta": "", "k1/x": "", "k12/x": ""})
			script := "#!/bin/sh\n. " + dir + "/lex\n"
			os.WriteFile(filepath.Join(dir, "s.sh"), []byte(script), 0o755)
			os.WriteFile(filepath.Join(dir, "lex"), []byte("true\n"), 0o644)
			b, err := os.ReadFile("/bin/true")
			if err != nil {
				t.Fatal(err)
			}
			os.Mkdir(filepath.Join(dir, "bin"), 0o755)
			if err := os.WriteFile(filepath.Join(dir, "bin/true"), b, 0o755); err != nil {
				t.Fatal(err)
			}
			r, err := stagetest.Try(t, Kind, watching(strings.ReplaceAll(c.run, "D", dir), undeclaredKey, dir+"/ok", dir+"/*.txt", dir+"/**/k?/x"),
				map[string][]stagetest.Input{"in": {file("a.txt", "a")}, "scripts": {file("s.sh", "true\n")}}, 1, false)
			if err != nil && strings.Contains(err.Error(), "changed while it ran") && strings.HasPrefix(c.name, "read") {
				return // which is what that deserves
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range r.Depends {
				name := strings.TrimPrefix(d.Path, dir+"/")
				if d.Digest == "absent" {
					name = "absent:" + name
				}
				got = append(got, name)
			}
			slices.Sort(got)
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("it depends on %q, want %q", s, c.want)
			}
		})
	}
}

func TestUndeclaredModes(t *testing.T) {
	needStrace(t)
	files := map[string]string{}
	for _, n := range strings.Split("abcdefghijklm", "") {
		files[n] = n
	}
	dir := elsewhere(t, files)
	run := "cat " + dir + "/* > out/x"

	r, err := stagetest.Try(t, Kind, watching(run, undeclaredWarn), nil, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Notices) != 1 || !strings.HasPrefix(r.Notices[0], "the command read 14 files that nothing declares: "+dir+", "+dir+"/a, ") ||
		!strings.HasSuffix(r.Notices[0], "and 4 more (see the log)") {
		t.Errorf("notices %q", r.Notices)
	}
	if r.Counts["undeclared/inputs"] != 14 || !slices.Contains(r.Log, "undeclared input: "+dir+"/m") || len(r.Depends) != 0 || outputs(r) != "x=abcdefghijklm" {
		t.Errorf("counts %v, log %q, depends %v", r.Counts, r.Log, r.Depends)
	}

	_, err = stagetest.Try(t, Kind, watching(run, undeclaredFail), nil, 1, false)
	if err == nil || !strings.Contains(err.Error(), "the command read 14 files that nothing declares; wire them to the port in or scripts as sources, or list them under allow") ||
		!strings.Contains(err.Error(), "\n"+dir+"/a\n") || !strings.HasSuffix(err.Error(), "\nand 4 more (see the log)") {
		t.Errorf("fail: %v", err)
	}
	if _, err = stagetest.Try(t, Kind, watching(run, undeclaredFail, dir), nil, 1, false); err != nil {
		t.Errorf("fail, all allowed: %v", err)
	}
	if r, err = stagetest.Try(t, Kind, watching(run, undeclaredIgnore), nil, 1, false); err != nil || len(r.Notices) != 0 {
		t.Errorf("ignore: %v %q", err, r.Notices)
	}

	// What changes while it is read has no digest.
	_, err = stagetest.Try(t, Kind, watching("sleep 0.1; cat "+dir+"/a; echo x >> "+dir+"/a", undeclaredKey), nil, 1, false)
	if err == nil || !strings.Contains(err.Error(), "which changed while it ran") {
		t.Errorf("changed: %v", err)
	}
}

// A traced command ends as it would without.
func TestTracedFailure(t *testing.T) {
	needStrace(t)
	for run, want := range map[string]string{
		"echo um; exit 3":  "exit code 3; it said last:\num",
		"nao-existe-mesmo": "exit code 127",
		"kill -9 $$":       "signal 9",
	} {
		if _, err := stagetest.Try(t, Kind, watching(run, undeclaredFail), nil, 1, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", run, err)
		}
	}
	// Nor does it see more: the same environment and the same open files.
	var saw []string
	for _, mode := range []string{undeclaredIgnore, undeclaredFail} {
		r, err := stagetest.Try(t, Kind, watching(`env | cut -d= -f1 | sort | tr '\n' ' ' > out/e; ls /proc/self/fd | tr '\n' ' ' > out/fd`, mode), nil, 1, false)
		if err != nil {
			t.Fatal(err)
		}
		saw = append(saw, outputs(r))
	}
	if saw[0] != saw[1] {
		t.Errorf("it sees %s, and traced %s", saw[0], saw[1])
	}
}

func tracedRun(ctx context.Context, t *testing.T, script, dir string) error {
	tr, err := newTracer(dir, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return run(ctx, script, dir, []string{"PATH=/usr/bin:/bin"}, tr, func(string, ...any) {})
}

func TestTracedCommandCanBeStopped(t *testing.T) {
	needStrace(t)
	needProc(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- tracedRun(ctx, t, `trap '' TERM; sh -c 'trap "" TERM; echo $$ > child; while :; do sleep 1; done' & while :; do sleep 1; done`, dir)
	}()
	child := pidIn(t, filepath.Join(dir, "child"))
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("ended with %v", err)
	}
	gone(t, child)

	if err := tracedRun(t.Context(), t, `sleep 1000 & echo $! > left`, dir); err != nil {
		t.Fatal(err)
	}
	gone(t, pidIn(t, filepath.Join(dir, "left")))
}

// A tracer that cannot be had is an error that says what to install, or a notice.
func TestWithoutStrace(t *testing.T) {
	was := strace
	defer func() { strace = was }()
	strace = func() (string, error) { return "", errNoStrace }
	for _, mode := range []string{undeclaredFail, undeclaredKey} {
		_, err := stagetest.Try(t, Kind, watching("true", mode), nil, 1, false)
		if err == nil || !strings.Contains(err.Error(), "undeclared: "+mode+" needs to see which files the command opens: strace is not installed (Debian and Ubuntu: apt-get install strace)") {
			t.Errorf("%s: %v", mode, err)
		}
	}
	r, err := stagetest.Try(t, Kind, watching("echo x > out/x", undeclaredWarn), nil, 1, false)
	if err != nil || len(r.Notices) != 1 || !strings.HasPrefix(r.Notices[0], "undeclared inputs are not looked for: strace is not installed") || outputs(r) != "x=x" {
		t.Errorf("warn: %v %q", err, r.Notices)
	}
}

func TestBadUndeclared(t *testing.T) {
	for want, c := range map[string]Config{
		`allow[1] "b" is no absolute path`:             watching("x", undeclaredFail, "/a", "b"),
		"allow means nothing with undeclared: ignore;": watching("x", undeclaredIgnore, "/a"),
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// Lines as strace writes them, also those that are cut in two.
func TestTraceLines(t *testing.T) {
	tr := newTrace("/w", func(string) bool { return true })
	for _, line := range strings.Split(`1  execve("/usr/bin/sh", ["sh"], 0x7ffd /* 35 vars */) = 0
1  openat(AT_FDCWD</w>, "in/a", O_RDONLY|O_CLOEXEC) = 3</w/in/a>
1  openat(AT_FDCWD</w>, "o\303\247\"\\\n\x", O_RDONLY) = 3</t/o\303\247"\74\76>
1  openat(AT_FDCWD</w>, "gone", O_RDONLY) = 3</t/gone>(deleted)
1  chdir("sub")  = 0
1  vfork( <unfinished ...>
2  execve("./p", ["./p"], 0x55 /* 1 var */ <unfinished ...>
1  <... vfork resumed>)              = 2
2  <... execve resumed>)             = 0
2  open("rel", O_RDONLY <unfinished ...>
1  creat("/made", 0666) = 4</made>
2  <... open resumed>)    = -1 ENOENT (No such file or directory)
2  open("/made", O_RDONLY) = 4</made>
2  openat2(5</d>, "x", {flags=O_RDONLY|O_CLOEXEC, resolve=RESOLVE_BENEATH}, 24) = 6</d/x>
2  rename("/made", "/made2") = 0
2  openat(AT_FDCWD</w/sub>, "/made2", O_RDONLY) = 4</made2>
2  openat(AT_FDCWD</w/sub>, "/rw", O_RDWR|O_CREAT, 0666) = 4</rw>
2  openat(AT_FDCWD</w/sub>, "/wo", O_WRONLY|O_CREAT|O_APPEND, 0666) = 4</wo>
2  openat(AT_FDCWD</w/sub>, "/p", O_RDONLY|O_PATH) = 4</p>
2  openat(AT_FDCWD</w/sub>, "/fifo", O_RDONLY) = 4<pipe:[1]>
2  openat(AT_FDCWD</w/sub>, "/denied", O_RDONLY) = -1 EACCES (Permission denied)
2  getdents64(4</dir>, 0x5 /* 3 entries */, 32768) = 72
2  getdents64(4</dir2>, 0x5, 32768) = -1 ENOTDIR (Not a directory)
3  clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD, stack=0x7f, stack_size=0x9000}, 88) = 9
3  fchdir(4</elsewhere>) = 0
3  execve("q", ["q"], 0x1 /* 1 var */) = 0
3  link("/l", "/l2") = 0
3  open("torn
garbage
4  <... read resumed>) = 1
4  open(`, "\n") {
		tr.line(line)
	}
	sorted := func(m map[string]bool) string {
		var l []string
		for p := range m {
			l = append(l, p)
		}
		slices.Sort(l)
		return strings.Join(l, " ")
	}
	if got, want := sorted(tr.reads), "/d/x /elsewhere/q /l /rw /t/gone /t/oç\"<> /usr/bin/sh /w/in/a /w/sub/p"; got != want {
		t.Errorf("read %q\nwant %q", got, want)
	}
	if got := sorted(tr.listed) + "|" + sorted(tr.missed) + "|" + sorted(tr.made); got != "/dir|/w/sub/rel|/made /made2" {
		t.Errorf("listed, missed, made %q", got)
	}
}

// Whatever stands in a trace, reading it ends and keeps only absolute, clean paths.
func FuzzTrace(f *testing.F) {
	f.Add("1  openat(AT_FDCWD</w>, \"a\", O_RDONLY) = 3</w/a>\n2  vfork( <unfinished ...>\n3  execve(\"x\") = 0\n2  <... vfork resumed>) = 3\n")
	f.Add("1  open(\"\\303\\\\\", {[(<\n1  <... open resumed>) = ? ERESTARTSYS\n")
	f.Fuzz(func(t *testing.T, s string) {
		tr := newTrace("/w", func(string) bool { return true })
		if err := tr.read(strings.NewReader(s)); err != nil {
			t.Fatal(err)
		}
		for _, m := range []map[string]bool{tr.reads, tr.listed, tr.missed, tr.made} {
			for p := range m {
				if !filepath.IsAbs(p) || filepath.Clean(p) != p {
					t.Fatalf("kept %q", p)
				}
			}
		}
	})
}

// The price of tracing, for docs/stages/command.md: go test -bench Traced ./stages/command
func BenchmarkTraced(b *testing.B) {
	if _, err := strace(); err != nil {
		b.Skip(err)
	}
	for name, script := range map[string]string{
		"200-programs": `i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done`,
		"compute":      `seq 1 200000 | sort -r | sort -n > x`,
	} {
		for _, traced := range []bool{false, true} {
			kind := map[bool]string{false: "/plain", true: "/traced"}[traced]
			b.Run(name+kind, func(b *testing.B) {
				dir := b.TempDir()
				for b.Loop() {
					var tr *tracer
					if traced {
						var err error
						if tr, err = newTracer(dir, func(string) bool { return true }); err != nil {
							b.Fatal(err)
						}
					}
					if err := run(b.Context(), script, dir, []string{"PATH=/usr/bin:/bin"}, tr, func(string, ...any) {}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
