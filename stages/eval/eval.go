// Package eval is the stage kind eval: it measures a model on validation documents
// (package model/eval), beside baselines on the same text, and writes what it found,
// with samples of what the model writes and the curve of its training, as JSON and as a
// page to read.
package eval

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/eval"
	"github.com/ptbr-slm/pipeline/model/infer"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

// Config is the `with:` of an eval stage.
type Config struct {
	MaxTokens        int64     `json:"max-tokens" jsonschema:"minimum=1" jsonschema_description:"tokens evaluated at most; documents are taken whole, in the order of a hash of their ids"`
	MaxDocumentBytes int64     `json:"max-document-bytes" jsonschema:"minimum=1" jsonschema_description:"of a longer document only the beginning is evaluated"`
	Context          int       `json:"context" jsonschema:"minimum=0" jsonschema_description:"tokens after which the model's state is emptied; 0: never inside a document"`
	Bootstrap        int       `json:"bootstrap" jsonschema:"minimum=0" jsonschema_description:"resamples of the 95 % intervals; 0: no intervals"`
	Baselines        Baselines `json:"baselines" jsonschema_description:"what the model is compared with, trained on the documents of port train"`
	Prompts          []string  `json:"prompts" jsonschema_description:"what the samples begin with"`
	SampleTokens     int       `json:"sample-tokens" jsonschema:"minimum=0" jsonschema_description:"length of a sample"`
	Temperature      float64   `json:"temperature" jsonschema:"minimum=0" jsonschema_description:"of the samples; 0: always the likeliest token"`
	TopK             int       `json:"top-k" jsonschema:"minimum=0" jsonschema_description:"samples choose among so many of the likeliest tokens; 0: all"`
}

// Baselines says how the baselines are made.
type Baselines struct {
	TrainBytes int64 `json:"train-bytes" jsonschema:"minimum=0" jsonschema_description:"text of port train that they learn from, taken in the order of a hash of the documents' ids; bounds their memory, some 20 to 40 bytes for each"`
	Order      int   `json:"order" jsonschema:"minimum=1,maximum=8" jsonschema_description:"bytes in the longest n-grams"`
}

// Kind is eval.
var Kind = stage.Kind{
	Name:    "eval",
	Version: 3,
	Doc:     "measures a model on validation documents beside baselines on the same text, with samples and the training curve",
	In: []stage.Port{
		{Name: "model", Doc: "the model", Type: stage.Model, Names: true},
		{Name: "val", Doc: "documents the model has not seen", Type: stage.Documents, Many: true},
		{Name: "train", Doc: "documents the baselines learn from; without them there are none", Type: stage.Documents, Many: true, Optional: true},
		{Name: "log", Doc: "the log of the training, for its curve", Type: stage.Reports, Optional: true},
	},
	Out:     []stage.Port{{Name: "report", Doc: "report.json and report.html", Type: stage.Page}},
	Threads: true,
	Config: Config{MaxTokens: 200_000, MaxDocumentBytes: 8 << 10, Bootstrap: 1000,
		Baselines:    Baselines{TrainBytes: 8 << 20, Order: 7},
		Prompts:      []string{"O Brasil é", "A Constituição Federal", "Em 2024", "O presidente", "A cidade de São Paulo"},
		SampleTokens: 80, Temperature: 0.8, TopK: 40},
	New: stage.Build(New),
}

// Evaluator is a configured eval stage.
type Evaluator struct{ c Config }

// New checks what the schema cannot say.
func New(c Config) (stage.Stage, error) {
	var errs []error
	if c.MaxTokens < 1 || c.MaxDocumentBytes < 1 {
		errs = append(errs, fmt.Errorf("max-tokens is %d and max-document-bytes %d; both must be above 0", c.MaxTokens, c.MaxDocumentBytes))
	}
	if c.Context < 0 || c.Bootstrap < 0 || c.SampleTokens < 0 || c.Baselines.TrainBytes < 0 {
		errs = append(errs, errors.New("context, bootstrap, sample-tokens and baselines.train-bytes cannot be below 0"))
	}
	if c.Baselines.Order < 1 || c.Baselines.Order > eval.MaxOrder {
		errs = append(errs, fmt.Errorf("baselines.order is %d; it can be 1 to %d", c.Baselines.Order, eval.MaxOrder))
	}
	if err := c.options(0).Check(); err != nil {
		errs = append(errs, fmt.Errorf("samples: %w", err))
	}
	return &Evaluator{c}, errors.Join(errs...)
}

func (c Config) options(seed uint64) infer.Options {
	return infer.Options{MaxTokens: c.SampleTokens, Temperature: c.Temperature, TopK: c.TopK, Seed: seed}
}

// Run evaluates.
func (e *Evaluator) Run(ctx context.Context, t stage.Task) error {
	dir, err := t.InputDir("model")
	if err != nil {
		return err
	}
	m, err := infer.Load(dir, kernel.FP32)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	m.SetThreads(t.CPUs())
	end, ok := m.Tokenizer.Special(tokenizer.End)
	if !ok {
		return fmt.Errorf("model: its tokenizer has no %s, with which documents begin", tokenizer.End)
	}
	r := &Report{Format: 1, Settings: e.c, Lossy: m.Tokenizer.Lossy(),
		Model: Shape{m.Config.Vocab, m.Config.Embd, m.Config.Layers, m.Config.FFN, m.Config.Tied}}
	if r.Curve, err = readCurve(t); err != nil {
		return err
	}
	texts, err := e.pick(ctx, t, m.Tokenizer, r)
	if err != nil {
		return err
	}
	if err := e.score(ctx, t, m, end, texts, r); err != nil {
		return err
	}
	if err := e.baselines(ctx, t, texts, r); err != nil {
		return err
	}
	for i, prompt := range e.c.Prompts {
		s := Sample{Prompt: prompt}
		// Each prompt has a seed of its own: the samples do not depend on one another.
		err := m.Generate(ctx, prompt, e.c.options(t.Seed()+uint64(i)), func(text string) error {
			s.Text += text
			return nil
		})
		if err != nil {
			return fmt.Errorf("sample of %q: %w", prompt, err)
		}
		r.Samples = append(r.Samples, s)
	}
	r.metrics(t)
	if err := write(t, "report.json", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		return enc.Encode(r)
	}); err != nil {
		return err
	}
	return write(t, "report.html", func(w io.Writer) error {
		_, err := r.page().WriteTo(w)
		return err
	})
}

func write(t stage.Task, name string, f func(io.Writer) error) error {
	w, err := t.Create("report", name)
	if err != nil {
		return err
	}
	if err := f(w); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return w.Close()
}
