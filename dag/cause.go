package dag

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/dag/firstdiff"
)

// Cause is why a part does not come out the same.
type Cause struct {
	Name          string   `json:"name"`
	Circumstances []string `json:"circumstances,omitempty"` // those that make the difference, each alone or (together) all of them
	Text          string   `json:"text"`
	Reruns        int      `json:"reruns"` // that it took to find out
}

// The names of causes.
const (
	CauseTime         = "time"         // what differs holds the time of day
	CausePID          = "pid"          // what differs holds a process id
	CauseThreads      = "threads"      // equal reruns differ, but not on one thread
	CauseChance       = "chance"       // equal reruns differ
	CauseCircumstance = "circumstance" // one makes it differ
	CauseTogether     = "together"     // only several circumstances at once do
	CausePast         = "past"         // all reruns agree, and not with what was recorded
)

// How often a part is done under equal circumstances to see whether chance plays a part:
// so often, for so long at least (a clock that counts seconds must get on), and so long
// at most once a few were done.
const (
	equalReruns = 20
	equalFew    = 3
	equalLeast  = 1200 * time.Millisecond
	equalMost   = 30 * time.Second
)

// shownDifferences is how many differences of one rerun are listed.
const shownDifferences = 20

// explain tells what differs in an outcome and, for the first part of a stage, why. It
// keeps both outputs.
func (l *lab) explain(ctx context.Context, x *Rerun, under circumstances, is *outcome) error {
	l.why = true
	l.tell(func(t *RerunProgress) { t.Investigating = l.p.node.Name + ", part " + l.p.name; t.Tried = 0 })
	defer l.tell(func(t *RerunProgress) { t.Investigating = "" })
	bad, err := l.damaged()
	if err != nil {
		return err
	}
	if bad != "" {
		x.State = RerunDamaged
		x.Error = fmt.Sprintf("object %s is damaged, so its rerun proves nothing: `pipeline verify` sets it aside, `pipeline run` makes it again", bad)
		return nil
	}
	x.State, x.Under = RerunDiffers, strings.Join(under.words(), ", ")
	if x.Differences, err = differences(l.was, is); err != nil {
		return err
	}
	if err := l.keep(is); err != nil {
		return err
	}
	if l.claim(l.p.node) {
		before := x.Reruns
		if x.Cause, err = l.cause(ctx, x, under, is); err != nil {
			return err
		}
		if x.Cause == nil {
			x.State, x.Error = RerunFailed, is.failure
		} else {
			x.Cause.Reruns = x.Reruns - before
		}
	}
	x.Saved, err = l.save(is)
	return err
}

// differences lists what differs between two outcomes, files first.
func differences(was, is *outcome) (list []Difference, err error) {
	if is.failure != "" {
		return []Difference{{What: "error", Was: "it succeeded", Is: is.failure}}, nil
	}
	for _, name := range both(was.files, is.files) {
		x, okX := was.files[name]
		y, okY := is.files[name]
		d := Difference{What: "file", Name: name, Was: x.digest, Is: y.digest}
		switch {
		case okX && okY && x == (made{y.digest, y.stats, x.path}):
			continue
		case okX && okY && x.digest == y.digest:
			d = Difference{What: "statistics", Name: name, Was: string(canonical(x.stats)), Is: string(canonical(y.stats))}
		case okX && okY && len(list) < shownDifferences:
			if d.Place, err = firstdiff.Find(x.path, y.path, name); err != nil {
				return nil, fmt.Errorf("compare %s: %w", name, err)
			}
		}
		list = append(list, d)
	}
	if was.verdict != is.verdict {
		list = append(list, Difference{What: "verdict", Was: was.verdict, Is: is.verdict})
	}
	for _, s := range both(was.counts, is.counts) {
		for _, r := range both(was.counts[s], is.counts[s]) {
			if n, m := was.counts[s][r], is.counts[s][r]; n != m {
				list = append(list, Difference{What: "count", Name: s + "/" + r, Was: fmt.Sprint(n), Is: fmt.Sprint(m)})
			}
		}
	}
	if len(list) > shownDifferences {
		list = list[:shownDifferences]
	}
	return list, nil
}

// both lists the keys of two maps in order.
func both[V any](a, b map[string]V) []string {
	all := map[string]bool{}
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// cause finds out why a part came out otherwise under circumstances: by what the bytes
// hold, by doing it again under equal circumstances, and by changing one at a time.
// nil: the part fails under all circumstances.
func (l *lab) cause(ctx context.Context, x *Rerun, under circumstances, is *outcome) (*Cause, error) {
	do := func(c circumstances) (*outcome, error) {
		x.Reruns++
		l.tell(func(t *RerunProgress) { t.Tried++ })
		return l.do(ctx, c)
	}
	if c, err := clue(l.was, is); c != nil || err != nil {
		return c, err
	}
	home := l.home(l.p)
	h, odd, n, err := l.equal(do, home)
	if err != nil {
		return nil, err
	}
	if odd != nil {
		return l.chance(do, h, odd, n)
	}
	if h.failure != "" {
		return nil, nil
	}
	again := func(c circumstances) (differs bool, err error) {
		o, err := do(c)
		if err != nil {
			return false, err
		}
		defer l.drop(o)
		return !same(h, o), nil
	}
	// alone says whether c makes a difference, by itself and no chance.
	alone := func(c circumstances) (differs bool, luck bool, err error) {
		if differs, err = again(c); err != nil || !differs {
			return false, false, err
		}
		if differs, err = again(home); err != nil || differs {
			return false, differs, err
		}
		differs, err = again(c)
		return differs, !differs, err
	}
	var to []string
	for _, one := range allCircumstances {
		if !under.has(one) {
			continue
		}
		c := under.only(one, home.cpus)
		if one == inOrder && len(to) > 0 && to[0] == under.word(inDirectory) {
			// Another file system has other paths, which alone would make the difference.
			l.near = true
		}
		differs, luck, err := alone(c)
		l.near = false
		switch {
		case err != nil:
			return nil, err
		case luck:
			return &Cause{Name: CauseChance, Text: "chance: reruns under equal circumstances differ now and then"}, nil
		case differs:
			to = append(to, under.word(one))
		}
	}
	switch {
	case len(to) > 0:
		return &Cause{Name: CauseCircumstance, Circumstances: to, Text: circumstanceText(to)}, nil
	case same(h, is):
		return &Cause{Name: CausePast, Text: fmt.Sprintf("the past: %d reruns agree with each other, and not with what was recorded on %s: the program gives other bytes now and %s kept its version, or something that no key holds was different then (another machine, an undeclared file, a checkpoint that it went on from)",
			n+1, l.was.to.Local().Format("2006-01-02 15:04"), l.p.node.Kind.Name)}, nil
	}
	differs, luck, err := alone(under)
	switch {
	case err != nil:
		return nil, err
	case luck || !differs:
		return &Cause{Name: CauseChance, Text: fmt.Sprintf("chance: it differed once and not in %d further reruns", n)}, nil
	}
	for _, one := range allCircumstances {
		if !under.has(one) {
			continue
		}
		differs, err := again(under.only(under.changed&^one, home.cpus))
		if err != nil {
			return nil, err
		}
		if !differs {
			to = append(to, under.word(one))
		}
	}
	if len(to) == 0 {
		return &Cause{Name: CauseTogether, Circumstances: under.words(), Text: "several circumstances at once make it differ, and more than one set of them does"}, nil
	}
	return &Cause{Name: CauseTogether, Circumstances: to, Text: strings.Join(to, " and ") + " together make it differ, none of them alone"}, nil
}

func circumstanceText(to []string) string {
	if len(to) == 1 {
		return to[0] + " alone makes it differ"
	}
	return "each of these alone makes it differ: " + strings.Join(to, ", ")
}

// equal does a part again and again under equal circumstances, until one comes out
// otherwise than the first (odd) or n reruns have agreed.
func (l *lab) equal(do func(circumstances) (*outcome, error), c circumstances) (first, odd *outcome, n int, err error) {
	began := time.Now()
	if first, err = do(c); err != nil {
		return nil, nil, 0, err
	}
	if err := l.keep(first); err != nil {
		return nil, nil, 0, err
	}
	for n = 1; ; n++ {
		if t := time.Since(began); n >= equalFew && t > equalMost || n >= equalReruns && t > equalLeast {
			return first, nil, n, nil
		}
		o, err := do(c)
		if err != nil {
			return nil, nil, 0, err
		}
		if !same(first, o) {
			return first, o, n + 1, nil
		}
		l.drop(o)
	}
}

// chance says what is known of a part of which equal reruns, the first and the n-th,
// differ.
func (l *lab) chance(do func(circumstances) (*outcome, error), a, b *outcome, n int) (*Cause, error) {
	if c, err := clue(a, b); c != nil || err != nil {
		return c, err
	}
	if err := l.keep(b); err != nil {
		return nil, err
	}
	found := fmt.Sprintf("reruns under equal circumstances differ (the first and the %s)", nth(n))
	one, ones, err := l.agree(do, l.alone())
	if err != nil {
		return nil, err
	}
	// On one thread too goroutines change places now and then, when the system takes the
	// CPU away for long.
	many, manys, err := l.agree(do, l.home(l.p))
	if err != nil {
		return nil, err
	}
	if float64(one)/float64(ones)-float64(many)/float64(manys) >= threadsAgree {
		return &Cause{Name: CauseThreads, Text: fmt.Sprintf("threads: %s; of %d on one thread %d agree, of %d on several %d: a race, or results taken in the order in which goroutines end",
			found, ones, one, manys, many)}, nil
	}
	guess := "the order of a map, a random number, an address, how long something took"
	list, err := differences(a, b)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		if d.Place != nil && (d.Place.Same == "lines" || d.Place.Same == "elements") {
			guess = "the same " + d.Place.Same + " in another order, as when a map is walked"
			break
		}
	}
	return &Cause{Name: CauseChance, Text: fmt.Sprintf("chance: %s, on one thread as on several: %s", found, guess)}, nil
}

// threadsAgree is by how much the share of reruns that agree must be larger on one thread
// than on several.
const threadsAgree = 0.35

// agreeReruns is how many reruns show what share of them agrees.
const agreeReruns = 12

// agree does a part some times under equal circumstances and counts how many gave what
// most gave.
func (l *lab) agree(do func(circumstances) (*outcome, error), c circumstances) (most, n int, err error) {
	began := time.Now()
	var kinds []*outcome
	var count []int
	for n = 0; n < agreeReruns && (n < equalFew || time.Since(began) < equalMost); n++ {
		o, err := do(c)
		if err != nil {
			return 0, 0, err
		}
		l.drop(o)
		i := slices.IndexFunc(kinds, func(k *outcome) bool { return same(k, o) })
		if i < 0 {
			i, kinds, count = len(kinds), append(kinds, o), append(count, 0)
		}
		count[i]++
	}
	return slices.Max(count), n, nil
}

func nth(n int) string {
	switch n {
	case 2:
		return "second"
	case 3:
		return "third"
	}
	return fmt.Sprintf("%dth", n)
}
