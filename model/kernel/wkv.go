package kernel

// WKV is the attention of RWKV-4, by channel:
//
//	y_t = (Σ_{i<t} e^{(t-1-i)w+k_i} v_i + e^{u+k_t} v_t) / (the same without v)
//
// with decay w = -e^time_decay and bonus u = time_first. The sums travel as A = a·e^p and
// B = b·e^p, with p their largest exponent so far, so that no exponent is ever above 0:
//
//	q = max(p, u+k)   y = (e^{p-q} a + e^{u+k-q} v) / (e^{p-q} b + e^{u+k-q})
//	q = max(p+w, k)   a, b, p = e^{p+w-q} a + e^{k-q} v, e^{p+w-q} b + e^{k-q}, q
//
// One of the two exponentials of a line is e^0, so each line costs one. The
// denominator is at least 1 after the first token; y lies between the least and the
// largest v so far.

// WKVState holds a, b, p of each sequence and channel, [B,C] each. Start with zeros and
// p = EmptyP.
type WKVState[T Float] struct{ A, B, P []T }

// EmptyP is the exponent of a state that has seen nothing. e^EmptyP is 0 whatever
// decay or key is added to it.
const EmptyP = -1e30

// NewWKVState returns n empty channels.
func NewWKVState[T Float](n int) WKVState[T] {
	s := WKVState[T]{make([]T, n), make([]T, n), make([]T, n)}
	s.Reset()
	return s
}

// Reset empties the state.
func (s WKVState[T]) Reset() {
	clear(s.A)
	clear(s.B)
	for i := range s.P {
		s.P[i] = EmptyP
	}
}

// wkvSpan is the part of a sequence's rows that one task does: channels [lo, lo+n) of
// steps rows of stride elements.
type wkvSpan[T Float] struct{ steps, stride, lo, n int }

func (s wkvSpan[T]) row(x []T, t int) []T { return x[t*s.stride+s.lo:][:s.n] }

// wkvChannels is how many channels a task takes: their state stays in the first-level
// cache.
const wkvChannels = 64

// blockLen is what a vector path needs beside: slots of 16 channels.
const blockLen = 9 * lanes

// Decay computes w = -e^decay.
func (c *CPU[T]) Decay(w, decay []T) {
	copy(w, decay)
	c.path.exp(w)
	for i := range w {
		w[i] = -w[i]
	}
}

// WKV computes y of k and v, [B,T,C] with w and u [C], from the state s, [B,C], which it
// leaves after the last token. Where fresh, [B,T] unless nil, says that a document begins, the
// state is emptied.
func (c *CPU[T]) WKV(y, w, u, k, v []T, s WKVState[T], fresh []bool) {
	ch := len(w)
	blocks := (ch + wkvChannels - 1) / wkvChannels
	steps, parts := len(k)/len(s.A), len(s.A)/ch*blocks
	c.tasks.wkv = wkvTask[T]{c, y, w, u, k, v, s, fresh, steps, blocks}
	if steps == 1 { // too little for goroutines
		for i := range parts {
			c.tasks.wkv.do(0, i)
		}
		return
	}
	c.each(parts, &c.tasks.wkv)
}

type wkvTask[T Float] struct {
	c             *CPU[T]
	y, w, u, k, v []T
	state         WKVState[T]
	fresh         []bool
	steps, blocks int // blocks of channels
}

func (q *wkvTask[T]) do(thread, i int) {
	b, lo, ch, steps := i/q.blocks, i%q.blocks*wkvChannels, len(q.w), q.steps
	n := min(wkvChannels, ch-lo)
	hi, at := lo+n, b*ch+lo
	tmp := q.c.scratch(thread, 2*n+blockLen)
	s := WKVState[T]{q.state.A[at : at+n], q.state.B[at : at+n], q.state.P[at : at+n]}
	fresh := q.fresh[min(b*steps, len(q.fresh)):]
	for from, to := 0, 0; from < steps; from = to {
		to = documentEnd(fresh, from, steps)
		if len(fresh) > 0 && fresh[from] {
			s.Reset()
		}
		row, end := (b*steps+from)*ch, (b*steps+to)*ch
		q.c.path.wkv(wkvSpan[T]{to - from, ch, lo, n}, q.w[lo:hi], q.u[lo:hi], q.k[row:end], q.v[row:end], q.y[row:end], s.A, s.B, s.P, tmp)
	}
}

// documentEnd is the end of the document to which row t of a sequence of steps belongs:
// the next row where fresh, unless it is empty, says that one begins.
func documentEnd(fresh []bool, t, steps int) int {
	if len(fresh) == 0 {
		return steps
	}
	for t++; t < steps && !fresh[t]; t++ {
	}
	return t
}

// wkvForward computes y of one sequence's span and leaves its state in a, b, p. tmp
// holds 2n elements.
func wkvForward[T Float](s wkvSpan[T], w, u, k, v, y []T, a, b, p []T, tmp []T) {
	n := s.n
	tmp = tmp[:2*n]
	e, f := tmp[:n], tmp[n:]
	for t := range s.steps {
		kr, vr, yr := s.row(k, t), s.row(v, t), s.row(y, t)
		for i, kt := range kr {
			e[i] = -larger(p[i]-(u[i]+kt), u[i]+kt-p[i])
			f[i] = -larger(p[i]+w[i]-kt, kt-(p[i]+w[i]))
		}
		exponential(tmp)
		for i, kt := range kr {
			e1, e2 := split(p[i] >= u[i]+kt, e[i])
			yr[i] = (T(e1*a[i]) + T(e2*vr[i])) / (T(e1*b[i]) + e2)
			pw := p[i] + w[i]
			e1, e2 = split(pw >= kt, f[i])
			a[i] = T(e1*a[i]) + T(e2*vr[i])
			b[i] = T(e1*b[i]) + e2
			p[i] = larger(pw, kt)
		}
	}
}

// split gives the exponentials of x-q and z-q, q = max(x, z), out of e = e^-|x-z|.
func split[T Float](first bool, e T) (e1, e2 T) {
	if first {
		return 1, e
	}
	return e, 1
}

// WKVBackward computes what the inputs of WKV get of gy: gk and gv, and gdecay (of
// time_decay, w being -e^decay) and gu, summed over sequences in order. All four are
// overwritten. start is the state that WKV began with (nil slices: empty).
//
// g is the gradient of the final state, as dL/dA = g.A·e^g.P and dL/dB = g.B·e^g.P for
// A = a·e^p and B = b·e^p; empty where nothing follows. It is replaced by that of the
// starting state, in the same form: so chunks of a sequence hand it on from last to
// first. p itself is a redundant exponent and has no gradient. None of it goes over a row
// where fresh says that a document begins.
func (c *CPU[T]) WKVBackward(gdecay, gu, gk, gv, gy, y, w, u, k, v []T, start, g WKVState[T], fresh []bool) {
	ch := len(w)
	batch := len(g.A) / ch
	steps := len(k) / len(g.A)
	blocks := (ch + wkvChannels - 1) / wkvChannels
	c.rows = grow(c.rows, 2*batch*ch)
	clear(c.rows)
	sums := c.rows
	c.tasks.wkvBackward = wkvTaskBackward[T]{wkvTask[T]{c, y, w, u, k, v, start, fresh, steps, blocks}, g, gk, gv, gy, sums}
	c.each(batch*blocks, &c.tasks.wkvBackward)
	clear(gdecay)
	clear(gu)
	for b := range batch {
		for i := range ch {
			gdecay[i] += sums[2*b*ch+i]
			gu[i] += sums[(2*b+1)*ch+i]
		}
	}
	for i := range ch {
		gdecay[i] *= w[i]
	}
}

// wkvTaskBackward has the starting state as state.
type wkvTaskBackward[T Float] struct {
	wkvTask[T]
	g                WKVState[T]
	gk, gv, gy, sums []T // sums: of gdecay and gu by sequence, [B,2,C]
}

func (q *wkvTaskBackward[T]) do(thread, i int) {
	b, lo, ch, steps := i/q.blocks, i%q.blocks*wkvChannels, len(q.w), q.steps
	n := min(wkvChannels, ch-lo)
	hi, at := lo+n, b*ch+lo
	tmp := q.c.scratch(thread, (2*steps+8)*n+blockLen)
	s, g := WKVState[T]{tmp[:n], tmp[n : 2*n], tmp[2*n : 3*n]}, WKVState[T]{q.g.A[at : at+n], q.g.B[at : at+n], q.g.P[at : at+n]}
	gw, gu := q.sums[2*b*ch+lo:][:n], q.sums[(2*b+1)*ch+lo:][:n]
	fresh := q.fresh[min(b*steps, len(q.fresh)):]
	for from, to := 0, steps; to > 0; to = from { // from the last document to the first
		from = documentStart(fresh, to)
		empty := from > 0 || len(fresh) > 0 && fresh[0]
		if empty || q.state.A == nil {
			s.Reset()
		} else {
			copy(s.A, q.state.A[at:])
			copy(s.B, q.state.B[at:])
			copy(s.P, q.state.P[at:])
		}
		row, end := (b*steps+from)*ch, (b*steps+to)*ch
		q.c.path.wkvBackward(wkvSpan[T]{to - from, ch, lo, n}, q.w[lo:hi], q.u[lo:hi], q.k[row:end], q.v[row:end], q.y[row:end], q.gy[row:end],
			s.A, s.B, s.P, g.A, g.B, g.P, gw, gu, q.gk[row:end], q.gv[row:end], tmp[3*n:])
		if empty {
			g.Reset()
		}
	}
}

// documentStart is the first row of the document that ends before row t.
func documentStart(fresh []bool, t int) int {
	if len(fresh) == 0 {
		return 0
	}
	for t--; t > 0 && !fresh[t]; t-- {
	}
	return t
}

// wkvBackward goes over one sequence's span twice. Forth, it makes the states again, the
// derivatives da, db of A and B by w, and keeps for each step c = gy/denominator and
// s = -q; back, it carries al, be, rho, the gradient of A and B. gw and gu are added to.
// tmp holds (2·steps+5)·n elements.
func wkvBackward[T Float](s wkvSpan[T], w, u, k, v, y, gy []T, a, b, p []T, al, be, rho []T, gw, gu, gk, gv []T, tmp []T) {
	n := s.n
	da, db, e3 := tmp[:n], tmp[n:2*n], tmp[2*n:5*n]
	e, f, h := e3[:n], e3[n:2*n], e3[2*n:]
	ct, st := tmp[5*n:][:s.steps*n], tmp[(5+s.steps)*n:][:s.steps*n]
	clear(da)
	clear(db)
	for t := range s.steps {
		kr, vr, yr, gr := s.row(k, t), s.row(v, t), s.row(y, t), s.row(gy, t)
		cr, sr := ct[t*n:][:n], st[t*n:][:n]
		for i, kt := range kr {
			e[i] = -larger(p[i]-(u[i]+kt), u[i]+kt-p[i])
			f[i] = -larger(p[i]+w[i]-kt, kt-(p[i]+w[i]))
		}
		exponential(e3[:2*n])
		for i, kt := range kr {
			uk := u[i] + kt
			e1, e2 := split(p[i] >= uk, e[i])
			ci := gr[i] / (T(e1*b[i]) + e2)
			gw[i] += T(T(ci*e1) * (da[i] - T(db[i]*yr[i])))
			gu[i] += T(T(ci*e2) * (vr[i] - yr[i]))
			cr[i], sr[i] = ci, -larger(p[i], uk)
			pw := p[i] + w[i]
			e1, e2 = split(pw >= kt, f[i])
			da[i] = e1 * (a[i] + da[i])
			db[i] = e1 * (b[i] + db[i])
			a[i] = T(e1*a[i]) + T(e2*vr[i])
			b[i] = T(e1*b[i]) + e2
			p[i] = larger(pw, kt)
		}
	}
	following(da, db, p, al, be, rho, gw, h)
	for t := s.steps - 1; t >= 0; t-- {
		kr, vr, yr := s.row(k, t), s.row(v, t), s.row(y, t)
		gkr, gvr := s.row(gk, t), s.row(gv, t)
		cr, sr := ct[t*n:][:n], st[t*n:][:n]
		for i, kt := range kr {
			e[i] = sr[i] + u[i] + kt
			f[i] = kt + rho[i]
			wr := w[i] + rho[i]
			h[i] = -larger(wr-sr[i], sr[i]-wr)
		}
		exponential(e3)
		for i := range kr {
			ci, e2 := T(cr[i]*e[i]), f[i]
			gkr[i] = T(ci*(vr[i]-yr[i])) + T(e2*(T(al[i]*vr[i])+be[i]))
			gvr[i] = ci + T(e2*al[i])
			wr := w[i] + rho[i]
			e1, e3 := split(wr >= sr[i], h[i])
			e3 = T(e3 * cr[i])
			al[i] = T(e1*al[i]) + e3
			be[i] = T(e1*be[i]) - T(e3*yr[i])
			rho[i] = larger(wr, sr[i])
		}
	}
}

// following adds to gw what the final state's gradient gives it. tmp holds as many
// elements as there are channels.
func following[T Float](da, db, p, al, be, rho, gw, tmp []T) {
	for i := range tmp {
		tmp[i] = p[i] + rho[i]
	}
	exponential(tmp)
	for i := range tmp {
		if al[i] == 0 && be[i] == 0 { // nothing follows; its exponent must not decide q in the way back
			rho[i] = EmptyP
			continue
		}
		gw[i] += T((T(al[i]*da[i]) + T(be[i]*db[i])) * tmp[i])
	}
}
