package dag

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// cut makes parts out of complete inputs.
func (g *graph) cut(n *node) error {
	if n.closed {
		return nil
	}
	whole := n.wholePorts()
	switch sp, ok := n.impl.(stage.Splitter); {
	case ok:
		parts, err := split(sp, whole)
		if err != nil {
			return fmt.Errorf("cut the inputs into parts: %w", err)
		}
		for i, sp := range parts {
			p := &part{node: n, name: sp.Name, rank: []int{i}, reads: map[string][]file{}, whole: sp.Whole}
			if sp.Args != nil {
				if p.args, err = json.Marshal(sp.Args); err != nil {
					return fmt.Errorf("part %s: %w", sp.Name, err)
				}
			}
			if err := checkFiles(sp, whole); err != nil {
				return fmt.Errorf("cut the inputs into parts: %w", err)
			}
			for port, files := range whole {
				p.reads[port] = files
				if idx, ok := sp.Files[port]; ok {
					p.reads[port] = nil
					for _, j := range idx {
						p.reads[port] = append(p.reads[port], files[j])
					}
				}
			}
			g.admit(p)
		}
		n.closed = true
	case n.Kind.Map == "":
		g.admit(&part{node: n, name: "whole", reads: whole})
		n.closed = true
	default:
		port, _ := n.Kind.Input(n.Kind.Map)
		for _, s := range n.backlog {
			files := s.files
			if f := n.feeds[port.Name][s.feed]; s.all && f.from == nil {
				files = f.source
			} else if s.all {
				files = asPort(port, f.from.out[f.ref.Port], f.ref.String())
			}
			for i := range files {
				p := &part{node: n, name: mapName(files[i]), reads: map[string][]file{n.Kind.Map: files[i : i+1 : i+1]}}
				p.rank = append(append([]int{s.feed}, s.rank...), i)
				for port, files := range whole {
					p.reads[port] = files
				}
				g.admit(p)
			}
		}
		n.backlog = nil
		n.closed = g.mapComplete(n)
	}
	return nil
}

// checkFiles finds what a part that a kind has cut reads and does not exist.
func checkFiles(p stage.Part, inputs map[string][]file) error {
	for _, port := range slices.Sorted(maps.Keys(p.Files)) {
		files, ok := inputs[port]
		if !ok {
			return fmt.Errorf("part %q reads from port %q, which is no input of its stage's parts; this is a fault of the stage kind", p.Name, port)
		}
		for _, i := range p.Files[port] {
			if i < 0 || i >= len(files) {
				return fmt.Errorf("part %q reads file %d of port %q, which has %d, counted from 0; this is a fault of the stage kind", p.Name, i, port, len(files))
			}
		}
	}
	return nil
}

// wholePorts lists the files of the ports that are not cut file by file.
func (n *node) wholePorts() map[string][]file {
	whole := map[string][]file{}
	for _, p := range n.Kind.In {
		if !p.Join && p.Name != n.Kind.Map {
			whole[p.Name] = n.inputFiles(p)
		}
	}
	return whole
}

func split(s stage.Splitter, whole map[string][]file) (parts []stage.Part, err error) {
	in := stage.Inputs{}
	for port, files := range whole {
		for _, f := range files {
			in[port] = append(in[port], f.File)
		}
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return s.Split(in)
}

func (g *graph) mapComplete(n *node) bool {
	for _, f := range n.feeds[n.Kind.Map] {
		if f.from != nil && !f.from.done {
			return false
		}
	}
	return true
}

// joinReads lists what a join may read: all inputs, and the parts' Mid ports in order.
func (g *graph) joinReads(n *node) map[string][]file {
	r := map[string][]file{}
	for _, p := range n.Kind.In {
		r[p.Name] = n.inputFiles(p)
	}
	for _, p := range n.ordered() {
		for _, m := range n.Kind.Mid {
			r[m.Name] = append(r[m.Name], asPort(m, p.outputs[m.Name], "")...)
		}
	}
	return r
}

// admit gives a part its key and queues it for the look-up.
func (g *graph) admit(p *part) {
	n := p.node
	c := Components{Engine: EngineFormat, Kind: n.Kind.Name, Version: n.Kind.Version, Config: p.settings().digest,
		Args: p.args, Join: p.join, Inputs: map[string]Listing{}, Seed: g.pipeline.Seed, Machine: p.settings().machine}
	for port, files := range p.reads {
		if _, ok := n.Kind.Input(port); ok && len(n.feeds[port]) == 0 {
			continue // unwired: a kind that grows an optional port keeps its keys
		}
		l, keep := list(files)
		c.Inputs[port] = l
		if keep != nil {
			if p.keep == nil {
				p.keep = map[string][]byte{}
			}
			p.keep[l.Digest] = keep
		}
		for _, f := range files {
			p.bytes += f.Size
		}
	}
	c.Env = environment(n.Env)
	p.comps, p.key = c, c.Key()
	if !p.join {
		n.parts = append(n.parts, p)
		n.undone++
	}
	g.fresh = append(g.fresh, p)
}
