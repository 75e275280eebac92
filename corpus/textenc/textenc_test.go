package textenc

import (
	"testing"
	"unicode/utf8"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		text, encoding string
		invalid        int64
		offset         int64
	}{
		{"ascii", "abc", Auto, "abc", UTF8, 0, 0},
		{"empty", "", Auto, "", UTF8, 0, 0},
		{"utf-8", "coração", Auto, "coração", UTF8, 0, 0},
		{"mark", "\xef\xbb\xbfà", Auto, "à", UTF8, 0, 0},
		{"latin", "cora\xe7\xe3o", Auto, "coração", ISO88591, 0, 0},
		{"quotes", "\x93cora\xe7\xe3o\x94 \x97", Auto, "“coração” —", Windows1252, 0, 0},
		{"damaged", "ação, não, é, é, é, é, é \xff", Auto, "ação, não, é, é, é, é, é \ufffd", UTF8, 1, 33},
		{"forced utf-8", "n\xe3o", UTF8, "n\ufffdo", UTF8, 1, 1},
		{"forced latin", "ã", ISO88591, "Ã£", ISO88591, 0, 0},
		{"hole", "a\x81", Windows1252, "a\ufffd", Windows1252, 1, 1},
		{"control", "a\x93", ISO88591, "a\ufffd", ISO88591, 1, 1},
		{"utf-16le", "\xff\xfeo\x00\xe1\x00", Auto, "oá", utf16LE, 0, 0},
		{"utf-16be", "\xfe\xff\x00o\xd8\x3d\xde\x00", Auto, "o😀", utf16BE, 0, 0},
		{"utf-16 cut", "\xff\xfeo\x00\xe1", Auto, "o\ufffd", utf16LE, 1, 4},
		{"real U+FFFD", "a\ufffd", Auto, "a\ufffd", UTF8, 0, 0},
	} {
		text, enc, invalid, first := Decode([]byte(c.in), c.want)
		if text != c.text || enc != c.encoding || invalid != c.invalid {
			t.Errorf("%s: got %q %s %d, want %q %s %d", c.name, text, enc, invalid, c.text, c.encoding, c.invalid)
		}
		if (first != nil) != (c.invalid > 0) || first != nil && first.Offset != c.offset {
			t.Errorf("%s: first invalid %v, want byte %d", c.name, first, c.offset)
		}
	}
}

func TestDecodeHTML(t *testing.T) {
	for _, c := range []struct{ name, in, want, text, encoding string }{
		{"declared and true", `<meta charset="utf-8">ação`, Auto, `<meta charset="utf-8">ação`, UTF8},
		{"declared latin is windows", "<meta content='text/html; charset=iso-8859-1'>\x93\xe7\x94", Auto,
			"<meta content='text/html; charset=iso-8859-1'>“ç”", Windows1252},
		{"declared latin, is utf-8", "charset=iso-8859-1>ação", Auto, "charset=iso-8859-1>ação", UTF8},
		{"declared utf-8, is latin", "charset=utf-8>\xe7\xe3", Auto, "charset=utf-8>çã", Windows1252},
		{"forced", "charset=utf-8>ã", ISO88591, "charset=utf-8>Ã£", ISO88591},
	} {
		if text, enc, _, _ := DecodeHTML([]byte(c.in), c.want); text != c.text || enc != c.encoding {
			t.Errorf("%s: got %q %s, want %q %s", c.name, text, enc, c.text, c.encoding)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("cora\xe7\xe3o"), UTF8)
	f.Add([]byte("\xff\xfea\xd8"), Auto)
	f.Fuzz(func(t *testing.T, b []byte, want string) {
		switch want {
		case Auto, UTF8, Windows1252, ISO88591:
		default:
			want = Auto
		}
		text, _, invalid, first := Decode(b, want)
		if !utf8.ValidString(text) || (invalid > 0) != (first != nil) {
			t.Fatalf("%q as %s: %q, %d invalid, first %v", b, want, text, invalid, first)
		}
	})
}
