package firstdiff

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

func zst(s string, level zstd.EncoderLevel) string {
	z, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(level))
	return string(z.EncodeAll([]byte(s), nil))
}

func gz(s string, at time.Time) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.ModTime = at
	z.Write([]byte(s))
	z.Close()
	return b.String()
}

func TestFind(t *testing.T) {
	const fast, best = zstd.SpeedFastest, zstd.SpeedBestCompression
	doc := func(id, text string) string {
		return `{"id":"` + id + `","text":"` + text + `","meta":{"tags":["a","b"]}}` + "\n"
	}
	many := strings.Repeat(doc("wiki:0", "igual"), 3000)
	for _, c := range []struct {
		title, name, was, is string
		want                 *Place
	}{
		{"equal", "x.txt", "um\n", "um\n", nil},
		{"a field of a document", "s.jsonl.zst", zst(many+doc("wiki:7", "É São"), fast), zst(many+doc("wiki:7", "É Sao"), fast),
			&Place{Document: "wiki:7", Line: 3001, Column: 4, Path: "$.text", Was: `"É São"`, Is: `"É Sao"`}},
		{"order inside a document", "s.jsonl", doc("a", "x"), strings.Replace(doc("a", "x"), `"a","b"`, `"b","a"`, 1),
			&Place{Document: "a", Line: 1, Column: 1, Path: "$.meta.tags[0]", Was: `"a"`, Is: `"b"`, Same: "elements"}},
		{"order of documents", "s.jsonl", doc("a", "x") + doc("b", "y"), doc("b", "y") + doc("a", "x"),
			&Place{Document: "a", Line: 1, Path: "$.id", Was: `"a"`, Is: `"b"`, Same: "lines"}},
		{"a document more", "s.jsonl", doc("a", "x"), doc("a", "x") + doc("b", "y"), &Place{Document: "b", Line: 2, Was: "(end)", Is: "this document"}},
		{"a document less", "s.jsonl", doc("a", "x") + doc("b", "y"), doc("a", "x"), &Place{Document: "b", Line: 2, Was: "this document", Is: "(end)"}},
		{"a document written otherwise", "s.jsonl", `{"id":"a","n":1}` + "\n", `{"n":1,"id":"a"}` + "\n", &Place{Document: "a", Line: 1, Same: "content"}},
		{"lines that are no JSON", "s.jsonl", "um\n", "dois\n", &Place{Line: 1, Column: 1, Was: `"um"`, Is: `"dois"`}},
		{"packed otherwise", "s.jsonl.zst", zst(many, fast), zst(many, best), &Place{Same: "content"}},
		{"packed at another time", "s.txt.gz", gz("um", time.Unix(1e9, 0)), gz("um", time.Unix(2e9, 0)), &Place{Same: "content"}},
		{"gzip", "s.txt.gz", gz("um\ndois\n", time.Time{}), gz("um\ndez\n", time.Time{}), &Place{Line: 2, Column: 2, Was: `"dois"`, Is: `"dez"`}},
		{"zstd that is none", "s.zst", "um\n", "dois\n", &Place{Offset: 0, Was: "75 6d 0a", Is: "64 6f 69 73 0a"}},
		{"JSON", "r.json", `{"a":{"b c":[1,2.50]}}`, `{"a":{"b c":[1,2.5]}}`, &Place{Path: `$.a["b c"][1]`, Was: "2.50", Is: "2.5"}},
		{"JSON, a member more", "r.json", `{"a":1}`, `{"a":1,"b":null}`, &Place{Path: "$.b", Was: "(absent)", Is: "null"}},
		{"JSON, another type", "r.json", `{"a":[1]}`, `{"a":{"x":1}}`, &Place{Path: "$.a", Was: "[1]", Is: `{"x":1}`}},
		{"JSON, an element less", "r.json", `[1,2]`, `[1]`, &Place{Path: "$[1]", Was: "2", Is: "(end)"}},
		{"JSON in another form", "r.json", `{"a":1,"b":2}`, `{"b":2,"a":1}`, &Place{Line: 1, Column: 3, Was: `"{\"a\":1,\"b\":2}"`, Is: `"{\"b\":2,\"a\":1}"`, Same: "content"}},
		{"JSON cut off", "r.json", `{"a":1}`, `{"a":`, &Place{Line: 1, Column: 6, Was: `"{\"a\":1}"`, Is: `"{\"a\":"`}},
		{"text", "x.txt", "a\ncão e gato\n", "a\ncãe e gato\n", &Place{Line: 2, Column: 3, Was: `"cão e gato"`, Is: `"cãe e gato"`}},
		{"text in another order", "x.txt", "a\nb\n", "b\na\n", &Place{Line: 1, Column: 1, Was: `"a"`, Is: `"b"`, Same: "lines"}},
		{"text cut off", "x.txt", "a\nb\n", "a\n", &Place{Line: 2, Was: `"b"`, Is: "(end)"}},
		{"bytes", "x", "\x00\x01\x02\x03", "\x00\x01\xff\x03", &Place{Offset: 2, Was: "02 03", Is: "ff 03"}},
		{"bytes cut off", "x", "\x00\x01", "\x00", &Place{Offset: 1, Was: "01", Is: "(end)"}},
		{"empty", "x", "", "\x00", &Place{Was: "(end)", Is: "00"}},
		{"far in a long line", "x.txt", strings.Repeat("x", 1000) + "1" + strings.Repeat("y", 1000), strings.Repeat("x", 1000) + "2" + strings.Repeat("y", 1000),
			&Place{Line: 1, Column: 1001, Was: `…"` + strings.Repeat("x", 40) + "1" + strings.Repeat("y", 59) + `"…`, Is: `…"` + strings.Repeat("x", 40) + "2" + strings.Repeat("y", 59) + `"…`}},
	} {
		dir := t.TempDir()
		was, is := filepath.Join(dir, "was"), filepath.Join(dir, "is")
		for path, s := range map[string]string{was: c.was, is: c.is} {
			if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Find(was, is, c.name)
		if err != nil {
			t.Errorf("%s: %v", c.title, err)
			continue
		}
		if got != nil && c.want != nil && c.want.Same == "content" && c.want.Was == "" {
			got.Offset, got.Was, got.Is = 0, "", "" // where packed bytes differ is the packer's affair
		}
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.title, got, c.want)
		}
	}
}

func TestFindNothing(t *testing.T) {
	if _, err := Find("/nowhere/a", "/nowhere/b", "x"); err == nil {
		t.Error("files that are not there compare")
	}
}

// FuzzFind: whatever two files hold, Find says whether they are the same, and shows
// different things where it shows them.
func FuzzFind(f *testing.F) {
	f.Add("{\"id\":\"a\"}\n", "{\"id\":\"b\"}\n", uint8(0))
	f.Add("[1,[2,3]]", "[1,[3,2]]", uint8(1))
	f.Add("ã\xff", "ã\xfe", uint8(2))
	f.Add("\x28\xb5\x2f\xfd", "\x1f\x8b", uint8(3))
	f.Fuzz(func(t *testing.T, a, b string, kind uint8) {
		dir := t.TempDir()
		was, is := filepath.Join(dir, "was"), filepath.Join(dir, "is")
		os.WriteFile(was, []byte(a), 0o644)
		os.WriteFile(is, []byte(b), 0o644)
		p, err := Find(was, is, []string{"x.jsonl", "x.json", "x.txt", "x.jsonl.zst", "x.gz"}[kind%5])
		if err != nil {
			t.Fatal(err)
		}
		if (p == nil) != (a == b) {
			t.Fatalf("%q and %q: %+v", a, b, p)
		}
	})
}
