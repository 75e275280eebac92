package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ptbr-slm/pipeline/model/format/hf"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/model/train"
	"github.com/spf13/cobra"
)

// information is the JSON document of `pipeline info --json`.
type information struct {
	Batch     int             `json:"batch-size"`
	SeqLen    int             `json:"seq-len"`
	Networks  []network       `json:"networks"`
	Model     *trained        `json:"model,omitempty"`
	Tokenizer *modelTokenizer `json:"tokenizer,omitempty"`
}

// network is a shape and the memory that it takes, in bytes.
type network struct {
	Preset     string                             `json:"preset,omitempty"`
	Vocab      int                                `json:"vocab"`
	Embd       int                                `json:"n-embd"`
	Layers     int                                `json:"n-layer"`
	FFN        int                                `json:"d-ffn"`
	Tied       bool                               `json:"tied"`
	Parameters int64                              `json:"parameters"`
	Inner      int64                              `json:"parameters-without-embeddings"`
	Training   map[rwkv.Checkpointing]*allocation `json:"training"`
	Inference  map[kernel.Weights]int64           `json:"inference"`
}

type allocation struct {
	train.Memory
	Total int64 `json:"total"`
}

// trained is what train.json says of a model.
type trained struct {
	Recipe  json.RawMessage `json:"recipe"`
	Tokens  int64           `json:"tokens"`
	Loss    float64         `json:"loss"`
	ValLoss *float64        `json:"val-loss,omitempty"`
}

// modelTokenizer is the tokenizer.json beside a model.
type modelTokenizer struct {
	Vocab int    `json:"vocab"`
	Lossy bool   `json:"lossy"`
	Error string `json:"error,omitempty"` // why it was not read
}

var checkpointings = []rwkv.Checkpointing{rwkv.Off, rwkv.Balanced, rwkv.Aggressive}

var weightKinds = []kernel.Weights{kernel.FP32, kernel.BF16, kernel.Int8}

func infoCommand() *cobra.Command {
	var batch, seq, vocab int
	var tied, asJSON bool
	c := &cobra.Command{
		Use:   "info [DIR]",
		Short: "Show the networks there are and the memory they take, or what a model is",
		Long: `List the presets of the train stage with their parameters, and the memory that training and
reading token by token take, computed. Of a model's directory, show the same for its network,
and how it was trained.

Memory for training is that of one worker: weights, moments, gradients, activations of a
micro-batch with the given checkpointing, and what a validation needs. fp32 and bf16 take the
same. It is without the program itself and some MiB that kernels lay aside. With several
micro-batches in a step, each further CPU takes activations and gradients of its own.

With --json: {"batch-size", "seq-len", "networks": [{"preset", "vocab", "n-embd", "n-layer",
"d-ffn", "tied", "parameters", "parameters-without-embeddings", "training": {"off": {"weights",
"moments", "gradients", "activations", "validation", "total"}, "balanced", "aggressive"},
"inference": {"fp32", "bf16", "int8"}}], "model": {"recipe", "tokens", "loss", "val-loss"},
"tokenizer": {"vocab", "lossy", "error"}}, memory in bytes; "model" is there for a directory with
a train.json, "tokenizer" for one with a tokenizer.json ("error": why it was not read).`,
		Example: "  pipeline info\n  pipeline info --vocab 16384 --batch-size 8 --seq-len 512\n  pipeline info out/sample/model --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if batch < 1 || seq < 1 || vocab < 1 {
				return usage{errors.New("--batch-size, --seq-len and --vocab must be at least 1")}
			}
			i := information{Batch: batch, SeqLen: seq}
			if len(args) == 0 {
				for _, p := range rwkv.Presets {
					i.add(p.Name, rwkv.Config{Vocab: vocab, Embd: p.Embd, Layers: p.Layers, FFN: p.FFN, Tied: tied})
				}
			} else {
				if c.Flags().Changed("vocab") || c.Flags().Changed("tied") {
					return usage{errors.New("--vocab and --tied are the model's own where a directory is named")}
				}
				if err := i.read(args[0]); err != nil {
					return usage{err}
				}
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), i)
			}
			return i.print(c.OutOrStdout())
		},
	}
	c.Flags().IntVar(&batch, "batch-size", 4, "sequences of a micro-batch")
	c.Flags().IntVar(&seq, "seq-len", 256, "tokens of a sequence")
	c.Flags().IntVar(&vocab, "vocab", 32000, "vocabulary of the presets")
	c.Flags().BoolVar(&tied, "tied", false, "use the embedding as the head too")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return c
}

func (i *information) add(preset string, c rwkv.Config) {
	n := network{Preset: preset, Vocab: c.Vocab, Embd: c.Embd, Layers: c.Layers, FFN: c.FFN, Tied: c.Tied,
		Parameters: c.Parameters(), Training: map[rwkv.Checkpointing]*allocation{}, Inference: map[kernel.Weights]int64{}}
	ends := 2
	if c.Tied {
		ends = 1
	}
	n.Inner = n.Parameters - int64(ends)*int64(c.Vocab)*int64(c.Embd)
	for _, keep := range checkpointings {
		m := train.Estimate(c, i.Batch, i.SeqLen, 1, 1, keep)
		n.Training[keep] = &allocation{m, m.Total()}
	}
	for _, k := range weightKinds {
		n.Inference[k] = rwkv.InferBytes(c, k)
	}
	i.Networks = append(i.Networks, n)
}

// read adds the model of a directory.
func (i *information) read(dir string) error {
	c, err := hf.ReadConfig(dir)
	if err != nil {
		return err
	}
	switch tok, err := tokenizer.Load(dir); {
	case err == nil:
		i.Tokenizer = &modelTokenizer{Vocab: tok.VocabSize(), Lossy: tok.Lossy()}
	case !errors.Is(err, os.ErrNotExist): // one of another kind does not hide the model
		i.Tokenizer = &modelTokenizer{Error: err.Error()}
	}
	b, err := os.ReadFile(filepath.Join(dir, "train.json"))
	if errors.Is(err, os.ErrNotExist) { // a model from elsewhere
		i.add("", c)
		return nil
	}
	if err != nil {
		return err
	}
	var card struct {
		Preset string `json:"preset"`
		trained
	}
	if err := json.Unmarshal(b, &card); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, "train.json"), err)
	}
	i.add(card.Preset, c)
	i.Model = &card.trained
	return nil
}

func (i *information) print(w io.Writer) error {
	t := newTable("network", "width", "blocks", "feed-forward", "vocabulary", "parameters", "without embeddings").right(1, 2, 3, 4, 5, 6)
	for _, n := range i.Networks {
		t.row(n.name(), fmt.Sprint(n.Embd), fmt.Sprint(n.Layers), fmt.Sprint(n.FFN), count(int64(n.Vocab)), count(n.Parameters), count(n.Inner))
	}
	t.print(w)
	heading(w, fmt.Sprintf("memory for training on %d × %d tokens, by checkpointing", i.Batch, i.SeqLen))
	t = newTable("network", "weights, moments, gradients", "off", "balanced", "aggressive").right(1, 2, 3, 4)
	for _, n := range i.Networks {
		m := n.Training[rwkv.Off]
		cells := []string{n.name(), size(m.Weights + m.Moments + m.Gradients)}
		for _, keep := range checkpointings {
			cells = append(cells, size(n.Training[keep].Total))
		}
		t.row(cells...)
	}
	t.print(w)
	heading(w, "memory for reading token by token, by kind of weights")
	t = newTable("network", "fp32", "bf16", "int8").right(1, 2, 3)
	for _, n := range i.Networks {
		cells := []string{n.name()}
		for _, k := range weightKinds {
			cells = append(cells, size(n.Inference[k]))
		}
		t.row(cells...)
	}
	t.print(w)
	if tok := i.Tokenizer; tok != nil {
		heading(w, "tokenizer")
		t = newTable("what", "")
		switch {
		case tok.Error != "":
			t.row("not read", tok.Error)
		case tok.Lossy:
			t.row("vocabulary", count(int64(tok.Vocab)))
			t.row("normal form", "lossy: bits per byte do not compare with those of other tokenizers")
		default:
			t.row("vocabulary", count(int64(tok.Vocab)))
			t.row("normal form", "loses nothing")
		}
		t.print(w)
	}
	if i.Model == nil {
		return nil
	}
	heading(w, "training")
	t = newTable("what", "")
	if err := fields(i.Model.Recipe, t.row); err != nil {
		return fmt.Errorf("recipe in train.json: %w", err)
	}
	t.row("tokens", count(i.Model.Tokens))
	t.row("loss", fmt.Sprintf("%.4f nats a token", i.Model.Loss))
	if i.Model.ValLoss != nil {
		t.row("validation loss", fmt.Sprintf("%.4f nats a token", *i.Model.ValLoss))
	}
	t.print(w)
	return nil
}

func (n *network) name() string {
	if n.Preset == "" {
		return "–"
	}
	return n.Preset
}

// fields calls row with the name and value of each field of a JSON object, in its order.
func fields(object []byte, row func(...string)) error {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		var line bytes.Buffer // lists are on many lines in a file
		if err := json.Compact(&line, value); err != nil {
			return err
		}
		row(fmt.Sprint(name), string(bytes.Trim(line.Bytes(), `"`)))
	}
	return nil
}
