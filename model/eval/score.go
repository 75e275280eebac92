package eval

import "math/bits"

// Scorer is a model: it reads tokens from an empty state and gives, after each, the
// logits of the next. visit may overwrite them.
type Scorer interface {
	Score(tokens []uint32, visit func(pos int, logits []float32))
}

// Positions is sums by how much a model had read when it predicted: Positions[i] is of
// the tokens before which it had read 2^i to 2^(i+1)-1 others.
type Positions []Sums

// Score adds up how m predicts tokens[1:]. With context 0 it reads them all in one go;
// else it begins anew, from an empty state, after so many predictions, with the token
// before the next one. width gives the bytes of a token, for sums by position.
func Score(m Scorer, tokens []uint32, context int, width func(uint32) int) (Sums, Positions) {
	var all Sums
	var by Positions
	if context <= 0 {
		context = len(tokens)
	}
	for at := 0; at+1 < len(tokens); at += context {
		n := min(context, len(tokens)-1-at)
		m.Score(tokens[at:at+n], func(pos int, logits []float32) {
			var one Sums
			next := tokens[at+pos+1]
			one.Observe(logits, next)
			all.Add(one)
			one.Bytes = int64(width(next))
			b := bits.Len(uint(pos+1)) - 1
			for len(by) <= b {
				by = append(by, Sums{})
			}
			by[b].Add(one)
		})
	}
	return all, by
}

// Add adds o to p.
func (p *Positions) Add(o Positions) {
	for len(*p) < len(o) {
		*p = append(*p, Sums{})
	}
	for i := range o {
		(*p)[i].Add(o[i])
	}
}
