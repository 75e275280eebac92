package clean

import (
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
)

func config() Config { return Kind.Config.(Config) }

func mustClean(t testing.TB, cfg Config, text string, wiki bool) (string, *corpus.Report) {
	t.Helper()
	c, err := newCleaner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d := corpus.Document{ID: "d", Source: "s", Title: "Título", Text: text}
	if wiki {
		d.Meta = map[string]any{"format": "wikitext"}
	}
	r := corpus.NewReport("clean")
	if err := c.Clean(&d, r, 42); err != nil {
		t.Fatal(err)
	}
	return d.Text, r
}

// A row for each rule: it must touch the text, give want, and give something else when
// it is switched off.
var ruleTests = []struct {
	rule     string
	wiki     bool
	in, want string
}{
	{"comments", true, "Antes <!-- nota -->depois.", "Antes depois."},
	{"raw-elements", true, "Escreve-se <nowiki>[[assim]]</nowiki> em <math>a_{1}</math>.", "Escreve-se [[assim]] em $a_{1}$."},
	{"refs", true, "A cidade<ref>{{citar web|url=x}} fonte</ref> cresceu.<ref name=a/>", "A cidade cresceu."},
	{"inclusion", true, "<includeonly>não</includeonly>sim", "sim"},
	{"dropped-elements", true, "Texto.\n<gallery>\nA.jpg|foto\n</gallery>\nFim.", "Texto.\nFim."},
	{"sections", true, "Texto.\n== Ver também ==\n* [[A]]\n== História ==\nMais.", "Texto.\n\nHistória\n\nMais."},
	{"templates", true, "No {{séc|XIX}} havia {{fmtn|90000}} casas{{carece de fontes}}.", "No século XIX havia 90.000 casas."},
	{"tables", true, "Antes.\n{| class=\"wikitable\"\n! Ano\n|-\n| 1900\n|}\nDepois.", "Antes.\nDepois."},
	{"files", true, "[[Ficheiro:A.jpg|miniaturadaimagem|Vista de [[Olinda]]]]Olinda é bela.", "Olinda é bela."},
	{"categories", true, "Texto.\n[[Categoria:Cidades|Olinda]]\n[[:Categoria:Rios]] existe.", "Texto.\nCategoria:Rios existe."},
	{"interwiki", true, "Texto.\n[[en:Text]]\n[[wikt:texto|texto]]", "Texto.\ntexto"},
	{"links", true, "As [[universidade]]s da [[Alemanha|terra]]; a [[w:Lua|]].", "As universidades da terra; a Lua."},
	{"external-links", true, "Veja [http://a.org/b o sítio] [http://c.org].", "Veja o sítio."},
	{"quotes", true, "'''Berlim''' é ''bela''; d'''Os Lusíadas''.", "Berlim é bela; d'Os Lusíadas."},
	{"tags", true, "Um<br>dois m<sup>2</sup> <small>três</small>", "Um dois m² três"},
	{"magic-words", true, "__SEMSUMÁRIO__\nTexto.__NOTOC__", "Texto."},
	{"empty-sections", true, "== Vazia ==\n{{Info/X}}\n== Cheia ==\nTexto.", "Cheia\n\nTexto."},
	{"headings", true, "Um.\n== Dois ==\nTrês.", "Um.\n\nDois\n\nTrês."},
	{"lists", true, "* um\n* dois\n# três\n: quatro", "- um\n- dois\n1. três\nquatro"},
	{"entities", true, "A&nbsp;&mdash; B &amp;lt;", "A — B &lt;"},
	{"attribute-debris", true, "align=\"center\" style=\"color:red\" | Texto.\nwidth=10\nFim.", "Texto.\n\nFim."},
	{"talk-lines", true, "Texto.\nConcordo. Fulano 12h30min de 5 de maio de 2010 (UTC)\nFim.", "Texto.\nFim."},
	{"parentheses", true, "Berlim ({{xyz|a}}) e Bona ({{xyz|b}}; 1900) e Ulm (1901, {{xyz}}) têm f() aqui.", "Berlim e Bona (1900) e Ulm (1901) têm f() aqui."},
	{"empty-quotes", true, "“{{xyz}}” e \"{{xyz}}\" e \"\" e \"um\"{{xyz}}\"dois\".", "e e \"\" e \"um\"\"dois\"."},
	{"dangling-words", true, "Foi visto com cerca de {{xyz}}, e em {{xyz}}.", "Foi visto, e."},
	{"double-punctuation", true, "Um, {{xyz}}, dois; {{xyz}}.", "Um, dois."},
	{"gaps", true, "Tem {{xyz}} casas com {{xyz}} habitantes, disse {{xyz}}. Fim.[[Ficheiro:a.jpg]]Outro.", "Tem casas com habitantes, disse. Fim.\n\nOutro."},
	{"stray-markup", true, "Um [[ dois ]] {| três }} fim |}", "Um dois três fim"},
	{"mojibake-utf8", false, "A ConstituiÃ§Ã£o de SÃ£o Paulo, fÃƒÂ©, â€œnovaâ€\u009d Â§ 1Âº. AMANHÃ»", "A Constituição de São Paulo, fé, “nova” § 1º. AMANHÃ»"},
	{"c1-controls", false, "a \u0093sociedade\u0094 \u0096 ou \u0091companhia\u0092\u0085", "a “sociedade” – ou ‘companhia’…"},
	{"mojibake-latin2", false, "A constituiçăo, a naçăo e as açőes: năo há.", "A constituição, a nação e as ações: não há."},
	{"invisible", false, "cons\u00adti\u200btui\ufeffção\u0007", "constituição"},
	{"spaces", false, "a\u00a0b\tc\u2009d\r\ne\u2028f", "a b c d\ne\nf"},
	{"nfc", false, "constituic\u0327a\u0303o, 1º, m²", "constituição, 1º, m²"},
	{"ocr-hyphens", false, "A cons- tituição disse- me: pré- e pós-guerra; a data de hoje, o limite, a data- limite, por- que sim, porque. O bem- estar não- oficial, levar-se- á, far- se- á, o pré- pós-, o ex- rei, guarda- roupa- e.", "A constituição disse-me: pré- e pós-guerra; a data de hoje, o limite, a data-limite, porque sim, porque. O bem-estar não-oficial, levar-se-á, far-se-á, o pré- pós-, o ex-rei, guardaroupa- e."},
	{"glued-years", false, "Em maio de2010 e até1999; o A2000, o de20105 e de2.010.", "Em maio de 2010 e até 1999; o A2000, o de20105 e de2.010."},
	{"space-before-punctuation", false, "Sim , disse ( ele ) ; e foi . Fim ... .5 :) Ah . . . oh", "Sim, disse (ele); e foi. Fim ... .5 :) Ah . . . oh"},
	{"double-spaces", false, "  um  dois   \ntrês ", "um dois\ntrês"},
	{"blank-lines", false, "\n\num\n\n\n\ndois\n", "um\n\ndois"},
}

func TestRules(t *testing.T) {
	tested := map[string]bool{}
	for _, test := range ruleTests {
		tested[test.rule] = true
		got, r := mustClean(t, config(), test.in, test.wiki)
		if got != test.want {
			t.Errorf("%s: %q gave\n%q, want\n%q", test.rule, test.in, got, test.want)
		}
		if r.Rules[test.rule]["s"].Matches == 0 || r.Rules[test.rule]["s"].Documents != 1 {
			t.Errorf("%s: not counted: %v", test.rule, r.Rules)
		}
		if s := r.Samples[test.rule]; len(s) != 1 || !strings.Contains(s[0].Text, " → ") {
			t.Errorf("%s: samples %v", test.rule, s)
		}
		cfg := config()
		cfg.Rules = map[string]bool{test.rule: false}
		off, r := mustClean(t, cfg, test.in, test.wiki)
		if off == got {
			t.Errorf("%s: switched off, it still gives %q", test.rule, got)
		}
		if r.Rules[test.rule]["s"].Matches != 0 {
			t.Errorf("%s: switched off, it still counts", test.rule)
		}
	}
	for _, r := range rules {
		if !tested[r.name] {
			t.Errorf("no test of rule %s", r.name)
		}
	}
}

func TestLost(t *testing.T) {
	_, r := mustClean(t, config(), "{{Caixa}}Berlim ({{AFI|x}}) tem {{Contagem|b}} casas, com {{população}} habitantes, perto de {{lugar}}, e ({{datas}}; 1900).{{nb}}\n\n"+
		"{{mapa}}\n\nFoi para o {{ano}}.\n\n“{{lema}}”\n\n{{Cp|1x2}} é o fim {{esboço}} de tudo. {{xyz}} Outro começo", true)
	for cause, want := range map[string]bool{"afi": true, "população": true, "lugar": true, "datas": true, "contagem": true, "ano": true, "lema": true, "cp": true,
		"caixa": false, "nb": false, "mapa": false, "esboço": false, "xyz": false} {
		if got := r.Lost[cause]["s"].Matches == 1; got != want {
			t.Errorf("lost text of %s: %v, want %v (%v)", cause, got, want, r.Lost)
		}
	}
	_, twice := mustClean(t, config(), "Tem {{Contagem|b}} casas, {{contagem}} ruas.", true)
	if got := twice.Lost["contagem"]["s"]; got.Documents != 1 || got.Matches != 2 {
		t.Errorf("two losses in a document: %+v", got)
	}
	if r.Numbers["unknown template população"]["s"] != 1 || r.Rules["templates-unknown"]["s"].Matches != 11 || r.Rules["templates-dropped"]["s"].Matches != 2 {
		t.Errorf("numbers %v, rules %v", r.Numbers, r.Rules)
	}
}

func TestTemplates(t *testing.T) {
	for in, want := range map[string]string{
		"{{lang|de|Berlin}}": "Berlin", "{{Lang-de|''Berlin''}}": "em alemão: Berlin", "{{langx|fr|Paris}}": "em francês: Paris",
		"{{séc|XIII}} {{Século|V|a.C.}}":                                             "século XIII século V a.C.",
		"{{fmtn|891.82}} km² {{formatnum:3711930}}":                                  "891,82 km² 3.711.930",
		"{{convert|10|km|mi|abbr=on}} {{converter|5|to|10|m2}} {{unidade|1200|kg}}":  "10 km 5 a 10 m² 1.200 kg",
		"{{dni|15|3|1950|lang=br}} {{data|2010-05-01}} {{morte|1|12|2000|3|4|1920}}": "15 de março de 1950 1º de maio de 2010 1º de dezembro de 2000",
		"{{nihongo|Tóquio|東京|Tōkyō}}":                                                "Tóquio (東京, Tōkyō)",
		"{{abbr|ONU|Organização}} {{w|Lua|a lua}} {{w|Sol}}":                         "ONU a lua Sol",
		"{{PBPE|trem|comboio}}":                                                      "trem",
		"m{{sup|2}} H{{sub|2}}O 3{{e|6}}":                                            "m² H₂O 3 × 10⁶",
		"erado {{sic}} {{sic|escripto}}":                                             "erado [sic] escripto",
		"Disse:{{citação|Penso, logo existo.|Descartes}}Fim.":                        "Disse:\n\n“Penso, logo existo.” — Descartes\n\nFim.",
		"{{quote box|quote=Oi|person=[[Ana]]}}":                                      "“Oi” — Ana",
		"a{{!}}b {{lang|pt|c{{=}}d}}":                                                "a|b c=d",
		"{{hlist|a|b}} {{nowrap|c d}}":                                               "a, b c d",
		"{{#if:|a|{{lang|la|b}}}}":                                                   "b",
		"{{subst:lang|la|x}} {{Predefinição:Lang|la|y}} {{lang_|la|z}}":              "x y z",
		"Título: {{PAGENAME}}":                                                       "Título: Título",
		"{{Info/Cidade|nome={{lang|de|x}}}}{{esboço-geo}}Texto":                      "Texto",
		"<poem>\nUm\nDois\n</poem>":                                                  "Um\nDois",
	} {
		if got, _ := mustClean(t, config(), in, true); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	cfg := config()
	cfg.Templates = map[string]string{"Cp": "capítulo {{{1}}}", "Personagem": "{{{nome|{{{1|alguém}}}}}}.", "lang": "", "Cx*": "", "cx1": "um"}
	if got, r := mustClean(t, cfg, "No {{cp|1x2}}: {{Personagem|nome=Ana}} {{Personagem|Rui}} {{personagem}} {{lang|de|x}}{{cx2}}{{cx1}}", true); got != "No capítulo 1x2: Ana. Rui. alguém. um" || r.Rules["templates-unknown"]["s"].Matches != 0 {
		t.Errorf("%q %v", got, r.Rules)
	}
}

func TestOptions(t *testing.T) {
	cfg := config()
	cfg.Tables, cfg.Math, cfg.Code, cfg.Sections, cfg.MagicWords = "rows", "drop", "drop", []string{"Fim"}, []string{"__X__"}
	in := "{|\n| a || b\n|-\n| c\n|}\nSe <math>x</math> e <pre>y</pre>, z.__X__ __NOTOC__\n== Notas ==\nn\n== FIM ==\nw"
	if got, _ := mustClean(t, cfg, in, true); got != "a; b\nc\nSe, z. __NOTOC__\n\nNotas\n\nn" {
		t.Errorf("%q", got)
	}
}

// Text that is not wikitext keeps what would be markup in it.
func TestPlain(t *testing.T) {
	const in = "Art. 5º Todos são iguais [[sic]] {{x}} '''y''' () &amp;:\n* I - um;\n== a ==\n# dois\n<b>"
	if got, _ := mustClean(t, config(), in, false); got != in {
		t.Errorf("%q", got)
	}
}
