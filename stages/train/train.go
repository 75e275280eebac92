// Package train is the stage kind train: token files and their tokenizer become a
// trained RWKV-4, in a directory that `generate` and other programs open.
package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/dataset"
	"github.com/ptbr-slm/pipeline/model/format/hf"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/model/train"
)

// Config is the `with:` of a train stage.
type Config struct {
	Preset string `json:"preset" jsonschema:"enum=nano,enum=micro,enum=mini,enum=85m,enum=400m,enum=800m,enum=1b,enum=1.5b" jsonschema_description:"shape of the network"`
	Embd   int    `json:"n-embd" jsonschema:"minimum=0" jsonschema_description:"width; 0: the preset's"`
	Layers int    `json:"n-layer" jsonschema:"minimum=0" jsonschema_description:"blocks; 0: the preset's"`
	FFN    int    `json:"d-ffn" jsonschema:"minimum=0" jsonschema_description:"width of the feed-forward; 0: the preset's, or four times n-embd where that is given"`
	Tied   bool   `json:"tied" jsonschema_description:"use the embedding as the head too"`

	SeqLen int `json:"seq-len" jsonschema:"minimum=1" jsonschema_description:"tokens of a training sequence"`
	Batch  int `json:"batch-size" jsonschema:"minimum=1" jsonschema_description:"sequences of a micro-batch"`
	Accum  int `json:"grad-accum" jsonschema:"minimum=1" jsonschema_description:"micro-batches of a step; as many can be worked on at once"`
	Steps  int `json:"max-steps" jsonschema:"minimum=1" jsonschema_description:"steps to train"`

	Streams int           `json:"streams" jsonschema:"minimum=0" jsonschema_description:"read the text as so many streams, in turn: each sequence goes on from the state that the one before it left, and documents begin with an empty one; 0: sequences from anywhere, each from an empty state"`
	Phases  []train.Phase `json:"phases" jsonschema_description:"from a step on, train fewer blocks or with fewer micro-batches: a network that grows learns faster"`

	Rate      float64 `json:"learning-rate" jsonschema:"minimum=0" jsonschema_description:"highest learning rate"`
	MinRatio  float64 `json:"min-lr-ratio" jsonschema:"minimum=0,maximum=1" jsonschema_description:"last learning rate as a share of the highest"`
	Schedule  string  `json:"schedule" jsonschema:"enum=cosine,enum=wsd" jsonschema_description:"of the rate after the warm-up: cosine falls half a cosine; wsd stays, and falls in a line at the end"`
	Cooldown  float64 `json:"cooldown" jsonschema:"minimum=0,maximum=1" jsonschema_description:"of wsd: share of the steps in which the rate falls"`
	EmbRate   float64 `json:"embedding-lr" jsonschema:"minimum=0" jsonschema_description:"rate of the embedding, as a factor of learning-rate"`
	HeadRate  float64 `json:"head-lr" jsonschema:"minimum=0" jsonschema_description:"rate of the head, as a factor of learning-rate"`
	Warmup    int     `json:"warmup-steps" jsonschema:"minimum=0" jsonschema_description:"steps in which the rate rises in a line from 0"`
	Decay     float64 `json:"weight-decay" jsonschema:"minimum=0" jsonschema_description:"for matrices only"`
	Optimizer string  `json:"optimizer" jsonschema:"enum=adamw,enum=muon" jsonschema_description:"of the matrices of blocks; vectors, embedding and head always have AdamW"`
	MuonRate  float64 `json:"muon-lr" jsonschema:"minimum=0" jsonschema_description:"highest rate of Muon, by the same schedule"`
	Momentum  float64 `json:"momentum" jsonschema:"minimum=0,maximum=1" jsonschema_description:"of Muon"`
	Beta1     float64 `json:"beta1" jsonschema:"minimum=0,maximum=1" jsonschema_description:"of AdamW"`
	Beta2     float64 `json:"beta2" jsonschema:"minimum=0,maximum=1" jsonschema_description:"of AdamW"`
	Clip      float64 `json:"clip" jsonschema:"minimum=0" jsonschema_description:"highest norm of the gradient; 0: any"`

	Precision string `json:"precision" jsonschema:"enum=fp32,enum=bf16" jsonschema_description:"of the factors of products: fp32 gives the same bits on every machine; bf16 is faster on processors with AVX512_BF16, and its bits are theirs; all others share other bits"`

	LogEvery  int   `json:"log-every" jsonschema:"minimum=1" jsonschema_description:"steps between lines of the log"`
	EvalEvery int   `json:"eval-every" jsonschema:"minimum=0" jsonschema_description:"steps between validations; 0: at the end only"`
	EvalLen   int64 `json:"eval-tokens" jsonschema:"minimum=0" jsonschema_description:"tokens of the validation split to validate on, from its beginning"`
	SaveEvery int   `json:"save-every" jsonschema:"minimum=0" jsonschema_description:"steps between checkpoints; 0: only when interrupted. Does not change the result"`
	Keep      int   `json:"keep-checkpoints" jsonschema:"minimum=1" jsonschema_description:"checkpoints kept while training"`

	Checkpointing string `json:"checkpointing" jsonschema:"enum=off,enum=balanced,enum=aggressive" jsonschema_description:"which blocks forget what they computed and do so once more for the backward, to take less memory: none, every second, all. Does not change the result"`
}

// Kind is train.
var Kind = stage.Kind{
	Name:    "train",
	Version: 4,
	Doc:     "trains an RWKV-4 on token files",
	In: []stage.Port{
		{Name: "tokens", Doc: "what tokenize wrote", Type: stage.Tokens, Names: true},
		{Name: "tokenizer", Doc: "the tokenizer that made the tokens; goes along with the model", Type: stage.Tokenizer, Names: true},
	},
	Out: []stage.Port{
		{Name: "model", Doc: "weights, config.json, tokenizer, train.json: a directory that generate opens", Type: stage.Model},
		{Name: "log", Doc: "log.jsonl: loss, learning rate, norm of the gradient, validation loss, by step", Type: stage.Reports},
	},
	Threads: true,
	Unkeyed: []string{"save-every", "keep-checkpoints", "checkpointing"},
	Config: Config{Preset: "micro", SeqLen: 256, Batch: 4, Accum: 4, Steps: 2000,
		Rate: 2e-3, MinRatio: 0.1, Warmup: 50, Decay: 0.1, Beta1: 0.9, Beta2: 0.99, Clip: 1, Precision: train.FP32, Optimizer: train.AdamW, MuonRate: 0.02, Momentum: 0.95,
		Schedule: train.Cosine, Cooldown: 0.3, EmbRate: 1, HeadRate: 1,
		LogEvery: 10, EvalEvery: 200, EvalLen: 32768, SaveEvery: 50, Keep: 2, Checkpointing: string(rwkv.Off)},
	Machine: machine,
	New:     stage.Build(New),
}

// machine is part of the key of a training in bf16.
func machine(config []byte) (string, error) {
	var c Config
	if err := json.Unmarshal(config, &c); err != nil {
		return "", err
	}
	if c.Precision != train.BF16 {
		return "", nil
	}
	return kernel.ClassBF16(), nil
}

// Trainer is a configured train stage.
type Trainer struct{ c Config }

// New makes the stage.
func New(c Config) (stage.Stage, error) {
	s := &Trainer{c}
	shape, err := s.shape(1)
	var errs []error
	if err == nil {
		err = shape.Check()
	}
	errs = append(errs, err, s.recipe(0).Check(), rwkv.Checkpointing(c.Checkpointing).Check())
	if c.SaveEvery < 0 || c.Keep < 1 {
		errs = append(errs, fmt.Errorf("save-every is %d and keep-checkpoints %d; they must be at least 0 and 1", c.SaveEvery, c.Keep))
	}
	if c.EvalLen < 0 {
		errs = append(errs, fmt.Errorf("eval-tokens is %d; it cannot be below 0", c.EvalLen))
	}
	return s, errors.Join(errs...)
}

// shape is the network for a vocabulary.
func (s *Trainer) shape(vocab int) (rwkv.Config, error) {
	p, err := rwkv.Named(s.c.Preset)
	if err != nil {
		return rwkv.Config{}, err
	}
	c := rwkv.Config{Vocab: vocab, Embd: p.Embd, Layers: p.Layers, FFN: p.FFN, Tied: s.c.Tied}
	if s.c.Embd != 0 {
		c.Embd, c.FFN = s.c.Embd, 4*s.c.Embd
	}
	if s.c.Layers != 0 {
		c.Layers = s.c.Layers
	}
	if s.c.FFN != 0 {
		c.FFN = s.c.FFN
	}
	return c, nil
}

func (s *Trainer) recipe(seed uint64) train.Recipe {
	c := s.c
	return train.Recipe{SeqLen: c.SeqLen, Batch: c.Batch, Accum: c.Accum, Steps: c.Steps,
		Rate: c.Rate, MinRatio: c.MinRatio, Warmup: c.Warmup, Decay: c.Decay, Beta1: c.Beta1, Beta2: c.Beta2, Clip: c.Clip,
		LogEvery: c.LogEvery, EvalEvery: c.EvalEvery, EvalLen: c.EvalLen, Seed: seed, Precision: c.Precision,
		Optimizer: c.Optimizer, MuonRate: c.MuonRate, Momentum: c.Momentum,
		Streams: c.Streams, Phases: c.Phases, Schedule: c.Schedule, Cooldown: c.Cooldown, EmbRate: c.EmbRate, HeadRate: c.HeadRate}
}

// Run trains.
func (s *Trainer) Run(ctx context.Context, t stage.Task) error {
	tokDir, err := t.InputDir("tokenizer")
	if err != nil {
		return err
	}
	tok, err := tokenizer.Load(tokDir)
	if err != nil {
		return fmt.Errorf("input tokenizer: %w", err)
	}
	end, ok := tok.Special(tokenizer.End)
	if !ok {
		return fmt.Errorf("input tokenizer has no %s, with which documents end", tokenizer.End)
	}
	dataDir, err := t.InputDir("tokens")
	if err != nil {
		return err
	}
	data, err := dataset.Open(dataDir)
	if err != nil {
		return fmt.Errorf("input tokens: %w", err)
	}
	defer data.Close()
	if err := data.Match(tok.Digest()); err != nil {
		return err
	}
	shape, err := s.shape(tok.VocabSize())
	if err != nil {
		return err
	}
	card := newCard(t, s.c.Preset, shape, s.recipe(t.Seed()))
	identity, err := json.Marshal(card)
	if err != nil {
		return err
	}
	partial, err := t.Partial()
	if err != nil {
		return err
	}
	t.Logf("%d parameters, %d tokens to see of %d, %.1f epochs", shape.Parameters(), card.total(), data.Tokens(dataset.Train),
		float64(card.total())/float64(data.Tokens(dataset.Train)))
	meter := newMeter(t, card.Recipe, data.Manifest.Splits[dataset.Val])
	params, log, err := train.Run(ctx, shape, card.Recipe, data, train.Options{
		Threads: t.CPUs(), Dir: partial, SaveEvery: s.c.SaveEvery, Keep: s.c.Keep, Checkpointing: rwkv.Checkpointing(s.c.Checkpointing), Identity: string(identity),
		OnStep: meter.step, OnRecord: meter.record, Logf: t.Logf,
	})
	if err != nil {
		return err
	}
	last := log[len(log)-1]
	card.Tokens, card.Loss, card.ValLoss = last.Tokens, last.Loss, last.ValLoss
	return write(t, tokDir, params, log, card, end)
}

// card is train.json: how the model came to be.
type card struct {
	Format     string            `json:"format"`
	Preset     string            `json:"preset"`
	Parameters int64             `json:"parameters"`
	Vocab      int               `json:"vocab"`
	Embd       int               `json:"n-embd"`
	Layers     int               `json:"n-layer"`
	FFN        int               `json:"d-ffn"`
	Tied       bool              `json:"tied"`
	Recipe     train.Recipe      `json:"recipe"`
	Data       map[string]string `json:"data"`      // sha256 by file
	Tokenizer  map[string]string `json:"tokenizer"` // sha256 by file
	Tokens     int64             `json:"tokens"`    // trained on
	Loss       float64           `json:"loss"`      // of the last line of the log
	ValLoss    *float64          `json:"val-loss,omitempty"`
}

const cardName = "train.json"

func newCard(t stage.Task, preset string, c rwkv.Config, r train.Recipe) card {
	digests := func(port string) map[string]string {
		m := map[string]string{}
		for _, f := range t.Inputs(port) {
			m[f.Name] = f.Digest
		}
		return m
	}
	return card{Format: "ptbr-model-1", Preset: preset, Parameters: c.Parameters(), Vocab: c.Vocab, Embd: c.Embd, Layers: c.Layers, FFN: c.FFN,
		Tied: c.Tied, Recipe: r, Data: digests("tokens"), Tokenizer: digests("tokenizer")}
}

// total is the number of tokens the whole run trains on.
func (c *card) total() int64 { return c.Recipe.Tokens(c.Recipe.Steps) }

// minContext is what transformers' RwkvConfig has by default. The network has no limit;
// its CUDA kernel refuses to train on more than this says.
const minContext = 1024

// write writes the model directory and the log.
func write(t stage.Task, tokDir string, p *rwkv.Params[float32], log []train.Record, c card, end uint32) error {
	put := func(port, name string, content func(io.Writer) error) error {
		w, err := t.Create(port, name)
		if err != nil {
			return err
		}
		if err := content(w); err != nil {
			return err
		}
		return w.Close()
	}
	if err := put("model", hf.WeightsName, func(w io.Writer) error { return hf.WriteWeights(w, p) }); err != nil {
		return err
	}
	if err := put("model", hf.ConfigName, func(w io.Writer) error {
		return hf.WriteConfig(w, p.Config, max(minContext, c.Recipe.SeqLen), end, end) // documents follow an end, and end
	}); err != nil {
		return err
	}
	if err := put("model", cardName, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(c)
	}); err != nil {
		return err
	}
	for _, f := range t.Inputs("tokenizer") {
		if err := put("model", f.Name, func(w io.Writer) error {
			r, err := os.Open(filepath.Join(tokDir, filepath.FromSlash(f.Name)))
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(w, r)
			return err
		}); err != nil {
			return err
		}
	}
	return put("log", "log.jsonl", func(w io.Writer) error {
		e := json.NewEncoder(w)
		for _, r := range log {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// meter tells the engine how it goes. What it measures goes nowhere else.
type meter struct {
	t      stage.Task
	recipe train.Recipe
	val    dataset.Split
	since  time.Time // of the last record, or of the first step
	at     int       // its step; -1: no step yet
}

func newMeter(t stage.Task, r train.Recipe, val dataset.Split) *meter {
	return &meter{t: t, recipe: r, val: val, at: -1}
}

func (m *meter) step(step int) {
	if m.at < 0 {
		m.since, m.at = time.Now(), step
	}
	m.t.Progress(m.recipe.Tokens(step), m.recipe.Tokens(m.recipe.Steps), "tokens")
}

func (m *meter) record(r train.Record) {
	step := int64(r.Step)
	m.t.Metric("loss", step, r.Loss)
	m.t.Metric("learning-rate", step, r.Rate)
	m.t.Metric("grad-norm", step, r.GradNorm)
	line := fmt.Sprintf("step %d/%d loss %.4f rate %.2e norm %.2f", r.Step, m.recipe.Steps, r.Loss, r.Rate, r.GradNorm)
	if r.ValLoss != nil {
		m.t.Metric("val-loss", step, *r.ValLoss)
		line += fmt.Sprintf(" val-loss %.4f", *r.ValLoss)
		if m.val.Bytes > 0 { // of the whole split, so an estimate where only its beginning was read
			bits := *r.ValLoss / math.Ln2 * float64(m.val.Tokens) / float64(m.val.Bytes)
			m.t.Metric("val-bits-per-byte", step, bits)
			line += fmt.Sprintf(" (about %.3f bits per byte)", bits)
		}
	}
	if d := time.Since(m.since).Seconds(); m.at >= 0 && r.Step > m.at && d > 0 {
		speed := float64(m.recipe.Tokens(r.Step)-m.recipe.Tokens(m.at)) / d
		m.t.Metric("tokens-per-second", step, speed)
		line += fmt.Sprintf(" %.0f tokens/s", speed)
		m.since, m.at = time.Now(), r.Step
	}
	m.t.Logf("%s", line)
}
