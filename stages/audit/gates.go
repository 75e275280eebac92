package audit

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/ptbr-slm/pipeline/stages/page"
)

// GateResult is a gate with what was measured.
type GateResult struct {
	Measure string   `json:"measure"`
	Value   float64  `json:"value"`
	Unit    string   `json:"unit"`
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
	Passed  bool     `json:"passed"`
	Verdict string   `json:"verdict"` // in words: by how much it is beyond, or how much room it has
}

// judge holds the measures against the gates, in the order of their names.
func judge(gates map[string]Gate, views map[string]*view, total *view) []GateResult {
	results := []GateResult{}
	for name, g := range gates {
		base, source, _ := cutSource(name)
		m, _ := findMeasure(base)
		r := GateResult{Measure: name, Unit: m.unit, Min: g.Min, Max: g.Max}
		v := total
		if source != "" {
			if v = views[source]; v == nil {
				// A limit on a source that is not there guards nothing: that is a
				// misspelt name or a source that vanished, and either must be seen.
				r.Verdict = fmt.Sprintf("%s: no documents of source %q; there are %s", name, source, known(views))
				results = append(results, r)
				continue
			}
		}
		r.Value = m.of(v)
		r.Passed, r.Verdict = verdict(name, r.Value, m.unit, g)
		results = append(results, r)
	}
	sort.Slice(results, func(i, j int) bool { return results[i].Measure < results[j].Measure })
	return results
}

func verdict(name string, x float64, unit string, g Gate) (bool, string) {
	beyond := func(side string, limit float64) string {
		d := math.Abs(x - limit)
		s := fmt.Sprintf("%s is %s (%s), %s %s its limit of %s", name, plain(x), unit, plain(d), side, plain(limit))
		switch over := d / math.Abs(limit); {
		case limit == 0:
		case over >= 10:
			s += fmt.Sprintf(", %s times as much", page.Decimal(x/limit, 0))
		default:
			s += ", " + page.Percent(over)
		}
		return s
	}
	switch {
	case g.Min != nil && x < *g.Min:
		return false, beyond("below", *g.Min)
	case g.Max != nil && x > *g.Max:
		return false, beyond("above", *g.Max)
	}
	return true, fmt.Sprintf("%s is %s (%s), within its limits", name, plain(x), unit)
}

// plain writes a figure with what digits it needs to be told from its limit.
func plain(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		return page.Integer(int64(x))
	}
	if math.Abs(x) >= 100 {
		return page.Decimal(x, 1)
	}
	return fmt.Sprintf("%.4g", x)
}

func known(views map[string]*view) string {
	var names []string
	for n := range views {
		names = append(names, n)
	}
	if len(names) == 0 {
		return "none"
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}
