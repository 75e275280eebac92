package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A file that a command reads and nothing declares: told, refused, or part of what a hit
// requires, as the stage says.
func TestUndeclaredInputs(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	s := newSandbox(t)
	lexicon := s.write("elsewhere/lexicon", "um\n")
	other := filepath.Join(s.dir, "elsewhere/other")
	s.write("a.txt", "a")
	s.write("p.yaml", `pipeline: p
sources: {a: {path: a.txt}}
stages:
  count:
    uses: command
    from: {in: sources.a}
    with: {undeclared: MODE, run: "cat {in}/a.txt `+lexicon+` > {out}/x; cat `+other+` >> {out}/x 2> log || true"}
  below: {uses: command, from: {in: count.out}, with: {run: "tr a-z A-Z < {in}/x > {out}/y"}}
`)
	s.edit("p.yaml", "MODE", "warn")
	d := s.run("p.yaml")
	if len(d.Notices) != 1 || d.Notices[0].Stage != "count" || d.Notices[0].Parts != 1 || !strings.Contains(d.Notices[0].Text, "the command read 1 file that nothing declares: "+lexicon) {
		t.Fatalf("notices %+v", d.Notices)
	}
	if d = s.run("p.yaml"); len(ranParts(d)) != 0 || len(d.Notices) != 1 {
		t.Errorf("again: ran %v, notices %+v", ranParts(d), d.Notices)
	}
	if code, _, err := s.pipeline("run", "p.yaml"); code != 0 || !strings.Contains(err, "notice count: the command read 1 file that nothing declares: "+lexicon) {
		t.Errorf("exit code %d, said\n%s", code, err)
	}

	s.edit("p.yaml", "undeclared: warn", "undeclared: fail")
	if code, _, err := s.pipeline("run", "p.yaml"); code != 1 || !strings.Contains(err, "wire them to the port in or scripts as sources") || !strings.Contains(err, lexicon) {
		t.Errorf("exit code %d, said\n%s", code, err)
	}

	s.edit("p.yaml", "undeclared: fail", "undeclared: key")
	if ran := ranParts(s.run("p.yaml")); ran["count"] != 1 {
		t.Fatalf("ran %v", ran)
	}
	reason := func() string {
		_, out, err := s.pipeline("explain", "p.yaml", "count")
		return out + err
	}
	for _, c := range []struct {
		what   string
		do     func()
		reason string // empty: nothing runs
	}{
		{"nothing", func() {}, ""},
		{"touch", func() { os.Chtimes(lexicon, time.Time{}, time.Now().Add(time.Hour)) }, ""},
		{"another content", func() { s.write("elsewhere/lexicon", "dois\n") }, "elsewhere/lexicon changed ("},
		{"what was missed appears", func() { s.write("elsewhere/other", "três\n") }, "elsewhere/other was not there and is now"},
		{"nothing more", func() {}, ""},
		{"and is gone again", func() { os.Remove(other) }, "elsewhere/other is gone"},
		{"a file takes its place", func() {
			s.write("elsewhere/new", "dois\n")
			os.Rename(filepath.Join(s.dir, "elsewhere/new"), lexicon)
		}, ""},
		{"it cannot be read", func() { os.Remove(lexicon); os.Mkdir(lexicon, 0o755) }, "elsewhere/lexicon changed ("},
	} {
		c.do()
		if r := reason(); !strings.Contains(r, c.reason) || c.reason != "" && !strings.Contains(r, "undeclared input ") || c.reason == "" && strings.Contains(r, "undeclared") {
			t.Errorf("%s: explained by\n%s", c.what, r)
		}
		code, _, err := s.pipeline("run", "--json", "p.yaml")
		if c.what == "it cannot be read" {
			if code != 1 {
				t.Errorf("%s: exit code %d\n%s", c.what, code, err)
			}
			break
		}
		ran := strings.Contains(err, "running it again")
		if code != 0 || ran != (c.reason != "") {
			t.Errorf("%s: exit code %d, ran again %v\n%s", c.what, code, ran, err)
		}
	}
}

// The files of a command that is one part keep the names it gave them, for the stages
// below and where they are published; those of parts are numbered.
func TestCommandOutputNames(t *testing.T) {
	s := newSandbox(t)
	s.write("in/a.txt", "a")
	s.write("in/b.txt", "b")
	s.write("p.yaml", `pipeline: p
sources: {in: {path: in}}
stages:
  one: {uses: command, from: {in: sources.in}, with: {run: "cat {in}/a.txt > {out}/words.tsv; mkdir {out}/d; cat {in}/b.txt > {out}/d/more.tsv"}}
  each: {uses: command, from: {in: sources.in}, with: {each: true, run: "cp {file} {out}/same.txt"}}
  below: {uses: command, from: {in: [one.out, each.out]}, with: {run: "(cd {in}; cat words.tsv d/more.tsv; find . -type f | sort) > {out}/list"}}
publish: {out/one: one.out, out/each: each.out, out/below: below.out}
`)
	s.run("p.yaml")
	for name, want := range map[string]string{"one/words.tsv": "a", "one/d/more.tsv": "b", "each/000000.txt": "a", "each/000001.txt": "b",
		"below/list": "ab./000000.txt\n./000001.txt\n./d/more.tsv\n./words.tsv\n"} {
		if b, err := os.ReadFile(filepath.Join(s.dir, "out", name)); err != nil || string(b) != want {
			t.Errorf("%s holds %q (%v), want %q", name, b, err, want)
		}
	}
}
