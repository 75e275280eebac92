package rwkv

import "github.com/ptbr-slm/pipeline/model/kernel"

// Layer runs a block over batch sequences of seq tokens and keeps what its backward
// needs. N = batch·seq rows; row t of sequence b is b·seq+t.
type Layer[T kernel.Float] struct {
	cpu           *kernel.CPU[T]
	batch, seq, d int
	f             int

	x                  []T // [N,d]: the input, not a copy
	h1, mean1, rstd1   []T // LN1: [N,d], [N], [N]
	xk, xv, xr         []T // [N,d]: shifted
	k, v, r, y, z      []T // [N,d]: r after the sigmoid; z = r·y
	mid                []T // [N,d]: x + Wo·z
	h2, mean2, rstd2   []T // LN2
	fk, fr             []T // [N,d]: shifted
	key, squared       []T // [N,f]
	gate, value        []T // [N,d]: gate after the sigmoid
	w                  []T // [d]: -e^Decay
	start              LayerState[T]
	started            bool
	fresh              []bool // [B,T]: the caller's
	dh, g1, g2, g3, g4 []T    // [N,d]: gradients on their way
	dkey               []T    // [N,f]
	ends               kernel.WKVState[T]
}

// NewLayer returns a Layer for blocks of c. With backward unset it lacks the memory
// that Backward needs.
func NewLayer[T kernel.Float](cpu *kernel.CPU[T], c Config, batch, seq int, backward bool) *Layer[T] {
	n, d, f := batch*seq, c.Embd, c.FFN
	a := &Layer[T]{cpu: cpu, batch: batch, seq: seq, d: d, f: f}
	rows := func(width int, bufs ...*[]T) {
		for _, b := range bufs {
			*b = make([]T, n*width)
		}
	}
	rows(1, &a.mean1, &a.rstd1, &a.mean2, &a.rstd2)
	rows(d, &a.h1, &a.xk, &a.xv, &a.xr, &a.k, &a.v, &a.r, &a.y, &a.z, &a.mid)
	rows(f, &a.key, &a.squared)
	a.w = make([]T, d)
	if !backward { // the channel mix can use the time mix's buffers again
		a.h2, a.fk, a.fr, a.gate, a.value = a.h1, a.xk, a.xr, a.r, a.v
		a.squared = a.key
		return a
	}
	rows(d, &a.h2, &a.fk, &a.fr, &a.gate, &a.value)
	rows(d, &a.dh, &a.g1, &a.g2, &a.g3, &a.g4)
	rows(f, &a.dkey)
	a.start = newLayerState[T](batch * d)
	a.ends = kernel.NewWKVState[T](batch * d)
	return a
}

// Forward computes out of x, [N,d] each. It starts from s and leaves s after the last
// token; nil means from nothing. Where fresh, [B,T] unless nil, says that a document begins,
// what came before is forgotten. x and fresh must stay as they are until Backward is done.
func (a *Layer[T]) Forward(p *Block[T], out, x []T, s *LayerState[T], fresh []bool) {
	c, n, d, f := a.cpu, a.batch*a.seq, a.d, a.f
	a.x, a.fresh = x, fresh
	var att, ffn []T
	a.started = s != nil
	wkv := a.ends
	if s != nil {
		att, ffn, wkv = s.Att, s.FFN, s.WKV
		if a.dh != nil {
			a.start.copy(s)
		}
	} else if wkv.A == nil {
		a.ends = kernel.NewWKVState[T](a.batch * d)
		wkv = a.ends
	} else {
		wkv.Reset()
	}
	c.LayerNorm(a.h1, a.mean1, a.rstd1, x, p.LN1W, p.LN1B)
	c.TokenShift(a.xk, a.h1, p.MixK, att, a.seq, fresh)
	c.TokenShift(a.xv, a.h1, p.MixV, att, a.seq, fresh)
	c.TokenShift(a.xr, a.h1, p.MixR, att, a.seq, fresh)
	if s != nil {
		a.last(att, a.h1)
	}
	c.Linear(a.k, a.xk, p.Key, n, d, d)
	c.Linear(a.v, a.xv, p.Value, n, d, d)
	c.Linear(a.r, a.xr, p.Receptance, n, d, d)
	c.Sigmoid(a.r)
	c.Decay(a.w, p.Decay)
	c.WKV(a.y, a.w, p.First, a.k, a.v, wkv, fresh)
	c.Gate(a.z, a.r, a.y)
	c.Linear(a.mid, a.z, p.Output, n, d, d)
	c.Add(a.mid, a.mid, x)

	c.LayerNorm(a.h2, a.mean2, a.rstd2, a.mid, p.LN2W, p.LN2B)
	c.TokenShift(a.fk, a.h2, p.FFNMixK, ffn, a.seq, fresh)
	c.TokenShift(a.fr, a.h2, p.FFNMixR, ffn, a.seq, fresh)
	if s != nil {
		a.last(ffn, a.h2)
	}
	c.Linear(a.key, a.fk, p.FFNKey, n, d, f)
	c.SquaredReLU(a.squared, a.key)
	c.Linear(a.value, a.squared, p.FFNValue, n, f, d)
	c.Linear(a.gate, a.fr, p.FFNReceptance, n, d, d)
	c.Sigmoid(a.gate)
	c.AddGate(out, a.mid, a.gate, a.value)
}

// last copies the last row of each sequence.
func (a *Layer[T]) last(dst, h []T) {
	for b := range a.batch {
		copy(dst[b*a.d:(b+1)*a.d], h[((b+1)*a.seq-1)*a.d:(b+1)*a.seq*a.d])
	}
}

// Backward overwrites g and dx with what the tensors and x get of dout, the gradient of
// what Forward computed. ds is the gradient of the final state, its WKV part in the form
// that WKVBackward has, and becomes that of the starting state; nil means that nothing
// follows and nobody asks. dx may be dout.
func (a *Layer[T]) Backward(p, g *Block[T], dx, dout []T, ds *LayerState[T]) {
	c, n, d, f := a.cpu, a.batch*a.seq, a.d, a.f
	var start kernel.WKVState[T]
	var att, ffn, datt, dffn []T
	if a.started {
		start, att, ffn = a.start.WKV, a.start.Att, a.start.FFN
	}
	ends := a.ends
	if ds != nil {
		ends, datt, dffn = ds.WKV, ds.Att, ds.FFN
	} else {
		ends.Reset()
	}

	c.SigmoidGateBackward(a.g1, a.g2, dout, a.gate, a.value)
	c.LinearBackward(a.g3, g.FFNReceptance, a.g1, a.fr, p.FFNReceptance, n, d, d, false)
	c.LinearBackward(a.dkey, g.FFNValue, a.g2, a.squared, p.FFNValue, n, f, d, false)
	c.SquaredReLUBackward(a.dkey, a.dkey, a.key)
	c.LinearBackward(a.g4, g.FFNKey, a.dkey, a.fk, p.FFNKey, n, d, f, false)
	a.shiftBackward(a.h2, ffn, dffn, []shift[T]{{a.g3, p.FFNMixR, g.FFNMixR}, {a.g4, p.FFNMixK, g.FFNMixK}})
	if &dx[0] != &dout[0] {
		copy(dx, dout)
	}
	c.LayerNormBackward(dx, g.LN2W, g.LN2B, a.dh, a.mid, a.mean2, a.rstd2, p.LN2W, true)

	c.LinearBackward(a.g1, g.Output, dx, a.z, p.Output, n, d, d, false)
	c.SigmoidGateBackward(a.g2, a.g1, a.g1, a.r, a.y)
	c.WKVBackward(g.Decay, g.First, a.g3, a.g4, a.g1, a.y, a.w, p.First, a.k, a.v, start, ends, a.fresh)
	c.LinearBackward(a.g1, g.Receptance, a.g2, a.xr, p.Receptance, n, d, d, false)
	c.LinearBackward(a.g2, g.Key, a.g3, a.xk, p.Key, n, d, d, false)
	c.LinearBackward(a.g3, g.Value, a.g4, a.xv, p.Value, n, d, d, false)
	a.shiftBackward(a.h1, att, datt, []shift[T]{{a.g1, p.MixR, g.MixR}, {a.g2, p.MixK, g.MixK}, {a.g3, p.MixV, g.MixV}})
	c.LayerNormBackward(dx, g.LN1W, g.LN1B, a.dh, a.x, a.mean1, a.rstd1, p.LN1W, true)
}

// shift is one token shift on its way back: the gradient of its output, mu, and where
// mu's gradient goes.
type shift[T kernel.Float] struct{ dy, mu, dmu []T }

// shiftBackward sums what h gets of its shifts into dh. dstate, unless nil, is the gradient
// of the last row as a state, and becomes that of the row before the first.
func (a *Layer[T]) shiftBackward(h, first, dstate []T, shifts []shift[T]) {
	var dfirst []T
	if dstate != nil {
		dfirst = make([]T, len(dstate))
	}
	for i, s := range shifts {
		a.cpu.TokenShiftBackward(a.dh, s.dmu, dfirst, s.dy, h, s.mu, first, a.seq, a.fresh, i > 0)
	}
	if dstate == nil {
		return
	}
	for b := range a.batch {
		row := a.dh[((b+1)*a.seq-1)*a.d : (b+1)*a.seq*a.d]
		for i, v := range dstate[b*a.d : (b+1)*a.d] {
			row[i] += v
		}
	}
	copy(dstate, dfirst)
}
