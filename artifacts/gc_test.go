package artifacts

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// past is a store in which runs have been made.
type past struct {
	*testing.T
	*Store
}

func newPast(t *testing.T) *past { return &past{t, openStore(t, quickDir(t))} }

// quickDir is the place of a new store in memory, where there is a file system there:
// these tests flush thousands of files, and none of them takes the power away.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "gc-test-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "store")
}

// key is the key of a part that makes these contents: part "clean a b" of the stage clean
// makes two files, a and b.
func key(part string) string { return digest("key " + part) }

func digest(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// content is what a word of a part stands for: "a*100" is a hundred times a.
func content(word string) string {
	if a, times, ok := strings.Cut(word, "*"); ok {
		n, err := strconv.Atoi(times)
		if err != nil {
			panic(err)
		}
		return strings.Repeat(a, n)
	}
	return word
}

// put makes the files and the result of a part, unless it is known and whole, as a run does.
func (t *past) put(run int64, index int, part string) *Manifest {
	t.Helper()
	words := strings.Fields(part)
	m := &Manifest{}
	known, err := t.Ledger().Actions([]string{key(part)})
	t.ok(err)
	hit := known[key(part)] != nil
	for i, word := range words[1:] {
		digest, size := digest(content(word)), int64(len(content(word)))
		m.Files = append(m.Files, ManifestFile{Path: fmt.Sprintf("out/%d", i), Digest: digest, Size: size})
		hit = hit && t.Has(digest, size)
	}
	rec := PartRecord{Run: run, Stage: words[0], Kind: words[0], Part: part, Index: index, Key: key(part), State: "cached"}
	if hit {
		t.ok(t.Ledger().RecordParts([]PartRecord{rec}))
		return m
	}
	var staged []Staged
	for i, word := range words[1:] {
		staged = append(staged, stage(t.T, t.Store, fmt.Sprint(i), content(word)))
	}
	t.ok(t.Publish(staged))
	artifact, err := t.PutManifest(m)
	t.ok(err)
	config := digest("config of " + part)
	t.ok(t.Ledger().PutConfig(config, []byte(`"config"`)))
	rec.State, rec.Attempt, rec.Metrics = "ran", 1, []Metric{{Name: "n", Value: 1}}
	t.ok(t.Ledger().RecordPart(rec, &Action{Key: key(part), Kind: words[0], Version: 1, Config: config,
		Components: json.RawMessage(`{}`), Outputs: m, Artifact: artifact}))
	t.ok(os.MkdirAll(filepath.Dir(t.LogPath(key(part), 1)), 0o755))
	t.ok(os.WriteFile(t.LogPath(key(part), 1), []byte("log of "+part), 0o644))
	return m
}

// run makes a run of parts, "STAGE CONTENT CONTENT…" each, that ends in a state. The run of
// "pipeline stage" was asked for that stage only. Only a run that is done completes its
// stages; one in the state running goes on.
func (t *past) run(pipeline, state string, parts ...string) (id int64) {
	t.Helper()
	var graph struct {
		Stages  []map[string]string `json:"stages"`
		Targets []string            `json:"targets,omitempty"`
	}
	outputs := map[string]*Manifest{}
	for _, p := range parts {
		name, _, _ := strings.Cut(p, " ")
		if outputs[name] == nil {
			outputs[name] = &Manifest{}
			graph.Stages = append(graph.Stages, map[string]string{"name": name})
		}
	}
	if _, target, ok := strings.Cut(pipeline, " "); ok {
		graph.Targets = []string{target}
		pipeline = strings.TrimSuffix(pipeline, " "+target)
	}
	b, err := json.Marshal(graph)
	t.ok(err)
	id, err = t.Ledger().BeginRun(RunInfo{Pipeline: pipeline, PID: os.Getpid(), Graph: b})
	t.ok(err)
	for i, p := range parts {
		m := t.put(id, i, p)
		name, _, _ := strings.Cut(p, " ")
		for _, f := range m.Files {
			f.Path = fmt.Sprint(len(outputs[name].Files))
			outputs[name].Files = append(outputs[name].Files, f)
		}
	}
	if state == "done" {
		for _, s := range graph.Stages {
			artifact, err := t.PutManifest(outputs[s["name"]])
			t.ok(err)
			t.ok(t.Ledger().RecordStage(StageRecord{Run: id, Stage: s["name"], Kind: s["name"],
				Outputs: json.RawMessage(`{"out":{"digest":"` + artifact + `"}}`)}))
		}
	}
	t.ok(t.RemoveWork(id))
	if state != "running" {
		t.ok(t.Ledger().EndRun(id, state, nil))
	}
	return id
}

func (t *past) ok(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// output is the artifact that a stage gave out in a run.
func (t *past) output(run int64, stage string) (artifact string) {
	t.Helper()
	t.ok(t.Ledger().eachOutput(func(o stageOutput) error {
		if o.run == run && o.stage == stage {
			artifact = o.artifact
		}
		return nil
	}))
	return artifact
}

// hits lists which of the parts are known, with all they made.
func (t *past) hits(parts ...string) (hits []string) {
	t.Helper()
	for _, p := range parts {
		known, err := t.Ledger().Actions([]string{key(p)})
		t.ok(err)
		a := known[key(p)]
		if a == nil {
			continue
		}
		for _, f := range a.Outputs.Files {
			if !t.Has(f.Digest, f.Size) {
				t.Errorf("the ledger knows %q, but %s is gone", p, f.Path)
			}
		}
		if !exists(t.ObjectPath(a.Artifact)) {
			t.Errorf("the ledger knows %q, but its manifest is gone", p)
		}
		hits = append(hits, p)
	}
	return hits
}

// collect plans, collects, and makes sure that what was planned was done.
func (t *past) collect(o GCOptions) *GCPlan {
	t.Helper()
	dry, err := t.PlanGC(context.Background(), o)
	t.ok(err)
	plan, err := t.Collect(context.Background(), o, nil, nil)
	t.ok(err)
	if a, b := fmt.Sprintf("%+v", dry), fmt.Sprintf("%+v", plan); a != b {
		t.Errorf("a dry run says\n%s\nand the collection\n%s", a, b)
	}
	again, err := t.PlanGC(context.Background(), o)
	t.ok(err)
	if len(again.Remove) > 0 {
		t.Errorf("a second collection would remove %+v", again.Remove)
	}
	if again.Before != plan.After {
		t.Errorf("%d bytes are left, planned were %d", again.Before, plan.After)
	}
	return plan
}

// files lists what is in a folder of the store, at any depth.
func (t *past) files(folder string) (names []string) {
	t.Helper()
	root := filepath.Join(t.dir, folder)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.ReplaceAll(strings.TrimPrefix(p, root+"/"), "/", ""))
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

func (t *past) want(what string, got, want []string) {
	t.Helper()
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

const day = 24 * time.Hour

func TestCollectKeeps(t *testing.T) {
	all := []string{"clean a", "clean b", "clean c", "train x", "train y", "train z"}
	for _, f := range []struct {
		fact    string
		runs    func(t *past)
		options GCOptions
		kept    []string
	}{
		{"the last run that was done", func(t *past) {
			t.run("p", "done", "clean a", "train x")
			t.run("p", "done", "clean b", "train y")
		}, GCOptions{KeepRuns: 1}, []string{"clean b", "train y"}},
		{"as many runs as it is told", func(t *past) {
			t.run("p", "done", "clean a", "train x")
			t.run("p", "done", "clean b", "train y")
			t.run("p", "done", "clean c", "train z")
		}, GCOptions{KeepRuns: 2}, []string{"clean b", "clean c", "train y", "train z"}},
		{"nothing, if told so", func(t *past) {
			t.run("p", "done", "clean a", "train x")
		}, GCOptions{}, nil},
		{"what a kept run found made", func(t *past) {
			t.run("p", "done", "clean a", "train x")
			t.run("p", "done", "clean a", "train y")
		}, GCOptions{KeepRuns: 1}, []string{"clean a", "train y"}},
		{"the last runs of every pipeline", func(t *past) {
			t.run("p", "done", "clean a")
			t.run("q", "done", "clean b")
			t.run("p", "done", "clean c")
		}, GCOptions{KeepRuns: 1}, []string{"clean b", "clean c"}},
		{"the last run that was done, behind runs that failed, and those", func(t *past) {
			t.run("p", "done", "clean a", "train x")
			t.run("p", "done", "clean b", "train y")
			t.run("p", "failed", "clean c")
			t.run("p", "interrupted", "clean c")
		}, GCOptions{KeepRuns: 1}, []string{"clean b", "clean c", "train y"}},
		{"other stages' results behind a run of some stages only", func(t *past) {
			t.run("p", "done", "clean a", "train x")
			t.run("p clean", "done", "clean b")
		}, GCOptions{KeepRuns: 1}, []string{"clean a", "clean b", "train x"}},
		{"no results of a stage that the pipeline has no more", func(t *past) {
			t.run("p", "done", "clean a", "train x")
			t.run("p", "done", "clean b")
		}, GCOptions{KeepRuns: 1}, []string{"clean b"}},
		{"a run under way", func(t *past) {
			t.run("q", "done", "clean b")
			t.run("p", "running", "clean a")
		}, GCOptions{}, []string{"clean a"}},
		{"what is younger than the grace period", func(t *past) {
			t.run("p", "done", "clean a", "train x")
			t.run("p", "done", "clean b", "train y")
		}, GCOptions{Grace: day}, []string{"clean a", "clean b", "train x", "train y"}},
		{"not what is older", func(t *past) {
			t.run("p", "done", "clean a", "train x")
		}, GCOptions{Grace: day, Now: time.Now().Add(2 * day)}, nil},
		{"a pinned output and what made it", func(t *past) {
			run := t.run("p", "done", "clean a", "clean b", "train x")
			t.ok(t.Pin(Pin{Artifact: t.output(run, "clean")}))
			t.run("p", "done", "clean c", "train z")
		}, GCOptions{}, []string{"clean a", "clean b"}},
		{"a pinned output of one part", func(t *past) {
			t.run("p", "done", "clean a", "clean b")
			known, err := t.Ledger().Actions([]string{key("clean a")})
			t.ok(err)
			t.ok(t.Pin(Pin{Artifact: known[key("clean a")].Artifact}))
		}, GCOptions{}, []string{"clean a"}},
		{"nothing that was unpinned", func(t *past) {
			run := t.run("p", "done", "clean a")
			t.ok(t.Pin(Pin{Artifact: t.output(run, "clean")}))
			t.ok(t.Unpin(t.output(run, "clean")))
		}, GCOptions{}, nil},
	} {
		t.Run(f.fact, func(tt *testing.T) {
			t := newPast(tt)
			f.runs(t)
			t.collect(f.options)
			t.want("kept", t.hits(all...), f.kept)
			t.want("logs", t.files(logsDir), logsOf(f.kept))
		})
	}
}

func logsOf(parts []string) (names []string) {
	for _, p := range parts {
		names = append(names, key(p)+"1.log")
	}
	slices.Sort(names)
	return names
}
