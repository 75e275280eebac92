package pipelinefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const whole = `# yaml-language-server: $schema=./schema.json
pipeline: v16
seed: 42
vars:
  rate: 1e-3
  steps: 20
  keep-going: true
  fixes: {years: true}
sources:
  wiki:
    path: data/wiki.xml.bz2
    url: https://dumps.example.org/wiki.xml.bz2
    sha1: DA39A3EE5E6B4B0D3255BFEF95601890AFD80709
    license: CC-BY-SA-4.0
  laws:
    files:
      - {path: laws/cdc.html, trust: true, max-size: 10MB,
         url: https://example.org/cdc.html}
      - path: /srv/laws/*.html
stages:
  train:
    uses: train
    from: {docs: clean.docs}
    with: {learning-rate: "${{ vars.rate }}", steps: "${{ vars.steps }}"}
    resources: {cpus: 2, memory: 1.5GiB, gpus: 1, time: 12h}
    timeout: 1h30m
    retries: 2
    continue-on-error: ${{ vars.keep-going }}
    env: [TZ, OMP_NUM_THREADS]
  clean:
    matrix: {source: [wiki, news]}
    uses: clean
    from:
      docs: ${{ matrix.source }}.docs
    with:
      fixes: ${{ vars.fixes }}
      limits: {lines: 3.0}
  news:
    uses: command
    from: {in: [sources.laws, wiki.report]}
    with:
      run: fetch --license '${{ sources.wiki.license }}' --steps ${{ vars.steps }} ${{ '${{' }}
  wiki:
    uses: wiki-parse
    from: {dump: sources.wiki}
  audit:
    uses: audit
    from: {docs: [wiki.docs, "clean[wiki].docs"], reports: clean.report}
publish:
  out/model: train.model
  out/docs: clean.docs
profiles:
  sample:
    seed: 7
    vars: {steps: 3}
    sources:
      wiki: {path: sample/wiki.xml, url: null, sha1: null}
    stages:
      wiki: {with: {on-corrupt: skip}}
      audit: null
      train: {timeout: null}
  empty:
`

func mustLoad(t *testing.T, yaml, profile string) *Pipeline {
	t.Helper()
	p, err := loadText(strings.ReplaceAll(yaml, "news.docs", "news.out"), profile)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func stageOf(t *testing.T, p *Pipeline, name string) *Stage {
	t.Helper()
	for i := range p.Stages {
		if p.Stages[i].Name == name {
			return &p.Stages[i]
		}
	}
	t.Fatalf("no stage %s", name)
	return nil
}

func refList(refs []Ref) string {
	var s []string
	for _, r := range refs {
		s = append(s, r.String())
	}
	return strings.Join(s, " ")
}

// The command's output is called "out", so the matrix names whole references here.
var wholeYAML = strings.NewReplacer(
	"matrix: {source: [wiki, news]}", "matrix: {source: [wiki, news], include: [{source: wiki, port: docs}, {source: news, port: out}]}",
	"docs: ${{ matrix.source }}.docs", "docs: ${{ matrix.source }}.${{ matrix.port }}",
).Replace(whole)

func TestLoadWhole(t *testing.T) {
	p := mustLoad(t, wholeYAML, "")
	if p.Name != "v16" || p.Seed != 42 || p.Profile != "" || fmt.Sprint(p.Profiles) != "[sample empty]" || p.Dir != "/home/ana/corpus" {
		t.Errorf("head is %q %d %q %v %q", p.Name, p.Seed, p.Profile, p.Profiles, p.Dir)
	}
	var names []string
	for _, s := range p.Stages {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "wiki clean[wiki] news clean[news] train audit" {
		t.Errorf("order is %s", got)
	}

	wiki, laws := p.Sources[0], p.Sources[1]
	if wiki.License != "CC-BY-SA-4.0" || wiki.Files[0].SHA1 != "da39a3ee5e6b4b0d3255bfef95601890afd80709" ||
		wiki.Files[0].Abs != "/home/ana/corpus/data/wiki.xml.bz2" || wiki.Files[0].Pos != (Pos{"p.yaml", 11, 11}) {
		t.Errorf("source is %+v", wiki)
	}
	if len(laws.Files) != 2 || laws.Files[1].Abs != "/srv/laws/*.html" || laws.Files[0].URL != "https://example.org/cdc.html" ||
		!laws.Files[0].Trust || laws.Files[0].MaxSize != 10e6 || laws.Files[1].Trust || wiki.Files[0].Trust {
		t.Errorf("source is %+v", laws)
	}

	train := stageOf(t, p, "train")
	if train.CPUs != 2 || train.Memory != 3<<29 || train.GPUs != 1 || train.Time != 12*time.Hour || train.Timeout != 90*time.Minute ||
		train.Retries != 2 || !train.ContinueOnError || fmt.Sprint(train.Env) != "[TZ OMP_NUM_THREADS]" {
		t.Errorf("train is %+v", train)
	}
	if string(train.Config) != `{"learning-rate":0.001,"steps":20}` {
		t.Errorf("config of train is %s", train.Config)
	}
	if got := refList(train.From["docs"]); got != "clean[wiki].docs clean[news].docs" {
		t.Errorf("train reads %s", got)
	}
	// A value that a variable gives stands where the variable is set.
	if train.Where["steps"] != (Pos{"p.yaml", 6, 10}) {
		t.Errorf("steps of train stand at %v", train.Where["steps"])
	}

	clean := stageOf(t, p, "clean[wiki]")
	if clean.Base != "clean" || clean.Kind.Name != "clean" || refList(clean.From["docs"]) != "wiki.docs" {
		t.Errorf("clean[wiki] is %+v", clean)
	}
	if got := refList(stageOf(t, p, "clean[news]").From["docs"]); got != "news.out" {
		t.Errorf("clean[news] reads %s", got)
	}
	want := `{"fixes":{"mojibake":true,"years":true},"limits":{"lines":3,"words":10},"rules":[],"threshold":0.5,"width":8}`
	if string(clean.Config) != want {
		t.Errorf("config of clean is\n%s, want\n%s", clean.Config, want)
	}
	if clean.Where["limits.lines"] != (Pos{"p.yaml", 37, 23}) || clean.Where["fixes.years"] != (Pos{"p.yaml", 8, 18}) {
		t.Errorf("settings of clean stand at %v", clean.Where)
	}

	var run struct{ Run string }
	json.Unmarshal(stageOf(t, p, "news").Config, &run)
	if run.Run != "fetch --license 'CC-BY-SA-4.0' --steps 20 ${{" {
		t.Errorf("news runs %q", run.Run)
	}
	audit := stageOf(t, p, "audit")
	if got := refList(audit.From["docs"]) + "; " + refList(audit.From["reports"]); got != "wiki.docs clean[wiki].docs; clean[wiki].report clean[news].report" {
		t.Errorf("audit reads %s", got)
	}

	var published []string
	for _, x := range p.Publish {
		published = append(published, x.Dir+"="+x.From.String())
	}
	if got := strings.Join(published, " "); got != "/home/ana/corpus/out/model=train.model /home/ana/corpus/out/docs/wiki=clean[wiki].docs /home/ana/corpus/out/docs/news=clean[news].docs" {
		t.Errorf("published: %s", got)
	}
}

func TestProfile(t *testing.T) {
	p := mustLoad(t, wholeYAML, "sample")
	if p.Seed != 7 || p.Profile != "sample" {
		t.Errorf("seed %d, profile %q", p.Seed, p.Profile)
	}
	if f := p.Sources[0].Files[0]; f.Path != "sample/wiki.xml" || f.URL != "" || f.SHA1 != "" || p.Sources[0].License != "CC-BY-SA-4.0" {
		t.Errorf("source is %+v", p.Sources[0])
	}
	wiki := stageOf(t, p, "wiki")
	if string(wiki.Config) != `{"namespaces":[0],"on-corrupt":"skip"}` || wiki.Where["on-corrupt"].Line != 59 {
		t.Errorf("wiki is %s, on-corrupt at %v", wiki.Config, wiki.Where["on-corrupt"])
	}
	train := stageOf(t, p, "train")
	if train.Timeout != 0 || string(train.Config) != `{"learning-rate":0.001,"steps":3}` || train.Where["steps"].Line != 55 {
		t.Errorf("train is %+v", train)
	}
	for _, s := range p.Stages {
		if s.Base == "audit" {
			t.Error("audit was taken away, and is there")
		}
	}
	if p := mustLoad(t, wholeYAML, "empty"); len(p.Stages) != 6 {
		t.Errorf("an empty profile leaves %d stages", len(p.Stages))
	}
}

func TestMatrix(t *testing.T) {
	for _, c := range []struct{ matrix, want string }{
		{"{a: [1, 2], b: [x, y]}", "1,x:1x 1,y:1y 2,x:2x 2,y:2y"},
		{"{a: [1, 2], b: [x, y], exclude: [{a: 1, b: y}]}", "1,x:1x 2,x:2x 2,y:2y"},
		{"{a: [1, 2], b: [x], exclude: [{a: 1}]}", "2,x:2x"},
		{"{a: [1, 2], b: [x], include: [{a: 3, b: z}]}", "1,x:1x 2,x:2x 3,z:3z"},
		{"{a: [1, 2], include: [{b: q}, {a: 2, b: r}]}", "1:1q 2:2r"},
		{"{a: [1, 2], exclude: [{a: 1}], include: [{b: q}, {a: 1, b: s}]}", "2:2q 1:1s"},
		{"{include: [{a: 1, b: x}, {a: 2, b: y}]}", "1:1x 2:2y"},
		{"{a: [true, 1.50], b: [é]}", "true,é:trueé 1.5,é:1.5é"},
		{"{a: \"${{ vars.list }}\", b: [x]}", "7,x:7x 8,x:8x"},
	} {
		p, err := loadText(`
pipeline: p
vars: {list: [7, 8]}
stages:
  s:
    uses: command
    matrix: `+c.matrix+`
    with: {run: "${{ matrix.a }}${{ matrix.b }}"}
`, "")
		if err != nil {
			t.Errorf("%s: %v", c.matrix, err)
			continue
		}
		var got []string
		for _, s := range p.Stages {
			var run struct{ Run string }
			json.Unmarshal(s.Config, &run)
			got = append(got, strings.TrimSuffix(strings.TrimPrefix(s.Name, "s["), "]")+":"+run.Run)
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s gives %s, want %s", c.matrix, g, c.want)
		}
	}
}

// Expressions may stand in flow style, where YAML would take their braces for its own.
func TestExpressionsInFlowStyle(t *testing.T) {
	p, err := loadText(`
pipeline: p
vars: {how: skip, spaces: [0, 4]}
sources: {wiki: {path: a}, news: {path: b}}
stages:
  wiki: {matrix: {source: [wiki, news]}, uses: wiki-parse, from: {dump: sources.${{ matrix.source }}}, with: {on-corrupt: ${{ vars.how }}, namespaces: ${{ vars.spaces }}}}
  clean: {matrix: {source: [wiki, news]}, uses: clean, from: {docs: "wiki[${{ matrix.source }}].docs"}}
`, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := refList(p.Stages[0].From["dump"]) + " " + string(p.Stages[0].Config); got != `sources.wiki {"namespaces":[0,4],"on-corrupt":"skip"}` {
		t.Errorf("wiki[wiki] is %s", got)
	}
	if got := refList(stageOf(t, p, "clean[news]").From["docs"]); got != "wiki[news].docs" {
		t.Errorf("clean[news] reads %s", got)
	}
}

func TestWhen(t *testing.T) {
	p, err := loadText(`
pipeline: p
vars: {books: false}
sources: {a: {path: a}}
stages:
  wiki: {uses: wiki-parse, from: {dump: sources.a}}
  books: {uses: wiki-parse, from: {dump: sources.a}, when: "${{ vars.books }}"}
  audit: {uses: audit, from: {docs: [wiki.docs, books.docs], reports: books.report}}
  clean: {uses: clean, from: {docs: books.docs}, when: false}
publish: {out: books.docs}
`, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Stages) != 2 || refList(stageOf(t, p, "audit").From["docs"]) != "wiki.docs" || len(stageOf(t, p, "audit").From["reports"]) != 0 || len(p.Publish) != 0 {
		t.Errorf("stages are %+v, published %v", p.Stages, p.Publish)
	}
}

// The same settings, however they are written, give the same bytes.
func TestCanonicalConfig(t *testing.T) {
	const file = "pipeline: p\nsources: {a: {path: a}}\nstages:\n  w: {uses: wiki-parse, from: {dump: sources.a}}\n  t:\n    uses: train\n    from: {docs: w.docs}\n    with: %s\n"
	for _, with := range []string{
		"{learning-rate: 0.001, steps: 1000}",
		"{steps: 1_000, learning-rate: 1e-3}",
		"{learning-rate: 1.0e-03, steps: 1000.0}",
		"{'steps': 0x3E8, \"learning-rate\": .001}",
		"\n      # rate of the paper\n      learning-rate: 0.0010\n      steps: 1e3",
	} {
		p, err := loadText(fmt.Sprintf(file, with), "")
		if err != nil {
			t.Errorf("%s: %v", with, err)
			continue
		}
		if got := string(p.Stages[1].Config); got != `{"learning-rate":0.001,"steps":1000}` {
			t.Errorf("%s gives %s", with, got)
		}
	}
}

// An entry of a list has the defaults of its tags, else zeros.
func TestEntryDefaults(t *testing.T) {
	p, err := loadText(`
pipeline: p
sources: {a: {path: a}}
stages:
  w: {uses: wiki-parse, from: {dump: sources.a}}
  c:
    uses: clean
    from: {docs: w.docs}
    with:
      rules:
        - {name: x, match: y, per: line}
        - {name: z, match: y, per: line, rank: 1, replace: <&>}
`, "")
	if err != nil {
		t.Fatal(err)
	}
	want := `"rules":[{"match":"y","name":"x","per":"line","rank":3,"replace":""},{"match":"y","name":"z","per":"line","rank":1,"replace":"<&>"}]`
	if got := string(stageOf(t, p, "c").Config); !strings.Contains(got, want) {
		t.Errorf("config is %s, want in it %s", got, want)
	}
}

func TestAbsentValue(t *testing.T) {
	for with, want := range map[string]string{
		"{run: x}":             `{"gate":null,"run":"x"}`,
		"{run: x, gate: null}": `{"gate":null,"run":"x"}`,
		"{run: x, gate: 0}":    `{"gate":0,"run":"x"}`,
	} {
		p, err := loadText("pipeline: p\nstages:\n  c: {uses: command, with: "+with+"}\n", "")
		if err != nil {
			t.Errorf("%s: %v", with, err)
		} else if got := string(p.Stages[0].Config); got != want {
			t.Errorf("%s gives %s, want %s", with, got, want)
		}
	}
}

// Loading must not change the defaults that all pipelines of a process share.
func TestDefaultsStayAsTheyAre(t *testing.T) {
	kinds := testKinds()
	before, _ := json.Marshal(kinds[1].Config)
	y := strings.ReplaceAll(wholeYAML, "limits: {lines: 3.0}", "limits: {words: 99}")
	if _, err := load([]byte(y), "p.yaml", "/", Options{Kinds: kinds}); err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal(kinds[1].Config); string(before) != string(after) {
		t.Errorf("defaults were %s and are %s", before, after)
	}
}

func TestLoadFile(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(filepath.Join(dir, "none.yaml"), Options{})
	var p *Problems
	if !errors.As(err, &p) || err.Error() != filepath.Join(dir, "none.yaml")+": no such pipeline file" {
		t.Errorf("error is %v", err)
	}
	if _, err = Load(dir, Options{}); !errors.As(err, &p) || !strings.Contains(err.Error(), "cannot read the pipeline file: is a directory") {
		t.Errorf("error is %v", err)
	}
	path := filepath.Join(dir, "p.yaml")
	if err := os.WriteFile(path, []byte("\ufeffpipeline: p\r\nstages:\r\n  c: {uses: command, with: {run: x}}\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path, Options{Kinds: testKinds()})
	if err != nil || got.Dir != dir || got.Path != path || got.Stages[0].Pos != (Pos{path, 3, 3}) {
		t.Errorf("%+v %v", got, err)
	}
}

// Files made to exhaust the parser are refused, and quickly.
func TestHostileFiles(t *testing.T) {
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'j'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
	}
	stairs := ""
	for i := range 1500 {
		stairs += strings.Repeat(" ", i) + "a:\n"
	}
	for name, src := range map[string]string{
		"brackets": strings.Repeat("[", 1<<20),
		"lines":    strings.Repeat("[\n", 1<<18),
		"dashes":   strings.Repeat("- ", 1<<20),
		"keys":     strings.Repeat("? ", 1<<20),
		"laughs":   laughs,
		"stairs":   stairs,
		"size":     strings.Repeat("# padding\n", 1<<20),
	} {
		_, err := loadText(src, "")
		if err == nil {
			t.Errorf("%s: no problem found", name)
		} else if len(err.Error()) > 20_000 && name != "brackets" && name != "dashes" && name != "keys" {
			t.Errorf("%s: the message has %d bytes", name, len(err.Error()))
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(wholeYAML, "sample")
	f.Add(whole, "")
	files, _ := filepath.Glob("testdata/problems/*.yaml")
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil {
			f.Add(string(b), "sample")
		}
	}
	f.Fuzz(func(t *testing.T, src, profile string) {
		p, err := loadText(src, profile)
		if (p == nil) == (err == nil) {
			t.Fatalf("pipeline %v, error %v", p, err)
		}
		if err != nil {
			for _, q := range err.(*Problems).All {
				if q.Message == "" || q.Pos.File != "p.yaml" || q.Pos.Line < 0 {
					t.Fatalf("problem %+v", q)
				}
			}
			return
		}
		for _, s := range p.Stages {
			if !json.Valid(s.Config) || s.Kind == nil {
				t.Fatalf("stage %s of kind %v has config %s", s.Name, s.Kind, s.Config)
			}
		}
	})
}
