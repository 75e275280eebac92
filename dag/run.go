package dag

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
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
	queue   queue
	free    room
	active  int // goroutines that will send events
	running map[*node][]*work
	away    []*work // parts that wait for another coordinator, or an equal part, to do them

	rooms    rooms
	storing  chan struct{} // holds a token for each part that is flushed without a place on the machine
	hits     []artifacts.PartRecord
	keptMu   sync.Mutex
	kept     map[string]bool // configs and lists that the ledger has
	stat     map[*node]*tally
	metrics  map[string]float64
	failures []Failure
	said     []string             // notices
	waitSaid map[string]time.Time // of whom parts wait for: when that was last announced
	asks     int                  // how often the remote was asked
	alone    bool                 // the remote is down: ask it no more
	stopping bool                 // start nothing more
	waits    context.Context      // of those who wait for a key; ends when nothing more is started
	giveUp   context.CancelFunc
	began    time.Time
	outlook
}

// work is a part on its way through the run.
type work struct {
	*part
	seq      int
	cpus     int
	memory   int64
	queued   time.Time // when it was ready to run
	lock     *artifacts.KeyLock
	left     bool // its place on the machine, with its outputs still to be recorded
	started  time.Time
	progress executor.Progress
	heard    time.Time // when it first said how far it is
	from     int64     // how far it was then: not 0 when it resumed

	waitsFor string // who does it, while that is another coordinator or an equal part
	told     string // what the ledger knows of it on the way: see tell
	now      atomic.Pointer[attempt]
}

// storingPerJob is how many parts, for each CPU but the first, may be flushed and recorded while
// others work: as many take one commit together. With one CPU a part ends before the
// next begins, and no more than one is lost to a crash.
const storingPerJob = 4

// Run makes the target stages, or all of them. The summary is there also when the
// error is a *Stopped; any other error is the engine's own failure.
func Run(ctx context.Context, p *pipelinefile.Pipeline, store *artifacts.Store, sources map[string][]source.Resolved, o Options) (*Summary, error) {
	g, err := newGraph(p, store, sourceFiles(sources), o.Targets)
	if err != nil {
		return nil, err
	}
	c := &coordinator{graph: g, o: o, events: make(chan func() error, 64), storing: make(chan struct{}, storingPerJob*(o.Jobs-1)), free: room{o.Jobs, o.Memory, o.Memory > 0},
		waitSaid: map[string]time.Time{}, running: map[*node][]*work{}, kept: map[string]bool{}, stat: map[*node]*tally{}, metrics: map[string]float64{}, began: time.Now()}
	count := 0
	for _, files := range sources {
		count += len(files)
	}
	c.ids = make(map[string]source.FileID, count)
	for _, files := range sources {
		for i := range files {
			c.ids[files[i].Path] = files[i].ID
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
	g.wholes, g.onHit, g.onDone = true, c.hit, c.stageDone
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
	if err := c.store.Litter(); err != nil {
		c.notice("what runs that died left behind cannot all be cleared away; it only takes room: %v", err)
	}
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
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
		if c.active == 0 && (c.stopping || c.queue.empty()) {
			return first
		}
		select {
		case f := <-c.events:
			if err := f(); err != nil && first == nil {
				first = err
				c.halt()
			}
		case <-tick.C:
			for n, ws := range c.running {
				if len(ws) > 0 {
					c.show(n) // time passes for parts that say nothing, too
				}
			}
			if err := c.tell(); err != nil && first == nil {
				first = err
				c.halt()
			}
		case <-stop:
			stop = nil
			c.halt()
			n, them := c.busy(), "parts"
			if n == 1 {
				them = "part"
			}
			c.notice("interrupted: waiting for %d %s to stop at a checkpoint (interrupt again to kill)", n, them)
		case <-force:
			force = nil
			c.o.Executor.Kill()
		}
	}
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
	if len(c.missed) > 0 {
		c.foresee()
	}
	var unasked []*part
	for _, p := range c.missed {
		if p.gone != "" {
			c.notice("%s, part %s: output %s is not in the store any more; running it again", p.node.Name, p.name, p.gone)
		}
		if p.moved != nil {
			c.notice("%s, part %s: %s; running it again", p.node.Name, p.name, p.moved.reason().Text)
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
	c.startReady(ctx)
	return nil
}

// enqueue puts a part that has to run in the queue.
func (c *coordinator) enqueue(p *part) {
	if c.o.KnownOnly {
		return
	}
	cpus, memory := needs(p.node, c.o.Jobs, c.o.Memory)
	c.seq++
	c.expect(p)
	c.queue.add(&work{part: p, seq: c.seq, cpus: cpus, memory: memory}, c.o.Jobs, time.Now())
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

// take gives a part its place on the machine.
func (c *coordinator) take(w *work) {
	c.free.take(w)
	w.started = time.Now()
	c.running[w.node] = append(c.running[w.node], w)
	c.show(w.node)
}

func (c *coordinator) release(w *work) {
	if !w.left {
		c.free.give(w)
	}
	c.running[w.node] = slices.DeleteFunc(c.running[w.node], func(o *work) bool { return o == w })
	c.show(w.node)
}

func (c *coordinator) busy() (k int) {
	for _, ws := range c.running {
		k += len(ws)
	}
	return k
}

// perform hands a part that has its key's lock and its place to a worker.
func (c *coordinator) perform(ctx context.Context, w *work) {
	w.started = time.Now()
	c.stat[w.node].shift(1, w.started)
	c.spawn(func() func() error { return c.execute(ctx, w) })
}

// over takes a part from the machine again and lets go of its key.
func (c *coordinator) over(w *work) error {
	c.stat[w.node].shift(-1, time.Now())
	c.release(w)
	return w.lock.Unlock()
}

// execute runs a part, again where the stage asks for retries, and hands back what to
// do with the outcome. It runs beside the owning goroutine.
//
// Attempts are counted on from those of earlier runs, so that each has a log of its own;
// retries are of this run.
func (c *coordinator) execute(ctx context.Context, w *work) func() error {
	before := c.attemptsBefore(w)
	for try := 1; ; try++ {
		at, err := c.newAttempt(w, before+try)
		if err == nil {
			err = c.attempt(ctx, w, at)
		}
		switch {
		case err == nil:
			return func() error { return c.ran(w, at) }
		case errors.Is(err, executor.ErrStopped):
			return func() error { return c.stopped(w, at) }
		}
		f := c.failure(w, at, err)
		if try > w.node.Retries || ctx.Err() != nil {
			return func() error { return c.lost(w, f) }
		}
		c.events <- func() error {
			w.heard, w.progress = time.Time{}, executor.Progress{}
			c.notice("%s, part %s: attempt %d failed, trying again: %v", w.node.Name, w.name, at.number, err)
			return nil
		}
	}
}

// ran takes a part that ended well.
func (c *coordinator) ran(w *work, at *attempt) error {
	err := c.over(w)
	t := c.stat[w.node]
	t.ran++
	t.bytesDone += w.bytes
	t.cost(at, t.ran == 1)
	c.made(w.part, at.made.Seconds)
	c.adopt(w.node, at.last)
	return errors.Join(err, c.complete(w.part, at.made))
}

// hit takes a part that is known already.
func (c *coordinator) hit(p *part) {
	c.stat[p.node].cached++
	c.made(p, 0)
	if p.fetched {
		c.stat[p.node].fetched++
	}
	c.seq++
	c.hits = append(c.hits, artifacts.PartRecord{Run: c.run, Stage: p.node.Name, Kind: p.node.Kind.Name, Part: p.name, Index: c.seq, Key: p.key,
		State: "cached", Started: time.Now()})
}

// stopped takes a part that stopped at a checkpoint because the run is interrupted.
func (c *coordinator) stopped(w *work, at *attempt) error {
	return errors.Join(c.store.Ledger().RecordPart(c.record(w, "stopped", at, ""), nil), c.over(w))
}

// lost takes a part that failed for good.
func (c *coordinator) lost(w *work, f *Failure) error {
	err := c.over(w)
	w.state = partFailed
	c.made(w.part, 0)
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
	metrics, objects := map[string]float64{}, []artifacts.Object(nil)
	if n.whole != nil {
		metrics = n.whole.Metrics
		c.stat[n].cached = n.whole.Count
		first := artifacts.PartRecord{Run: c.run, Stage: n.Name, Kind: n.Kind.Name, Index: c.seq + 1, Started: time.Now()}
		if err := c.store.Ledger().RecordCompletion(first, n.whole.Known); err != nil {
			return err
		}
		c.seq += n.whole.Count
	} else {
		n.outputs = map[string]Output{}
		for _, port := range n.Kind.Out {
			m, o, err := n.outputManifest(port.Name)
			if err != nil {
				return err
			}
			if o.Digest, err = c.store.PutManifest(m); err != nil {
				return err
			}
			object, err := m.Object()
			if err != nil {
				return err
			}
			objects = append(objects, object)
			n.outputs[port.Name] = o
		}
	}
	if c.o.Locked != nil {
		if broken := c.o.Locked.broken(n); broken != "" {
			n.refusals = append(n.refusals, broken)
		}
	}
	for _, p := range append(n.ordered(), joinOf(n)...) {
		if p.hit.Refusal != "" {
			n.refusals = append(n.refusals, p.hit.Refusal)
		}
		if err := n.adopt(p.hit, metrics); err != nil {
			return err
		}
	}
	c.adopt(n, metrics)
	if len(n.refusals) > 0 {
		c.skipBelow(n)
		if !c.o.KeepGoing {
			c.halt()
		}
	}
	c.show(n)
	s := c.stageSummary(n)
	doc, err := json.Marshal(n.outputs)
	if err != nil {
		return err
	}
	if err := c.store.Ledger().RecordStage(artifacts.StageRecord{Run: c.run, Stage: n.Name, Kind: n.Kind.Name, Parts: s.Parts, Ran: s.Ran, Cached: s.Cached,
		Seconds: s.Seconds, Outputs: doc}); err != nil {
		return err
	}
	if n.whole != nil || len(n.refusals) > 0 {
		return nil // a stage with a broken gate is judged anew each time
	}
	return c.keepWhole(n, metrics, objects)
}

// adopt takes over what an action says besides its outputs: the last value of each of its
// metrics, and its notices.
func (n *node) adopt(a *artifacts.Action, metrics map[string]float64) error {
	if len(a.Counts) <= len("{}") {
		return nil
	}
	var d Detail
	if err := json.Unmarshal(a.Counts, &d); err != nil {
		return fmt.Errorf("ledger: detail of action %s: %w", a.Key, err)
	}
	maps.Copy(metrics, d.Metrics)
	if len(d.Notices) > 0 {
		if n.notices.Parts++; n.notices.Parts == 1 {
			n.notices.Stage, n.notices.Text = n.Name, strings.Join(d.Notices, "; ")
		}
	}
	return nil
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
