package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/dag"
)

// TestRerunDoesWhatChanged holds what reruns after a change, that plan and explain say
// so beforehand, naming what changed, and that the result is that of a clean build.
func TestRerunDoesWhatChanged(t *testing.T) {
	if underRace {
		t.Skip("walked by the plain suite")
	}
	for _, c := range []struct {
		name    string
		change  func(*sandbox)
		must    []string // stages of which parts run
		mustNot []string
		explain string   // a stage
		says    []string // in its explanation
	}{
		{
			name:    "a cleaning rule",
			change:  func(s *sandbox) { s.edit("small.yaml", "with: {rules: {}}", "with: {rules: {links: false}}") },
			must:    []string{"clean[wiki]", "clean[texts]"},
			mustNot: []string{"wiki", "texts"},
			explain: "clean", says: []string{"with.rules.links: (not set) → false (small.yaml:"},
		}, {
			name:    "the learning rate",
			change:  func(s *sandbox) { s.edit("small.yaml", "learning-rate: 0.001", "learning-rate: 0.002") },
			must:    []string{"train", "eval"},
			mustNot: []string{"wiki", "texts", "clean[wiki]", "clean[texts]", "filter", "dedup-index", "dedup", "split", "tokenizer", "tokens", "audit"},
			explain: "eval", says: []string{"it waits for train", "with.learning-rate: 0.001 → 0.002 (small.yaml:"},
		}, {
			name: "touch",
			change: func(s *sandbox) {
				for _, f := range []string{"texts.jsonl", "berlim-1.xml.bz2"} {
					if err := os.Chtimes(filepath.Join(s.dir, f), time.Now(), time.Now()); err != nil {
						s.t.Fatal(err)
					}
				}
			},
			mustNot: []string{"wiki", "texts", "clean[wiki]", "clean[texts]", "filter", "dedup-index", "dedup", "split", "tokenizer", "tokens", "audit", "train", "eval"},
			explain: "train", says: []string{"nothing changed"},
		}, {
			name:    "one more document",
			change:  func(s *sandbox) { s.write("texts.jsonl", smallTexts(13)) },
			must:    []string{"texts", "clean[texts]", "filter", "split", "train"},
			mustNot: []string{"wiki", "clean[wiki]"},
			explain: "texts", says: []string{"input files from sources.texts: texts.jsonl changed ("},
		}, {
			name: "a reader of two stages that are known, one of which reads the other",
			change: func(s *sandbox) {
				s.edit("small.yaml", "reports: [clean.report, filter.report]}", "reports: [clean.report, filter.report], tokenizer: tokenizer.tokenizer}")
			},
			must:    []string{"audit"},
			mustNot: []string{"wiki", "texts", "clean[wiki]", "clean[texts]", "filter", "dedup-index", "dedup", "split", "tokenizer", "tokens", "train", "eval"},
			explain: "audit", says: []string{"tokenizer"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := smallSandbox(t)
			first := s.run("small.yaml")
			c.change(s)

			code, out, stderr := s.pipeline("explain", "small.yaml", c.explain)
			for _, w := range c.says {
				if code != 0 || !strings.Contains(out, w) {
					t.Errorf("explain %s does not say %q:\n%s%s", c.explain, w, out, stderr)
				}
			}
			var plan dag.Plan
			if _, out, stderr = s.pipeline("plan", "--json", "small.yaml"); json.Unmarshal([]byte(out), &plan) != nil {
				t.Fatalf("plan: %s", stderr)
			}
			second := s.run("small.yaml")
			ran := ranParts(second)
			for _, name := range c.must {
				if ran[name] == 0 {
					t.Errorf("%s did not run", name)
				}
			}
			for _, name := range c.mustNot {
				if ran[name] > 0 {
					t.Errorf("%s ran", name)
				}
			}
			for _, p := range plan.Stages {
				if p.State == dag.PlanCached && ran[p.Name] > 0 || p.State == dag.PlanRun && ran[p.Name] == 0 {
					t.Errorf("the plan said %q of %s; %d parts ran", p.State, p.Name, ran[p.Name])
				}
			}
			if c.name == "one more document" {
				// Shards are cut by content: only those near the new document change.
				for _, name := range []string{"clean[texts]", "filter", "split"} {
					if ran[name] > 2 || partsOf(first, name) < 4 {
						t.Errorf("%s: %d parts ran of %d; a document more should change 2 at most", name, ran[name], partsOf(second, name))
					}
				}
			}
			fresh := smallSandbox(t)
			for _, f := range []string{"small.yaml", "texts.jsonl"} {
				b, err := os.ReadFile(filepath.Join(s.dir, f))
				if err != nil {
					t.Fatal(err)
				}
				fresh.write(f, string(b))
			}
			if got, want := digests(second), digests(fresh.run("small.yaml")); got != want {
				t.Errorf("after the change:\n%s\na clean build:\n%s", got, want)
			}
		})
	}
}

func partsOf(d *dag.Summary, stage string) int {
	i := slices.IndexFunc(d.Stages, func(s dag.StageSummary) bool { return s.Name == stage })
	if i < 0 {
		return 0
	}
	return d.Stages[i].Parts
}

// TestSameBytesEverywhere builds twice, with one CPU and with four, in directories of
// other names, with another TMPDIR, locale and time zone. Every digest must be the same,
// that of the trained weights included.
func TestSameBytesEverywhere(t *testing.T) {
	if underRace {
		t.Skip("walked by the plain suite")
	}
	one, four := smallSandbox(t), smallSandbox(t)
	one.env = []string{"LC_ALL=C", "TZ=UTC"}
	four.env = []string{"LC_ALL=pt_BR.UTF-8", "LANG=pt_BR.UTF-8", "TZ=America/Sao_Paulo", "TMPDIR=" + t.TempDir(), "GOMAXPROCS=3"}
	a, b := one.run("small.yaml", "--jobs", "1"), four.run("small.yaml", "--jobs", "4")
	if digests(a) != digests(b) {
		t.Errorf("1 job:\n%s\n\n4 jobs:\n%s", digests(a), digests(b))
	}
	for _, st := range a.Stages {
		if st.Name == "train" && st.Outputs["model"].Files < 3 {
			t.Errorf("train wrote %+v", st.Outputs)
		}
	}
}

// TestGenerate holds that the trained model writes on from a prompt, the same for the
// same seed.
func TestGenerate(t *testing.T) {
	s := smallSandbox(t)
	s.run("small.yaml", "train")
	args := []string{"generate", "--model", "out/model", "--prompt", "A cidade", "--max-tokens", "12", "--temperature", "0.9", "--top-k", "20", "--seed", "3"}
	_, first, stderr := s.pipeline(args...)
	if !strings.HasPrefix(first, "A cidade") || len(first) < len("A cidade")+5 {
		t.Errorf("generated %q\n%s", first, stderr)
	}
	if _, again, _ := s.pipeline(args...); again != first {
		t.Errorf("the same seed gave %q, then %q", first, again)
	}
	for _, weights := range []string{"fp32", "bf16", "int8"} {
		_, one, stderr := s.pipeline(append(args, "--weights", weights, "--threads", "1")...)
		if len(one) < len("A cidade")+5 || weights == "fp32" && one != first {
			t.Errorf("%s: generated %q, without the flag %q\n%s", weights, one, first, stderr)
		}
		if _, two, _ := s.pipeline(append(args, "--weights", weights, "--threads", "2")...); two != one {
			t.Errorf("%s: one thread gave %q, two %q", weights, one, two)
		}
	}
	for flag, value := range map[string]string{"--weights": "int4", "--threads": "0"} {
		if code, _, stderr := s.pipeline(append(args, flag, value)...); code != 2 || !strings.Contains(stderr, flag) {
			t.Errorf("%s %s: exit code %d, %s", flag, value, code, stderr)
		}
	}
	if code, _, stderr := s.pipeline("generate", "--model", "nowhere", "--prompt", "x"); code != 2 || !strings.Contains(stderr, "nowhere") {
		t.Errorf("no model: exit code %d, %s", code, stderr)
	}
}
