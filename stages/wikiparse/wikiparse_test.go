package wikiparse

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
)

const samples = "../../pipelines/sample"

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(samples, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func dump(b ...[]byte) map[string][]stagetest.Input {
	in := map[string][]stagetest.Input{}
	for _, b := range b {
		in["dump"] = append(in["dump"], stagetest.Input{Data: b})
	}
	return in
}

func config() Config { return Kind.Config.(Config) }

func TestGolden(t *testing.T) {
	c := config()
	c.License, c.PartSize, c.ShardSize = "CC-BY-SA-4.0", 50_000, 1<<18
	r := stagetest.Run(t, Kind, c, dump(sample(t, "wiki-dragonexperience.xml.bz2"), sample(t, "ptwiki-berlim-rev56220935.xml.bz2"), sample(t, "ptwiki-berlim-rev62017799.xml.bz2")))
	stagetest.Golden(t, Kind, r)
	ids := map[string]bool{}
	for _, d := range r.Docs(t, "docs") {
		if ids[d.ID] {
			t.Errorf("two documents have the id %s", d.ID)
		}
		ids[d.ID] = true
	}
	// 367 pages with 28 redirect tags, and Berlim twice. {{Desambiguação|… ver [[X]]}} stands
	// above two articles and drops none.
	if n := len(ids); n != 367-28+2 {
		t.Errorf("%d documents", n)
	}
	for rule, want := range map[string]int64{"wiki/redirect-tag": 28, "wiki/disambiguation": 0} {
		if r.Counts[rule] != want {
			t.Errorf("%s: %d, want %d", rule, r.Counts[rule], want)
		}
	}
}

func TestDocument(t *testing.T) {
	r := stagetest.Run(t, Kind, config(), dump(sample(t, "ptwiki-berlim-rev62017799.xml.bz2")))
	d := r.Docs(t, "docs")[0]
	if d.ID != "wiki-enwiki-488-62017799" || d.Title != "Berlim" || d.URL != "https://en.wikipedia.org/wiki/Berlim" || d.Date != "2021-09-09T21:07:12Z" || d.Meta["format"] != "wikitext" {
		t.Errorf("%s %s %s %s %v", d.ID, d.Title, d.URL, d.Date, d.Meta["format"])
	}
	if c := fmt.Sprint(d.Meta["categories"]); !strings.HasPrefix(c, "[Berlim") {
		t.Errorf("categories %s", c)
	}
	if !strings.HasPrefix(d.Text, "{{ver desambiguação}}\n{{Coor dms|") || strings.Contains(d.Text, "&lt;") {
		t.Errorf("text begins %.60q", d.Text)
	}
}

const (
	head = `<mediawiki xml:lang="pt"><siteinfo><dbname>teste</dbname><base>https://teste.org/wiki/P%C3%A1gina</base><namespaces><namespace key="0" /><namespace key="4">Teste</namespace><namespace key="10">Predefinição</namespace></namespaces></siteinfo>`
	tail = `</mediawiki>`
)

// page writes the XML of a page; ns "" leaves <ns> out.
func page(id int, ns, title, extra, text string) string {
	if ns != "" {
		ns = "<ns>" + ns + "</ns>"
	}
	esc := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	return fmt.Sprintf("<page><title>%s</title>%s<id>%d</id>%s<revision><id>%d</id><timestamp>2020-01-02T03:04:05Z</timestamp><contributor><username>X</username><id>7</id></contributor><text xml:space=\"preserve\">%s</text></revision></page>",
		esc.Replace(title), ns, id, extra, 1000+id, esc.Replace(text))
}

func TestRules(t *testing.T) {
	tests := []struct{ rule, page string }{
		{"", page(1, "0", "Artigo", "", "Texto.")},
		{"", page(2, "0", "Star Wars: O Império", "", "Dois pontos não fazem um espaço nominal.")},
		{"", page(3, "0", "Ligação", "", "Há {{ver desambiguação}} aqui.")},
		{"redirect-tag", page(4, "0", "R", `<redirect title="Artigo" />`, "#REDIRECT [[Artigo]]")},
		{"redirect-keyword", page(5, "0", "R", "", "#REDIRECIONAMENTO [[Artigo]]")},
		{"redirect-keyword", page(6, "0", "R", "", " #redirect: [[Artigo]]")},
		{"", page(7, "0", "Não é", "", "#REDIRECT sem ligação")},
		{"namespace", page(8, "10", "Predefinição:X", "", "x")},
		{"namespace", page(9, "", "Predefinição:X", "", "sem ns")},
		{"namespace", page(10, "", "Teste:X", "", "sem ns, nome da siteinfo")},
		{"namespace", page(11, "", "Utilizadora:X", "", "sem ns, nome de reserva")},
		{"", page(12, "", "2001: Uma Odisseia", "", "sem ns")},
		{"empty", page(13, "0", "Vazia", "", " \n")},
		{"disambiguation", page(14, "0", "Des", "", "* [[A]]\n{{Desambiguação}}")},
		{"disambiguation", page(15, "0", "Des", "", "* [[A]]\n{{ disambig\n|x=1}}")},
		{"", page(18, "0", "Mundo", "", "{{Desambiguação|Este artigo fala do mundo. Para o reino, ver [[Reino]].}}\nO mundo é grande.")},
		{"disambiguation", page(19, "0", "Des", "", "{{desambiguação|geografia}}\n* [[A]]")},
		{"not-wikitext", strings.Replace(page(16, "0", "J", "", "{}"), "<text", "<model>json</model><text", 1)},
		{"deleted-text", strings.Replace(page(17, "0", "D", "", ""), "<text", `<text deleted="deleted"`, 1)},
	}
	for _, test := range tests {
		r := stagetest.Run(t, Kind, config(), dump([]byte(head+test.page+tail)))
		docs := r.Docs(t, "docs")
		if (len(docs) == 1) != (test.rule == "") || test.rule != "" && r.Counts["wiki/"+test.rule] != 1 {
			t.Errorf("%.60s…: %d documents, counts %v; want rule %q", test.page, len(docs), r.Counts, test.rule)
		}
	}
	c := config()
	c.MinChars, c.Namespaces = 5, []int{0, 4}
	r := stagetest.Run(t, Kind, c, dump([]byte(head+page(1, "0", "Curto", "", "ação")+page(2, "4", "Teste:A", "", "ações")+tail)))
	if docs := r.Docs(t, "docs"); len(docs) != 1 || docs[0].ID != "wiki-teste-2-1002" || r.Counts["wiki/too-short"] != 1 {
		t.Errorf("%v, counts %v", docs, r.Counts)
	}
}

// pack compresses a dump; parts gives several streams.
func pack(t testing.TB, format string, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, p := range parts {
		var w interface {
			Write([]byte) (int, error)
			Close() error
		}
		switch format {
		case "bz2":
			w, _ = bzip2.NewWriter(&b, &bzip2.WriterConfig{Level: 1})
		case "gz":
			w = gzip.NewWriter(&b)
		case "zst":
			w, _ = zstd.NewWriter(&b)
		default:
			b.WriteString(p)
			continue
		}
		if _, err := w.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// manyPages is some 400 kB of pages of all sizes.
func manyPages() string {
	var b strings.Builder
	for i := range 300 {
		b.WriteString("\n  " + page(i, "0", fmt.Sprint("Página ", i), "", strings.Repeat(fmt.Sprintf("linha %d da página; ", i*i), 1+(i*37)%150)))
	}
	return b.String()
}

// However a dump is cut into parts, the documents are those of one part.
func TestParts(t *testing.T) {
	body := manyPages()
	half := len(body) / 2
	for _, format := range []string{"xml", "bz2", "multistream", "gz", "zst"} {
		z := pack(t, format, head+body+tail)
		sizes := []int64{int64(len(z))/2 + 1, int64(len(z))/7 + 1}
		switch format {
		case "multistream":
			z = pack(t, "bz2", head, body[:half], "", body[half:], tail)
		case "xml":
			sizes = append(sizes, 40_099)
		}
		c := config()
		c.PartSize, c.ShardSize = int64(len(z)), 1<<40
		whole := lines(t, stagetest.Run(t, Kind, c, dump(z)).Docs(t, "docs"))
		if len(whole) != 300 {
			t.Fatalf("%s: %d documents", format, len(whole))
		}
		for _, size := range sizes {
			c.PartSize = size
			r, err := stagetest.Try(t, Kind, c, dump(z), 2, false)
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(t, r.Docs(t, "docs")); strings.Join(got, "") != strings.Join(whole, "") {
				t.Errorf("%s in %d parts of %d bytes: %d documents differ from those of one part", format, len(r.Parts), size, len(got))
			}
		}
	}
}

func lines(t testing.TB, docs []corpus.Document) (s []string) {
	for i := range docs {
		b, err := json.Marshal(docs[i])
		if err != nil {
			t.Fatal(err)
		}
		s = append(s, string(b))
	}
	return s
}

func TestDamage(t *testing.T) {
	a, b, c := page(1, "0", "Antes", "", "a"), page(2, "0", "Avariada", "", strings.Repeat("texto ", 50)), page(3, "0", "Depois", "", "c")
	ok := head + a + b + c + tail
	cut := strings.Index(ok, "texto") + 20
	bz := pack(t, "bz2", head+manyPages()+tail)
	gz := pack(t, "gz", ok)
	flipped := bytes.Clone(bz)
	flipped[len(bz)/2] ^= 0x10
	tests := []struct {
		name  string
		file  []byte
		says  []string // the error, in order
		left  int      // documents with on-corrupt: skip; -1: that fails too
		count string   // what skip counts
	}{
		{"truncated XML", []byte(ok[:cut]), []string{`page "Avariada" (byte `, "the file ends before </page>"}, 1, "lost-page"},
		{"XML without its end", []byte(head + a), []string{"the dump is cut off"}, 1, "truncated"},
		{"truncated bz2", bz[:len(bz)*3/4], []string{"the bzip2 file is cut off: what begins at byte ", "fetch the file again", "on-corrupt: skip"}, 198, "truncated"},
		{"corrupt bz2", flipped, []string{"bzip2 data at bytes ", "corrupt"}, 246, "corrupt-block"},
		{"truncated gz", gz[:len(gz)-20], []string{"gzip file is cut off"}, -2, "truncated"},
		{"unknown entity", []byte(strings.Replace(ok, "texto", "&nbsp;", 1)), []string{`page "Avariada"`, "malformed XML at byte", "&nbsp;"}, 2, "malformed-page"},
		{"wrong nesting", []byte(strings.Replace(ok, "</title><ns>0</ns><id>2</id>", "</ns>", 1)), []string{"</ns> closes what is not open"}, 2, "malformed-page"},
		{"page in page", []byte(strings.Replace(ok, "texto </text></revision></page>", "", 1)), []string{`page "Avariada"`, "another page begins before </page>"}, 2, "malformed-page"},
		{"invalid UTF-8", []byte(strings.Replace(ok, "texto", "t\xe9xto", 1)), []string{`page "Avariada"`, "not valid UTF-8"}, 2, "invalid-utf8"},
		{"no number", []byte(strings.Replace(ok, "<id>2</id>", "<id>dois</id>", 1)), []string{`<id> is "dois", not a number`}, 2, "malformed-page"},
		{"not a dump", []byte("<html><body>404</body></html>"), []string{"no MediaWiki XML dump", "<html>"}, -1, ""},
		{"empty file", nil, []string{"it is empty"}, -1, ""},
	}
	for _, test := range tests {
		cfg := config()
		_, err := stagetest.Try(t, Kind, cfg, dump(test.file), 2, false)
		if err == nil {
			t.Errorf("%s: no error", test.name)
			continue
		}
		rest := err.Error()
		for _, s := range test.says {
			_, after, found := strings.Cut(rest, s)
			if !found {
				t.Errorf("%s: error %q does not say %q", test.name, err, s)
			}
			rest = after
		}
		cfg.OnCorrupt = "skip"
		r, err := stagetest.Try(t, Kind, cfg, dump(test.file), 2, false)
		if test.left == -1 {
			if err == nil {
				t.Errorf("%s: no error with skip", test.name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s, skip: %v", test.name, err)
			continue
		}
		if d := r.Docs(t, "docs"); test.left >= 0 && len(d) != test.left {
			t.Errorf("%s, skip: %d documents, want %d", test.name, len(d), test.left)
		}
		if r.Counts["wiki/"+test.count] == 0 {
			t.Errorf("%s, skip: counts %v, want %s", test.name, r.Counts, test.count)
		}
		if test.name == "corrupt bz2" { // the cut does not change what is lost
			cfg.PartSize = int64(len(test.file))/5 + 1
			cut, err := stagetest.Try(t, Kind, cfg, dump(test.file), 1, false)
			if err != nil {
				t.Fatal(err)
			}
			if x, y := lines(t, cut.Docs(t, "docs")), lines(t, r.Docs(t, "docs")); strings.Join(x, "") != strings.Join(y, "") || fmt.Sprint(cut.Counts) != fmt.Sprint(r.Counts) {
				t.Errorf("%s in parts: %d documents, counts %v; whole: %d, %v", test.name, len(x), cut.Counts, len(y), r.Counts)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Source = " " },
		func(c *Config) { c.Namespaces = nil },
		func(c *Config) { c.OnCorrupt = "ignore" },
		func(c *Config) { c.PartSize = 0 },
	} {
		c := config()
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	c := config()
	c.Source, c.OnCorrupt = "", "x"
	_, err := New(c)
	if err == nil || !strings.Contains(err.Error(), "source is empty") || !strings.Contains(err.Error(), "on-corrupt is") {
		t.Errorf("%v: want both problems", err)
	}
}
