package train

import (
	"github.com/ptbr-slm/pipeline/model/dataset"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// evalStreams is how many stretches of the validation split are read side by side, each
// with its state carried on. It is part of the result.
const evalStreams = 8

// validation is the beginning of the validation split, cut into streams.
type validation struct {
	net    *rwkv.Network[float32]
	state  rwkv.State[float32]
	length int64 // of a stream, a multiple of the sequence length
	seq    int
}

// validate puts the mean loss over the first EvalLen tokens of the validation split into
// rec; where there is not one sequence for each stream, it leaves it out.
func (t *trainer) validate(rec *Record) error {
	seq := int64(t.recipe.SeqLen)
	length := (min(t.recipe.EvalLen, t.data.Tokens(dataset.Val)) - 1) / evalStreams / seq * seq
	if length < seq {
		return nil
	}
	if t.val == nil {
		t.val = &validation{rwkv.NewNetwork(t.cpu, t.params, evalStreams, int(seq)), rwkv.NewState[float32](t.config, evalStreams), length, int(seq)}
	}
	loss, err := t.val.loss(t)
	if err != nil {
		return err
	}
	rec.ValLoss = &loss
	return nil
}

func (v *validation) loss(t *trainer) (float64, error) {
	v.state.Reset()
	chunk, tokens := make([]uint32, v.seq+1), make([]uint32, evalStreams*v.seq)
	targets := make([]uint32, len(tokens))
	var fresh []bool // as in training
	if t.recipe.Streams > 0 {
		fresh = make([]bool, len(tokens))
	}
	total := 0.0
	for at := int64(0); at < v.length; at += int64(v.seq) {
		for s := range evalStreams {
			if err := t.data.Read(dataset.Val, int64(s)*v.length+at, chunk); err != nil {
				return 0, err
			}
			copy(tokens[s*v.seq:(s+1)*v.seq], chunk)
			copy(targets[s*v.seq:(s+1)*v.seq], chunk[1:])
		}
		if fresh != nil {
			begins(fresh, tokens, t.data.End())
		}
		v.net.Forward(tokens, v.state, fresh)
		v.net.Logits(0, len(tokens), func(row int, logits []float32) { total += t.cpu.Loss(logits, targets[row]) })
	}
	return total / float64(v.length*evalStreams), nil
}
