package pipelinefile

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// scope is what expressions can name at some place of the file.
type scope struct {
	*collector
	vars     *node // mapping of variables, as the file has them
	sources  *node // mapping of sources
	matrix   *node // mapping of this expansion's values; nil outside of a matrix
	resolved map[string]*node
	busy     map[string]bool // variables being resolved, to see those that name themselves
}

var (
	pathExpr    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*$`)
	literalExpr = regexp.MustCompile(`^'(?:[^']|'')*'$`)
)

const expressionHelp = "an expression is one of vars.NAME, matrix.NAME, sources.NAME.license, or 'text'"

// substitute replaces every expression in a value. A string that is one expression
// and nothing else becomes the value it names, of whatever type; in longer text the
// value is written out. What cannot be replaced becomes a hole.
func (s *scope) substitute(n *node) *node {
	if n == nil {
		return nil
	}
	switch n.kind {
	case sequence:
		out := *n
		out.items = make([]*node, len(n.items))
		for i, item := range n.items {
			out.items[i] = s.substitute(item)
		}
		return &out
	case mapping:
		out := *n
		out.fields = make([]field, len(n.fields))
		for i, f := range n.fields {
			f.value = s.substitute(f.value)
			out.fields[i] = f
		}
		return &out
	case text:
		if strings.Contains(n.text, "${{") {
			return s.text(n)
		}
	}
	return n
}

func (s *scope) text(n *node) *node {
	hole := &node{pos: n.pos, key: n.key, hole: true}
	if loc := expression.FindStringIndex(n.text); loc != nil && loc[0] == 0 && loc[1] == len(n.text) {
		v := s.eval(n, n.text)
		if v == nil {
			return hole
		}
		out := *v
		out.said = v.pos
		if v.said.Line > 0 {
			out.said = v.said
		}
		out.pos, out.key = n.pos, n.key
		return &out
	}
	out := *n
	var b strings.Builder
	rest, good := n.text, true
	for {
		i := strings.Index(rest, "${{")
		if i < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:i])
		loc := expression.FindStringIndex(rest[i:])
		if loc == nil {
			s.add(s.within(n, rest[i:]), "", "the expression is not closed: `${{` needs `}}` in the same line")
			return hole
		}
		e := rest[i : i+loc[1]]
		rest = rest[i+loc[1]:]
		v := s.eval(n, e)
		if v == nil {
			good = false
			continue
		}
		switch v.kind {
		case text:
			b.WriteString(v.text)
		case number, boolean:
			b.WriteString(v.describe())
		default:
			s.add(s.within(n, e), "", "%s is %s and cannot stand inside text", e, v.describe())
			good = false
		}
	}
	if !good {
		return hole
	}
	out.text = b.String()
	return &out
}

// eval gives the value of one "${{ … }}" of the text n, nil after a problem or when
// the value is a hole.
func (s *scope) eval(n *node, e string) *node {
	pos := s.within(n, e)
	inner := strings.TrimSpace(e[3 : len(e)-2])
	if literalExpr.MatchString(inner) {
		return &node{kind: text, pos: pos, key: pos, text: strings.ReplaceAll(inner[1:len(inner)-1], "''", "'")}
	}
	if !pathExpr.MatchString(inner) {
		s.add(pos, "", "bad expression %s; %s", e, expressionHelp)
		return nil
	}
	path := strings.Split(inner, ".")
	var v *node
	switch {
	case len(path) == 1:
		s.add(pos, "", "bad expression %s; %s", e, expressionHelp)
		return nil
	case path[0] == "vars":
		v = s.variable(pos, path[1])
		path = path[2:]
	case path[0] == "matrix" && s.matrix == nil:
		s.add(pos, "", "%s stands outside of a stage with a matrix", e)
		return nil
	case path[0] == "matrix":
		if v = s.matrix.get(path[1]); v == nil {
			s.add(pos, suggest(path[1], s.matrix.names(), "it has"), "the matrix has no `%s`", path[1])
			return nil
		}
		path = path[2:]
	case path[0] == "sources":
		src := s.sources.get(path[1])
		if src == nil {
			s.add(pos, suggest(path[1], s.sources.names(), "there are"), "unknown source `%s`", path[1])
			return nil
		}
		if len(path) != 3 || path[2] != "license" {
			s.add(pos, "", "bad expression %s; of a source only its license can be named", e)
			return nil
		}
		lic := src.get("license")
		if lic == nil {
			s.add(pos, "", "source `%s` has no license", path[1])
			return nil
		}
		v = (&scope{collector: s.collector, vars: s.vars, resolved: s.resolved, busy: s.busy}).substitute(lic)
		path = nil
	default:
		s.add(pos, suggest(path[0], []string{"vars", "matrix", "sources"}, ""), "bad expression %s; %s", e, expressionHelp)
		return nil
	}
	for _, step := range path {
		if v == nil || v.hole {
			return nil
		}
		next := v.get(step)
		if next == nil {
			s.add(pos, suggest(step, v.names(), "it has"), "bad expression %s: there is no `%s`", e, step)
			return nil
		}
		v = next
	}
	if v == nil || v.hole {
		return nil
	}
	return v
}

// variable gives a variable with the expressions in it replaced.
func (s *scope) variable(pos Pos, name string) *node {
	if v, ok := s.resolved[name]; ok {
		return v
	}
	v := s.vars.get(name)
	if v == nil {
		s.add(pos, suggest(name, s.vars.names(), "there are"), "unknown variable `%s`", name)
		return nil
	}
	if s.busy[name] {
		s.add(v.pos, "", "variable `%s` is made of itself", name)
		return nil
	}
	s.busy[name] = true
	v = (&scope{collector: s.collector, vars: s.vars, sources: s.sources, resolved: s.resolved, busy: s.busy}).substitute(v)
	delete(s.busy, name)
	s.resolved[name] = v
	return v
}

// within is the position of a piece of a text as far as the lines of the file show
// it, else of the text.
func (c *collector) within(n *node, piece string) Pos {
	first := n.pos.Line
	last := first + strings.Count(n.text, "\n")
	for line := first; line >= 1 && line <= len(c.lines) && line <= last; line++ {
		l, skip := c.lines[line-1], 0
		if line == first {
			for i := 1; i < n.pos.Col && skip < len(l); i++ {
				_, size := utf8.DecodeRuneInString(l[skip:])
				skip += size
			}
			if strings.HasPrefix(l[skip:], ">") || strings.HasPrefix(l[skip:], "|") {
				last = len(c.lines) // a block of text: it is there, on whichever line
			}
		}
		if i := strings.Index(l[skip:], piece); i >= 0 {
			return Pos{n.pos.File, line, utf8.RuneCountInString(l[:skip+i]) + 1}
		}
	}
	return n.pos
}

func newScope(c *collector, root *node) *scope {
	return &scope{
		collector: c,
		vars:      root.get("vars"),
		sources:   root.get("sources"),
		resolved:  map[string]*node{},
		busy:      map[string]bool{},
	}
}

// in returns the scope inside one expansion of a matrix.
func (s *scope) in(matrix *node) *scope {
	t := *s
	t.matrix = matrix
	return &t
}

// scalarText writes a value of a matrix as it appears in a stage's name.
func (n *node) scalarText() (string, error) {
	var s string
	switch n.kind {
	case text:
		s = n.text
	case number, boolean:
		s = n.describe()
	default:
		return "", fmt.Errorf("must be a string, a number, true or false, not %s", n.describe())
	}
	if !matrixText.MatchString(s) {
		return "", fmt.Errorf("becomes part of a stage's name and may hold only letters, digits, `.`, `_`, `+` and `-`, not %q", s)
	}
	return s, nil
}

var matrixText = regexp.MustCompile(`^[\p{L}\p{N}._+-]+$`)
