package artifacts

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Why something goes, for people.
const (
	whyUnused     = "of no kept run, and not pinned"
	whyOver       = "not used for longest, beyond the size"
	whyNameless   = "no result or kept run names them"
	whyCheckpoint = "of no unfinished part"
	whyRun        = "of runs that are not kept"
	whyDead       = "of dead runs"
	whyOld        = "older than the grace period"
	whyCut        = "never finished"
	whyFree       = "held by nobody"
)

// Why something stays.
type mark uint8

const (
	byRun    mark = 1 << iota // a kept run made it or found it made
	byPin                     // pinned, or made something pinned
	byFlight                  // a run under way made it or found it made
	byAge                     // too young
)

// object is a file of the store with what speaks for it.
type object struct {
	digest  [32]byte
	size    int64
	changed int64 // Unix time, ns
	marks   mark
	linked  bool
	freed   bool   // to fit a size: it goes however young it is
	why     string // it goes, if it does
}

// result is an action that the ledger knows.
type result struct {
	key           string
	used, created int64   // Unix time, ns
	needs         []int32 // objects, each once
	marks         mark
	gone          bool
}

// output is what a kept run's stage made: a manifest and the files that it lists.
type output struct {
	used  int64
	list  int32   // the manifest; -1: not in the store
	needs []int32 // all of it, each once
	marks mark
	gone  bool
}

// use is what runs had to do with a key.
type use struct {
	last int64 // Unix time, ns
	mark mark
}

// tree is a file or directory beside the objects.
type tree struct {
	found
	what, why string
	keep      bool
}

// marking is a collection being planned. It holds in memory some 150 bytes for each object
// and some 250 for each key of a kept run and each result that may go.
type marking struct {
	s    *Store
	o    GCOptions
	plan *GCPlan

	objects []object
	at      map[[32]byte]int32
	other   int64 // bytes of files among the objects that are none

	runs     map[int64]*pastRun
	unsure   int64 // start of the first of the runs that died and were not followed by one that was done; 0: none
	flight   int64 // start of the first of the runs under way; 0: none
	keys     map[string]use
	pinned   map[string]bool // artifacts
	results  []result        // those that may go; all of them if there is a size to fit
	outputs  []output
	trees    []*tree          // beside the objects, in the order in which they go
	partials map[string]*tree // of those, by key
	logs     map[string]*tree // the same
}

func (m *marking) mark(ctx context.Context) error {
	m.at = map[[32]byte]int32{}
	err := m.s.scanObjects(ctx, func(f found) error {
		o := object{size: f.size, changed: f.changed.UnixNano(), linked: f.links > 1}
		if _, err := hex.Decode(o.digest[:], []byte(f.digest)); err != nil {
			return err
		}
		m.at[o.digest] = int32(len(m.objects))
		m.objects = append(m.objects, o)
		m.plan.Before += f.size
		return nil
	}, func(path string) {
		if f, err := lookAt(path); err == nil {
			m.other += f.size
		}
	})
	if err != nil {
		return err
	}
	m.plan.Before += m.other
	for _, step := range []func(context.Context) error{m.byRuns, m.byPins, m.byOutputs, m.beside, m.byResults, m.fit, m.choose, m.rows} {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// find is the place of an object, or -1 if the store does not have it.
func (m *marking) find(digest string) int32 {
	var d [32]byte
	if !isDigest(digest) {
		return -1
	}
	if _, err := hex.Decode(d[:], []byte(digest)); err != nil {
		return -1
	}
	if i, ok := m.at[d]; ok {
		return i
	}
	return -1
}

// young says that something is within the grace period, or may be of a run under way.
func (m *marking) young(changed int64) bool {
	return m.o.Grace > 0 && m.o.Now.UnixNano()-changed < int64(m.o.Grace) || m.flight != 0 && changed >= m.flight
}

// byPins marks what is pinned, and the keys of the parts that made it: those of the stage
// that gave it out, in the last run that did.
func (m *marking) byPins(ctx context.Context) error {
	pins, err := m.s.ledger.Pins()
	if err != nil {
		return err
	}
	m.pinned = map[string]bool{}
	m.plan.Pins = len(pins)
	for _, p := range pins {
		m.pinned[p.Artifact] = true
		list := m.s.peek(p.Artifact)
		if list == nil {
			m.plan.Unkept = append(m.plan.Unkept, p.Artifact)
			continue
		}
		m.support(m.needs(p.Artifact, list), byPin)
	}
	if len(pins) == 0 {
		return nil
	}
	makers := map[string]stageOutput{}
	err = m.s.ledger.eachOutput(func(o stageOutput) error {
		if m.pinned[o.artifact] {
			makers[o.artifact] = o // the last run wins
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for _, o := range makers {
		parts, err := m.s.ledger.Parts(o.run, o.stage)
		if err != nil {
			return err
		}
		for _, p := range parts {
			if p.Key != "" {
				u := m.keys[p.Key]
				u.mark |= byPin
				u.last = max(u.last, m.runs[o.run].used())
				m.keys[p.Key] = u
			}
		}
		m.runs[o.run].maker = true
	}
	return nil
}

// needs lists the objects of an artifact that the store has, each once.
func (m *marking) needs(artifact string, list *Manifest) []int32 {
	needs := make([]int32, 0, len(list.Files)+1)
	if i := m.find(artifact); i >= 0 {
		needs = append(needs, i)
	}
	for _, f := range list.Files {
		if i := m.find(f.Digest); i >= 0 {
			needs = append(needs, i)
		}
	}
	slices.Sort(needs)
	return slices.Compact(needs)
}

func (m *marking) support(needs []int32, why mark) {
	for _, i := range needs {
		m.objects[i].marks |= why
	}
}

// byOutputs marks what kept runs' stages gave out.
func (m *marking) byOutputs(ctx context.Context) error {
	at := map[string]int{}
	var lists []string
	err := m.s.ledger.eachOutput(func(o stageOutput) error {
		r := m.runs[o.run]
		if r == nil || !r.keep {
			return nil
		}
		i, ok := at[o.artifact]
		if !ok {
			i = len(m.outputs)
			at[o.artifact] = i
			m.outputs = append(m.outputs, output{list: m.find(o.artifact)})
			lists = append(lists, o.artifact)
		}
		m.outputs[i].used = max(m.outputs[i].used, r.used())
		m.outputs[i].marks |= r.mark()
		return nil
	})
	if err != nil {
		return err
	}
	for i := range m.outputs {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		o := &m.outputs[i]
		list := m.s.peek(lists[i])
		if list == nil {
			o.gone = true
			continue
		}
		if m.pinned[lists[i]] {
			o.marks |= byPin
		}
		o.needs = m.needs(lists[i], list)
		m.support(o.needs, o.marks)
	}
	return nil
}

// byResults marks what the ledger's actions need: those of kept keys, those that made
// something pinned, and young ones. Then those stay that have an object to themselves
// which is too young to be removed: a row and its data are never parted.
func (m *marking) byResults(ctx context.Context) error {
	err := m.s.ledger.eachAction(ctx, func(a made) error {
		u := m.keys[a.key]
		r := result{key: a.key, used: max(u.last, a.created), created: a.created, marks: u.mark}
		if m.pinned[a.artifact] {
			r.marks |= byPin
		}
		if m.young(a.created) {
			r.marks |= byAge
		}
		if a.err != nil { // damaged: what it needs cannot be known
			a.outputs = &Manifest{}
		}
		r.needs = m.needs(a.artifact, a.outputs)
		if r.marks != 0 {
			m.support(r.needs, r.marks)
		}
		m.finished(&a, r.marks != 0)
		if r.marks == 0 || m.o.MaxSize > 0 {
			m.results = append(m.results, r)
		}
		m.plan.Results++
		return nil
	})
	if err != nil {
		return err
	}
	for i := range m.results {
		r := &m.results[i]
		if r.marks == 0 && slices.ContainsFunc(r.needs, func(i int32) bool { return m.objects[i].marks == 0 && m.young(m.objects[i].changed) }) {
			r.marks |= byAge
		}
	}
	for i := range m.results {
		switch r := &m.results[i]; {
		case r.marks == 0:
			m.drop(r, whyUnused)
		case r.marks == byAge:
			m.support(r.needs, byAge)
			if l := m.logs[r.key]; l != nil {
				l.keep = true
			}
		}
	}
	return nil
}

// finished takes note that an action is known: its checkpoints are waste if it is whole,
// its log is wanted if it stays.
func (m *marking) finished(a *made, stays bool) {
	if l := m.logs[a.key]; l != nil && stays {
		l.keep = true
	}
	p := m.partials[a.key]
	if p == nil || a.err != nil {
		return
	}
	for _, f := range a.outputs.Files {
		if i := m.find(f.Digest); i < 0 || m.objects[i].size != f.Size {
			return
		}
	}
	p.keep = false
}

// drop lets a result go. Its objects go if nothing else speaks for them.
func (m *marking) drop(r *result, why string) {
	r.gone = true
	m.plan.keys = append(m.plan.keys, r.key)
	m.plan.Results--
	m.plan.add("results", why, 1, 0, 0)
	for _, i := range r.needs {
		if m.objects[i].why == "" {
			m.objects[i].why = why
		}
	}
}

// beside looks at what lies beside the objects: checkpoints stay that belong to a part
// which a kept run left unfinished, logs that belong to a part of a kept run.
func (m *marking) beside(ctx context.Context) error {
	m.partials, m.logs = map[string]*tree{}, map[string]*tree{}
	locks := filepath.Join(m.s.dir, locksDir)
	young := func(f found) bool { return m.young(f.changed.UnixNano()) }
	for _, d := range []struct {
		folder, why string
		byKey       map[string]*tree
		keep        func(name string, f found) bool
	}{
		{partialDir, whyCheckpoint, m.partials, func(name string, f found) bool {
			// A part that was killed has no row. Its checkpoints tell by their age that
			// they may be those of a run that died.
			orphan := m.unsure != 0 && f.changed.UnixNano() >= m.unsure
			return m.has(name) || orphan || young(f) || isLocked(filepath.Join(locks, name))
		}},
		{logsDir, whyRun, m.logs, func(name string, f found) bool { return m.has(name) || young(f) }},
		{quarantineDir, whyOld, nil, func(_ string, f found) bool { return young(f) }},
		{workDir, whyDead, nil, func(name string, f found) bool {
			if run, err := strconv.ParseInt(name, 10, 64); err == nil {
				return isLocked(runLock(locks, run))
			}
			abandoned := strings.HasPrefix(name, strings.TrimSuffix(manifestTemp, "*")) && m.o.Now.Sub(f.changed) > time.Hour
			return !abandoned && (young(f) || isLocked(f.path)) // a scratch directory is locked by its holder
		}},
		{locksDir, whyFree, nil, func(_ string, f found) bool { return isLocked(f.path) }},
	} {
		err := m.s.entries(ctx, d.folder, func(name string, f found) error {
			t := &tree{f, d.folder, d.why, d.keep(name, f)}
			m.trees = append(m.trees, t)
			if d.byKey != nil {
				d.byKey[name] = t
			}
			m.plan.Before += f.size
			return nil
		})
		if err != nil {
			return err
		}
	}
	return m.unfinishedCopies()
}

// unfinishedCopies looks for copies of the ledger, and journals of it, that a crash cut
// short. Whole ones are for whoever migrates it to remove.
func (m *marking) unfinishedCopies() error {
	paths, err := filepath.Glob(m.s.ledger.path + ".bak-v*.new*")
	if err != nil {
		return err
	}
	for _, p := range append(paths, m.s.journalPath(m.s.ledger.path)+".new") {
		f, err := lookAt(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return advise("look through the store", p, err)
		}
		m.trees = append(m.trees, &tree{f, "ledger copies", whyCut, m.young(f.changed.UnixNano())})
		m.plan.Before += f.size
	}
	return nil
}

// has says whether a key is one of a kept run, or made something pinned.
func (m *marking) has(key string) bool {
	_, ok := m.keys[key]
	return ok
}

// stays says whether an object is kept.
func (m *marking) stays(o *object) bool {
	return !o.freed && (o.marks != 0 || m.young(o.changed))
}

// choose lists the files that go.
func (m *marking) choose(ctx context.Context) error {
	p := m.plan
	p.After = p.Before
	for i := range m.objects {
		o := &m.objects[i]
		if m.stays(o) {
			p.Objects++
			continue
		}
		if o.why == "" {
			p.add("objects", whyNameless, 1, 1, o.size)
		} else {
			p.add("results", o.why, 0, 1, o.size)
		}
		p.After -= o.size
		if o.linked {
			p.Linked += o.size
		}
		p.files = append(p.files, m.s.ObjectPath(hex.EncodeToString(o.digest[:])))
	}
	for _, t := range m.trees {
		if !t.keep {
			p.add(t.what, t.why, 1, 1, t.size)
			p.After -= t.size
			p.files = append(p.files, t.path)
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(m.s.ledger.path + suffix); err == nil {
			p.Ledger += info.Size()
		}
	}
	if m.o.MaxSize > 0 {
		p.Over = max(p.After-m.o.MaxSize, 0)
	}
	return nil
}
