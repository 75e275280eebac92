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

	chunk           []uint32 // [T+1]
	tokens, targets []uint32 // [evalStreams,T]
	fresh           []bool   // [evalStreams,T], as in training
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
		rows := evalStreams * seq
		t.val = &validation{net: rwkv.NewNetwork(t.cpu, t.params, evalStreams, int(seq)), state: rwkv.NewState[float32](t.config, evalStreams),
			length: length, seq: int(seq), chunk: make([]uint32, seq+1), tokens: make([]uint32, rows), targets: make([]uint32, rows)}
		if t.recipe.Streams > 0 {
			t.val.fresh = make([]bool, rows)
		}
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
	total := 0.0
	for at := int64(0); at < v.length; at += int64(v.seq) {
		for s := range evalStreams {
			if err := t.data.Read(dataset.Val, int64(s)*v.length+at, v.chunk); err != nil {
				return 0, err
			}
			copy(v.tokens[s*v.seq:(s+1)*v.seq], v.chunk)
			copy(v.targets[s*v.seq:(s+1)*v.seq], v.chunk[1:])
		}
		if v.fresh != nil {
			begins(v.fresh, v.tokens, t.data.End())
		}
		v.net.Forward(v.tokens, v.state, v.fresh)
		v.net.Logits(0, len(v.tokens), func(row int, logits []float32) { total += t.cpu.Loss(logits, v.targets[row]) })
	}
	return total / float64(v.length*evalStreams), nil
}
