package pipelinefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits that no sane file meets, against files that would exhaust the stack or the
// memory: aliases of aliases ("billion laughs"), a million opening brackets.
const (
	maxBytes = 4 << 20
	maxDepth = 200
	maxNodes = 1 << 20
)

// reader turns YAML into nodes.
type reader struct {
	*collector
	masks   []string // the expressions that were masked, by number
	anchors map[string]*node
	nodes   int
}

// read gives the tree of a file; nil after a problem that leaves no tree.
func read(src []byte, c *collector) *node {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	c.lines = strings.Split(strings.ReplaceAll(string(src), "\r\n", "\n"), "\n")
	r := &reader{collector: c, anchors: map[string]*node{}}
	if !r.sane(src) {
		return nil
	}
	file, err := r.parse(r.mask(string(src)))
	if err != nil {
		r.syntax(err)
		return nil
	}
	var root *node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			tok := doc.Body.GetToken()
			c.add(Pos{c.file, tok.Position.Line, 1}, "", "a second YAML document begins here; a pipeline file is one")
			return nil
		}
		root = r.node(doc.Body, Pos{}, 0)
	}
	if root == nil {
		c.add(Pos{File: c.file, Line: 1, Col: 1}, "", "the file is empty; a pipeline has at least `pipeline` and `stages`")
	}
	return root
}

// sane refuses what the parser cannot be trusted with.
func (r *reader) sane(src []byte) bool {
	if len(src) > maxBytes {
		r.add(Pos{File: r.file}, "", "the file has %d bytes; a pipeline file has at most %d", len(src), maxBytes)
		return false
	}
	for i, line := range r.lines {
		if !utf8.ValidString(line) {
			good := line
			for j := range line {
				if c, n := utf8.DecodeRuneInString(line[j:]); c == utf8.RuneError && n == 1 {
					good = line[:j]
					break
				}
			}
			r.lines[i] = strings.ToValidUTF8(line, "\ufffd")
			r.add(Pos{r.file, i + 1, utf8.RuneCountInString(good) + 1}, "", "the file is not UTF-8")
			return false
		}
		if c := strings.IndexFunc(line, func(c rune) bool { return c < ' ' && c != '\t' && c != '\r' }); c >= 0 {
			r.add(Pos{r.file, i + 1, utf8.RuneCountInString(line[:c]) + 1}, "", "control character %#U", line[c])
			return false
		}
		// Brackets can only nest deeper than the limit where they are that many; block
		// marks only where one line has that many, or is indented that far.
		if strings.Count(line, "- ") > maxDepth || strings.Count(line, "? ") > maxDepth ||
			strings.Count(line, "[")+strings.Count(line, "{") > 8*maxDepth ||
			len(line)-len(strings.TrimLeft(line, " ")) > 8*maxDepth {
			r.add(Pos{r.file, i + 1, 1}, "", "nested too deeply")
			return false
		}
	}
	depth := 0
	for i, line := range r.lines {
		depth += strings.Count(line, "[") + strings.Count(line, "{") - strings.Count(line, "]") - strings.Count(line, "}")
		if depth = max(depth, 0); depth > 8*maxDepth {
			r.add(Pos{r.file, i + 1, 1}, "", "nested too deeply")
			return false
		}
	}
	return true
}

func (r *reader) parse(src string) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil { // the parser has panicked on malformed input before
			err = fmt.Errorf("not YAML (%v)", p)
		}
	}()
	return parser.ParseBytes([]byte(src), 0, parser.AllowDuplicateMapKey())
}

// syntax reports what the parser refused.
func (r *reader) syntax(err error) {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil {
		p := y.GetToken().Position
		hint := ""
		if p.Line >= 1 && p.Line <= len(r.lines) {
			line := []rune(r.lines[p.Line-1])
			switch at := p.Column - 1; {
			case strings.HasPrefix(string(line), "\t"):
				hint = "YAML is indented with spaces"
			case at > 0 && at < len(line) && strings.ContainsRune("[{", line[at]) && !strings.ContainsRune(" ,[{:", line[at-1]):
				hint = "between { } and [ ], text that holds brackets must be quoted"
			}
		}
		r.add(Pos{r.file, p.Line, p.Column}, hint, "not YAML: %s", r.unmask(y.GetMessage()))
		return
	}
	r.add(Pos{File: r.file}, "", "%v", err)
}

// An expression may stand anywhere in a value, also in {flow: style}, where YAML would
// read its braces as its own. So the parser is shown, for each expression, as many
// characters that mean nothing to it: those of Unicode's private plane 15, which of
// them telling the number of the expression. Positions stay what they are.
const (
	firstMask = 0xF0000
	lastMask  = 0xFFFFD
)

var expression = regexp.MustCompile(`\$\{\{.*?\}\}`)

func (r *reader) mask(src string) string {
	if strings.IndexFunc(src, isMask) >= 0 {
		return src
	}
	return expression.ReplaceAllStringFunc(src, func(e string) string {
		m := rune(firstMask + len(r.masks))
		if m > lastMask {
			return e
		}
		r.masks = append(r.masks, e)
		return strings.Repeat(string(m), utf8.RuneCountInString(e))
	})
}

func isMask(c rune) bool { return c >= firstMask && c <= lastMask }

func (r *reader) unmask(s string) string {
	if len(r.masks) == 0 || strings.IndexFunc(s, isMask) < 0 {
		return s
	}
	var b strings.Builder
	last := rune(-1)
	for _, c := range s {
		if !isMask(c) || int(c-firstMask) >= len(r.masks) {
			b.WriteRune(c)
		} else if c != last {
			b.WriteString(r.masks[c-firstMask])
		}
		last = c
	}
	return b.String()
}

// plainFloat is what YAML 1.2 takes for a number; the parser takes it for text when it
// has no point (3e-4), or is too large for 64 bits.
var plainFloat = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// leadingZero is octal in YAML 1.1, and to the parser, and decimal in YAML 1.2.
var leadingZero = regexp.MustCompile(`^[-+]?0[0-9_]+$`)

// node turns syntax into a value. Of a list or mapping that holds problems, what is
// good is kept, so that more problems can be found.
func (r *reader) node(n ast.Node, key Pos, depth int) *node {
	pos := r.pos(n)
	if key.Line == 0 {
		key = pos
	}
	out := &node{pos: pos, key: key}
	if r.nodes++; r.nodes > maxNodes || depth > maxDepth {
		if r.nodes <= maxNodes+1 {
			r.add(pos, "", "nested too deeply, or too much of it")
		}
		out.hole = true
		return out
	}
	switch n := n.(type) {
	case nil:
	case *ast.NullNode:
	case *ast.BoolNode:
		out.kind, out.yes = boolean, n.Value
	case *ast.IntegerNode:
		if v := n.GetToken().Value; leadingZero.MatchString(v) {
			r.add(pos, "", "%s is octal to some readers and decimal to others; write it without the 0, or with 0o", v)
			out.hole = true
			break
		}
		out.kind, out.number = number, json.Number(fmt.Sprint(n.Value))
	case *ast.FloatNode:
		if math.IsInf(n.Value, 0) || math.IsNaN(n.Value) {
			r.noCanonicalForm(out, n.GetToken().Value)
			break
		}
		out.kind, out.number = number, floatNumber(n.Value)
	case *ast.InfinityNode, *ast.NanNode:
		r.noCanonicalForm(out, n.GetToken().Value)
	case *ast.StringNode:
		if n.Token.Type == token.StringType && plainFloat.MatchString(n.Value) {
			f, err := strconv.ParseFloat(n.Value, 64)
			if err != nil {
				r.noCanonicalForm(out, n.Value)
				break
			}
			out.kind, out.number = number, floatNumber(f)
			break
		}
		out.kind, out.text = text, r.unmask(n.Value)
	case *ast.LiteralNode:
		out.kind = text
		if n.Value != nil {
			out.text = r.unmask(n.Value.Value)
		}
	case *ast.SequenceNode:
		out.kind = sequence
		for _, v := range n.Values {
			out.items = append(out.items, r.node(v, Pos{}, depth+1))
		}
	case *ast.MappingNode:
		out.kind = mapping
		r.fields(out, n.Values, depth)
	case *ast.MappingValueNode:
		out.kind = mapping
		r.fields(out, []*ast.MappingValueNode{n}, depth)
	case *ast.AnchorNode:
		v := r.node(n.Value, key, depth)
		if n.Name != nil {
			r.anchors[n.Name.GetToken().Value] = v
		}
		return v
	case *ast.AliasNode:
		return r.alias(n, out, depth)
	default:
		r.add(pos, "", "%s has no meaning in a pipeline file", strings.ToLower(n.Type().String()))
		out.hole = true
	}
	return out
}

func (r *reader) noCanonicalForm(n *node, value string) {
	r.add(n.pos, "", "%s has no canonical form; every number must be finite", value)
	n.hole = true
}

// alias gives what *name stands for. An anchor is known only after its own value is
// read, so that no value can hold itself.
func (r *reader) alias(n *ast.AliasNode, out *node, depth int) *node {
	name := ""
	if n.Value != nil {
		name = n.Value.GetToken().Value
	}
	v := r.anchors[name]
	if v == nil {
		r.add(out.pos, "", "alias *%s stands for nothing: no anchor &%s before it", name, name)
		out.hole = true
		return out
	}
	if r.nodes += v.count(); r.nodes > maxNodes {
		r.add(out.pos, "", "nested too deeply, or too much of it")
		out.hole = true
		return out
	}
	cp := *v
	cp.key = out.key
	return &cp
}

func (n *node) count() int {
	sum := 1
	for _, item := range n.items {
		sum += item.count()
	}
	for _, f := range n.fields {
		sum += f.value.count()
	}
	return sum
}

// fields reads the keys of a mapping, "<<" ones last: what they bring in yields to
// what is written out.
func (r *reader) fields(out *node, values []*ast.MappingValueNode, depth int) {
	var merged []*node
	for _, v := range values {
		pos := r.pos(v.Key)
		if v == values[0] && out.pos.Line > 0 {
			if t := out.pos; t.Line > pos.Line || t.Line == pos.Line && t.Col > pos.Col {
				// A block mapping's own token is its first colon.
				if out.key == out.pos {
					out.key = pos
				}
				out.pos = pos
			}
		}
		if _, ok := v.Key.(*ast.MergeKeyNode); ok {
			merged = append(merged, r.node(v.Value, pos, depth+1))
			continue
		}
		name, ok := r.keyName(v.Key)
		value := r.node(v.Value, pos, depth+1)
		if !ok {
			continue
		}
		if first := out.get(name); first != nil {
			r.add(pos, "", "`%s` is here for the second time; the first is in line %d", name, first.key.Line)
			continue
		}
		out.fields = append(out.fields, field{name, pos, value})
	}
	for _, m := range merged {
		from := []*node{m}
		if m.kind == sequence {
			from = m.items
		}
		for _, m := range from {
			if m.kind != mapping {
				if !m.hole {
					r.add(m.pos, "", "<< takes a mapping, not %s", m.describe())
				}
				continue
			}
			for _, f := range m.fields {
				if out.get(f.name) == nil {
					out.fields = append(out.fields, f)
				}
			}
		}
	}
}

// keyName is the text of a key. Keys are names: an expression, a list or a mapping
// cannot be one.
func (r *reader) keyName(k ast.MapKeyNode) (string, bool) {
	pos := r.pos(k)
	var name string
	switch k := k.(type) {
	case *ast.StringNode:
		name = r.unmask(k.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		name = k.GetToken().Value
	default:
		r.add(pos, "", "a key must be a plain name")
		return "", false
	}
	if strings.Contains(name, "${{") {
		r.add(pos, "", "an expression can stand in a value only, not in a key")
		return "", false
	}
	return name, true
}

func (r *reader) pos(n ast.Node) Pos {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return Pos{File: r.file, Line: 1, Col: 1}
	}
	p := n.GetToken().Position
	return Pos{r.file, p.Line, p.Column}
}

// floatNumber is the one form of a float: plain digits when it is a whole number that
// float64 holds exactly, else the shortest text that reads back the same.
func floatNumber(f float64) json.Number {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return json.Number(strconv.FormatInt(int64(f), 10))
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
}

// describe says what a value is, for "must be …, not …".
func (n *node) describe() string {
	switch n.kind {
	case boolean:
		return strconv.FormatBool(n.yes)
	case number:
		return n.number.String()
	case text:
		return "the string " + strconv.Quote(n.text)
	case sequence:
		return "a list"
	case mapping:
		return "a mapping"
	}
	return "empty"
}
