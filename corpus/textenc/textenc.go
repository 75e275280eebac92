// Package textenc finds out in which encoding Portuguese text of unknown origin is
// written, and decodes it.
package textenc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// The encodings that Decode knows, as config and reports name them.
const (
	Auto        = "auto"
	UTF8        = "utf-8"
	Windows1252 = "windows-1252"
	ISO88591    = "iso-8859-1"
	utf16LE     = "utf-16le" // only found, by its byte order mark
	utf16BE     = "utf-16be"
)

// Invalid is a byte sequence that the encoding does not have.
type Invalid struct {
	Encoding string
	Offset   int64 // of the first such byte
	Byte     byte
}

func (e *Invalid) Error() string {
	return fmt.Sprintf("invalid %s at byte %d (0x%02x)", e.Encoding, e.Offset, e.Byte)
}

// Decode turns b into UTF-8 and names the encoding it took. Want is one of Auto, UTF8,
// Windows1252 and ISO88591. Bytes that the encoding does not have become U+FFFD,
// and first describes the first of them, invalid how many there are. A byte order
// mark is removed, and decides when want is Auto.
func Decode(b []byte, want string) (text, encoding string, invalid int64, first *Invalid) {
	if want == Auto || want == "" {
		want = detect(b)
	}
	switch want {
	case UTF8:
		text, invalid, first = utf8Text(b)
	case utf16LE:
		text, invalid, first = utf16Text(b[2:], binary.LittleEndian, want)
	case utf16BE:
		text, invalid, first = utf16Text(b[2:], binary.BigEndian, want)
	default:
		text, invalid, first = byteText(b, want)
	}
	return text, want, invalid, first
}

// detect names the encoding of b. Text that is valid UTF-8, or of whose bytes above
// 0x7f at least nine in ten stand in valid sequences, is UTF-8: what is wrong with it
// is damage. Otherwise bytes that only windows-1252 uses (quotes, dashes, ellipses at
// 0x80-0x9f) tell it from ISO-8859-1.
func detect(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		return utf16LE
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return utf16BE
	}
	var good, bad, c1 int
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			bad++
		} else {
			good += n
		}
		for _, x := range b[i : i+n] {
			if x >= 0x80 && x <= 0x9f {
				c1++
			}
		}
		i += n
	}
	switch {
	case good >= 9*bad:
		return UTF8
	case c1 > 0:
		return Windows1252
	}
	return ISO88591
}

func utf8Text(b []byte) (string, int64, *Invalid) {
	bom := 0
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		bom = 3
	}
	if utf8.Valid(b) {
		return string(b[bom:]), 0, nil
	}
	var out strings.Builder
	out.Grow(len(b))
	var invalid int64
	var first *Invalid
	for i := bom; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			if first == nil {
				first = &Invalid{UTF8, int64(i), b[i]}
			}
			invalid++
		}
		out.WriteRune(r)
		i += n
	}
	return out.String(), invalid, first
}

func byteText(b []byte, encoding string) (string, int64, *Invalid) {
	table := charmap.ISO8859_1
	if encoding == Windows1252 {
		table = charmap.Windows1252
	}
	var out strings.Builder
	out.Grow(len(b) + len(b)/16)
	var invalid int64
	var first *Invalid
	for i, x := range b {
		r := table.DecodeByte(x)
		// C1 controls are no text: neither ISO-8859-1's nor those that stand in the
		// five holes of windows-1252.
		if r == utf8.RuneError || r >= 0x80 && r <= 0x9f {
			if first == nil {
				first = &Invalid{encoding, int64(i), x}
			}
			invalid++
			r = utf8.RuneError
		}
		out.WriteRune(r)
	}
	return out.String(), invalid, first
}

func utf16Text(b []byte, order binary.ByteOrder, encoding string) (string, int64, *Invalid) {
	var out strings.Builder
	out.Grow(len(b))
	var invalid int64
	var first *Invalid
	bad := func(i int) {
		if first == nil {
			first = &Invalid{encoding, int64(i + 2), b[i]}
		}
		invalid++
		out.WriteRune(utf8.RuneError)
	}
	for i := 0; i < len(b); i += 2 {
		if i+1 == len(b) {
			bad(i)
			break
		}
		r := rune(order.Uint16(b[i:]))
		if !utf16.IsSurrogate(r) {
			out.WriteRune(r)
			continue
		}
		if i+3 < len(b) {
			if d := utf16.DecodeRune(r, rune(order.Uint16(b[i+2:]))); d != utf8.RuneError {
				out.WriteRune(d)
				i += 2
				continue
			}
		}
		bad(i)
	}
	return out.String(), invalid, first
}

// declared returns the encoding that an HTML page declares of itself, in the terms of
// Decode, or Auto. As browsers do, it reads a claim of ISO-8859-1 as windows-1252.
func declared(page []byte) string {
	head := bytes.ToLower(page[:min(len(page), 4096)])
	_, rest, ok := bytes.Cut(head, []byte("charset="))
	if !ok {
		return Auto
	}
	rest = bytes.TrimLeft(rest, `"' `)
	if i := bytes.IndexAny(rest, "\"' />;\r\n\t"); i >= 0 {
		rest = rest[:i]
	}
	switch string(rest) {
	case "utf-8", "utf8":
		return UTF8
	case "iso-8859-1", "iso8859-1", "latin1", "latin-1", "windows-1252", "cp1252", "us-ascii":
		return Windows1252
	}
	return Auto
}

// DecodeHTML is Decode for a page: want Auto takes the encoding that the page declares,
// unless its bytes prove another.
func DecodeHTML(b []byte, want string) (text, encoding string, invalid int64, first *Invalid) {
	if want == Auto || want == "" {
		want = detect(b)
		if want == ISO88591 {
			want = Windows1252
		}
		// Bytes that are only half UTF-8 cannot say; bytes that are not at all can.
		if d := declared(b); d == Windows1252 && want == UTF8 && !utf8.Valid(b) {
			want = d
		}
	}
	return Decode(b, want)
}
