package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus"
	stats "github.com/ptbr-slm/pipeline/corpus/audit"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// measure is a figure that a gate can limit, of all documents or of one source.
type measure struct {
	name, unit string
	of         func(*view) float64
}

// view is what measures look at: documents, and what the stages before said of the
// same sources.
type view struct {
	*stats.Source
	first corpus.Volume // what entered the first stage that reported the source
	lost  corpus.Touch
}

// measures lists every measure, in the report's order.
var measures = func() []measure {
	m := []measure{
		{"documents", "documents", func(v *view) float64 { return float64(v.Volume.Documents) }},
		{"bytes", "bytes of text", func(v *view) float64 { return float64(v.Volume.Bytes) }},
		{"words", "words", func(v *view) float64 { return float64(v.Volume.Words) }},
		{"characters", "characters", func(v *view) float64 { return float64(v.Characters) }},
		{"tokens", "tokens", func(v *view) float64 { return float64(v.Tokens) }},
		{"words-per-document", "words, mean", func(v *view) float64 { return v.DocumentWords.Mean() }},
		{"line-length", "characters, mean", func(v *view) float64 { return v.LineLength.Mean() }},
		{"word-length", "characters, mean", func(v *view) float64 { return v.WordLength.Mean() }},
		{"sentence-length", "words, mean", func(v *view) float64 { return v.SentenceWords.Mean() }},
		{"letters", "share of characters", func(v *view) float64 { return ratio(v.Letters, v.Characters) }},
		{"kept.documents", "share of what the first stage took in", func(v *view) float64 { return ratio(v.Volume.Documents, v.first.Documents) }},
		{"kept.bytes", "share of what the first stage took in", func(v *view) float64 { return ratio(v.Volume.Bytes, v.first.Bytes) }},
		{"lost-text.documents", "documents", func(v *view) float64 { return float64(v.lost.Documents) }},
		{"lost-text.matches", "places per million words", func(v *view) float64 { return 1e6 * ratio(v.lost.Matches, v.Volume.Words) }},
		{"lines.flagged", "share of lines", func(v *view) float64 { return ratio(v.Flagged, v.Lines) }},
		{"score.mean", "points of 100", func(v *view) float64 { return ratio(v.ScoreSum, v.Volume.Documents) }},
		{"score.passed", "share of documents", func(v *view) float64 { return ratio(v.Passed, v.Volume.Documents) }},
		{"licence.none", "share of documents", func(v *view) float64 { return ratio(v.Licences[""].Documents, v.Volume.Documents) }},
	}
	residues, _ := stats.Residues()
	defects, _ := stats.Defects()
	m = append(m, measure{"residue.total", "per million characters", func(v *view) (x float64) {
		var all stats.Hits
		for _, h := range v.Residue {
			all.Matches += h.Matches
		}
		return v.PerMillion(all)
	}})
	for _, n := range residues {
		m = append(m, measure{"residue." + n, "per million characters", func(v *view) float64 { return v.PerMillion(v.Residue[n]) }})
	}
	for _, n := range defects {
		m = append(m, measure{"defects." + n, "per million characters", func(v *view) float64 { return v.PerMillion(v.Defects[n]) }})
	}
	for _, n := range stats.Languages {
		m = append(m, measure{"language." + n, "share of bytes", func(v *view) float64 { return ratio(v.Languages[n].Bytes, v.Volume.Bytes) }})
	}
	for _, n := range stats.Variants {
		m = append(m, measure{"variant." + n, "share of bytes", func(v *view) float64 { return ratio(v.Variants[n].Bytes, v.Volume.Bytes) }})
	}
	return m
}()

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

func findMeasure(name string) (measure, bool) {
	for _, m := range measures {
		if m.name == name {
			return m, true
		}
	}
	return measure{}, false
}

// cutSource takes the source off a gate's name: "residue.braces[wiki]".
func cutSource(name string) (base, source string, ok bool) {
	base, rest, bracket := strings.Cut(name, "[")
	if !bracket {
		return name, "", true
	}
	source, ok = strings.CutSuffix(rest, "]")
	return base, source, ok && source != ""
}

func checkGate(name string, g Gate) error {
	base, _, ok := cutSource(name)
	if !ok {
		return fmt.Errorf("gates: %q: the source of a measure is written measure[source]", name)
	}
	if _, ok := findMeasure(base); !ok {
		hint := ""
		if n := nearest(base); n != "" {
			hint = fmt.Sprintf("; did you mean %q?", n)
		}
		return fmt.Errorf("gates: there is no measure %q%s (docs/stages/audit.md lists all)", base, hint)
	}
	switch {
	case g.Min == nil && g.Max == nil:
		return fmt.Errorf("gates: %s has no limit; give it min, max or both", name)
	case g.Min != nil && g.Max != nil && *g.Min > *g.Max:
		return fmt.Errorf("gates: %s: min %v is above max %v", name, *g.Min, *g.Max)
	}
	return nil
}

// nearest gives the measure that a misspelt name may mean, or "": by its whole name, or
// by the part after a dot when that is all that was given.
func nearest(name string) string {
	whole, tails := make([]string, 0, len(measures)), map[string]string{}
	for _, m := range measures {
		whole = append(whole, m.name)
	}
	for _, m := range measures {
		if _, tail, ok := strings.Cut(m.name, "."); ok && !slices.Contains(whole, tail) {
			tails[tail] = m.name
			whole = append(whole, tail)
		}
	}
	n := stage.Nearest(name, whole)
	if full, ok := tails[n]; ok {
		return full
	}
	return n
}
