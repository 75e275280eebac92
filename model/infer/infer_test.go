package infer

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/model/format/hf"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

// saved writes a model directory: a byte-level tokenizer without merges and a network
// whose weights are noise, so that its predictions differ from one another.
func saved(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	tok, err := tokenizer.Train(context.Background(), []tokenizer.Word{{Text: "a", Count: 1}}, tokenizer.Options{VocabSize: 260, MinFrequency: 2,
		Specials: []string{tokenizer.End}, Splitter: "ptbr", Normalizer: []string{"nfc"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	p := rwkv.NewParams[float32](rwkv.Config{Vocab: tok.VocabSize(), Embd: 24, Layers: 2, FFN: 48})
	r := rand.New(rand.NewPCG(1, 2))
	for i := range p.Flat {
		p.Flat[i] = 0.3 * float32(r.NormFloat64())
	}
	var c, w bytes.Buffer
	if err := hf.WriteConfig(&c, p.Config, 1024, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := hf.WriteWeights(&w, p); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{hf.ConfigName: c.Bytes(), hf.WeightsName: w.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t testing.TB) *Model {
	t.Helper()
	m, err := Load(saved(t), kernel.FP32)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Score, in chunks and with any number of threads, predicts what Step does.
func TestScore(t *testing.T) {
	m := load(t)
	r := rand.New(rand.NewPCG(3, 4))
	tokens := make([]uint32, 2*chunkTokens+37)
	for i := range tokens {
		tokens[i] = uint32(r.IntN(m.Config.Vocab))
	}
	var want [][]float32
	s := m.NewState()
	for _, id := range tokens {
		want = append(want, slices.Clone(m.Step(s, id)))
	}
	for threads := 1; threads <= 2; threads++ {
		m.SetThreads(threads)
		next := 0
		m.Score(tokens, func(pos int, logits []float32) {
			if pos != next {
				t.Fatalf("position %d after %d", pos, next-1)
			}
			next++
			for i, v := range logits {
				if math.Abs(float64(v-want[pos][i])) > 1e-3 {
					t.Fatalf("%d threads, position %d, logit %d: %g, by steps %g", threads, pos, i, v, want[pos][i])
				}
			}
			logits[0] = 1e9 // it may be overwritten
		})
		if next != len(tokens) {
			t.Errorf("%d positions of %d", next, len(tokens))
		}
	}
	m.Score(nil, func(int, []float32) { t.Error("a position of no tokens") })
}

// Weights of fewer bits predict nearly the same, in less memory; the bits do not depend on the
// number of threads, and no step allocates.
func TestWeights(t *testing.T) {
	dir := saved(t)
	r := rand.New(rand.NewPCG(5, 6))
	tokens := make([]uint32, 60)
	for i := range tokens {
		tokens[i] = uint32(r.IntN(257))
	}
	var whole [][]float32
	var bytes int64
	for _, q := range []struct {
		kind  kernel.Weights
		near  float64 // of the logits' size
		share float64 // of the memory in float32
	}{{kernel.FP32, 0, 1}, {kernel.BF16, 0.01, 0.8}, {kernel.Int8, 0.03, 0.8}} {
		m, err := Load(dir, q.kind)
		if err != nil {
			t.Fatal(err)
		}
		var logits [][]float32
		for threads := 1; threads <= 3; threads++ {
			m.SetThreads(threads)
			s := m.NewState()
			for i, id := range tokens {
				got := m.Step(s, id)
				if threads == 1 {
					logits = append(logits, slices.Clone(got))
				} else if !slices.Equal(got, logits[i]) {
					t.Fatalf("%s: token %d: other logits with %d threads", q.kind, i, threads)
				}
			}
			if n := testing.AllocsPerRun(20, func() { m.Step(s, 7) }); n != 0 {
				t.Errorf("%s: a step on %d threads allocates %g times", q.kind, threads, n)
			}
		}
		if q.kind == kernel.FP32 {
			whole, bytes = logits, m.Bytes()
			if bytes != 4*m.Config.Parameters() {
				t.Errorf("%d bytes of %d parameters", bytes, m.Config.Parameters())
			}
		} else {
			positions := 0
			m.Score(tokens, func(pos int, got []float32) {
				if positions++; !slices.Equal(got, logits[pos]) {
					t.Errorf("%s: Score of position %d is not what Step gives", q.kind, pos)
				}
			})
			if positions != len(tokens) || m.params != nil {
				t.Errorf("%s: %d positions; float32 weights kept: %v", q.kind, positions, m.params != nil)
			}
			if generate(t, m, "Olá", Options{MaxTokens: 20, Temperature: 1, Seed: 2}) == "" {
				t.Errorf("%s: no text", q.kind)
			}
		}
		if float64(m.Bytes()) > q.share*float64(bytes) {
			t.Errorf("%s: %d bytes, %d in fp32", q.kind, m.Bytes(), bytes)
		}
		var off, size float64
		for i := range logits {
			for j, v := range logits[i] {
				off += math.Pow(float64(v-whole[i][j]), 2)
				size += math.Pow(float64(whole[i][j]), 2)
			}
		}
		if e := math.Sqrt(off / size); e > q.near {
			t.Errorf("%s: logits are %.4f of their size off", q.kind, e)
		} else {
			t.Logf("%s: logits %.5f of their size off, %d bytes", q.kind, e, m.Bytes())
		}
	}
}

func generate(t testing.TB, m *Model, prompt string, o Options) string {
	t.Helper()
	var b strings.Builder
	if err := m.Generate(t.Context(), prompt, o, func(s string) error { b.WriteString(s); return nil }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGenerate(t *testing.T) {
	m := load(t)
	o := Options{MaxTokens: 60, Temperature: 1, Seed: 9}
	a := generate(t, m, "Olá", o)
	if b := generate(t, m, "Olá", o); a != b {
		t.Errorf("one seed, two texts: %q, %q", a, b)
	}
	o.Seed++
	if b := generate(t, m, "Olá", o); a == b {
		t.Error("another seed changes nothing")
	}
	if b := generate(t, m, "Ola", Options{MaxTokens: 60, Temperature: 1, Seed: 9}); a == b {
		t.Error("another prompt changes nothing")
	}
	if generate(t, m, "", Options{MaxTokens: 1}) != generate(t, m, "", Options{MaxTokens: 1, TopK: 1, Temperature: 2, Seed: 77}) {
		t.Error("temperature 0 is not what the likeliest alone gives")
	}
	if s := generate(t, m, "x", Options{}); s != "" {
		t.Errorf("no tokens asked for, %q given", s)
	}

	// The end of a document ends the text, and is not in it.
	end, _ := m.Tokenizer.Special(tokenizer.End)
	head := m.params.Head[int(end)*m.Config.Embd : int(end+1)*m.Config.Embd]
	clear(m.params.Head)
	copy(head, m.params.LNOutB) // logit Σ b² + …; all others 0
	for i := range m.params.LNOutW {
		m.params.LNOutW[i] = 0
	}
	if s := generate(t, m, "x", Options{MaxTokens: 5}); s != "" {
		t.Errorf("%q after the end", s)
	}
}

// A character whose bytes are several tokens comes in one piece, and emit can stop it.
func TestGenerateEmits(t *testing.T) {
	m := load(t)
	stop := errors.New("enough")
	var pieces []string
	err := m.Generate(t.Context(), "", Options{MaxTokens: 500, Temperature: 1, Seed: 3}, func(s string) error {
		if pieces = append(pieces, s); len(pieces) == 4 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || len(pieces) != 4 || slices.Contains(pieces, "") {
		t.Errorf("%v, pieces %q", err, pieces)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Generate(ctx, "a", Options{MaxTokens: 3}, func(string) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestSampler(t *testing.T) {
	ln := func(p ...float64) []float32 {
		x := make([]float32, len(p))
		for i, v := range p {
			x[i] = float32(math.Log(v))
		}
		return x
	}
	for _, q := range []struct {
		name   string
		o      Options
		logits []float32
		want   []float64
	}{
		{"as they are", Options{Temperature: 1}, ln(.5, .3, .15, .05), []float64{.5, .3, .15, .05}},
		{"likeliest", Options{}, ln(.3, .4, .3), []float64{0, 1, 0}},
		{"likeliest of equals", Options{}, ln(.2, .4, .4), []float64{0, 1, 0}},
		{"top-k", Options{Temperature: 1, TopK: 2}, ln(.1, .5, .3, .1), []float64{0, .625, .375, 0}},
		{"top-p", Options{Temperature: 1, TopP: .6}, ln(.1, .5, .3, .1), []float64{0, .625, .375, 0}},
		{"top-p keeps equals of the last", Options{Temperature: 1, TopP: .6}, ln(.3, .1, .3, .3), []float64{1. / 3, 0, 1. / 3, 1. / 3}},
		{"temperature after truncation", Options{Temperature: .5, TopP: .75}, ln(.1, .5, .3, .1), []float64{0, 25. / 34, 9. / 34, 0}},
		{"hot", Options{Temperature: 2}, ln(.64, .36), []float64{.8 / 1.4, .6 / 1.4}},
	} {
		s, n := newSampler(q.o), 20000
		counts := make([]int, len(q.logits))
		for range n {
			counts[s.next(slices.Clone(q.logits))]++
		}
		for i, w := range q.want {
			if got := float64(counts[i]) / float64(n); math.Abs(got-w) > 0.02 || w == 0 && got > 0 {
				t.Errorf("%s: token %d came %.3f of the time, want %.3f", q.name, i, got, w)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	m := load(t)
	for want, o := range map[string]Options{"temperature is -1": {Temperature: -1}, "temperature is NaN": {Temperature: math.NaN()}, "top-k is -2": {TopK: -2}, "top-p is 1.5": {TopP: 1.5}, "tokens to make is -1": {MaxTokens: -1}} {
		if err := m.Generate(t.Context(), "", o, func(string) error { return nil }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	dir := saved(t)
	if err := os.Remove(filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, kernel.FP32); err == nil || !strings.Contains(err.Error(), "tokenizer.json") {
		t.Errorf("no tokenizer: %v", err)
	}
	dir = saved(t)
	small, err := tokenizer.Train(context.Background(), nil, tokenizer.Options{VocabSize: 256, MinFrequency: 2, Splitter: "ptbr", Normalizer: []string{"nfc"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := small.Save(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, kernel.FP32); err == nil || !strings.Contains(err.Error(), "has 256 tokens, the network 257") {
		t.Errorf("another tokenizer: %v", err)
	}
	// train.json says which tokenizer it was.
	dir = saved(t)
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	card := func(digest string) {
		if err := os.WriteFile(filepath.Join(dir, "train.json"), []byte(`{"tokenizer": {"tokenizer.json": "`+digest+`"}}`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	card(tok.Digest())
	if _, err := Load(dir, kernel.FP32); err != nil {
		t.Error(err)
	}
	card("0123456789abcdef")
	if _, err := Load(dir, kernel.FP32); err == nil || !strings.Contains(err.Error(), "was trained with the tokenizer 0123456789ab, and its tokenizer.json is "+tok.Digest()[:12]) {
		t.Errorf("another tokenizer of the same size: %v", err)
	}
}

func BenchmarkStep(b *testing.B) {
	m := load(b)
	s := m.NewState()
	b.ReportAllocs()
	for b.Loop() {
		m.Step(s, 1)
	}
}
