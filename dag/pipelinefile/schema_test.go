package pipelinefile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	b, err := Schema(testKinds())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.(map[string]any)["$schema"]; got != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema is %v", got)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///s.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem:///s.json") // also holds it against the metaschema
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asEditor reads YAML as an editor does, knowing nothing of pipelines.
func asEditor(t *testing.T, src string) any {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSchemaAcceptsWhatLoadDoes(t *testing.T) {
	s := compiled(t)
	for name, src := range map[string]string{
		"whole": strings.ReplaceAll(wholeYAML, "news.docs", "news.out"),
		"least": "pipeline: p\nstages:\n  c: {uses: command, with: {run: x}}\n",
		"empty sections": "pipeline: p\nvars:\nsources:\npublish:\nprofiles:\n  p:\nstages:\n" +
			"  c: {uses: command, with: {run: x}, from: , env: , resources: , matrix: }\n",
	} {
		if _, err := loadText(src, ""); err != nil {
			t.Errorf("%s: Load says %v", name, err)
		}
		if err := s.Validate(asEditor(t, src)); err != nil {
			t.Errorf("%s: the schema says %#v", name, err)
		}
	}
}

func TestSchemaRejectsWhatLoadDoes(t *testing.T) {
	s := compiled(t)
	stages := func(yaml string) string { return "pipeline: p\nstages:\n  " + yaml + "\n" }
	for _, src := range []string{
		"pipeline: p\n",
		"stages: {c: {uses: command, with: {run: x}}}\n",
		"pipeline: p\nstages: {}\n",
		"pipeline: p\nseed: -1\nstages: {c: {uses: command, with: {run: x}}}\n",
		"pipeline: p\nsource: {}\nstages: {c: {uses: command, with: {run: x}}}\n",
		"pipeline: p\nsources: {a: {license: x}}\nstages: {c: {uses: command, with: {run: x}}}\n",
		"pipeline: p\nsources: {a: {path: x, files: [{path: y}]}}\nstages: {c: {uses: command, with: {run: x}}}\n",
		"pipeline: p\nsources: {a: {path: x, url: \"https://example.org/x\"}}\nstages: {c: {uses: command, with: {run: x}}}\n",
		"pipeline: p\nprofiles: {p: {stage: {}}}\nstages: {c: {uses: command, with: {run: x}}}\n",
		"pipeline: p\nprofiles: {p: {stages: {c: {retries: few}}}}\nstages: {c: {uses: command, with: {run: x}}}\n",
		stages("1c: {uses: command, with: {run: x}}"),
		stages("c: {uses: comand, with: {run: x}}"),
		stages("c: {with: {run: x}}"),
		stages("c: {uses: command}"),
		stages("c: {uses: command, with: {}}"),
		stages("c: {uses: command, with: {run: 1}}"),
		stages("c: {uses: command, with: {run: x, rum: y}}"),
		stages("c: {uses: command, with: {run: x}, from: {out: c.out}}"),
		stages("c: {uses: command, with: {run: x}, retries: -1}"),
		stages("c: {uses: command, with: {run: x}, timeout: 5}"),
		stages("c: {uses: clean}"),
		stages("c: {uses: clean, from: {docs: [a.docs, b.docs]}}"),
		stages("c: {uses: clean, from: {docs: a.docs}, with: {fixes: {mojibak: true}}}"),
		stages("c: {uses: clean, from: {docs: a.docs}, with: {rules: [{match: a, per: word}]}}"),
	} {
		if _, err := loadText(src, ""); err == nil {
			t.Errorf("Load takes\n%s", src)
		}
		if err := s.Validate(asEditor(t, src)); err == nil {
			t.Errorf("the schema takes\n%s", src)
		}
	}
}

func TestSchemaGolden(t *testing.T) {
	got, err := Schema(testKinds())
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "schema.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the schema differs from %s; look at the difference, then run with -update", golden)
	}
}

// The reference in docs/ has a row for every key that a file can hold.
func TestReferenceIsComplete(t *testing.T) {
	page, err := os.ReadFile("../../docs/pipeline-file.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, shape := range []reflect.Type{
		reflect.TypeFor[fileShape](), reflect.TypeFor[sourceShape](), reflect.TypeFor[entryShape](),
		reflect.TypeFor[stageShape](), reflect.TypeFor[resourcesShape](),
	} {
		doc, err := reflectSchema(shape)
		if err != nil {
			t.Fatal(err)
		}
		for name := range doc["properties"].(document) {
			if !bytes.Contains(page, []byte("`"+name+"`")) {
				t.Errorf("docs/pipeline-file.md says nothing of `%s`", name)
			}
		}
	}
}

// A stage kind whose Config cannot be described is a defect of the kind: named, with
// the field, by Schema and by Load alike.
func TestBadKinds(t *testing.T) {
	type node struct {
		Below []node `json:"below"` //lint:ignore U1000 its type is the point
	}
	for _, c := range []struct {
		config any
		want   string
	}{
		{3, "its Config is a int; it must be a struct"},
		{struct {
			P *rule `json:"p"`
		}{}, "P: a config cannot hold a pointer to pipelinefile.rule"},
		{struct {
			O int `json:"o,omitempty"`
		}{}, "O: a config field is never omitted; its default is a value"},
		{struct {
			T node `json:"t"`
		}{}, "T.Below: type pipelinefile.node holds itself"},
		{struct {
			F float64 `json:"f" jsonschema:"pattern=["`
			S string  `json:"s" jsonschema:"pattern=["`
		}{}, "schema of its Config"},
	} {
		kinds := []stage.Kind{{Name: "odd", Config: c.config, New: stage.Build(accept[struct{}])}}
		_, err := Schema(kinds)
		if err == nil || !strings.Contains(err.Error(), "stage kind `odd`") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Schema of %v says %v, want %s", reflect.TypeOf(c.config), err, c.want)
		}
		_, err = load([]byte("pipeline: p\nstages: {a: {uses: odd}}\n"), "p.yaml", "/", Options{Kinds: kinds})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Load of %v says %v, want %s", reflect.TypeOf(c.config), err, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"docs", "report", "learning-rate", "Ω"}
	for name, want := range map[string]string{
		"doc": "docs", "dosc": "docs", "DOCS": "docs", "reprot": "report", "lerning_rate": "learning-rate",
		"x": "Ω", "unrelated": "", "": "Ω", "weights": "",
	} {
		if got := stage.Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	src := strings.ReplaceAll(wholeYAML, "news.docs", "news.out")
	kinds := testKinds()
	for b.Loop() {
		if _, err := load([]byte(src), "p.yaml", "/", Options{Kinds: kinds}); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleProblems() {
	_, err := load([]byte("pipeline: v16\nstages:\n  clean:\n    uses: claen\n"), "v16.yaml", "/", Options{Kinds: testKinds()})
	var p *Problems
	if errors.As(err, &p) {
		fmt.Println(err)
	}
	// Output:
	// v16.yaml:4:11: unknown stage kind `claen` of stage `clean`; did you mean `clean`?
	//         uses: claen
	//               ^
}
