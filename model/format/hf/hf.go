// Package hf writes and reads a network as Hugging Face's transformers keeps an RWKV-4
// (RwkvForCausalLM): config.json and model.safetensors, unscaled float32.
package hf

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ptbr-slm/pipeline/model/format/safetensors"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// The files of a model directory.
const (
	ConfigName  = "config.json"
	WeightsName = "model.safetensors"
)

// Config is config.json. Its fields are those of transformers' RwkvConfig.
type Config struct {
	Architectures   []string `json:"architectures"`
	ModelType       string   `json:"model_type"`
	Vocab           int      `json:"vocab_size"`
	Context         int      `json:"context_length"` // trained on; longer training fails in its CUDA kernel
	Embd            int      `json:"hidden_size"`
	Layers          int      `json:"num_hidden_layers"`
	Attention       int      `json:"attention_hidden_size"`
	FFN             int      `json:"intermediate_size"`
	Epsilon         float64  `json:"layer_norm_epsilon"`
	BOS             uint32   `json:"bos_token_id"`
	EOS             uint32   `json:"eos_token_id"`
	RescaleEvery    int      `json:"rescale_every"` // 0: weights are as trained; 6 would halve activations
	Tied            bool     `json:"tie_word_embeddings"`
	UseCache        bool     `json:"use_cache"`
	DType           string   `json:"torch_dtype"`
	TransformersVer string   `json:"transformers_version"`
}

const (
	architecture = "RwkvForCausalLM"
	modelType    = "rwkv"
	epsilon      = 1e-5
)

// WriteConfig writes config.json. The ids are what a text begins and ends with.
func WriteConfig(w io.Writer, c rwkv.Config, context int, bos, eos uint32) error {
	b, err := json.MarshalIndent(Config{
		Architectures: []string{architecture}, ModelType: modelType, Vocab: c.Vocab, Context: context, Embd: c.Embd,
		Layers: c.Layers, Attention: c.Embd, FFN: c.FFN, Epsilon: epsilon, BOS: bos, EOS: eos, Tied: c.Tied,
		UseCache: true, DType: "float32", TransformersVer: "4.40.0",
	}, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// WriteWeights writes model.safetensors. A tied head is not written.
func WriteWeights(w io.Writer, p *rwkv.Params[float32]) error {
	return safetensors.Write(w, Tensors(p), map[string]string{"format": "pt"}) // without which older readers refuse it
}

// Tensors names the parts of p, or of gradients or moments alike.
func Tensors(p *rwkv.Params[float32]) []safetensors.Tensor {
	var all []safetensors.Tensor
	for _, t := range p.Tensors() {
		all = append(all, safetensors.Tensor{Name: t.Name, Shape: t.Shape, Data: p.Flat[t.Start:t.End]})
	}
	return all
}

// ReadWeights fills p from a safetensors file, which must hold its tensors and no others.
func ReadWeights(path string, p *rwkv.Params[float32]) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tensors := p.Tensors()
	for _, t := range tensors {
		if err := f.Read(t.Name, t.Shape, p.Flat[t.Start:t.End]); err != nil {
			return err
		}
	}
	if n := len(f.Names()); n != len(tensors) {
		return fmt.Errorf("%s has %d tensors, the network has %d", path, n, len(tensors))
	}
	return nil
}

// ReadConfig reads the shape of the network of a directory.
func ReadConfig(dir string) (rwkv.Config, error) {
	path := filepath.Join(dir, ConfigName)
	b, err := os.ReadFile(path)
	if err != nil {
		return rwkv.Config{}, fmt.Errorf("no model in %s: %w", dir, err)
	}
	var c Config
	if err := json.Unmarshal(b, &c); err != nil {
		return rwkv.Config{}, fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case c.ModelType != modelType:
		return rwkv.Config{}, fmt.Errorf("%s: model_type is %q; %q, RWKV-4, is what is read here", path, c.ModelType, modelType)
	case c.Attention != c.Embd && c.Attention != 0:
		return rwkv.Config{}, fmt.Errorf("%s: attention_hidden_size is %d; it must equal hidden_size, %d", path, c.Attention, c.Embd)
	case c.Epsilon != epsilon:
		return rwkv.Config{}, fmt.Errorf("%s: layer_norm_epsilon is %g; only %g is known here", path, c.Epsilon, epsilon)
	}
	shape := rwkv.Config{Vocab: c.Vocab, Embd: c.Embd, Layers: c.Layers, FFN: c.FFN, Tied: c.Tied}
	if err := shape.Check(); err != nil {
		return rwkv.Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return shape, nil
}

// Load reads the network of a directory.
func Load(dir string) (*rwkv.Params[float32], error) {
	shape, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	weights := filepath.Join(dir, WeightsName)
	st, err := os.Stat(weights)
	if err != nil {
		return nil, fmt.Errorf("no weights in %s: %w", dir, err)
	}
	if need := 4 * shape.Parameters(); st.Size() < need {
		return nil, fmt.Errorf("%s has %d bytes; %d parameters need %d", weights, st.Size(), shape.Parameters(), need)
	}
	p := rwkv.NewParams[float32](shape)
	if err := ReadWeights(weights, p); err != nil {
		return nil, err
	}
	return p, nil
}
