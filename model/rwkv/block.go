package rwkv

import "github.com/ptbr-slm/pipeline/model/kernel"

// Layer runs a block over batch sequences of seq tokens and keeps what its backward
// needs. N = batch·seq rows; row t of sequence b is b·seq+t.
type Layer[T kernel.Float] struct {
	cpu           *kernel.CPU[T]
	batch, seq, d int
	f             int

	x       []T    // [N,d]: the input, not a copy
	fresh   []bool // [B,T]: the caller's
	start   LayerState[T]
	started bool
	*activations[T]
	*gradients[T]
}

// activations are what the forward of a block computes and its backward reads. Layers that
// share them make them anew for the backward.
type activations[T kernel.Float] struct {
	of *Layer[T] // the layer whose they are

	h1, mean1, rstd1 []T // LN1: [N,d], [N], [N]
	xk, xv, xr       []T // [N,d]: shifted
	k, v, r, y, z    []T // [N,d]: r after the sigmoid; z = r·y
	mid              []T // [N,d]: x + Wo·z
	h2, mean2, rstd2 []T // LN2
	fk, fr           []T // [N,d]: shifted
	key, squared     []T // [N,f]
	gate, value      []T // [N,d]: gate after the sigmoid
	w                []T // [d]: -e^Decay
}

// gradients are what a block needs only while it runs: the layers of a network share them.
type gradients[T kernel.Float] struct {
	dh, g1, g2, g3, g4 []T           // [N,d]
	dkey               []T           // [N,f]
	state              LayerState[T] // a state that nobody asks for, or its gradient
	dfirst             []T           // [B,d]
}

// allocate makes buffers of n rows, one after the other on large pages: products read them with
// strides that touch many a page.
func allocate[T kernel.Float](n, width int, bufs ...*[]T) {
	const apart = 272 // elements: buffers in step would fall on the same sets of a cache
	size := n*width + apart
	all := kernel.Large[T](size * len(bufs))
	for i, b := range bufs {
		*b = all[i*size : i*size+n*width : i*size+n*width]
	}
}

func newActivations[T kernel.Float](c Config, n int) *activations[T] {
	a := &activations[T]{w: make([]T, c.Embd)}
	allocate(n, 1, &a.mean1, &a.rstd1, &a.mean2, &a.rstd2)
	allocate(n, c.Embd, &a.h1, &a.xk, &a.xv, &a.xr, &a.k, &a.v, &a.r, &a.y, &a.z, &a.mid, &a.h2, &a.fk, &a.fr, &a.gate, &a.value)
	allocate(n, c.FFN, &a.key, &a.squared)
	return a
}

// NewForward returns a Layer without the memory that Backward needs.
func NewForward[T kernel.Float](cpu *kernel.CPU[T], c Config, batch, seq int) *Layer[T] {
	n, d := batch*seq, c.Embd
	a := &activations[T]{w: make([]T, d)}
	allocate(n, 1, &a.mean1, &a.rstd1)
	allocate(n, d, &a.h1, &a.xk, &a.xv, &a.xr, &a.k, &a.v, &a.r, &a.y, &a.z, &a.mid)
	allocate(n, c.FFN, &a.key)
	// The channel mix can use the time mix's buffers again.
	a.mean2, a.rstd2, a.h2, a.fk, a.fr, a.gate, a.value, a.squared = a.mean1, a.rstd1, a.h1, a.xk, a.xr, a.r, a.v, a.key
	return &Layer[T]{cpu: cpu, batch: batch, seq: seq, d: d, f: c.FFN, activations: a, gradients: &gradients[T]{state: newLayerState[T](batch * d)}}
}

// NewLayers returns the layers of a network, of which those that keep says have activations
// of their own.
func NewLayers[T kernel.Float](cpu *kernel.CPU[T], c Config, batch, seq int, keep Checkpointing) []*Layer[T] {
	n, d := batch*seq, c.Embd
	g := &gradients[T]{state: newLayerState[T](batch * d), dfirst: make([]T, batch*d)}
	allocate(n, d, &g.dh, &g.g1, &g.g2, &g.g3, &g.g4)
	allocate(n, c.FFN, &g.dkey)
	var shared *activations[T]
	layers := make([]*Layer[T], c.Layers)
	for l := range layers {
		layers[l] = &Layer[T]{cpu: cpu, batch: batch, seq: seq, d: d, f: c.FFN, start: newLayerState[T](batch * d), gradients: g}
		if keep.keeps(l) {
			layers[l].activations = newActivations[T](c, n)
			continue
		}
		if shared == nil {
			shared = newActivations[T](c, n)
		}
		layers[l].activations = shared
	}
	return layers
}

// Forward computes out of x, [N,d] each. It starts from s and leaves s after the last
// token; nil means from nothing. Where fresh, [B,T] unless nil, says that a document begins,
// what came before is forgotten. x and fresh must stay as they are until Backward is done.
func (a *Layer[T]) Forward(p *Block[T], out, x []T, s *LayerState[T], fresh []bool) {
	a.x, a.fresh, a.started = x, fresh, s != nil
	if s != nil && a.start.Att != nil {
		a.start.copy(s)
	}
	a.activate(p, s)
	a.cpu.AddGate(out, a.mid, a.gate, a.value)
}

// activate computes all that Forward does but the output itself.
func (a *Layer[T]) activate(p *Block[T], s *LayerState[T]) {
	c, n, d, f, x, fresh := a.cpu, a.batch*a.seq, a.d, a.f, a.x, a.fresh
	a.of = a
	var att, ffn []T
	wkv := a.state.WKV
	if s != nil {
		att, ffn, wkv = s.Att, s.FFN, s.WKV
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
	if a.of != a {
		a.again(p)
	}
	var start kernel.WKVState[T]
	var att, ffn, datt, dffn []T
	if a.started {
		start, att, ffn = a.start.WKV, a.start.Att, a.start.FFN
	}
	ends := a.state.WKV
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

// again makes the activations that another layer has written over, from the same input and
// state by the same kernels: to the bit what they were.
func (a *Layer[T]) again(p *Block[T]) {
	if !a.started {
		a.activate(p, nil)
		return
	}
	a.state.copy(&a.start)
	a.activate(p, &a.state)
}

// shift is one token shift on its way back: the gradient of its output, mu, and where
// mu's gradient goes.
type shift[T kernel.Float] struct{ dy, mu, dmu []T }

// shiftBackward sums what h gets of its shifts into dh. dstate, unless nil, is the gradient
// of the last row as a state, and becomes that of the row before the first.
func (a *Layer[T]) shiftBackward(h, first, dstate []T, shifts []shift[T]) {
	var dfirst []T
	if dstate != nil {
		dfirst = a.dfirst
		clear(dfirst)
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
