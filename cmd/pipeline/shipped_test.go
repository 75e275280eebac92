package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages"
)

// TestSchemaIsCurrent holds pipelines/schema.json to what the code says.
func TestSchemaIsCurrent(t *testing.T) {
	want, err := pipelinefile.Schema(stages.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join("..", "..", "pipelines", "schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("pipelines/schema.json is not what the code says: run `make schema`")
	}
}

// TestShippedPipelines loads what is shipped, with each of its profiles.
func TestShippedPipelines(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "pipelines", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no pipelines", err)
	}
	for _, f := range files {
		p, err := loadPipeline(f, "")
		if err != nil {
			t.Error(err)
			continue
		}
		for _, profile := range p.Profiles {
			if _, err := loadPipeline(f, profile); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestEveryKindHasItsPage holds that each stage kind has a page that names all of its
// ports and settings, golden digests, and a place in the README.
func TestEveryKindHasItsPage(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range stages.Kinds() {
		page, err := os.ReadFile(filepath.Join("..", "..", "docs", "stages", k.Name+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, ports := range [][]string{portNames(k.In), portNames(k.Out), settingNames(t, k.Config)} {
			for _, name := range ports {
				if !strings.Contains(string(page), "`"+name) {
					t.Errorf("docs/stages/%s.md does not mention `%s`", k.Name, name)
				}
			}
		}
		if !strings.Contains(string(readme), "docs/stages/"+k.Name+".md") {
			t.Errorf("the README does not mention %s", k.Name)
		}
		golden := filepath.Join("..", "..", "stages", strings.ReplaceAll(k.Name, "-", ""), "testdata", "golden.json")
		if _, err := os.Stat(golden); err != nil {
			t.Errorf("stage kind %s has no golden digests: %v", k.Name, err)
		}
	}
}

func portNames(ports []stage.Port) (names []string) {
	for _, p := range ports {
		names = append(names, p.Name)
	}
	return names
}

// settingNames lists the top-level keys of a config.
func settingNames(t *testing.T, config any) []string {
	t.Helper()
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return keys(m)
}
