package audit

import (
	"fmt"
	"math"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus"
	stats "github.com/ptbr-slm/pipeline/corpus/audit"
	"github.com/ptbr-slm/pipeline/stages/page"
)

func relativeError(g stats.Gram) float64 { return 1 / math.Sqrt(float64(max(g.Counted, 1))) }

// rulesOf is a table of the rules that are asked for, or nothing.
func (r *Report) rulesOf(caption string, ask func(RuleRow) bool) page.Block {
	t := page.Table{Caption: caption, Columns: []page.Column{page.Col("Rule"), page.Col("Stage"), page.Col("Source"),
		page.Num("Documents", "in which it found something"), page.Num("Matches", ""), page.Num("Bytes", "removed or rewritten")}}
	for _, x := range r.Rules {
		if ask(x) {
			t.Rows = append(t.Rows, []page.Cell{page.Code(x.Rule), page.Words(x.Stage), page.Words(x.Source), page.Figure(page.Integer(x.Documents)),
				page.Figure(page.Integer(x.Matches)), page.Figure(page.Integer(x.Bytes))})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

func (r *Report) numbersOf(caption string, ask func(NumberRow) bool) page.Block {
	t := page.Table{Caption: caption, Columns: []page.Column{page.Col("Measure"), page.Col("Stage"), page.Col("Source"), page.Num("Value", "")}}
	for _, x := range r.Numbers {
		if ask(x) {
			t.Rows = append(t.Rows, []page.Cell{page.Code(x.Name), page.Words(x.Stage), page.Words(x.Source), page.Figure(plain(x.Value))})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

func (r *Report) allRules() []page.Block {
	var blocks []page.Block
	for _, s := range r.stages {
		rules := r.rulesOf("Rules of "+s.name, func(x RuleRow) bool { return x.Stage == s.name })
		numbers := r.numbersOf("Figures of "+s.name, func(x NumberRow) bool { return x.Stage == s.name })
		f := page.Fold{Summary: fmt.Sprintf("%s: %d rules", s.name, len(s.Rules))}
		for _, b := range []page.Block{rules, numbers} {
			if b != nil {
				f.Blocks = append(f.Blocks, b)
			}
		}
		if len(f.Blocks) > 0 {
			blocks = append(blocks, f)
		}
	}
	return blocks
}

func (r *Report) samples() []page.Block {
	var blocks []page.Block
	fold := func(summary string, samples []corpus.Sample) page.Block {
		var e page.Excerpts
		for _, s := range samples {
			label := s.ID
			if !strings.HasPrefix(label, s.Source) {
				label = s.Source + " / " + label
			}
			e = append(e, page.Excerpt{Label: label, Text: s.Text})
		}
		return page.Fold{Summary: fmt.Sprintf("%s (%d)", summary, len(samples)), Blocks: []page.Block{e}}
	}
	for _, n := range r.names {
		blocks = append(blocks, fold("Kept: "+n, r.Kept[n]))
	}
	for _, s := range r.stages {
		var rules []page.Block
		for _, rule := range sorted(s.Samples) {
			rules = append(rules, fold(rule, s.Samples[rule]))
		}
		if len(rules) > 0 {
			blocks = append(blocks, page.Fold{Summary: fmt.Sprintf("%s: samples of %d rules", s.name, len(rules)), Blocks: rules})
		}
	}
	return blocks
}
