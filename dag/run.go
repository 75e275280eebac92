package dag

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/source"
)

// Options say how to run a pipeline.
type Options struct {
	Jobs      int      // CPUs that parts may keep busy together
	Memory    int64    // bytes that parts may ask for together; 0: no bound
	KeepGoing bool     // after a failure go on with what does not depend on it
	Targets   []string // stages to make; none: all
	Args      []string // of the command, for the ledger
	Executor  executor.Executor
	Observer  Observer      // may be nil
	Force     chan struct{} // closed: do not wait for checkpoints any more
	Locked    *Lock         // what must go in and come out; nil: anything
	Remote    Remote        // where to look for what the ledger does not know; may be nil
	KnownOnly bool          // start no part: take what is known, here or at Remote
}

// coordinator runs a graph. One goroutine owns it all; parts run in goroutines of
// their own that wait for a lock or a worker and come back through events.
type coordinator struct {
	*graph
	o       Options
	ids     map[string]source.FileID // of source files, when they were hashed
	run     int64
	seq     int
	events  chan func() error // run by the owning goroutine
	queue   []*work
	active  int // goroutines that will send events
	running map[*node][]*work
	cpus    int
	memory  int64

	hits     []artifacts.PartRecord
	keptMu   sync.Mutex
	kept     map[string]bool // configs and lists that the ledger has
	stat     map[*node]*tally
	metrics  map[string]float64
	failures []Failure
	asks     int             // how often the remote was asked
	alone    bool            // the remote is down: ask it no more
	stopping bool            // start nothing more
	waits    context.Context // of those who wait for a key; ends when nothing more is started
	giveUp   context.CancelFunc
	began    time.Time
}

// tally is what a run did for a stage.
type tally struct {
	ran, cached  int
	fetched      int // of cached
	started, end time.Time
	bytesDone    int64
}

// work is a part on its way through the run.
type work struct {
	*part
	seq      int
	cpus     int
	memory   int64
	lock     *artifacts.KeyLock
	started  time.Time
	progress executor.Progress
	heard    time.Time // when it first said how far it is
	from     int64     // how far it was then: not 0 when it resumed
	waiting  bool      // for another process to do it
}

// Run makes the target stages, or all of them. The summary is there also when the
// error is a *Stopped; any other error is the engine's own failure.
func Run(ctx context.Context, p *pipelinefile.Pipeline, store *artifacts.Store, sources map[string][]source.Resolved, o Options) (*Summary, error) {
	g, err := newGraph(p, store, sourceFiles(sources), o.Targets)
	if err != nil {
		return nil, err
	}
	c := &coordinator{graph: g, o: o, ids: map[string]source.FileID{}, events: make(chan func() error, 64), cpus: o.Jobs, memory: o.Memory,
		running: map[*node][]*work{}, kept: map[string]bool{}, stat: map[*node]*tally{}, metrics: map[string]float64{}, began: time.Now()}
	for _, files := range sources {
		for _, f := range files {
			c.ids[f.Path] = f.ID
		}
	}
	for _, n := range g.nodes {
		c.stat[n] = &tally{}
		if n.GPUs > 0 {
			return nil, fmt.Errorf("%s: stage %s asks for %d GPUs; the local executor has none", n.Pos, n.Name, n.GPUs)
		}
	}
	if o.Locked != nil {
		if diffs := g.against(o.Locked); len(diffs) > 0 {
			return nil, &Unlocked{diffs}
		}
	}
	resolved, texts := g.resolved()
	resolved.Targets = o.Targets
	c.run, err = store.Ledger().BeginRun(artifacts.RunInfo{Pipeline: ID(p), File: p.Path, Profile: p.Profile, Args: o.Args, PID: os.Getpid(),
		Graph: canonical(resolved), Texts: texts})
	if err != nil {
		return nil, err
	}
	g.onHit, g.onDone = c.hit, c.stageDone
	c.waits, c.giveUp = context.WithCancel(ctx)
	defer c.giveUp()
	err = c.loop(ctx)
	s := c.summary(ctx)
	if err != nil {
		s.State = StateFailed
	}
	doc, merr := json.Marshal(s)
	if merr != nil {
		return nil, merr
	}
	if e := store.RemoveWork(c.run); err == nil {
		err = e
	}
	if e := store.Ledger().EndRun(c.run, s.State, doc); err == nil {
		err = e
	}
	if err == nil && s.State != StateDone {
		err = &Stopped{Summary: s}
	}
	return s, err
}

// loop is the run.
func (c *coordinator) loop(ctx context.Context) error {
	if err := c.start(); err != nil {
		return err
	}
	for _, n := range c.nodes {
		c.show(n)
	}
	stop := ctx.Done()
	force := c.o.Force
	var first error
	for {
		if first == nil {
			first = c.step(ctx)
			if first != nil {
				c.halt()
			}
		}
		if c.active == 0 && (c.stopping || len(c.queue) == 0) {
			return errors.Join(first, c.letGo())
		}
		select {
		case f := <-c.events:
			if err := f(); err != nil && first == nil {
				first = err
				c.halt()
			}
		case <-stop:
			stop = nil
			c.halt()
			c.notice("interrupted: waiting for %d running parts to stop at a checkpoint (interrupt again to kill them)", c.busy())
		case <-force:
			force = nil
			c.o.Executor.Kill()
		}
	}
}

// letGo unlocks the keys of parts that were never started.
func (c *coordinator) letGo() (err error) {
	for _, w := range c.queue {
		if w.lock != nil {
			err = errors.Join(err, w.lock.Unlock())
		}
	}
	return err
}

// halt starts nothing more. Whoever waits for another process's part gives up.
func (c *coordinator) halt() {
	c.stopping = true
	c.giveUp()
}

// step settles what is known and starts what can start.
func (c *coordinator) step(ctx context.Context) error {
	if err := c.settle(); err != nil {
		return err
	}
	if len(c.hits) > 0 {
		if err := c.store.Ledger().RecordParts(c.hits); err != nil {
			return err
		}
		c.hits = c.hits[:0]
	}
	var unasked []*part
	for _, p := range c.missed {
		if p.gone != "" {
			c.notice("%s, part %s: output %s is not in the store any more; running it again", p.node.Name, p.name, p.gone)
		}
		if c.o.Remote != nil && !c.alone && !p.asked {
			unasked = append(unasked, p)
		} else {
			c.enqueue(p)
		}
	}
	c.missed = c.missed[:0]
	if len(unasked) > 0 && !c.stopping {
		c.ask(unasked)
	}
	for _, n := range c.nodes {
		if n.err != nil && n.failed == 0 {
			c.fail(n, Failure{Stage: n.Name, Part: "split", Error: n.err.Error()})
		}
	}
	if c.stopping || ctx.Err() != nil {
		return nil
	}
	rest := c.queue[:0]
	for _, w := range c.queue {
		switch {
		case w.node.skipped:
			if w.lock != nil {
				w.lock.Unlock()
			}
		case w.cpus <= c.cpus && (w.memory <= c.memory || c.o.Memory == 0):
			c.begin(ctx, w)
		default:
			rest = append(rest, w)
		}
	}
	clear(c.queue[len(rest):])
	c.queue = rest
	return nil
}

// enqueue puts a part that has to run in the queue.
func (c *coordinator) enqueue(p *part) {
	if c.o.KnownOnly {
		return
	}
	cpus, memory := needs(p.node, c.o.Jobs, c.o.Memory)
	c.seq++
	c.queue = append(c.queue, &work{part: p, seq: c.seq, cpus: cpus, memory: memory})
}

// needs is what a part takes of this machine, which has so many CPUs and so much memory
// (0: no bound) for parts: never more than there is, or it would wait for ever.
func needs(n *node, jobs int, most int64) (cpus int, memory int64) {
	cpus = n.CPUs
	if cpus == 0 {
		cpus = 1
		if n.Kind.Threads {
			cpus = jobs
		}
	}
	memory = n.Memory
	if most > 0 {
		memory = min(memory, most)
	}
	return min(cpus, jobs), memory
}

// begin takes the part's key lock, then runs it. While another process holds the lock
// the part holds no CPU.
func (c *coordinator) begin(ctx context.Context, w *work) {
	c.take(w)
	if w.lock != nil {
		c.spawn(func() func() error { return c.execute(ctx, w) })
		return
	}
	owner := fmt.Sprintf("pid %d, run %d, stage %s", os.Getpid(), c.run, w.node.Name)
	c.spawn(func() func() error {
		lock, err := c.store.LockKey(c.waits, w.key, owner, func(holder string) {
			c.events <- func() error {
				if !w.waiting { // told again when the key changes hands
					w.waiting = true
					c.release(w)
				}
				if !strings.Contains(holder, fmt.Sprintf("pid %d,", os.Getpid())) { // else an equal part of this run
					c.notice("%s, part %s: waiting for %s, which is doing it", w.node.Name, w.name, holder)
				}
				return nil
			}
		})
		return func() error { return c.locked(ctx, w, lock, err) }
	})
}

// locked goes on with a part whose lock was taken: somebody may have done it meanwhile.
func (c *coordinator) locked(ctx context.Context, w *work, lock *artifacts.KeyLock, err error) error {
	waited := w.waiting
	w.waiting = false
	if err != nil {
		if !waited {
			c.release(w)
		}
		if c.waits.Err() != nil {
			return nil
		}
		return err
	}
	known, err := c.store.Ledger().Actions([]string{w.key})
	a := known[w.key]
	hit := err == nil && a != nil && c.absent(a) == ""
	if hit || err != nil || c.stopping {
		if !waited {
			c.release(w)
		}
		if err = errors.Join(err, lock.Unlock()); err != nil || !hit {
			return err
		}
		c.hit(w.part)
		return c.complete(w.part, a)
	}
	w.lock = lock
	if waited {
		c.queue = append([]*work{w}, c.queue...)
		return nil
	}
	c.spawn(func() func() error { return c.execute(ctx, w) })
	return nil
}

func (c *coordinator) spawn(f func() func() error) {
	c.active++
	go func() {
		then := f()
		c.events <- func() error {
			c.active--
			return then()
		}
	}()
}

func (c *coordinator) take(w *work) {
	c.cpus -= w.cpus
	c.memory -= w.memory
	w.started = time.Now()
	n := w.node
	c.running[n] = append(c.running[n], w)
	if t := c.stat[n]; t.started.IsZero() {
		t.started = w.started
	}
	c.show(n)
}

func (c *coordinator) release(w *work) {
	c.cpus += w.cpus
	c.memory += w.memory
	n := w.node
	c.running[n] = slices.DeleteFunc(c.running[n], func(o *work) bool { return o == w })
	c.show(n)
}

func (c *coordinator) busy() (k int) {
	for _, ws := range c.running {
		k += len(ws)
	}
	return k
}

// execute runs a part, again where the stage asks for retries, and hands back what to
// do with the outcome. It runs beside the owning goroutine.
func (c *coordinator) execute(ctx context.Context, w *work) func() error {
	var f *Failure
	for attempt := 1; ; attempt++ {
		a, metrics, err := c.attempt(ctx, w, attempt)
		switch {
		case err == nil:
			return func() error { return c.ran(w, a, metrics) }
		case errors.Is(err, executor.ErrStopped):
			return func() error { return c.stopped(w) }
		}
		f = c.failure(w, attempt, err)
		if attempt > w.node.Retries || ctx.Err() != nil {
			return func() error { return c.lost(w, f) }
		}
		c.events <- func() error {
			c.notice("%s, part %s: attempt %d failed, trying again: %v", w.node.Name, w.name, attempt, err)
			return nil
		}
	}
}

// ran takes a part that ended well.
func (c *coordinator) ran(w *work, a *artifacts.Action, metrics map[string]float64) error {
	c.release(w)
	t := c.stat[w.node]
	t.ran++
	t.end = time.Now()
	t.bytesDone += w.bytes
	err := w.lock.Unlock()
	c.adopt(w.node, metrics)
	return errors.Join(err, c.complete(w.part, a))
}

// hit takes a part that is known already.
func (c *coordinator) hit(p *part) {
	c.stat[p.node].cached++
	if p.fetched {
		c.stat[p.node].fetched++
	}
	c.seq++
	c.hits = append(c.hits, artifacts.PartRecord{Run: c.run, Stage: p.node.Name, Kind: p.node.Kind.Name, Part: p.name, Index: c.seq, Key: p.key,
		State: "cached", Started: time.Now()})
}

// stopped takes a part that stopped at a checkpoint because the run is interrupted.
func (c *coordinator) stopped(w *work) error {
	c.release(w)
	err := c.store.Ledger().RecordPart(c.record(w, "stopped", 1, ""), nil)
	return errors.Join(err, w.lock.Unlock())
}

// lost takes a part that failed for good.
func (c *coordinator) lost(w *work, f *Failure) error {
	c.release(w)
	w.state = partFailed
	err := w.lock.Unlock()
	c.fail(w.node, *f)
	return err
}

func (c *coordinator) fail(n *node, f Failure) {
	n.failed++
	f.Ignored = n.ContinueOnError
	c.failures = append(c.failures, f)
	if !c.o.KeepGoing && !n.ContinueOnError {
		c.halt()
	}
	c.skipBelow(n)
	c.show(n)
}

// skipBelow marks all that depends on n as not to be run.
func (c *coordinator) skipBelow(n *node) {
	for _, u := range n.users {
		if !u.skipped {
			u.skipped = true
			c.show(u)
			c.skipBelow(u)
		}
	}
}

// stageDone records a stage whose outputs are complete.
func (c *coordinator) stageDone(n *node) error {
	outs := map[string]Output{}
	for _, port := range n.Kind.Out {
		m, o, err := n.outputManifest(port.Name)
		if err != nil {
			return err
		}
		if o.Digest, err = c.store.PutManifest(m); err != nil {
			return err
		}
		outs[port.Name] = o
	}
	n.outputs = outs
	if c.o.Locked != nil {
		if broken := c.o.Locked.broken(n); broken != "" {
			n.refusals = append(n.refusals, broken)
		}
	}
	for _, p := range append(n.ordered(), joinOf(n)...) {
		if p.hit.Refusal != "" {
			n.refusals = append(n.refusals, p.hit.Refusal)
		}
		if len(p.hit.Counts) > 0 {
			var d Detail
			if err := json.Unmarshal(p.hit.Counts, &d); err != nil {
				return fmt.Errorf("ledger: detail of action %s: %w", p.key, err)
			}
			c.adopt(n, d.Metrics)
		}
	}
	if len(n.refusals) > 0 {
		c.skipBelow(n)
		if !c.o.KeepGoing {
			c.halt()
		}
	}
	c.show(n)
	s := c.stageSummary(n)
	doc, err := json.Marshal(outs)
	if err != nil {
		return err
	}
	return c.store.Ledger().RecordStage(artifacts.StageRecord{Run: c.run, Stage: n.Name, Kind: n.Kind.Name, Parts: s.Parts, Ran: s.Ran, Cached: s.Cached,
		Seconds: s.Seconds, Outputs: doc})
}

// outputManifest lists a finished node's output by path, and sums it up. The digest is
// left open.
func (n *node) outputManifest(port string) (*artifacts.Manifest, Output, error) {
	m := &artifacts.Manifest{}
	o := Output{Files: len(n.out[port])}
	for _, f := range n.out[port] {
		mf, err := manifestFile(f.Name, f)
		if err != nil {
			return nil, o, err
		}
		m.Files = append(m.Files, mf)
		o.Bytes += f.Size
	}
	sort.Slice(m.Files, func(i, j int) bool { return m.Files[i].Path < m.Files[j].Path })
	return m, o, nil
}

// adopt takes the last values of a part's metrics as the stage's.
func (c *coordinator) adopt(n *node, metrics map[string]float64) {
	for name, x := range metrics {
		c.metrics[n.Name+"."+name] = x
	}
}
