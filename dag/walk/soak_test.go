package walk_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/artifacts/fault/faulttest"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor/process"
)

// TestSoak is `make soak`: rounds of random texts, settings and mishaps for as long as
// SOAK says. A mishap is a fault at any event of a coordinator or worker, a SIGKILL at any
// time, a loss of power, an interrupt, an object that vanishes, garbage collection in the
// middle, or some of these while several coordinators share the store. Each round ends in
// good conditions and must then have what a clean build has.
//
// SOAK_SEED repeats a soak, and SOAK_ROUND one round of it, as far as processes that run
// beside each other do the same twice.
func TestSoak(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("`make soak` runs this, for SOAK=10m or as long as you say")
	}
	seed := uint64(time.Now().UnixNano()) % 1e9
	if s := os.Getenv("SOAK_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	debug.SetGCPercent(800)
	r := newRegion(t)
	if s := os.Getenv("SOAK_ROUND"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		round := &round{seed: seed, n: n, say: t.Logf}
		if err := round.run(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Logf("soaking for %s; SOAK_SEED=%d repeats it", limit, seed)
	began := time.Now()
	var mu sync.Mutex
	rounds, sum, told := uint64(0), tally{}, began
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) + 1 {
		wg.Go(func() {
			for time.Since(began) < limit && !t.Failed() {
				mu.Lock()
				n := rounds
				rounds++
				mu.Unlock()
				round := &round{seed: seed, n: n, say: func(string, ...any) {}}
				err := round.run(t.Context(), r)
				mu.Lock()
				sum.add(round.tally)
				if err != nil {
					t.Errorf("SOAK_SEED=%d SOAK_ROUND=%d: %s: %v", seed, n, strings.Join(round.story, "; "), err)
				}
				if n%50 == 49 {
					if err := bury(); err != nil {
						t.Error(err)
					}
				}
				if time.Since(told) > time.Minute {
					told = time.Now()
					t.Logf("%s: %d rounds, %s", time.Since(began).Round(time.Second), rounds, sum)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d rounds in %s: %s", rounds, time.Since(began).Round(time.Second), sum)
}

// tally counts what a soak did.
type tally struct{ mishaps, hits, coordinators int }

func (t *tally) add(o tally) {
	t.mishaps += o.mishaps
	t.hits += o.hits
	t.coordinators += o.coordinators
}

func (t tally) String() string {
	return fmt.Sprintf("%d mishaps, %d runs they happened to, %d faults that struck", t.mishaps, t.coordinators, t.hits)
}

// round is one store and what happens to it.
type round struct {
	tally
	seed, n uint64
	*rand.Rand
	say func(format string, args ...any)

	s     *site
	text  string
	made  [2]recipe // of p.yaml and q.yaml
	cases int
	story []string
}

func (r *round) tell(format string, args ...any) {
	r.story = append(r.story, fmt.Sprintf(format, args...))
	r.say(format, args...)
}

func (r *round) run(ctx context.Context, reg *region) (err error) {
	r.Rand = rand.New(rand.NewPCG(r.seed, r.n))
	if r.s, err = reg.site(fmt.Sprintf("round-%d", r.n)); err != nil {
		return err
	}
	defer r.s.remove()
	r.made = [2]recipe{{name: "walk", to: "b", steps: 3}, {name: "other", to: "b", steps: 4}}
	r.text = text
	if err := r.edit(); err != nil {
		return err
	}
	mishaps := []func(context.Context) error{r.fault, r.fault, r.fault, r.kill, r.together, r.together, r.interrupt, r.vanish, r.collectAmid}
	for range 1 + r.IntN(6) {
		if r.IntN(3) == 0 {
			if err := r.edit(); err != nil {
				return err
			}
		}
		r.mishaps++
		if err := mishaps[r.IntN(len(mishaps))](ctx); err != nil {
			return err
		}
	}
	return r.conclude(ctx)
}

// edit changes the text and a setting.
func (r *round) edit() error {
	var b strings.Builder
	for i := range 1 + r.IntN(5) {
		if i > 0 {
			b.WriteString("\n\n")
		}
		for range 1 + r.IntN(6) {
			b.WriteString([]string{"casa ", "mala ", "para ", "um ", "dois "}[r.IntN(5)])
		}
	}
	r.text = b.String()
	r.made[r.IntN(2)].steps = 1 + r.IntN(6)
	r.made[r.IntN(2)].to = string(rune('b' + r.IntN(3)))
	r.tell("text %q, %+v", r.text, r.made)
	return errors.Join(r.s.write("text.txt", r.text), r.s.pipeline("p.yaml", r.made[0]), r.s.pipeline("q.yaml", r.made[1]))
}

// clean gives the digests of a clean build of p.yaml or q.yaml.
func (r *round) clean(ctx context.Context, which int) (string, error) {
	s, err := r.s.site(fmt.Sprintf("clean-%d-%d", r.n, which))
	if err != nil {
		return "", err
	}
	defer s.remove()
	if err := errors.Join(s.write("text.txt", r.text), s.pipeline("p.yaml", r.made[which])); err != nil {
		return "", err
	}
	sum, err := s.run(ctx)
	if err != nil {
		return "", fmt.Errorf("clean build: %w", err)
	}
	return digests(sum), nil
}

var faults = []faulttest.Fault{faulttest.EIO, faulttest.Late, faulttest.Full, faulttest.TornEIO, faulttest.TornKill,
	faulttest.KillBefore, faulttest.KillAfter, faulttest.LossAll, faulttest.LossZeros, faulttest.LossSome}

// newCase is a fault at some event.
func (r *round) newCase(from []faulttest.Fault) (faulttest.Case, error) {
	p := faulttest.Place{Process: "coordinator", Nth: 1 + r.IntN(450)}
	if r.IntN(3) == 0 {
		p = faulttest.Place{Process: "worker", Nth: 1 + r.IntN(150)}
	}
	c := r.s.newCase(p, from[r.IntN(len(from))], r.Uint64())
	c.Dir = filepath.Join(c.Dir, fmt.Sprint(r.cases))
	r.cases++
	return c, os.Mkdir(c.Dir, 0o755)
}

// fault lets a fault strike one run.
func (r *round) fault(ctx context.Context) error {
	which, jobs := r.IntN(2), 1+r.IntN(3)
	want, err := r.clean(ctx, which)
	if err != nil {
		return err
	}
	c, err := r.newCase(faults)
	if err != nil {
		return err
	}
	r.tell("%s at event %d of the %s, %d jobs", c.Fault, c.Nth, c.Process, jobs)
	r.coordinators++
	_, err = r.s.suffer(c, file(which), jobs, want)
	if c.Hit() {
		r.hits++
	}
	return err
}

func file(which int) string { return []string{"p.yaml", "q.yaml"}[which] }

// kill kills a run's coordinator or one of its workers, whatever they are at.
func (r *round) kill(ctx context.Context) error {
	p, err := r.begin(ctx, faulttest.Case{}, r.IntN(2))
	if err != nil {
		return err
	}
	r.killSoon(p)
	_, err = p.end()
	return err
}

func (r *round) begin(ctx context.Context, c faulttest.Case, which int) (*coordinator, error) {
	want, err := r.clean(ctx, which)
	if err != nil {
		return nil, err
	}
	r.coordinators++
	return r.s.begin(c, file(which), 1+r.IntN(3), want)
}

func (r *round) killSoon(p *coordinator) {
	after := time.Duration(r.IntN(200)) * time.Millisecond
	worker := r.IntN(2) == 0
	r.tell("SIGKILL after %s (worker: %v)", after, worker)
	time.AfterFunc(after, func() {
		pid := p.Process.Pid
		if worker {
			all, err := process.All()
			below := process.Below(all, pid)
			if err != nil || len(below) == 0 {
				return
			}
			pid = below[len(below)-1].PID
			syscall.Kill(pid, syscall.SIGKILL)
			return
		}
		p.Process.Kill()
	})
}

// together runs several coordinators at once, of which some meet with mishaps.
func (r *round) together(ctx context.Context) error {
	var all []*coordinator
	var errs []error
	for range 2 + r.IntN(2) {
		var c faulttest.Case
		how := r.IntN(4)
		if how == 0 { // but not the power, which would go for all
			var err error
			if c, err = r.newCase(faults[:7]); err != nil {
				return err
			}
			r.tell("beside others, %s at event %d of the %s", c.Fault, c.Nth, c.Process)
		}
		p, err := r.begin(ctx, c, r.IntN(2))
		if err != nil {
			return err
		}
		if how == 1 {
			r.killSoon(p)
		}
		all = append(all, p)
	}
	r.tell("%d coordinators", len(all))
	for _, p := range all {
		_, err := p.end()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// interrupt is Ctrl-C, once or twice.
func (r *round) interrupt(ctx context.Context) error {
	p, err := r.begin(ctx, faulttest.Case{}, r.IntN(2))
	if err != nil {
		return err
	}
	after := time.Duration(r.IntN(150)) * time.Millisecond
	r.tell("SIGINT after %s", after)
	time.AfterFunc(after, func() { p.Process.Signal(os.Interrupt) })
	_, err = p.end()
	return err
}

// vanish removes an object.
func (r *round) vanish(context.Context) error {
	there, err := r.s.objects()
	if errors.Is(err, fs.ErrNotExist) || len(there) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	var digests []string
	for d := range there {
		digests = append(digests, d)
	}
	slices.Sort(digests)
	d := digests[r.IntN(len(digests))]
	r.tell("object %s vanishes", d)
	r.s.robbed = true
	return os.Remove(filepath.Join(r.s.home, "store", "objects", d[:2], d[2:]))
}

// collectAmid collects garbage while runs begin and end.
func (r *round) collectAmid(ctx context.Context) error {
	p, err := r.begin(ctx, faulttest.Case{}, r.IntN(2))
	if err != nil {
		return err
	}
	r.tell("garbage collection beside a run")
	store, err := artifacts.Open(filepath.Join(r.s.home, "store"), artifacts.Options{CreateIfMissing: true})
	if err == nil {
		_, err = store.Collect(ctx, artifacts.GCOptions{KeepRuns: r.IntN(3)}, func([]string) {}, nil)
		err = errors.Join(err, store.Close())
	}
	_, e := p.end()
	return errors.Join(err, e)
}

// conclude runs both pipelines in good conditions.
func (r *round) conclude(ctx context.Context) error {
	var runs []int64
	var want [2]string
	for which := range 2 {
		var err error
		if want[which], err = r.clean(ctx, which); err != nil {
			return err
		}
		sum, err := r.again(ctx, which)
		if err != nil {
			return fmt.Errorf("the next run of %s: %w", file(which), err)
		}
		if got := digests(sum); got != want[which] {
			return fmt.Errorf("the next run of %s made\n%s\nand a clean build\n%s", file(which), got, want[which])
		}
		runs = append(runs, sum.Run)
	}
	if err := r.s.collect(ctx, runs...); err != nil {
		return err
	}
	for which := range 2 {
		sum, err := r.again(ctx, which)
		if err != nil {
			return err
		}
		if n := partsRun(sum); n > 0 || digests(sum) != want[which] {
			return fmt.Errorf("the run after the next of %s did %d parts", file(which), n)
		}
	}
	return r.s.tidy()
}

func (r *round) again(ctx context.Context, which int) (*dag.Summary, error) {
	return run(ctx, r.s.home, file(which), dag.Options{Jobs: 2, Executor: r.s.pool})
}
