package clean

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
)

func TestGolden(t *testing.T) {
	wiki, plain := wikiDocs(t), plainDocs(t)
	in := map[string][]stagetest.Input{"docs": {
		stagetest.Shard(t, wiki[:20]...),
		stagetest.Shard(t, wiki[len(wiki)-2:]...), // both revisions of Berlim
		stagetest.Shard(t, plain[0]),
	}}
	r := stagetest.Run(t, Kind, Kind.Config, in)
	stagetest.Golden(t, Kind, r)
	if len(r.Parts) != 3 || len(r.Out["docs"]) != 3 || len(r.Out["report"]) != 3 {
		t.Errorf("%d parts, %d shards, %d reports; want a shard and a report for each shard", len(r.Parts), len(r.Out["docs"]), len(r.Out["report"]))
	}
	docs := r.Docs(t, "docs")
	berlim := docs[len(docs)-2]
	if !strings.HasPrefix(berlim.Text, "Berlim (em alemão: Berlin) é a capital e um dos dezesseis estados da Alemanha. Com") || berlim.Meta["format"] != "text" {
		t.Errorf("%.100q, format %v", berlim.Text, berlim.Meta["format"])
	}
}

// On the whole sample: NFC, no residue of wikitext, and nothing left to clean.
func TestSample(t *testing.T) {
	c, err := newCleaner(config())
	if err != nil {
		t.Fatal(err)
	}
	report := corpus.NewReport("clean")
	docs := wikiDocs(t)
	for _, d := range append(docs, plainDocs(t)[:2]...) {
		wiki := d.Meta["format"] == "wikitext"
		if err := c.Clean(&d, report, 1); err != nil {
			t.Fatal(err)
		}
		check(t, c, d, wiki)
	}
	if n := report.Rules["templates"]["wiki"].Documents; n < 300 {
		t.Errorf("templates in %d documents", n)
	}
}

var residue = []string{"{{", "}}", "[[", "]]", "{|", "|}", "'''", "<ref", "</", "&nbsp;", "thumb|", "miniaturadaimagem", "__", "()", "( )", "\u00a0", "\n\n\n", "  ", " \n"}

func check(t testing.TB, c *Cleaner, d corpus.Document, wiki bool) {
	t.Helper()
	if !norm.NFC.IsNormalString(d.Text) {
		t.Errorf("%s is not NFC", d.ID)
	}
	if wiki {
		for _, s := range residue {
			if i := strings.Index(d.Text, s); i >= 0 {
				t.Errorf("%s has %q: …%s…", d.ID, s, d.Text[max(0, i-40):min(len(d.Text), i+40)])
			}
		}
	}
	for _, format := range []string{"text", "wikitext"} {
		if format == "wikitext" && !wiki {
			continue
		}
		again := d
		again.Meta = map[string]any{"format": format}
		if err := c.Clean(&again, corpus.NewReport("clean"), 1); err != nil {
			t.Fatal(err)
		}
		if again.Text != d.Text {
			i := 0
			for i < min(len(again.Text), len(d.Text)) && again.Text[i] == d.Text[i] {
				i++
			}
			t.Errorf("%s, cleaned again as %s: …%q became …%q", d.ID, format, d.Text[max(0, i-40):min(len(d.Text), i+40)], again.Text[max(0, i-40):min(len(again.Text), i+40)])
		}
	}
}

func TestDrops(t *testing.T) {
	cfg := config()
	cfg.MinChars = 5
	wiki := map[string]any{"format": "wikitext"}
	r := stagetest.Run(t, Kind, cfg, map[string][]stagetest.Input{"docs": {stagetest.Shard(t,
		corpus.Document{ID: "1", Source: "a", Text: "{{Info/X}}", Meta: wiki},
		corpus.Document{ID: "2", Source: "a", Text: "[[ação]]", Meta: wiki},
		corpus.Document{ID: "3", Source: "b", Text: "  ações ", Meta: map[string]any{"x": "y"}},
	)}})
	docs := r.Docs(t, "docs")
	if len(docs) != 1 || docs[0].Text != "ações" || docs[0].Meta["x"] != "y" || r.Counts["a/emptied"] != 1 || r.Counts["a/too-short"] != 1 {
		t.Errorf("%v, counts %v", docs, r.Counts)
	}
	report, err := corpus.ReadReport(strings.NewReader(string(r.Out["report"][0].Data)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := report.Rules["emptied"]["a"].Bytes, int64(len("{{Info/X}}")); got != want {
		t.Errorf("emptied counts %d bytes, want the %d that the document had", got, want)
	}
}

func TestUserRules(t *testing.T) {
	cfg := config()
	cfg.UserRules = []UserRule{
		{Name: "antes", Match: `(?<=Sr\.) (\w+)`, Replace: "  $1", Per: "line"},
		{Name: "linhas", Match: `^nota:.*$`, Replace: ""},
		{Name: "tudo", Match: `fim\n\s*do`, Replace: "fim do", Per: "document"},
	}
	got, r := mustClean(t, cfg, "O Sr. Silva.\nnota: x\nÉ o fim\ndo texto.", false)
	if got != "O Sr. Silva.\n\nÉ o fim do texto." {
		t.Errorf("%q", got)
	}
	for _, name := range []string{"user:antes", "user:linhas", "user:tudo"} {
		if r.Rules[name]["s"].Matches != 1 {
			t.Errorf("%s: %v", name, r.Rules[name])
		}
	}
	cfg.UserRules, cfg.MatchTimeout = []UserRule{{Name: "lenta", Match: `^(a+)+$`, Per: "document"}}, 20
	c, err := newCleaner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Clean(&corpus.Document{ID: "doc-7", Text: strings.Repeat("a", 40) + "!"}, corpus.NewReport("clean"), 1)
	if err == nil || !strings.Contains(err.Error(), `document doc-7: user rule "lenta" took longer than its match-timeout of 20ms`) {
		t.Errorf("a rule that runs out of time: %v", err)
	}
}

func TestConfig(t *testing.T) {
	tests := []struct {
		change func(*Config)
		says   string
	}{
		{func(c *Config) { c.Rules = map[string]bool{"comentarios": false, "link": false} }, `no rule is called "link"; did you mean "links"?`},
		{func(c *Config) { c.Tables = "keep" }, `tables is "keep"; it can be drop or rows`},
		{func(c *Config) { c.Math = "" }, "math is"},
		{func(c *Config) { c.Code = "x" }, "code is"},
		{func(c *Config) { c.MatchTimeout = 0 }, "match-timeout 0"},
		{func(c *Config) { c.Templates = map[string]string{"x": "{{{1"} }, "templates: x: {{{1 does not end"},
		{func(c *Config) { c.Templates = map[string]string{"x": "{{{1|a"} }, "has no }}}"},
		{func(c *Config) { c.Templates = map[string]string{" ": "a"} }, "is no name of a template"},
		{func(c *Config) { c.UserRules = []UserRule{{Name: "a", Match: "("}} }, `user rule "a": match`},
		{func(c *Config) { c.UserRules = []UserRule{{Match: "x", Per: "page"}} }, "has no name"},
		{func(c *Config) { c.UserRules = []UserRule{{Name: "a", Match: "x", Per: "page"}} }, `per is "page"; it can be line or document`},
		{func(c *Config) { c.UserRules = []UserRule{{Name: "a", Match: "x"}, {Name: "a", Match: "y"}} }, "there twice"},
	}
	for _, test := range tests {
		c := config()
		test.change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("error %v does not say %q", err, test.says)
		}
	}
}

// The page of this kind lists each rule as the table does.
func TestPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/stages/clean.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	for _, r := range rules {
		scope := "any text"
		if r.wiki {
			scope = "wikitext"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", r.name, scope, strings.ReplaceAll(r.doc, "|", `\|`))
	}
	if !strings.Contains(string(b), table.String()) {
		t.Errorf("docs/stages/clean.md does not have the table of rules:\n%s", table.String())
	}
}

// Whatever the text: the result is valid, normal, and clean by the rules of plain text.
func FuzzClean(f *testing.F) {
	for _, test := range ruleTests {
		f.Add(test.in, test.wiki)
	}
	cfg := config()
	c, err := newCleaner(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string, wiki bool) {
		if !utf8.ValidString(s) {
			return
		}
		d := corpus.Document{ID: "f", Text: s}
		if wiki {
			d.Meta = map[string]any{"format": "wikitext"}
		}
		report := corpus.NewReport("clean")
		if err := c.Clean(&d, report, 1); err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(d.Text) || !norm.NFC.IsNormalString(d.Text) || strings.ContainsAny(d.Text, "\x01\x02\x03\x04\x05\r\t\u00a0") || strings.Contains(d.Text, "\n\n\n") {
			t.Errorf("%q became %q", s, d.Text)
		}
		if wiki || report.Rules["invisible"][""].Matches > 0 {
			return // text may show what else it has only when those are gone
		}
		if again, _ := mustClean(t, cfg, d.Text, false); again != d.Text {
			t.Errorf("%q became %q, and that %q", s, d.Text, again)
		}
	})
}

func TestHostile(t *testing.T) {
	for _, s := range []string{"{{x}} ", "({{x}}", "( , ", "de {{x}} ", ", {{x}} ,", "- a", "a- bcd ", "Ã£", "Ã", "de2010", " ,", "(", ")", "[[", "{[[{", "a=b ", "style=\"x\" ", "12h30min ", "çăo "} {
		mustClean(t, config(), strings.Repeat(s, 1<<19/len(s)), true)
	}
}
