package pipelinefile

import (
	"encoding/json"
	"strconv"
	"strings"
)

// node is a value of the file that knows where it stands.
type node struct {
	kind nodeKind
	pos  Pos // of the value
	key  Pos // of the key or list mark it belongs to; pos where there is none
	said Pos // of the variable that an expression took the value from; else zero

	text   string      // of a string
	number json.Number // an integer in plain digits, or the shortest form of a float64
	yes    bool
	items  []*node
	fields []field

	// hole marks a value that could not be found out, for a reason already reported:
	// nothing further is said about it.
	hole bool
}

type field struct {
	name  string
	pos   Pos
	value *node
}

type nodeKind int

const (
	null nodeKind = iota
	boolean
	number
	text
	sequence
	mapping
)

// get returns the value of a key of a mapping, nil when it has no such key.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for i := range n.fields {
		if n.fields[i].name == name {
			return n.fields[i].value
		}
	}
	return nil
}

// without returns a mapping without some of its keys.
func (n *node) without(names ...string) *node {
	out := *n
	out.fields = nil
next:
	for _, f := range n.fields {
		for _, name := range names {
			if f.name == name {
				continue next
			}
		}
		out.fields = append(out.fields, f)
	}
	return &out
}

// dropEmpty returns a mapping without those of the named keys that have no value, as
// "with:" when all that stood under it is commented out.
func (n *node) dropEmpty(names ...string) *node {
	for _, name := range names {
		if v := n.get(name); v != nil && v.kind == null && !v.hole {
			n = n.without(name)
		}
	}
	return n
}

// names lists the keys of a mapping, in file order.
func (n *node) names() []string {
	if n == nil {
		return nil
	}
	var names []string
	for _, f := range n.fields {
		names = append(names, f.name)
	}
	return names
}

// at follows a path of keys and list indices as far as it leads. The key position is
// of the last step taken; found says whether that was the whole path.
func (n *node) at(path []string) (_ *node, found bool) {
	for _, step := range path {
		var next *node
		switch n.kind {
		case mapping:
			next = n.get(step)
		case sequence:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.items) {
				next = n.items[i]
			}
		}
		if next == nil {
			return n, false
		}
		n = next
	}
	return n, true
}

// plain gives the value as encoding/json would decode it with UseNumber.
func (n *node) plain() any {
	switch n.kind {
	case boolean:
		return n.yes
	case number:
		return n.number
	case text:
		return n.text
	case sequence:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = item.plain()
		}
		return list
	case mapping:
		m := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			m[f.name] = f.value.plain()
		}
		return m
	}
	return nil
}

// holes says whether anything in the value could not be found out.
func (n *node) holes() bool {
	if n == nil {
		return false
	}
	if n.hole {
		return true
	}
	for _, item := range n.items {
		if item.holes() {
			return true
		}
	}
	for _, f := range n.fields {
		if f.value.holes() {
			return true
		}
	}
	return false
}

// merge lays over on base: mappings key by key, anything else replaced. A null in
// over takes the key away. Neither argument changes.
func merge(base, over *node) *node {
	if over.kind != mapping {
		return over
	}
	out := *over
	if base != nil && base.kind == mapping {
		out = *base
	} else {
		base = nil
	}
	out.fields = nil
	if base != nil {
		for _, f := range base.fields {
			switch v := over.get(f.name); {
			case v == nil:
				out.fields = append(out.fields, f)
			case v.kind == null:
			default:
				f.value = merge(f.value, v)
				if f.value.kind != mapping {
					f.pos = f.value.key
				}
				out.fields = append(out.fields, f)
			}
		}
	}
	for _, f := range over.fields {
		if base.get(f.name) == nil && f.value.kind != null {
			f.value = merge(nil, f.value)
			out.fields = append(out.fields, f)
		}
	}
	return &out
}

// joinPath writes a path as users see it: rules[0].match.
func joinPath(path []string) string {
	var b strings.Builder
	for _, step := range path {
		switch _, err := strconv.Atoi(step); {
		case err == nil && b.Len() > 0:
			b.WriteString("[" + step + "]")
		case b.Len() > 0:
			b.WriteString("." + step)
		default:
			b.WriteString(step)
		}
	}
	return b.String()
}
