package walk_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"github.com/ptbr-slm/pipeline/artifacts/fault/faulttest"
)

// A start is what a run finds when the fault strikes.
type start struct {
	name  string
	make  func(s *site, ctx context.Context) error // out of the sources and the pipeline file
	walks func(p faulttest.Place) bool
	from  fault.Op // not empty: what comes well before the first such event is walked from elsewhere

	template *site
	places   []faulttest.Place // of an undisturbed run from there
}

func starts() []*start {
	stuck := plain
	stuck.stuck = true
	return []*start{
		{name: "nothing", make: func(*site, context.Context) error { return nil },
			walks: func(faulttest.Place) bool { return true }},

		// A store and views of another text, what a run left that was killed while it
		// trained, and half of the source that is fetched.
		{name: "a used store", make: (*site).use,
			walks: func(faulttest.Place) bool { return true }},

		// The training hangs, the user interrupts the run, and then loses patience.
		{name: "a stuck part", make: func(s *site, _ context.Context) error { return s.pipeline("p.yaml", stuck) },
			walks: func(p faulttest.Place) bool {
				return p.Op == fault.Signal || p.Op == fault.Send || p.Op == fault.Receive
			},
			from: fault.Signal},

		// Garbage of another text, and a killed run's, is collected.
		{name: "garbage", make: (*site).soil, walks: func(faulttest.Place) bool { return true }},
	}
}

// use brings a site to where "a used store" starts.
func (s *site) use(ctx context.Context) error {
	err := s.write("text.txt", "um dois tres para a casa\n\nantes")
	if err == nil {
		_, err = s.run(ctx)
	}
	if err == nil {
		err = s.write("text.txt", text)
	}
	if err != nil {
		return err
	}
	scout, err := s.copy("scout")
	if err != nil {
		return err
	}
	defer scout.remove()
	places, err := scout.trace("")
	if err != nil {
		return err
	}
	second := func(p faulttest.Place) bool { // checkpoint
		return p.Process == "worker" && p.Op == fault.Rename && p.Nth == 2
	}
	n := slices.IndexFunc(places, second)
	if n < 0 {
		return errors.New("the training makes no second checkpoint")
	}
	c := s.newCase(places[n], faulttest.KillBefore, 0)
	if _, err := s.suffer(c, "p.yaml", 1, ""); err != nil {
		return err
	}
	whole := filepath.Join(s.home, "data", "more.txt")
	state := fmt.Sprintf(`{"url":"%s/more.txt","etag":"\"1\"","bytes":9}`, s.server.URL)
	return errors.Join(os.Remove(filepath.Join(c.Dir, "hit")), os.Remove(whole),
		os.WriteFile(whole+".part", []byte(more[:9]), 0o644), os.WriteFile(whole+".part.json", []byte(state), 0o644))
}

// soil brings a site to where "garbage" starts.
func (s *site) soil(ctx context.Context) error {
	if err := s.use(ctx); err != nil {
		return err
	}
	if _, err := s.run(ctx); err != nil {
		return err
	}
	if err := s.write("text.txt", text+" x"); err != nil {
		return err
	}
	c := s.newCase(faulttest.Place{Process: "worker", Nth: 40}, faulttest.KillBefore, 0)
	if _, err := s.suffer(c, "p.yaml", 1, ""); err != nil {
		return err
	}
	s.role = "collector"
	return errors.Join(s.write("text.txt", text), os.Remove(filepath.Join(c.Dir, "hit")))
}

// trace lists the events of a run. A run that ends well ends with the digests wanted.
func (s *site) trace(want string) ([]faulttest.Place, error) {
	c := s.newCase(faulttest.Place{}, "", 0)
	c.Trace = true
	if _, err := s.suffer(c, "p.yaml", 1, want); err != nil {
		return nil, err
	}
	return faulttest.Places(c.Dir)
}

// everything says whether all faults are tried at every event, which takes ten minutes,
// or the telling ones.
var everything = os.Getenv("WALK") == "all"

// one is a fault at an event.
type one struct {
	start *start
	place faulttest.Place
	fault faulttest.Fault
	left  int // parts that were not done when that event came
}

// begins says whether an event is the first of a part.
func begins(p faulttest.Place) bool {
	return p.Process == "worker" && p.Op == fault.Create && strings.HasPrefix(p.Path, "store/logs/")
}

// choose lists the faults to try at the events of a start.
func (st *start) choose() (all []one) {
	only := os.Getenv("WALK_ONLY") // text in the name of an event, to repeat a case
	first := slices.IndexFunc(st.places, func(p faulttest.Place) bool { return p.Op == st.from }) - 12
	total := 0
	for _, p := range st.places {
		if begins(p) {
			total++
		}
	}
	left, underway := total, 0
	for n, p := range st.places {
		if begins(p) {
			left -= underway // one job at a time: the part before is done
			underway = 1
		}
		if n < first || !st.walks(p) || !strings.Contains(st.name+": "+p.String(), only) {
			continue
		}
		// The folders of the objects are alike.
		if !everything && filepath.Dir(p.Path) == "store/objects" && p.Op != fault.SyncDir && n%32 != 0 {
			continue
		}
		// How many transactions share a commit, and how often progress is told, differs from
		// run to run, so that such an event may come earlier.
		most := left
		if p.Op == fault.Send || p.Op == fault.Receive || strings.HasPrefix(p.Path, "store/ledger.") {
			most = total
		}
		losses := 0
		for _, f := range faulttest.Faults(p.Op) {
			if f.Loses() {
				losses++
			}
			if everything || st.telling(n, f, losses) {
				all = append(all, one{st, p, f, most})
			}
		}
	}
	return all
}

// telling picks the faults of the short walk: at each event it fails, the process is
// killed, and, in turns, one loss of power; of the others at some.
func (st *start) telling(n int, f faulttest.Fault, losses int) bool {
	first := st.name != "a used store"
	switch {
	case f == faulttest.KillBefore:
		return true
	case f == faulttest.EIO:
		return first
	case f.Loses():
		return losses-1 == n%3 && (first || n%2 == 0)
	case f == faulttest.Full, f == faulttest.TornEIO, f == faulttest.TornKill:
		return first && n%3 == 0
	}
	return n%16 == 0
}

// try is the fate of one site: a fault, then runs in good conditions.
func (r *region) try(ctx context.Context, n int, o one, want string) (hit bool, err error) {
	s, err := o.start.template.copy(fmt.Sprint(n))
	if err != nil {
		return false, err
	}
	defer s.remove()
	c := s.newCase(o.place, o.fault, uint64(n))
	said, err := s.suffer(c, "p.yaml", 1, want)
	if err != nil {
		return c.Hit(), err
	}
	if err := s.pipeline("p.yaml", plain); err != nil {
		return false, err
	}
	err = s.recover(ctx, want, n%2 == 0, o.left)
	if err == nil && (everything || n%16 == 0) {
		err = s.rebuild(ctx, want)
	}
	if err != nil {
		return c.Hit(), fmt.Errorf("%w\nthe run that was struck said: %s", err, said)
	}
	return c.Hit(), nil
}

// TestWalk lets faults strike at every event of a small pipeline with stages of all
// shapes, in the coordinator and in its workers. WALK=all tries every fault at each.
func TestWalk(t *testing.T) {
	if underRace && !everything {
		t.Skip("walked by the plain suite")
	}
	debug.SetGCPercent(800)
	r := newRegion(t)
	calm, err := r.site("calm")
	if err != nil {
		t.Fatal(err)
	}
	first, err := calm.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := digests(first)
	began := time.Now()
	var all []one
	for _, st := range starts() {
		if st.template, err = r.site("template-" + strings.ReplaceAll(st.name, " ", "-")); err != nil {
			t.Fatal(err)
		}
		if err := st.make(st.template, t.Context()); err != nil {
			t.Fatal(err)
		}
		traced, err := st.template.copy("traced")
		if err != nil {
			t.Fatal(err)
		}
		if st.places, err = traced.trace(want); err != nil {
			t.Fatal(err)
		}
		traced.remove()
		events := map[string]int{}
		for _, p := range st.places {
			events[p.Process]++
		}
		if n := len(slices.DeleteFunc(slices.Clone(st.places), func(p faulttest.Place) bool { return !begins(p) })); st.name == "nothing" && n != partsRun(first) {
			t.Fatalf("%d parts were seen to begin, and %d ran", n, partsRun(first))
		}
		ones := st.choose()
		t.Logf("from %s: %d events of the %s, %d of workers, %d faults to try", st.name, events[st.template.role], st.template.role, events["worker"], len(ones))
		all = append(all, ones...)
	}

	var mu sync.Mutex
	missed, bad := 0, 0
	tried := map[faulttest.Fault]int{}
	var wg sync.WaitGroup
	queue := make(chan int)
	for range runtime.GOMAXPROCS(0) + 1 {
		wg.Go(func() {
			for n := range queue {
				hit, err := r.try(t.Context(), n, all[n], want)
				mu.Lock()
				tried[all[n].fault]++
				if !hit {
					missed++
				}
				if err != nil {
					bad++
					t.Errorf("from %s, %s at %s: %v", all[n].start.name, all[n].fault, all[n].place, err)
				}
				mu.Unlock()
			}
		})
	}
	for n := range all {
		queue <- n
		if n%500 == 0 {
			if err := bury(); err != nil {
				t.Error(err)
			}
		}
	}
	close(queue)
	wg.Wait()
	var line []string
	for _, f := range slices.Sorted(maps.Keys(tried)) {
		line = append(line, fmt.Sprintf("%s %d", f, tried[f]))
	}
	t.Logf("%d faults tried in %s: %s", len(all), time.Since(began).Round(time.Second), strings.Join(line, ", "))
	if missed > len(all)/20 && os.Getenv("WALK_ONLY") == "" {
		t.Errorf("%d of %d faults found no event to strike at: does a run still do the same each time?", missed, len(all))
	}
}
