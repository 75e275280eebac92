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
	Stages   []PlanStage `json:"stages"`
	Run      int         `json:"run"`    // parts that have to run, as far as is known
	Cached   int         `json:"cached"` // parts that are known
	// Seconds is the estimate for the parts that have to run, from the ledger's
	// history; negative when there is none.
	Seconds float64 `json:"seconds"`
}

// PlanStage is what a run would do to one stage.
type PlanStage struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	State   string   `json:"state"`
	Cached  int      `json:"cached"`          // parts
	Run     int      `json:"run"`             // parts that have to run, as far as is known
	Open    bool     `json:"open"`            // more parts may come: stages above have to run first
	After   []string `json:"after,omitempty"` // the stages it waits for
	Reasons []Reason `json:"reasons,omitempty"`
	Seconds float64  `json:"seconds"` // estimate; negative when there is no history
	Error   string   `json:"error,omitempty"`
}

// MakePlan finds out what a run of the target stages would do, without doing it.
func MakePlan(p *pipelinefile.Pipeline, store *artifacts.Store, sources map[string][]source.Resolved, targets []string) (*Plan, error) {
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
	plan := &Plan{Pipeline: p.Name, Profile: p.Profile, Seconds: 0}
	held := map[*node]Reason{}
	for _, n := range g.nodes {
		if r, ok := g.held(n, held); ok {
			held[n] = r
		}
		s, err := g.planStage(n, held)
		if err != nil {
			return nil, err
		}
		plan.Stages = append(plan.Stages, s)
		plan.Run += s.Run
		plan.Cached += s.Cached
		if s.State != PlanCached {
			if s.Seconds < 0 || plan.Seconds < 0 {
				plan.Seconds = -1
			} else {
				plan.Seconds += s.Seconds
			}
		}
	}
	return plan, nil
}

// held says why a stage does not run whatever becomes of its own parts.
func (g *graph) held(n *node, above map[*node]Reason) (Reason, bool) {
	for _, port := range n.Kind.In {
		for _, f := range n.feeds[port.Name] {
			u := f.from
			if u == nil {
				continue
			}
			if r, ok := above[u]; ok {
				return r, true
			}
			if u.err != nil {
				return Reason{Component: "gate", New: u.Name, Where: place(u.Pos), Text: "stage " + u.Name + " above it fails"}, true
			}
			if u.done && g.refused(u) {
				return Reason{Component: "gate", New: u.Name, Where: place(u.Pos), Text: "a gate of stage " + u.Name + " is broken: nothing below it runs"}, true
			}
		}
	}
	return Reason{}, false
}

func (g *graph) planStage(n *node, held map[*node]Reason) (PlanStage, error) {
	s := PlanStage{Name: n.Name, Kind: n.Kind.Name, State: PlanCached}
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
	s.Open = !n.closed || (len(n.Kind.Mid) > 0 && n.join == nil)
	if r, ok := held[n]; ok {
		s.State, s.Run, s.Open, s.Reasons = PlanHeld, 0, false, []Reason{r}
		return s, nil
	}
	if n.err != nil {
		s.State, s.Open, s.Error = PlanFail, false, n.err.Error()
		return s, nil
	}
	if n.done {
		if g.refused(n) {
			s.State = PlanRefuse
		}
		return s, nil
	}
	past, err := newPast(g.store.Ledger(), ID(g.pipeline), n.Name)
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
	own, err := past.own(g, n)
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
	s.Seconds, err = g.estimate(n, missed)
	return s, err
}

// estimate is the time that parts would take one after the other, from what parts of
// the same kind took for each byte of input; negative when none ran before.
func (g *graph) estimate(n *node, parts []*part) (float64, error) {
	if len(parts) == 0 {
		return 0, nil
	}
	rate, fixed, err := Rate(g.store.Ledger(), n.Kind.Name)
	if err != nil || fixed < 0 {
		return -1, err
	}
	var s float64
	for _, p := range parts {
		s += max(fixed, rate*float64(p.bytes))
	}
	return s, nil
}

// historyLength is how many of a kind's last parts an estimate looks at.
const historyLength = 64

// Rate gives the median seconds for each byte of input, and the least seconds, of the
// last parts of a kind; the latter negative when none ran before.
func Rate(l *artifacts.Ledger, kind string) (perByte, least float64, err error) {
	h, err := l.History(kind, historyLength)
	if err != nil || len(h) == 0 {
		return 0, -1, err
	}
	rates := make([]float64, len(h))
	least = h[0].Seconds
	for i, d := range h {
		rates[i] = d.Seconds / float64(max(d.InputBytes, 1))
		least = min(least, d.Seconds)
	}
	sort.Float64s(rates)
	return rates[len(rates)/2], least, nil
}

func sourceFiles(sources map[string][]source.Resolved) map[string][]file {
	r := map[string][]file{}
	for name, files := range sources {
		for _, f := range files {
			r[name] = append(r[name], file{File: f.File, path: f.Path, absent: f.Absent})
		}
	}
	return r
}
