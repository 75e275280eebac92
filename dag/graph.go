package dag

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// settings is a canonical config and its digest.
type settings struct {
	json   []byte
	digest string
}

func newSettings(b []byte) *settings { return &settings{b, digestOf(b)} }

// settings gives the config that a part, or a join, is handed.
func (p *part) settings() *settings {
	if p.join {
		return p.node.config
	}
	return p.node.parted
}

// file is an input or output file and, for a source, where it lies.
type file struct {
	stage.File
	path   string // of a source; an object of the store otherwise
	absent bool   // a source that is still to be fetched
}

// node is a stage at work: its parts as far as they are known.
type node struct {
	*pipelinefile.Stage
	impl   stage.Stage
	config *settings // of the stage, and of its join
	parted *settings // of its parts: without what only the join reads
	feeds  map[string][]*feed
	users  []*node // stages that read from this one, each once

	parts   []*part
	absent  []string // sources that are still to be fetched; in a plan only
	backlog []supply // of the Map port: what is there to be cut into parts
	undone  int      // parts that are not done
	missing int      // inputs that are not complete, Join ports not counted
	late    int      // the same, of Join ports alone
	closed  bool     // all parts are known
	join    *part
	done    bool
	out     map[string][]file // once done: the outputs, by port, in order

	outputs     map[string]Output // once done and recorded, by port
	refusals    []string          // gates that broke
	missedBytes int64             // input of the parts that were not known

	err     error // split failed
	failed  int   // parts that failed for good
	skipped bool  // something above it failed
}

// feed is one thing that an input port is wired to.
type feed struct {
	ref    pipelinefile.Ref
	source []file // of a source
	from   *node  // of a stage
}

// supply is files for a Map port: a source's, or what one part above has published.
type supply struct {
	feed  int
	rank  []int
	files []file
}

// part is one part of a node, or its join.
type part struct {
	node  *node
	name  string
	rank  []int // its place among the node's parts, compared element by element
	args  json.RawMessage
	reads map[string][]file
	join  bool

	comps Components
	keep  map[string][]byte // lists named by digest in comps
	key   string
	bytes int64 // of its inputs

	state   partState
	hit     *artifacts.Action // when done
	outputs map[string][]file // when done, by port
	gone    string            // why a hit was not taken: what is missing from the store
}

type partState int

const (
	partNew    partState = iota // its key is not looked up yet
	partMissed                  // it has to run
	partDone
	partFailed
)

// graph is a pipeline's nodes and the parts that are known so far. Both plan and run
// drive it: they differ in what they do with a part that has to run.
type graph struct {
	pipeline *pipelinefile.Pipeline
	store    *artifacts.Store
	nodes    []*node // topological
	byName   map[string]*node
	fresh    []*part // to be looked up
	missed   []*part // looked up in vain, to be taken by the driver

	onHit  func(*part)
	onDone func(*node) error // a node's outputs are complete
}

// newGraph builds the nodes of the target stages and all they need; no targets means
// every stage.
func newGraph(p *pipelinefile.Pipeline, store *artifacts.Store, sources map[string][]file, targets []string) (*graph, error) {
	want, err := closure(p, targets)
	if err != nil {
		return nil, err
	}
	g := &graph{pipeline: p, store: store, byName: map[string]*node{}}
	for i := range p.Stages {
		s := &p.Stages[i]
		if !want[s.Name] {
			continue
		}
		impl, err := s.Kind.New(s.Config)
		if err != nil {
			return nil, fmt.Errorf("%s: stage %s: %w", s.Pos, s.Name, err)
		}
		n := &node{Stage: s, impl: impl, config: newSettings(s.Config), feeds: map[string][]*feed{}}
		parted, err := s.Kind.PartConfig(s.Config)
		if err != nil {
			return nil, err
		}
		n.parted = newSettings(parted)
		if len(s.Kind.Mid) > 0 {
			if _, ok := impl.(stage.Joiner); !ok {
				return nil, fmt.Errorf("stage kind %s has Mid ports but no Join", s.Kind.Name)
			}
		}
		for _, port := range s.Kind.In {
			for i, ref := range s.From[port.Name] {
				f := &feed{ref: ref}
				n.feeds[port.Name] = append(n.feeds[port.Name], f)
				if ref.Source != "" {
					f.source = asPort(port, sources[ref.Source], ref.String())
					if slices.ContainsFunc(f.source, func(f file) bool { return f.absent }) {
						n.missing++ // for ever: only a plan has such files
						n.absent = append(n.absent, ref.Source)
						continue
					}
					if port.Name == s.Kind.Map {
						for j := range f.source {
							n.backlog = append(n.backlog, supply{i, []int{j}, f.source[j : j+1]})
						}
					}
					continue
				}
				f.from = g.byName[ref.Stage]
				if f.from == nil {
					return nil, fmt.Errorf("%s: stage %s reads from %s, which comes after it", ref.Pos, s.Name, ref)
				}
				if !slices.Contains(f.from.users, n) {
					f.from.users = append(f.from.users, n)
				}
				switch {
				case port.Join:
					n.late++
				case !n.chains(port):
					n.missing++
				}
			}
		}
		g.nodes = append(g.nodes, n)
		g.byName[n.Name] = n
	}
	return g, nil
}

// closure names the target stages and all above them.
func closure(p *pipelinefile.Pipeline, targets []string) (map[string]bool, error) {
	want := map[string]bool{}
	if len(targets) == 0 {
		for i := range p.Stages {
			want[p.Stages[i].Name] = true
		}
		return want, nil
	}
	for _, t := range targets {
		found := false
		for i := range p.Stages {
			if s := &p.Stages[i]; s.Name == t || s.Base == t {
				want[s.Name], found = true, true
			}
		}
		if !found {
			return nil, &UnknownStage{Name: t, Pipeline: p}
		}
	}
	for i := len(p.Stages) - 1; i >= 0; i-- {
		if !want[p.Stages[i].Name] {
			continue
		}
		for _, refs := range p.Stages[i].From {
			for _, r := range refs {
				if r.Stage != "" {
					want[r.Stage] = true
				}
			}
		}
	}
	return want, nil
}

// UnknownStage says that a command named a stage that the pipeline does not have.
type UnknownStage struct {
	Name     string
	Pipeline *pipelinefile.Pipeline
}

func (e *UnknownStage) Error() string {
	var names []string
	for i := range e.Pipeline.Stages {
		if b := e.Pipeline.Stages[i].Base; !slices.Contains(names, b) {
			names = append(names, b)
		}
	}
	return fmt.Sprintf("pipeline %s has no stage %q; it has %s", e.Pipeline.Name, e.Name, strings.Join(names, ", "))
}

// chains says whether the node's parts can start on single parts of what feeds port:
// it is the Map port, and the names of the files, which depend on how many stand
// before them, do not matter.
func (n *node) chains(p stage.Port) bool {
	return p.Name == n.Kind.Map && !p.Names
}

// asPort shows files as an input port sees them: names and origins only if it asks.
func asPort(p stage.Port, files []file, origin string) []file {
	r := make([]file, len(files))
	for i, f := range files {
		f.Origin = ""
		if p.Origins {
			f.Origin = origin
		}
		if !p.Names {
			f.Name = ""
		}
		r[i] = f
	}
	return r
}

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
	if n.missing == 0 {
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

// cut makes parts out of complete inputs.
func (g *graph) cut(n *node) error {
	if n.closed {
		return nil
	}
	whole := map[string][]file{}
	for _, p := range n.Kind.In {
		if !p.Join && p.Name != n.Kind.Map {
			whole[p.Name] = n.inputFiles(p)
		}
	}
	switch sp, ok := n.impl.(stage.Splitter); {
	case ok:
		in := stage.Inputs{}
		for port, files := range whole {
			for _, f := range files {
				in[port] = append(in[port], f.File)
			}
		}
		parts, err := split(sp, in)
		if err != nil {
			return fmt.Errorf("cut the inputs into parts: %w", err)
		}
		for i, sp := range parts {
			p := &part{node: n, name: sp.Name, rank: []int{i}, reads: map[string][]file{}}
			if sp.Args != nil {
				if p.args, err = json.Marshal(sp.Args); err != nil {
					return fmt.Errorf("part %s: %w", sp.Name, err)
				}
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
		for _, s := range n.backlog {
			for i, f := range s.files {
				p := &part{node: n, name: mapName(f), reads: map[string][]file{n.Kind.Map: {f}}}
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

func split(s stage.Splitter, in stage.Inputs) (parts []stage.Part, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return s.Split(in)
}

// mapName is what messages call a part that is one file.
func mapName(f file) string {
	switch {
	case f.Name != "":
		return f.Name
	case f.Stats.First != "":
		return f.Stats.First
	}
	return f.Digest[:12]
}

func (g *graph) mapComplete(n *node) bool {
	for _, f := range n.feeds[n.Kind.Map] {
		if f.from != nil && !f.from.done {
			return false
		}
	}
	return true
}

// inputFiles lists an input port whose feeds are complete.
func (n *node) inputFiles(p stage.Port) []file {
	var r []file
	for _, f := range n.feeds[p.Name] {
		if f.from == nil {
			r = append(r, f.source...)
		} else {
			r = append(r, asPort(p, f.from.out[f.ref.Port], f.ref.String())...)
		}
	}
	return r
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

// ordered is the node's parts in the order of what they read.
func (n *node) ordered() []*part {
	parts := slices.Clone(n.parts)
	sort.SliceStable(parts, func(i, j int) bool { return slices.Compare(parts[i].rank, parts[j].rank) < 0 })
	return parts
}

// admit gives a part its key and queues it for the look-up.
func (g *graph) admit(p *part) {
	n := p.node
	c := Components{Engine: EngineFormat, Kind: n.Kind.Name, Version: n.Kind.Version, Config: p.settings().digest,
		Args: p.args, Join: p.join, Inputs: map[string]Listing{}, Seed: g.pipeline.Seed}
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
	for _, v := range n.Env {
		if c.Env == nil {
			c.Env = map[string]string{}
		}
		c.Env[v] = os.Getenv(v)
	}
	p.comps, p.key = c, c.Key()
	if !p.join {
		n.parts = append(n.parts, p)
		n.undone++
	}
	g.fresh = append(g.fresh, p)
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
			if err := json.Unmarshal(mf.Stats, &f.Stats); err != nil {
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
			u.backlog = append(u.backlog, supply{i, p.rank, asPort(port, p.outputs[f.ref.Port], f.ref.String())})
			fed = true
		}
	}
	return fed
}

// finish lists a node's outputs and lets the stages below go on.
func (g *graph) finish(n *node) error {
	n.done = true
	n.out = map[string][]file{}
	last := n.ordered()
	if n.join != nil {
		last = []*part{n.join}
	}
	_, splits := n.impl.(stage.Splitter)
	many := n.join == nil && (splits || n.Kind.Map != "")
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
						u.backlog = append(u.backlog, supply{i, nil, asPort(port, n.out[f.ref.Port], f.ref.String())})
					}
				case n.join != nil:
					u.backlog = append(u.backlog, supply{i, nil, asPort(port, n.out[f.ref.Port], f.ref.String())})
				}
			}
		}
		if err := g.advance(u); err != nil {
			return err
		}
	}
	return nil
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
