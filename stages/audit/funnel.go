package audit

import (
	"sort"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// stageReport is what one stage said, all its parts together.
type stageReport struct {
	name string // "clean[wiki]"
	*corpus.Report
}

// readStages merges the reports of each stage, in the order in which they are wired.
func readStages(t stage.Task) ([]stageReport, error) {
	by, err := docs.ReadReports(t, "reports")
	if err != nil {
		return nil, err
	}
	var r []stageReport
	seen := map[string]bool{}
	for _, f := range t.Inputs("reports") {
		if seen[f.Origin] {
			continue
		}
		seen[f.Origin] = true
		name := f.Origin
		if i := strings.LastIndexByte(name, '.'); i > 0 {
			name = name[:i] // the port
		}
		r = append(r, stageReport{name, by[f.Origin]})
	}
	return r, nil
}

// FunnelRow is what one stage did to one source.
type FunnelRow struct {
	Source string        `json:"source"`
	Stage  string        `json:"stage"`
	Kind   string        `json:"kind"`
	In     corpus.Volume `json:"in"`
	Out    corpus.Volume `json:"out"`
}

// funnel lists the stages by source, in the order text passes them.
func funnel(stages []stageReport, sources []string) []FunnelRow {
	rows := []FunnelRow{}
	for _, source := range sources {
		for _, s := range stages {
			in, took := s.In[source]
			out, gave := s.Out[source]
			if took || gave {
				rows = append(rows, FunnelRow{source, s.name, s.Kind, in, out})
			}
		}
	}
	return rows
}

// sourcesOf lists every source that a stage or the documents have, sorted.
func sourcesOf(stages []stageReport, have []string) []string {
	set := map[string]bool{}
	for _, n := range have {
		set[n] = true
	}
	for _, s := range stages {
		for n := range s.In {
			set[n] = true
		}
		for n := range s.Out {
			set[n] = true
		}
	}
	names := make([]string, 0, len(set))
	for n := range set {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// RuleRow is what one rule of a stage touched in one source.
type RuleRow struct {
	Stage  string `json:"stage"`
	Kind   string `json:"kind"`
	Rule   string `json:"rule"`
	Source string `json:"source"`
	corpus.Touch
}

// rules lists the rules of every stage, by stage, rule and source.
func rules(stages []stageReport) []RuleRow {
	rows := []RuleRow{}
	for _, s := range stages {
		for _, rule := range sorted(s.Rules) {
			for _, source := range sorted(s.Rules[rule]) {
				rows = append(rows, RuleRow{s.name, s.Kind, rule, source, s.Rules[rule][source]})
			}
		}
	}
	return rows
}

// NumberRow is a measure that a stage kind reports beside its rules.
type NumberRow struct {
	Stage  string  `json:"stage"`
	Kind   string  `json:"kind"`
	Name   string  `json:"name"`
	Source string  `json:"source"`
	Value  float64 `json:"value"`
}

func numbers(stages []stageReport) []NumberRow {
	rows := []NumberRow{}
	for _, s := range stages {
		for _, name := range sorted(s.Numbers) {
			for _, source := range sorted(s.Numbers[name]) {
				rows = append(rows, NumberRow{s.name, s.Kind, name, source, s.Numbers[name][source]})
			}
		}
	}
	return rows
}

// LostRow is a template, or another cause, whose removal damaged text.
type LostRow struct {
	Cause   string                  `json:"cause"`
	Total   corpus.Touch            `json:"total"`
	Sources map[string]corpus.Touch `json:"sources"`
}

// lost ranks the causes: what damaged most places first.
func lost(stages []stageReport) []LostRow {
	by := map[string]*LostRow{}
	for _, s := range stages {
		for cause, sources := range s.Lost {
			row := by[cause]
			if row == nil {
				row = &LostRow{Cause: cause, Sources: map[string]corpus.Touch{}}
				by[cause] = row
			}
			for source, t := range sources {
				row.Sources[source] = addTouch(row.Sources[source], t)
				row.Total = addTouch(row.Total, t)
			}
		}
	}
	rows := make([]LostRow, 0, len(by))
	for _, r := range by {
		rows = append(rows, *r)
	}
	sort.Slice(rows, func(i, j int) bool {
		a, b := rows[i], rows[j]
		if a.Total.Matches != b.Total.Matches {
			return a.Total.Matches > b.Total.Matches
		}
		if a.Total.Bytes != b.Total.Bytes {
			return a.Total.Bytes > b.Total.Bytes
		}
		return a.Cause < b.Cause
	})
	return rows
}

func addTouch(a, b corpus.Touch) corpus.Touch {
	return corpus.Touch{Documents: a.Documents + b.Documents, Matches: a.Matches + b.Matches, Bytes: a.Bytes + b.Bytes}
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
