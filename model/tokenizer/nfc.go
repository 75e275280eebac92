package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A rune is plain if text that consists of such runes is in NFC: it stays what it is
// (NFC_Quick_Check is Yes), is no mark, and joins with nothing before it. Runes below
// U+0300 and typographic punctuation are, so that most Portuguese text passes at the
// speed of looking at its bytes.

// plainSpan returns where the first rune from s[i] on begins that is not plain or not
// UTF-8. Not every plain rune is taken for one.
func plainSpan(s string, i int) int {
	for i < len(s) {
		if len(s)-i >= 8 {
			b := s[i : i+8]
			x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
				uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
			if x&0x8080808080808080 == 0 {
				i += 8
				continue
			}
		}
		switch c := s[i]; {
		case c < utf8.RuneSelf:
			i++
		case c >= 0xc2 && c < 0xcc && i+1 < len(s) && s[i+1]&0xc0 == 0x80: // U+0080–U+02FF
			i += 2
		case c == 0xe2 && i+2 < len(s) && s[i+1] == 0x80 && s[i+2] >= 0x90 && s[i+2] <= 0xbf: // U+2010–U+203F
			i += 3
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				return i
			}
			if p := norm.NFC.PropertiesString(s[i:]); !p.BoundaryBefore() || p.Decomposition() != nil {
				return i
			}
			i += n
		}
	}
	return i
}

// nfc composes text that is valid and plain before s[plain]. Stretches that are not
// plain go to package norm with the rune before them, which they may join; all else is
// copied, or nothing if all is plain.
func nfc(s string, plain int) string {
	plain = plainSpan(s, plain)
	if plain == len(s) {
		return s
	}
	const near = 64 // bytes: closer stretches are treated as one
	b := make([]byte, 0, len(s)+16)
	done := 0
	for plain < len(s) {
		_, before := utf8.DecodeLastRuneInString(s[done:plain])
		start := plain - before
		var end int
		for end = plain; plain < len(s); {
			_, n := utf8.DecodeRuneInString(s[plain:])
			end = plain + n
			if plain = plainSpan(s, end); plain-end >= near {
				break
			}
		}
		b = append(b, s[done:start]...)
		b = appendNFC(b, s[start:end])
		done = end
	}
	return string(append(b, s[done:]...))
}

// joiner is what package norm puts after thirty marks on one letter, to be fit for
// streams. The standard's form has none.
const joiner = "\u034f"

func appendNFC(b []byte, s string) []byte {
	n := len(b)
	b = norm.NFC.AppendString(b, s)
	if composed := string(b[n:]); strings.Count(composed, joiner) == strings.Count(s, joiner) {
		return b
	}
	return append(b[:n], string(compose(decompose(s)))...)
}

// decompose is the standard's canonical decomposition (§3.11, D68): each rune's own, with
// the marks behind a letter in the order of their classes.
func decompose(s string) (runes []rune) {
	for _, r := range s {
		runes = append(runes, []rune(norm.NFD.String(string(r)))...)
	}
	class := func(r rune) uint8 { return norm.NFD.PropertiesString(string(r)).CCC() }
	for i := 0; i < len(runes); i++ {
		j := i
		for j < len(runes) && class(runes[j]) > 0 {
			j++
		}
		slices.SortStableFunc(runes[i:j], func(a, b rune) int { return int(class(a)) - int(class(b)) })
		i = max(i, j-1)
	}
	return runes
}

// compose is its canonical composition (D117): what is not blocked from the letter
// before it joins that letter, where the two have a composite.
func compose(d []rune) []rune {
	out := make([]rune, 0, len(d))
	starter, last := -1, uint8(0) // place of the letter in out; class of the last rune kept behind it
	for _, r := range d {
		c := norm.NFC.PropertiesString(string(r)).CCC()
		if starter >= 0 && (starter == len(out)-1 || last < c) {
			if one := []rune(norm.NFC.String(string([]rune{out[starter], r}))); len(one) == 1 {
				out[starter] = one[0]
				continue
			}
		}
		if out = append(out, r); c == 0 {
			starter = len(out) - 1
		}
		last = c
	}
	return out
}
