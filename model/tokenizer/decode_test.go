package tokenizer

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// The replacements are those of Unicode §3.9, table 3-8 and of what Python's
// bytes.decode("utf-8", "replace") gives.
func TestValidUTF8(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "",
		"ação":                                 "ação",
		"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41": "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdA",
		"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41": "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdA",
		"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42": "\ufffd\ufffd\ufffd\ufffd\ufffdA\ufffd\ufffdB",
		"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41": "\ufffd\ufffd\ufffd\ufffdA",
		"a\xf0\x9f\x98":                        "a\ufffd",
		"\ufffd":                               "\ufffd",
	} {
		if got := validUTF8(in); got != want {
			t.Errorf("%+q becomes %+q; must be %+q", in, got, want)
		}
	}
}

// Any ids, also such as no text gives, decode to valid UTF-8, and a stream of them says
// the same as decoding them at once.
func TestStreamIsDecode(t *testing.T) {
	tok := trained(t, options())
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var ids []uint32
		for range r.IntN(30) {
			ids = append(ids, uint32(r.IntN(300))) // mostly single bytes
		}
		if r.IntN(10) == 0 {
			ids = append(ids, 1<<31)
		}
		want := tok.Decode(ids)
		if !utf8.ValidString(want) {
			t.Fatalf("%v decodes to %+q", ids, want)
		}
		s := tok.NewStream()
		var b strings.Builder
		for _, id := range ids {
			part := s.Push(id)
			if !utf8.ValidString(part) {
				t.Fatalf("%v streams %+q", ids, part)
			}
			b.WriteString(part)
		}
		b.WriteString(s.Flush())
		if b.String() != want {
			t.Fatalf("%v decodes to %+q and streams %+q", ids, want, b.String())
		}
	}
}

// A character is held back until its last byte, and not longer.
func TestStreamHoldsBack(t *testing.T) {
	tok := trained(t, options())
	s := tok.NewStream()
	var got []string
	for _, b := range []byte("é🇧a\xe2\x82") {
		got = append(got, s.Push(tok.bytes[b]))
	}
	got = append(got, s.Flush(), s.Flush())
	if want := `"", "é", "", "", "", "🇧", "a", "", "", "�", ""`; quoted(got) != want {
		t.Errorf("got %s; must be %s", quoted(got), want)
	}
}

func quoted(s []string) string {
	for i := range s {
		s[i] = `"` + s[i] + `"`
	}
	return strings.Join(s, ", ")
}
