package textparse

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
)

func config(f func(*Config)) Config {
	c := Kind.Config.(Config)
	if f != nil {
		f(&c)
	}
	return c
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pack(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(files[i+1]))
	}
	w.Close()
	return b.Bytes()
}

func zst(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(b, nil)
}

func unzst(t testing.TB, b []byte) []byte {
	r, _ := zstd.NewReader(nil)
	out, err := r.DecodeAll(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func gz(b []byte) []byte {
	var o bytes.Buffer
	w := gzip.NewWriter(&o)
	w.Write(b)
	w.Close()
	return o.Bytes()
}

type row struct {
	ID    string  `parquet:"id"`
	Text  string  `parquet:"text"`
	Score float64 `parquet:"score"`
	Meta  struct {
		URL string `parquet:"url"`
	} `parquet:"meta"`
}

func parquetOf(t testing.TB, rows ...row) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	novel, verse := read(t, "testdata/novel.txt"), read(t, "testdata/verse.txt")
	r := row{ID: "p1", Text: "Um texto em Parquet.", Score: 0.5}
	r.Meta.URL = "https://example.org/1"
	files := []stagetest.Input{
		{Name: "machado.tar.zst", Data: zst(pack(t, "machado/romance-domCasmurro.txt", string(novel), "machado/poesia-ocidentais.txt", string(verse), "machado/LEIA-ME.md", "x"))},
		{Name: "senado.jsonl.zst", Data: zst(read(t, "testdata/senado.jsonl"))},
		{Name: "nota.html.gz", Data: gz([]byte("<meta charset=iso-8859-1><title>Nota</title><p>\x93Educa\xe7\xe3o\x94 \x97 um\n direito</p><p>dois"))},
		{Name: "tabela.parquet", Data: parquetOf(t, r)},
	}
	res := stagetest.Run(t, Kind, config(func(c *Config) {
		c.License = "public domain"
		c.Fields.URL = "meta.url"
		c.Fields.Meta = []string{"score"}
	}), map[string][]stagetest.Input{"files": files})
	stagetest.Golden(t, Kind, res)

	if len(res.Parts) != 4 {
		t.Errorf("%d parts, want one a file", len(res.Parts))
	}
	var got []string
	docs := res.Docs(t, "docs")
	for _, d := range docs {
		got = append(got, strings.Join([]string{d.ID, d.Source, d.Title, d.URL, d.Date, d.License}, "|"))
	}
	want := []string{
		"machado/romance-domCasmurro|machado|romance dom Casmurro|||public domain",
		"machado/poesia-ocidentais|machado|poesia ocidentais|||public domain",
		"senado-cpi-00|senado|NT_1-Instalação_e_Eleição||2021-04-27|public domain",
		"senado-cpi-02|senado|NT_3-1_PARTE-Oitiva_2_PARTE-Oitiva_3_PARTE-Deliberativa||2021-05-04|public domain",
		"nota|nota|Nota|||public domain",
		"p1|tabela||https://example.org/1||public domain",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(docs[0].Text, "encontrei no trem da Central um rapaz") {
		t.Error("the novel is still wrapped")
	}
	if docs[1].Text != string(verse) {
		t.Error("the verse was touched")
	}
	if docs[4].Text != "“Educação” — um direito\ndois" {
		t.Errorf("page: %q", docs[4].Text)
	}
	if docs[5].Meta["score"] != 0.5 {
		t.Errorf("meta: %v", docs[5].Meta)
	}
	for rule, n := range map[string]int64{"machado/file-passed-over": 1, "machado/encoding-utf-8": 2, "nota/encoding-windows-1252": 1} {
		if res.Counts[rule] != n {
			t.Errorf("%s counted %d times, want %d", rule, res.Counts[rule], n)
		}
	}
	if res.Counts["machado/unwrap"] < 20 {
		t.Errorf("unwrap joined %d lines of the novel", res.Counts["machado/unwrap"])
	}
}

func TestConfigBranches(t *testing.T) {
	latin := "n\xe3o"
	for _, c := range []struct {
		name, file, data string
		set              func(*Config)
		text, count      string
	}{
		{"forced", "a.txt", "\xc3\xa3", func(c *Config) { c.Encoding = "iso-8859-1" }, "Ã£", "a/encoding-iso-8859-1"},
		{"found", "a.txt", latin, nil, "não", "a/encoding-iso-8859-1"},
		{"replaced", "a.txt", latin, func(c *Config) { c.Encoding, c.OnInvalid = "utf-8", "replace" }, "n\ufffdo", "a/invalid-byte"},
		{"replaced in a record", "a.jsonl", `{"text":"` + latin + `"}`, func(c *Config) { c.OnInvalid = "replace" }, "n\ufffdo", "a/invalid-byte"},
		{"unwrap always", "a.txt", "um\ndois", func(c *Config) { c.Unwrap = "always" }, "um dois", "a/unwrap"},
		{"unwrap never", "a.txt", string(read(t, "testdata/novel.txt")), func(c *Config) { c.Unwrap = "never" }, string(read(t, "testdata/novel.txt")), ""},
		{"line ends", "a.txt", "um\r\ndois\rtrês\ffim", nil, "um\ndois\ntrês\n\nfim", "a/carriage-return"},
		{"format", "dump.bin", "texto", func(c *Config) { c.Format = "txt" }, "texto", ""},
		{"field", "a.jsonl", `{"body":{"t":"x"}}`, func(c *Config) { c.Fields.Text = "body.t" }, "x", ""},
	} {
		r := stagetest.Run(t, Kind, config(c.set), map[string][]stagetest.Input{"files": {{Name: c.file, Data: []byte(c.data)}}})
		if d := r.Docs(t, "docs"); len(d) != 1 || d[0].Text != c.text {
			t.Errorf("%s: got %+v, want text %q", c.name, d, c.text)
		}
		if c.count != "" && r.Counts[c.count] == 0 {
			t.Errorf("%s: %s was not counted: %v", c.name, c.count, r.Counts)
		}
	}
}

func TestEmptyAndRepeated(t *testing.T) {
	in := []stagetest.Input{{Name: "a.jsonl", Data: []byte(`{"id":1,"text":"x"}` + "\n\n" + `{"id":1,"text":"y"}` + "\n" + `{"id":2,"text":" \n "}` + "\n" + `{"text":"z"}`)}}
	r := stagetest.Run(t, Kind, config(nil), map[string][]stagetest.Input{"files": in})
	var ids []string
	for _, d := range r.Docs(t, "docs") {
		ids = append(ids, d.ID)
	}
	if len(ids) != 3 || ids[0] != "1" || ids[1] != "1~2" || !strings.HasPrefix(ids[2], "a/") {
		t.Errorf("ids %q", ids)
	}
	if r.Counts["a/repeated-id"] != 1 || r.Counts["a/empty-document"] != 1 {
		t.Errorf("counts %v", r.Counts)
	}
}

func TestBadInput(t *testing.T) {
	par := parquetOf(t, row{Text: "x"})
	for _, c := range []struct {
		name, file string
		data       []byte
		set        func(*Config)
		want       []string
	}{
		{"invalid UTF-8", "a.txt", []byte("abc\xffd"), func(c *Config) { c.Encoding = "utf-8" }, []string{"a.txt", "byte 3", "0xff", "on-invalid"}},
		{"in an archive", "a.tar", pack(t, "d/x.txt", "\xff\xfe\xfd ok \x80"), func(c *Config) { c.Encoding = "utf-8" }, []string{"d/x.txt", "byte 0"}},
		{"in a record", "a.jsonl", []byte("{\"text\":\"ok\"}\n{\"text\":\"\xe3\"}"), nil, []string{"a.jsonl", "line 2", "byte 23"}},
		{"unknown ending", "a.doc", []byte("x"), nil, []string{"a.doc", "set format"}},
		{"no object", "a.jsonl", []byte("[1]"), nil, []string{"a.jsonl", "line 1", "JSON object"}},
		{"two objects", "a.jsonl", []byte("{}{}"), nil, []string{"line 1", "more than one"}},
		{"no text", "a.jsonl", []byte(`{"texto":"x"}`), nil, []string{`no text in the field "text"`, "fields.text"}},
		{"title not text", "a.jsonl", []byte(`{"text":"x","title":[]}`), nil, []string{`field "title"`}},
		{"too long", "a.txt", []byte("abcdef"), func(c *Config) { c.MaxDocument = 5 }, []string{"a.txt", "more than the 5 bytes"}},
		{"line too long", "a.jsonl", []byte(`{"text":"abcdef"}`), func(c *Config) { c.MaxDocument = 5 }, []string{"a.jsonl", "line 1", "more than the 5 bytes"}},
		{"escaping name", "a.tar", pack(t, "../x.txt", "x"), nil, []string{"../x.txt", "leaves the archive"}},
		{"no parquet", "a.parquet", []byte("PAR1 no"), nil, []string{"a.parquet"}},
		{"cut parquet", "a.parquet", par[:len(par)/2], nil, []string{"a.parquet"}},
		{"no such column", "a.parquet", par, func(c *Config) { c.Fields.Text = "body" }, []string{"a.parquet", `"body"`}},
	} {
		_, err := stagetest.Try(t, Kind, config(c.set), map[string][]stagetest.Input{"files": {{Name: c.file, Data: c.data}}}, 1, false)
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error %v does not say %q", c.name, err, w)
			}
		}
	}
	if _, err := New(Config{Format: "pdf"}); err == nil || !strings.Contains(err.Error(), "format") || !strings.Contains(err.Error(), "fields.text") || !strings.Contains(err.Error(), "shard-size") {
		t.Errorf("not every problem of a config is reported: %v", err)
	}
}

// One more session in the middle of the committee's sessions changes the shards
// around it only.
func TestInsertionIsLocal(t *testing.T) {
	lines := bytes.SplitAfter(unzst(t, read(t, filepath.Join("..", "..", "pipelines", "sample", "senado-cpi.jsonl.zst"))), []byte("\n"))[:24]
	shards := func(data []byte) map[string]bool {
		r, err := stagetest.Try(t, Kind, config(func(c *Config) { c.ShardSize = 1 << 20 }), map[string][]stagetest.Input{"files": {{Name: "senado-cpi.jsonl.zst", Data: zst(data)}}}, 1, false)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]bool{}
		for _, o := range r.Out["docs"] {
			m[o.Digest] = true
		}
		return m
	}
	was := shards(bytes.Join(lines, nil))
	if len(was) < 6 {
		t.Fatalf("only %d shards", len(was))
	}
	at := len(lines) / 2
	with := append(append(append([][]byte{}, lines[:at]...), fmt.Appendf(nil, `{"id":"novo","source":"senado","text":%q}`+"\n", strings.Repeat("Uma sessão a mais. ", 2000))), lines[at:]...)
	now := shards(bytes.Join(with, nil))
	changed := 0
	for d := range now {
		if !was[d] {
			changed++
		}
	}
	if changed == 0 || changed > 2 {
		t.Errorf("%d of %d shards changed, want 1 or 2", changed, len(now))
	}
}

// Whatever a file holds, the answer is documents or an error.
func FuzzFile(f *testing.F) {
	f.Add("a.parquet", parquetOf(f, row{Text: "x"}))
	f.Add("a.jsonl", []byte(`{"text":"x","id":3}`))
	f.Add("a.html", []byte(`<p>x<strike>y`))
	f.Add("a.tar", pack(f, "x.txt", "y"))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		stagetest.Try(t, Kind, config(func(c *Config) { c.MaxRatio = 10; c.MaxDocument = 1 << 20 }), map[string][]stagetest.Input{"files": {{Name: name, Data: b}}}, 1, false)
	})
}
