package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/ptbr-slm/pipeline/model/format/hf"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

func TestInfo(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.want(0, []string{"1 485 895 680", "85 039 104", "2 × 64 tokens", "aggressive", "int8"}, "info", "--batch-size", "2", "--seq-len", "64")
	var i information
	if err := json.Unmarshal([]byte(s.want(0, nil, "info", "--tied", "--vocab", "1000", "--json")), &i); err != nil || len(i.Networks) != len(rwkv.Presets) || i.Model != nil {
		t.Fatalf("%+v %v", i, err)
	}
	for _, n := range i.Networks {
		off, balanced, aggressive := n.Training[rwkv.Off], n.Training[rwkv.Balanced], n.Training[rwkv.Aggressive]
		if n.Vocab != 1000 || n.Parameters-n.Inner != 1000*int64(n.Embd) || off.Weights != 4*n.Parameters || off.Total <= balanced.Total || balanced.Total <= aggressive.Total {
			t.Errorf("%+v", n)
		}
		if full := n.Inference[kernel.FP32]; full < 4*n.Parameters || n.Inference[kernel.BF16] > full*52/100 || n.Inference[kernel.Int8] > full*28/100 {
			t.Errorf("%s: %v", n.Preset, n.Inference)
		}
	}

	dir := filepath.Join(s.dir, "model")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, hf.ConfigName))
	if err != nil {
		t.Fatal(err)
	}
	if err := hf.WriteConfig(f, rwkv.Config{Vocab: 300, Embd: 32, Layers: 2, FFN: 64}, 1024, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s.want(0, []string{"38 464"}, "info", dir)
	s.write("model/train.json", `{"preset": "nano", "recipe": {"seq-len": 64, "phases": [
 {"from-step": 0}
], "precision": "bf16"}, "tokens": 12345, "loss": 2.5, "val-loss": 2.75}`)
	s.want(0, []string{"nano", "38 464", "seq-len", `[{"from-step":0}]`, "bf16", "12 345", "2.5000 nats", "2.7500 nats"}, "info", dir)
	i = information{}
	if err := json.Unmarshal([]byte(s.want(0, nil, "info", dir, "--json")), &i); err != nil || i.Model == nil || i.Model.Tokens != 12345 || i.Networks[0].Embd != 32 {
		t.Errorf("%+v %v", i, err)
	}
	for _, c := range []struct {
		normalizer []string
		lossy      bool
		says       string
	}{{[]string{"nfc"}, false, "loses nothing"}, {[]string{"ptbr-punctuation", "nfc"}, true, "lossy"}} {
		tok, err := tokenizer.Train(t.Context(), []tokenizer.Word{{Text: "ab", Count: 9}},
			tokenizer.Options{VocabSize: 260, MinFrequency: 2, Specials: []string{tokenizer.End}, Splitter: "ptbr", Normalizer: c.normalizer}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := tok.Save(dir); err != nil {
			t.Fatal(err)
		}
		s.want(0, []string{"normal form", c.says}, "info", dir)
		i = information{}
		if err := json.Unmarshal([]byte(s.want(0, nil, "info", dir, "--json")), &i); err != nil || i.Tokenizer == nil || i.Tokenizer.Lossy != c.lossy || i.Tokenizer.Vocab != tok.VocabSize() {
			t.Errorf("%v: %+v %v", c.normalizer, i.Tokenizer, err)
		}
	}
	s.write("model/tokenizer.json", `{"model": {"type": "Unigram"}}`)
	s.want(0, []string{"not read", "Unigram"}, "info", dir)
	s.want(2, []string{"no model in"}, "info", s.dir)
	s.want(2, []string{"the model's own"}, "info", dir, "--vocab", "5")
	s.want(2, []string{"at least 1"}, "info", "--seq-len", "0")
	s.write("model/train.json", `[]`)
	s.want(2, []string{"train.json"}, "info", dir)
}
