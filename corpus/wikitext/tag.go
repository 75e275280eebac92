package wikitext

import (
	"strings"
)

// tag is a piece of wikitext like <ref name="x">, </ref> or <br/>.
type tag struct {
	name  string // lower case
	attrs string
	close bool // </name>
	empty bool // <name/>
	end   int  // offset after its >
}

// maxTag bounds the length of a tag.
const maxTag = 4096

// tagAt reads the tag that begins at byte i of s, where a < stands.
func tagAt(s string, i int) (t tag, ok bool) {
	j := i + 1
	if j < len(s) && s[j] == '/' {
		t.close = true
		j++
	}
	start := j
	for j < len(s) && (isLetter(s[j]) || j > start && (s[j] >= '0' && s[j] <= '9' || s[j] == '-')) {
		j++
	}
	if j == start || j == len(s) || j-start > 32 {
		return t, false
	}
	t.name = strings.ToLower(s[start:j])
	if c := s[j]; c != '>' && c != '/' && c != ' ' && c != '\n' && c != '\t' {
		return t, false
	}
	quote := byte(0)
	for k := j; k < min(len(s), i+maxTag); k++ {
		switch c := s[k]; {
		case c == '>':
			t.attrs, t.end = s[j:k], k+1
			if strings.HasSuffix(t.attrs, "/") {
				t.attrs, t.empty = t.attrs[:len(t.attrs)-1], true
			}
			return t, true
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
		case c == '<':
			return t, false
		}
	}
	return t, false
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// closer finds closing tags of one name. It asks once where the next one is, however
// many tags are opened before it.
type closer struct {
	s, name string
	from    int // there is none in s[from:at]
	at, end int // of the next; at < 0: there is no more
}

// next returns where the first closing tag at or after i begins and ends.
func (c *closer) next(i int) (at, end int, ok bool) {
	if c.at >= 0 && (c.end == 0 || c.at < i) {
		c.at = -1
		for j := max(i, c.from); ; {
			n := strings.Index(c.s[j:], "</")
			if n < 0 {
				break
			}
			j += n
			if t, ok := tagAt(c.s, j); ok && t.name == c.name {
				c.at, c.end = j, t.end
				break
			}
			j += 2
		}
	}
	return c.at, c.end, c.at >= 0
}

// elements calls f for each element of the names, from <name> to the first </name>
// after it, and puts what it returns in its place. An element whose end is missing
// is only its tag. inner is the content, "" for an empty element.
func (t *Text) elements(names map[string]bool, f func(g tag, inner string, closed bool) (string, bool)) (c Count) {
	s := t.S
	i := strings.IndexByte(s, '<')
	if i < 0 {
		return c
	}
	var b strings.Builder
	done := 0
	closers := map[string]*closer{}
	for i < len(s) {
		n := strings.IndexByte(s[i:], '<')
		if n < 0 {
			break
		}
		i += n
		g, ok := tagAt(s, i)
		if !ok || !names[g.name] {
			i++
			continue
		}
		end, inner, closed := g.end, "", g.empty
		if !g.close && !g.empty {
			k := closers[g.name]
			if k == nil {
				k = &closer{s: s, name: g.name}
				closers[g.name] = k
			}
			if at, after, ok := k.next(g.end); ok {
				end, inner, closed = after, s[g.end:at], true
			}
		}
		out, ok := f(g, inner, closed)
		if !ok {
			i = g.end
			continue
		}
		c.add(end - i - len(out))
		b.WriteString(s[done:i])
		b.WriteString(out)
		i, done = end, end
	}
	if done > 0 {
		b.WriteString(s[done:])
		t.S = b.String()
	}
	return c
}

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// Comments removes <!-- comments -->, and the line of one that stands alone on it. A
// comment without an end goes on to the end of the text.
func (t *Text) Comments() (c Count) {
	s := t.S
	i := strings.Index(s, "<!--")
	if i < 0 {
		return c
	}
	var b strings.Builder
	b.Grow(len(s))
	for i >= 0 {
		end := len(s)
		if n := strings.Index(s[i+4:], "-->"); n >= 0 {
			end = i + 4 + n + 3
		}
		from := i
		for from > 0 && s[from-1] == ' ' {
			from--
		}
		to := end
		for to < len(s) && s[to] == ' ' {
			to++
		}
		if from > 0 && s[from-1] == '\n' && to < len(s) && s[to] == '\n' {
			i, end = from, to+1
		}
		c.add(end - i)
		b.WriteString(s[:i])
		s = s[end:]
		i = strings.Index(s, "<!--")
	}
	b.WriteString(s)
	t.S = b.String()
	return c
}

// Held says what becomes of elements whose content is no wikitext.
type Held func(name, attrs, content string) string

var heldTags = set("nowiki", "math", "chem", "ce", "pre", "syntaxhighlight", "source", "score", "hiero")

// Hold keeps the content of <nowiki>, <math>, <syntaxhighlight> and their like from
// all further scanning; render gives the text that Plain puts in their place.
func (t *Text) Hold(render Held) Count {
	return t.elements(heldTags, func(g tag, inner string, closed bool) (string, bool) {
		if g.close || !closed {
			return "", g.name == "nowiki"
		}
		out := render(g.name, g.attrs, inner)
		if out == "" {
			return t.Gap(gapOf(g.name)), true
		}
		return t.hold(out), true
	})
}

// gapOf names the cause of the gap that a dropped element leaves.
func gapOf(name string) string {
	if name == "nowiki" {
		return ""
	}
	return "<" + name + ">"
}

var refTags = set("ref", "references")

// Refs removes <ref>…</ref>, <ref/> and <references>.
func (t *Text) Refs() Count {
	return t.elements(refTags, func(g tag, inner string, closed bool) (string, bool) {
		if g.name == "references" {
			return t.Gap(""), true
		}
		// A <ref> whose own end is missing takes the next one's, and would take the
		// sections between them with it.
		if strings.Contains(inner, "\n==") {
			return "", false
		}
		return "", true
	})
}

var inclusionTags = set("noinclude", "onlyinclude", "includeonly")

// Inclusion leaves what a reader of the page itself sees: the content of <noinclude> and
// <onlyinclude>, not that of <includeonly>.
func (t *Text) Inclusion() Count {
	return t.elements(inclusionTags, func(g tag, inner string, closed bool) (string, bool) {
		if g.name == "includeonly" {
			return "", true
		}
		return inner, true
	})
}

var droppedTags = set("gallery", "timeline", "imagemap", "graph", "mapframe", "maplink", "templatedata", "templatestyles", "style", "script",
	"inputbox", "categorytree", "indicator", "dynamicpagelist", "rss", "tabber", "infobox", "navigation", "section", "pages", "pagelist", "pagequality")

// DroppedElements removes elements that hold pictures, data or forms: <gallery>,
// <timeline>, <templatestyles> …
func (t *Text) DroppedElements() Count {
	return t.elements(droppedTags, func(g tag, inner string, closed bool) (string, bool) {
		return t.Gap(""), true
	})
}

// blockTags begin and end a line of their own; closing or opening, they become a
// newline. Inside a <poem> a line ends with each newline anyway.
var blockTags = set("p", "div", "center", "blockquote", "poem", "ul", "ol", "dl", "li", "dt", "dd", "table", "tr", "caption", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "section", "article", "aside", "header", "footer", "figure", "figcaption")

// Tags removes all tags that are left: those of blocks become newlines, <br> a space
// (a newline inside <poem>), the others nothing. <sup> and <sub> of digits become the
// characters that Unicode has for them.
func (t *Text) Tags() (c Count) {
	s := t.S
	i := strings.IndexByte(s, '<')
	if i < 0 {
		return c
	}
	var b strings.Builder
	b.Grow(len(s))
	done, poem := 0, 0
	for i < len(s) {
		n := strings.IndexByte(s[i:], '<')
		if n < 0 {
			break
		}
		i += n
		g, ok := tagAt(s, i)
		if !ok {
			i++
			continue
		}
		out := ""
		end := g.end
		switch {
		case g.name == "br":
			out = " "
			if poem > 0 {
				out = "\n"
			}
			if end < len(s) && s[end] == '\n' {
				out = ""
			}
		case g.name == "sup" || g.name == "sub":
			if close := strings.Index(s[end:min(len(s), end+40)], "</"+s[i+1:i+4]+">"); !g.close && close >= 0 {
				if x, ok := Script(s[end:end+close], g.name == "sup"); ok {
					out, end = x, end+close+6
				}
			}
		case g.name == "li" && !g.close:
			out = "\n* "
		case g.name == "td" || g.name == "th":
			out = " "
		case blockTags[g.name]:
			out = "\n"
			if g.name == "poem" && !g.empty {
				if poem++; g.close {
					poem = max(0, poem-2)
				}
			}
		}
		c.add(end - i - len(out))
		b.WriteString(s[done:i])
		b.WriteString(out)
		i, done = end, end
	}
	if c.Matches > 0 {
		b.WriteString(s[done:])
		t.S = b.String()
	}
	return c
}

var superscripts = map[rune]rune{'0': '⁰', '1': '¹', '2': '²', '3': '³', '4': '⁴', '5': '⁵', '6': '⁶', '7': '⁷', '8': '⁸', '9': '⁹', '+': '⁺', '-': '⁻', '−': '⁻', 'n': 'ⁿ', 'i': 'ⁱ',
	'o': 'º', 'a': 'ª', 'º': 'º', 'ª': 'ª'}

var subscripts = map[rune]rune{'0': '₀', '1': '₁', '2': '₂', '3': '₃', '4': '₄', '5': '₅', '6': '₆', '7': '₇', '8': '₈', '9': '₉', '+': '₊', '-': '₋', '−': '₋'}

// Script writes s in superscript or subscript characters, if there are any for it.
func Script(s string, super bool) (string, bool) {
	m := subscripts
	if super {
		m = superscripts
	}
	var b strings.Builder
	for _, r := range strings.TrimSpace(s) {
		x, ok := m[r]
		if !ok {
			return "", false
		}
		b.WriteRune(x)
	}
	return b.String(), b.Len() > 0
}
