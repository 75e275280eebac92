package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/dag"
)

const lockedYAML = `pipeline: p
seed: 7
sources:
  a: {path: a.jsonl, license: CC0-1.0}
  b: {path: b.jsonl}
stages:
  texts: {uses: text-parse, from: {files: [sources.a, sources.b]}, with: {source: texts, shard-size: 4096}}
  clean: {uses: clean, from: {docs: texts.docs}, with: {code: keep}}
profiles:
  other: {seed: 8}
`

func lockSandbox(t *testing.T) *sandbox {
	s := newSandbox(t)
	s.write("p.yaml", lockedYAML)
	s.write("a.jsonl", smallTexts(6))
	s.write("b.jsonl", strings.ReplaceAll(smallTexts(5), "texto-", "outro-"))
	return s
}

// want runs a command that must end with a code and say something on stderr or stdout.
func (s *sandbox) want(code int, says []string, args ...string) string {
	s.t.Helper()
	got, out, err := s.pipeline(args...)
	if got != code {
		s.t.Errorf("pipeline %v: exit code %d, want %d\n%s%s", args, got, code, out, err)
	}
	for _, w := range says {
		if !strings.Contains(out+err, w) {
			s.t.Errorf("pipeline %v does not say %q:\n%s%s", args, w, out, err)
		}
	}
	return out
}

func TestLock(t *testing.T) {
	t.Parallel()
	s := lockSandbox(t)
	s.want(2, []string{"there is no", "p.yaml.lock", "`pipeline lock p.yaml`"}, "run", "--locked", "p.yaml")
	s.want(2, []string{"nothing to lock yet of texts, clean", "run the pipeline"}, "lock", "p.yaml")
	first := digests(s.run("p.yaml"))
	s.want(0, []string{"p.yaml.lock holds 2 files and 4 outputs of 2 stages"}, "lock", "p.yaml")
	s.want(2, []string{"no section for profile other"}, "run", "--locked", "p.yaml", "--profile", "other")
	if got := digests(s.run("p.yaml", "--locked")); got != first {
		t.Errorf("locked:\n%s\nfirst:\n%s", got, first)
	}
	// Another machine: the same, from nothing.
	s.env = []string{"PIPELINE_STORE=" + filepath.Join(s.dir, "elsewhere")}
	if got := digests(s.run("p.yaml", "--locked")); got != first {
		t.Errorf("elsewhere:\n%s\nfirst:\n%s", got, first)
	}
	s.env = nil

	// A lock of a second profile leaves the first alone.
	s.run("p.yaml", "--profile", "other")
	s.want(0, nil, "lock", "p.yaml", "--profile", "other")
	s.run("p.yaml", "--locked")
	s.run("p.yaml", "--locked", "--profile", "other")

	// What goes in is held before anything runs, and every difference is told.
	s.edit("a.jsonl", "texto-00", "texto-99")
	s.edit("p.yaml", "code: keep", "code: drop")
	s.edit("p.yaml", "seed: 7", "seed: 9")
	s.want(2, []string{"seed: 9, locked to 7", "source a: a.jsonl is ", `stage clean: with.code: "drop", locked to "keep" (p.yaml:`}, "run", "--locked", "p.yaml")
	s.write("p.yaml", lockedYAML)
	s.write("a.jsonl", smallTexts(6))
	s.write("p.yaml", strings.Replace(lockedYAML, "clean: {uses", "fresh: {uses: clean, from: {docs: texts.docs}}\n  clean: {uses", 1))
	s.want(2, []string{"stage fresh: it is not in the lock"}, "run", "--locked", "p.yaml")
	s.write("p.yaml", lockedYAML)

	// What comes out is held as it comes.
	var f dag.LockFile
	path := filepath.Join(s.dir, "p.yaml.lock")
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &f) != nil {
		t.Fatal(err)
	}
	was := f.Profiles[""].Stages["texts"].Outputs["docs"]
	s.edit("p.yaml.lock", was, strings.Repeat("0", 64))
	s.want(3, []string{"stage texts refused", "output docs is " + was, "locked to 0000", "skipped"}, "run", "--locked", "p.yaml")
	s.write("p.yaml.lock", "{")
	s.want(2, []string{"p.yaml.lock is no lock file"}, "run", "--locked", "p.yaml")
	s.write("p.yaml.lock", `{"format": 99}`)
	s.want(2, []string{"format 99"}, "run", "--locked", "p.yaml")
}

func TestDiff(t *testing.T) {
	t.Parallel()
	s := lockSandbox(t)
	s.run("p.yaml")
	s.run("p.yaml")
	s.want(0, []string{"nothing changed"}, "diff", "1", "2")
	s.edit("p.yaml", "code: keep", "code: drop")
	s.run("p.yaml")
	s.write("b.jsonl", strings.ReplaceAll(smallTexts(6), "texto-", "outro-"))
	s.run("p.yaml")
	compare := func(args ...string) *dag.Diff {
		var d dag.Diff
		if err := json.Unmarshal([]byte(s.want(0, nil, append([]string{"diff", "--json"}, args...)...)), &d); err != nil {
			t.Fatal(err)
		}
		return &d
	}
	d := compare("2", "3")
	if len(d.Settings) != 1 || d.Settings[0] != (dag.Setting{Stage: "clean", Path: "with.code", Old: `"keep"`, New: `"drop"`}) || len(d.Sources) != 0 {
		t.Errorf("%+v", d)
	}
	if st := d.Stages[0]; st.Name != "texts" || st.Shared != 2 || st.Outputs[0].Digest[0] != st.Outputs[0].Digest[1] {
		t.Errorf("texts: %+v", st)
	}
	if st := d.Stages[1]; st.Name != "clean" || st.Shared != 0 {
		t.Errorf("clean: %+v", st)
	}
	d = compare("3") // to the last
	if d.Runs != [2]int64{3, 4} || len(d.Settings) != 0 || len(d.Sources) != 1 || d.Sources[0].File != "b.jsonl" || d.Sources[0].Old == d.Sources[0].New {
		t.Errorf("%+v", d)
	}
	if o := d.Stages[0].Outputs[0]; d.Stages[0].Shared != 1 || o.Port != "docs" || o.Documents != [2]int64{11, 12} {
		t.Errorf("%+v", d.Stages[0])
	}
	s.want(0, []string{"with.code", `"keep" → "drop"`, "11 → 12", "b.jsonl"}, "diff", "1", "4")
	s.want(2, []string{"no run 99"}, "diff", "1", "99")
}

// The trace of a corpus leads through every stage to the source files that each shard is
// made of, and no further.
func TestProvenance(t *testing.T) {
	t.Parallel()
	s := smallSandbox(t)
	s.edit("small.yaml", "texts: {path: texts.jsonl}", "texts: {path: texts.jsonl, license: CC0-1.0}")
	s.run("small.yaml", "split", "audit")
	s.want(0, []string{"split.train", "sources.dumps", "sources.texts", "CC0-1.0: sources.texts", "no licence declared: sources.dumps", "(see above)"},
		"provenance", "split.train")
	s.want(2, []string{"no output port", "train"}, "provenance", "split.docs")
	s.want(2, []string{`no file "x"`}, "provenance", "split.train", "--file", "x")

	type document struct {
		Root    string
		Origins []originDocument
	}
	trace := func(args ...string) (d document) {
		t.Helper()
		out := s.want(0, nil, append([]string{"provenance", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	// Every shard of the cleaned texts comes from the texts alone, of the wiki from one dump.
	for _, c := range []struct{ output, source string }{{"clean[texts].docs", "sources.texts"}, {"clean[wiki].docs", "sources.dumps"}} {
		d := trace(c.output, "--file", "000000.jsonl.zst")
		var sources []string
		for _, o := range d.Origins {
			if o.By == nil {
				sources = append(sources, strings.SplitN(o.ID, "/", 2)[0])
				if len(o.Sources) != 1 || o.Sources[0].SHA256 == "" {
					t.Errorf("%s: %+v", c.output, o)
				}
			} else if len(o.By.Keys) != 1 || o.By.Part == "" {
				t.Errorf("%s: %s was made by %+v, want one part", c.output, o.ID, o.By)
			}
		}
		if len(sources) != 1 || sources[0] != c.source {
			t.Errorf("%s comes from %v", c.output, sources)
		}
	}

	// PROV-JSON: what relations name is there, nothing is made of itself, licences arrive.
	var p map[string]map[string]map[string]any
	out := s.want(0, nil, "provenance", "--prov", "split.train")
	if strings.Count(out, `"dcterms:license": "CC0-1.0"`) != 1 {
		t.Error("no licence in the PROV document")
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal([]byte(out), &whole); err != nil {
		t.Fatal(err)
	}
	delete(whole, "prefix") // strings, not records
	b, _ := json.Marshal(whole)
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	made := map[string]string{}
	for _, r := range p["wasGeneratedBy"] {
		e, a := r["prov:entity"].(string), r["prov:activity"].(string)
		if p["entity"][e] == nil || p["activity"][a] == nil || made[e] != "" {
			t.Errorf("wasGeneratedBy %v: not described, or made twice", r)
		}
		made[e] = a
	}
	for _, r := range p["used"] {
		e, a := r["prov:entity"].(string), r["prov:activity"].(string)
		if p["entity"][e] == nil || p["activity"][a] == nil || made[e] == a {
			t.Errorf("used %v: not described, or made by itself", r)
		}
	}
	if len(p["used"]) < 8 || len(made) < 6 {
		t.Errorf("%d used, %d made", len(p["used"]), len(made))
	}
}
