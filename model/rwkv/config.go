// Package rwkv is the network: RWKV-4 (Peng et al. 2023, arXiv:2305.13048), as RWKV-LM's
// v4 and v4neo define it. Linear weights are [out,in], y = w·x, with no biases but those
// of the LayerNorms. With d = Embd, f = FFN, and h_{-1} = 0 at the start of a sequence:
//
//	x = LN0(emb[token])
//	for each block:
//	  h = LN1(x); xk, xv, xr = token shift of h by mix_k, mix_v, mix_r
//	  x += Wo·(sigmoid(Wr·xr) · WKV(Wk·xk, Wv·xv))
//	  g = LN2(x); xk, xr = token shift of g by the feed-forward's mix_k, mix_r
//	  x += sigmoid(Wr'·xr) · Wv'·max(Wk'·xk, 0)²
//	logits = Whead·LNout(x)
package rwkv

import (
	"fmt"
	"strings"
)

// Config is the shape of a network.
type Config struct {
	Vocab, Embd, Layers, FFN int
	Tied                     bool // the head is the embedding
}

// Check says what no network can have.
func (c Config) Check() error {
	for _, q := range []struct {
		name string
		n    int
	}{{"vocabulary", c.Vocab}, {"embedding width", c.Embd}, {"number of layers", c.Layers}, {"feed-forward width", c.FFN}} {
		if q.n < 1 {
			return fmt.Errorf("the %s of the network is %d; it must be at least 1", q.name, q.n)
		}
	}
	if c.Embd < 2 {
		return fmt.Errorf("the embedding width is %d; a LayerNorm needs at least 2", c.Embd)
	}
	return nil
}

// Preset is a named shape, whatever the vocabulary.
type Preset struct {
	Name              string
	Embd, Layers, FFN int
}

// Presets lists the named shapes, smallest first. With a vocabulary of 32,000 the ones
// from 400m on have about as many parameters as their names say; 85m counts what is
// neither embedding nor head.
var Presets = []Preset{
	{"nano", 128, 4, 512},
	{"micro", 256, 6, 1024},
	{"mini", 512, 8, 2048},
	{"85m", 768, 12, 2688},
	{"400m", 1024, 24, 4096},
	{"800m", 1536, 24, 5664},
	{"1b", 2048, 24, 4096},
	{"1.5b", 2304, 28, 4608},
}

// Named returns the preset of a name.
func Named(name string) (Preset, error) {
	var names []string
	for _, p := range Presets {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("no preset %q; there are %s", name, strings.Join(names, ", "))
}

// Parameters is the number of parameters: 2Vd + 4d + L(5d² + 2df + 11d), less Vd when tied.
func (c Config) Parameters() int64 {
	v, d, l, f := int64(c.Vocab), int64(c.Embd), int64(c.Layers), int64(c.FFN)
	n := 2*v*d + 4*d + l*(5*d*d+2*d*f+11*d)
	if c.Tied {
		n -= v * d
	}
	return n
}

// TrainFLOPs is the floating-point work of training on one token, forward and backward:
// six for each weight that a product reads.
func (c Config) TrainFLOPs() int64 {
	v, d, l, f := int64(c.Vocab), int64(c.Embd), int64(c.Layers), int64(c.FFN)
	return 6 * (l*(5*d*d+2*d*f) + v*d)
}
