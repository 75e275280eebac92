package mediawiki

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/zstd"
)

// whole reads all pages of a file and gives the first error that is no damage.
func whole(b []byte, from int64) error {
	r, err := Open(bytes.NewReader(b), int64(len(b)), from, int64(len(b)), 2)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if _, err := r.Next(); err != nil && !errors.As(err, new(*Damage)) {
			return err
		}
	}
}

// A few kilobytes that would unpack to gigabytes are refused once they have shown what
// they are, in each compression; a dump that only repeats itself is read.
func TestBombs(t *testing.T) {
	head := `<mediawiki><siteinfo><dbname>t</dbname></siteinfo>`
	page := []byte(`<page><title>A</title><ns>0</ns><id>1</id><revision><id>11</id><text>` + strings.Repeat("a", 1<<20) + `</text></revision></page>`)
	var gz, zst bytes.Buffer
	g, _ := gzip.NewWriterLevel(&gz, 9)
	z, _ := zstd.NewWriter(&zst)
	for _, w := range []io.WriteCloser{g, z} {
		io.WriteString(w, head)
		for range 120 {
			w.Write(page)
		}
		w.Close()
	}
	// Streams may follow each other: one of 1 MiB of spaces in a few dozen bytes, many times.
	stream := func(b []byte) []byte {
		var out bytes.Buffer
		w, err := bzip2.NewWriter(&out, &bzip2.WriterConfig{Level: 9})
		if err != nil {
			t.Fatal(err)
		}
		w.Write(b)
		w.Close()
		return out.Bytes()
	}
	bz := append(stream([]byte(head)), bytes.Repeat(stream(bytes.Repeat([]byte(" "), 1<<20)), 1000)...)
	for name, b := range map[string][]byte{"gzip": gz.Bytes(), "zstd": zst.Bytes(), "bzip2": bz} {
		if err := whole(b, 0); err == nil || !strings.Contains(err.Error(), "made to do harm; refused") {
			t.Errorf("%s: %d bytes end with %v", name, len(b), err)
		}
	}
	if err := whole(bz, int64(len(bz)/2)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("the second half of the bzip2 file ends with %v", err)
	}
	var small bytes.Buffer
	g, _ = gzip.NewWriterLevel(&small, 9)
	io.WriteString(g, head)
	for range 40 {
		g.Write(page)
	}
	io.WriteString(g, "</mediawiki>")
	g.Close()
	if err := whole(small.Bytes(), 0); err != io.EOF {
		t.Errorf("%d bytes that unpack to 40 MiB end with %v", small.Len(), err)
	}
}

// The entities that an XML file declares for itself are not expanded: a scanner that
// knows the five of XML alone has no entity to nest.
func TestEntityBomb(t *testing.T) {
	b := []byte(`<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY x SYSTEM "file:///etc/passwd">]>
<mediawiki><siteinfo><dbname>t</dbname></siteinfo>
<page><title>A</title><ns>0</ns><id>1</id><revision><id>11</id><text>&b; &x;</text></revision></page></mediawiki>`)
	pages, damage := read(t, b, 0, int64(len(b)))
	for _, p := range pages {
		if len(p.Text) > 10 || strings.Contains(p.Text, "aaa") || strings.Contains(p.Text, "root:") {
			t.Errorf("the page reads %q", p.Text)
		}
	}
	if len(pages)+len(damage) == 0 {
		t.Error("neither a page nor damage")
	}
}

// A .zst file that asks for two gigabytes of memory gets none.
func TestWindowBomb(t *testing.T) {
	r, err := Open(bytes.NewReader([]byte("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00")), 9, 0, 9, 1)
	if err == nil {
		_, err = r.Next()
		r.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "window size exceeded") {
		t.Errorf("error is %v", err)
	}
}
