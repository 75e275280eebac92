package audit

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/stages/page/pagetest"
)

// documents reads the fixture: excerpts of the sample corpus, the wiki's and Planalto's as
// they are before cleaning.
func documents(t testing.TB) []corpus.Document {
	t.Helper()
	b, err := os.ReadFile("testdata/docs.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var docs []corpus.Document
	d := json.NewDecoder(bytes.NewReader(b))
	for d.More() {
		var doc corpus.Document
		if err := d.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	return docs
}

// reports is what a clean and a dedup stage might have said of the fixture.
func reports(t testing.TB, docs []corpus.Document) []stagetest.Input {
	t.Helper()
	wiki, all := corpus.NewReport("clean"), corpus.NewReport("dedup")
	for i := range docs {
		d := docs[i]
		if d.Source == "wiki" {
			before := d
			before.Text += d.Text
			wiki.Enter(&before)
			wiki.Leave(&d)
			wiki.Touch("comments", "wiki", 3, 90)
			wiki.Lose("Convert", "wiki", 2, 40)
			wiki.Lose("Lang <b>", "wiki", 7, 10)
			wiki.Sample(1, "comments", &d, "antes <!-- nota --> depois")
		}
		all.Enter(&d)
		if i > 0 {
			all.Leave(&d)
		} else {
			all.Touch("near", d.Source, 1, int64(len(d.Text)))
		}
	}
	all.Number("clusters", "senado", 1)
	gone := corpus.Document{ID: "gone", Source: "gone", Text: "nada fica"}
	all.Enter(&gone)
	in := func(origin string, r *corpus.Report) stagetest.Input {
		var b bytes.Buffer
		if _, err := r.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		return stagetest.Input{Name: "report.json", Origin: origin, Data: b.Bytes()}
	}
	return []stagetest.Input{in("clean[wiki].report", wiki), in("dedup.report", all)}
}

// vocabulary trains a small tokenizer on the fixture.
func vocabulary(t testing.TB, docs []corpus.Document) stagetest.Input {
	t.Helper()
	c, err := tokenizer.NewCounter("ptbr", []string{"nfc"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range docs {
		c.Add(docs[i].Text)
	}
	tok, err := tokenizer.Train(t.Context(), c.Words(), tokenizer.Options{VocabSize: 400, MinFrequency: 2,
		Specials: []string{tokenizer.Pad, tokenizer.Unknown, tokenizer.Begin, tokenizer.End, tokenizer.Separator}, Splitter: "ptbr", Normalizer: []string{"nfc"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(dir + "/" + tokenizer.FileName)
	if err != nil {
		t.Fatal(err)
	}
	return stagetest.Input{Name: tokenizer.FileName, Data: b}
}

func config(gates map[string]Gate) Config {
	c := Kind.Config.(Config)
	c.Gates = gates
	return c
}

func limit(x float64) *float64 { return &x }

func inputs(t testing.TB) map[string][]stagetest.Input {
	docs := documents(t)
	return map[string][]stagetest.Input{
		"docs":      {stagetest.Shard(t, docs[:3]...), stagetest.Shard(t, docs[3:]...)},
		"reports":   reports(t, docs),
		"tokenizer": {vocabulary(t, docs)},
	}
}

func report(t testing.TB, r *stagetest.Result) (j Report, page string) {
	t.Helper()
	for _, o := range r.Out["report"] {
		switch o.Name {
		case "report.json":
			if err := json.Unmarshal(o.Data, &j); err != nil {
				t.Fatal(err)
			}
		case "report.html":
			page = string(o.Data)
		default:
			t.Fatalf("unexpected output %s", o.Name)
		}
	}
	return j, page
}

func TestGolden(t *testing.T) {
	r := stagetest.Run(t, Kind, config(map[string]Gate{"documents": {Min: limit(3)}, "residue.braces[wiki]": {Max: limit(1e6)}}), inputs(t))
	if len(r.Refused) > 0 {
		t.Fatalf("refused: %v", r.Refused)
	}
	stagetest.Golden(t, Kind, r)
}

func TestReport(t *testing.T) {
	docs := documents(t)
	r := stagetest.Run(t, Kind, config(nil), inputs(t))
	j, _ := report(t, r)
	var bytes int64
	for i := range docs {
		bytes += int64(len(docs[i].Text))
	}
	if j.Measures["documents"] != float64(len(docs)) || j.Measures["bytes"] != float64(bytes) {
		t.Errorf("%v documents of %v bytes, want %d of %d", j.Measures["documents"], j.Measures["bytes"], len(docs), bytes)
	}
	if j.Measures["tokens"] <= j.Measures["words"] {
		t.Errorf("%v tokens in %v words", j.Measures["tokens"], j.Measures["words"])
	}
	if r.Metrics["documents"][0] != float64(len(docs)) {
		t.Errorf("metric documents is %v", r.Metrics["documents"])
	}
	for _, c := range []struct {
		source, measure string
		above           bool
	}{
		{"wiki", "residue.braces", true}, {"wiki", "residue.tag", true}, {"planalto", "residue.tag", true},
		{"senado", "residue.total", false}, {"machado", "residue.total", false}, {"senado", "defects.mojibake", false},
	} {
		if x := j.BySource[c.source][c.measure]; (x > 0) != c.above {
			t.Errorf("%s of %s is %v", c.measure, c.source, x)
		}
	}
	if got := j.Lost[0]; got.Cause != "Lang <b>" || got.Total.Matches != 14 {
		t.Errorf("the first cause of lost text is %+v", got)
	}
	var rows []string
	for _, f := range j.Funnel {
		rows = append(rows, f.Source+" "+f.Stage)
	}
	if want := "gone dedup, machado dedup, planalto dedup, senado dedup, wiki clean[wiki], wiki dedup"; strings.Join(rows, ", ") != want {
		t.Errorf("funnel: %s, want %s", strings.Join(rows, ", "), want)
	}
	// 'gone' and one document of senado entered and are not among the documents.
	if k := j.Measures["kept.documents"]; k >= 1 || k <= 0 {
		t.Errorf("kept %v of documents", k)
	}
	if j.Measures["licence.none"] == 0 || j.Measures["language.pt"] < 0.5 {
		t.Errorf("licence.none %v, language.pt %v", j.Measures["licence.none"], j.Measures["language.pt"])
	}
}

func TestGates(t *testing.T) {
	r := stagetest.Run(t, Kind, config(map[string]Gate{
		"documents":            {Min: limit(100)},
		"residue.braces[wiki]": {Max: limit(5)},
		"score.mean":           {Min: limit(1), Max: limit(100)},
		"documents[wikinews]":  {Max: limit(5)},
	}), inputs(t))
	j, page := report(t, r)
	if len(r.Refused) != 1 {
		t.Fatalf("refused %d times", len(r.Refused))
	}
	for _, want := range []string{"documents is 8 (documents), 92 below its limit of 100, 92.0 %", "residue.braces[wiki] is ", "above its limit of 5",
		`no documents of source "wikinews"; there are machado, planalto, senado, wiki`} {
		if !strings.Contains(r.Refused[0], want) {
			t.Errorf("%q does not say %q", r.Refused[0], want)
		}
	}
	if strings.Contains(r.Refused[0], "score.mean") {
		t.Errorf("%q complains of a gate that holds", r.Refused[0])
	}
	if len(j.Gates) != 4 || strings.Count(page, ">broken</span>") != 3 || strings.Count(page, ">passed</span>") != 1 {
		t.Errorf("%d gates in JSON; the page has %d broken, %d passed", len(j.Gates), strings.Count(page, ">broken</span>"), strings.Count(page, ">passed</span>"))
	}
}

func TestBadConfig(t *testing.T) {
	for want, c := range map[string]Config{
		`no measure "residue.brace"; did you mean "residue.braces"`: config(map[string]Gate{"residue.brace": {Max: limit(1)}}),
		`did you mean "defects.mojibake"`:                           config(map[string]Gate{"mojibake": {Max: limit(1)}}),
		`did you mean "documents"`:                                  config(map[string]Gate{"document[wiki]": {Max: limit(1)}}),
		`written measure[source]`:                                   config(map[string]Gate{"documents[wiki": {Max: limit(1)}}),
		`documents has no limit`:                                    config(map[string]Gate{"documents": {}}),
		`min 5 is above max 3`:                                      config(map[string]Gate{"documents": {Min: limit(5), Max: limit(3)}}),
		`ngrams.orders has 0`:                                       {NGrams: NGrams{[]int{0}, 1000, 1}},
		`capacity is 5`:                                             {NGrams: NGrams{[]int{1}, 5, 1}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
	}
	_, err := New(config(map[string]Gate{"a": {Max: limit(1)}, "b": {Max: limit(1)}}))
	if err == nil || strings.Count(err.Error(), "there is no measure") != 2 {
		t.Errorf("%v: want both problems at once", err)
	}
}

func TestNothing(t *testing.T) {
	r := stagetest.Run(t, Kind, config(map[string]Gate{"documents": {Min: limit(1)}}), nil)
	j, page := report(t, r)
	if j.Measures["documents"] != 0 || !strings.Contains(page, "There are no documents") || len(r.Refused) != 1 {
		t.Errorf("an audit of nothing: %v, refused %v", j.Measures["documents"], r.Refused)
	}
}

func TestBadInput(t *testing.T) {
	_, err := stagetest.Try(t, Kind, config(nil), map[string][]stagetest.Input{"docs": {{Data: []byte("not a shard")}}}, 1, false)
	if err == nil {
		t.Error("garbage was audited")
	}
	_, err = stagetest.Try(t, Kind, config(nil), map[string][]stagetest.Input{"reports": {{Origin: "clean.report", Data: []byte("{")}}}, 1, false)
	if err == nil || !strings.Contains(err.Error(), "clean.report") {
		t.Errorf("%v: want the report's stage named", err)
	}
	_, err = stagetest.Try(t, Kind, config(nil), map[string][]stagetest.Input{
		"docs": {stagetest.Shard(t, documents(t)...)}, "tokenizer": {{Name: tokenizer.FileName, Data: []byte("{}")}}}, 1, false)
	if err == nil || !strings.Contains(err.Error(), "tokenizer") {
		t.Errorf("%v: want the tokenizer named", err)
	}
}

// The page must stand alone, be well formed, and show text of the corpus as text.
func TestPage(t *testing.T) {
	docs := documents(t)
	docs = append(docs, corpus.Document{ID: "<script>alert(1)</script>", Source: "<i>", License: `"><b>`, Text: strings.Repeat("<script>alert(2)</script> {{x}} ", 40)})
	_, page := report(t, stagetest.Run(t, Kind, config(nil), map[string][]stagetest.Input{"docs": {stagetest.Shard(t, docs...)}, "reports": reports(t, docs)}))
	pagetest.Check(t, page)
	if strings.Contains(page, "<i>\"") || !strings.Contains(page, "&lt;script&gt;alert(2)") {
		t.Error("text of the corpus is not shown as text")
	}
}

func TestMeasuresAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/stages/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range measures {
		if !strings.Contains(string(b), "`"+m.name+"`") {
			t.Errorf("docs/stages/audit.md does not have `%s`", m.name)
		}
	}
}
