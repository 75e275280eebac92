package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus"
	stats "github.com/ptbr-slm/pipeline/corpus/audit"
	"github.com/ptbr-slm/pipeline/stages/page"
)

// How much of a long list the page shows; report.json has all of it.
const (
	lostShown    = 60
	linesShown   = 40
	foreignShown = 40
	markersShown = 30
)

// perMillion is a table of patterns by source.
func (r *Report) perMillion(caption string, list func() ([]string, map[string]string), of func(*stats.Source) map[string]stats.Hits) page.Block {
	names, shows := list()
	t := page.Table{Caption: caption, Columns: []page.Column{page.Col("Pattern"), page.Col("Looks like"), page.Num("Places", "in all documents"), page.Num("Documents", ""), page.Num("All", "places per million characters")}}
	for _, n := range r.names {
		t.Columns = append(t.Columns, page.Num(n, "places per million characters"))
	}
	for _, n := range names {
		h := of(r.Total)[n]
		row := []page.Cell{page.Words(n), page.Code(shows[n]), page.Figure(page.Integer(h.Matches)), page.Figure(page.Integer(h.Documents)), rate(r.Total.PerMillion(h))}
		for _, src := range r.names {
			row = append(row, rate(r.Sources[src].PerMillion(of(r.Sources[src])[n])))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func rate(x float64) page.Cell {
	switch {
	case x == 0:
		return page.Figure("0")
	case x < 0.1:
		return page.Figure("< 0.1")
	}
	return page.Figure(page.Decimal(x, 1))
}

func (r *Report) lost() page.Block {
	if len(r.Lost) == 0 {
		return page.Text("No stage reported lost text.")
	}
	t := page.Table{Caption: fmt.Sprintf("Causes of lost text (%d of %d)", min(len(r.Lost), lostShown), len(r.Lost)),
		Columns: []page.Column{page.Col("Template or cause"), page.Num("Places", ""), page.Num("Documents", ""), page.Num("Bytes", "removed"), page.Col("Sources")}}
	most := r.Lost[0].Total.Matches
	for _, l := range r.Lost[:min(len(r.Lost), lostShown)] {
		t.Rows = append(t.Rows, []page.Cell{page.Code(l.Cause), page.Share(page.Integer(l.Total.Matches), ratio(l.Total.Matches, most)),
			page.Figure(page.Integer(l.Total.Documents)), page.Figure(page.Integer(l.Total.Bytes)), page.Words(strings.Join(sorted(l.Sources), ", "))})
	}
	return t
}

func (r *Report) foreign() page.Block {
	type char struct {
		c string
		stats.Hits
	}
	var all []char
	for c, h := range r.Total.Foreign {
		all = append(all, char{c, h})
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b char) int { return cmp.Or(cmp.Compare(b.Matches, a.Matches), cmp.Compare(a.c, b.c)) })
	t := page.Table{Caption: fmt.Sprintf("Characters that Portuguese does not use (%d of %d)", min(len(all), foreignShown), len(all)),
		Columns: []page.Column{page.Col("Character"), page.Col("Code point"), page.Num("Times", ""), page.Num("Documents", "")}}
	for _, x := range all[:min(len(all), foreignShown)] {
		t.Rows = append(t.Rows, []page.Cell{page.Code(visible(x.c)), page.Words(fmt.Sprintf("%U", []rune(x.c)[0])), page.Figure(page.Integer(x.Matches)), page.Figure(page.Integer(x.Documents))})
	}
	return page.Fold{Summary: t.Caption, Blocks: []page.Block{t}}
}

// visible gives a mark a circle to stand on and leaves what has no shape blank.
func visible(c string) string {
	switch r := []rune(c)[0]; {
	case r >= 0x300 && r < 0x370:
		return "◌" + c
	case r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r == 0xfeff || r == 0xad:
		return ""
	}
	return c
}

func (r *Report) lineReasons() page.Block {
	t := page.Table{Caption: "Lines by reason", Note: "A line may have several reasons; one that alone is worth 0.5 or less does not flag it.",
		Columns: []page.Column{page.Col("Reason"), page.Num("All", "lines")}}
	for _, n := range r.names {
		t.Columns = append(t.Columns, page.Num(n, "lines"))
	}
	row := func(name string, of func(*stats.Source) string) {
		cells := []page.Cell{page.Words(name), page.Figure(of(r.Total))}
		for _, n := range r.names {
			cells = append(cells, page.Figure(of(r.Sources[n])))
		}
		t.Rows = append(t.Rows, cells)
	}
	for _, reason := range stats.LineReasons {
		row(reason, func(s *stats.Source) string { return page.Integer(s.LineReasons[reason]) })
	}
	row("flagged", func(s *stats.Source) string { return page.Integer(s.Flagged) })
	row("flagged, of lines", func(s *stats.Source) string { return page.Decimal(100*ratio(s.Flagged, s.Lines), 2) + " %" })
	return t
}

func (r *Report) worstLines() page.Block {
	if len(r.Lines) == 0 {
		return nil
	}
	t := page.Table{Caption: fmt.Sprintf("Dirtiest lines (%d of the %d listed in report.json)", min(len(r.Lines), linesShown), len(r.Lines)),
		Columns: []page.Column{page.Col("Line"), page.Num("Dirt", ""), page.Col("Why"), page.Col("Source"), page.Col("Document")}}
	for _, w := range r.Lines[:min(len(r.Lines), linesShown)] {
		line := page.Quote(corpus.Excerpt(w.Text, 160))
		t.Rows = append(t.Rows, []page.Cell{line, page.Figure(page.Decimal(float64(w.Score)/1000, 2)), page.Words(strings.Join(w.Why, ", ")), page.Words(w.Source), page.Words(w.ID)})
	}
	return page.Fold{Summary: t.Caption, Blocks: []page.Block{t}}
}

func (r *Report) scores() page.Block {
	b := page.Bars{Title: "Documents by score", X: "points", Y: "documents"}
	for i, n := range r.Total.Scores {
		label := fmt.Sprintf("%d–%d", 10*i, 10*i+9)
		if i == 10 {
			label = "100"
		}
		b.Bins = append(b.Bins, page.Bin{Label: label, Count: n})
	}
	return b
}

func (r *Report) issues() page.Block {
	t := page.Table{Caption: "Documents under 50 points, by what cost them points", Columns: []page.Column{page.Col("Issue"), page.Num("All", "documents")}}
	for _, n := range r.names {
		t.Columns = append(t.Columns, page.Num(n, "documents"))
	}
	for _, issue := range stats.Issues {
		if r.Total.Issues[issue] == 0 {
			continue
		}
		cells := []page.Cell{page.Words(issue), page.Figure(page.Integer(r.Total.Issues[issue]))}
		for _, n := range r.names {
			cells = append(cells, page.Figure(page.Integer(r.Sources[n].Issues[issue])))
		}
		t.Rows = append(t.Rows, cells)
	}
	if len(t.Rows) == 0 {
		return page.Text("Every document has 50 points or more.")
	}
	return t
}

func (r *Report) worstDocuments() page.Block {
	if len(r.Documents) == 0 {
		return nil
	}
	var e page.Excerpts
	for _, w := range r.Documents {
		e = append(e, page.Excerpt{Label: fmt.Sprintf("%s / %s: %d points (%s)", w.Source, w.ID, w.Score, strings.Join(w.Why, ", ")), Text: corpus.Excerpt(w.Text, 240)})
	}
	return page.Fold{Summary: fmt.Sprintf("Documents with the fewest points (%d)", len(e)), Blocks: []page.Block{e}}
}

func (r *Report) languages(caption string, order []string, of func(*stats.Source) map[string]corpus.Volume) page.Block {
	t := page.Table{Caption: caption, Columns: []page.Column{page.Col(caption), page.Num("Documents", ""), page.Num("Text", ""), page.Num("All", "share of bytes")}}
	for _, n := range r.names {
		t.Columns = append(t.Columns, page.Num(n, "share of bytes"))
	}
	for _, x := range order {
		v := of(r.Total)[x]
		if v.Documents == 0 {
			continue
		}
		cells := []page.Cell{page.Words(x), page.Figure(page.Integer(v.Documents)), page.Figure(page.Bytes(v.Bytes)),
			page.Share(page.Percent(ratio(v.Bytes, r.Total.Volume.Bytes)), ratio(v.Bytes, r.Total.Volume.Bytes))}
		for _, n := range r.names {
			cells = append(cells, page.Figure(page.Percent(ratio(of(r.Sources[n])[x].Bytes, r.Sources[n].Volume.Bytes))))
		}
		t.Rows = append(t.Rows, cells)
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

func (r *Report) markers() page.Block {
	words := sorted(r.Total.Markers)
	if len(words) == 0 {
		return nil
	}
	slices.SortStableFunc(words, func(a, b string) int { return cmp.Compare(r.Total.Markers[b], r.Total.Markers[a]) })
	t := page.Table{Caption: "Words that speak for a variant, most frequent first", Columns: []page.Column{page.Col("Word"), page.Col("Variant"), page.Num("Times", "")}}
	for _, n := range r.names {
		t.Columns = append(t.Columns, page.Num(n, "times"))
	}
	for _, w := range words[:min(len(words), markersShown)] {
		cells := []page.Cell{page.Quote(w), page.Words(stats.MarkerVariant(w)), page.Figure(page.Integer(r.Total.Markers[w]))}
		for _, n := range r.names {
			cells = append(cells, page.Figure(page.Integer(r.Sources[n].Markers[w])))
		}
		t.Rows = append(t.Rows, cells)
	}
	return page.Fold{Summary: fmt.Sprintf("%s (%d of %d)", t.Caption, len(t.Rows), len(words)), Blocks: []page.Block{t}}
}

func (r *Report) ngrams() []page.Block {
	var blocks []page.Block
	for _, g := range r.NGrams {
		if len(g.Top) == 0 {
			continue
		}
		t := page.Table{Caption: fmt.Sprintf("Runs of %d words", g.Order), Columns: []page.Column{page.Col("Words"), page.Num("Times", ""), page.Num("per 10,000 words", "")}}
		if g.Order == 1 {
			t.Caption = "Words"
		}
		t.Note = "Counted in all text."
		if g.Level > 0 {
			t.Note = fmt.Sprintf("Estimates from 1/%d of the text, drawn by hash; a figure of n counted has a standard error of about n/√n: %s of the first row's, %s of the last's.",
				1<<g.Level, page.Percent(relativeError(g.Top[0])), page.Percent(relativeError(g.Top[len(g.Top)-1])))
		}
		for _, x := range g.Top {
			t.Rows = append(t.Rows, []page.Cell{page.Quote(x.Text), page.Share(page.Integer(x.Estimate), ratio(x.Estimate, g.Top[0].Estimate)), page.Figure(page.Decimal(10000*ratio(x.Estimate, r.Total.Volume.Words), 2))})
		}
		blocks = append(blocks, page.Fold{Summary: t.Caption, Open: g.Order == 5, Blocks: []page.Block{t}})
	}
	return blocks
}
