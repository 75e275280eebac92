package traintokenizer

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/model/tokenizer/gpt2"
)

// report is report.json. The fit in it is to the text that was counted, each source
// with weight 1; pieces too long to learn from are not in it.
type report struct {
	Kind       string   `json:"kind"`
	Tokenizer  string   `json:"tokenizer"` // sha256 of tokenizer.json
	Vocab      int      `json:"vocab"`
	Splitter   string   `json:"splitter"`
	Normalizer []string `json:"normalizer"`
	Lossy      bool     `json:"lossy"`
	Distinct   int      `json:"distinct"`          // different pieces
	Dropped    int      `json:"dropped,omitempty"` // of those, how many max-words left out of learning
	fit
	Val      *unseen   `json:"val,omitempty"` // where port val is wired
	Longest  []string  `json:"longest"`       // tokens, by characters
	Unused   int       `json:"unused"`        // ids that no text needs: stages on the way to longer ones
	Examples []example `json:"examples"`

	used []bool // by id
}

// fit is how many tokens a text takes.
type fit struct {
	Total   *sourceReport            `json:"total"`
	Sources map[string]*sourceReport `json:"sources"`
}

func newFit() *fit { return &fit{&sourceReport{}, map[string]*sourceReport{}} }

func (f *fit) source(name string) *sourceReport {
	s := f.Sources[name]
	if s == nil {
		s = &sourceReport{}
		f.Sources[name] = s
	}
	return s
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
	GPT2   int      `json:"gpt2"` // tokens that GPT-2 takes
}

// sentences are the prompts that evaluation samples from, and what is hard in
// Portuguese: clitics, accents, numbers, ordinals.
var sentences = []string{
	"O Brasil é", "A Constituição Federal", "Em 2024", "O presidente", "A cidade de São Paulo",
	"Art. 5º Todos são iguais perante a lei, sem distinção de qualquer natureza.",
	"Dir-se-ia que não há coração que lhe resista; dá-lho-ei amanhã, às 10h30, por R$ 1.234,56.",
}

func (s *Trainer) newReport(tok *tokenizer.Tokenizer, distinct, learnt int) (*report, error) {
	r := &report{Kind: Kind.Name, Tokenizer: tok.Digest(), Vocab: tok.VocabSize(), Splitter: s.c.Splitter,
		Normalizer: s.c.Normalizer, Lossy: tok.Lossy(), Distinct: distinct, Dropped: distinct - learnt, fit: *newFit(), used: make([]bool, tok.VocabSize())}
	r.Longest = longest(tok, 40)
	theirs, err := gpt2.Tokenizer()
	if err != nil {
		return nil, err
	}
	for _, text := range sentences {
		e := example{Text: text, GPT2: len(theirs.Encode(nil, text))}
		for _, id := range tok.Encode(nil, text) {
			e.Pieces = append(e.Pieces, tok.Decode([]uint32{id}))
		}
		r.Examples = append(r.Examples, e)
	}
	return r, nil
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
	s := r.source(c.source)
	s.Documents += c.documents
	s.Bytes += c.bytes
	s.Words += c.words
	s.Long += c.long
	var ids []uint32
	for _, p := range c.pieces {
		ids = tok.Encode(ids[:0], p.Text)
		s.Tokens += p.Count * uint64(len(ids))
		s.countSplit(p, len(ids))
		for _, id := range ids {
			r.used[id] = true
		}
	}
}

// countSplit counts a piece that takes so many tokens, if it holds a letter.
func (s *sourceReport) countSplit(p tokenizer.Word, tokens int) {
	if strings.ContainsFunc(p.Text, unicode.IsLetter) {
		s.Lettered += p.Count
		if tokens > 1 {
			s.Split += p.Count
		}
	}
}

func (r *report) finish() {
	r.fit.finish()
	for _, used := range r.used {
		if !used {
			r.Unused++
		}
	}
}

// finish sums the sources.
func (f *fit) finish() {
	for _, s := range f.Sources {
		t := f.Total
		t.Documents += s.Documents
		t.Bytes += s.Bytes
		t.Words += s.Words
		t.Tokens += s.Tokens
		t.Lettered += s.Lettered
		t.Split += s.Split
		t.Long += s.Long
		s.ratios()
	}
	f.Total.ratios()
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
