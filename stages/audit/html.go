package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus"
	stats "github.com/ptbr-slm/pipeline/corpus/audit"
	"github.com/ptbr-slm/pipeline/stages/page"
)

// page lays the report out to be read.
func (r *Report) page() *page.Page {
	p := &page.Page{
		Title: "Corpus audit",
		Lead: fmt.Sprintf("%s documents of %d sources: %s words, %s of text.", page.Integer(r.Total.Volume.Documents), len(r.names),
			page.Integer(r.Total.Volume.Words), page.Bytes(r.Total.Volume.Bytes)),
		Facts: r.facts(),
		Foot:  "Everything here is counted from the documents and from the stages' reports alone. The same figures, unrounded, are in report.json beside this page.",
	}
	add := func(id, title, note string, blocks ...page.Block) {
		var some []page.Block
		for _, b := range blocks {
			if b != nil {
				some = append(some, b)
			}
		}
		if len(some) > 0 {
			p.Sections = append(p.Sections, page.Section{ID: id, Title: title, Note: note, Blocks: some})
		}
	}
	add("gates", "Gates", "Limits that the pipeline file sets. A broken one stops the run.", r.gates())
	add("funnel", "Funnel", "What every stage took in and gave out, source by source, in the order text passes them.", r.funnel())
	add("sources", "Sources", "The documents that are left.", r.volumes(), r.licences())
	add("lengths", "Lengths", "Bins are two to an octave: each column is about 1.4 times as wide as the one before.", r.lengths()...)
	add("residue", "Residue of markup", "Places per million characters where markup is left. Zero is the aim; what is not zero shows what cleaning misses.",
		r.perMillion("Residue by source", stats.Residues, func(s *stats.Source) map[string]stats.Hits { return s.Residue }))
	add("lost", "Lost text", "Text that the removal of a template damaged, as the stages noticed it: the templates to support next stand first.", r.lost())
	add("encoding", "Encoding and normal form", "Places per million characters.",
		r.perMillion("Defects by source", stats.Defects, func(s *stats.Source) map[string]stats.Hits { return s.Defects }), r.foreign())
	add("lines", "Dirty lines", "A line is flagged when its dirt is above 0.5: three times its share of symbols when that is above 15 %, 0.5 for capitals, 1 for U+FEFF or U+FFFD, 0.4 for escapes, 0.8 for five consonants in a row.",
		r.lineReasons(), r.worstLines())
	add("scores", "Document scores", "100 points, less what stop words, vocabulary, sentence length, markup and other languages cost. Under 500 bytes, or with mojibake, none. 50 and more pass.",
		r.scores(), r.issues(), r.worstDocuments())
	add("language", "Language", "The language that most of a document is in; pt-BR and pt-PT by words that one of them writes otherwise. Books older than the reforms of spelling share forms with pt-PT.",
		r.languages("Language", stats.Languages, func(s *stats.Source) map[string]corpus.Volume { return s.Languages }),
		r.languages("Variant of Portuguese", stats.Variants, func(s *stats.Source) map[string]corpus.Volume { return s.Variants }), r.markers())
	add("duplicates", "Duplicates", "As dedup reported them.", r.rulesOf("Duplicates", func(x RuleRow) bool { return strings.HasPrefix(x.Kind, "dedup") }),
		r.numbersOf("Duplicates in figures", func(x NumberRow) bool { return strings.HasPrefix(x.Kind, "dedup") }))
	add("pii", "Personal data", "Identifiers that the stages found, with valid check digits where they have any.",
		r.rulesOf("Personal data", isPII))
	add("ngrams", "Most frequent n-grams", "Runs of words within a line, in lower case. What is frequent and says nothing is boilerplate that cleaning may drop.", r.ngrams()...)
	add("rules", "Rules", "What every rule of every stage touched.", r.allRules()...)
	add("samples", "Samples", "Documents that are kept, and what the rules found, drawn by hash: the same ones every time.", r.samples()...)
	return p
}

func isPII(x RuleRow) bool { return x.Rule == "pii" || strings.HasPrefix(x.Rule, "pii") }

func (r *Report) facts() []page.Fact {
	t := r.Total
	m := r.Measures
	facts := []page.Fact{
		{Name: "Documents", Value: page.Integer(t.Volume.Documents)},
		{Name: "Words", Value: page.Integer(t.Volume.Words), Note: page.Decimal(t.DocumentWords.Mean(), 0) + " a document"},
		{Name: "Text", Value: page.Bytes(t.Volume.Bytes), Note: "UTF-8, uncompressed"},
	}
	if t.Tokens > 0 {
		facts = append(facts, page.Fact{Name: "Tokens", Value: page.Integer(t.Tokens), Note: page.Decimal(ratio(t.Tokens, t.Volume.Words), 2) + " a word"})
	}
	if len(r.Funnel) > 0 {
		facts = append(facts, page.Fact{Name: "Kept", Value: page.Percent(m["kept.bytes"]), Note: "of the bytes that entered the first stages; " + page.Percent(m["kept.documents"]) + " of documents"})
	}
	facts = append(facts,
		page.Fact{Name: "Residue", Value: page.Decimal(m["residue.total"], 1), Note: "places per million characters", Verdict: pick(m["residue.total"] < 10, m["residue.total"] < 200)},
		page.Fact{Name: "Mean score", Value: page.Decimal(m["score.mean"], 1), Note: page.Percent(m["score.passed"]) + " of documents pass"},
		page.Fact{Name: "Portuguese", Value: page.Percent(m["language.pt"]), Note: "of bytes"})
	if n := len(r.Gates); n > 0 {
		broken := 0
		for _, g := range r.Gates {
			if !g.Passed {
				broken++
			}
		}
		f := page.Fact{Name: "Gates", Value: "passed", Note: fmt.Sprintf("all %d", n), Verdict: page.Good}
		if broken > 0 {
			f = page.Fact{Name: "Gates", Value: "broken", Note: fmt.Sprintf("%d of %d", broken, n), Verdict: page.Bad}
		}
		facts = append([]page.Fact{f}, facts...)
	}
	return facts
}

func pick(good, fair bool) page.Verdict {
	switch {
	case good:
		return page.Good
	case fair:
		return page.Warn
	}
	return page.Bad
}

func (r *Report) gates() page.Block {
	if len(r.Gates) == 0 {
		return page.Text("The pipeline file sets no gates for this audit.")
	}
	t := page.Table{Caption: "Gates", Columns: []page.Column{page.Col("Measure"), page.Num("Value", ""), page.Col("Unit"), page.Num("Min", ""), page.Num("Max", ""), page.Col("Verdict")}}
	if slices.ContainsFunc(r.Gates, func(g GateResult) bool { return !g.Passed }) {
		t.Columns = append(t.Columns, page.Col("By how much"))
	}
	limit := func(x *float64) page.Cell {
		if x == nil {
			return page.Figure("–")
		}
		return page.Figure(plain(*x))
	}
	for _, g := range r.Gates {
		row := []page.Cell{page.Code(g.Measure), page.Figure(plain(g.Value)), page.Words(g.Unit), limit(g.Min), limit(g.Max), page.Badge("passed", page.Good)}
		if !g.Passed {
			row[5] = page.Badge("broken", page.Bad)
			row = append(row, page.Words(g.Verdict))
		} else if len(t.Columns) > len(row) {
			row = append(row, page.Words(""))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Report) funnel() page.Block {
	if len(r.Funnel) == 0 {
		return page.Text("No stage's report is wired to this audit.")
	}
	t := page.Table{Caption: "Funnel by source and stage", Columns: []page.Column{page.Col("Source"), page.Col("Stage"),
		page.Num("Documents in", ""), page.Num("out", ""), page.Num("kept", "documents out of documents in"), page.Num("Text in", ""), page.Num("out", ""),
		page.Num("kept", "bytes out of bytes in"), page.Num("Words out", "")}}
	tokens := r.Total.Tokens > 0
	if tokens {
		t.Columns = append(t.Columns, page.Num("Tokens", "of the final documents"))
	}
	dash := page.Figure("–")
	share := func(out, in int64) page.Cell {
		if in == 0 {
			return dash
		}
		return page.Share(page.Percent(ratio(out, in)), ratio(out, in))
	}
	row := func(source, stage string, in, out corpus.Volume, n page.Cell) {
		cells := []page.Cell{page.Words(source), page.Words(stage), page.Figure(page.Integer(in.Documents)), page.Figure(page.Integer(out.Documents)), share(out.Documents, in.Documents),
			page.Figure(page.Bytes(in.Bytes)), page.Figure(page.Bytes(out.Bytes)), share(out.Bytes, in.Bytes), page.Figure(page.Integer(out.Words))}
		if in == (corpus.Volume{}) {
			cells[2], cells[5] = dash, dash
		}
		if tokens {
			cells = append(cells, n)
		}
		t.Rows = append(t.Rows, cells)
	}
	for i, f := range r.Funnel {
		row(f.Source, f.Stage, f.In, f.Out, dash)
		if i+1 < len(r.Funnel) && r.Funnel[i+1].Source == f.Source {
			continue
		}
		// What is audited is what the last stage gave, unless a stage between is not wired
		// here or the audit looks at one split only.
		var v corpus.Volume
		n := dash
		if s := r.Sources[f.Source]; s != nil {
			v, n = s.Volume, page.Figure(page.Integer(s.Tokens))
		}
		if v != f.Out || tokens {
			row(f.Source, "audited here", f.Out, v, n)
		}
	}
	return t
}

func (r *Report) volumes() page.Block {
	t := page.Table{Caption: "Documents by source", Columns: []page.Column{page.Col("Source"), page.Num("Documents", ""), page.Num("Text", ""), page.Num("share", "of bytes"),
		page.Num("Words", ""), page.Num("Lines", "that are not blank"), page.Num("Words a document", "median"), page.Num("longest", "words"),
		page.Num("Line", "characters, mean"), page.Num("Word", "characters, mean"), page.Num("Letters", "share of characters")}}
	for _, n := range append(append([]string{}, r.names...), "all") {
		s := r.Sources[n]
		if n == "all" && len(r.names) != 0 {
			s = r.Total
		}
		if s == nil {
			continue
		}
		t.Rows = append(t.Rows, []page.Cell{page.Words(n), page.Figure(page.Integer(s.Volume.Documents)), page.Figure(page.Bytes(s.Volume.Bytes)),
			page.Share(page.Percent(ratio(s.Volume.Bytes, r.Total.Volume.Bytes)), ratio(s.Volume.Bytes, r.Total.Volume.Bytes)),
			page.Figure(page.Integer(s.Volume.Words)), page.Figure(page.Integer(s.Lines)), page.Figure(page.Integer(s.DocumentWords.Quantile(1, 2))),
			page.Figure(page.Integer(s.DocumentWords.Max)), page.Figure(page.Decimal(s.LineLength.Mean(), 1)), page.Figure(page.Decimal(s.WordLength.Mean(), 2)),
			page.Figure(page.Percent(ratio(s.Letters, s.Characters)))})
	}
	if len(t.Rows) == 0 {
		return page.Text("There are no documents.")
	}
	return t
}

func (r *Report) licences() page.Block {
	t := page.Table{Caption: "Licences", Columns: []page.Column{page.Col("Licence"), page.Col("Sources"), page.Num("Documents", ""), page.Num("Text", ""), page.Num("share", "of bytes")}}
	for _, l := range sorted(r.Total.Licences) {
		v := r.Total.Licences[l]
		var of []string
		for _, n := range r.names {
			if r.Sources[n].Licences[l].Documents > 0 {
				of = append(of, n)
			}
		}
		name := page.Words(l)
		if l == "" {
			name = page.Badge("none stated", page.Warn)
		}
		t.Rows = append(t.Rows, []page.Cell{name, page.Words(strings.Join(of, ", ")), page.Figure(page.Integer(v.Documents)), page.Figure(page.Bytes(v.Bytes)),
			page.Share(page.Percent(ratio(v.Bytes, r.Total.Volume.Bytes)), ratio(v.Bytes, r.Total.Volume.Bytes))})
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

func (r *Report) lengths() []page.Block {
	t := r.Total
	if t.Volume.Documents == 0 {
		return nil
	}
	quantiles := page.Table{Caption: "Quantiles of all sources", Note: "Quantiles are exact to their bin.", Columns: []page.Column{page.Col("Length of"), page.Num("count", ""), page.Num("mean", ""),
		page.Num("least", ""), page.Num("5 %", ""), page.Num("median", ""), page.Num("95 %", ""), page.Num("99 %", ""), page.Num("greatest", "")}}
	for _, x := range []struct {
		name string
		h    *stats.Histogram
	}{{"document, words", &t.DocumentWords}, {"document, bytes", &t.DocumentBytes}, {"line, characters", &t.LineLength}, {"sentence, words", &t.SentenceWords}, {"word, characters", &t.WordLength}} {
		cells := []page.Cell{page.Words(x.name), page.Figure(page.Integer(x.h.Count)), page.Figure(page.Decimal(x.h.Mean(), 1))}
		for _, n := range []int64{x.h.Min, x.h.Quantile(5, 100), x.h.Quantile(50, 100), x.h.Quantile(95, 100), x.h.Quantile(99, 100), x.h.Max} {
			cells = append(cells, page.Figure(page.Integer(n)))
		}
		quantiles.Rows = append(quantiles.Rows, cells)
	}
	return []page.Block{quantiles, page.Pair{
		bars("Words a document", "words", "documents", &t.DocumentWords), bars("Characters a line", "characters", "lines", &t.LineLength),
		bars("Words a sentence", "words", "sentences", &t.SentenceWords), bars("Characters a word", "characters", "words", &t.WordLength)}}
}

func bars(title, x, y string, h *stats.Histogram) page.Block {
	b := page.Bars{Title: title, X: x, Y: y}
	for i, n := range h.Bins {
		lo, hi := stats.BinRange(i)
		if hi < h.Min {
			continue
		}
		label := page.Integer(lo)
		if lo >= 10000 {
			label = page.Decimal(float64(lo)/1000, 0) + "k"
		}
		span := page.Integer(lo)
		if hi > lo {
			span += "–" + page.Integer(hi)
		}
		b.Bins = append(b.Bins, page.Bin{Label: label, Range: span + " " + x, Count: n})
	}
	return b
}
