package rwkv

import "github.com/ptbr-slm/pipeline/model/kernel"

// LayerState is what one block carries from token to token, for each of B sequences:
// the last rows that the two token shifts saw, and the sums of WKV.
type LayerState[T kernel.Float] struct {
	Att, FFN []T // [B,d]: the last LN1 and LN2 output
	WKV      kernel.WKVState[T]
}

// State is all that a network carries from token to token: 5·L·d values a sequence.
type State[T kernel.Float] []LayerState[T]

// NewState returns the state of batch sequences before their first token.
func NewState[T kernel.Float](c Config, batch int) State[T] {
	s := make(State[T], c.Layers)
	for l := range s {
		s[l] = newLayerState[T](batch * c.Embd)
	}
	return s
}

func newLayerState[T kernel.Float](n int) LayerState[T] {
	return LayerState[T]{make([]T, n), make([]T, n), kernel.NewWKVState[T](n)}
}

// Reset takes the state back to before the first token.
func (s State[T]) Reset() {
	for _, l := range s {
		clear(l.Att)
		clear(l.FFN)
		l.WKV.Reset()
	}
}

// Copy makes s what o is, which has the same shape.
func (s State[T]) Copy(o State[T]) {
	for l := range s {
		s[l].copy(&o[l])
	}
}

func (s *LayerState[T]) copy(o *LayerState[T]) {
	copy(s.Att, o.Att)
	copy(s.FFN, o.FFN)
	copy(s.WKV.A, o.WKV.A)
	copy(s.WKV.B, o.WKV.B)
	copy(s.WKV.P, o.WKV.P)
}
