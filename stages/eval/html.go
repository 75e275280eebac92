package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/ptbr-slm/pipeline/model/eval"
	"github.com/ptbr-slm/pipeline/stages/page"
)

// page lays the report out to be read.
func (r *Report) page() *page.Page {
	p := &page.Page{
		Title: "Model evaluation",
		Lead: fmt.Sprintf("%s bits per byte on %s documents the model has not seen (%s, %s tokens).", page.Decimal(r.BitsPerByte, 3),
			page.Integer(r.Evaluated.Documents), page.Bytes(r.Evaluated.Bytes), page.Integer(r.Evaluated.Tokens)),
		Facts: r.facts(),
		Foot: "Bits per byte is the model's loss over all tokens in bits, divided by the bytes of the text in UTF-8. It compares across tokenizers. " +
			"Intervals are the middle 95 % over documents drawn with replacement. The same figures, unrounded, are in report.json beside this page.",
	}
	add := func(id, title, note string, blocks ...page.Block) {
		p.Sections = append(p.Sections, page.Section{ID: id, Title: title, Note: note, Blocks: blocks})
	}
	if r.Lossy {
		add("lossy", "Lossy tokenizer", "", page.Text("This model's tokenizer loses part of the text (case, diacritics or form) before the model sees it. What is lost costs the model nothing, so its bits per byte, and those of the baselines on the original text, do not compare."))
	}
	if len(r.Curve) > 0 {
		add("curve", "Training", "Loss in nats a token, as training logged it.", r.curve()...)
	}
	add("baselines", "Baselines", "Bits per byte of the same text under other predictors. A model is worth its training when it is below the n-gram model.", r.baselines()...)
	add("sources", "By source", "", r.bySource())
	add("positions", "By position", "What more context gives: the same measures by how many tokens the model had read since its state was last empty.", r.byPosition()...)
	add("samples", "Samples", r.sampled(), r.samples())
	add("documents", "Documents", "Where the model does best and worst.", r.extremes())
	add("setup", "Setup", "", r.setup())
	return p
}

func (r *Report) facts() []page.Fact {
	facts := []page.Fact{{Name: "Bits per byte", Value: page.Decimal(r.BitsPerByte, 3), Note: span("95 %", r.Interval, 3)}}
	if b := r.Baselines.NGram; b != nil {
		f := page.Fact{Name: "n-gram baseline", Value: page.Decimal(b.BitsPerByte, 3), Note: "bits per byte; the model is better", Verdict: page.Good}
		if r.BitsPerByte >= b.BitsPerByte {
			f.Note, f.Verdict = "bits per byte; the model is worse", page.Warn
		}
		if r.Lossy {
			f.Note, f.Verdict = "bits per byte; does not compare (lossy tokenizer)", page.None
		}
		facts = append(facts, f)
	}
	return append(facts,
		page.Fact{Name: "Token perplexity", Value: perplexity(r.TokenPerplexity)},
		page.Fact{Name: "Word perplexity", Value: perplexity(r.WordPerplexity)},
		page.Fact{Name: "Top-1", Value: page.Percent(r.Top1), Note: "next token guessed right"},
		page.Fact{Name: "Top-5", Value: page.Percent(r.Top5), Note: "among the five likeliest"},
		page.Fact{Name: "Entropy", Value: page.Decimal(r.Entropy, 2), Note: fmt.Sprintf("bits a token, against %s of loss", page.Decimal(r.BitsPerToken, 2))})
}

func span(name string, i *eval.Interval, digits int) string {
	if i == nil {
		return "no interval: too few documents"
	}
	return fmt.Sprintf("%s: %s to %s", name, page.Decimal(i.Low, digits), page.Decimal(i.High, digits))
}

func perplexity(x float64) string {
	switch {
	case x >= 1e15:
		return "> 10¹⁵"
	case x >= 1000:
		return page.Decimal(x, 0)
	}
	return page.Decimal(x, 2)
}

func (r *Report) curve() []page.Block {
	loss, val := page.Line{Name: "training"}, page.Line{Name: "validation", Style: page.Dotted}
	rate, norm := page.Line{Name: "learning rate"}, page.Line{Name: "gradient norm"}
	for _, x := range r.Curve {
		step := float64(x.Step)
		loss.X, loss.Y = append(loss.X, step), append(loss.Y, x.Loss)
		rate.X, rate.Y = append(rate.X, step), append(rate.Y, x.Rate*1000)
		norm.X, norm.Y = append(norm.X, step), append(norm.Y, x.GradNorm)
		if x.ValLoss != nil {
			val.X, val.Y = append(val.X, step), append(val.Y, *x.ValLoss)
		}
	}
	lines := []page.Line{loss}
	if len(val.X) > 0 {
		lines = append(lines, val)
	}
	last := r.Curve[len(r.Curve)-1]
	t := page.Table{Caption: "At the end of training", Columns: []page.Column{page.Col("Step"), page.Num("Tokens read", ""), page.Num("Training loss", "nats a token"), page.Num("Validation loss", "nats a token")},
		Rows: [][]page.Cell{{page.Words(page.Integer(int64(last.Step))), page.Figure(page.Integer(last.Tokens)), page.Figure(page.Decimal(last.Loss, 4)), page.Figure("–")}}}
	if n := len(val.Y); n > 0 {
		t.Rows[0][3] = page.Figure(page.Decimal(val.Y[n-1], 4))
	}
	return []page.Block{
		page.Curves{Title: "Loss", X: "step", Y: "nats a token", Lines: lines},
		page.Pair{page.Curves{Title: "Learning rate", X: "step", Y: "rate × 1000", Lines: []page.Line{rate}},
			page.Curves{Title: "Gradient norm before clipping", X: "step", Y: "norm", Lines: []page.Line{norm}}},
		t,
	}
}

func (r *Report) baselines() []page.Block {
	t := page.Table{Caption: "Bits per byte", Columns: []page.Column{page.Col("Predictor"), page.Num("Bits per byte", ""), page.Num("Low", "of the 95 % interval"), page.Num("High", "of the 95 % interval"), page.Col("What it is")}}
	worst := 8.0
	row := func(name string, x float64, i *eval.Interval, what string) {
		low, high := page.Figure("–"), page.Figure("–")
		if i != nil {
			low, high = page.Figure(page.Decimal(i.Low, 3)), page.Figure(page.Decimal(i.High, 3))
		}
		t.Rows = append(t.Rows, []page.Cell{page.Words(name), page.Share(page.Decimal(x, 3), x/worst), low, high, page.Words(what)})
	}
	row("this model", r.BitsPerByte, r.Interval, fmt.Sprintf("RWKV-4, %d layers of width %d, vocabulary %s", r.Model.Layers, r.Model.Embd, page.Integer(int64(r.Model.Vocab))))
	if b := r.Baselines.NGram; b != nil {
		row("n-gram", b.BitsPerByte, b.Interval, fmt.Sprintf("up to %d bytes, interpolated modified Kneser–Ney, %s n-grams of %s of training text (%s documents)", b.Order,
			page.Integer(int64(b.NGrams)), page.Bytes(r.Baselines.TrainBytes), page.Integer(r.Baselines.TrainDocuments)))
	}
	if z := r.Baselines.Zstd; z != nil {
		row("zstd after training text", z.BitsPerByte, nil, fmt.Sprintf("best level, what the text adds to the same training text compressed; window %s", page.Bytes(int64(z.Window))))
		row("zstd alone", z.AloneBitsPerByte, nil, "best level, the text by itself")
	}
	row("no model", 8, nil, "every byte as likely as any other")
	if r.Baselines.NGram == nil {
		return []page.Block{t, page.Text("No training documents are wired to this evaluation, so there is no n-gram model and no compressor to compare with.")}
	}
	return []page.Block{t}
}

func (r *Report) bySource() page.Block {
	t := page.Table{Caption: "Measures by source", Columns: []page.Column{page.Col("Source"), page.Num("Documents", ""), page.Num("Text", ""), page.Num("Bits per byte", ""),
		page.Num("Low", "of the 95 % interval"), page.Num("High", "of the 95 % interval")}}
	b := r.Baselines.NGram
	if b != nil {
		t.Columns = append(t.Columns, page.Num("n-gram", "bits per byte of the baseline"))
	}
	t.Columns = append(t.Columns, page.Num("Token perplexity", ""), page.Num("Word perplexity", ""), page.Num("Top-1", ""), page.Num("Top-5", ""), page.Num("Entropy", "bits a token"), page.Num("Bytes a token", ""))
	row := func(name string, documents, bytes int64, m eval.Measures, i *eval.Interval, ngram float64) {
		low, high := page.Figure("–"), page.Figure("–")
		if i != nil {
			low, high = page.Figure(page.Decimal(i.Low, 3)), page.Figure(page.Decimal(i.High, 3))
		}
		cells := []page.Cell{page.Words(name), page.Figure(page.Integer(documents)), page.Figure(page.Bytes(bytes)), page.Figure(page.Decimal(m.BitsPerByte, 3)), low, high}
		if b != nil {
			cells = append(cells, page.Figure(page.Decimal(ngram, 3)))
		}
		t.Rows = append(t.Rows, append(cells, page.Figure(perplexity(m.TokenPerplexity)), page.Figure(perplexity(m.WordPerplexity)), page.Figure(page.Percent(m.Top1)),
			page.Figure(page.Percent(m.Top5)), page.Figure(page.Decimal(m.Entropy, 2)), page.Figure(page.Decimal(m.BytesPerToken, 2))))
	}
	ngram := func(source string) float64 {
		switch {
		case b == nil:
			return 0
		case source == "":
			return b.BitsPerByte
		}
		return b.BySource[source]
	}
	for _, s := range r.Sources {
		row(s.Name, s.Documents, s.Bytes, s.Measures, s.Interval, ngram(s.Name))
	}
	row("all", r.Evaluated.Documents, r.Evaluated.Bytes, r.Measures, r.Interval, ngram(""))
	return t
}

func (r *Report) byPosition() []page.Block {
	t := page.Table{Caption: "Measures by tokens read before", Note: "Bits per byte here are by the bytes of the tokens. Later positions hold the longer documents only, which may be of other sources.",
		Columns: []page.Column{page.Col("Tokens read before"), page.Num("Tokens", ""), page.Num("Bits a token", ""), page.Num("Bits per byte", ""), page.Num("Top-1", "")}}
	line := page.Line{Name: "bits per byte", Style: page.Dotted}
	for i, p := range r.Positions {
		name := fmt.Sprint(p.From)
		if p.To > p.From {
			name = fmt.Sprintf("%s–%s", page.Integer(int64(p.From)), page.Integer(int64(p.To)))
		}
		t.Rows = append(t.Rows, []page.Cell{page.Words(name), page.Figure(page.Integer(p.Tokens)), page.Figure(page.Decimal(p.BitsPerToken, 3)), page.Figure(page.Decimal(p.BitsPerByte, 3)), page.Figure(page.Percent(p.Top1))})
		line.X, line.Y = append(line.X, float64(i)), append(line.Y, p.BitsPerByte)
	}
	return []page.Block{page.Curves{Title: "Bits per byte by position", X: "tokens read before, as a power of 2", Y: "bits per byte", Lines: []page.Line{line}}, page.Fold{Summary: t.Caption, Blocks: []page.Block{t}}}
}

func (r *Report) sampled() string {
	how := "the likeliest token each time"
	if r.Settings.Temperature > 0 {
		how = fmt.Sprintf("temperature %v", r.Settings.Temperature)
		if r.Settings.TopK > 0 {
			how += fmt.Sprintf(", among the %d likeliest", r.Settings.TopK)
		}
	}
	return fmt.Sprintf("What the model writes after a prompt, at most %d tokens, %s. The seed fixes them.", r.Settings.SampleTokens, how)
}

func (r *Report) samples() page.Block {
	if len(r.Samples) == 0 {
		return page.Text("No prompts are set.")
	}
	var e page.Excerpts
	for _, s := range r.Samples {
		e = append(e, page.Excerpt{Label: s.Prompt + " …", Text: s.Prompt + s.Text})
	}
	return e
}

// extremes lists the documents of the fewest and of the most bits per byte.
func (r *Report) extremes() page.Block {
	d := slices.Clone(r.Documents)
	slices.SortStableFunc(d, func(a, b Document) int { return cmp.Compare(a.BitsPerByte, b.BitsPerByte) })
	const ends = 8
	t := page.Table{Caption: "Documents by bits per byte, best first", Columns: []page.Column{page.Col("Document"), page.Col("Source"), page.Num("Bits per byte", ""), page.Num("Text", "that was evaluated"), page.Num("Tokens", ""), page.Col("Part")}}
	for i, x := range d {
		if len(d) > 2*ends && i >= ends && i < len(d)-ends {
			if i == ends {
				t.Rows = append(t.Rows, []page.Cell{page.Words(fmt.Sprintf("… %d more …", len(d)-2*ends)), {}, {}, {}, {}, {}})
			}
			continue
		}
		part := "whole"
		if !x.Whole {
			part = "beginning"
		}
		t.Rows = append(t.Rows, []page.Cell{page.Words(x.ID), page.Words(x.Source), page.Figure(page.Decimal(x.BitsPerByte, 3)), page.Figure(page.Bytes(x.Bytes)), page.Figure(page.Integer(x.Tokens)), page.Words(part)})
	}
	return t
}

func (r *Report) setup() page.Block {
	state := "carried from the beginning of a document to its end"
	if r.Settings.Context > 0 {
		state = fmt.Sprintf("emptied after every %s tokens", page.Integer(int64(r.Settings.Context)))
	}
	lossless := "lossless"
	if r.Lossy {
		lossless = "lossy"
	}
	t := page.Table{Caption: "What was measured and how", Columns: []page.Column{page.Col("What"), page.Col("Value")}}
	for _, x := range [][2]string{
		{"Network", fmt.Sprintf("RWKV-4: %d layers, width %d, feed-forward %d, vocabulary %s, head %s", r.Model.Layers, r.Model.Embd, r.Model.FFN, page.Integer(int64(r.Model.Vocab)), map[bool]string{true: "tied", false: "its own"}[r.Model.Tied])},
		{"Tokenizer", lossless},
		{"Documents", fmt.Sprintf("%s of %s, in the order of a hash of their ids; of %s only the first %s", page.Integer(r.Evaluated.Documents), page.Integer(r.Evaluated.Of), page.Integer(r.Evaluated.Cut), page.Bytes(r.Settings.MaxDocumentBytes))},
		{"Text", fmt.Sprintf("%s bytes, %s words, %s tokens (at most %s)", page.Integer(r.Evaluated.Bytes), page.Integer(r.Evaluated.Words), page.Integer(r.Evaluated.Tokens), page.Integer(r.Settings.MaxTokens))},
		{"State", state},
		{"Intervals", fmt.Sprintf("%s resamples of documents", page.Integer(int64(r.Settings.Bootstrap)))},
		{"Loss", fmt.Sprintf("%s nats a token", page.Decimal(r.BitsPerToken*math.Ln2, 4))},
	} {
		t.Rows = append(t.Rows, []page.Cell{page.Words(x[0]), page.Words(x[1])})
	}
	return t
}
