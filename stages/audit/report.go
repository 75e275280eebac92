package audit

import (
	"github.com/ptbr-slm/pipeline/corpus"
	stats "github.com/ptbr-slm/pipeline/corpus/audit"
)

// Report is report.json. docs/formats/reports.md describes it.
type Report struct {
	Format    int                                   `json:"format"` // of this document: 1
	Measures  map[string]float64                    `json:"measures"`
	BySource  map[string]map[string]float64         `json:"measures-by-source"`
	Gates     []GateResult                          `json:"gates"`
	Funnel    []FunnelRow                           `json:"funnel"`
	Lost      []LostRow                             `json:"lost-text"`
	Rules     []RuleRow                             `json:"rules"`
	Numbers   []NumberRow                           `json:"numbers"`
	Total     *stats.Source                         `json:"total"`
	Sources   map[string]*stats.Source              `json:"sources"`
	NGrams    []TopNGrams                           `json:"ngrams"`
	Lines     []stats.Worst                         `json:"worst-lines"`
	Documents []stats.Worst                         `json:"worst-documents"`
	Kept      map[string][]corpus.Sample            `json:"kept"`    // by source
	Samples   map[string]map[string][]corpus.Sample `json:"samples"` // by stage and rule

	names  []string // of the sources that have documents, sorted
	stages []stageReport
}

// TopNGrams is the most frequent n-grams of one order.
type TopNGrams struct {
	Order int          `json:"order"`
	Level int          `json:"level"` // 2^-level of the text was counted
	Top   []stats.Gram `json:"top"`
}

func newReport(s *stats.Statistics, stages []stageReport, c Config) *Report {
	r := &Report{Format: 1, Measures: map[string]float64{}, BySource: map[string]map[string]float64{}, Sources: s.Sources, Total: s.Total(),
		Funnel: funnel(stages, sourcesOf(stages, sorted(s.Sources))), Lost: lost(stages), Rules: rules(stages), Numbers: numbers(stages),
		NGrams: []TopNGrams{}, Lines: s.Lines, Documents: s.Worst, Kept: s.Kept, Samples: map[string]map[string][]corpus.Sample{},
		names: sorted(s.Sources), stages: stages}
	for _, g := range s.NGrams {
		r.NGrams = append(r.NGrams, TopNGrams{g.Order, g.Level, g.Top(c.NGrams.Top)})
	}
	for _, st := range stages {
		if len(st.Samples) > 0 {
			r.Samples[st.name] = st.Samples
		}
	}
	views := map[string]*view{}
	total := &view{Source: r.Total}
	for name, src := range s.Sources {
		views[name] = &view{Source: src}
	}
	seen := map[string]bool{}
	for _, row := range r.Funnel {
		if seen[row.Source] {
			continue
		}
		seen[row.Source] = true
		first := row.In
		if first.Documents == 0 {
			first = row.Out // the first stage reads something else than documents
		}
		total.first.Add(first)
		if v := views[row.Source]; v != nil {
			v.first = first
		}
	}
	for _, l := range r.Lost {
		total.lost = addTouch(total.lost, l.Total)
		for name, v := range views {
			v.lost = addTouch(v.lost, l.Sources[name])
		}
	}
	for name, v := range views {
		r.BySource[name] = measureAll(v)
	}
	r.Measures = measureAll(total)
	r.Gates = judge(c.Gates, views, total)
	return r
}

func measureAll(v *view) map[string]float64 {
	m := map[string]float64{}
	for _, x := range measures {
		m[x.name] = x.of(v)
	}
	return m
}
