package pipelinefile

import (
	"fmt"
	"strings"
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
