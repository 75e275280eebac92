package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ptbr-slm/pipeline/model/benchmark"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

func TestBenchmark(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	quick := []string{"benchmark", "--preset", "nano", "--threads", "1", "--seq-len", "16", "--vocab", "64", "--time", "1ms"}
	s.want(0, []string{"multiply-adds", "reading memory", "nano", "of peak", "int8"}, quick...)
	var r benchmark.Report
	if err := json.Unmarshal([]byte(s.want(0, nil, append(quick, "--json")...)), &r); err != nil || len(r.Steps) == 0 || len(r.Decodes) != 3 {
		t.Errorf("%+v %v", r, err)
	}
	custom := append(quick[:1:1], "--only", "training", "--n-embd", "16", "--n-layer", "1", "--n-ffn", "32", "--seq-len", "8", "--grad-accum", "2", "--time", "1ms", "--json")
	if err := json.Unmarshal([]byte(s.want(0, nil, custom...)), &r); err != nil || r.Steps[0].Preset != "custom" || r.Steps[0].Tokens != 16 || len(r.Gemms) > 0 {
		t.Errorf("%+v %v", r, err)
	}
	dir, text := t.TempDir(), filepath.Join(t.TempDir(), "text")
	tok, err := tokenizer.Train(t.Context(), nil, tokenizer.Options{VocabSize: 256, Splitter: "ptbr"}, nil)
	if err = errors.Join(err, tok.Save(dir), os.WriteFile(text, []byte("Não há."), 0o644)); err != nil {
		t.Fatal(err)
	}
	encode := []string{"benchmark", "--only", "tokenizer", "--text", text, "--tokenizer", dir, "--time", "1ms"}
	s.want(0, []string{"encoding", "MB/s", "256"}, encode...)
	r = benchmark.Report{}
	if err := json.Unmarshal([]byte(s.want(0, nil, append(encode, "--json")...)), &r); err != nil || len(r.Encodes) == 0 || r.Encodes[0].Tokens != 9 || len(r.Reads) > 0 {
		t.Errorf("%+v %v", r, err)
	}
	s.want(2, []string{"--text names", "--tokenizer a directory"}, "benchmark", "--only", "tokenizer")
	s.want(2, []string{"--text names", "--tokenizer a directory"}, append(quick, "--text", text)...)
	s.want(1, []string{"tokenizer.json"}, "benchmark", "--text", text, "--tokenizer", t.TempDir())
	s.want(2, []string{"belong together"}, "benchmark", "--n-embd", "16")
	s.want(2, []string{"belong together"}, append(custom, "--preset", "nano")...)
	s.want(2, []string{"--only speed", "products, training, generation, tokenizer"}, "benchmark", "--only", "speed")
	s.want(2, []string{`no preset "huge"`, "nano, micro"}, "benchmark", "--preset", "huge")
	s.want(2, []string{"--threads 0"}, "benchmark", "--threads", "0")
	s.want(2, []string{`fp32, bf16 or int8, not "fp64"`}, "benchmark", "--weights", "fp64")
	s.want(2, []string{`no kernels "sse" here`}, "benchmark", "--path", "sse")
}
