package mediawiki

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/dsnet/compress/bzip2"
)

// read returns the pages of a range, and its damage as "kind: message".
func read(t testing.TB, b []byte, from, to int64) (pages []Page, damage []string) {
	t.Helper()
	r, err := Open(bytes.NewReader(b), int64(len(b)), from, to, 2)
	if err != nil {
		return nil, []string{err.Error()}
	}
	defer r.Close()
	for {
		p, err := r.Next()
		var d *Damage
		switch {
		case errors.As(err, &d):
			damage = append(damage, d.Kind+": "+d.Page)
		case err == io.EOF:
			return pages, damage
		case err != nil:
			t.Fatal(err)
		default:
			q := *p
			q.Where = ""
			pages = append(pages, q)
		}
	}
}

const small = `<mediawiki><siteinfo><dbname>t</dbname></siteinfo>
<page><title>A</title><ns>0</ns><id>1</id><revision><id>11</id><text>a &lt;page&gt; a</text></revision></page>
<page xmlns="x"><title>B</title><ns>0</ns><id>2</id><revision><id>12</id><text/></revision></page>
<page><title>Sem fim</title><ns>0</ns>
<page><title>C</title><ns>0</ns><id>3</id><revision><id>13</id><text>c</text></revision></page><pages/>
</mediawiki>
`

// cuts reads b in parts of a size, and compares with what one part gives.
func cuts(t *testing.T, name string, b []byte, size int64) {
	t.Helper()
	wantPages, wantDamage := read(t, b, 0, int64(len(b)))
	var pages []Page
	var damage []string
	for from := int64(0); from < int64(len(b)); from += size {
		p, d := read(t, b, from, min(from+size, int64(len(b))))
		pages, damage = append(pages, p...), append(damage, d...)
	}
	if !reflect.DeepEqual(pages, wantPages) || !reflect.DeepEqual(damage, wantDamage) {
		t.Errorf("%s in parts of %d bytes: %d pages, damage %q; whole: %d pages, damage %q", name, size, len(pages), damage, len(wantPages), wantDamage)
	}
}

func compress(t testing.TB, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := bzip2.NewWriter(&b, &bzip2.WriterConfig{Level: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(p)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEveryCut(t *testing.T) {
	pages, damage := read(t, []byte(small), 0, int64(len(small)))
	if len(pages) != 3 || pages[0].Text != "a <page> a" || pages[2].RevID != 13 || len(damage) != 1 || damage[0] != "malformed-page: Sem fim" {
		t.Fatalf("%+v %q", pages, damage)
	}
	for size := int64(1); size <= int64(len(small)); size += 1 + size/16 {
		cuts(t, "plain", []byte(small), size)
	}
	// Streams of a few bytes each, so that every tag is cut by blocks too.
	for _, n := range []int{5, 40} {
		var z []byte
		for i := 0; i < len(small); i += n {
			z = append(z, compress(t, []byte(small[i:min(i+n, len(small))]))...)
		}
		for size := int64(1); size <= int64(len(z)); size += 1 + size/2 {
			if int64(len(z))/size < 100 {
				cuts(t, fmt.Sprintf("bzip2 streams of %d bytes", n), z, size)
			}
		}
	}
	b, err := os.ReadFile("../../pipelines/sample/wiki-dragonexperience.xml.bz2")
	if err != nil {
		t.Fatal(err)
	}
	cuts(t, "sample", b, int64(len(b))/2)
}

func TestTruncatedAnywhere(t *testing.T) {
	for n := 1; n < len(small)-1; n += 3 {
		pages, damage := read(t, []byte(small[:n]), 0, int64(n))
		if len(damage) == 0 || len(pages) == 3 && n < strings.Index(small, "<pages/>") {
			t.Errorf("cut after %d bytes: %d pages, damage %q", n, len(pages), damage)
		}
	}
}

func TestSite(t *testing.T) {
	const head = `<mediawiki><siteinfo><sitename>Wikipédia</sitename><dbname>ptwiki</dbname><base>https://pt.wikipedia.org/wiki/Wikip%C3%A9dia:P%C3%A1gina_principal</base>
<namespaces><namespace key="0" /><namespace key="2">Usuário(a)</namespace><namespace key="104">Livro</namespace></namespaces></siteinfo></mediawiki>`
	r, err := Open(strings.NewReader(head), int64(len(head)), 0, int64(len(head)), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := r.Site()
	if s.DBName != "ptwiki" {
		t.Errorf("dbname %q", s.DBName)
	}
	for title, want := range map[string]string{
		"São Paulo":     "https://pt.wikipedia.org/wiki/S%C3%A3o_Paulo",
		"AC/DC":         "https://pt.wikipedia.org/wiki/AC/DC",
		"O quê? (100%)": "https://pt.wikipedia.org/wiki/O_qu%C3%AA%3F_(100%25)",
	} {
		if got := s.URL(title); got != want {
			t.Errorf("URL of %s: %s, want %s", title, got, want)
		}
	}
	for title, want := range map[string]int{"Livro:X": 104, "Usuária:X": 2, "Star Wars: X": 0, "arquivo: X": 6, "Imagem:X": 6, "Predefinição:X": 10, ":X": 0, "X": 0} {
		if got, _ := s.Namespace(title); got != want {
			t.Errorf("namespace of %s: %d, want %d", title, got, want)
		}
	}
	if got := fmt.Sprint(s.Categories("[[Categoria:A b|x]] [[:Categoria:C]] [[category: A_b]][[Categoria:D]] [[Categoria:E\n]]")); got != "[A b D]" {
		t.Errorf("categories %s", got)
	}
}

// Whatever this package and encoding/xml both read, they read alike.
func FuzzPage(f *testing.F) {
	f.Add(`<page><title>A &amp; B</title><ns>0</ns><id>1</id><redirect title="C"/><revision><id>2</id><timestamp>t</timestamp><text xml:space="preserve">a&#10;&lt;b&#xe9; c` + "\r\n" + `</text></revision></page>`)
	f.Add(`<page><title>A<!-- c --></title><revision><id> 3 </id><text><![CDATA[x & <y>]]> z</text></revision><revision><text>z</text></revision></page>`)
	f.Add(`<page><title>A</titel></page>`)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePage([]byte(s))
		if err != nil {
			var d *Damage
			if !errors.As(err, &d) {
				t.Fatalf("%v is no *Damage", err)
			}
			return
		}
		var q struct {
			Title    []string `xml:"title"`
			Revision []struct {
				Text []string `xml:"text"`
			} `xml:"revision"`
		}
		if xml.Unmarshal([]byte(s), &q) != nil {
			return
		}
		if n := len(q.Title); n > 0 && q.Title[n-1] != p.Title {
			t.Errorf("title %q, encoding/xml: %q", p.Title, q.Title[n-1])
		}
		if n := len(q.Revision); n > 0 && len(q.Revision[n-1].Text) == 1 && q.Revision[n-1].Text[0] != p.Text {
			t.Errorf("text %q, encoding/xml: %q", p.Text, q.Revision[n-1].Text[0])
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(small), uint16(100))
	f.Add(compress(f, []byte(small)), uint16(20))
	f.Add([]byte("<page>"), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		cut := int64(at)
		if cut == 0 || cut >= int64(len(b)) || bytes.HasPrefix(b, []byte("BZh")) {
			read(t, b, 0, int64(len(b)))
			return
		}
		whole, _ := read(t, b, 0, int64(len(b)))
		first, _ := read(t, b, 0, cut)
		second, _ := read(t, b, cut, int64(len(b)))
		if got := append(first, second...); len(whole) != len(got) {
			t.Errorf("cut at %d: %d pages, whole: %d", cut, len(got), len(whole))
		}
	})
}

func BenchmarkReader(b *testing.B) {
	z, err := os.ReadFile("../../pipelines/sample/wiki-dragonexperience.xml.bz2")
	if err != nil {
		b.Fatal(err)
	}
	var plain bytes.Buffer
	zr, err := bzip2.NewReader(bytes.NewReader(z), nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := plain.ReadFrom(zr); err != nil {
		b.Fatal(err)
	}
	for name, in := range map[string][]byte{"bz2": z, "xml": plain.Bytes()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(plain.Len()))
			for b.Loop() {
				read(b, in, 0, int64(len(in)))
			}
		})
	}
}
