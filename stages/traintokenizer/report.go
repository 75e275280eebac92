package traintokenizer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/stages/page"
)

// report is report.json. The figures are of the text that was counted, each source
// with weight 1; pieces too long to learn from are not in them.
type report struct {
	Kind       string                   `json:"kind"`
	Tokenizer  string                   `json:"tokenizer"` // sha256 of tokenizer.json
	Vocab      int                      `json:"vocab"`
	Splitter   string                   `json:"splitter"`
	Normalizer []string                 `json:"normalizer"`
	Lossy      bool                     `json:"lossy"`
	Distinct   int                      `json:"distinct"`          // different pieces
	Dropped    int                      `json:"dropped,omitempty"` // of those, how many max-words left out of learning
	Total      *sourceReport            `json:"total"`
	Sources    map[string]*sourceReport `json:"sources"`
	Longest    []string                 `json:"longest"` // tokens, by characters
	Unused     int                      `json:"unused"`  // ids that no text needs: stages on the way to longer ones
	Examples   []example                `json:"examples"`

	used []bool // by id
}

type sourceReport struct {
	Documents     uint64  `json:"documents"`
	Bytes         uint64  `json:"bytes"`
	Words         uint64  `json:"words"` // runs between white space that hold a letter or digit
	Tokens        uint64  `json:"tokens"`
	Lettered      uint64  `json:"lettered"`  // pieces that hold a letter
	Split         uint64  `json:"split"`     // of those, how many take several tokens
	Long          uint64  `json:"long"`      // pieces too long to learn from
	Fertility     float64 `json:"fertility"` // tokens per word
	BytesPerToken float64 `json:"bytes-per-token"`
	SplitShare    float64 `json:"split-share"` // split ÷ lettered
}

// example shows what a sentence becomes.
type example struct {
	Text   string   `json:"text"`
	Pieces []string `json:"pieces"`
}

// sentences are the prompts that evaluation samples from, and what is hard in
// Portuguese: clitics, accents, numbers, ordinals.
var sentences = []string{
	"O Brasil é", "A Constituição Federal", "Em 2024", "O presidente", "A cidade de São Paulo",
	"Art. 5º Todos são iguais perante a lei, sem distinção de qualquer natureza.",
	"Dir-se-ia que não há coração que lhe resista; dá-lho-ei amanhã, às 10h30, por R$ 1.234,56.",
}

func (s *Trainer) newReport(tok *tokenizer.Tokenizer, distinct, learnt int) *report {
	r := &report{Kind: Kind.Name, Tokenizer: tok.Digest(), Vocab: tok.VocabSize(), Splitter: s.c.Splitter,
		Normalizer: s.c.Normalizer, Lossy: tok.Lossy(), Distinct: distinct, Dropped: distinct - learnt, Total: &sourceReport{},
		Sources: map[string]*sourceReport{}, used: make([]bool, tok.VocabSize())}
	r.Longest = longest(tok, 40)
	for _, text := range sentences {
		e := example{Text: text}
		for _, id := range tok.Encode(nil, text) {
			e.Pieces = append(e.Pieces, tok.Decode([]uint32{id}))
		}
		r.Examples = append(r.Examples, e)
	}
	return r
}

// longest lists the n tokens of most characters, specials aside.
func longest(tok *tokenizer.Tokenizer, n int) []string {
	var all []string
	for id := range uint32(tok.VocabSize()) {
		s := tok.Token(id)
		if _, special := tok.Special(s); !special && utf8.ValidString(s) && strings.ContainsFunc(s, unicode.IsLetter) {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b string) int {
		return cmp.Compare(utf8.RuneCountInString(b), utf8.RuneCountInString(a))
	})
	return all[:min(n, len(all))]
}

// measure encodes every piece of a source once and weighs it by its count. Splitting a
// piece gives that piece again, so these are the tokens of the text.
func (r *report) measure(tok *tokenizer.Tokenizer, c *sourceCounts) {
	s := r.Sources[c.source]
	if s == nil {
		s = &sourceReport{}
		r.Sources[c.source] = s
	}
	s.Documents += c.documents
	s.Bytes += c.bytes
	s.Words += c.words
	s.Long += c.long
	var ids []uint32
	for _, p := range c.pieces {
		ids = tok.Encode(ids[:0], p.Text)
		s.Tokens += p.Count * uint64(len(ids))
		for _, id := range ids {
			r.used[id] = true
		}
		if strings.ContainsFunc(p.Text, unicode.IsLetter) {
			s.Lettered += p.Count
			if len(ids) > 1 {
				s.Split += p.Count
			}
		}
	}
}

func (r *report) finish() {
	for _, s := range r.Sources {
		t := r.Total
		t.Documents += s.Documents
		t.Bytes += s.Bytes
		t.Words += s.Words
		t.Tokens += s.Tokens
		t.Lettered += s.Lettered
		t.Split += s.Split
		t.Long += s.Long
		s.ratios()
	}
	r.Total.ratios()
	for _, used := range r.used {
		if !used {
			r.Unused++
		}
	}
}

func (s *sourceReport) ratios() {
	s.Fertility = ratio(s.Tokens, s.Words)
	s.BytesPerToken = ratio(s.Bytes, s.Tokens)
	s.SplitShare = ratio(s.Split, s.Lettered)
}

func ratio(a, b uint64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

func (r *report) write(t stage.Task) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	w, err := t.Create("report", "report.json")
	if err != nil {
		return err
	}
	if _, err := w.Write(append(b, '\n')); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if w, err = t.Create("report", "report.html"); err != nil {
		return err
	}
	if _, err := r.page().WriteTo(w); err != nil {
		return err
	}
	return w.Close()
}

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
			{Name: "Ids without use", Value: page.Integer(int64(r.Unused)), Note: "specials and steps towards longer tokens"},
		},
		Foot: "tokenizer.json has the sha256 " + r.Tokenizer,
	}
	if r.Lossy {
		p.Facts = append(p.Facts, page.Fact{Name: "Normal form", Value: "lossy", Verdict: page.Warn,
			Note: "bits per byte do not compare with those of other tokenizers"})
	}
	if r.Dropped > 0 {
		p.Facts = append(p.Facts, page.Fact{Name: "Pieces left out", Value: page.Integer(int64(r.Dropped)), Note: "of the different ones; the rarest, by max-words"})
	}
	fit := page.Table{Caption: "Fit by source", Columns: []page.Column{
		page.Col("Source"), page.Num("Documents", ""), page.Num("Bytes", "of text counted"), page.Num("Words", "runs between white space that hold a letter or digit"),
		page.Num("Tokens", ""), page.Num("Tokens per word", "fertility"), page.Num("Bytes per token", ""),
		page.Num("Words split", "share of pieces with a letter that take more than one token"),
		page.Num("Long pieces", fmt.Sprintf("above %d bytes: not learnt from, not counted", tokenizer.MaxWord))}}
	row := func(name string, s *sourceReport) {
		fit.Rows = append(fit.Rows, []page.Cell{page.Words(name), page.Figure(page.Integer(int64(s.Documents))), page.Figure(page.Bytes(int64(s.Bytes))),
			page.Figure(page.Integer(int64(s.Words))), page.Figure(page.Integer(int64(s.Tokens))), page.Figure(page.Decimal(s.Fertility, 3)),
			page.Figure(page.Decimal(s.BytesPerToken, 2)), page.Share(page.Percent(s.SplitShare), s.SplitShare), page.Figure(page.Integer(int64(s.Long)))})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Sources)) {
		row(name, r.Sources[name])
	}
	row("all", r.Total)
	examples := page.Table{Caption: "Sentences and their tokens", Columns: []page.Column{page.Col("Sentence"), page.Num("Tokens", ""), page.Col("Pieces")}}
	for _, e := range r.Examples {
		examples.Rows = append(examples.Rows, []page.Cell{page.Quote(e.Text), page.Figure(page.Integer(int64(len(e.Pieces)))), page.Code(shown(e.Pieces))})
	}
	long := page.Table{Caption: "The longest tokens", Columns: []page.Column{page.Col("Token"), page.Num("Characters", "")}}
	for _, s := range r.Longest {
		long.Rows = append(long.Rows, []page.Cell{page.Code(shown([]string{s})), page.Figure(page.Integer(int64(utf8.RuneCountInString(s))))})
	}
	p.Sections = []page.Section{
		{ID: "fit", Title: "Fit", Note: "Measured on the text the vocabulary was learnt from, every source with weight 1.", Blocks: []page.Block{fit}},
		{ID: "examples", Title: "Examples", Note: "Pieces stand between bars; · is a space.", Blocks: []page.Block{examples}},
		{ID: "longest", Title: "Longest tokens", Blocks: []page.Block{page.Fold{Summary: fmt.Sprintf("%d tokens", len(r.Longest)), Blocks: []page.Block{long}}}},
	}
	return p
}

// shown joins tokens so that their borders and spaces are seen.
func shown(tokens []string) string {
	return strings.NewReplacer(" ", "·", "\n", "↵", "\r", "␍", "\t", "⇥").Replace(strings.Join(tokens, "|"))
}
