package planaltoparse

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/htmltext"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
)

func config(f func(*Config)) Config {
	c := Kind.Config.(Config)
	if f != nil {
		f(&c)
	}
	return c
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pack(files ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Typeflag: tar.TypeReg, Mode: 0o644})
		w.Write([]byte(files[i+1]))
	}
	w.Close()
	return b.Bytes()
}

func page(name, html string) map[string][]stagetest.Input {
	return map[string][]stagetest.Input{"pages": {{Name: name, Data: []byte(html)}}}
}

func TestGolden(t *testing.T) {
	in := map[string][]stagetest.Input{
		"pages": {{Name: "planalto.tar", Data: pack("planalto/CDC.html", string(read(t, "CDC.html")), "planalto/LGPD.html", string(read(t, "LGPD.html")), "planalto/x.css", "p{}")}},
		"index": {{Data: read(t, "index.tsv")}},
	}
	r := stagetest.Run(t, Kind, config(func(c *Config) { c.MaxSize = 4 << 10 }), in)
	stagetest.Golden(t, Kind, r)
	docs := r.Docs(t, "docs")
	first := docs[0]
	if first.ID != "planalto/CDC/titulo-i" || first.Title != "Código de Defesa do Consumidor – TÍTULO I" || first.Date != "1990-09-11" ||
		first.URL != "https://www.planalto.gov.br/ccivil_03/leis/l8078.htm" || first.License == "" || first.Meta["law"] != "CDC" {
		t.Errorf("%+v", first)
	}
	var all []string
	for _, d := range docs {
		if d.Meta["law"] == "CDC" {
			all = append(all, strings.Split(d.Text, "\n")...)
		}
		if len(d.Text) > 4<<10 {
			t.Errorf("%s has %d bytes", d.ID, len(d.Text))
		}
	}
	want := []string{
		"LEI Nº 8.078, DE 11 DE SETEMBRO DE 1990.",
		"Dispõe sobre a proteção do consumidor e dá outras providências.",
		"O PRESIDENTE DA REPÚBLICA, faço saber que o Congresso Nacional decreta e eu sanciono a seguinte lei:",
		"TÍTULO I", "Dos Direitos do Consumidor", "CAPÍTULO I", "Disposições Gerais",
	}
	if !slices.Equal(all[:len(want)], want) {
		t.Errorf("the law begins\n%s", strings.Join(all[:len(want)], "\n"))
	}
	for _, w := range []string{
		"Art. 2º Consumidor é toda pessoa física ou jurídica que adquire ou utiliza produto ou serviço como destinatário final.",
		"§ 1º Produto é qualquer bem, móvel ou imóvel, material ou imaterial.",
		"I - reconhecimento da vulnerabilidade do consumidor no mercado de consumo;",
		"a) por iniciativa direta;",
	} {
		if !slices.Contains(all, w) {
			t.Errorf("no line %q", w)
		}
	}
	for rule, least := range map[string]int64{"revoked": 5, "amendment-note": 5, "furniture": 10, "ordinal-sign": 5, "split": 2, "file-passed-over": 1, "encoding-utf-8": 2} {
		if r.Counts["planalto/"+rule] < least {
			t.Errorf("%s: counted %d, want %d or more", rule, r.Counts["planalto/"+rule], least)
		}
	}
}

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Art. 5° Todos são iguais", "Art. 5º Todos são iguais"},
		{"Art. 5o Todos", "Art. 5º Todos"},
		{"no caso do art. 5 o juiz", "no caso do art. 5 o juiz"},
		{"os §§ 10 e 20 do art. 10", "os §§ 10 e 20 do art. 10"},
		{"Art. 5o, caput", "Art. 5º , caput"},
		{"Art 3º - Considera-se", "Art. 3º Considera-se"},
		{"ART. 3º Considera-se", "Art. 3º Considera-se"},
		{"Art. 10 - A lei", "Art. 10. A lei"},
		{"Art. 10º A lei", "Art. 10. A lei"},
		{"Art. 913 - O Ministro", "Art. 913. O Ministro"},
		{"Art. 915 -Não serão", "Art. 915. Não serão"},
		{"Art. 58-A. Considera-se", "Art. 58-A. Considera-se"},
		{"Art. 3º-A O processo", "Art. 3º-A. O processo"},
		{"Art. 2.042: Aplica-se", "Art. 2.042. Aplica-se"},
		{"Art. 4: São", "Art. 4º São"},
		{"Art. 4º (VETADO)", "Art. 4º (VETADO)"},
		{"Arts. 10 a 12", "Arts. 10 a 12"},
		{"§ 1: Em falta", "§ 1º Em falta"},
		{"§ 2o O prazo", "§ 2º O prazo"},
		{"§ 10 - O prazo", "§ 10. O prazo"},
		{"§ 1º-A. O prazo", "§ 1º-A. O prazo"},
		{"Parágrafo único - O prazo", "Parágrafo único. O prazo"},
		{"PARÁGRAFO ÚNICO. O prazo", "Parágrafo único. O prazo"},
		{"IV – os pródigos.", "IV - os pródigos."},
		{"II-A — a multa", "II-A - a multa"},
		{"CIVIL - nome", "CIVIL - nome"},
		{"na forma do art. 7° e do § 2°; a 25 °C e 25°C", "na forma do art. 7º e do § 2º; a 25 °C e 25°C"},
		{"os §§ 1 º e 2 º", "os §§ 1º e 2º"},
		{"Lei n° 8.078", "Lei nº 8.078"},
		{"b ) outro", "b) outro"},
		{"o caput , e o resto .", "o caput, e o resto."},
		{"1º .......", "1º ..."},
		{"VlIl - os itens II, Vl, lI e Vl do Capítulo lIl", "VIII - os itens II, VI, II e VI do Capítulo III"},
		{"regula - se pelo disposto; presumir - se - á; ajustá - lo.", "regula-se pelo disposto; presumir-se-á; ajustá-lo."},
		{"VII - se a vítima; item l - se for", "VII - se a vítima; item l - se for"},
		{"km² e 2ª, 10⁻³, ﬁm", "km² e 2ª, 10⁻³, ﬁm"}, // never NFKC
	} {
		want := strings.ReplaceAll(c.want, "º ,", "º,")
		if got := canonical(c.in, func(string, int64) {}); got != want {
			t.Errorf("%q: got %q, want %q", c.in, got, want)
		}
		if again := canonical(want, func(string, int64) {}); again != want {
			t.Errorf("%q is not stable: %q", want, again)
		}
	}
}

func TestRevokedAndNotes(t *testing.T) {
	html := `<h1>L1</h1><p>Presidência da República</p><p>LEI Nº 1, DE 2 DE MAIO DE 2001</p>
<p>(Vide Lei nº 9)</p>
<p><strike>Art. 1º Velho.</strike></p>
<p>Art. 1º Novo. <a>(Redação dada pela Lei nº 2, de 2002)</a> (Vigência)</p>
<p><strike>Art. 2º Morto.</strike> (Revogado pela Lei nº 2, de 2002)</p>
<p>Art. 3º (Revogado pela Lei nº 2, de 2002)</p>
<p>I - (Revogado);</p>
<p>Art. 4º (VETADO).</p>
<p>Art. 5º Vale <span style="text-decoration:line-through">não</span> sempre (no mínimo).</p>
<p>Este texto não substitui o publicado no DOU de 3.5.2001</p><p>*</p>`
	text := func(c Config) string {
		r := stagetest.Run(t, Kind, c, page("l1.htm", html))
		return r.Docs(t, "docs")[0].Text
	}
	for _, c := range []struct {
		name string
		set  func(*Config)
		want string
	}{
		{"default", nil, "LEI Nº 1, DE 2 DE MAIO DE 2001\nArt. 1º Novo.\nArt. 3º (Revogado pela Lei nº 2, de 2002)\nI - (Revogado);\nArt. 4º (VETADO).\nArt. 5º Vale sempre (no mínimo)."},
		{"notes kept", func(c *Config) { c.Notes = "keep" },
			"LEI Nº 1, DE 2 DE MAIO DE 2001\nArt. 1º Novo. (Redação dada pela Lei nº 2, de 2002) (Vigência)\nArt. 3º (Revogado pela Lei nº 2, de 2002)\nI - (Revogado);\nArt. 4º (VETADO).\nArt. 5º Vale sempre (no mínimo)."},
		{"revoked kept", func(c *Config) { c.Revoked = "keep" },
			"LEI Nº 1, DE 2 DE MAIO DE 2001\nArt. 1º Velho.\nArt. 1º Novo.\nArt. 2º Morto.\nArt. 3º (Revogado pela Lei nº 2, de 2002)\nI - (Revogado);\nArt. 4º (VETADO).\nArt. 5º Vale não sempre (no mínimo)."},
	} {
		if got := text(config(c.set)); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// What struck text and remarks leave behind when they go.
func TestRemains(t *testing.T) {
	for in, want := range map[string]string{
		"<p>em qualquer grau<strike> médio</strike>, <strike>quando pedir</strike>, durante a lactação.</p>": "em qualquer grau, durante a lactação.",
		"<p>poderá ser: (Redação dada pela Lei nº 2, de 2002).</p>":                                          "poderá ser:",
		"<p>A<strike>rt. 28. Serão arquivadas.</strike></p>":                                                 "",
		"<p>A<strike>rt. 75. Os infratores.</strike> <a>Vigência encerrada</a></p>":                          "",
		"<p><strike>III - infrações da Lei n</strike>º<strike> 12.529</strike></p>":                          "",
		"<p>A <strike>rt. 334. Importar.</strike></p>":                                                       "",
		"<p>c <strike>) os nascidos no estrangeiro;</strike></p>":                                            "",
		"<p>A <strike>velha</strike></p>":                                                                    "A",
		"<p>§ 1º O órgão poderá atuar.</p><p>§ 1º O órgão poderá atuar. (Redação dada pela Lei nº 2)</p>":    "§ 1º O órgão poderá atuar.",
		"<p>é cometido com violência; ou Incluído pela Lei nº 13.445, de 2017 Vigência</p>":                  "é cometido com violência; ou",
		"<p>durante a vigência. Vigência encerrada</p>":                                                      "durante a vigência.",
		"<p>e entra em vigência</p>":                                                                         "e entra em vigência",
		"<p>.......</p><p>.......</p>":                                                                       "...\n...",
		"<p>as expressões \u0091sociedade\u0092 \u0096 ou \u0093companhia\u0094\u0081</p>":                   "as expressões ‘sociedade’ – ou “companhia”",
	} {
		r := stagetest.Run(t, Kind, config(nil), page("l1.htm", "<p>Art. 1º Fica.</p>"+in))
		if got, want := r.Docs(t, "docs")[0].Text, strings.TrimSpace("Art. 1º Fica.\n"+want); got != want {
			t.Errorf("%s: got\n%q, want\n%q", in, got, want)
		}
	}
}

func TestEncodings(t *testing.T) {
	const law = "<p>LEI Nº 1, DE 2 DE MARÇO DE 2001</p><p>Art. 1º A “educação” é de todos – e dever do Estado.</p>"
	latin, err := charmap.Windows1252.NewEncoder().String(law)
	if err != nil {
		t.Fatal(err)
	}
	want := "LEI Nº 1, DE 2 DE MARÇO DE 2001\nArt. 1º A “educação” é de todos – e dever do Estado."
	for _, c := range []struct{ name, html, count string }{
		{"utf-8", law, "encoding-utf-8"},
		{"utf-8 that says it is latin", "<meta charset=iso-8859-1>" + law, "encoding-utf-8"},
		{"windows-1252", "<meta charset=windows-1252>" + latin, "encoding-windows-1252"},
		{"windows-1252 that says it is latin", "<meta charset=iso-8859-1>" + latin, "encoding-windows-1252"},
		{"windows-1252 that says it is utf-8", "<meta charset=utf-8>" + latin, "encoding-windows-1252"},
		{"silent windows-1252", latin, "encoding-windows-1252"},
	} {
		r := stagetest.Run(t, Kind, config(nil), page("l1.htm", c.html))
		if d := r.Docs(t, "docs"); len(d) != 1 || d[0].Text != want || d[0].Title != "LEI Nº 1, DE 2 DE MARÇO DE 2001" || d[0].Date != "2001-03-02" {
			t.Errorf("%s: %+v", c.name, d)
		}
		if r.Counts["planalto/"+c.count] != 1 {
			t.Errorf("%s: %v", c.name, r.Counts)
		}
	}
}

func TestCut(t *testing.T) {
	lines := []string{"LEI Nº 1", "PARTE GERAL", "TÍTULO I", "Das coisas"}
	article := func(n int) { lines = append(lines, fmt.Sprintf("Art. %d. %s", n, strings.Repeat("x", 700))) }
	for n := 10; n < 14; n++ {
		article(n)
	}
	lines = append(lines, "TÍTULO II", "CAPÍTULO I")
	for n := 14; n < 20; n++ {
		article(n)
	}
	lines = append(lines, "Capítulo II – Do resto", "Título é palavra também.")
	article(20)
	var got []string
	total := 0
	for _, p := range cut(lines, 3000) {
		got = append(got, fmt.Sprintf("%s (%d)", p.slug(), len(p.lines)))
		total += len(p.lines)
		if p.size() > 3000+scrap {
			t.Errorf("%s has %d bytes", p.slug(), p.size())
		}
	}
	want := []string{"parte-geral (8)", "parte-geral-titulo-ii-capitulo-i (6)", "parte-geral-titulo-ii-capitulo-i-art-18 (2)", "parte-geral-titulo-ii-capitulo-ii (3)"}
	if !slices.Equal(got, want) || total != len(lines) {
		t.Errorf("got %q, want %q; %d of %d lines", got, want, total, len(lines))
	}
	if n := len(cut(lines, 0)); n != 1 {
		t.Errorf("max-size 0 gives %d pieces", n)
	}
}

func TestIndex(t *testing.T) {
	const head = "file\tname\turl\n"
	x, err := readIndex(head + "(not here) A.html\tLei A\thttps://x/leis/L1.htm\nB.html\tLei B\t\r\n\n")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"d/l1.htm": "Lei A", "a.html": "Lei A", "b.HTML": "Lei B", "c.html": ""} {
		if e, _ := x.find(file); e.name != want {
			t.Errorf("%s: %q, want %q", file, e.name, want)
		}
	}
	for in, want := range map[string]string{
		"a\tb\n":                            "line 1 has 2 fields",
		"a\tb\tc\n":                         "must be the heading",
		head + "a\n":                        "line 2 has 1 fields",
		head + "a\tx\tu\na\ty\tv\n":         "line 3: a is listed twice",
		head + "d/a.html\tx\t\nA.html\ty\t": "line 3: a.html is listed twice",
	} {
		if _, err := readIndex(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestBadInput(t *testing.T) {
	for _, c := range []struct {
		name, file, html string
		set              func(*Config)
		want             []string
	}{
		{"invalid UTF-8", "a.html", "<p>n\xe3o", func(c *Config) { c.Encoding = "utf-8" }, []string{"a.html", "byte 4", "on-invalid"}},
		{"too big", "a.html", "<p>abcdefgh", func(c *Config) { c.MaxPage = 4 }, []string{"a.html", "more than the 4 bytes"}},
		{"escaping", "a.tar", string(pack("../a.html", "x")), nil, []string{"../a.html", "leaves the archive"}},
	} {
		_, err := stagetest.Try(t, Kind, config(c.set), page(c.file, c.html), 1, false)
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v does not say %q", c.name, err, w)
			}
		}
	}
	r := stagetest.Run(t, Kind, config(func(c *Config) { c.Encoding, c.OnInvalid = "utf-8", "replace" }), page("a.html", "<p>n\xe3o</p>"))
	if r.Docs(t, "docs")[0].Text != "n\ufffdo" || r.Counts["planalto/invalid-byte"] != 1 {
		t.Errorf("replace: %v", r.Counts)
	}
	r = stagetest.Run(t, Kind, config(nil), page("a.html", "<p>  </p><script>x</script>"))
	if len(r.Docs(t, "docs")) != 0 || r.Counts["planalto/empty-page"] != 1 {
		t.Errorf("an empty page: %v", r.Counts)
	}
	_, err := New(Config{Revoked: "x", Notes: "y"})
	for _, w := range []string{`revoked is "x"`, `notes is "y"`, "source is empty", "max-page"} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%v does not say %q", err, w)
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add("<p>Art. 1° <strike>x</strike> (Redação dada pela Lei (a) b)</p><p>TÍTULO I<br>§ 1 o", 10)
	f.Fuzz(func(t *testing.T, html string, most int) {
		l := &law{c: config(nil), report: corpus.NewReport("x")}
		in, err := htmltext.Read(html)
		if err != nil {
			t.Skip()
		}
		lines := l.clean(in.Lines)
		n := 0
		for _, p := range cut(lines, max(most, 0)) {
			n += len(p.lines)
			p.slug()
		}
		if n != len(lines) {
			t.Fatalf("%d of %d lines", n, len(lines))
		}
	})
}
