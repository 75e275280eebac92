package dag

// # How long parts will take
//
// The ledger knows of every part that was made how many bytes it read and how many
// seconds it took. For a stage's parts (and apart from them its joins) the last of the
// same kind are taken: those with the same config where there are enough, else all.
// Seconds are fitted as fixed + rate × bytes by the medians of Theil and Sen, which a
// third of the parts may contradict without effect. What the line misses is kept as
// ratios, seconds over fitted: their fifth and ninety-fifth percentile make the interval,
// which then held 86 of 100 parts of a machine whose load came and went (estimate_test.go).
// Where there are few parts two more are assumed, one of half the time and one of twice
// (a quarter and four times when no part had the same config), so that an interval is
// wide as long as little is known.
//
// A line says little of sizes far from those it was fitted to. The interval widens with
// the distance, and ten times beyond what the sizes seen vary among themselves the time
// is unknown. When all parts seen were of one size, the interval spans both answers: that
// size does not matter, and that the time grows with it.

import (
	"encoding/json"
	"math"
	"slices"
	"sort"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// Span is a time: its median, and the interval that holds it eight times in ten.
type Span struct {
	Seconds float64 `json:"seconds"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
}

func (s Span) plus(o Span) Span { return Span{s.Seconds + o.Seconds, s.Low + o.Low, s.High + o.High} }

func (s Span) times(x float64) Span { return Span{s.Seconds * x, s.Low * x, s.High * x} }

func larger(a, b Span) Span {
	return Span{max(a.Seconds, b.Seconds), max(a.Low, b.Low), max(a.High, b.High)}
}

// observed is a part of the past.
type observed struct {
	bytes, seconds float64
	cpu            float64 // seconds of CPU; negative when not known
	memory         int64   // peak; 0 when not known
}

const (
	historyLength = 256 // how many of a kind's last parts are looked at
	fitLength     = 64  // of these, how many are fitted
	enoughAlike   = 3   // so many of the same config are better than any number of others
	farBeyond     = 10  // times the spread of the sizes seen
)

// model is what the past says of a kind's parts, or joins, with a config.
type model struct {
	fixed, rate    float64 // seconds, seconds a byte
	least, most    float64 // bytes seen
	middle         observed
	low, mid, high float64 // percentiles of seconds over fitted
	cpu            float64 // seconds of CPU in a second; negative when not known
	memory         int64   // the largest peak; 0 when not known
}

// fit makes a model of what was seen; nil of nothing. alike says that all had the config
// that is asked for.
func fit(seen []observed, alike bool) *model {
	if len(seen) == 0 {
		return nil
	}
	seen = seen[:min(len(seen), fitLength)]
	m := &model{least: math.Inf(1), cpu: -1}
	var bytes, seconds, rates, slopes, shares []float64
	for i, a := range seen {
		bytes, seconds = append(bytes, a.bytes), append(seconds, a.seconds)
		rates = append(rates, a.seconds/a.bytes)
		m.least, m.most, m.memory = min(m.least, a.bytes), max(m.most, a.bytes), max(m.memory, a.memory)
		if a.cpu >= 0 && a.seconds > 0 {
			shares = append(shares, a.cpu/a.seconds)
		}
		for _, b := range seen[:i] {
			if a.bytes != b.bytes {
				slopes = append(slopes, (a.seconds-b.seconds)/(a.bytes-b.bytes))
			}
		}
	}
	m.middle = observed{bytes: median(bytes), seconds: median(seconds)}
	if len(shares) > 0 {
		m.cpu = median(shares)
	}
	if m.most >= 2*m.least {
		m.rate = max(median(slopes), 0)
		var rest []float64
		for _, a := range seen {
			rest = append(rest, a.seconds-m.rate*a.bytes)
		}
		if m.fixed = median(rest); m.fixed < 0 {
			m.fixed, m.rate = 0, median(rates)
		}
	} else {
		m.fixed = m.middle.seconds
	}
	doubt := 4.0
	if alike {
		doubt = 2
	}
	ratios := []float64{1 / doubt, doubt}
	for _, a := range seen {
		ratios = append(ratios, a.seconds/max(m.fixed+m.rate*a.bytes, shortest))
	}
	sort.Float64s(ratios)
	// Order statistics that would hold the next ratio nine times in ten, were it drawn like
	// these: a machine that gets busier or idler takes the rest.
	n := float64(len(ratios) + 1)
	m.low = ratios[max(int(0.05*n)-1, 0)]
	m.high = ratios[min(int(math.Ceil(0.95*n))-1, len(ratios)-1)]
	m.mid = median(ratios)
	return m
}

// shortest is the least time that is expected of a part, in seconds: ratios need one.
const shortest = 1e-3

// expect is how long a part takes that reads so many bytes; ok is false when that is
// unknown.
func (m *model) expect(n int64) (s Span, ok bool) {
	if m == nil {
		return Span{}, false
	}
	b := max(float64(n), 1)
	spread, beyond := m.most/m.least, max(b/m.most, m.least/b, 1)
	if beyond > farBeyond*spread {
		return Span{}, false
	}
	if spread < 2 {
		flat, grown := m.middle.seconds, m.middle.seconds*b/m.middle.bytes
		if beyond == 1 {
			grown = flat
		}
		return Span{math.Sqrt(flat*grown) * m.mid, min(flat, grown) * m.low, max(flat, grown) * m.high}, true
	}
	t, wide := max(m.fixed+m.rate*b, shortest), math.Sqrt(beyond)
	return Span{t * m.mid, t * m.low / wide, t * m.high * wide}, true
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Clone(x)
	sort.Float64s(x)
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// forecaster makes models out of the ledger, each once.
type forecaster struct {
	ledger *artifacts.Ledger
	past   map[string][]remembered // by kind
	models map[asked]*model
}

type remembered struct {
	observed
	config string
	join   bool
}

type asked struct {
	kind, config string
	join         bool
}

func newForecaster(l *artifacts.Ledger) *forecaster {
	return &forecaster{ledger: l, past: map[string][]remembered{}, models: map[asked]*model{}}
}

// model is that of a node's parts, or of its join; nil when the ledger knows none.
func (f *forecaster) model(n *node, join bool) (*model, error) {
	config := n.parted.digest
	if join {
		config = n.config.digest
	}
	q := asked{n.Kind.Name, config, join}
	if m, ok := f.models[q]; ok {
		return m, nil
	}
	past, ok := f.past[q.kind]
	if !ok {
		h, err := f.ledger.History(q.kind, historyLength)
		if err != nil {
			return nil, err
		}
		for _, d := range h {
			var c struct{ Join bool }
			var detail struct {
				CPU    *float64 `json:"cpu"`
				Memory int64    `json:"memory"`
			}
			// What cannot be read says nothing; whoever needs it as a result will complain.
			_ = json.Unmarshal(d.Components, &c)
			_ = json.Unmarshal(d.Detail, &detail)
			r := remembered{observed{bytes: float64(max(d.InputBytes, 1)), seconds: d.Seconds, cpu: -1, memory: detail.Memory}, d.Config, c.Join}
			if detail.CPU != nil {
				r.cpu = *detail.CPU
			}
			past = append(past, r)
		}
		f.past[q.kind] = past
	}
	m := modelOf(past, config, join)
	f.models[q] = m
	return m, nil
}

// modelOf fits what is most like parts, or joins, with a config.
func modelOf(past []remembered, config string, join bool) *model {
	var alike, all []observed
	for _, r := range past {
		if r.join == join {
			all = append(all, r.observed)
			if r.config == config {
				alike = append(alike, r.observed)
			}
		}
	}
	if len(alike) >= enoughAlike {
		return fit(alike, true)
	}
	return fit(all, len(alike) == len(all))
}

// Estimate is what work takes. CPU is nil, and Memory 0, when the ledger does not know.
type Estimate struct {
	Span         // of the parts, one after the other
	CPU    *Span `json:"cpu"`    // seconds of CPU
	Memory int64 `json:"memory"` // bytes, the largest part

	share   Span    // of the machine's time: seconds × CPUs taken / CPUs there are
	cpus    float64 // CPUs that a part takes / CPUs there are; of one stage
	longest Span    // of one part and the join after it

	// Of one stage, when the estimate was made: how many parts were known, how many more
	// were likely to come, and what each of these and the join would take.
	known, coming int
	each, joining Span
}

// join takes in what other work takes.
func (e *Estimate) join(o *Estimate) {
	e.Span, e.share, e.Memory = e.Span.plus(o.Span), e.share.plus(o.share), max(e.Memory, o.Memory)
	if e.CPU == nil || o.CPU == nil {
		e.CPU = nil
	} else {
		c := e.CPU.plus(*o.CPU)
		e.CPU = &c
	}
}

// add counts a part; false when its time is unknown.
func (e *Estimate) add(m *model, bytes int64, parts int, cpus float64, certain bool) bool {
	s, ok := m.expect(bytes)
	if !ok {
		return false
	}
	if !certain {
		s.Low = 0
	}
	all := s.times(float64(parts))
	e.Span = e.Span.plus(all)
	e.share = e.share.plus(all.times(cpus))
	e.Memory = max(e.Memory, m.memory)
	if e.CPU != nil {
		if m.cpu < 0 {
			e.CPU = nil
		} else {
			c := e.CPU.plus(all.times(m.cpu))
			e.CPU = &c
		}
	}
	return true
}

// estimate is what a stage takes that has still to run: the parts that are known, and
// those that its last run makes likely. It is nil when that is unknown. scale is how much
// larger its inputs are than they were then.
func (g *graph) estimate(f *forecaster, n *node, p *past, missed []*part, jobs int, certain bool, scale float64) (*Estimate, error) {
	of, err := f.model(n, false)
	if err != nil {
		return nil, err
	}
	joins, err := f.model(n, true)
	if err != nil {
		return nil, err
	}
	taken, _ := needs(n, jobs, 0)
	cpus := float64(taken) / float64(jobs)
	e := &Estimate{CPU: &Span{}, cpus: cpus, known: n.count()}
	var known int64
	var longest, last Span
	for _, q := range n.parts {
		known += q.bytes
	}
	for _, q := range missed {
		m := of
		if q.join {
			m = joins
		}
		if !e.add(m, q.bytes, 1, cpus, true) {
			return nil, nil
		}
		s, _ := m.expect(q.bytes)
		if q.join {
			last = s
		} else {
			longest = larger(longest, s)
		}
	}
	if !n.closed {
		count, bytes := n.yetToCome(p, known, scale)
		if count < 0 || count > 0 && !e.add(of, bytes, count, cpus, certain) {
			return nil, nil
		}
		if count > 0 {
			e.coming = count
			e.each, _ = of.expect(bytes)
			longest = larger(longest, e.each)
		}
	}
	if n.joins() && n.join == nil {
		if len(p.joins) == 0 || !e.add(joins, int64(float64(p.joinBytes)*scale), 1, cpus, certain || len(missed) > 0) {
			return nil, nil
		}
		e.joining, _ = joins.expect(int64(float64(p.joinBytes) * scale))
		last = e.joining
	}
	e.longest = longest.plus(last)
	return e, nil
}

// yetToCome guesses how many parts of what size will be known later, by those of the last
// run; count is negative when there was none.
func (n *node) yetToCome(p *past, known int64, scale float64) (count int, bytes int64) {
	if len(p.sizes) == 0 {
		return -1, 0
	}
	var before int64
	for _, b := range p.sizes {
		before += b
	}
	rest := max(int64(float64(before)*scale)-known, 0)
	if n.Kind.Map == "" && !n.splits() {
		return 1, rest
	}
	count = int(math.Round(float64(len(p.sizes))*scale)) - len(n.parts)
	if count <= 0 {
		return 0, 0
	}
	return count, rest / int64(count)
}

func (n *node) joins() bool {
	_, ok := n.impl.(stage.Joiner)
	return ok
}

func (n *node) splits() bool {
	_, ok := n.impl.(stage.Splitter)
	return ok
}

// growth is how much larger a stage's inputs are than in its last run, as far as that can
// be told: by its own parts when all are known, else by what its inputs come from.
func (n *node) growth(p *past, above map[*node]float64) float64 {
	if n.closed && p != nil && len(p.sizes) > 0 && len(n.parts) > 0 {
		var is, was int64
		for _, q := range n.parts {
			is += q.bytes
		}
		for _, b := range p.sizes {
			was += b
		}
		if was > 0 && is > 0 {
			return float64(is) / float64(was)
		}
	}
	sum, k := 0.0, 0
	for _, feeds := range n.feeds {
		for _, f := range feeds {
			if s, ok := above[f.from]; ok {
				sum += s
				k++
			}
		}
	}
	if k == 0 {
		return 1
	}
	return sum / float64(k)
}

// wall is how long stages take together with so many CPUs. The median and the lower end
// are the greater of two bounds: the work, spread over all CPUs, and the longest chain of
// parts that wait for each other. The upper end is Graham's bound for any order in which
// parts may be taken: work + chain × (1 − 1/jobs).
func (g *graph) wall(stages map[*node]*Estimate, jobs int) Span {
	var work, chain Span
	chains := map[*node]Span{}
	for _, n := range g.nodes {
		var above Span
		for _, feeds := range n.feeds {
			for _, f := range feeds {
				if f.from != nil {
					above = larger(above, chains[f.from])
				}
			}
		}
		if e := stages[n]; e != nil {
			above = above.plus(e.longest)
			work = work.plus(e.share)
		}
		chains[n] = above
		chain = larger(chain, above)
	}
	s := larger(work, chain)
	s.High = max(s.Seconds, work.High+chain.High*(1-1/float64(jobs)))
	return s
}
