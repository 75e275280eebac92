package wikitext

import (
	"strings"
)

// Quotes removes the two apostrophes of italics, the three of bold and both together. Where a line has an odd
// number of both, one of the three apostrophes is one that belongs to the text: l”'Italie”
// is l' and Italie in italics. (MediaWiki's doQuotes decides the same way.)
func (t *Text) Quotes() (c Count) {
	s := t.S
	if !strings.Contains(s, "''") {
		return c
	}
	var b strings.Builder
	b.Grow(len(s))
	for line := range strings.Lines(s) {
		if strings.Contains(line, "''") {
			quotes(&b, line, &c)
		} else {
			b.WriteString(line)
		}
	}
	t.S = b.String()
	return c
}

func quotes(b *strings.Builder, line string, c *Count) {
	italics, bolds := 0, 0
	for i := 0; i < len(line); {
		if line[i] != '\'' {
			i++
			continue
		}
		n := run(line, i, '\'')
		switch {
		case n == 2:
			italics++
		case n == 3 || n == 4:
			bolds++
		case n >= 5:
			italics++
			bolds++
		}
		i += n
	}
	literal := -1 // the three apostrophes whose first apostrophe is text
	if italics%2 == 1 && bolds%2 == 1 {
		literal = literalBold(line)
	}
	for i := 0; i < len(line); {
		if line[i] != '\'' {
			j := strings.IndexByte(line[i:], '\'')
			if j < 0 {
				j = len(line) - i
			}
			b.WriteString(line[i : i+j])
			i += j
			continue
		}
		n := run(line, i, '\'')
		keep := 0
		switch {
		case n == 1:
			keep = 1
		case n == 4:
			keep = 1
		case n > 5:
			keep = n - 5
		case i == literal:
			keep = 1
		}
		if n > 1 {
			c.add(n - keep)
		}
		b.WriteString(line[i : i+keep])
		i += n
	}
}

// literalBold picks the three apostrophes whose first apostrophe is text: the first that follows a
// word of one letter, else the first that follows a longer word, else the first.
func literalBold(line string) int {
	word, space, one := -1, -1, -1
	for i := 0; i < len(line); {
		if line[i] != '\'' {
			i++
			continue
		}
		n := run(line, i, '\'')
		if n == 3 {
			before := line[:i]
			switch {
			case i == 0 || before[len(before)-1] == ' ':
				if space < 0 {
					space = i
				}
			case len(before) == 1 || before[len(before)-2] == ' ':
				if one < 0 {
					one = i
				}
			default:
				if word < 0 {
					word = i
				}
			}
		}
		i += n
	}
	switch {
	case one >= 0:
		return one
	case word >= 0:
		return word
	}
	return space
}
