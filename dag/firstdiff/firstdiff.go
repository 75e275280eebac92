// Package firstdiff says where two files first differ, in the terms of their format: the
// document and its field in a shard of JSON lines, the path in a JSON document, line and
// column in a text, the offset in anything else. What is compressed with zstd or gzip is
// compared unpacked. It also sees when nothing differs but an order.
package firstdiff

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// Place is where two files first differ. Which fields are set depends on the format.
type Place struct {
	Document string `json:"document,omitempty"` // id of the document
	Line     int64  `json:"line,omitempty"`     // 1-based, of the unpacked file
	Column   int64  `json:"column,omitempty"`   // 1-based, in characters
	Path     string `json:"path,omitempty"`     // in a JSON value: $.meta.tags[2]
	Offset   int64  `json:"offset,omitempty"`   // of the byte, when there is no line
	Was      string `json:"was,omitempty"`      // what stands there, with a little around it
	Is       string `json:"is,omitempty"`

	// Same names what is the same in both: "lines", "elements" or "members" that stand in
	// another order, or "content" that is only packed or written otherwise.
	Same string `json:"same,omitempty"`
}

// jsonMost is the size of the largest JSON document that is compared as such, in bytes.
const jsonMost = 256 << 20

// sniffed is how much of a file decides whether it is text.
const sniffed = 8 << 10

// longestLine is the longest line of a text that is not JSON lines; a file with longer
// ones is compared byte by byte. In bytes.
const longestLine = 64 << 20

// Find compares the files at two paths, which bear the same name in the artifact; nil
// means that their bytes are the same.
func Find(was, is, name string) (*Place, error) {
	at, err := bytesDiffer(was, is, false)
	if err != nil || at == nil {
		return nil, err
	}
	inner := name
	packed := false
	for _, suffix := range []string{".zst", ".gz"} {
		if s, ok := strings.CutSuffix(name, suffix); ok {
			inner, packed = s, true
		}
	}
	if packed {
		in, err := bytesDiffer(was, is, true)
		switch {
		case err != nil: // no such format after all, or cut off
			return at, nil
		case in == nil:
			at.Same = "content"
			return at, nil
		}
		at = in
	}
	var better *Place
	switch {
	case strings.HasSuffix(inner, ".jsonl"), strings.HasSuffix(inner, ".ndjson"):
		better, err = linesDiffer(was, is, packed, true)
	case strings.HasSuffix(inner, ".json"):
		better, err = jsonDiffer(was, is, packed)
	}
	if err == nil && better == nil && isText(was, packed) && isText(is, packed) {
		better, err = linesDiffer(was, is, packed, false)
	}
	if err == nil && better != nil {
		return better, nil
	}
	return at, nil
}

// open opens a file, unpacking it by what it begins with when asked to.
func open(path string, unpack bool) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil || !unpack {
		return f, err
	}
	b := bufio.NewReader(f)
	head, _ := b.Peek(4)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			f.Close()
			return nil, err
		}
		return unpacked{z, func() error { return f.Close() }}, nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(4<<30))
		if err != nil {
			f.Close()
			return nil, err
		}
		return unpacked{z, func() error { z.Close(); return f.Close() }}, nil
	}
	f.Close()
	return nil, fmt.Errorf("%s is neither zstd nor gzip", path)
}

type unpacked struct {
	io.Reader
	close func() error
}

func (u unpacked) Close() error { return u.close() }

// pair opens both files.
func pair(was, is string, unpack bool) (a, b *bufio.Reader, done func(), err error) {
	f, err := open(was, unpack)
	if err != nil {
		return nil, nil, nil, err
	}
	g, err := open(is, unpack)
	if err != nil {
		f.Close()
		return nil, nil, nil, err
	}
	return bufio.NewReaderSize(f, 1<<16), bufio.NewReaderSize(g, 1<<16), func() { f.Close(); g.Close() }, nil
}

// shownBytes is how many bytes of a file that is no text are shown.
const shownBytes = 16

// bytesDiffer finds the first byte that differs; nil: none does.
func bytesDiffer(was, is string, unpack bool) (*Place, error) {
	a, b, done, err := pair(was, is, unpack)
	if err != nil {
		return nil, err
	}
	defer done()
	for at := int64(0); ; {
		x, errA := a.Peek(4096)
		y, errB := b.Peek(4096)
		for _, err := range []error{errA, errB} {
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
		}
		n := min(len(x), len(y))
		for i := range n {
			if x[i] != y[i] {
				return &Place{Offset: at + int64(i), Was: hex(x[i:]), Is: hex(y[i:])}, nil
			}
		}
		if len(x) != len(y) {
			return &Place{Offset: at + int64(n), Was: hex(x[n:]), Is: hex(y[n:])}, nil
		}
		if n == 0 {
			return nil, nil
		}
		a.Discard(n)
		b.Discard(n)
		at += int64(n)
	}
}

func hex(b []byte) string {
	if len(b) == 0 {
		return "(end)"
	}
	if len(b) > shownBytes {
		return fmt.Sprintf("% x …", b[:shownBytes])
	}
	return fmt.Sprintf("% x", b)
}

// isText says whether a file begins like UTF-8 text.
func isText(path string, unpack bool) bool {
	f, err := open(path, unpack)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, sniffed)
	n, _ := io.ReadFull(f, head)
	head = head[:n]
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	for range utf8.UTFMax - 1 { // the last character may be cut
		if utf8.Valid(head) || len(head) == 0 {
			return true
		}
		head = head[:len(head)-1]
	}
	return utf8.Valid(head)
}

var errLong = errors.New("a line is too long to be one")

// linesDiffer finds the first line that differs, and reads on to see whether both files
// hold the same lines in another order. documents: lines are JSON.
func linesDiffer(was, is string, unpack, documents bool) (*Place, error) {
	a, b, done, err := pair(was, is, unpack)
	if err != nil {
		return nil, err
	}
	defer done()
	most := longestLine
	if documents {
		most = 1 << 30 // a document may be that long (package corpus)
	}
	var first *Place
	var x, y []byte
	// The sum of the hashes of all lines does not depend on their order.
	seed := maphash.MakeSeed()
	var sumA, sumB uint64
	for n := int64(1); ; n++ {
		var endA, endB bool
		if x, endA, err = readLine(a, x, most); err != nil {
			return nil, err
		}
		if y, endB, err = readLine(b, y, most); err != nil {
			return nil, err
		}
		if endA && endB {
			break
		}
		if !endA {
			sumA += maphash.Bytes(seed, x) | 1
		}
		if !endB {
			sumB += maphash.Bytes(seed, y) | 1
		}
		if first == nil && (endA != endB || !bytes.Equal(x, y)) {
			first = lineDiffers(x, y, endA, endB, documents)
			first.Line = n
		}
	}
	if first != nil && sumA == sumB {
		first.Same = "lines"
	}
	return first, nil
}

// readLine reads a line with its end into buf.
func readLine(r *bufio.Reader, buf []byte, most int) (line []byte, end bool, err error) {
	line = buf[:0]
	for {
		b, err := r.ReadSlice('\n')
		line = append(line, b...)
		switch {
		case err == nil:
			return line, false, nil
		case errors.Is(err, io.EOF):
			return line, len(line) == 0, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		case len(line) > most:
			return nil, false, errLong
		}
	}
}

func lineDiffers(x, y []byte, endX, endY, documents bool) *Place {
	if documents {
		p := &Place{}
		v, okX := decode(x)
		w, okY := decode(y)
		switch {
		case endX && okY:
			p.Document, p.Was, p.Is = id(w), "(end)", "this document"
			return p
		case endY && okX:
			p.Document, p.Was, p.Is = id(v), "this document", "(end)"
			return p
		case okX && okY:
			p.Document = id(v)
			if other := id(w); other != p.Document {
				p.Path, p.Was, p.Is = "$.id", quote(p.Document), quote(other)
				return p
			}
			if d := valueDiffers("$", v, w); d != nil {
				d.Document = p.Document
				return d
			}
			return &Place{Document: p.Document, Same: "content"}
		}
	}
	switch {
	case endX:
		return &Place{Was: "(end)", Is: excerpt(strings.TrimSuffix(string(y), "\n"), 0)}
	case endY:
		return &Place{Was: excerpt(strings.TrimSuffix(string(x), "\n"), 0), Is: "(end)"}
	}
	if bytes.HasSuffix(x, []byte("\n")) && bytes.HasSuffix(y, []byte("\n")) {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	return textDiffers(string(x), string(y))
}

// textDiffers finds the first character that differs between two texts.
func textDiffers(x, y string) *Place {
	at := common(x, y)
	return &Place{Column: int64(utf8.RuneCountInString(x[:at])) + 1, Was: excerpt(x, at), Is: excerpt(y, at)}
}

// common is the length of what two texts begin with alike, in bytes, at the border of a
// character.
func common(x, y string) int {
	at := 0
	for at < len(x) && at < len(y) && x[at] == y[at] {
		at++
	}
	for at > 0 && at < max(len(x), len(y)) && (at < len(x) && !utf8.RuneStart(x[at]) || at < len(y) && !utf8.RuneStart(y[at])) {
		at--
	}
	return at
}

// Around the place that differs an excerpt shows so many characters.
const (
	shownBefore = 40
	shownAfter  = 60
)

// excerpt is what stands around byte at of a text.
func excerpt(s string, at int) string {
	before, after := []rune(s[max(0, at-4*shownBefore):at]), []rune(s[at:min(len(s), at+4*shownAfter)])
	out := ""
	if len(before) > shownBefore || at > 4*shownBefore {
		before = before[max(0, len(before)-shownBefore):]
		out = "…"
	}
	cut := len(after) > shownAfter || len(s) > at+4*shownAfter
	if len(after) > shownAfter {
		after = after[:shownAfter]
	}
	out += quote(string(before) + string(after))
	if cut {
		out += "…"
	}
	return out
}
