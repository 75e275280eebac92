package dag

import (
	"math"
	"time"
)

// outlook is what a run expects of itself.
type outlook struct {
	foreseen *Plan // when the first part had to run
	ahead    map[*node]*Estimate
	times    *forecaster

	runLeft *Span // of the whole run, as it was at looked
	looked  time.Time
}

// lookEvery is how often the time left of a whole run is worked out.
const lookEvery = 500 * time.Millisecond

// foresee estimates the run, once. Estimates are for people: when the ledger cannot be
// asked now, they are unknown, and what is wrong with it will show where it matters.
func (c *coordinator) foresee() {
	if c.foreseen != nil {
		return
	}
	c.times, c.ahead = newForecaster(c.store.Ledger()), map[*node]*Estimate{}
	plan, err := c.graph.plan(c.o.Jobs)
	if err != nil {
		plan = &Plan{}
	}
	c.foreseen = plan
	for i, s := range plan.Stages {
		c.ahead[c.nodes[i]] = s.Estimate
	}
}

// expect notes what a part that has to run is expected to take.
func (c *coordinator) expect(p *part) {
	t := c.stat[p.node]
	m, err := c.times.model(p.node, p.join)
	if err == nil {
		if s, ok := m.expect(p.bytes); ok {
			p.takes = &s
			t.queued = t.queued.plus(s)
			return
		}
	}
	t.unknown++
}

// made notes that a part is over: that it took so many seconds, or 0 when it did not run
// here to a good end.
func (c *coordinator) made(p *part, seconds float64) {
	t := c.stat[p.node]
	switch {
	case p.takes != nil:
		if seconds > 0 {
			t.fitted += p.takes.Seconds
			t.spent += seconds
		}
		t.queued = t.queued.plus(p.takes.times(-1))
		p.takes = nil
	case t.unknown > 0 && p.state == partMissed:
		t.unknown--
	}
}

// cost adds what an attempt took of the machine.
func (t *tally) cost(at *attempt, first bool) {
	t.memory = max(t.memory, at.memory)
	switch {
	case first:
		t.cpu = at.cpu
	case t.cpu != nil && at.cpu != nil:
		sum := *t.cpu + *at.cpu
		t.cpu = &sum
	default:
		t.cpu = nil
	}
}

// left is what a stage still takes, and the whole run; nil where that is unknown.
func (c *coordinator) left(n *node) (stage, run *Span) {
	if c.foreseen == nil {
		return nil, nil
	}
	if e := c.remains(n); e != nil {
		s := larger(e.share, e.longest)
		stage = &s
	}
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked, c.runLeft = now, nil
		rest := map[*node]*Estimate{}
		for _, o := range c.nodes {
			if o.done || o.skipped || o.failed > 0 {
				continue
			}
			if rest[o] = c.remains(o); rest[o] == nil {
				return stage, nil
			}
		}
		s := c.wall(rest, c.o.Jobs)
		c.runLeft = &s
	}
	return stage, c.runLeft
}

// remains is what one stage still takes: of the parts that are known what the ledger
// expects, corrected by how those of this run fared so far, and of those that are likely
// to come what the plan said. The more of the stage is behind it, the more its own pace
// counts and the closer the interval.
func (c *coordinator) remains(n *node) *Estimate {
	t, e := c.stat[n], c.ahead[n]
	if t.unknown > 0 || e == nil && (!n.closed || n.joins() && n.join == nil) {
		return nil
	}
	rest, longest := t.queued, Span{}
	fitted, spent, weight := t.fitted, t.spent, float64(t.ran)
	now := time.Now()
	for _, w := range c.running[n] {
		if w.takes == nil {
			continue
		}
		elapsed := now.Sub(w.started).Seconds()
		f := min(elapsed/max(w.takes.Seconds, shortest), 0.95)
		if p := w.progress; p.Total > 0 && !w.heard.IsZero() {
			f = min(float64(p.Done)/float64(p.Total), 1)
			if here := float64(p.Done-w.from) / float64(p.Total); here > 0 { // what it resumed with, it did not do now
				fitted += w.takes.Seconds * here
				spent += now.Sub(w.heard).Seconds()
				weight += 10 * here
			}
		}
		rest = rest.plus(w.takes.times(-f))
		longest = larger(longest, w.takes.times(1-f))
	}
	cpus := 1.0
	if e != nil {
		cpus = e.cpus
		if !n.closed {
			if coming := e.coming - max(n.count()-e.known, 0); coming > 0 {
				rest = rest.plus(e.each.times(float64(coming)))
				longest = larger(longest, e.each)
			}
		}
		if n.joins() && n.join == nil {
			rest, longest = rest.plus(e.joining), longest.plus(e.joining)
		}
	}
	rest = Span{max(rest.Seconds, 0), max(rest.Low, 0), max(rest.High, 0)}
	pace := 1.0
	if fitted > 0 && spent > 0 {
		pace = math.Pow(spent/fitted, weight/(weight+1))
	}
	closer := func(s Span) Span {
		if s.Seconds <= 0 {
			return Span{}
		}
		narrow := 1 / math.Sqrt(1+weight)
		mid := s.Seconds * pace
		return Span{mid, mid * math.Pow(s.Low/s.Seconds, narrow), mid * math.Pow(max(s.High/s.Seconds, 1), narrow)}
	}
	rest, longest = closer(rest), closer(longest)
	return &Estimate{Span: rest, share: rest.times(cpus), longest: longest}
}
