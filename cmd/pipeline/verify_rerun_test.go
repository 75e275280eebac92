package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/dag"
	"golang.org/x/sys/unix"
)

// reruns runs verify --rerun --json and gives its exit code and document.
func (s *sandbox) reruns(args ...string) (int, *dag.Reruns) {
	s.t.Helper()
	code, out, stderr := s.pipeline(append([]string{"verify", "--json"}, args...)...)
	var r dag.Reruns
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		s.t.Fatalf("exit code %d, stdout is not the document: %v\n%s%s", code, err, out, stderr)
	}
	return code, &r
}

// TestVerifyRerun: a sample of every stage comes out the same, the trained weights on
// another number of CPUs included, and nothing is left in the store. `make verify-100`
// does it a hundred times, each with other parts.
func TestVerifyRerun(t *testing.T) {
	if underRace {
		t.Skip("walked by the plain suite")
	}
	t.Parallel()
	times := 1
	if n := os.Getenv("PIPELINE_TEST_VERIFY_TIMES"); n != "" {
		var err error
		if times, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	s := smallSandbox(t)
	s.run("small.yaml")
	parts, reruns, alarms := 0, 0, 0
	began := time.Now()
	done := map[string]bool{}
	for seed := range times {
		code, r := s.reruns("small.yaml", "--rerun", "10%", "--seed", strconv.Itoa(seed))
		if code != 0 || r.Differ != 0 || r.Failed != 0 || r.Unknown != 0 || r.Known < 50 || r.Sampled >= r.Known || len(r.Parts) != r.Sampled {
			t.Errorf("seed %d: exit code %d: %+v", seed, code, r)
			alarms++
		}
		stages := map[string]bool{}
		for _, x := range r.Parts {
			stages[x.Stage], done[x.Key] = true, true
			parts, reruns = parts+1, reruns+x.Reruns
			if x.State != dag.RerunSame && (x.State != dag.RerunMetrics || !slices.Equal(x.Metrics, []string{"tokens-per-second"})) {
				t.Errorf("seed %d: %+v", seed, x)
			}
		}
		if len(stages) != 13 || !stages["train"] {
			t.Errorf("seed %d: parts of %v were done again", seed, keys(stages))
		}
	}
	t.Logf("%d times, %d parts (%d of them different), %d reruns, %d alarms, %s", times, parts, len(done), reruns, alarms, time.Since(began).Round(time.Second))
	if left, _ := filepath.Glob(filepath.Join(s.dir, ".pipeline", "work", "*")); len(left) > 0 {
		t.Errorf("work left: %v", left)
	}
	if _, err := os.Stat(filepath.Join(s.dir, ".pipeline", "rerun")); err == nil {
		t.Error("outputs were kept though none differ")
	}
	if second := s.run("small.yaml"); len(ranParts(second)) > 0 || second.Run != 2 {
		t.Errorf("run %d afterwards: %v ran", second.Run, ranParts(second))
	}
}

const commandsPipeline = `pipeline: commands
sources:
  texts: {path: texts.jsonl}
stages:
  texts: {uses: text-parse, from: {files: sources.texts}, with: {source: texts, shard-size: 8192}}
  sound: {uses: command, from: {in: texts.docs}, with: {run: "cat {in}/* > {out}/all; printf '%s\\n' b A a B ç | sort > {out}/sorted; echo $LANG > {out}/lang; echo x > $TMPDIR/x; rm $TMPDIR/x"}}
  listed: {uses: command, from: {in: texts.docs}, with: {run: "ls -f {in} > {out}/list.txt"}}
  placed: {uses: command, from: {in: texts.docs}, with: {run: "pwd > {out}/place.txt"}}
  timed: {uses: command, from: {in: texts.docs}, with: {run: "echo '{\"made\": {\"at\": '$(date +%s%N)'}}' > {out}/made.json"}}
`

// TestVerifyRerunOfCommands: what a command makes of directory order, its place or the
// time is refused with exit code 3 and told in words; one that is sound raises no alarm.
func TestVerifyRerunOfCommands(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.write("texts.jsonl", smallTexts(12))
	s.write("p.yaml", commandsPipeline)
	s.run("p.yaml")

	code, out, stderr := s.pipeline("verify", "p.yaml", "timed", "--rerun", "all")
	for _, w := range []string{"1 of 1 known part, each done again twice: about", "timed, part all: differs", "out/made.json: $.made.at", "recorded  1", "rerun     1",
		"cause     the time", "kept      .pipeline/rerun/timed-all-", "not deterministic: 1 of 1 part came out otherwise"} {
		if code != exitRefused || !strings.Contains(out, w) {
			t.Errorf("exit code %d; it does not say %q:\n%s%s", code, w, out, stderr)
		}
	}
	if code, out, _ := s.pipeline("verify", "p.yaml", "sound", "texts", "--rerun", "3"); code != 0 || !strings.Contains(out, "clean: 2 parts came out the same, 4 reruns in") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if code, r := s.reruns("p.yaml", "--rerun", "1", "--dry-run"); code != 0 || len(r.Parts) != 1 || r.Reruns != 0 || r.Parts[0].State != "" {
		t.Errorf("dry run: exit code %d, %+v", code, r)
	}
	if underRace {
		return
	}
	code, r := s.reruns("p.yaml", "listed", "placed", "--rerun", "100%", "--save", "kept")
	if code != exitRefused {
		t.Errorf("exit code %d", code)
	}
	want := map[string]string{"listed": "directory order", "placed": "working directory"}
	var here, shm unix.Stat_t
	if unix.Stat(s.dir, &here) != nil || unix.Stat("/dev/shm", &shm) != nil || here.Dev == shm.Dev {
		delete(want, "listed") // one file system may list a directory in one order only
	}
	for _, x := range r.Parts {
		if w := want[x.Stage]; w != "" && (x.State != dag.RerunDiffers || x.Cause == nil || !slices.Equal(x.Cause.Circumstances, []string{w})) {
			t.Errorf("%s: %+v, cause %+v", x.Stage, x, x.Cause)
		}
		if x.Stage == "placed" {
			was, err1 := os.ReadFile(filepath.Join(x.Saved, "recorded", "out", "place.txt"))
			is, err2 := os.ReadFile(filepath.Join(x.Saved, "rerun", "out", "place.txt"))
			if err1 != nil || err2 != nil || string(was) == string(is) {
				t.Errorf("kept %q and %q: %v, %v", was, is, err1, err2)
			}
		}
	}
}

// TestVerifyRerunInterrupted: Ctrl-C ends it with code 130, and nothing is left behind.
func TestVerifyRerunInterrupted(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.write("texts.jsonl", smallTexts(1))
	s.write("p.yaml", `pipeline: slow
sources:
  texts: {path: texts.jsonl}
stages:
  slow: {uses: command, from: {in: sources.texts}, with: {run: "case $PWD in *elsewhere*) sleep 600;; esac"}}
`)
	s.run("p.yaml")
	cmd := s.command("verify", "p.yaml", "--rerun", "all")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "done again twice") {
		t.Errorf("it said %q, %v", line, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the code says how it ended
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, ".pipeline", "work", "*")); len(left) > 0 {
		t.Errorf("work left: %v", left)
	}
}

func TestVerifyRerunUsage(t *testing.T) {
	s := newSandbox(t)
	s.write("texts.jsonl", smallTexts(1))
	s.write("p.yaml", commandsPipeline)
	if code, _, stderr := s.pipeline("verify", "p.yaml", "--rerun", "all"); code == 0 || !strings.Contains(stderr, "no store at") {
		t.Errorf("no store: exit code %d, %s", code, stderr)
	}
	s.run("p.yaml", "texts")
	for _, c := range []struct {
		args string
		want string
	}{
		{"p.yaml", "a pipeline file is for --rerun"},
		{"--rerun 5", "name the pipeline file"},
		{"p.yaml --rerun 0", "--rerun 0: give a share of each stage's parts (10%), a number of parts (5), or all"},
		{"p.yaml --rerun -3", "--rerun -3: give"},
		{"p.yaml --rerun 0%", "--rerun 0%: give"},
		{"p.yaml --rerun 101%", "--rerun 101%: give"},
		{"p.yaml --rerun NaN%", "--rerun NaN%: give"},
		{"p.yaml --rerun some", "--rerun some: give"},
		{"p.yaml --rerun 1 --repeat 0", "--repeat 0"},
		{"p.yaml --rerun 1 --pinned", "--pinned says what to rehash"},
		{"p.yaml --rerun 1 --jobs 0", "--jobs 0"},
		{"--seed 2", "--seed means something with --rerun only"},
		{"p.yaml nowhere --rerun 1", `no stage "nowhere"`},
		{"p.yaml sound --rerun 1", "no part of it is known"},
		{"missing.yaml --rerun 1", "missing.yaml"},
	} {
		if code, _, stderr := s.pipeline(append([]string{"verify"}, strings.Fields(c.args)...)...); code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("verify %s: exit code %d, %q; want %q", c.args, code, stderr, c.want)
		}
	}
}
