package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Exact returns a tokenizer that shares everything with t, but for which bytes that are
// not UTF-8 are tokens of their own: Encode keeps them, the normal form is that of what
// stands between them, and Decode gives the bytes of the ids as they are, valid or not. With a
// normal form that does nothing, decode(encode(x)) is x for every x.
//
// To t itself such bytes are U+FFFD, in both directions, as to Hugging Face's tokenizers,
// which take and give valid text only.
func (t *Tokenizer) Exact() *Tokenizer {
	e := *t
	e.exact = true
	return &e
}

// normal brings text to the normal form.
func (t *Tokenizer) normal(text string) string {
	if t.exact {
		return t.normalizer.applyExact(text)
	}
	return t.normalizer.apply(text)
}

// decoded gives the bytes of ids as text.
func (t *Tokenizer) decoded(b string) string {
	if t.exact {
		return b
	}
	return validUTF8(b)
}

// validUTF8 returns s with U+FFFD for each maximal part of an ill-formed sequence, as
// the Unicode standard recommends (§3.9) and as Python's and Rust's decoders do.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	start := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b.WriteString(s[start:i])
			b.WriteRune(utf8.RuneError)
			n, _ = subpart(s[i:])
			start = i + n
		}
		i += n
	}
	b.WriteString(s[start:])
	return b.String()
}

// subpart returns the length of the longest beginning of s, one byte at least, that a
// well-formed sequence could begin with, and whether it is all of s: more bytes might
// yet complete it. s does not begin with a whole sequence.
func subpart(s string) (n int, open bool) {
	lo, hi, want := byte(0x80), byte(0xbf), 0
	switch c := s[0]; {
	case c >= 0xc2 && c <= 0xdf:
		want = 2
	case c >= 0xe0 && c <= 0xef:
		want = 3
		switch c {
		case 0xe0:
			lo = 0xa0
		case 0xed:
			hi = 0x9f
		}
	case c >= 0xf0 && c <= 0xf4:
		want = 4
		switch c {
		case 0xf0:
			lo = 0x90
		case 0xf4:
			hi = 0x8f
		}
	default:
		return 1, false
	}
	for n = 1; n < want && n < len(s); n++ {
		if s[n] < lo || s[n] > hi {
			return n, false
		}
		lo, hi = 0x80, 0xbf
	}
	return n, n < want
}
