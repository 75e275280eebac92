package wikitext

import (
	"strconv"
	"strings"
	"unicode"
)

// heading reads a line like == Title ==.
func heading(line string) (level int, title string, ok bool) {
	if line == "" || line[0] != '=' {
		return 0, "", false
	}
	s := strings.TrimRight(line, " \t\r\n")
	for { // gaps may stand behind it: comments, templates
		i := strings.LastIndexByte(s, markGap)
		if i < 0 || i+strings.IndexByte(s[i:], markEnd) != len(s)-1 {
			break
		}
		s = strings.TrimRight(s[:i], " \t")
	}
	for level < 6 && level < len(s)/2 && s[level] == '=' && s[len(s)-1-level] == '=' {
		level++
	}
	if level == 0 || len(s) <= 2*level {
		return 0, "", false
	}
	return level, strings.TrimSpace(s[level : len(s)-level]), true
}

// DropSections removes the sections whose title, in lower case and without marks, names
// has, with the sections below them.
func (t *Text) DropSections(names map[string]bool) (c Count) {
	if len(names) == 0 || !strings.Contains(t.S, "=") {
		return c
	}
	var b strings.Builder
	b.Grow(len(t.S))
	dropping, size := 0, 0
	for line := range strings.Lines(t.S) {
		if line[0] == '=' {
			if level, title, ok := heading(line); ok && (dropping == 0 || level <= dropping) {
				if dropping > 0 {
					c.add(size)
				}
				dropping, size = 0, 0
				if names[sectionKey(title)] {
					dropping = level
				}
			}
		}
		if dropping > 0 {
			size += len(line)
		} else {
			b.WriteString(line)
		}
	}
	if dropping > 0 {
		c.add(size)
	}
	if c.Matches > 0 {
		t.S = b.String()
	}
	return c
}

func sectionKey(title string) string {
	title = strings.ReplaceAll(withoutGaps(title), "'''", "")
	title = strings.ReplaceAll(title, "''", "")
	return strings.ToLower(strings.Trim(title, " \t:"))
}

// EmptySections removes headings with nothing below them: no text, and no deeper
// heading that has some.
func (t *Text) EmptySections() (c Count) {
	if !strings.Contains(t.S, "=") {
		return c
	}
	lines := strings.SplitAfter(t.S, "\n")
	text := false
	var below [7]bool // a heading of that level, further down in this section, has text
	for i := len(lines) - 1; i >= 0; i-- {
		level, _, ok := heading(lines[i])
		if !ok {
			text = text || !blank(lines[i])
			continue
		}
		full := text
		for l := level + 1; l <= 6; l++ {
			full = full || below[l]
			below[l] = false
		}
		if !full {
			c.add(len(lines[i]))
			lines[i] = ""
		}
		below[level] = below[level] || full
		text = false
	}
	if c.Matches > 0 {
		t.S = strings.Join(lines, "")
	}
	return c
}

// Headings makes each heading a line of its title alone, with an empty line before and
// after it.
func (t *Text) Headings() (c Count) {
	if !strings.Contains(t.S, "=") {
		return c
	}
	var b strings.Builder
	b.Grow(len(t.S) + 64)
	for line := range strings.Lines(t.S) {
		if _, title, ok := heading(line); ok {
			c.add(len(line) - len(title))
			b.WriteString("\n" + title + "\n\n")
			continue
		}
		b.WriteString(line)
	}
	t.S = b.String()
	return c
}

// Lists rewrites the lines that begin with * # : ; or a space. A bullet becomes "- ", an
// item of a numbered list its number, "; term : definition" becomes "term: definition", and
// indentation goes. So do the rules drawn with four or more hyphens.
func (t *Text) Lists() (c Count) {
	var b strings.Builder
	b.Grow(len(t.S) + 64)
	var numbers []int // of the numbered lists open at this line, the outermost first
	for line := range strings.Lines(t.S) {
		prefix := 0
		for prefix < len(line) && strings.IndexByte("*#:;", line[prefix]) >= 0 {
			prefix++
		}
		if prefix == 0 {
			if !blank(line) || line == "\n" {
				numbers = numbers[:0]
			}
			if strings.HasPrefix(line, "----") {
				rest := strings.TrimLeft(line, "-")
				c.add(len(line) - len(rest))
				line = rest
			}
			b.WriteString(strings.TrimLeft(line, " \t"))
			continue
		}
		text := strings.TrimLeft(line[prefix:], " \t")
		depth := 0
		for i := range prefix {
			if line[i] == '#' {
				depth++
			}
		}
		out := ""
		switch line[prefix-1] {
		case '*':
			out = "- "
		case '#':
			for len(numbers) < depth {
				numbers = append(numbers, 0)
			}
			numbers = numbers[:depth]
			numbers[depth-1]++
			out = strconv.Itoa(numbers[depth-1]) + ". "
		case ';':
			if term, def, ok := strings.Cut(text, " : "); ok {
				text = strings.TrimRight(term, " :") + ": " + def
			}
		}
		if line[prefix-1] != '#' {
			numbers = numbers[:min(len(numbers), depth)]
		}
		c.add(len(line) - len(out) - len(text))
		if blank(text) {
			b.WriteString(t.Gap("") + text)
			continue
		}
		b.WriteString(out)
		b.WriteString(text)
	}
	t.S = b.String()
	return c
}

// MagicWords removes behaviour switches like __NOTOC__: the words given, in capitals and
// with their underscores.
func (t *Text) MagicWords(words map[string]bool) (c Count) {
	s := t.S
	i := strings.Index(s, "__")
	if i < 0 {
		return c
	}
	var b strings.Builder
	b.Grow(len(s))
	for i >= 0 {
		end := -1
		for j, r := range s[i+2 : min(len(s), i+2+maxEntity)] {
			if r == '_' {
				end = i + 2 + j
				break
			}
			if !unicode.IsLetter(r) {
				break
			}
		}
		if end > i+2 && strings.HasPrefix(s[end:], "__") && words[strings.ToUpper(s[i:end+2])] {
			b.WriteString(s[:i])
			b.WriteString(t.Gap(""))
			c.add(end + 2 - i)
			s = s[end+2:]
		} else {
			n := i + run(s, i, '_')
			b.WriteString(s[:n])
			s = s[n:]
		}
		i = strings.Index(s, "__")
	}
	b.WriteString(s)
	t.S = b.String()
	return c
}
