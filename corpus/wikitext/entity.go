package wikitext

import (
	"html"
	"strings"
	"unicode/utf8"
)

// maxEntity is longer than the longest named entity of HTML.
const maxEntity = 40

// Entities decodes HTML entities, once: &amp;lt; becomes &lt;. Those that name no
// character, or a control character, go.
func (t *Text) Entities() (c Count) {
	s, n := DecodeEntities(t.S)
	t.S = s
	return n
}

// DecodeEntities decodes the entities of s that end in a semicolon, once.
func DecodeEntities(s string) (string, Count) {
	var c Count
	i := strings.IndexByte(s, '&')
	if i < 0 {
		return s, c
	}
	var b strings.Builder
	b.Grow(len(s))
	for i >= 0 {
		b.WriteString(s[:i])
		s = s[i:]
		n := 1
		if end := entityEnd(s); end > 0 {
			if x := html.UnescapeString(s[:end]); x != s[:end] {
				r, k := utf8.DecodeRuneInString(x)
				if r >= ' ' && (r < 0x7f || r > 0x9f) && r != utf8.RuneError || r == '\n' || r == '\t' || k < len(x) {
					b.WriteString(x)
				}
				c.add(end - len(x))
				s = s[end:]
				n = 0
			}
		}
		b.WriteString(s[:n])
		s = s[n:]
		i = strings.IndexByte(s, '&')
	}
	b.WriteString(s)
	return b.String(), c
}

// entityEnd returns the length of what s begins with if it has the form of an entity.
func entityEnd(s string) int {
	for i := 1; i < min(len(s), maxEntity); i++ {
		switch c := s[i]; {
		case c == ';':
			if i == 1 {
				return 0
			}
			return i + 1
		case isLetter(c), c >= '0' && c <= '9', c == '#' && i == 1:
		default:
			return 0
		}
	}
	return 0
}
