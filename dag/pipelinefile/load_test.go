package pipelinefile

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

var update = flag.Bool("update", false, "rewrite the golden files of this package")

// The kinds of these tests: shapes of every sort, no work.

type parseConfig struct {
	Namespaces []int  `json:"namespaces" jsonschema:"minimum=0" jsonschema_description:"Which namespaces to keep."`
	OnCorrupt  string `json:"on-corrupt" jsonschema:"enum=error,enum=skip" jsonschema_description:"What to do with a damaged block."`
}

type rule struct {
	Name    string `json:"name" jsonschema:"minLength=1"`
	Match   string `json:"match" jsonschema:"required"`
	Replace string `json:"replace"`
	Per     string `json:"per" jsonschema:"enum=line,enum=document"`
	Rank    int    `json:"rank" jsonschema:"minimum=1,default=3"`
}

type cleanConfig struct {
	Fixes struct {
		Mojibake bool `json:"mojibake"`
		Years    bool `json:"years"`
	} `json:"fixes" jsonschema_description:"Which fixes are made."`
	Rules     []rule             `json:"rules"`
	Limits    map[string]float64 `json:"limits"`
	Threshold float64            `json:"threshold" jsonschema:"minimum=0,maximum=1"`
	Width     uint8              `json:"width"`
}

type commandConfig struct {
	Run  string   `json:"run" jsonschema:"required,minLength=1" jsonschema_description:"The shell command."`
	Gate *float64 `json:"gate" jsonschema:"minimum=0"` // absent by default
}

type trainConfig struct {
	LearningRate float64 `json:"learning-rate" jsonschema:"exclusiveMinimum=0" jsonschema_description:"Peak learning rate."`
	Steps        int     `json:"steps" jsonschema:"minimum=1"`
}

func accept[C any](C) (stage.Stage, error) { return nil, nil }

func testKinds() []stage.Kind {
	clean := cleanConfig{Threshold: 0.5, Limits: map[string]float64{"words": 10}, Width: 8}
	clean.Fixes.Mojibake = true
	in := func(name string, t stage.Type) stage.Port { return stage.Port{Name: name, Type: t} }
	many := func(name string, t stage.Type) stage.Port { return stage.Port{Name: name, Type: t, Many: true} }
	return []stage.Kind{
		{Name: "wiki-parse", Version: 1, Doc: "Dumps to documents.",
			In: []stage.Port{many("dump", stage.Source)}, Out: []stage.Port{in("docs", stage.Documents), in("report", stage.Reports)},
			Config: parseConfig{Namespaces: []int{0}, OnCorrupt: "error"}, New: stage.Build(accept[parseConfig])},
		{Name: "clean", Version: 1, Doc: "Documents to clean documents.",
			In: []stage.Port{in("docs", stage.Documents)}, Out: []stage.Port{in("docs", stage.Documents), in("report", stage.Reports)},
			Config: clean, New: stage.Build(func(c cleanConfig) (stage.Stage, error) {
				var all []error
				for i, r := range c.Rules {
					if _, err := regexp.Compile(r.Match); err != nil {
						all = append(all, fmt.Errorf("rules[%d].match: %w", i, err))
					}
				}
				if c.Threshold == 0.75 {
					all = append(all, errors.New("three quarters is not a threshold"))
				}
				return nil, errors.Join(all...)
			})},
		{Name: "audit", Version: 1, Doc: "Documents to a page.",
			In:  []stage.Port{many("docs", stage.Documents), {Name: "reports", Type: stage.Reports, Many: true, Optional: true}},
			Out: []stage.Port{in("page", stage.Page)}, New: stage.Build(accept[struct{}])},
		{Name: "train", Version: 1, Doc: "Documents to a model.",
			In: []stage.Port{many("docs", stage.Documents)}, Out: []stage.Port{in("model", stage.Model)},
			Config: trainConfig{LearningRate: 3e-4, Steps: 100}, New: stage.Build(accept[trainConfig])},
		{Name: "command", Version: 1, Doc: "Anything to anything.",
			In: []stage.Port{{Name: "in", Type: stage.Any, Many: true, Optional: true}}, Out: []stage.Port{in("out", stage.Any)},
			Config: commandConfig{}, New: stage.Build(accept[commandConfig])},
	}
}

func loadText(yaml, profile string) (*Pipeline, error) {
	return load([]byte(yaml), "p.yaml", "/home/ana/corpus", Options{Kinds: testKinds(), Profile: profile})
}

// TestProblems holds every message this package can give: testdata/problems/NAME.yaml
// is a bad file, NAME.txt what is said about it. A first line "# profile: NAME"
// chooses a profile.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/problems/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata/problems: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			profile := ""
			if first, _, _ := strings.Cut(string(src), "\n"); strings.HasPrefix(first, "# profile: ") {
				profile = strings.TrimPrefix(first, "# profile: ")
			}
			_, err = loadText(string(src), profile)
			if err == nil {
				t.Fatalf("%s: no problem found", file)
			}
			var p *Problems
			if !errors.As(err, &p) || len(p.All) == 0 {
				t.Fatalf("%s: error is %T %v", file, err, err)
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s: said\n%s\nwant\n%s", file, got, want)
			}
		})
	}
}
