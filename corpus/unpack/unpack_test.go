package unpack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var limits = Limits{Ratio: 100, Member: 200 << 20}

func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		body := h.Uname // the test's place for the content
		h.Uname = ""
		h.Size = int64(len(body))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, body)
	}
	w.Close()
	return b.Bytes()
}

func gz(b []byte) []byte {
	var o bytes.Buffer
	w := gzip.NewWriter(&o)
	w.Write(b)
	w.Close()
	return o.Bytes()
}

func zst(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(b, nil)
}

func walk(name string, b []byte, l Limits) (string, error) {
	var s []string
	err := Walk(name, bytes.NewReader(b), int64(len(b)), l, func(f File) error {
		c, err := io.ReadAll(f)
		s = append(s, f.Name+"="+string(c[:min(len(c), 20)]))
		return err
	})
	return strings.Join(s, " "), err
}

func TestWalk(t *testing.T) {
	reg := func(name, body string) tar.Header {
		return tar.Header{Name: name, Uname: body, Typeflag: tar.TypeReg, Mode: 0o644}
	}
	two := tarOf(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir}, reg("d/a.txt", "A"), reg("./b.txt", "B"))
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"a.txt", []byte("A"), "a.txt=A"},
		{"a.txt.gz", gz([]byte("A")), "a.txt=A"},
		{"a.txt.gz", append(gz([]byte("A")), gz([]byte("B"))...), "a.txt=AB"},
		{"a.txt.zst", zst([]byte("A")), "a.txt=A"},
		{"a.tar", two, "d/a.txt=A b.txt=B"},
		{"a.tar.zst", zst(two), "d/a.txt=A b.txt=B"},
		{"a.TGZ", gz(two), "d/a.txt=A b.txt=B"},
		{"nameless", gz(two), "d/a.txt=A b.txt=B"},
		{"a.tar", tarOf(t, reg("x.txt.gz", string(gz([]byte("X"))))), "x.txt=X"},
		{"a.tar", tarOf(t, reg("x", "X"), tar.Header{Name: "d/l", Linkname: "../x", Typeflag: tar.TypeSymlink}), "x=X"},
		{"empty.txt", nil, "empty.txt="},
	} {
		got, err := walk(c.name, c.in, limits)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.name, got, err, c.want)
		}
	}
}

func TestRefuse(t *testing.T) {
	reg := func(name string) []byte {
		return tarOf(t, tar.Header{Name: name, Uname: "x", Typeflag: tar.TypeReg})
	}
	link := func(typ byte, to string) []byte {
		return tarOf(t, tar.Header{Name: "d/l", Linkname: to, Typeflag: typ})
	}
	bomb := gz(bytes.Repeat([]byte{'a'}, 65<<20))
	nest := []byte("x")
	for range depth + 2 {
		nest = gz(nest)
	}
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"up.tar", reg("../x"), "leaves the archive"},
		{"up.tar", reg("a/../../x"), "leaves the archive"},
		{"abs.tar", reg("/etc/passwd"), "leaves the archive"},
		{"win.tar", reg(`..\x`), "leaves the archive"},
		{"drive.tar", reg(`C:/x`), "leaves the archive"},
		{"sym.tar", link(tar.TypeSymlink, "/etc/passwd"), "outside the archive"},
		{"sym.tar", link(tar.TypeSymlink, "../../x"), "outside the archive"},
		{"hard.tar", link(tar.TypeLink, "../x"), "outside the archive"},
		{"dev.tar", tarOf(t, tar.Header{Name: "null", Typeflag: tar.TypeChar}), "neither a file"},
		{"bomb.gz.gz", gz(bomb), "raise max-ratio"},
		{"bomb.zst", zst(bytes.Repeat([]byte{0}, 65<<20)), "raise max-ratio"},
		{"window.zst", []byte("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"), "window size exceeded"},
		{"bomb.tar.zst", zst(tarOf(t, tar.Header{Name: "x", Uname: strings.Repeat("\x00", 65<<20), Typeflag: tar.TypeReg})), "raise max-ratio"},
		{"fifo.tar", tarOf(t, tar.Header{Name: "p", Typeflag: tar.TypeFifo}), "neither a file"},
		{"hard.tar", link(tar.TypeLink, "/etc/passwd"), "outside the archive"},
		{"a.zip", []byte("PK\x03\x04../../x"), "recompress"},
		{"nest.gz", nest, "nested more than"},
		{"cut.gz", gz([]byte("abcdefgh"))[:15], "gzip"},
		{"cut.zst", zst([]byte("abcdefgh"))[:9], "zstd"},
		{"cut.tar", reg("x")[:300], "tar"},
		{"no.tar", bytes.Repeat([]byte("not a tar "), 100), "tar"},
		{"a.bz2", []byte("BZh91AY"), "recompress"},
	} {
		if _, err := walk(c.name, c.in, limits); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), c.name[:2]) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := walk("big.tar", reg("x"), Limits{Ratio: 1, Member: 0}); err == nil || !strings.Contains(err.Error(), "more than the 0 allowed") {
		t.Errorf("big member: %v", err)
	}
}

func FuzzWalk(f *testing.F) {
	f.Add("a.tar", tarOf(f, tar.Header{Name: "x", Uname: "x", Typeflag: tar.TypeReg}))
	f.Add("a.gz", gz([]byte("a")))
	f.Add("a.zst", zst([]byte("a")))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		Walk(name, bytes.NewReader(b), int64(len(b)), Limits{Ratio: 10, Member: 1 << 20}, func(m File) error {
			if m.Inner && escapes(m.Name) {
				t.Fatalf("%q escapes", m.Name)
			}
			_, err := io.Copy(io.Discard, m)
			return err
		})
	})
}
