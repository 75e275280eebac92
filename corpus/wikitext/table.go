package wikitext

import (
	"strings"
)

// Tables takes out {| tables |}, however nested, and what <table> holds. With rows, each
// row of a table leaves a line with its cells, between semicolons. A table without an
// end goes on to the next heading.
func (t *Text) Tables(rows bool) (c Count) {
	if strings.Contains(t.S, "{|") {
		c = t.wikiTables(rows)
	}
	h := t.htmlTables()
	return Count{c.Matches + h.Matches, c.Bytes + h.Bytes}
}

func (t *Text) wikiTables(rows bool) (c Count) {
	var b strings.Builder
	b.Grow(len(t.S))
	depth, size := 0, 0
	var cells []string
	flush := func() {
		var row []string
		for _, x := range cells {
			if x = strings.Join(strings.Fields(withoutGaps(x)), " "); x != "" {
				row = append(row, x)
			}
		}
		cells = cells[:0]
		if len(row) > 0 {
			line := strings.Join(row, "; ") + "\n"
			size -= len(line)
			b.WriteString(line)
		}
	}
	end := func() {
		if rows {
			flush()
		}
		b.WriteString(t.Gap(""))
		c.add(size)
	}
	for line := range strings.Lines(t.S) {
		s := strings.TrimLeft(line, " \t:")
		if depth == 0 {
			if !strings.HasPrefix(s, "{|") {
				b.WriteString(line)
				continue
			}
			depth, size = 1, len(line)
			continue
		}
		if line[0] == '=' {
			if _, _, ok := heading(line); ok {
				depth = 0
				end()
				b.WriteString("\n" + line)
				continue
			}
		}
		switch {
		case strings.HasPrefix(s, "{|"):
			depth++
		case strings.HasPrefix(s, "|}"):
			if depth--; depth == 0 {
				after := s[2:]
				size += len(line) - len(after)
				end()
				b.WriteString(after)
				continue
			}
		case rows && strings.HasPrefix(s, "|-"):
			flush()
		case rows && strings.HasPrefix(s, "|+"):
			flush()
			cells = append(cells, cell(s[2:]))
			flush()
		case rows && strings.HasPrefix(s, "|"):
			for _, x := range strings.Split(s[1:], "||") {
				cells = append(cells, cell(x))
			}
		case rows && strings.HasPrefix(s, "!"):
			for _, x := range strings.Split(strings.ReplaceAll(s[1:], "!!", "||"), "||") {
				cells = append(cells, cell(x))
			}
		case rows && len(cells) > 0:
			cells[len(cells)-1] += " " + s
		}
		size += len(line)
	}
	if depth > 0 {
		end()
	}
	t.S = b.String()
	return c
}

// cell drops the attributes before a cell's text: style="…" | text.
func cell(s string) string {
	attrs, text, ok := strings.Cut(s, "|")
	if ok && !strings.Contains(attrs, "[[") {
		return text
	}
	return s
}

func (t *Text) htmlTables() (c Count) {
	s := t.S
	if !strings.Contains(s, "<table") && !strings.Contains(s, "<TABLE") {
		return c
	}
	var b strings.Builder
	depth, start, done := 0, 0, 0
	for i := 0; i < len(s); {
		n := strings.IndexByte(s[i:], '<')
		if n < 0 {
			break
		}
		i += n
		g, ok := tagAt(s, i)
		if !ok || g.name != "table" || g.empty {
			i++
			continue
		}
		if !g.close {
			if depth == 0 {
				start = i
			}
			depth++
		} else if depth > 0 {
			if depth--; depth == 0 {
				b.WriteString(s[done:start])
				b.WriteString(t.Gap(""))
				c.add(g.end - start)
				done = g.end
			}
		}
		i = g.end
	}
	if done > 0 {
		b.WriteString(s[done:])
		t.S = b.String()
	}
	return c
}
