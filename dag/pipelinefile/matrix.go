package pipelinefile

import "strings"

// combination is one expansion of a stage with a matrix.
type combination struct {
	values *node  // mapping: what ${{ matrix.x }} names
	label  string // "wiki", "wiki,2": what stands in brackets after the stage's name
}

// combinations expands a matrix as GitHub Actions does: the product of the axes, the
// last changing fastest; less what an `exclude` entry matches; then each `include`
// entry is added to the combinations whose axes it does not contradict, or, where
// there is none, becomes a combination of its own.
//
// A combination is called by its values on the axes, in file order; in a matrix of
// includes alone, by its first value. ok is false after a problem.
func (s *scope) combinations(stage string, m *node) (_ []combination, ok bool) {
	axes := m.without("include", "exclude")
	good := true
	bad := func(n *node, format string, args ...any) {
		if !n.hole {
			s.add(n.pos, "", format, args...)
		}
		good = false
	}
	for _, f := range axes.fields {
		if f.value.kind != sequence {
			bad(f.value, "`matrix.%s` of stage `%s` must be a list of values, not %s", f.name, stage, f.value.describe())
			continue
		}
		if len(f.value.items) == 0 {
			bad(f.value, "`matrix.%s` of stage `%s` has no values", f.name, stage)
		}
		seen := map[string]bool{}
		for _, v := range f.value.items {
			text, err := v.scalarText()
			switch {
			case err != nil:
				bad(v, "a value of `matrix.%s` of stage `%s` %v", f.name, stage, err)
			case seen[text]:
				bad(v, "`matrix.%s` of stage `%s` has %s twice", f.name, stage, text)
			}
			seen[text] = true
		}
	}
	for _, name := range []string{"include", "exclude"} {
		l := m.get(name)
		if l == nil {
			continue
		}
		if l.kind != sequence {
			bad(l, "`matrix.%s` of stage `%s` must be a list of mappings, not %s", name, stage, l.describe())
			continue
		}
		for _, e := range l.items {
			if e.kind != mapping || len(e.fields) == 0 {
				bad(e, "an entry of `matrix.%s` of stage `%s` must be a mapping, not %s", name, stage, e.describe())
				continue
			}
			for _, f := range e.fields {
				if name == "exclude" && axes.get(f.name) == nil {
					s.add(f.pos, suggest(f.name, axes.names(), "it has"), "`matrix.exclude` of stage `%s` names `%s`, which is no axis", stage, f.name)
					good = false
				}
				if axes.get(f.name) != nil {
					if _, err := f.value.scalarText(); err != nil {
						bad(f.value, "`%s` in `matrix.%s` of stage `%s` %v", f.name, name, stage, err)
					}
				}
			}
		}
	}
	if !good {
		return nil, false
	}

	var all []*node
	if len(axes.fields) > 0 {
		all = []*node{{kind: mapping, pos: m.pos, key: m.key}}
	}
	for _, axis := range axes.fields {
		var next []*node
		for _, c := range all {
			for _, v := range axis.value.items {
				if len(next) > maxExpansions {
					s.add(m.key, "", "the matrix of stage `%s` has more than %d combinations", stage, maxExpansions)
					return nil, false
				}
				d := *c
				d.fields = append(append([]field(nil), c.fields...), field{axis.name, v.pos, v})
				next = append(next, &d)
			}
		}
		all = next
	}
	if ex := m.get("exclude"); ex != nil {
		var kept []*node
		for _, c := range all {
			drop := false
			for _, e := range ex.items {
				drop = drop || agrees(c, e, e)
			}
			if !drop {
				kept = append(kept, c)
			}
		}
		all = kept
	}
	product := len(all)
	if in := m.get("include"); in != nil {
		for _, e := range in.items {
			fits := false
			for i, c := range all[:product] {
				if agrees(c, e, axes) {
					fits = true
					all[i] = merge(c, e)
				}
			}
			if !fits {
				all = append(all, e)
			}
		}
	}
	if len(all) == 0 {
		s.add(m.key, "", "the matrix of stage `%s` has no combination left", stage)
		return nil, false
	}

	out := make([]combination, len(all))
	first := map[string]*node{}
	for i, c := range all {
		var words []string
		for _, axis := range axes.names() {
			if v := c.get(axis); v != nil {
				word, _ := v.scalarText()
				words = append(words, word)
			}
		}
		if len(words) == 0 {
			v := c.fields[0].value
			word, err := v.scalarText()
			if err != nil {
				bad(v, "the first value of this combination of stage `%s` %v", stage, err)
			}
			words = []string{word}
		}
		out[i] = combination{c, strings.Join(words, ",")}
		if first[out[i].label] != nil {
			bad(c, "two combinations of stage `%s` are both called `%s[%s]`", stage, stage, out[i].label)
		}
		first[out[i].label] = c
	}
	return out, good
}

const maxExpansions = 4096

// agrees says whether c has the values of e on all keys that both e and only have.
func agrees(c, e, only *node) bool {
	for _, f := range e.fields {
		if only.get(f.name) == nil {
			continue
		}
		v := c.get(f.name)
		if v == nil || v.kind != f.value.kind || v.describe() != f.value.describe() {
			return false
		}
	}
	return true
}
