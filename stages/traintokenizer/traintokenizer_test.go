package traintokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/model/tokenizer/gpt2"
)

const excerpts = "../../model/tokenizer/testdata"

// excerpt returns the documents of one excerpt, a paragraph each.
func excerpt(t testing.TB, source string) (d []corpus.Document) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(excerpts, "text-"+source+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range strings.Split(string(b), "\n\n") {
		d = append(d, corpus.Document{ID: source + "-" + string(rune('a'+i%26)) + string(rune('a'+i/26)), Source: source, Text: text})
	}
	return d
}

func small() Config {
	c := Kind.Config.(Config)
	c.VocabSize = 1000
	return c
}

func inputs(t testing.TB) map[string][]stagetest.Input {
	return map[string][]stagetest.Input{"docs": {
		stagetest.Shard(t, excerpt(t, "machado")...),
		stagetest.Shard(t, excerpt(t, "constituicao")...),
		stagetest.Shard(t, append(excerpt(t, "senado"), excerpt(t, "berlim")...)...),
	}, "val": {
		stagetest.Shard(t, val()...),
	}}
}

// val is text that is not in the excerpts, with a piece too long to learn from in it.
func val() []corpus.Document {
	return []corpus.Document{
		{ID: "1", Source: "berlim", Text: "A cidade não dorme: às 23h, dir-se-ia que é dia."},
		{ID: "2", Source: "berlim", Text: "Coração.\n\n" + strings.Repeat("-", tokenizer.MaxWord+1)},
		{ID: "3", Source: "novo", Text: "Um texto de outra fonte."},
	}
}

func file(t testing.TB, r *stagetest.Result, port, name string) []byte {
	t.Helper()
	for _, o := range r.Out[port] {
		if o.Name == name {
			return o.Data
		}
	}
	t.Fatalf("%s has no %s", port, name)
	return nil
}

func TestGolden(t *testing.T) {
	r := stagetest.Run(t, Kind, small(), inputs(t))
	if len(r.Parts) != 3 {
		t.Errorf("%d parts for 3 shards", len(r.Parts))
	}
	stagetest.Golden(t, Kind, r)
}

// However the documents are cut into shards and ordered, and on whatever number of CPUs,
// the files are the same; also when max-words is so low that the words are summed in several readings.
func TestShardsDoNotMatter(t *testing.T) {
	all := slices.Concat(excerpt(t, "berlim"), excerpt(t, "senado"), excerpt(t, "machado"), excerpt(t, "constituicao"))
	var shards []stagetest.Input
	for i := 0; i < len(all); i += 7 {
		shards = append(shards, stagetest.Shard(t, all[i:min(i+7, len(all))]...))
	}
	slices.Reverse(shards)
	for _, limit := range []int{0, 150} {
		c := small()
		c.MaxWords = limit
		a := stagetest.Run(t, Kind, c, inputs(t))
		in := map[string][]stagetest.Input{"docs": shards, "val": {stagetest.Shard(t, val()[2]), stagetest.Shard(t, val()[:2]...)}}
		for _, cpus := range []int{1, 2, 8} {
			b, err := stagetest.Try(t, Kind, c, in, cpus, cpus == 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, port := range []string{"tokenizer", "report"} {
				for i, f := range a.Out[port] {
					if f.Digest != b.Out[port][i].Digest {
						t.Errorf("max-words %d, %d CPUs: %s differs when the shards are cut differently", limit, cpus, f.Name)
					}
				}
			}
		}
	}
}

// max-words keeps the words seen most often, and says how many it left out.
func TestMaxWords(t *testing.T) {
	c := small()
	c.MaxWords = 150
	run := stagetest.Run(t, Kind, c, inputs(t))
	count, err := tokenizer.NewCounter(c.Splitter, c.Normalizer)
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"machado", "constituicao", "senado", "berlim"} {
		for _, d := range excerpt(t, source) {
			count.Add(d.Text)
		}
	}
	words := count.Words()
	distinct := len(words)
	slices.SortStableFunc(words, func(a, b tokenizer.Word) int { return cmp.Compare(b.Count, a.Count) })
	want, err := tokenizer.Train(t.Context(), words[:150], tokenizer.Options{VocabSize: c.VocabSize, MinFrequency: c.MinFrequency,
		Specials: c.Specials, Splitter: c.Splitter, Normalizer: c.Normalizer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(file(t, run, "report", "report.json"), &r); err != nil {
		t.Fatal(err)
	}
	if r.Tokenizer != want.Digest() || r.Distinct != distinct || r.Dropped != distinct-150 {
		t.Errorf("the report has %.12s, %d distinct, %d dropped; must have %.12s, %d, %d", r.Tokenizer, r.Distinct, r.Dropped, want.Digest(), distinct, distinct-150)
	}
	if !strings.Contains(strings.Join(run.Log, "\n"), "learns from 150 of ") {
		t.Errorf("the log does not tell of it: %q", run.Log)
	}
}

// The figures of the report are those of encoding the documents.
func TestReportCounts(t *testing.T) {
	run := stagetest.Run(t, Kind, small(), inputs(t))
	tok, err := tokenizer.Read(bytes.NewReader(file(t, run, "tokenizer", "tokenizer.json")))
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(file(t, run, "report", "report.json"), &r); err != nil {
		t.Fatal(err)
	}
	var tokens uint64
	for _, source := range []string{"machado", "constituicao", "senado", "berlim"} {
		var s sourceReport
		for _, d := range excerpt(t, source) {
			s.Documents++
			s.Bytes += uint64(len(d.Text))
			s.Words += uint64(corpus.CountWords(d.Text))
			s.Tokens += uint64(len(tok.Encode(nil, d.Text)))
		}
		got := r.Sources[source]
		if got.Documents != s.Documents || got.Bytes != s.Bytes || got.Words != s.Words || got.Tokens != s.Tokens {
			t.Errorf("%s: the report says %+v, the documents %+v", source, got, s)
		}
		if f := float64(s.Tokens) / float64(s.Words); math.Abs(got.Fertility-f) > 1e-12 || got.Fertility < 1 {
			t.Errorf("%s: fertility %g, counted %g", source, got.Fertility, f)
		}
		tokens += s.Tokens
	}
	if r.Total.Tokens != tokens || r.Vocab != 1000 || r.Tokenizer != tok.Digest() || r.Lossy {
		t.Errorf("report of %d tokens, %d ids, lossy %v; counted %d, 1000, false", r.Total.Tokens, r.Vocab, r.Lossy, tokens)
	}
}

// The figures of port val are those of encoding its documents, with the tokenizer and
// with GPT-2, long pieces included. Without the port there are none, and the tokenizer is the same.
func TestVal(t *testing.T) {
	run := stagetest.Run(t, Kind, small(), inputs(t))
	own, err := tokenizer.Read(bytes.NewReader(file(t, run, "tokenizer", "tokenizer.json")))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := gpt2.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(file(t, run, "report", "report.json"), &r); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tok *tokenizer.Tokenizer
		fit *fit
	}{"own": {own, r.Val.Own}, "gpt2": {theirs, r.Val.GPT2}} {
		want := newFit()
		for _, d := range val() {
			s := want.source(d.Source)
			s.Documents++
			s.Bytes += uint64(len(d.Text))
			s.Words += uint64(corpus.CountWords(d.Text))
			s.Tokens += uint64(len(c.tok.Encode(nil, d.Text)))
		}
		want.finish()
		for source, got := range c.fit.Sources {
			if w := want.source(source); got.Documents != w.Documents || got.Bytes != w.Bytes || got.Words != w.Words || got.Tokens != w.Tokens || got.Fertility != w.Fertility {
				t.Errorf("%s, %s: the report says %+v, the documents %+v", name, source, got, w)
			}
		}
		if c.fit.Total.Tokens != want.Total.Tokens || c.fit.Total.Long != 1 {
			t.Errorf("%s: %d tokens, %d long pieces; must be %d and 1", name, c.fit.Total.Tokens, c.fit.Total.Long, want.Total.Tokens)
		}
	}
	// Pieces with a letter in source novo: Um, texto, de, outra, fonte. GPT-2 has a token for no more than Um and de.
	if s := r.Val.GPT2.Sources["novo"]; s.Lettered != 5 || s.Split != 3 {
		t.Errorf("GPT-2 splits %d of %d words; must be 3 of 5", s.Split, s.Lettered)
	}
	if got := run.Metrics["tokenizer.val-fertility-gpt2"]; len(got) == 0 || got[0] != r.Val.GPT2.Total.Fertility {
		t.Errorf("the metric is %g; the report says %g", got, r.Val.GPT2.Total.Fertility)
	}
	in := inputs(t)
	delete(in, "val")
	without := stagetest.Run(t, Kind, small(), in)
	if strings.Contains(string(file(t, without, "report", "report.json")), `"val"`) || without.Out["tokenizer"][2].Digest != run.Out["tokenizer"][2].Digest {
		t.Error("without the port there is another tokenizer, or figures of it all the same")
	}
}

func TestSettings(t *testing.T) {
	vocab := func(c Config) string {
		t.Helper()
		return string(file(t, stagetest.Run(t, Kind, c, inputs(t)), "tokenizer", "vocab.json"))
	}
	base := vocab(small())
	for name, set := range map[string]func(*Config){
		"vocab-size":     func(c *Config) { c.VocabSize = 900 },
		"specials":       func(c *Config) { c.Specials = append(slices.Clone(c.Specials), "<|im_start|>") },
		"normalizer":     func(c *Config) { c.Normalizer = []string{"nfc", "lowercase"} },
		"source-weights": func(c *Config) { c.SourceWeights = map[string]int64{"machado": 50} },
		"weight 0":       func(c *Config) { c.SourceWeights = map[string]int64{"berlim": 0} },
		"sample":         func(c *Config) { c.Sample = 0.5 },
		"document-bytes": func(c *Config) { c.DocumentBytes = 100 },
		"min-frequency":  func(c *Config) { c.MinFrequency = 40 },
		"max-words":      func(c *Config) { c.MaxWords = 100 },
	} {
		c := small()
		set(&c)
		if vocab(c) == base {
			t.Errorf("%s changes nothing", name)
		}
	}
	c := small()
	c.MinFrequency = 40
	if r := stagetest.Run(t, Kind, c, inputs(t)); len(r.Log) == 0 || !strings.Contains(r.Log[0], "of the 1000 asked for") {
		t.Errorf("a vocabulary that stays small is not told: %q", r.Log)
	}
}

func TestHead(t *testing.T) {
	for n, want := range map[int]string{1: "S", 2: "S", 3: "Só", 4: "Só", 7: "Só"} {
		if got := head("Só isto", n); got != want {
			t.Errorf("head of %d bytes is %q; must be %q", n, got, want)
		}
	}
}

func TestRefuses(t *testing.T) {
	for want, set := range map[string]func(*Config){
		"a vocabulary of 200 cannot hold":    func(c *Config) { c.VocabSize = 200 },
		"specials has no [EOS]":              func(c *Config) { c.Specials = []string{"[PAD]"} },
		`the special token "[EOS]" is named`: func(c *Config) { c.Specials = []string{"[EOS]", "[EOS]"} },
		`there is no splitter "gpt9"`:        func(c *Config) { c.Splitter = "gpt9" },
		`there is no normalizer "nfkc"`:      func(c *Config) { c.Normalizer = []string{"nfkc"} },
		"sample is 0":                        func(c *Config) { c.Sample = 0 },
		"max-words is -1":                    func(c *Config) { c.MaxWords = -1 },
		"document-bytes is -1":               func(c *Config) { c.DocumentBytes = -1 },
		"source-weights.x is -1":             func(c *Config) { c.SourceWeights = map[string]int64{"x": -1} },
		"no text to learn from":              func(c *Config) { c.SourceWeights = map[string]int64{"machado": 0} },
	} {
		c := small()
		set(&c)
		in := map[string][]stagetest.Input{"docs": {stagetest.Shard(t, excerpt(t, "machado")...)}}
		if _, err := stagetest.Try(t, Kind, c, in, 1, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; must say %q", err, want)
		}
	}
}

func TestCountsRoundTrip(t *testing.T) {
	in := []*sourceCounts{
		{source: "a", documents: 1, bytes: 2, words: 3, long: 4, pieces: []tokenizer.Word{{Text: "", Count: 1}, {Text: "ab", Count: 1 << 60}, {Text: "abc", Count: 2}, {Text: "b", Count: 3}}},
		{source: "", pieces: []tokenizer.Word{{Text: strings.Repeat("x", tokenizer.MaxWord), Count: 7}}},
	}
	var b bytes.Buffer
	if err := writeCounts(&b, in); err != nil {
		t.Fatal(err)
	}
	read := func(b []byte) (out []*sourceCounts, err error) {
		err = readCounts(bytes.NewReader(b), func(c *sourceCounts) error { out = append(out, c); return nil })
		return out, err
	}
	out, err := read(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for i := range in {
		x, y := *in[i], *out[i]
		if !slices.Equal(x.pieces, y.pieces) || x.source != y.source || x.documents != y.documents || x.bytes != y.bytes || x.words != y.words || x.long != y.long {
			t.Errorf("%+v came back as %+v", x, y)
		}
	}
	for n := range b.Len() {
		if _, err := read(b.Bytes()[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken for the whole", n, b.Len())
		} else if n == 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("an empty file: %v", err)
		}
	}
}
