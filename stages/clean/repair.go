package clean

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/corpus/wikitext"
)

// lose counts text that the removal of something damaged.
func (p *page) lose(cause string, bytes int) {
	if cause == "" {
		return
	}
	if p.lost == nil {
		p.lost = map[string]wikitext.Count{}
	}
	c := p.lost[cause]
	p.lost[cause] = wikitext.Count{Matches: c.Matches + 1, Bytes: c.Bytes + int64(bytes)}
}

const separators = ",;:/–—-"

// parentheses removes parentheses that hold nothing but separators and gaps, with the
// space before them, and separators that a gap left at either end of others.
func (p *page) parentheses() (c wikitext.Count) {
	s := p.S
	if strings.IndexByte(s, '(') < 0 {
		return c
	}
	out := make([]byte, 0, len(s))
	done := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			rest, cause, cut := p.separatorsLeft(s[i+1:])
			if !cut && !strings.HasPrefix(rest, ")") {
				continue
			}
			n := len(s) - i - len(rest) // bytes from ( to what stays
			empty := strings.HasPrefix(rest, ")")
			if empty && cause == "" && n == 1 && i > 0 && s[i-1] != ' ' {
				continue // f() in text about programs
			}
			out = append(out, s[done:i]...)
			if empty {
				out = append(bytes.TrimRight(out, " "), p.Gap("")...)
				n++
			} else {
				out = append(out, '(')
			}
			c.Matches++
			c.Bytes += int64(n)
			p.lose(cause, n)
			done = i + n
			i = done - 1
		case ')':
			left, cause := p.TrimRight(s[done:i])
			trimmed := strings.TrimRight(left, " ,;:–")
			if trimmed == left || strings.HasSuffix(trimmed, "(") || cause == "" && !strings.ContainsAny(left[len(trimmed):], ",;") {
				continue
			}
			n := i - done - len(trimmed)
			out = append(out, trimmed...)
			c.Matches++
			c.Bytes += int64(n)
			p.lose(cause, n)
			done = i
		}
	}
	if c.Matches > 0 {
		p.S = string(append(out, s[done:]...))
	}
	return c
}

// separatorsLeft skips spaces, gaps and separators at the start of s. cut says whether
// what was skipped is more than spaces.
func (p *page) separatorsLeft(s string) (rest, cause string, cut bool) {
	rest = s
	for {
		trimmed, why := p.TrimLeft(rest)
		if cause == "" {
			cause = why
		}
		r, n := utf8.DecodeRuneInString(trimmed)
		switch {
		case n > 0 && (r == ',' || r == ';' || (cause != "" || strings.HasPrefix(strings.TrimLeft(trimmed[n:], " "), ")")) && strings.ContainsRune(separators, r)):
			cut = true
			rest = trimmed[n:]
			continue
		case strings.HasPrefix(trimmed, ")"):
			return trimmed, cause, cut
		case cut:
			return trimmed, cause, true
		}
		return s, "", false
	}
}

// gap is a place where something was taken out: what stands before it on its line
// (without the spaces before the gap) and after it.
type gap struct {
	left, right string
	cause       string
	spaced      bool // there was a space on either side
}

// inSentence says whether the gap stands within a sentence: not before the first of a
// paragraph, where boxes stand, nor between two, nor behind the last, where notes do.
func (g gap) inSentence() bool {
	atEnd := g.right == "" || g.right[0] == '\n'
	switch {
	case g.left == "" && atEnd:
		return false
	case g.left == "":
		r, _ := utf8.DecodeRuneInString(g.right)
		return unicode.IsLower(r) || startsWith(g.right, ",.;:)")
	case atEnd:
		return !endsSentence(g.left)
	}
	return !endsSentence(g.left) || !beginsSentence(g.right)
}

// lookBack is how far before a gap its words are looked at, in bytes.
const lookBack = 200

// mending is what becomes of a gap: how many bytes go on either side of it, and what
// stands between them.
type mending struct {
	left, right int
	glue        string
}

// mend walks over the gaps; not ok leaves one as it is.
func (p *page) mend(f func(g gap) (m mending, ok bool)) (c wikitext.Count) {
	s := p.S
	i := wikitext.NextGap(s)
	if i < 0 {
		return c
	}
	out := make([]byte, 0, len(s))
	for i >= 0 {
		out = append(out, s[:i]...)
		right, cause := p.TrimLeft(s[i:])
		span := s[i : len(s)-len(right)]
		line := out[max(0, len(out)-lookBack):]
		line = line[bytes.LastIndexByte(line, '\n')+1:]
		left := strings.TrimRight(string(line), " ")
		g := gap{left: left, right: right, cause: cause, spaced: len(left) < len(line) || strings.HasSuffix(span, " ")}
		if m, ok := f(g); ok {
			out = append(out[:len(out)-len(line)+len(left)-m.left], m.glue...)
			right = right[m.right:]
			c.Matches++
			c.Bytes += int64(m.left + m.right)
		} else {
			out = append(out, span...)
		}
		s = right
		i = wikitext.NextGap(s)
	}
	p.S = string(append(out, s...))
	return c
}

// danglers are words that want another after them.
var danglers = map[string]bool{"de": true, "da": true, "do": true, "das": true, "dos": true, "em": true, "na": true, "no": true, "nas": true, "nos": true, "com": true, "por": true,
	"pela": true, "pelo": true, "pelas": true, "pelos": true, "para": true, "a": true, "o": true, "as": true, "os": true, "à": true, "ao": true, "às": true, "aos": true, "um": true, "uma": true,
	"e": true, "ou": true, "entre": true, "até": true, "sobre": true, "sob": true, "sem": true, "desde": true, "num": true, "numa": true, "cerca": true, "aproximadamente": true}

func lastWord(s string) string {
	i := len(s)
	for i > 0 {
		r, n := utf8.DecodeLastRuneInString(s[:i])
		if !unicode.IsLetter(r) {
			break
		}
		i -= n
	}
	return s[i:]
}

func startsWith(s, chars string) bool { return s != "" && strings.IndexByte(chars, s[0]) >= 0 }

func (p *page) danglingWords() wikitext.Count {
	return p.mend(func(g gap) (mending, bool) {
		if g.cause == "" || !startsWith(g.right, ",.;:!?)") {
			return mending{}, false
		}
		cut := 0
		for { // "cerca de ,"
			left := strings.TrimRight(g.left[:len(g.left)-cut], " ")
			w := lastWord(left)
			if !danglers[w] || len(w) == len(left) || cut > 0 && (w == "e" || w == "ou") {
				break
			}
			cut = len(g.left) - len(strings.TrimRight(left[:len(left)-len(w)], " "))
		}
		if cut == 0 {
			return mending{}, false
		}
		p.lose(g.cause, cut)
		return mending{left: cut}, true
	})
}

func (p *page) doublePunctuation() wikitext.Count {
	return p.mend(func(g gap) (mending, bool) {
		if !strings.HasSuffix(g.left, ",") && !strings.HasSuffix(g.left, ";") && !strings.HasSuffix(g.left, ":") || !startsWith(g.right, ",.;:)") {
			return mending{}, false
		}
		p.lose(g.cause, 1)
		return mending{left: 1}, true
	})
}

// quoteMarks are the marks that may stand around a gap, and what closes each.
var quoteMarks = map[string]string{"\"": "\"", "“": "”", "«": "»", "‘": "’"}

// emptyQuotes removes quotation marks that hold nothing but a gap.
func (p *page) emptyQuotes() wikitext.Count {
	return p.mend(func(g gap) (mending, bool) {
		_, open := utf8.DecodeLastRuneInString(g.left)
		mark := g.left[len(g.left)-open:]
		closing, ok := quoteMarks[mark]
		if !ok || g.cause == "" || !strings.HasPrefix(g.right, closing) || mark == closing && strings.Count(g.left, mark)%2 == 0 {
			return mending{}, false
		}
		p.lose(g.cause, open+len(closing))
		return mending{open, len(closing), p.Gap("")}, true
	})
}

// closeGaps leaves gaps only where nothing else stands on the line, so that the line
// goes with them.
func (p *page) closeGaps() wikitext.Count {
	return p.mend(func(g gap) (mending, bool) {
		atEnd := g.right == "" || g.right[0] == '\n'
		if g.left == "" && atEnd {
			return mending{}, false
		}
		glue := ""
		switch {
		case g.left == "", atEnd, startsWith(g.right, ",.;:!?)"), strings.HasSuffix(g.left, "("):
		case !g.spaced && endsSentence(g.left) && beginsSentence(g.right):
			glue = "\n\n" // a picture or a box stood between two paragraphs
		case !g.spaced:
		default:
			glue = " "
		}
		if _, known := p.c.templates.find(g.cause); g.cause != "" && (danglers[lastWord(g.left)] || !known && g.inSentence()) {
			p.lose(g.cause, 0) // what the template would have said has no length here
		}
		return mending{glue: glue}, true
	})
}

func endsSentence(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return strings.ContainsRune(".!?…\"”»", r)
}

func beginsSentence(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsUpper(r)
}

func (p *page) spaceBeforePunctuation() wikitext.Count {
	e := edits{s: p.S}
	s := p.S
	for i := 0; i < len(s); i++ {
		n := strings.IndexByte(s[i:], ' ')
		if n < 0 {
			break
		}
		i += n
		j := i + 1
		for j < len(s) && s[j] == ' ' {
			j++
		}
		if j == len(s) {
			break
		}
		if i == 0 {
			i = j - 1
			continue
		}
		before := s[i-1]
		switch s[j] {
		case ',', '.', ';', ':', '!', '?':
			// Not " ..." nor " .5" nor " :)": what follows must end the mark.
			if before != '\n' && before != ' ' && (j+1 == len(s) || s[j+1] == ' ' || s[j+1] == '\n') && strings.IndexByte("([,.;:!?-*", before) < 0 && !strings.HasPrefix(s[j:], ". .") {
				e.replace(i, j, "")
			}
		case ')':
			if before != '(' && before != '\n' {
				e.replace(i, j, "")
			}
		default:
			if before == '(' {
				e.replace(i, j, "")
			}
		}
		i = j - 1
	}
	return e.finish(p)
}
