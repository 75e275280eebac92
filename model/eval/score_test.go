package eval

import (
	"math"
	"slices"
	"testing"
)

// counter is a model that predicts how many tokens it has read, and notes what it read.
type counter struct {
	vocab int
	read  [][]uint32
}

func (c *counter) Score(tokens []uint32, visit func(int, []float32)) {
	c.read = append(c.read, slices.Clone(tokens))
	for i := range tokens {
		logits := make([]float32, c.vocab)
		logits[i+1] = 50
		visit(i, logits)
	}
}

func TestScoreWindows(t *testing.T) {
	tokens := []uint32{0, 1, 2, 3, 4, 5, 6, 7}
	for _, c := range []struct {
		context int
		reads   [][]uint32
		right   int64
	}{
		{0, [][]uint32{{0, 1, 2, 3, 4, 5, 6}}, 7},
		{3, [][]uint32{{0, 1, 2}, {3, 4, 5}, {6}}, 3}, // after a fresh start it counts from 1 again
		{100, [][]uint32{{0, 1, 2, 3, 4, 5, 6}}, 7},
	} {
		m := &counter{vocab: 10}
		s, by := Score(m, tokens, c.context, func(id uint32) int { return int(id) })
		if !slices.EqualFunc(m.read, c.reads, slices.Equal) {
			t.Errorf("context %d reads %v, want %v", c.context, m.read, c.reads)
		}
		if s.Tokens != 7 || s.Top1 != c.right {
			t.Errorf("context %d: %d tokens, %d right, want 7 and %d", c.context, s.Tokens, s.Top1, c.right)
		}
		var sum Positions
		sum.Add(by)
		var n, bytes int64
		for _, p := range sum {
			n += p.Tokens
			bytes += p.Bytes
		}
		if n != 7 || bytes != 1+2+3+4+5+6+7 {
			t.Errorf("context %d: positions hold %d tokens of %d bytes", c.context, n, bytes)
		}
	}
	_, by := Score(&counter{vocab: 10}, tokens, 0, func(uint32) int { return 1 })
	for i, want := range []int64{1, 2, 4} { // 1 read before it; 2 and 3; 4 to 7
		if by[i].Tokens != want {
			t.Errorf("position bucket %d has %d tokens, want %d", i, by[i].Tokens, want)
		}
	}
	for _, none := range [][]uint32{nil, {5}} {
		if s, by := Score(&counter{vocab: 10}, none, 0, nil); s.Tokens != 0 || by != nil || math.IsNaN(s.Nats) {
			t.Errorf("%v scores %+v", none, s)
		}
	}
}
