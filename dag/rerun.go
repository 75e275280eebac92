package dag

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/firstdiff"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/source"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// Workers are the executor of one rerun: fresh worker processes.
type Workers interface {
	executor.Executor
	PIDs() []int
}

// RerunOptions say which parts to do again, and how.
type RerunOptions struct {
	Share   float64  // of each stage's parts, rounded up; 0: Count says how many
	Count   int      // parts of all stages together
	Seed    uint64   // another one picks other parts
	Repeat  int      // reruns of each part, each under other circumstances
	Plan    bool     // only pick and estimate
	Targets []string // stages whose parts; none: all

	Jobs    int    // CPUs to keep busy
	Memory  int64  // bytes that parts may ask for together; 0: no bound
	Scratch string // directory for the work; gone afterwards
	Away    string // the same on another file system; empty: there is none
	Save    string // where both outputs of a part that differs are kept

	// Start makes the workers of one rerun, which begin in dir (empty: here) with env
	// added to this process's environment.
	Start    func(dir string, env []string) Workers
	Progress func(RerunProgress) // may be nil; called by one goroutine at a time
}

// RerunProgress is how far the reruns are.
type RerunProgress struct {
	Parts, Done   int
	Total         float64 // CPU-seconds that the sample takes, from what its parts took before
	Handled       float64 // of those, of the reruns that are over
	Estimate      float64 // seconds that all of it takes, from the same
	Differ        int
	Investigating string // the part of which the cause is looked for; or empty
	Tried         int    // reruns since that began
}

// What became of a part that was done again.
const (
	RerunSame    = "same"    // every rerun gave the recorded files, counts and verdict
	RerunMetrics = "metrics" // the same, but a metric came out otherwise: it may measure time
	RerunDiffers = "differs"
	RerunFailed  = "failed"  // it cannot be done again at all
	RerunDamaged = "damaged" // what it reads, or what it made, is not what its digest says
)

// Reruns is what the reruns found. It is the JSON document of `pipeline verify --rerun --json`.
type Reruns struct {
	Pipeline string  `json:"pipeline"`
	Profile  string  `json:"profile,omitempty"`
	Known    int     `json:"known"`   // parts that could be done again
	Unknown  int     `json:"unknown"` // parts that no run has made yet, as far as they can be counted
	Sampled  int     `json:"sampled"`
	Reruns   int     `json:"reruns"`
	Differ   int     `json:"differ"`
	Failed   int     `json:"failed"` // or damaged
	Seconds  float64 `json:"seconds"`
	Estimate float64 `json:"estimate"` // seconds, made beforehand
	Parts    []Rerun `json:"parts"`
}

// Rerun is what doing one part again gave.
type Rerun struct {
	Stage       string       `json:"stage"`
	Kind        string       `json:"kind"`
	Part        string       `json:"part"`
	Key         string       `json:"key"`
	State       string       `json:"state,omitempty"` // empty in a dry run
	Reruns      int          `json:"reruns"`
	Seconds     float64      `json:"seconds"`               // of a dry run: what it took when it was made
	Metrics     []string     `json:"metrics,omitempty"`     // names of those that differ
	Differences []Difference `json:"differences,omitempty"` // of the first rerun that differs
	Under       string       `json:"under,omitempty"`       // its circumstances
	Cause       *Cause       `json:"cause,omitempty"`       // looked for in the first part of a stage
	Saved       string       `json:"saved,omitempty"`       // directory with both outputs
	Error       string       `json:"error,omitempty"`
}

// Difference is one thing that a rerun gave otherwise.
type Difference struct {
	What  string           `json:"what"`           // "file", "statistics", "count", "verdict", "error"
	Name  string           `json:"name,omitempty"` // port/file, or source/rule
	Was   string           `json:"was,omitempty"`
	Is    string           `json:"is,omitempty"`
	Place *firstdiff.Place `json:"place,omitempty"` // of files that both have
}

// rerunner does parts again. Reruns of one part follow each other; parts run beside
// each other as CPUs and memory allow.
type rerunner struct {
	*graph
	o      RerunOptions
	ids    map[string]source.FileID
	cpus   *semaphore.Weighted
	memory *semaphore.Weighted

	mu       sync.Mutex
	progress RerunProgress
	claimed  map[*node]bool // stages of which the cause was looked for
}

// MakeRerun samples the known parts of a pipeline, of all its stages or of the target
// stages, and does each again under other circumstances. Nothing is published or
// recorded. announce is told what will be done before it is.
func MakeRerun(ctx context.Context, p *pipelinefile.Pipeline, store *artifacts.Store, sources map[string][]source.Resolved, o RerunOptions, announce func(*Reruns)) (*Reruns, error) {
	began := time.Now()
	g, err := newGraph(p, store, sourceFiles(sources), o.Targets)
	if err != nil {
		return nil, err
	}
	if err := g.start(); err != nil {
		return nil, err
	}
	if err := g.settle(); err != nil {
		return nil, err
	}
	r := &rerunner{graph: g, o: o, ids: map[string]source.FileID{}, cpus: semaphore.NewWeighted(int64(o.Jobs)), claimed: map[*node]bool{}}
	if o.Memory > 0 {
		r.memory = semaphore.NewWeighted(o.Memory)
	}
	for _, files := range sources {
		for _, f := range files {
			r.ids[f.Path] = f.ID
		}
	}
	res := &Reruns{Pipeline: p.Name, Profile: p.Profile, Parts: []Rerun{}}
	var known []*part
	seen := map[string]bool{} // equal parts have one key
	for _, n := range g.nodes {
		if len(o.Targets) > 0 && !slices.Contains(o.Targets, n.Name) && !slices.Contains(o.Targets, n.Base) {
			continue
		}
		for _, p := range append(n.ordered(), joinOf(n)...) {
			switch {
			case p.state != partDone:
				res.Unknown++
			case !seen[p.key]:
				seen[p.key] = true
				known = append(known, p)
			}
		}
	}
	sample := pick(known, o)
	res.Known, res.Sampled, res.Reruns = len(known), len(sample), len(sample)*o.Repeat
	r.progress.Parts = len(sample)
	r.estimate(sample)
	res.Estimate = r.progress.Estimate
	if o.Plan {
		res.Reruns = 0
		for _, p := range sample {
			res.Parts = append(res.Parts, Rerun{Stage: p.node.Name, Kind: p.node.Kind.Name, Part: p.name, Key: p.key, Seconds: p.hit.Seconds})
		}
		announce(res)
		return res, nil
	}
	announce(res)

	res.Parts = make([]Rerun, len(sample))
	// The long ones first: the end then waits for short ones.
	order := make([]int, len(sample))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(sample[j].hit.Seconds, sample[i].hit.Seconds) })
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(o.Jobs)
	for _, i := range order {
		work.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			x, err := r.part(ctx, i, sample[i])
			if err != nil {
				return err
			}
			res.Parts[i] = *x
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	for _, x := range res.Parts {
		switch x.State {
		case RerunDiffers:
			res.Differ++
		case RerunFailed, RerunDamaged:
			res.Failed++
		}
	}
	res.Seconds = time.Since(began).Seconds()
	return res, nil
}

// pick samples parts by a hash of their keys, so that the same parts are picked as long
// as they are the same, and a larger sample holds the smaller. A share is taken of each
// stage, so that no stage is left out.
func pick(known []*part, o RerunOptions) []*part {
	draw := func(p *part) uint64 {
		h := sha256.Sum256(fmt.Appendf(nil, "%d %s", o.Seed, p.key))
		return binary.BigEndian.Uint64(h[:])
	}
	drawn := slices.Clone(known)
	slices.SortStableFunc(drawn, func(p, q *part) int { return cmp.Compare(draw(p), draw(q)) })
	total := map[*node]int{}
	for _, p := range known {
		total[p.node]++
	}
	picked, of := map[*part]bool{}, map[*node]int{}
	for _, p := range drawn {
		take := len(picked) < o.Count
		if o.Share > 0 {
			take = of[p.node] < int(math.Ceil(o.Share*float64(total[p.node])))
		}
		if take {
			picked[p] = true
			of[p.node]++
		}
	}
	var sample []*part
	for _, p := range known {
		if picked[p] {
			sample = append(sample, p)
		}
	}
	return sample
}

// startup is about what it takes to start a worker process, in seconds.
const startup = 0.05

// estimate tells from what the parts took when they were made how long the reruns take.
func (r *rerunner) estimate(sample []*part) {
	longest := 0.0
	for _, p := range sample {
		home, _ := r.needs(p.node)
		alone := 0.0
		for i := range r.o.Repeat {
			alone += startup + p.hit.Seconds*float64(home)/float64(r.weight(r.elsewhere(p, i)))
		}
		longest = max(longest, alone)
		r.progress.Total += r.cost(p) * float64(r.o.Repeat)
	}
	r.progress.Estimate = max(longest, r.progress.Total/float64(r.o.Jobs))
}

// cost is the CPU-seconds that a rerun of a part takes.
func (r *rerunner) cost(p *part) float64 {
	home, _ := r.needs(p.node)
	return startup + p.hit.Seconds*float64(home)
}

// needs is what a part takes when it is done as a run does it.
func (r *rerunner) needs(n *node) (cpus int, memory int64) { return needs(n, r.o.Jobs, r.o.Memory) }

// anotherTime is how long after it was made a part is done again at the earliest.
const anotherTime = 1100 * time.Millisecond

// part does one part again and again, and when it comes out otherwise finds out where
// and why.
func (r *rerunner) part(ctx context.Context, index int, p *part) (*Rerun, error) {
	began := time.Now()
	x := &Rerun{Stage: p.node.Name, Kind: p.node.Kind.Name, Part: p.name, Key: p.key, State: RerunSame}
	was, err := recorded(r.store, p)
	if err != nil {
		return nil, err
	}
	lab := &lab{rerunner: r, p: p, index: index, was: was}
	defer lab.clear()
	// A part that was made this very second would write the same second again.
	select {
	case <-time.After(time.Until(was.to.Add(anotherTime))):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for i := range r.o.Repeat {
		under := r.elsewhere(p, i)
		is, err := lab.do(ctx, under)
		if err != nil {
			return nil, err
		}
		x.Reruns++
		r.tell(func(t *RerunProgress) { t.Handled += r.cost(p) })
		if len(x.Metrics) == 0 {
			if x.Metrics = metricsDiffer(was, is); len(x.Metrics) > 0 {
				x.State = RerunMetrics
			}
		}
		if same(was, is) {
			lab.drop(is)
			continue
		}
		if err := lab.explain(ctx, x, under, is); err != nil {
			return nil, err
		}
		r.tell(func(t *RerunProgress) { t.Handled += r.cost(p) * float64(r.o.Repeat-1-i); t.Differ++ })
		break
	}
	x.Seconds = time.Since(began).Seconds()
	r.tell(func(t *RerunProgress) { t.Done++ })
	return x, nil
}

// tell changes the progress and shows it.
func (r *rerunner) tell(change func(*RerunProgress)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.progress)
	if r.o.Progress != nil {
		r.o.Progress(r.progress)
	}
}

// claim says whether the caller is the first to look for the cause in a stage.
func (r *rerunner) claim(n *node) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := !r.claimed[n]
	r.claimed[n] = true
	return first
}
