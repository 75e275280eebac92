package dag_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor"
)

// neighbour is a remote that is another bench's store.
type neighbour struct {
	from, to *artifacts.Store
	lacks    func(*artifacts.Action) bool
	spoil    func(*artifacts.Entry)
	dies     int // after so many answers; 0: never

	mu    sync.Mutex
	asked map[string]int
	given int
}

func (b *bench) neighbour(of *bench) *neighbour {
	open := func(dir string) *artifacts.Store {
		s, err := artifacts.Open(dir, artifacts.Options{CreateIfMissing: true})
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { s.Close() })
		return s
	}
	return &neighbour{from: open(of.store), to: open(b.store), asked: map[string]int{}}
}

var errDied = errors.New("the neighbour moved away")

func (n *neighbour) Fetch(_ context.Context, dir string, keys []string, take func(string, *artifacts.Entry, error) error) error {
	known, err := n.from.Ledger().Actions(keys)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i, key := range keys {
		n.mu.Lock()
		n.asked[key]++
		n.given++
		dead := n.dies > 0 && n.given > n.dies
		n.mu.Unlock()
		if dead {
			return errDied
		}
		a := known[key]
		if a == nil || n.lacks != nil && n.lacks(a) {
			take(key, nil, nil)
			continue
		}
		var c dag.Components
		if err := json.Unmarshal(a.Components, &c); err != nil {
			return err
		}
		config, err := n.from.Ledger().Config(c.Config)
		if err != nil {
			return err
		}
		e := &artifacts.Entry{Action: a, Texts: map[string][]byte{c.Config: config}}
		for j, f := range a.Outputs.Files {
			path := filepath.Join(dir, fmt.Sprintf("%d-%d", i, j))
			if err := os.Link(n.from.ObjectPath(f.Digest), path); err != nil {
				return err
			}
			if err := n.to.Publish([]artifacts.Staged{{Path: path, Digest: f.Digest, Size: f.Size}}); err != nil {
				return err
			}
		}
		if n.spoil != nil {
			n.spoil(e)
		}
		if err := take(key, e, nil); err != nil {
			take(key, nil, fmt.Errorf("not used: %w", err))
		}
	}
	return nil
}

// heard keeps the notices of a run.
type heard struct{ notices []string }

func (h *heard) Stage(dag.StageStatus)          {}
func (h *heard) Metric(string, executor.Metric) {}
func (h *heard) Notice(text string)             { h.notices = append(h.notices, text) }

func totals(s *dag.Summary) (ran, cached, fetched int) {
	for _, st := range s.Stages {
		ran, cached, fetched = ran+st.Ran, cached+st.Cached, fetched+st.Fetched
	}
	return ran, cached, fetched
}

// TestRemote holds what a run takes from elsewhere: all of it, what there is of it, and
// nothing that is not sound; that it asks once for each key; and that it comes to the same
// digests whatever happens to the remote.
func TestRemote(t *testing.T) {
	a := newBench(t)
	made := a.run()
	all, _, _ := totals(made)
	stats := func(json string) func(*artifacts.Entry) {
		return func(e *artifacts.Entry) {
			if e.Action.Kind == "replace" {
				e.Action.Outputs.Files[0].Stats = []byte(json)
			}
		}
	}
	for _, c := range []struct {
		name    string
		set     func(*neighbour)
		ran     int // -1: some
		notices int
		says    string
	}{
		{name: "has all", set: func(*neighbour) {}},
		{name: "lacks a stage", set: func(n *neighbour) { n.lacks = func(a *artifacts.Action) bool { return a.Kind == "steps" } }, ran: 1},
		{name: "has nothing", set: func(n *neighbour) { n.lacks = func(*artifacts.Action) bool { return true } }, ran: all},
		{name: "has counts of another shape", set: func(n *neighbour) {
			n.spoil = func(e *artifacts.Entry) {
				if e.Action.Kind == "steps" {
					e.Action.Counts = []byte(`{"metrics":"many"}`)
				}
			}
		}, ran: 1, notices: 1, says: "its counts"},
		{name: "has statistics of another shape", set: func(n *neighbour) { n.spoil = stats(`{"documents":"three"}`) }, ran: 8, notices: 8, says: "statistics"},
		{name: "has files of no port", set: func(n *neighbour) {
			n.spoil = func(e *artifacts.Entry) {
				if e.Action.Kind == "steps" {
					e.Action.Outputs.Files[0].Path = "nowhere/model.txt"
				}
			}
		}, ran: 1, notices: 1, says: "of no port"},
		{name: "dies at once", set: func(n *neighbour) { n.dies = -1 }, ran: all, notices: 1, says: "going on without it"},
		{name: "dies in between", set: func(n *neighbour) { n.dies = 4 }, ran: -1, notices: 1, says: "going on without it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			n, h := b.neighbour(a), &heard{}
			c.set(n)
			if n.dies < 0 {
				n.dies, n.given = 1, 1
			}
			s, err := b.try(t.Context(), func(o *dag.Options) { o.Remote, o.Observer = n, h })
			if err != nil {
				t.Fatal(err)
			}
			ran, cached, fetched := totals(s)
			if ran+fetched != all || cached != fetched || c.ran >= 0 && ran != c.ran || c.ran < 0 && (ran == 0 || fetched == 0) {
				t.Errorf("%d ran, %d cached, %d fetched of %d, expected %d to run", ran, cached, fetched, all, c.ran)
			}
			if digests(s) != digests(made) {
				t.Errorf("came to\n%s\nthe neighbour to\n%s", digests(s), digests(made))
			}
			for key, k := range n.asked {
				if k > 1 {
					t.Errorf("asked %d times for %.12s", k, key)
				}
			}
			if len(h.notices) != c.notices || !strings.Contains(strings.Join(h.notices, "\n"), c.says) {
				t.Errorf("%d notices, expected %d with %q: %q", len(h.notices), c.notices, c.says, h.notices)
			}
			if ran, _, fetched := totals(b.run()); ran+fetched > 0 {
				t.Errorf("the next run, without a remote: %d ran, %d fetched", ran, fetched)
			}
		})
	}
}

// TestKnownOnly holds that a run told to start nothing takes what there is and leaves the
// rest for the next.
func TestKnownOnly(t *testing.T) {
	a := newBench(t)
	made := a.run()
	all, _, _ := totals(made)
	b := newBench(t)
	n := b.neighbour(a)
	n.lacks = func(a *artifacts.Action) bool { return a.Kind == "count" }
	known := func(o *dag.Options) { o.Remote, o.KnownOnly, o.Executor = n, true, nil }
	s, err := b.try(t.Context(), known)
	var stopped *dag.Stopped
	if !errors.As(err, &stopped) || s.State != dag.StateInterrupted {
		t.Fatalf("state %s, %v", s.State, err)
	}
	if ran, _, fetched := totals(s); ran != 0 || fetched == 0 || fetched >= all {
		t.Errorf("%d ran, %d fetched of %d", ran, fetched, all)
	}
	n.lacks = nil
	if s, err = b.try(t.Context(), known); err != nil || s.State != dag.StateDone || digests(s) != digests(made) {
		t.Errorf("state %s, %v", s.State, err)
	}
	if ran, _, _ := totals(b.run()); ran != 0 {
		t.Errorf("%d parts ran after all was taken", ran)
	}
}

// deafRemote answers to nothing but the end of its context.
type deafRemote struct{ asked chan struct{} }

func (d deafRemote) Fetch(ctx context.Context, _ string, _ []string, _ func(string, *artifacts.Entry, error) error) error {
	close(d.asked)
	<-ctx.Done()
	return ctx.Err()
}

// TestInterruptWhileAsking holds that a run that waits for its remote can be stopped, and
// does not blame the remote.
func TestInterruptWhileAsking(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	d, h := deafRemote{make(chan struct{})}, &heard{}
	go func() {
		<-d.asked
		cancel()
	}()
	s, err := b.try(ctx, func(o *dag.Options) { o.Remote, o.Observer = d, h })
	if err == nil || s.State != dag.StateInterrupted {
		t.Fatalf("state %s, %v", s.State, err)
	}
	if strings.Contains(strings.Join(h.notices, "\n"), "without it") {
		t.Errorf("notices %q", h.notices)
	}
}
