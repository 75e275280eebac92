package rwkv

import (
	"fmt"

	"github.com/ptbr-slm/pipeline/model/kernel"
)

// Group is how the optimizer treats a tensor.
type Group int

// The groups. Weight decay is for matrices only; decay and bonus of WKV learn faster; the
// embedding and a head of its own have rates of their own.
const (
	Vector Group = iota
	Matrix       // of a block
	EmbeddingMatrix
	HeadMatrix
	TimeDecay
	TimeFirst
)

// IsMatrix says that tensors of the group have two dimensions.
func (g Group) IsMatrix() bool { return g == Matrix || g == EmbeddingMatrix || g == HeadMatrix }

// Tensor is one parameter tensor: its name as Hugging Face's RwkvForCausalLM has it, and
// its place in Params.Flat.
type Tensor struct {
	Name       string
	Shape      []int
	Group      Group
	Block      int // it is part of; -1: of none
	Start, End int
}

// BlockTensors is the number of tensors of one block.
const BlockTensors = 18

// Tensors lists the tensors of a network: embedding, LN0, the blocks, LNout, head
// (unless tied), in the order of Params.Flat.
func (c Config) Tensors() []Tensor {
	var all []Tensor
	at := 0
	block := -1
	put := func(name string, g Group, shape ...int) {
		n := 1
		for _, s := range shape {
			n *= s
		}
		all = append(all, Tensor{name, shape, g, block, at, at + n})
		at += n
	}
	d, f := c.Embd, c.FFN
	put("rwkv.embeddings.weight", EmbeddingMatrix, c.Vocab, d)
	put("rwkv.blocks.0.pre_ln.weight", Vector, d)
	put("rwkv.blocks.0.pre_ln.bias", Vector, d)
	for l := range c.Layers {
		b := fmt.Sprintf("rwkv.blocks.%d.", l)
		block = l
		put(b+"ln1.weight", Vector, d)
		put(b+"ln1.bias", Vector, d)
		put(b+"attention.time_decay", TimeDecay, d)
		put(b+"attention.time_first", TimeFirst, d)
		put(b+"attention.time_mix_key", Vector, 1, 1, d)
		put(b+"attention.time_mix_value", Vector, 1, 1, d)
		put(b+"attention.time_mix_receptance", Vector, 1, 1, d)
		put(b+"attention.key.weight", Matrix, d, d)
		put(b+"attention.value.weight", Matrix, d, d)
		put(b+"attention.receptance.weight", Matrix, d, d)
		put(b+"attention.output.weight", Matrix, d, d)
		put(b+"ln2.weight", Vector, d)
		put(b+"ln2.bias", Vector, d)
		put(b+"feed_forward.time_mix_key", Vector, 1, 1, d)
		put(b+"feed_forward.time_mix_receptance", Vector, 1, 1, d)
		put(b+"feed_forward.key.weight", Matrix, f, d)
		put(b+"feed_forward.receptance.weight", Matrix, d, d)
		put(b+"feed_forward.value.weight", Matrix, d, f)
	}
	block = -1
	put("rwkv.ln_out.weight", Vector, d)
	put("rwkv.ln_out.bias", Vector, d)
	if !c.Tied {
		put("head.weight", HeadMatrix, c.Vocab, d)
	}
	return all
}

// Params are the parameters of a network, or gradients or moments alike: one slice, and
// views of it. Head is Emb where they are tied.
type Params[T kernel.Float] struct {
	Config
	Flat           []T
	Emb            []T // [V,d]
	LN0W, LN0B     []T // [d]
	Blocks         []Block[T]
	LNOutW, LNOutB []T // [d]
	Head           []T // [V,d]
}

// Block holds the tensors of one block.
type Block[T kernel.Float] struct {
	LN1W, LN1B                     []T // [d]
	Decay, First                   []T // [d]
	MixK, MixV, MixR               []T // [d]
	Key, Value, Receptance, Output []T // [d,d]
	LN2W, LN2B                     []T // [d]
	FFNMixK, FFNMixR               []T // [d]
	FFNKey                         []T // [f,d]
	FFNReceptance                  []T // [d,d]
	FFNValue                       []T // [d,f]
}

// NewParams returns zeros.
func NewParams[T kernel.Float](c Config) *Params[T] {
	tensors := c.Tensors()
	p := &Params[T]{Config: c, Flat: kernel.Large[T](tensors[len(tensors)-1].End)}
	views := make([][]T, len(tensors))
	for i, t := range tensors {
		views[i] = p.Flat[t.Start:t.End:t.End]
	}
	p.Emb, p.LN0W, p.LN0B = views[0], views[1], views[2]
	for l := range c.Layers {
		p.Blocks = append(p.Blocks, NewBlock(views[3+l*BlockTensors:]))
	}
	last := 3 + c.Layers*BlockTensors
	p.LNOutW, p.LNOutB, p.Head = views[last], views[last+1], p.Emb
	if !c.Tied {
		p.Head = views[last+2]
	}
	return p
}

// NewBlock names the first BlockTensors of tensors, which are in the order of
// Config.Tensors.
func NewBlock[T kernel.Float](t [][]T) Block[T] {
	return Block[T]{LN1W: t[0], LN1B: t[1], Decay: t[2], First: t[3], MixK: t[4], MixV: t[5], MixR: t[6],
		Key: t[7], Value: t[8], Receptance: t[9], Output: t[10], LN2W: t[11], LN2B: t[12],
		FFNMixK: t[13], FFNMixR: t[14], FFNKey: t[15], FFNReceptance: t[16], FFNValue: t[17]}
}
