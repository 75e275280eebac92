package traintokenizer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/stages/page"
)

func (r *report) page() *page.Page {
	form := strings.Join(r.Normalizer, ", then ")
	if form == "" {
		form = "none"
	}
	p := &page.Page{
		Title: "Tokenizer",
		Lead: fmt.Sprintf("Byte-level BPE of %s ids, learnt from %s documents and %s different pieces. Splitter %s, normal form %s.",
			page.Integer(int64(r.Vocab)), page.Integer(int64(r.Total.Documents)), page.Integer(int64(r.Distinct)), r.Splitter, form),
		Facts: []page.Fact{
			{Name: "Tokens per word", Value: page.Decimal(r.Total.Fertility, 3), Note: "fertility, on the text learnt from"},
			{Name: "Bytes per token", Value: page.Decimal(r.Total.BytesPerToken, 2)},
			{Name: "Words split", Value: page.Percent(r.Total.SplitShare), Note: "take more than one token"},
		},
		Foot: fmt.Sprintf("tokenizer.json has a sha256 that begins with %.16s; report.json has all of it.", r.Tokenizer),
	}
	if r.Val != nil {
		own, theirs := r.Val.Own.Total, r.Val.GPT2.Total
		p.Facts = []page.Fact{
			{Name: "Tokens per word", Value: page.Decimal(own.Fertility, 3), Note: "fertility, on text not learnt from; GPT-2: " + page.Decimal(theirs.Fertility, 3)},
			{Name: "Bytes per token", Value: page.Decimal(own.BytesPerToken, 2), Note: "GPT-2: " + page.Decimal(theirs.BytesPerToken, 2)},
			{Name: "Words split", Value: page.Percent(own.SplitShare), Note: "take more than one token; GPT-2: " + page.Percent(theirs.SplitShare)},
		}
	}
	p.Facts = append(p.Facts, page.Fact{Name: "Ids without use", Value: page.Integer(int64(r.Unused)), Note: "specials and steps towards longer tokens"})
	if r.Lossy {
		p.Facts = append(p.Facts, page.Fact{Name: "Normal form", Value: "lossy", Verdict: page.Warn,
			Note: "bits per byte do not compare with those of other tokenizers"})
	}
	if r.Dropped > 0 {
		p.Facts = append(p.Facts, page.Fact{Name: "Pieces left out", Value: page.Integer(int64(r.Dropped)), Note: "of the different ones; the rarest, by max-words"})
	}
	p.Sections = []page.Section{
		{ID: "fit", Title: "Text learnt from", Note: "Every source with weight 1.", Blocks: []page.Block{r.fit.table()}},
		{ID: "examples", Title: "Examples", Note: "Pieces stand between bars; · is a space.", Blocks: []page.Block{r.examples()}},
		{ID: "longest", Title: "Longest tokens", Blocks: []page.Block{page.Fold{Summary: fmt.Sprintf("%d tokens", len(r.Longest)), Blocks: []page.Block{r.longest()}}}},
	}
	if r.Val != nil {
		p.Sections = slices.Insert(p.Sections, 0, page.Section{ID: "val", Title: "Text not learnt from",
			Note:   "All documents of the port val, and GPT-2's tokenizer on the same text, which it cuts by rules of its own; it learnt from English.",
			Blocks: []page.Block{r.Val.table()}})
	}
	return p
}

const (
	wordsDoc = "runs between white space that hold a letter or digit"
	splitDoc = "share of pieces with a letter that take more than one token"
)

// eachRow calls row for each source, by name, and for all.
func (f *fit) eachRow(row func(name string, s *sourceReport)) {
	for _, name := range slices.Sorted(maps.Keys(f.Sources)) {
		row(name, f.Sources[name])
	}
	row("all", f.Total)
}

func (f *fit) table() page.Table {
	t := page.Table{Caption: "Fit by source", Columns: []page.Column{
		page.Col("Source"), page.Num("Documents", ""), page.Num("Text", "bytes that were counted"), page.Num("Words", wordsDoc),
		page.Num("Tokens", ""), page.Num("Tokens per word", "fertility"), page.Num("Bytes per token", ""), page.Num("Words split", splitDoc),
		page.Num("Long pieces", fmt.Sprintf("above %d bytes: not learnt from, not counted", tokenizer.MaxWord))}}
	f.eachRow(func(name string, s *sourceReport) {
		t.Rows = append(t.Rows, []page.Cell{page.Words(name), page.Figure(page.Integer(int64(s.Documents))), page.Figure(page.Bytes(int64(s.Bytes))),
			page.Figure(page.Integer(int64(s.Words))), page.Figure(page.Integer(int64(s.Tokens))), page.Figure(page.Decimal(s.Fertility, 3)),
			page.Figure(page.Decimal(s.BytesPerToken, 2)), page.Share(page.Percent(s.SplitShare), s.SplitShare), page.Figure(page.Integer(int64(s.Long)))})
	})
	return t
}

func (u *unseen) table() page.Table {
	t := page.Table{Caption: "Fit by source, beside GPT-2", Columns: []page.Column{
		page.Col("Source"), page.Num("Documents", ""), page.Num("Text", "bytes"), page.Num("Words", wordsDoc),
		page.Num("Tokens per word", "fertility"), page.Num("GPT-2", "its tokens per word"),
		page.Num("Bytes per token", ""), page.Num("GPT-2", "its bytes per token"),
		page.Num("Words split", splitDoc), page.Num("GPT-2", "the same of its pieces")}}
	u.Own.eachRow(func(name string, s *sourceReport) {
		g := u.GPT2.Total
		if s != u.Own.Total {
			g = u.GPT2.source(name)
		}
		t.Rows = append(t.Rows, []page.Cell{page.Words(name), page.Figure(page.Integer(int64(s.Documents))), page.Figure(page.Bytes(int64(s.Bytes))),
			page.Figure(page.Integer(int64(s.Words))), page.Figure(page.Decimal(s.Fertility, 3)), page.Figure(page.Decimal(g.Fertility, 3)),
			page.Figure(page.Decimal(s.BytesPerToken, 2)), page.Figure(page.Decimal(g.BytesPerToken, 2)),
			page.Share(page.Percent(s.SplitShare), s.SplitShare), page.Share(page.Percent(g.SplitShare), g.SplitShare)})
	})
	return t
}

func (r *report) examples() page.Table {
	t := page.Table{Caption: "Sentences and their tokens", Columns: []page.Column{page.Col("Sentence"), page.Num("Tokens", ""), page.Num("GPT-2", "tokens that it takes"), page.Col("Pieces")}}
	for _, e := range r.Examples {
		t.Rows = append(t.Rows, []page.Cell{page.Quote(e.Text), page.Figure(page.Integer(int64(len(e.Pieces)))), page.Figure(page.Integer(int64(e.GPT2))),
			page.Cell{Text: shown(e.Pieces), Mono: true, Wide: true}})
	}
	return t
}

func (r *report) longest() page.Table {
	t := page.Table{Caption: "The longest tokens", Columns: []page.Column{page.Col("Token"), page.Num("Characters", "")}}
	for _, s := range r.Longest {
		t.Rows = append(t.Rows, []page.Cell{page.Code(shown([]string{s})), page.Figure(page.Integer(int64(utf8.RuneCountInString(s))))})
	}
	return t
}

// shown joins tokens so that their borders and spaces are seen.
func shown(tokens []string) string {
	return strings.NewReplacer(" ", "·", "\n", "↵", "\r", "␍", "\t", "⇥").Replace(strings.Join(tokens, "|"))
}
