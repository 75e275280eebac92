package eval

import (
	"sort"

	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/eval"
	"github.com/ptbr-slm/pipeline/model/train"
)

// Report is report.json. docs/formats/reports.md describes it.
type Report struct {
	Format    int       `json:"format"` // of this document: 1
	Model     Shape     `json:"model"`
	Settings  Config    `json:"settings"`
	Lossy     bool      `json:"lossy"` // the tokenizer loses text: bits per byte compare with no other model's
	Evaluated Evaluated `json:"evaluated"`

	eval.Measures
	Interval *eval.Interval `json:"interval"` // of bits per byte, 95 %; null: fewer than two documents

	Sources   []Source       `json:"sources"`
	Positions []Position     `json:"positions"`
	Baselines Compared       `json:"baselines"`
	Samples   []Sample       `json:"samples"`
	Curve     []train.Record `json:"curve"`     // of the training; empty without its log
	Documents []Document     `json:"documents"` // in the order they were taken
}

// Shape is the network's.
type Shape struct {
	Vocab  int  `json:"vocab"`
	Embd   int  `json:"embd"`
	Layers int  `json:"layers"`
	FFN    int  `json:"ffn"`
	Tied   bool `json:"tied"`
}

// Evaluated says on what the model was measured.
type Evaluated struct {
	Documents int64 `json:"documents"`
	Of        int64 `json:"of"`  // documents that there are
	Cut       int64 `json:"cut"` // documents of which only the beginning was taken
	eval.Sums
}

// Source is the measures of one source.
type Source struct {
	Name      string `json:"name"`
	Documents int64  `json:"documents"`
	Bytes     int64  `json:"bytes"`
	eval.Measures
	Interval *eval.Interval `json:"interval"`
}

// Position is the measures of the tokens before which the model had read From to To others.
type Position struct {
	From         int     `json:"from"`
	To           int     `json:"to"`
	Tokens       int64   `json:"tokens"`
	BitsPerToken float64 `json:"bits-per-token"`
	BitsPerByte  float64 `json:"bits-per-byte"` // bytes of the tokens, as the tokenizer writes them
	Top1         float64 `json:"top-1"`
}

// Compared is the baselines.
type Compared struct {
	TrainDocuments int64  `json:"train-documents"`
	TrainBytes     int64  `json:"train-bytes"`
	NGram          *NGram `json:"ngram"` // null without training documents
	Zstd           *Zstd  `json:"zstd"`
}

// NGram is the byte n-gram model.
type NGram struct {
	Order       int                `json:"order"`
	NGrams      int                `json:"ngrams"`
	BitsPerByte float64            `json:"bits-per-byte"`
	Interval    *eval.Interval     `json:"interval"`
	BySource    map[string]float64 `json:"by-source"`
}

// Zstd is the compressor.
type Zstd struct {
	eval.Zstd
	BitsPerByte      float64 `json:"bits-per-byte"`       // after the training text
	AloneBitsPerByte float64 `json:"alone-bits-per-byte"` // without it
}

// Sample is what the model wrote after a prompt.
type Sample struct {
	Prompt string `json:"prompt"`
	Text   string `json:"text"`
}

// Document is one text that was evaluated.
type Document struct {
	ID     string `json:"id"`
	Source string `json:"source"`
	Whole  bool   `json:"whole"`
	eval.Sums
	BitsPerByte float64 `json:"bits-per-byte"`
}

// add sums the documents, over all and by source, with their intervals.
func (r *Report) add(c Config, seed uint64) {
	var all []eval.Ratio
	by := map[string][]Document{}
	for _, d := range r.Documents {
		r.Evaluated.Add(d.Sums)
		all = append(all, d.ratio())
		by[d.Source] = append(by[d.Source], d)
	}
	r.Measures = r.Evaluated.Measures()
	r.Interval = interval(all, c.Bootstrap, seed)
	var names []string
	for n := range by {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		var s eval.Sums
		var ratios []eval.Ratio
		for _, d := range by[n] {
			s.Add(d.Sums)
			ratios = append(ratios, d.ratio())
		}
		r.Sources = append(r.Sources, Source{n, int64(len(by[n])), s.Bytes, s.Measures(), interval(ratios, c.Bootstrap, seed)})
	}
}

func (d *Document) ratio() eval.Ratio {
	return eval.Ratio{Num: eval.Bits(d.Nats), Den: float64(d.Bytes)}
}

// metrics tells the ledger; the first is the evaluation's headline.
func (r *Report) metrics(t stage.Task) {
	t.Metric("bits-per-byte", 0, r.BitsPerByte)
	if r.Interval != nil {
		t.Metric("bits-per-byte.low", 0, r.Interval.Low)
		t.Metric("bits-per-byte.high", 0, r.Interval.High)
	}
	t.Metric("token-perplexity", 0, r.TokenPerplexity)
	t.Metric("word-perplexity", 0, r.WordPerplexity)
	t.Metric("byte-perplexity", 0, r.BytePerplexity)
	t.Metric("top-1", 0, r.Top1)
	t.Metric("top-5", 0, r.Top5)
	t.Metric("entropy", 0, r.Entropy)
	t.Metric("bits-per-token", 0, r.BitsPerToken)
	for _, s := range r.Sources {
		t.Metric("bits-per-byte["+s.Name+"]", 0, s.BitsPerByte)
	}
	if b := r.Baselines.NGram; b != nil {
		t.Metric("ngram.bits-per-byte", 0, b.BitsPerByte)
	}
	if b := r.Baselines.Zstd; b != nil {
		t.Metric("zstd.bits-per-byte", 0, b.BitsPerByte)
	}
}
