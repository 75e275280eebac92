package rwkv

import "github.com/ptbr-slm/pipeline/model/kernel"

// TrainBytes is what NewEmbedding, NewLayers and NewHead for micro-batches of so many
// sequences and tokens, and the rows between them, take in float32.
func TrainBytes(c Config, batch, seq int, keep Checkpointing) int64 {
	n, d, f, v, b := int64(batch)*int64(seq), int64(c.Embd), int64(c.FFN), int64(c.Vocab), int64(batch)
	values := n*d + 2*n                 // Embedding
	values += n * d * int64(c.Layers+1) // its output and the blocks'
	values += n*(5*d+f) + 6*b*d         // gradients
	values += int64(c.Layers) * 5 * b * d
	sets, shared := int64(0), int64(0)
	for l := range c.Layers {
		if keep.keeps(l) {
			sets++
		} else {
			shared = 1
		}
	}
	values += (sets + shared) * (n*(15*d+2*f+4) + d)
	values += min(headRows, n)*(d+v) + 3*n + n*d // Head, and the gradient of its input
	return 4 * values
}

// ForwardBytes is what NewNetwork takes in float32, beside the parameters, for batch
// sequences of seq tokens at a time with their state.
func ForwardBytes(c Config, batch, seq int) int64 {
	n, d, f, v, b := int64(batch)*int64(seq), int64(c.Embd), int64(c.FFN), int64(c.Vocab), int64(batch)
	return 4 * (2*n*d + 2*n + n*(10*d+f+2) + d + 5*b*d*int64(c.Layers+1) + min(headRows, n)*v)
}

// InferBytes is what reading one token at a time takes with weights of a kind: the weights
// themselves and the state of a sequence.
func InferBytes(c Config, kind kernel.Weights) int64 {
	n := int64(20 * c.Layers * c.Embd)
	for _, t := range c.Tensors() {
		if t.Group.IsMatrix() {
			n += kind.Bytes(t.Shape[0], t.Shape[1])
		} else {
			n += 4 * int64(t.End-t.Start)
		}
	}
	return n
}
