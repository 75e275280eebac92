package eval

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
	"github.com/ptbr-slm/pipeline/model/format/hf"
	"github.com/ptbr-slm/pipeline/model/rwkv"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/model/train"
)

// The fixture is excerpts of Machado de Assis and of Senate sessions, and a network of 50
// thousand parameters trained on those of train.jsonl: small, but no random one.
var makeFixture = flag.Bool("make-fixture", false, "train testdata/model and testdata/log.jsonl anew")

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func documents(t testing.TB, name string) []corpus.Document {
	t.Helper()
	var docs []corpus.Document
	d := json.NewDecoder(bytes.NewReader(read(t, name)))
	for d.More() {
		var doc corpus.Document
		if err := d.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	return docs
}

// model lists the files of the model directory.
func model(t testing.TB) (files []stagetest.Input) {
	for _, name := range []string{hf.ConfigName, hf.WeightsName, tokenizer.FileName} {
		files = append(files, stagetest.Input{Name: name, Data: read(t, "model/"+name)})
	}
	return files
}

// inputs cuts the documents into shards of n documents.
func inputs(t testing.TB, n int) map[string][]stagetest.Input {
	t.Helper()
	in := map[string][]stagetest.Input{"model": model(t), "log": {{Name: "log.jsonl", Data: read(t, "log.jsonl")}}}
	for _, port := range []string{"val", "train"} {
		docs := documents(t, port+".jsonl")
		for len(docs) > 0 {
			k := min(n, len(docs))
			in[port] = append(in[port], stagetest.Shard(t, docs[:k]...))
			docs = docs[k:]
		}
	}
	return in
}

// tokens is training data in memory.
type tokens []uint32

func (x tokens) Chunks(seqLen int) int64 { return int64((len(x) - 1) / seqLen) }
func (x tokens) Sample(seed uint64, epoch, index int64, seqLen int, dst []uint32) error {
	at := uint64(index)*2654435761 + uint64(epoch)*40503 + seed
	copy(dst, x[at%uint64(len(x)-seqLen-1):])
	return nil
}
func (x tokens) Stream(uint64, int64, int64, int64, []uint32) error { panic("not asked for") }
func (x tokens) End() uint32                                        { return 0 }
func (x tokens) Tokens(string) int64                                { return int64(len(x)) }
func (x tokens) Read(_ string, at int64, d []uint32) error          { copy(d, x[at:]); return nil }

func TestMakeFixture(t *testing.T) {
	if !*makeFixture {
		t.Skip("trains only when asked to")
	}
	docs := documents(t, "train.jsonl")
	c, err := tokenizer.NewCounter("ptbr", []string{"nfc"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range docs {
		c.Add(docs[i].Text)
	}
	tok, err := tokenizer.Train(t.Context(), c.Words(), tokenizer.Options{VocabSize: 384, MinFrequency: 2,
		Specials: []string{tokenizer.Pad, tokenizer.Unknown, tokenizer.Begin, tokenizer.End, tokenizer.Separator}, Splitter: "ptbr", Normalizer: []string{"nfc"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := tok.Special(tokenizer.End)
	data := tokens{end}
	for i := range docs {
		data = append(tok.Encode(data, docs[i].Text), end)
	}
	shape := rwkv.Config{Vocab: tok.VocabSize(), Embd: 32, Layers: 2, FFN: 64}
	p, log, err := train.Run(t.Context(), shape, train.Recipe{SeqLen: 64, Batch: 8, Accum: 2, Steps: 600, Rate: 8e-3, MinRatio: 0.1, Warmup: 20,
		Beta1: 0.9, Beta2: 0.99, Clip: 1, LogEvery: 10, EvalEvery: 50, EvalLen: 8192, Seed: 1, Precision: train.FP32, Schedule: train.Cosine, Optimizer: train.AdamW, EmbRate: 1, HeadRate: 1}, data, train.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata/model", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := tok.Save("testdata/model"); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"vocab.json", "merges.txt", "tokenizer.tiktoken", "tokenizer_config.json", "special_tokens_map.json"} {
		os.Remove("testdata/model/" + other)
	}
	var config, weights, lines bytes.Buffer
	if err := hf.WriteConfig(&config, shape, 64, end, end); err != nil {
		t.Fatal(err)
	}
	if err := hf.WriteWeights(&weights, p); err != nil {
		t.Fatal(err)
	}
	for _, r := range log {
		if err := json.NewEncoder(&lines).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range map[string]*bytes.Buffer{"model/" + hf.ConfigName: &config, "model/" + hf.WeightsName: &weights, "log.jsonl": &lines} {
		if err := os.WriteFile("testdata/"+name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
