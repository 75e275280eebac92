package main

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	_ "github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"
)

const textPipeline = `pipeline: small
sources:
  text: {path: text.txt}
stages:
  parse: {uses: text-parse, from: {files: sources.text}, with: {source: text}}
  split: {uses: split, from: {docs: parse.docs}}
`

const wikiPipeline = `pipeline: small
sources:
  dump: {path: dump.xml.bz2}
stages:
  wiki: {uses: wiki-parse, from: {dump: sources.dump}}
`

// TestBadInput holds that each kind of bad input is met with one message that says what,
// where and what was expected, with the right exit code, and that mending the input is
// all it takes to go on.
func TestBadInput(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*sandbox)
		code  int
		want  []string // in the message
		mend  func(*sandbox)
	}{
		{
			name:  "missing source",
			spoil: func(s *sandbox) { os.Remove(filepath.Join(s.dir, "text.txt")) },
			code:  2, want: []string{"text.txt", "p.yaml:3:"},
			mend: func(s *sandbox) { s.write("text.txt", "um texto") },
		}, {
			name: "wrong sha256",
			spoil: func(s *sandbox) {
				s.edit("p.yaml", "path: text.txt", "path: text.txt, sha256: "+strings.Repeat("0", 64))
			},
			code: 2, want: []string{"text.txt", strings.Repeat("0", 64), "sha256"},
			mend: func(s *sandbox) { s.edit("p.yaml", ", sha256: "+strings.Repeat("0", 64), "") },
		}, {
			name:  "cycle",
			spoil: func(s *sandbox) { s.edit("p.yaml", "from: {docs: parse.docs}", "from: {docs: split.train}") },
			code:  2, want: []string{"p.yaml:6:", "split → split"},
			mend: func(s *sandbox) { s.edit("p.yaml", "split.train", "parse.docs") },
		}, {
			name:  "unknown stage kind",
			spoil: func(s *sandbox) { s.edit("p.yaml", "text-parse", "test-parse") },
			code:  2, want: []string{"p.yaml:5:", "test-parse", "did you mean `text-parse`?", "^"},
			mend: func(s *sandbox) { s.edit("p.yaml", "test-parse", "text-parse") },
		}, {
			name:  "unknown port",
			spoil: func(s *sandbox) { s.edit("p.yaml", "parse.docs", "parse.doc") },
			code:  2, want: []string{"p.yaml:6:", "`doc`", "docs"},
			mend: func(s *sandbox) { s.edit("p.yaml", "parse.doc", "parse.docs") },
		}, {
			name:  "unknown key",
			spoil: func(s *sandbox) { s.edit("p.yaml", "with: {source: text", "with: {sorce: text") },
			code:  2, want: []string{"p.yaml:5:", "sorce", "did you mean `source`?"},
			mend: func(s *sandbox) { s.edit("p.yaml", "sorce", "source") },
		}, {
			name:  "wrong type",
			spoil: func(s *sandbox) { s.edit("p.yaml", "source: text}", "source: text, shard-size: big}") },
			code:  2, want: []string{"p.yaml:5:", "shard-size", "whole number", "big"},
			mend: func(s *sandbox) { s.edit("p.yaml", ", shard-size: big", "") },
		}, {
			name:  "duplicate name",
			spoil: func(s *sandbox) { s.edit("p.yaml", "  split:", "  parse:") },
			code:  2, want: []string{"p.yaml:6:", "parse"},
			mend: func(s *sandbox) { s.edit("p.yaml", "  parse: {uses: split", "  split: {uses: split") },
		}, {
			name: "invalid UTF-8",
			spoil: func(s *sandbox) {
				s.edit("p.yaml", "source: text}", "source: text, encoding: utf-8}")
				s.write("text.txt", "sete bytes \xff e o resto")
			},
			code: 1, want: []string{"text.txt", "byte 11", "utf-8"},
			mend: func(s *sandbox) { s.write("text.txt", "sem erro") },
		}, {
			name: "truncated bz2",
			spoil: func(s *sandbox) {
				s.write("p.yaml", wikiPipeline)
				s.copy("ptwiki-berlim-rev56220935.xml.bz2", "dump.xml.bz2")
				if err := os.Truncate(filepath.Join(s.dir, "dump.xml.bz2"), 12000); err != nil {
					s.t.Fatal(err)
				}
			},
			code: 1, want: []string{"cut off", "dump.xml.bz2", "12000"},
			mend: func(s *sandbox) { s.copy("ptwiki-berlim-rev56220935.xml.bz2", "dump.xml.bz2") },
		}, {
			name: "invalid XML",
			spoil: func(s *sandbox) {
				s.write("p.yaml", strings.Replace(wikiPipeline, "dump.xml.bz2", "dump.xml.gz", 1))
				s.write("dump.xml.gz", zipped("<mediawiki><page><title>Um</title><ns>0</ns><id>1</id><revision><id>2</id><text>oi</tex></revision></page></mediawiki>"))
			},
			code: 1, want: []string{"XML", "dump.xml.gz"},
			mend: func(s *sandbox) {
				s.write("dump.xml.gz", zipped("<mediawiki><page><title>Um</title><ns>0</ns><id>1</id><revision><id>2</id><text>oi</text></revision></page></mediawiki>"))
			},
		}, {
			name: "ledger of a newer version",
			spoil: func(s *sandbox) {
				s.run("p.yaml")
				s.sql("PRAGMA user_version = 9000")
			},
			code: 1, want: []string{"ledger", "9000"},
			mend: func(s *sandbox) { os.RemoveAll(filepath.Join(s.dir, ".pipeline")) },
		}, {
			name:  "a store that is a file",
			spoil: func(s *sandbox) { s.write(".pipeline", "") },
			code:  1, want: []string{".pipeline", "--store"},
			mend: func(s *sandbox) { os.Remove(filepath.Join(s.dir, ".pipeline")) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSandbox(t)
			s.write("p.yaml", textPipeline)
			s.write("text.txt", "um texto")
			c.spoil(s)
			code, stdout, stderr := s.pipeline("run", "p.yaml")
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("the message has no %q", w)
				}
			}
			if strings.Contains(stderr, "goroutine ") {
				t.Error("the message has a stack trace")
			}
			if t.Failed() {
				t.Logf("stdout:\n%s\nstderr:\n%s", stdout, stderr)
			}
			c.mend(s)
			s.run("p.yaml")
		})
	}
}

// TestAllProblemsAtOnce holds that a pipeline file with many mistakes is answered with all.
func TestAllProblemsAtOnce(t *testing.T) {
	s := newSandbox(t)
	s.write("p.yaml", "pipeline: x\nsources:\n  a: {pth: x}\nstages:\n  p: {uses: nothing}\n  q: {uses: split, from: {docs: r.docs}, with: {val-percent: lots}}\n")
	code, _, stderr := s.pipeline("plan", "p.yaml")
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	for _, w := range []string{"p.yaml:3:", "pth", "p.yaml:5:", "nothing", "p.yaml:6:", "val-percent", "`r`"} {
		if !strings.Contains(stderr, w) {
			t.Errorf("the message has no %q:\n%s", w, stderr)
		}
	}
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return b.String()
}

func (s *sandbox) sql(query string) {
	s.t.Helper()
	db, err := sql.Open("sqlite3", filepath.Join(s.dir, ".pipeline", "ledger.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		s.t.Fatal(err)
	}
}

// TestNoWritePermission runs as a user who may not write into the store's place.
func TestNoWritePermission(t *testing.T) {
	s := newSandbox(t)
	s.write("p.yaml", textPipeline)
	s.write("text.txt", "um texto")
	if os.Getuid() == 0 {
		// Root may write anywhere, so the program runs as nobody, from a copy that
		// nobody can reach.
		s.dir = reachable(t, s.dir)
		s.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if err := os.Chmod(s.dir, 0o555); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := s.pipeline("run", "p.yaml")
	if code != 1 || !strings.Contains(stderr, ".pipeline") || !strings.Contains(stderr, "permission") || !strings.Contains(stderr, "--store") {
		t.Errorf("exit code %d, message:\n%s", code, stderr)
	}
	if err := os.Chmod(s.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	s.run("p.yaml")
}

// reachable copies a sandbox, and the test binary, to where every user may read them.
func reachable(t *testing.T, dir string) string {
	t.Helper()
	to, err := os.MkdirTemp("", "pipeline-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(to) })
	if err := os.Chmod(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(to, "box"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(to, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(p, 0o755)
	}); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "program"), self, 0o755); err != nil {
		t.Fatal(err)
	}
	was := os.Args[0]
	os.Args[0] = filepath.Join(to, "program")
	t.Cleanup(func() { os.Args[0] = was })
	return filepath.Join(to, "box")
}

// TestFullDisk runs with the store on a file system of 1 MiB, then on a larger one with
// what the first attempt left.
func TestFullDisk(t *testing.T) {
	s := newSandbox(t)
	s.write("p.yaml", strings.Replace(textPipeline, "source: text}", "source: text, shard-size: 65536}", 1))
	s.copy("machado.tar.zst", "text.tar.zst")
	s.edit("p.yaml", "text.txt", "text.tar.zst")
	want := digests(s.run("p.yaml", "--store", "elsewhere"))

	disk := filepath.Join(s.dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("mounting a small file system takes root or a mount namespace: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	code, _, stderr := s.pipeline("run", "p.yaml", "--store", "disk/store")
	if code != 1 || !strings.Contains(stderr, "no space left on device") {
		t.Errorf("exit code %d, message:\n%s", code, stderr)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	if got := digests(s.run("p.yaml", "--store", "disk/store")); got != want {
		t.Errorf("after the disk was full:\n%s\nwant\n%s", got, want)
	}
}

// TestCommandLine holds the exit code and message of wrong command lines.
func TestCommandLine(t *testing.T) {
	s := newSandbox(t)
	s.write("p.yaml", textPipeline)
	s.write("text.txt", "um texto")
	for _, c := range []struct{ args, want string }{
		{"run", "requires at least 1 arg"},
		{"run --bogus p.yaml", "unknown flag: --bogus"},
		{"run none.yaml", "none.yaml: no such pipeline file"},
		{"run p.yaml nothing", `no stage "nothing"; it has parse, split`},
		{"run p.yaml --jobs 0", "--jobs 0"},
		{"run p.yaml --profile smaple", "smaple"},
		{"graph p.yaml --format png", "text, dot, mermaid, svg"},
		{"rnu", `no command "rnu"; did you mean ` + "`run`"},
	} {
		code, _, stderr := s.pipeline(strings.Fields(c.args)...)
		if code != 2 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, message %q; want 2 and %q", c.args, code, stderr, c.want)
		}
	}
	s.run("p.yaml")
	for _, c := range []struct{ args, want string }{
		{"get split.trian out", `no output port "trian"; it has report, train, val`},
		{"get spilt.train out", "no run completed a stage \"spilt\""},
		{"get split out", "not STAGE.PORT"},
		{"status 99", "99"},
		{"log nothing", `no part of stage "nothing"`},
	} {
		code, _, stderr := s.pipeline(strings.Fields(c.args)...)
		if code != 2 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, message %q; want 2 and %q", c.args, code, stderr, c.want)
		}
	}
	for _, args := range []string{"status", "status 1 --json", "history", "history small --json", "log parse", "graph p.yaml", "graph p.yaml --format svg", "plan p.yaml",
		"plan p.yaml --json", "explain p.yaml split", "explain p.yaml split --json", "version", "version --json", "schema", "doctor --json", "get split.train out", "get split.train out"} {
		if code, out, stderr := s.pipeline(strings.Fields(args)...); code != 0 || out == "" && !strings.HasPrefix(args, "get") {
			t.Errorf("%s: exit code %d, %d bytes on stdout\n%s", args, code, len(out), stderr)
		}
	}
	if m, _ := filepath.Glob(filepath.Join(s.dir, "out", "*.zst")); len(m) == 0 {
		t.Error("get placed no shard")
	}
}
