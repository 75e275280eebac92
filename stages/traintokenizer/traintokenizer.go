// Package traintokenizer is the stage kind train-tokenizer: documents become a
// byte-level BPE tokenizer and a report of how it fits them. A part counts the words
// of one shard; join sums the counts and learns the merges.
package traintokenizer

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is the `with:` of a train-tokenizer stage.
type Config struct {
	VocabSize     int              `json:"vocab-size" jsonschema:"minimum=257" jsonschema_description:"ids in all, specials and the 256 bytes included"`
	Specials      []string         `json:"specials" jsonschema_description:"special tokens, which take the first ids in this order; [EOS] must be among them"`
	Splitter      string           `json:"splitter" jsonschema:"enum=ptbr,enum=gpt2,enum=cl100k,enum=o200k" jsonschema_description:"how text is cut into the pieces within which merges happen"`
	Normalizer    []string         `json:"normalizer" jsonschema:"enum=nfc,enum=nfd,enum=lowercase,enum=strip-diacritics,enum=ptbr-punctuation,enum=mojibake" jsonschema_description:"steps of the normal form, in order; all but nfc are lossy; empty: none"`
	MinFrequency  uint64           `json:"min-frequency" jsonschema:"minimum=1" jsonschema_description:"a pair seen less often is not merged"`
	SourceWeights map[string]int64 `json:"source-weights" jsonschema_description:"how often a text of the source counts; 1 where nothing is said, 0 leaves it out"`
	Sample        float64          `json:"sample" jsonschema:"exclusiveMinimum=0,maximum=1" jsonschema_description:"share of the documents that are counted, chosen by hash of their id"`
	MaxWords      int              `json:"max-words" jsonschema:"minimum=0" jsonschema_description:"distinct pieces learnt from at most, those seen most often, which bounds memory; 0: all"`
	DocumentBytes int64            `json:"document-bytes" jsonschema:"minimum=0" jsonschema_description:"bytes counted of one document at most, so that none outweighs the rest; 0: all"`
}

// Kind is train-tokenizer.
var Kind = stage.Kind{
	Name:    "train-tokenizer",
	Version: 2,
	Doc:     "learns a byte-level BPE vocabulary from documents",
	In: []stage.Port{
		{Name: "docs", Doc: "the text to learn from, a part each shard", Type: stage.Documents, Many: true},
		{Name: "val", Doc: "text that is not learnt from, to measure the fit on, beside GPT-2's", Type: stage.Documents, Many: true, Optional: true, Join: true},
	},
	Mid: []stage.Port{{Name: "counts", Doc: "the words of a shard with their counts, by source"}},
	Out: []stage.Port{
		{Name: "tokenizer", Doc: "tokenizer.json and the files of other programs", Type: stage.Tokenizer},
		{Name: "report", Doc: "how the tokenizer fits each source", Type: stage.Page},
	},
	Map: "docs",
	Config: Config{
		VocabSize: 32000,
		Specials:  []string{tokenizer.Pad, tokenizer.Unknown, tokenizer.Begin, tokenizer.End, tokenizer.Separator},
		Splitter:  "ptbr", Normalizer: []string{"nfc"}, MinFrequency: 2,
		SourceWeights: map[string]int64{}, Sample: 1,
	},
	JoinConfig: []string{"vocab-size", "specials", "min-frequency", "source-weights", "max-words"},
	New:        stage.Build(New),
}

// Trainer is a configured train-tokenizer stage.
type Trainer struct {
	c       Config
	options tokenizer.Options
}

// New checks what the schema cannot say.
func New(c Config) (stage.Stage, error) {
	t := &Trainer{c, tokenizer.Options{VocabSize: c.VocabSize, MinFrequency: c.MinFrequency,
		Specials: c.Specials, Splitter: c.Splitter, Normalizer: c.Normalizer}}
	var errs []error
	if err := t.options.Check(); err != nil {
		errs = append(errs, err)
	}
	if !slices.Contains(c.Specials, tokenizer.End) {
		errs = append(errs, fmt.Errorf("specials has no %s, which tokenize puts after every document", tokenizer.End))
	}
	if !(c.Sample > 0 && c.Sample <= 1) {
		errs = append(errs, fmt.Errorf("sample is %g; must be above 0 and at most 1", c.Sample))
	}
	if c.MaxWords < 0 {
		errs = append(errs, fmt.Errorf("max-words is %d; must be 0 or more", c.MaxWords))
	}
	if c.DocumentBytes < 0 {
		errs = append(errs, fmt.Errorf("document-bytes is %d; must be 0 or more", c.DocumentBytes))
	}
	for _, source := range slices.Sorted(maps.Keys(c.SourceWeights)) {
		if w := c.SourceWeights[source]; w < 0 || w > 1<<20 {
			errs = append(errs, fmt.Errorf("source-weights.%s is %d; must be from 0 to 1,048,576", source, w))
		}
	}
	return t, errors.Join(errs...)
}

// Run counts the words of one shard.
func (s *Trainer) Run(ctx context.Context, t stage.Task) error {
	counts := map[string]*sourceCounts{}
	counters := map[string]*tokenizer.Counter{}
	err := docs.Each(ctx, t, t.Inputs("docs"), func(d *corpus.Document) error {
		if !sampled(t.Seed(), s.c.Sample, d) {
			t.Count(d.Source, "not-sampled", 1)
			return nil
		}
		if counts[d.Source] == nil {
			c, err := tokenizer.NewCounter(s.c.Splitter, s.c.Normalizer)
			if err != nil {
				return err
			}
			counts[d.Source], counters[d.Source] = &sourceCounts{source: d.Source}, c
		}
		text := d.Text
		if n := s.c.DocumentBytes; n > 0 && int64(len(text)) > n {
			text = head(text, int(n))
			t.Count(d.Source, "document-cut", 1)
		}
		c := counts[d.Source]
		c.documents++
		c.bytes += uint64(len(text))
		c.words += uint64(corpus.CountWords(text))
		counters[d.Source].Add(text)
		return nil
	})
	if err != nil {
		return err
	}
	w, err := t.Create("counts", "counts.zst")
	if err != nil {
		return err
	}
	var all []*sourceCounts
	for _, source := range slices.Sorted(maps.Keys(counts)) {
		c := counts[source]
		c.long, c.pieces = counters[source].Long, counters[source].Words()
		t.Count(source, "long-piece", int64(c.long))
		all = append(all, c)
	}
	if err := writeCounts(w, all); err != nil {
		return err
	}
	return w.Close()
}

// sampled says whether a document is counted, by its own hash alone.
func sampled(seed uint64, share float64, d *corpus.Document) bool {
	if share >= 1 {
		return true
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%s\x00%s", seed, d.Source, d.ID)
	x := h.Sum64() // FNV leaves the upper bits of short inputs alike
	x = (x ^ x>>32) * 0x9e3779b97f4a7c15
	return float64(x>>11) < share*(1<<53)
}

// head returns at most n bytes of text, cut before white space where it has any.
func head(text string, n int) string {
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	if i := strings.LastIndexAny(text[:n], " \n\t"); i > 0 {
		n = i
	}
	return text[:n]
}

// Join sums the counts, learns the merges, and measures the result on the same counts.
func (s *Trainer) Join(ctx context.Context, t stage.Task) error {
	words, distinct, err := s.sumCounts(ctx, t)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return errors.New("there is no text to learn from: all documents are empty, left out by sample, or of weight 0")
	}
	if distinct > len(words) {
		t.Logf("learns from %d of %d distinct pieces: the others are rarer, and max-words is %d", len(words), distinct, s.c.MaxWords)
	}
	tok, err := tokenizer.Train(ctx, words, s.options, func(done, total int) { t.Progress(int64(done), int64(total), "ids") })
	if err != nil {
		return err
	}
	if n := tok.VocabSize(); n < s.c.VocabSize {
		t.Logf("the vocabulary has %d ids of the %d asked for: no other pair is seen %d times", n, s.c.VocabSize, s.c.MinFrequency)
	}
	if err := tok.Write(func(name string) (io.WriteCloser, error) { return t.Create("tokenizer", name) }); err != nil {
		return err
	}
	r, err := s.newReport(tok, distinct, len(words))
	if err != nil {
		return err
	}
	if err := eachCounts(ctx, t, func(c *sourceCounts) error { r.measure(tok, c); return nil }); err != nil {
		return err
	}
	r.finish()
	if r.Val, err = s.measureUnseen(ctx, t, tok); err != nil {
		return err
	}
	t.Metric("tokenizer.fertility", 0, r.Total.Fertility)
	t.Metric("tokenizer.bytes-per-token", 0, r.Total.BytesPerToken)
	if r.Val != nil {
		t.Metric("tokenizer.val-fertility", 0, r.Val.Own.Total.Fertility)
		t.Metric("tokenizer.val-fertility-gpt2", 0, r.Val.GPT2.Total.Fertility)
	}
	return r.write(t)
}
