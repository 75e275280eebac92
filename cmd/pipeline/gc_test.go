package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
)

// numbersYAML is a pipeline of five parts and one that takes them all.
const numbersYAML = `pipeline: numbers
vars: {mark: m1}
sources:
  numbers: {path: "n*.txt"}
stages:
  marked:
    uses: command
    from: {in: sources.numbers}
    with: {each: true, run: "sed s/1/${{ vars.mark }}/ {file} > {out.out}/{part}"}
  all:
    uses: command
    from: {in: marked.out}
    with: {run: "cat {in}/* > {out.out}/all.txt"}
publish:
  view: all.out
`

func numbersSandbox(t *testing.T) *sandbox {
	t.Helper()
	s := newSandbox(t)
	s.write("numbers.yaml", numbersYAML)
	for i := range 5 {
		s.write(fmt.Sprintf("n%d.txt", i), strings.Repeat(fmt.Sprintf("1%d\n", i), 100))
	}
	return s
}

// mark changes what all parts make.
func (s *sandbox) mark(from, to int) {
	s.t.Helper()
	s.edit("numbers.yaml", fmt.Sprintf("{mark: m%d}", from), fmt.Sprintf("{mark: m%d}", to))
}

// says runs the program and makes sure of its exit code and of words that it prints.
func (s *sandbox) says(code int, words []string, args ...string) (stdout string) {
	s.t.Helper()
	got, out, err := s.pipeline(args...)
	if got != code {
		s.t.Fatalf("%v: exit code %d, want %d\n%s%s", args, got, code, out, err)
	}
	for _, w := range words {
		if !strings.Contains(out+err, w) {
			s.t.Errorf("%v does not say %q:\n%s%s", args, w, out, err)
		}
	}
	return out
}

func (s *sandbox) gc(args ...string) *artifacts.GCPlan {
	s.t.Helper()
	var d gcDocument
	out := s.says(0, nil, append([]string{"gc", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		s.t.Fatalf("gc prints no document: %v\n%s", err, out)
	}
	return d.GCPlan
}

func TestGC(t *testing.T) {
	t.Parallel()
	s := numbersSandbox(t)
	s.says(1, []string{"no store at"}, "gc")
	s.run("numbers.yaml")
	s.says(0, []string{"pinned", "all.out of run 1"}, "pin", "all.out")
	s.mark(1, 2)
	s.run("numbers.yaml")
	s.mark(2, 3)
	last := s.run("numbers.yaml")

	if p := s.gc(); len(p.Remove) > 0 || p.Results != 18 {
		t.Errorf("a store of today: %+v", p)
	}
	dry := s.gc("--dry-run", "--grace", "0", "--keep-runs", "1")
	if again := s.gc("--dry-run", "--grace", "0", "--keep-runs", "1"); again.Before != dry.Before {
		t.Errorf("a dry run removed something: %d bytes, then %d", dry.Before, again.Before)
	}
	did := s.gc("--grace", "0", "--keep-runs", "1")
	if fmt.Sprintf("%+v", dry) != fmt.Sprintf("%+v", did) {
		t.Errorf("the dry run said\n%+v\nand then\n%+v", dry, did)
	}
	// Of run 1 the pinned output and the part that made it stay, of run 2 nothing.
	if did.Results != 7 || did.Runs != 1 || did.Pins != 1 {
		t.Errorf("%d results, %d runs and %d pins stay", did.Results, did.Runs, did.Pins)
	}
	s.says(0, []string{"nothing to remove"}, "gc", "--grace", "0", "--keep-runs", "1")
	s.says(0, []string{"clean: "}, "verify")
	if again := s.run("numbers.yaml"); len(ranParts(again)) > 0 || digests(again) != digests(last) {
		t.Errorf("after gc %v ran", ranParts(again))
	}
	s.mark(3, 1)
	if back := s.run("numbers.yaml"); ranParts(back)["marked"] != 5 || ranParts(back)["all"] != 0 {
		t.Errorf("what was not pinned runs, what was does not: %v ran", ranParts(back))
	}
	s.says(0, []string{"unpinned"}, "unpin", "all.out of run 1")
	s.says(0, []string{"not used for longest", "→"}, "gc", "--max-size", "1KiB")
	if b, err := os.ReadFile(filepath.Join(s.dir, "view", "all.txt")); err != nil || !strings.HasPrefix(string(b), "m10\n") {
		t.Errorf("the view holds %.20q, %v", b, err)
	}
	s.says(0, []string{"numbers"}, "history")
	s.says(2, []string{"--keep-runs -1"}, "gc", "--keep-runs", "-1")
	s.says(2, []string{`"soon" is no time: write 90m`}, "gc", "--grace", "soon")
	s.says(2, []string{`"much" is no size`}, "gc", "--max-size", "much")
	s.says(2, []string{"unknown command", "usage: pipeline gc"}, "gc", "now")
}

func TestGCWaitsForRuns(t *testing.T) {
	t.Parallel()
	s := numbersSandbox(t)
	s.edit("numbers.yaml", "cat {in}/*", "touch "+s.dir+"/begun; while [ ! -e "+s.dir+"/go ]; do sleep 0.02; done; cat {in}/*")
	run := s.command("run", "numbers.yaml")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(s.dir, "begun")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the run does not begin")
		}
	}
	s.says(1, []string{"is in use by", fmt.Sprintf("pid %d", run.Process.Pid), "run 1 of numbers", "--wait"}, "gc", "--grace", "0")
	if p := s.gc("--dry-run", "--grace", "0", "--keep-runs", "0"); p.Results != 5 || len(p.Remove) > 0 {
		t.Errorf("of a run under way %d results and %d objects stay: %+v", p.Results, p.Objects, p.Remove)
	}
	wait := s.command("gc", "--wait", "--grace", "0")
	said, err := wait.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := wait.Start(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1000)
	if n, err := said.Read(b); err != nil || !strings.Contains(string(b[:n]), "waiting for the store, which is in use by pid") {
		t.Errorf("gc --wait says %q, %v", b[:n], err)
	}
	s.write("go", "")
	if err := run.Wait(); err != nil {
		t.Error(err)
	}
	if err := wait.Wait(); err != nil {
		t.Error(err)
	}
	if again := s.run("numbers.yaml"); len(ranParts(again)) > 0 {
		t.Errorf("after gc %v ran", ranParts(again))
	}
}

func TestPins(t *testing.T) {
	t.Parallel()
	s := numbersSandbox(t)
	first := s.run("numbers.yaml")
	s.mark(1, 2)
	second := s.run("numbers.yaml")
	artifact := func(i int) string {
		d := first
		if i == 2 {
			d = second
		}
		return d.Stages[1].Outputs["out"].Digest
	}
	s.says(0, []string{"nothing is pinned"}, "pin")
	s.says(0, []string{artifact(1)[:12], "as published"}, "pin", "all.out", "--run", "1", "--name", "as published")
	s.says(0, []string{artifact(2)[:12]}, "pin", artifact(2)[:9])
	s.says(0, []string{"marked.out of run 2", "all.out of run 2"}, "pin", "run:2")
	var pins []pinDocument
	if err := json.Unmarshal([]byte(s.says(0, nil, "pin", "--json")), &pins); err != nil || len(pins) != 3 {
		t.Fatalf("%+v, %v", pins, err)
	}
	if p := pins[0]; p.Artifact != artifact(1) || p.Name != "as published" || p.Files != 1 || p.Bytes != 2000 || !p.Present {
		t.Errorf("%+v", p)
	}
	s.says(0, []string{"artifact", "as published", "2.0 KiB"}, "pin")

	s.says(2, []string{`"all" is not STAGE.PORT, run:N or a digest`}, "pin", "all")
	s.says(2, []string{`no run completed a stage "none"`}, "pin", "none.out")
	s.says(2, []string{"no run 77"}, "pin", "run:77")
	s.says(2, []string{`"x" is not a run's number`}, "pin", "run:x")
	s.says(2, []string{"no run made an artifact 12345678"}, "pin", "12345678")
	s.says(2, []string{"nothing to pin"}, "pin", "--name", "x")
	s.says(2, []string{"lists the pins"}, "pin", "all.out", "--json")
	s.says(2, []string{"requires at least 1 arg"}, "unpin")

	s.says(0, []string{"unpinned " + artifact(1)[:12]}, "unpin", "as published")
	s.says(2, []string{"all.out of run 1, is not pinned"}, "unpin", "all.out", "--run", "1")
	s.says(0, []string{"unpinned " + artifact(2)[:12]}, "unpin", "all.out")
	s.says(0, []string{"unpinned"}, "unpin", "run:2")
	s.says(0, []string{"nothing is pinned"}, "pin")
}

func TestVerify(t *testing.T) {
	t.Parallel()
	s := numbersSandbox(t)
	s.run("numbers.yaml")
	out := s.says(0, nil, "verify", "--json")
	var r artifacts.VerifyReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Objects < 7 || r.Results != 6 || !r.Clean() {
		t.Fatalf("%v\n%s", err, out)
	}
	var objects []string
	err := filepath.WalkDir(filepath.Join(s.dir, ".pipeline", "objects"), func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if b, e := os.ReadFile(p); e == nil && strings.HasPrefix(string(b), "m12\n") {
				objects = append(objects, p)
			}
		}
		return err
	})
	if err != nil || len(objects) != 1 {
		t.Fatal(objects, err)
	}
	if err := os.Chmod(objects[0], 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(objects[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("M"), 3); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s.says(1, []string{"corrupt", "of command, out/n2.txt", "found: ", "0444 (not mended)", "damaged: "}, "verify", "--dry-run")
	s.says(1, []string{"corrupt", "moved to .pipeline/quarantine/", "0444 (mended)", "1 object of 1 result missing", "damaged: "}, "verify", "--run", "1", "--stage", "marked")
	s.says(0, []string{fmt.Sprintf("clean: %d objects", r.Objects-1), "1 object of 1 result missing"}, "verify")
	if again := s.run("numbers.yaml"); ranParts(again)["marked"] != 1 || ranParts(again)["all"] != 0 {
		t.Errorf("after the object was moved %v ran", ranParts(again))
	}
	s.says(0, []string{fmt.Sprintf("clean: %d objects", r.Objects)}, "verify")
	s.says(2, []string{"no run 9"}, "verify", "--run", "9")
	s.says(2, []string{"--jobs 0"}, "verify", "--jobs", "0")
	s.says(2, []string{`no run had parts of a stage "marks"`}, "verify", "--stage", "marks")
}
