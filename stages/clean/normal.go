package clean

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/ptbr-slm/pipeline/corpus/wikitext"
)

// mapRunes rewrites the runes for which f returns something else: another rune, or -1
// for none. f is asked only about runes whose first byte is in first.
func (p *page) mapRunes(first *[256]bool, f func(r rune, next byte) rune) (c wikitext.Count) {
	s := p.S
	var b []byte
	done := 0
	for i := 0; i < len(s); {
		if !first[s[i]] {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		next := byte(0)
		if i+n < len(s) {
			next = s[i+n]
		}
		if x := f(r, next); x != r {
			if b == nil {
				b = make([]byte, 0, len(s))
			}
			b = append(b, s[done:i]...)
			if x >= 0 {
				b = utf8.AppendRune(b, x)
			}
			c.Matches++
			c.Bytes += int64(n)
			done = i + n
		}
		i += n
	}
	if b != nil {
		p.S = string(append(b, s[done:]...))
	}
	return c
}

func firsts(runes ...rune) (t [256]bool) {
	for _, r := range runes {
		t[string(r)[0]] = true
	}
	return t
}

// Bytes that begin C0 and C1 controls, U+00AD, U+180E, U+200B…U+200F, U+202A…U+202E,
// U+2060…U+2064, U+FEFF, U+FFF9…U+FFFB.
var invisibleFirst = func() [256]bool {
	t := firsts(0x80, 0xad, 0x180e, 0x200b, 0x2060, 0xfeff, 0xfff9, 0x7f)
	for c := range ' ' {
		t[c] = c != '\n' && c != '\t' && c != '\r'
	}
	return t
}()

func (p *page) invisible() wikitext.Count {
	return p.mapRunes(&invisibleFirst, func(r rune, _ byte) rune {
		switch {
		case r == '\n', r == '\t', r == '\r', r == 0x85:
		case r < ' ', r >= 0x7f && r <= 0x9f, r == 0xad, r == 0x180e, r >= 0x200b && r <= 0x200f && r != 0x200d,
			r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x2064, r == 0xfeff, r >= 0xfff9 && r <= 0xfffb:
			return -1
		}
		return r
	})
}

var spaceFirst = firsts('\t', '\r', 0x85, 0xa0, 0x1680, 0x2000, 0x3000)

func (p *page) spaces() wikitext.Count {
	return p.mapRunes(&spaceFirst, func(r rune, next byte) rune {
		switch {
		case r == '\r' && next == '\n':
			return -1
		case r == '\r', r == 0x85, r == 0x2028, r == 0x2029:
			return '\n'
		case r == '\t', r == 0xa0, r == 0x1680, r >= 0x2000 && r <= 0x200a, r == 0x202f, r == 0x205f, r == 0x3000:
			return ' '
		}
		return r
	})
}

func (p *page) nfc() (c wikitext.Count) {
	if norm.NFC.IsNormalString(p.S) {
		return c
	}
	s := norm.NFC.String(p.S)
	c = wikitext.Count{Matches: 1, Bytes: int64(len(p.S) - norm.NFC.QuickSpan([]byte(p.S)))}
	p.S = s
	return c
}

func (p *page) doubleSpaces() (c wikitext.Count) {
	s := p.S
	var b []byte
	done := 0
	for i := 0; i < len(s); {
		n := strings.IndexByte(s[i:], ' ')
		if n < 0 {
			break
		}
		i += n
		n = 1
		for i+n < len(s) && s[i+n] == ' ' {
			n++
		}
		keep := 1
		if i == 0 || s[i-1] == '\n' || i+n == len(s) || s[i+n] == '\n' {
			keep = 0
		}
		if n > keep {
			if b == nil {
				b = make([]byte, 0, len(s))
			}
			b = append(b, s[done:i+keep]...)
			done = i + n
			c.Matches++
			c.Bytes += int64(n - keep)
		}
		i += n
	}
	if b != nil {
		p.S = string(append(b, s[done:]...))
	}
	return c
}

func (p *page) blankLines() (c wikitext.Count) {
	s := strings.Trim(p.S, "\n ")
	c.Bytes = int64(len(p.S) - len(s))
	if i := strings.Index(s, "\n\n\n"); i >= 0 {
		b := make([]byte, 0, len(s))
		for i >= 0 {
			b = append(b, s[:i+2]...)
			rest := strings.TrimLeft(s[i:], "\n")
			c.Matches++
			c.Bytes += int64(len(s) - i - 2 - len(rest))
			s = rest
			i = strings.Index(s, "\n\n\n")
		}
		s = string(append(b, s...))
	} else if c.Bytes > 0 {
		c.Matches = 1
	}
	p.S = s
	return c
}
