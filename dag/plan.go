package dag

import (
	"fmt"
	"slices"
	"sort"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/source"
)

// What a plan says of a stage.
const (
	PlanCached = "cached"  // every part is known
	PlanRun    = "run"     // parts have to run
	PlanMayRun = "may-run" // nothing known to run; waits for stages above, a hit if their outputs come out the same
	PlanRefuse = "refused" // every part is known, and a gate is broken: nothing below runs
	PlanHeld   = "held"    // does not run: a gate above is broken, or a stage above cannot be cut into parts
	PlanFail   = "fails"   // its inputs cannot be cut into parts
)

// Plan is what a run would do. It is the JSON document of `pipeline plan --json`.
type Plan struct {
	Pipeline string      `json:"pipeline"`
	Profile  string      `json:"profile,omitempty"`
	Jobs     int         `json:"jobs"` // CPUs that the estimate of the wall time is for
	Stages   []PlanStage `json:"stages"`
	Run      int         `json:"run"`    // parts that have to run, as far as is known
	Cached   int         `json:"cached"` // parts that are known

	Seconds float64 `json:"seconds"` // the median of Estimate; negative when it is unknown

	// What all that has to run, or may have to, takes together; nil when of some stage
	// that is unknown.
	Estimate *Estimate `json:"estimate"`
	Wall     *Span     `json:"wall"` // from the start of the run to its end
}

// PlanStage is what a run would do to one stage.
type PlanStage struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	State    string    `json:"state"`
	Cached   int       `json:"cached"` // parts
	Run      int       `json:"run"`    // parts that have to run, as far as is known
	Open     bool      `json:"open"`   // more parts may come: stages above have to run first
	After    []string  `json:"after"`  // the stages it waits for
	Reasons  []Reason  `json:"reasons"`
	Seconds  float64   `json:"seconds"`         // the median of Estimate; 0 when there is nothing to run, negative when it is unknown
	Estimate *Estimate `json:"estimate"`        // nil when it is unknown, or there is nothing to run
	Error    string    `json:"error,omitempty"` // why it fails
}

// MakePlan finds out what a run of the target stages with so many jobs would do, without
// doing it.
func MakePlan(p *pipelinefile.Pipeline, store *artifacts.Store, sources map[string][]source.Resolved, targets []string, jobs int) (*Plan, error) {
	g, err := newGraph(p, store, sourceFiles(sources), targets)
	if err != nil {
		return nil, err
	}
	g.wholes = true
	if err := g.start(); err != nil {
		return nil, err
	}
	if err := g.settle(); err != nil {
		return nil, err
	}
	return g.plan(jobs)
}

// plan describes the graph as it is known.
func (g *graph) plan(jobs int) (*Plan, error) {
	plan := &Plan{Pipeline: g.pipeline.Name, Profile: g.pipeline.Profile, Jobs: jobs, Estimate: &Estimate{CPU: &Span{}}}
	w := planner{g, newForecaster(g.store.Ledger()), jobs, map[*node]Reason{}, map[*node]float64{}}
	takes := map[*node]*Estimate{}
	for _, n := range g.nodes {
		s, err := w.stage(n)
		if err != nil {
			return nil, err
		}
		plan.Stages = append(plan.Stages, s)
		plan.Run += s.Run
		plan.Cached += s.Cached
		takes[n] = s.Estimate
		switch {
		case s.State != PlanRun && s.State != PlanMayRun:
		case s.Estimate == nil || plan.Estimate == nil:
			plan.Estimate = nil
		default:
			plan.Estimate.join(s.Estimate)
		}
	}
	plan.Seconds = -1
	if plan.Estimate != nil {
		plan.Seconds = plan.Estimate.Seconds
		wall := g.wall(takes, jobs)
		plan.Wall = &wall
	}
	return plan, nil
}

// planner plans stages one after the other, in topological order.
type planner struct {
	*graph
	times *forecaster
	jobs  int
	off   map[*node]Reason  // stages that do not run
	grown map[*node]float64 // stages that are not done: see node.growth
}

// held says why a stage does not run whatever becomes of its own parts.
func (w planner) held(n *node) (Reason, bool) {
	for _, port := range n.Kind.In {
		for _, f := range n.feeds[port.Name] {
			u := f.from
			if u == nil {
				continue
			}
			if r, ok := w.off[u]; ok {
				return r, true
			}
			if u.err != nil {
				return Reason{Component: "gate", New: u.Name, Where: place(u.Pos), Text: "stage " + u.Name + " above it fails"}, true
			}
			if u.done && w.refused(u) {
				return Reason{Component: "gate", New: u.Name, Where: place(u.Pos), Text: "a gate of stage " + u.Name + " is broken: nothing below it runs"}, true
			}
		}
	}
	return Reason{}, false
}

func (w planner) stage(n *node) (PlanStage, error) {
	s := PlanStage{Name: n.Name, Kind: n.Kind.Name, State: PlanCached, After: []string{}, Reasons: []Reason{}}
	var missed []*part
	if n.whole != nil {
		s.Cached = n.whole.Count
	}
	for _, p := range append(slices.Clone(n.parts), joinOf(n)...) {
		if p.state == partDone {
			s.Cached++
		} else {
			s.Run++
			missed = append(missed, p)
		}
	}
	s.Open = !n.done && (!n.closed || (len(n.Kind.Mid) > 0 && n.join == nil))
	if r, ok := w.held(n); ok {
		w.off[n] = r
		s.State, s.Run, s.Open, s.Reasons = PlanHeld, 0, false, []Reason{r}
		return s, nil
	}
	if n.err != nil {
		s.State, s.Open, s.Error = PlanFail, false, n.err.Error()
		return s, nil
	}
	if n.done {
		if w.refused(n) {
			s.State = PlanRefuse
		}
		return s, nil
	}
	past, err := newPast(w.store.Ledger(), ID(w.pipeline), n.Name)
	if err != nil {
		return s, err
	}
	for _, refs := range n.feeds {
		for _, f := range refs {
			if f.from != nil && !f.from.done && !slices.Contains(s.After, f.from.Name) {
				s.After = append(s.After, f.from.Name)
			}
		}
	}
	sort.Strings(s.After)
	own, err := past.own(w.graph, n)
	if err != nil {
		return s, err
	}
	switch {
	case len(n.absent) > 0:
		s.State = PlanRun
		s.Reasons = []Reason{{Component: "source", New: n.absent[0], Text: "source " + n.absent[0] + " is not here yet; a run fetches it"}}
	case past.any() == nil && len(past.keys) == 0:
		s.State = PlanRun
		text := "no run has completed it in this store"
		if s.Cached > 0 {
			text += fmt.Sprintf("; %d of its parts are done", s.Cached)
		}
		s.Reasons = []Reason{{Component: "history", Text: text}}
	case len(own) > 0:
		s.State, s.Reasons = PlanRun, own
		if len(missed) == 0 && len(n.parts) > 0 { // a run before the last had these settings
			s.State = PlanMayRun
		}
	case len(missed) > 0:
		s.State = PlanRun
		s.Reasons, err = past.parted(n, missed)
		if err != nil {
			return s, err
		}
	default:
		s.State = PlanMayRun
	}
	scale := n.growth(past, w.grown)
	w.grown[n] = scale
	if len(n.absent) == 0 {
		s.Estimate, err = w.estimate(w.times, n, past, missed, w.jobs, s.State == PlanRun, scale)
	}
	s.Seconds = -1
	if s.Estimate != nil {
		s.Seconds = s.Estimate.Seconds
	}
	return s, err
}

func sourceFiles(sources map[string][]source.Resolved) map[string][]file {
	r := map[string][]file{}
	for name, files := range sources {
		r[name] = make([]file, len(files))
		for i := range files {
			f := &files[i]
			r[name][i] = file{File: f.File, path: f.Path, absent: f.Absent}
		}
	}
	return r
}
