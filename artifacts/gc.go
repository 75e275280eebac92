package artifacts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// GCOptions say what garbage collection keeps beside pins and work in flight.
type GCOptions struct {
	// KeepRuns is how many runs of each pipeline keep all they made or found made: the
	// last that were done, those that completed a stage last, and whatever came between.
	KeepRuns int

	// Grace is the age up to which nothing is removed, whoever needs it.
	Grace time.Duration

	// MaxSize, if not 0, is how many bytes the store may hold: beyond it the results
	// that runs have not used for longest go too, until it fits or nothing is left but
	// pins and work in flight.
	MaxSize int64

	// OneLedger collects although the store is known to be used with other ledgers, too:
	// what only those know goes.
	OneLedger bool

	Now time.Time // what ages are counted from; zero: now
}

// Waste is what a collection removes of one kind, for one reason.
type Waste struct {
	What  string `json:"what"`
	Why   string `json:"why"`
	Count int    `json:"count"`
	Files int    `json:"files"` // objects that go with results; otherwise files and trees
	Bytes int64  `json:"bytes"`
}

// GCPlan is what a collection removes and keeps, decided before anything is touched.
type GCPlan struct {
	Remove []Waste `json:"remove"` // what there is any of

	Runs    int      `json:"runs"`    // kept with all they made
	Pins    int      `json:"pins"`    // kept
	Unkept  []string `json:"unkept"`  // pinned artifacts whose manifest the store does not have
	Results int      `json:"results"` // kept
	Objects int      `json:"objects"` // kept

	Before int64 `json:"before"` // bytes of the store, its ledger not counted
	After  int64 `json:"after"`
	Linked int64 `json:"linked"`         // bytes to be removed that have another name, in a view, and so stay on the disk
	Over   int64 `json:"over,omitempty"` // bytes above MaxSize that pins and work in flight hold
	Ledger int64 `json:"ledger"`         // bytes of the ledger, which shrinks when much of it is free
	Left   int   `json:"left,omitempty"` // files that could not be removed

	files   []string // paths of files and directories to be removed
	keys    []string // actions whose rows go
	runs    []int64  // runs whose parts' rows go
	configs []string
}

// add counts something that is to be removed.
func (p *GCPlan) add(what, why string, count, files int, bytes int64) {
	if count == 0 && files == 0 {
		return
	}
	for i := range p.Remove {
		if w := &p.Remove[i]; w.What == what && w.Why == why {
			w.Count, w.Files, w.Bytes = w.Count+count, w.Files+files, w.Bytes+bytes
			return
		}
	}
	p.Remove = append(p.Remove, Waste{what, why, count, files, bytes})
}

// Sum is all that is to be removed: files and their bytes.
func (p *GCPlan) Sum() (files int, bytes int64) {
	for _, w := range p.Remove {
		files += w.Files
		bytes += w.Bytes
	}
	return files, bytes
}

// PlanGC decides what Collect would remove and touches nothing. It may be asked at any
// time; while a run is under way all of that is kept.
func (s *Store) PlanGC(ctx context.Context, o GCOptions) (*GCPlan, error) {
	if o.KeepRuns < 0 || o.Grace < 0 || o.MaxSize < 0 {
		return nil, errors.New("collect garbage: the number of runs, the grace period and the size must not be below zero")
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	others, err := s.otherLedgers()
	if err != nil {
		return nil, fmt.Errorf("collect garbage: %w", err)
	}
	if len(others) > 0 && !o.OneLedger {
		return nil, fmt.Errorf("collect garbage: the store %s is used with another ledger, too: %s: results that only that knows would go as waste; if they may, say so with --one-ledger",
			s.dir, strings.Join(others, ", "))
	}
	m := &marking{s: s, o: o, plan: &GCPlan{Remove: []Waste{}, Unkept: []string{}}}
	if err := m.mark(ctx); err != nil {
		return nil, fmt.Errorf("collect garbage: %w", err)
	}
	return m.plan, nil
}

// Collect removes what PlanGC decides, while nobody else has the store open. onWait is
// told who is in the way; if it is nil and somebody is, the error is *InUse. progress,
// which may be nil, is told how many files of how many are gone.
//
// The rows of results go first, in one transaction, then their objects. So when it stops
// at any point, by ctx or by a crash, there are at most files that no row names, and
// the next collection takes those.
func (s *Store) Collect(ctx context.Context, o GCOptions, onWait func(holders []string), progress func(done, total int)) (*GCPlan, error) {
	release, err := s.exclusively(ctx, fmt.Sprintf("pid %d, which collects garbage", os.Getpid()), onWait)
	if err != nil {
		return nil, err
	}
	plan, err := s.PlanGC(ctx, o)
	if err == nil {
		err = s.sweep(ctx, plan, progress)
	}
	if err == nil {
		err = s.ledger.Compact(ctx)
	}
	return plan, errors.Join(err, release())
}
