package filter

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
)

func config(f func(*Config)) Config {
	c := Kind.Config.(Config)
	if f != nil {
		f(&c)
	}
	return c
}

// prose is the Portuguese training text of the language model: 26 paragraphs that
// break no rule.
func prose(t testing.TB) []string {
	b, err := os.ReadFile("../../corpus/langid/text/pt.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func run(t testing.TB, c Config, d ...corpus.Document) *stagetest.Result {
	return stagetest.Run(t, Kind, c, map[string][]stagetest.Input{"docs": {stagetest.Shard(t, d...)}})
}

func TestEveryRule(t *testing.T) {
	p := prose(t)
	good := strings.Join(p, "\n")
	words := strings.Fields(strings.Join(p, " "))
	spanish, err := os.ReadFile("../../corpus/langid/text/es.txt")
	if err != nil {
		t.Fatal(err)
	}
	// every gives the words of the text with something after each n-th.
	every := func(n int, with string) string {
		var b strings.Builder
		for i, w := range words {
			b.WriteString(w + " ")
			if i%n == n-1 {
				b.WriteString(with)
			}
		}
		return b.String()
	}
	texts := map[string]string{
		"language":                  string(spanish),
		"min-words":                 p[1],
		"max-words":                 strings.Repeat(good+"\n", 130),
		"min-word-length":           every(1, "é a o "),
		"max-word-length":           strings.Repeat("inconstitucionalissimamente otorrinolaringologista de uma ", 20),
		"alphabetic-words":          every(2, "123 "),
		"stop-words":                strings.Repeat("Meninos correm; meninas cantam; pássaros voam; cachorros latem; gatos dormem. ", 8),
		"hash-per-word":             every(3, "# "),
		"ellipsis-per-word":         every(3, "... "),
		"bullet-lines":              "- " + strings.Join(p, "\n- "),
		"line-ends":                 strings.ReplaceAll(good, ".\n", ",\n"),
		"newlines-per-word":         every(4, "\n"),
		"duplicate-lines":           strings.Repeat("Sim.\nNão.\n", 20) + good,
		"duplicate-line-characters": good + "\n" + strings.Join(p[:8], "\n"),
		"top-2-gram":                strings.Repeat("muito obrigado ", 30) + "de a " + p[0],
		"top-3-gram":                strings.Repeat("muito obrigado mesmo ", 30) + "de a " + p[0],
		"top-4-gram":                strings.Repeat("muito obrigado mesmo gente ", 30) + "de a " + p[0],
		"duplicate-5-gram":          strings.Join(p[:10], " ") + " " + strings.Join(p[:4], " "),
		"duplicate-6-gram":          strings.Join(p[:10], " ") + " " + strings.Join(p[:4], " "),
		"duplicate-7-gram":          strings.Join(p[:10], " ") + " " + strings.Join(p[:4], " "),
		"duplicate-8-gram":          strings.Join(p[:10], " ") + " " + strings.Join(p[:4], " "),
		"duplicate-9-gram":          strings.Join(p[:10], " ") + " " + strings.Join(p[:4], " "),
		"duplicate-10-gram":         strings.Join(p[:10], " ") + " " + strings.Join(p[:4], " "),
	}
	for _, r := range rules {
		rule, text := r.name, texts[r.name]
		if text == "" {
			t.Errorf("%s: no text breaks it here", rule)
			continue
		}
		d := corpus.Document{ID: "x", Source: "s", Text: text}
		r := run(t, config(nil), d)
		dropped := r.Docs(t, "dropped")
		if len(dropped) != 1 || !slices.Contains(dropped[0].Meta["dropped"].([]any), any(rule)) {
			t.Errorf("%s: not dropped for it: %v", rule, r.Counts)
			continue
		}
		if r.Counts["s/"+rule] != 1 {
			t.Errorf("%s: counted %d times", rule, r.Counts["s/"+rule])
		}
		// With all that is broken switched off, the document stays.
		var off []string
		for _, x := range dropped[0].Meta["dropped"].([]any) {
			off = append(off, x.(string))
		}
		r = run(t, config(func(c *Config) {
			c.Profiles = map[string]Profile{"p": {Off: off}}
			c.Sources = map[string]string{"s": "p"}
		}), d)
		if len(r.Docs(t, "docs")) != 1 {
			t.Errorf("%s: dropped although off", rule)
		}
	}
	if r := run(t, config(nil), corpus.Document{ID: "good", Source: "s", Text: good}); len(r.Docs(t, "docs")) != 1 {
		t.Errorf("good prose was dropped: %v", r.Counts)
	}
}

func TestGolden(t *testing.T) {
	p := prose(t)
	verse := strings.Repeat("Bailando no ar, gemia inquieto vaga-lume:\n— Quem me dera que fosse aquela loura estrela,\nQue arde no eterno azul, como uma eterna vela!\nMas a estrela, fitando a lua, com ciúme,\n", 4)
	law := "LEI Nº 1\n" + strings.Repeat("Art. 1º O servidor fará jus ao adicional de que trata esta Lei;\nI - de 10% (dez por cento);\n", 12)
	pii := p[3] + " Contato: CPF 111.444.777-35, e-mail joao@exemplo.com.br, telefone (61) 3303-4141. " + p[4]
	r := run(t, config(func(c *Config) {
		c.PII = "mask"
		c.Sources = map[string]string{"leis": "law", "livros": "book", "livros/poesia-*": "poetry"}
		c.Profiles = with(c.Profiles, "poetry", Profile{Off: append(slices.Clone(c.Profiles["poetry"].Off), duplicates...)})
	}),
		corpus.Document{ID: "prosa", Source: "livros", Text: strings.Join(p, "\n")},
		corpus.Document{ID: "livros/poesia-1", Source: "livros", Text: verse},
		corpus.Document{ID: "livros/conto-1", Source: "livros", Text: verse},
		corpus.Document{ID: "lei-1", Source: "leis", Text: law + " CPF 111.444.777-35"},
		corpus.Document{ID: "curto", Source: "rede", Text: "Oi, tudo bem?"},
		corpus.Document{ID: "pessoal", Source: "rede", Text: pii},
	)
	stagetest.Golden(t, Kind, r)
	ids := func(port string) (s []string) {
		for _, d := range r.Docs(t, port) {
			s = append(s, d.ID)
		}
		return s
	}
	if got := ids("docs"); !reflect.DeepEqual(got, []string{"prosa", "livros/poesia-1", "lei-1", "pessoal"}) {
		t.Errorf("kept %q", got)
	}
	if got := ids("dropped"); !reflect.DeepEqual(got, []string{"livros/conto-1", "curto"}) {
		t.Errorf("dropped %q", got)
	}
	kept := r.Docs(t, "docs")
	if !strings.Contains(kept[3].Text, "CPF [CPF], e-mail [EMAIL], telefone [PHONE].") {
		t.Errorf("not masked: %s", kept[3].Text)
	}
	if fmt.Sprint(kept[3].Meta["pii"]) != "map[cpf:1 email:1 phone:1]" {
		t.Errorf("tags: %v", kept[3].Meta["pii"])
	}
	if !strings.Contains(kept[2].Text, "111.444.777-35") || kept[2].Meta["pii"] != nil {
		t.Error("the law's numbers were touched")
	}
	if q := kept[0].Meta["quality"].(map[string]any); len(q) != 21 || q["language"] != 1.0 || kept[0].Meta["language"] != "pt" {
		t.Errorf("measures in meta: %v", q)
	}
	if r.Counts["rede/pii-cpf"] != 1 || r.Counts["rede/min-words"] != 1 {
		t.Errorf("counts: %v", r.Counts)
	}
	rep, err := corpus.ReadReport(strings.NewReader(string(r.Out["report"][0].Data)))
	if err != nil || len(rep.Samples["min-words/broken"]) != 1 || rep.In["rede"].Documents != 2 || rep.Out["rede"].Documents != 1 || rep.Numbers["profile law"]["leis"] != 1 {
		t.Errorf("report: %v %+v", err, rep)
	}
	if strings.Contains(string(r.Out["report"][0].Data), "joao@") {
		t.Error("the report shows masked data")
	}
}

var duplicates = []string{"duplicate-5-gram", "duplicate-6-gram", "duplicate-7-gram", "duplicate-8-gram", "duplicate-9-gram", "duplicate-10-gram", "top-4-gram"}

func with(m map[string]Profile, name string, p Profile) map[string]Profile {
	c := map[string]Profile{name: p}
	for k, v := range m {
		if k != name {
			c[k] = v
		}
	}
	return c
}

func TestTagOnly(t *testing.T) {
	r := run(t, config(func(c *Config) { c.Action, c.Tag, c.PII = "tag", false, "off" }), corpus.Document{ID: "x", Source: "s", Text: "Curto: a@b.org"})
	d := r.Docs(t, "docs")
	if len(d) != 1 || !reflect.DeepEqual(d[0].Meta, map[string]any{"broken": []any{"language", "min-words", "min-word-length", "stop-words", "line-ends"}}) {
		t.Errorf("%+v", d)
	}
}

func TestOwnLimit(t *testing.T) {
	d := corpus.Document{ID: "x", Source: "s", Text: "Um texto de uma frase só, que a regra de tamanho não deixa passar."}
	if r := run(t, config(func(c *Config) { c.Rules = map[string]float64{"min-words": 10} }), d); len(r.Docs(t, "docs")) != 1 {
		t.Errorf("dropped: %v", r.Counts)
	}
}

func TestLongestPatternWins(t *testing.T) {
	s, err := New(config(func(c *Config) {
		c.Sources = map[string]string{"m": "book", "m/*": "law", "m/poesia-*": "poetry", "m/p*": "default"}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"outro": "book", "m/conto": "law", "m/poesia-1": "poetry", "m/prosa": "default"} {
		if got := s.(*Filter).plan(&corpus.Document{ID: id, Source: "m"}).name; got != want {
			t.Errorf("%s: profile %s, want %s", id, got, want)
		}
	}
}

func TestBadConfig(t *testing.T) {
	_, err := New(Config{Action: "x", Language: "xx", PII: "hide", Rules: map[string]float64{"min-word": 1},
		Profiles: map[string]Profile{"a": {Off: []string{"nope"}, Rules: map[string]float64{"no": 1}, PII: "no"}},
		Sources:  map[string]string{"s": "b", "[": "a"}})
	for _, want := range []string{`action is "x"`, `language is "xx"`, `pii is "hide"`, "rules.min-word: no such rule; there are language, min-words",
		`profiles.a.off[0]: no rule "nope"`, "profiles.a.rules.no: no such rule", "profiles.a.pii", `sources.s: no profile "b"; there are a, default`, "sources.[ is no pattern"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
