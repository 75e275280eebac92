package pipelinefile

import (
	"container/heap"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// draft is a stage on its way to being resolved.
type draft struct {
	Stage
	index int   // among all expansions, in file order
	from  *node // as written, expressions replaced
	off   bool  // when: false
	lost  bool  // its shape or kind is unknown: what hangs on that is not reported
}

// owner is what messages call the stage: by its base name, for what is wrong with one
// expansion is wrong with the text that all come from.
func (d *draft) owner() string { return "stage `" + d.Base + "`" }

var refText = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*)(?:\[([^\]]*)\])?\.([A-Za-z][A-Za-z0-9_-]*)$`)

// bind resolves every reference, checks the wiring of every port, and puts the stages
// in topological order.
func (l *loader) bind() {
	for _, d := range l.drafts {
		l.bindStage(d)
	}
	l.cycles()
	l.order()
}

func (l *loader) bindStage(d *draft) {
	d.From = map[string][]Ref{}
	known := map[string]bool{}
	if d.from != nil && d.from.kind == mapping {
		for _, f := range d.from.fields {
			var port stage.Port
			if d.Kind != nil {
				var ok bool
				if port, ok = d.Kind.Input(f.name); !ok {
					l.add(f.pos, suggest(f.name, portNames(d.Kind.In), "it has"), "unknown input port `%s` of %s (%s)", f.name, d.owner(), d.Kind.Name)
					known[stage.Nearest(f.name, portNames(d.Kind.In))] = true // the one that was meant is as good as wired
					continue
				}
			}
			known[f.name] = true
			d.From[f.name] = l.wire(d, port, f)
		}
	}
	if d.Kind == nil || d.lost || d.off {
		return
	}
	for _, port := range d.Kind.In {
		if !port.Optional && !known[port.Name] {
			pos := d.Pos
			if d.from != nil {
				pos = d.from.key
			}
			l.add(pos, "", "input port `%s` of %s is not wired; it takes %s", port.Name, d.owner(), typeName(port.Type))
		}
	}
}

// wire resolves what one port is wired to.
func (l *loader) wire(d *draft, port stage.Port, f field) []Ref {
	items := []*node{f.value}
	if f.value.kind == sequence {
		items = f.value.items
	}
	var wired []Ref
	var off string
	whole := true
	for _, n := range items {
		if n.hole || n.kind != text {
			whole = false
			continue
		}
		refs, left, ok := l.refs(n)
		whole = whole && ok
		if left != "" {
			off = left
		}
		for _, r := range refs {
			if d.Kind == nil || l.fits(d, port, r, n.text) {
				wired = append(wired, r)
			} else {
				whole = false
			}
		}
	}
	if d.Kind == nil || !whole || d.off {
		return wired
	}
	switch {
	case len(wired) > 1 && !port.Many:
		var names []string
		for _, r := range wired {
			names = append(names, r.String())
		}
		l.add(f.value.pos, "", "input port `%s` of %s takes one output, not %d: %s", port.Name, d.owner(), len(wired), quoteList(names))
	case len(wired) == 0 && off != "" && !port.Optional:
		l.add(f.value.pos, "", "input port `%s` of %s has nothing to read: stage `%s` is left out (when: false)", port.Name, d.owner(), off)
	case len(wired) == 0 && off == "" && !port.Optional:
		l.add(f.value.pos, "", "input port `%s` of %s is not wired; it takes %s", port.Name, d.owner(), typeName(port.Type))
	}
	return wired
}

// refs resolves a reference as written: to a source, to an output of a stage, or to
// that output of all expansions of a stage, in order. off names a stage that was
// passed over because it is left out. ok is false after a problem.
func (l *loader) refs(n *node) (refs []Ref, off string, ok bool) {
	written := strings.ReplaceAll(n.text, " ", "")
	m := refText.FindStringSubmatch(written)
	if m == nil {
		hint := ""
		if ds := l.byBase[n.text]; len(ds) > 0 && ds[0].Kind != nil {
			var ways []string
			for _, p := range ds[0].Kind.Out {
				ways = append(ways, n.text+"."+p.Name)
			}
			if len(ways) > 0 {
				hint = "did you mean " + list(ways, "or") + "?"
			}
		} else if l.sources[n.text] {
			hint = fmt.Sprintf("did you mean `sources.%s`?", n.text)
		}
		l.add(n.pos, hint, "`%s` is no reference; one is STAGE.PORT or sources.NAME", n.text)
		return nil, "", false
	}
	base, label, port := m[1], m[2], m[3]
	if base == "sources" && !strings.Contains(written, "[") {
		if !l.sources[port] {
			l.add(n.pos, suggest(port, l.root.get("sources").names(), "there are"), "unknown source `%s`", port)
			return nil, "", false
		}
		return []Ref{{Source: port, Pos: n.pos}}, "", true
	}
	targets, exists := l.byBase[base]
	if !exists {
		hint := suggest(base, l.stageNames(), "there are")
		if l.sources[base] {
			hint = fmt.Sprintf("did you mean `sources.%s`?", base)
		}
		l.add(n.pos, hint, "unknown stage `%s`", base)
		return nil, "", false
	}
	if len(targets) == 0 {
		return nil, "", false // its matrix is broken, which was reported
	}
	if strings.Contains(written, "[") {
		d := l.byName[base+"["+label+"]"]
		if d == nil {
			if targets[0].Name == base {
				l.add(n.pos, fmt.Sprintf("did you mean `%s.%s`?", base, port), "stage `%s` has no matrix", base)
				return nil, "", false
			}
			var names []string
			for _, t := range targets {
				names = append(names, t.Name)
			}
			l.add(n.pos, suggest(base+"["+label+"]", names, "there are"), "unknown stage `%s[%s]`", base, label)
			return nil, "", false
		}
		targets = []*draft{d}
	}
	ok = true
	for _, t := range targets {
		if t.Kind != nil {
			if _, has := t.Kind.Output(port); !has {
				l.add(n.pos, suggest(port, portNames(t.Kind.Out), "it has"), "unknown port `%s` of stage `%s`", port, base)
				return nil, "", false
			}
		} else {
			ok = false
		}
		if t.off {
			off = t.Name
			continue
		}
		refs = append(refs, Ref{Stage: t.Name, Port: port, Pos: n.pos})
	}
	return refs, off, ok
}

// fits says whether an input port takes what a reference leads to.
func (l *loader) fits(d *draft, port stage.Port, r Ref, written string) bool {
	given := stage.Source
	if r.Source == "" {
		t := l.byName[r.Stage]
		if t.Kind == nil {
			return true
		}
		out, _ := t.Kind.Output(r.Port)
		given = out.Type
	}
	if port.Type == given || port.Type == stage.Any || given == stage.Any {
		return true
	}
	l.add(r.Pos, "", "input port `%s` of %s takes %s; `%s` is %s", port.Name, d.owner(), typeName(port.Type), written, typeName(given))
	return false
}

func typeName(t stage.Type) string {
	switch t {
	case stage.Any:
		return "anything"
	case stage.Source:
		return "a source"
	case stage.Droplist, stage.Tokenizer, stage.Model, stage.Page:
		return "a " + string(t)
	}
	return string(t)
}

// cycles reports each loop of stages once, at the reference that closes it.
func (l *loader) cycles() {
	const (
		fresh = iota
		open
		done
	)
	state := make([]int, len(l.drafts))
	var path []*draft
	var visit func(d *draft)
	visit = func(d *draft) {
		state[d.index] = open
		path = append(path, d)
		for _, r := range d.inputs() {
			if r.Source != "" {
				continue
			}
			switch t := l.byName[r.Stage]; state[t.index] {
			case fresh:
				visit(t)
			case open:
				var names []string
				for _, p := range path[slices.Index(path, t):] {
					names = append(names, p.Name)
				}
				slices.Reverse(names) // as the documents flow, not as references point
				names = append([]string{t.Name}, names...)
				l.add(r.Pos, "", "the stages form a cycle: %s", strings.Join(names, " → "))
			}
		}
		path = path[:len(path)-1]
		state[d.index] = done
	}
	for _, d := range l.drafts {
		if state[d.index] == fresh {
			visit(d)
		}
	}
}

// inputs lists the references of a stage in the order of its kind's ports.
func (d *draft) inputs() []Ref {
	var all []Ref
	ports := make([]string, 0, len(d.From))
	for name := range d.From {
		ports = append(ports, name)
	}
	slices.Sort(ports)
	for _, name := range ports {
		all = append(all, d.From[name]...)
	}
	return all
}

// order puts the stages that are not left out in topological order: of those that are
// ready, always the first of the file.
func (l *loader) order() {
	waits := make([]int, len(l.drafts))
	feeds := make([][]int, len(l.drafts))
	var ready indexHeap
	for _, d := range l.drafts {
		for _, r := range d.inputs() {
			if r.Source == "" {
				t := l.byName[r.Stage].index
				feeds[t] = append(feeds[t], d.index)
				waits[d.index]++
			}
		}
		if waits[d.index] == 0 {
			ready = append(ready, d.index)
		}
	}
	for len(ready) > 0 {
		d := l.drafts[heap.Pop(&ready).(int)]
		if !d.off {
			l.p.Stages = append(l.p.Stages, d.Stage)
		}
		for _, next := range feeds[d.index] {
			if waits[next]--; waits[next] == 0 {
				heap.Push(&ready, next)
			}
		}
	}
}

type indexHeap []int

func (h indexHeap) Len() int           { return len(h) }
func (h indexHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h indexHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *indexHeap) Push(x any)        { *h = append(*h, x.(int)) }
func (h *indexHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (l *loader) stageNames() []string { return l.root.get("stages").names() }

func portNames(ports []stage.Port) []string {
	var names []string
	for _, p := range ports {
		names = append(names, p.Name)
	}
	return names
}
