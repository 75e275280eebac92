// Package wikitext takes wikitext apart: comments, tags, templates, tables, links,
// quotes, entities, lines. It has one method for each construct, and knows how the
// construct is written and nested; what becomes of it is the caller's to say.
//
//	t := wikitext.New(page)
//	t.Comments()
//	t.Templates(func(c *wikitext.Call) wikitext.Expansion { … })
//	t.Links(func(l wikitext.Link) (wikitext.Expansion, bool) { … })
//	plain := t.Plain()
//
// Every method takes time in proportion to the text, whatever stands in it: nesting is
// followed MaxDepth deep, what lies deeper is dropped, and no search for an end that
// is missing is done twice.
//
// Where something is taken out a gap stays behind, which knows what caused it: so that
// who mends the text around the gap can tell what to blame. Gaps, and text held back
// from all further scanning, are control characters, which wikitext cannot hold: New
// drops any that a text has.
package wikitext

import (
	"strconv"
	"strings"
)

// MaxDepth is how deep templates and links may be nested. (MediaWiki stops at 100, and
// articles seldom reach 10.)
const MaxDepth = 40

// Marks in Text.S. A gap is markGap, a number, markEnd; a gap without a number has no
// cause worth naming. Held text is markHeld, a number, markEnd.
const (
	markGap   = '\x01'
	markEnd   = '\x02'
	markHeld  = '\x03'
	markPipe  = '\x04' // a | that separates nothing
	markEqual = '\x05' // a = that names nothing
)

// Text is a wikitext on its way to plain text.
type Text struct {
	S     string
	Title string // of the page

	causes []string
	number map[string]int // of each cause
	held   []string
}

// Count says what a method found.
type Count struct {
	Matches int64
	Bytes   int64 // removed or rewritten
}

func (c *Count) add(bytes int) {
	c.Matches++
	c.Bytes += int64(bytes)
}

// New begins to take s apart.
func New(s string) *Text {
	clean := true
	for i := range len(s) {
		if c := s[i]; c <= markEqual && c > 0 {
			clean = false
			break
		}
	}
	if !clean {
		s = strings.Map(func(r rune) rune {
			if r > 0 && r <= markEqual {
				return -1
			}
			return r
		}, s)
	}
	return &Text{S: s}
}

// Gap returns the mark of a gap; cause "" is a gap that does no damage to the text.
func (t *Text) Gap(cause string) string {
	if cause == "" {
		return string(markGap) + string(markEnd)
	}
	n, ok := t.number[cause]
	if !ok {
		if t.number == nil {
			t.number = map[string]int{}
		}
		n = len(t.causes)
		t.number[cause] = n
		t.causes = append(t.causes, cause)
	}
	return string(markGap) + strconv.Itoa(n) + string(markEnd)
}

// gapAt reads the gap that begins at byte i of s, if there is one: what caused it, and
// how many bytes its mark has (0: none).
func (t *Text) gapAt(s string, i int) (cause string, n int) {
	if i >= len(s) || s[i] != markGap {
		return "", 0
	}
	end := strings.IndexByte(s[i:], markEnd)
	if end < 0 {
		return "", 0
	}
	if k, err := strconv.Atoi(s[i+1 : i+end]); err == nil && k < len(t.causes) {
		cause = t.causes[k]
	}
	return cause, end + 1
}

// NextGap returns where the first gap of s begins, or -1.
func NextGap(s string) int { return strings.IndexByte(s, markGap) }

// TrimRight returns s without the white space and gaps at its end, and the cause of
// the last gap that had one.
func (t *Text) TrimRight(s string) (trimmed, cause string) {
	for {
		s = strings.TrimRight(s, " \t")
		if s == "" || s[len(s)-1] != markEnd {
			return s, cause
		}
		i := strings.LastIndexByte(s, markGap)
		if i < 0 || i+strings.IndexByte(s[i:], markEnd) != len(s)-1 { // the end of held text
			return s, cause
		}
		if why, _ := t.gapAt(s, i); cause == "" {
			cause = why
		}
		s = s[:i]
	}
}

// TrimLeft returns s without the white space and gaps it begins with, and the cause of
// the first gap that had one.
func (t *Text) TrimLeft(s string) (trimmed, cause string) {
	for {
		s = strings.TrimLeft(s, " \t")
		why, n := t.gapAt(s, 0)
		if n == 0 {
			return s, cause
		}
		if cause == "" {
			cause = why
		}
		s = s[n:]
	}
}

// withoutGaps returns s without the marks of gaps.
func withoutGaps(s string) string {
	i := strings.IndexByte(s, markGap)
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i >= 0 {
		b.WriteString(s[:i])
		end := strings.IndexByte(s[i:], markEnd)
		if end < 0 {
			s = s[i+1:]
		} else {
			s = s[i+end+1:]
		}
		i = strings.IndexByte(s, markGap)
	}
	b.WriteString(s)
	return b.String()
}

// hold keeps s from all further scanning and returns its mark.
func (t *Text) hold(s string) string {
	t.held = append(t.held, s)
	return string(markHeld) + strconv.Itoa(len(t.held)-1) + string(markEnd)
}

// blank says whether a line holds nothing but white space and gaps.
func blank(line string) bool {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case ' ', '\t', '\r', '\n':
		case markGap:
			end := strings.IndexByte(line[i:], markEnd)
			if end < 0 {
				return false
			}
			i += end
		default:
			return false
		}
	}
	return true
}

// Plain returns the text without marks: gaps close, lines that hold nothing else go,
// and what was held comes back.
func (t *Text) Plain() string {
	s := t.S
	if strings.IndexByte(s, markGap) >= 0 {
		var b strings.Builder
		b.Grow(len(s))
		for line := range strings.Lines(s) {
			switch {
			case strings.IndexByte(line, markGap) < 0:
				b.WriteString(line)
			case !blank(line):
				b.WriteString(withoutGaps(line))
			}
		}
		s = b.String()
	}
	return t.release(s)
}

// release puts held text back.
func (t *Text) release(s string) string {
	i := strings.IndexByte(s, markHeld)
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i >= 0 {
		b.WriteString(s[:i])
		end := strings.IndexByte(s[i:], markEnd)
		if end < 0 {
			s = s[i+1:]
		} else {
			if n, err := strconv.Atoi(s[i+1 : i+end]); err == nil && n < len(t.held) {
				b.WriteString(t.held[n])
			}
			s = s[i+end+1:]
		}
		i = strings.IndexByte(s, markHeld)
	}
	b.WriteString(s)
	return b.String()
}
