package dag

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// graph is a pipeline's nodes and the parts that are known so far. Both plan and run
// drive it: they differ in what they do with a part that has to run.
type graph struct {
	pipeline *pipelinefile.Pipeline
	store    *artifacts.Store
	sources  map[string][]file
	nodes    []*node // topological
	byName   map[string]*node
	fresh    []*part                     // to be looked up
	missed   []*part                     // looked up in vain, to be taken by the driver
	outside  map[artifacts.FileID]string // digests of undeclared inputs
	wholes   bool                        // stages may be found as wholes, and then have no parts

	onHit  func(*part)
	onDone func(*node) error // a node's outputs are complete
}

// newGraph builds the nodes of the target stages and all they need; no targets means
// every stage.
func newGraph(p *pipelinefile.Pipeline, store *artifacts.Store, sources map[string][]file, targets []string) (*graph, error) {
	want, err := Closure(p, targets)
	if err != nil {
		return nil, err
	}
	g := &graph{pipeline: p, store: store, sources: sources, byName: map[string]*node{}}
	for i := range p.Stages {
		s := &p.Stages[i]
		if !want[s.Name] {
			continue
		}
		impl, err := s.Kind.New(s.Config)
		if err != nil {
			return nil, fmt.Errorf("%s: stage %s: %w", s.Pos, s.Name, err)
		}
		n := &node{Stage: s, impl: impl, feeds: map[string][]*feed{}}
		if n.config, err = newSettings(s.Kind, s.Config); err != nil {
			return nil, err
		}
		parted, err := s.Kind.PartConfig(s.Config)
		if err != nil {
			return nil, err
		}
		if n.parted, err = newSettings(s.Kind, parted); err != nil {
			return nil, err
		}
		if _, joins := impl.(stage.Joiner); joins != (len(s.Kind.Mid) > 0) {
			return nil, fmt.Errorf("stage kind %s must have both Mid ports and a Join, or neither", s.Kind.Name)
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
						n.backlog = append(n.backlog, supply{feed: i, all: true})
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

// Closure names the target stages and all above them; without targets, all stages. The
// error is an *UnknownStage.
func Closure(p *pipelinefile.Pipeline, targets []string) (map[string]bool, error) {
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
