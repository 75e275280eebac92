package dag

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// start makes the parts that depend on sources alone.
func (g *graph) start() error {
	for _, n := range g.nodes {
		if err := g.advance(n); err != nil {
			return err
		}
	}
	return nil
}

// advance makes the parts of a node that can be known now, and its join, and its
// outputs when all is done.
func (g *graph) advance(n *node) error {
	if n.done || n.skipped || n.err != nil {
		return nil
	}
	if found, err := g.findWhole(n); found || err != nil {
		return err
	}
	if n.missing == 0 {
		if err := g.open(n); err != nil {
			return err
		}
		if err := g.cut(n); err != nil {
			n.err = err
			return nil
		}
	}
	if !n.closed || n.undone > 0 {
		return nil
	}
	if _, ok := n.impl.(stage.Joiner); ok {
		if n.join == nil && n.late == 0 {
			n.join = &part{node: n, name: "join", join: true, reads: g.joinReads(n)}
			g.admit(n.join)
		}
		if n.join == nil || n.join.state != partDone {
			return nil
		}
	}
	return g.finish(n)
}

// settle looks up fresh parts, completes those that are known, and goes on with what
// that makes known, until only parts are left that have to run (g.missed).
func (g *graph) settle() error {
	for len(g.fresh) > 0 {
		fresh := g.fresh
		g.fresh = nil
		keys := make([]string, len(fresh))
		for i, p := range fresh {
			keys[i] = p.key
		}
		known, err := g.store.Ledger().Actions(keys)
		if err != nil {
			return err
		}
		for _, p := range fresh {
			a := known[p.key]
			if a != nil {
				if p.gone = g.absent(a); p.gone != "" {
					a = nil
				} else if p.moved, err = g.moved(a); err != nil {
					return err
				} else if p.moved != nil {
					a = nil
				}
			}
			if a == nil {
				p.state = partMissed
				p.node.missedBytes += p.bytes
				g.missed = append(g.missed, p)
				continue
			}
			if g.onHit != nil {
				g.onHit(p)
			}
			if err := g.complete(p, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// absent names the first output of an action that the store does not have, or "".
func (g *graph) absent(a *artifacts.Action) string {
	for _, f := range a.Outputs.Files {
		if !g.store.Has(f.Digest, f.Size) {
			return f.Path
		}
	}
	return ""
}

// complete takes a part's outputs and hands them on.
func (g *graph) complete(p *part, a *artifacts.Action) error {
	p.state, p.hit = partDone, a
	p.outputs = map[string][]file{}
	for _, mf := range a.Outputs.Files {
		port, name, _ := strings.Cut(mf.Path, "/")
		f := file{File: stage.File{Name: name, Digest: mf.Digest, Size: mf.Size}}
		if len(mf.Stats) > 0 {
			var err error
			if f.Stats, err = decodeStats(mf.Stats); err != nil {
				return fmt.Errorf("ledger: statistics of %s in action %s: %w", mf.Path, a.Key, err)
			}
		}
		p.outputs[port] = append(p.outputs[port], f)
	}
	n := p.node
	if p.join {
		return g.advance(n)
	}
	n.undone--
	if len(n.Kind.Mid) == 0 {
		for _, u := range n.users {
			if !g.feed(u, n, p) {
				continue
			}
			if err := g.advance(u); err != nil {
				return err
			}
		}
	}
	return g.advance(n)
}

// feed gives a part's outputs to the Map port of a stage below, where it chains.
func (g *graph) feed(u, n *node, p *part) (fed bool) {
	port, ok := u.Kind.Input(u.Kind.Map)
	if !ok || !u.chains(port) {
		return false
	}
	for i, f := range u.feeds[port.Name] {
		if f.from == n {
			u.backlog = append(u.backlog, supply{feed: i, rank: p.rank, files: asPort(port, p.outputs[f.ref.Port], f.ref.String())})
			fed = true
		}
	}
	return fed
}

// finish lists a node's outputs and lets the stages below go on.
func (g *graph) finish(n *node) error {
	n.done = true
	n.out = map[string][]file{}
	if n.whole == nil {
		n.list()
	}
	if g.onDone != nil {
		if err := g.onDone(n); err != nil {
			return err
		}
	}
	if g.refused(n) {
		return nil
	}
	for _, u := range n.users {
		for _, port := range u.Kind.In {
			for i, f := range u.feeds[port.Name] {
				switch {
				case f.from != n:
				case port.Join:
					u.late--
				case !u.chains(port):
					u.missing--
					if port.Name == u.Kind.Map {
						u.backlog = append(u.backlog, supply{feed: i, all: true})
					}
				case n.join != nil || n.whole != nil:
					u.backlog = append(u.backlog, supply{feed: i, all: true})
				}
			}
		}
	}
	for _, u := range n.users { // all have what they get by now: what one finishes may be another's input
		if err := g.advance(u); err != nil {
			return err
		}
	}
	return nil
}

// list makes a node's outputs out of those of its parts.
func (n *node) list() {
	last := n.ordered()
	if n.join != nil {
		last = []*part{n.join}
	}
	_, splits := n.impl.(stage.Splitter)
	whole := len(last) == 1 && last[0].whole
	many := n.join == nil && (splits || n.Kind.Map != "") && !whole
	for _, port := range n.Kind.Out {
		var files []file
		for _, p := range last {
			files = append(files, p.outputs[port.Name]...)
		}
		if many {
			for i := range files {
				files[i].Name = fmt.Sprintf("%06d%s", i, suffix(files[i].Name))
			}
		}
		n.out[port.Name] = files
	}
}

// refused says whether a gate of the node broke: nothing below it may go on.
func (g *graph) refused(n *node) bool {
	for _, p := range append(slices.Clone(n.parts), joinOf(n)...) {
		if p.hit.Refusal != "" {
			return true
		}
	}
	return false
}

// suffix is all of a base name from its first dot on: ".jsonl.zst".
func suffix(name string) string {
	base := path.Base(name)
	if i := strings.IndexByte(base, '.'); i >= 0 {
		return base[i:]
	}
	return ""
}
