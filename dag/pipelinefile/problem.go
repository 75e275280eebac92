package pipelinefile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// Problem is one thing that is wrong with a pipeline file.
type Problem struct {
	Pos     Pos
	Message string
	Quote   string // the line of the file at Pos
	Hint    string // "did you mean `docs`?", or empty
}

// Problems is all that is wrong with a pipeline file, in file order.
type Problems struct{ All []Problem }

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Error gives every problem as a compiler would: position and message, the line, a
// caret under the column.
func (p *Problems) Error() string {
	var b strings.Builder
	for i, q := range p.All {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: %s", q.Pos, q.Message)
		if q.Hint != "" {
			fmt.Fprintf(&b, "; %s", q.Hint)
		}
		if q.Quote != "" {
			fmt.Fprintf(&b, "\n    %s\n    %s^", q.Quote, caretIndent(q.Quote, q.Pos.Col))
		}
	}
	return b.String()
}

// caretIndent is blank as far as the column, with the tabs of the line kept, so that
// the caret lands under its character whatever a tab's width.
func caretIndent(line string, col int) string {
	var b strings.Builder
	for _, r := range line {
		if col--; col < 1 {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// collector gathers problems while a file is read. A problem that shows in several
// expansions of a matrix is kept once.
type collector struct {
	file  string
	lines []string
	all   []Problem
	seen  map[Problem]bool
}

func (c *collector) add(pos Pos, hint, format string, args ...any) {
	p := Problem{Pos: pos, Message: fmt.Sprintf(format, args...), Hint: hint}
	if pos.Line >= 1 && pos.Line <= len(c.lines) {
		p.Quote = c.lines[pos.Line-1]
	}
	if c.seen == nil {
		c.seen = map[Problem]bool{}
	}
	if !c.seen[p] {
		c.seen[p] = true
		c.all = append(c.all, p)
	}
}

// err gives the problems in file order, or nil when there are none.
func (c *collector) err() error {
	if len(c.all) == 0 {
		return nil
	}
	slices.SortStableFunc(c.all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	return &Problems{All: c.all}
}

// suggest is the hint for an unknown name: the nearest known one, or all of them
// when none is near and they are few.
func suggest(name string, known []string, what string) string {
	if n := stage.Nearest(name, known); n != "" {
		return fmt.Sprintf("did you mean `%s`?", n)
	}
	switch {
	case what == "" || len(known) > 16:
		return ""
	case len(known) == 0:
		return what + " none"
	}
	return what + " " + quoteList(known)
}

// quoteList writes names as "`a`, `b` and `c`".
func quoteList(names []string) string { return list(names, "and") }

func list(names []string, and string) string {
	var b strings.Builder
	for i, n := range names {
		switch {
		case i == 0:
		case i == len(names)-1:
			b.WriteString(" " + and + " ")
		default:
			b.WriteString(", ")
		}
		b.WriteString("`" + n + "`")
	}
	return b.String()
}
