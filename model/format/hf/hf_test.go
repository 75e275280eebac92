package hf

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/model/format/safetensors"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

func save(t *testing.T, dir string, p *rwkv.Params[float32]) {
	t.Helper()
	var c, w bytes.Buffer
	if err := WriteConfig(&c, p.Config, 128, 2, 3); err != nil {
		t.Fatal(err)
	}
	if err := WriteWeights(&w, p); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{ConfigName: c.Bytes(), WeightsName: w.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, tied := range []bool{false, true} {
		dir := t.TempDir()
		p := rwkv.Init(rwkv.Config{Vocab: 20, Embd: 8, Layers: 2, FFN: 12, Tied: tied}, 1, 1)
		save(t, dir, p)
		q, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if q.Config != p.Config || !slices.Equal(q.Flat, p.Flat) {
			t.Errorf("tied %v: not the same network", tied)
		}
		f, err := safetensors.Open(filepath.Join(dir, WeightsName))
		if err != nil {
			t.Fatal(err)
		}
		if names := f.Names(); slices.Contains(names, "head.weight") == tied || f.Metadata["format"] != "pt" {
			t.Errorf("tied %v: tensors %v, metadata %v", tied, names, f.Metadata)
		}
		f.Close()
	}
}

func TestRefuses(t *testing.T) {
	for _, q := range []struct{ name, old, new, want string }{
		{"other model", `"rwkv"`, `"gpt2"`, `model_type is "gpt2"`},
		{"attention width", `"attention_hidden_size": 8`, `"attention_hidden_size": 16`, "must equal hidden_size, 8"},
		{"epsilon", "0.00001", "0.000001", "layer_norm_epsilon is 1e-06"},
		{"no layers", `"num_hidden_layers": 2`, `"num_hidden_layers": 0`, "number of layers of the network is 0"},
		{"other vocabulary", `"vocab_size": 20`, `"vocab_size": 19`, "embeddings.weight has shape [20 8], must have [19 8]"},
		{"far too large", `"vocab_size": 20`, `"vocab_size": 2000000000`, "parameters need"},
		{"tied after all", `"tie_word_embeddings": false`, `"tie_word_embeddings": true`, "has 42 tensors, the network has 41"},
		{"no JSON", "{", "", "config.json"},
	} {
		dir := t.TempDir()
		save(t, dir, rwkv.Init(rwkv.Config{Vocab: 20, Embd: 8, Layers: 2, FFN: 12}, 1, 1))
		path := filepath.Join(dir, ConfigName)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Replace(b, []byte(q.old), []byte(q.new), 1), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), q.want) {
			t.Errorf("%s: %v, want %q", q.name, err, q.want)
		}
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no model in") {
		t.Errorf("empty directory: %v", err)
	}
}
