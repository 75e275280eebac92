package train

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
	"github.com/ptbr-slm/pipeline/model/infer"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/train"
)

func config() Config {
	c := Kind.Config.(Config)
	c.Preset, c.Embd, c.Layers, c.FFN = "nano", 32, 2, 64
	c.SeqLen, c.Batch, c.Accum, c.Steps, c.Warmup = 32, 2, 3, 20, 4
	c.Rate, c.LogEvery, c.EvalEvery, c.EvalLen, c.SaveEvery = 5e-3, 4, 10, 600, 6
	return c
}

func file(r *stagetest.Result, port, name string) []byte {
	for _, o := range r.Out[port] {
		if o.Name == name {
			return o.Data
		}
	}
	return nil
}

func TestGolden(t *testing.T) {
	in := inputs(t)
	r := stagetest.Run(t, Kind, config(), in)
	stagetest.Golden(t, Kind, r)

	// The directory is one that a model is loaded from.
	dir := t.TempDir()
	for _, o := range r.Out["model"] {
		if err := os.WriteFile(filepath.Join(dir, o.Name), o.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := infer.Load(dir, kernel.FP32)
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	if err := m.Generate(t.Context(), "A casa", infer.Options{MaxTokens: 5, Temperature: 1, Seed: 1}, func(s string) error { said += s; return nil }); err != nil || said == "" {
		t.Errorf("generated %q, %v", said, err)
	}
	var c card
	if err := json.Unmarshal(file(r, "model", cardName), &c); err != nil {
		t.Fatal(err)
	}
	if c.Tokens != 20*192 || c.Vocab != 400 || c.Embd != 32 || c.FFN != 64 || c.ValLoss == nil || c.Recipe.Seed != 42 || len(c.Data["train.bin"]) != 64 || len(c.Tokenizer["tokenizer.json"]) != 64 {
		t.Errorf("train.json: %+v", c)
	}
	var steps []int
	for line := range bytes.Lines(file(r, "log", "log.jsonl")) {
		var rec train.Record
		if err := json.Unmarshal(line, &rec); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, rec.Step)
	}
	if !slices.Equal(steps, []int{4, 8, 10, 12, 16, 20}) {
		t.Errorf("records of steps %v", steps)
	}
	if len(r.Metrics["val-loss"]) != 2 || len(r.Metrics["val-bits-per-byte"]) != 2 || len(r.Metrics["loss"]) != 6 || len(r.Metrics["tokens-per-second"]) != 6 {
		t.Errorf("metrics: %v", r.Metrics)
	}
}

// Interrupted, and gone on with in another attempt, with other checkpoints: the same files.
func TestInterrupted(t *testing.T) {
	in := inputs(t)
	whole, err := stagetest.Try(t, Kind, config(), in, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	c := config()
	c.SaveEvery, c.Keep = 5, 1
	r := stagetest.Interrupted(t, Kind, c, in, 13*192)
	if log := strings.Join(r.Log, "\n"); !strings.Contains(log, "going on from checkpoint step-00000013") {
		t.Errorf("it began anew:\n%s", log)
	}
	for _, port := range []string{"log", "model"} {
		for i, o := range r.Out[port] {
			if want := whole.Out[port][i]; o.Name != want.Name || o.Digest != want.Digest {
				t.Errorf("%s is %.12s, want %s %.12s", o.Name, o.Digest, want.Name, want.Digest)
			}
		}
		if len(r.Out[port]) != len(whole.Out[port]) {
			t.Errorf("%d files in %s, want %d", len(r.Out[port]), port, len(whole.Out[port]))
		}
	}
}

func TestRefuses(t *testing.T) {
	in := inputs(t)
	for _, q := range []struct {
		want   string
		change func(c *Config, in map[string][]stagetest.Input)
	}{
		{"made with the tokenizer", func(_ *Config, in map[string][]stagetest.Input) {
			for i, f := range in["tokenizer"] {
				if f.Name == "tokenizer.json" {
					in["tokenizer"][i].Data = append(slices.Clone(f.Data), '\n')
				}
			}
		}},
		{"manifest.json", func(_ *Config, in map[string][]stagetest.Input) { in["tokens"] = in["tokens"][1:] }},
		{"tokenizer.json", func(_ *Config, in map[string][]stagetest.Input) { in["tokenizer"] = nil }},
		{`no preset "tiny"`, func(c *Config, _ map[string][]stagetest.Input) { c.Preset = "tiny" }},
		{"warmup-steps is 20", func(c *Config, _ map[string][]stagetest.Input) { c.Warmup = 20 }},
		{"keep-checkpoints 0", func(c *Config, _ map[string][]stagetest.Input) { c.Keep = 0 }},
		{"number of layers of the network is -1", func(c *Config, _ map[string][]stagetest.Input) { c.Layers = -1 }},
		{"eval-tokens is -1", func(c *Config, _ map[string][]stagetest.Input) { c.EvalLen = -1 }},
	} {
		c, cp := config(), map[string][]stagetest.Input{}
		for port, files := range in {
			cp[port] = slices.Clone(files)
		}
		q.change(&c, cp)
		if _, err := stagetest.Try(t, Kind, c, cp, 1, false); err == nil || !strings.Contains(err.Error(), q.want) {
			t.Errorf("%v, want %q", err, q.want)
		}
	}
}

func TestShape(t *testing.T) {
	c := Kind.Config.(Config)
	for _, q := range []struct{ embd, layers, ffn, wantD, wantL, wantF int }{{0, 0, 0, 256, 6, 1024}, {64, 0, 0, 64, 6, 256}, {64, 3, 100, 64, 3, 100}, {0, 0, 7, 256, 6, 7}} {
		c.Embd, c.Layers, c.FFN = q.embd, q.layers, q.ffn
		got, err := (&Trainer{c}).shape(9)
		if err != nil || got.Embd != q.wantD || got.Layers != q.wantL || got.FFN != q.wantF || got.Vocab != 9 {
			t.Errorf("%+v: %+v, %v", q, got, err)
		}
	}
}
