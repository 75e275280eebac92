// Package infer runs a trained model: logits token by token from the recurrent state,
// scores of whole texts, generation. It opens the directory that stage train writes.
package infer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ptbr-slm/pipeline/model/format/hf"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

// Model is a network with its tokenizer. Not for concurrent use.
type Model struct {
	Config    rwkv.Config
	Tokenizer *tokenizer.Tokenizer

	params  *rwkv.Params[float32] // only in kernel.FP32
	threads int
	cpu     *kernel.CPU[float32] // of step
	step    *rwkv.Stepper[float32]
	chunk   *rwkv.Network[float32]
}

// State is what the model remembers of the tokens it has read: 5·L·d numbers.
type State = rwkv.State[float32]

// Load opens a model directory: config.json, model.safetensors, tokenizer.json. The matrices
// are rounded to a kind of weights once; of any other than kernel.FP32 the model keeps nothing in
// float32 but the vectors, and takes about 8 bytes a parameter only until Load returns. A
// tokenizer other than the one that train.json names is an error.
func Load(dir string, kind kernel.Weights) (*Model, error) {
	p, err := hf.Load(dir)
	if err != nil {
		return nil, err
	}
	t, err := tokenizer.Load(dir)
	if err != nil {
		return nil, err
	}
	if t.VocabSize() != p.Vocab {
		return nil, fmt.Errorf("the tokenizer in %s has %d tokens, the network %d: they are not of one model", dir, t.VocabSize(), p.Vocab)
	}
	if err := matchCard(dir, t); err != nil {
		return nil, err
	}
	return newModel(p, t, kind), nil
}

// matchCard refuses a tokenizer that is not the one the model was trained with, where
// train.json tells: another with as many ids would give text without sense and say nothing.
func matchCard(dir string, t *tokenizer.Tokenizer) error {
	path := filepath.Join(dir, "train.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) { // a model from elsewhere
		return nil
	}
	if err != nil {
		return err
	}
	var card struct {
		Tokenizer map[string]string `json:"tokenizer"`
	}
	if err := json.Unmarshal(b, &card); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if want := card.Tokenizer[tokenizer.FileName]; want != "" && want != t.Digest() {
		return fmt.Errorf("the model in %s was trained with the tokenizer %.12s, and its %s is %.12s: put that file back, or remove train.json if they mean the same",
			dir, want, tokenizer.FileName, t.Digest())
	}
	return nil
}

func newModel(p *rwkv.Params[float32], t *tokenizer.Tokenizer, kind kernel.Weights) *Model {
	m := &Model{Config: p.Config, Tokenizer: t, threads: 1, cpu: kernel.NewCPU[float32](1)}
	m.step = rwkv.NewStepper(m.cpu, p, kind)
	if kind == kernel.FP32 {
		m.params = p
	}
	return m
}

// Fork returns another model over the same weights, to be used beside m by another goroutine, with
// one thread. m must be one in kernel.FP32.
func (m *Model) Fork() *Model { return newModel(m.params, m.Tokenizer, kernel.FP32) }

// SetThreads says how many threads the model may use. It never changes a result.
func (m *Model) SetThreads(n int) {
	m.threads = n
	m.cpu.SetThreads(n)
	m.chunk = nil
}

// Bytes is the memory of the weights.
func (m *Model) Bytes() int64 { return m.step.Bytes() }

// NewState returns the state before the first token.
func (m *Model) NewState() State { return rwkv.NewState[float32](m.Config, 1) }

// Step reads a token and returns the logits of the next one. They are valid, and may be
// overwritten, until the next call of any method. Step does not allocate.
func (m *Model) Step(s State, token uint32) []float32 { return m.step.Step(s, token) }

// chunkTokens is how many tokens Score and Generate read at a time.
const chunkTokens = 256

// Score reads tokens from an empty state and calls visit for each with the logits of
// what follows it, in order: visit(i, …) has the prediction of tokens[i+1]. visit may
// overwrite logits, which are gone when it returns.
func (m *Model) Score(tokens []uint32, visit func(pos int, logits []float32)) {
	m.read(m.NewState(), tokens, 0, visit)
}

// read reads tokens into s and calls visit as Score does, for positions from a first on. In
// float32 it goes chunk by chunk; weights of other kinds are only for one token at a time.
func (m *Model) read(s State, tokens []uint32, first int, visit func(pos int, logits []float32)) {
	if m.params == nil {
		for i, id := range tokens {
			if logits := m.Step(s, id); i >= first {
				visit(i, logits)
			}
		}
		return
	}
	for at := 0; at < len(tokens); at += chunkTokens {
		rows := min(chunkTokens, len(tokens)-at)
		n := m.chunk
		if n == nil || rows < chunkTokens {
			n = rwkv.NewNetwork(kernel.NewCPU[float32](m.threads), m.params, 1, rows)
		}
		if rows == chunkTokens {
			m.chunk = n
		}
		n.Forward(tokens[at:at+rows], s, nil)
		n.Logits(max(0, first-at), rows, func(i int, logits []float32) { visit(at+i, logits) })
	}
}
