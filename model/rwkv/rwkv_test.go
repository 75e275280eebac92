package rwkv

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/model/kernel"
)

func TestParameters(t *testing.T) {
	for _, q := range []struct {
		vocab, d, l, f int
		tied           bool
		want           int64
	}{
		{50277, 768, 12, 3072, false, 169_342_464}, // the published 169M, 430M and 1B5
		{50277, 1024, 24, 4096, false, 430_397_440},
		{50277, 2048, 24, 8192, false, 1_515_106_304},
		{32000, 768, 12, 3072, true, 116_692_992},
	} {
		c := Config{q.vocab, q.d, q.l, q.f, q.tied}
		tensors := c.Tensors()
		if n := c.Parameters(); n != q.want || int64(tensors[len(tensors)-1].End) != n {
			t.Errorf("%+v: %d parameters, tensors end at %d; want %d", c, n, tensors[len(tensors)-1].End, q.want)
		}
	}
	for name, want := range map[string]int64{"85m": 134_191_104, "400m": 392_966_144, "800m": 799_426_560, "1b": 1_037_590_528, "1.5b": 1_485_895_680} {
		p, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := (Config{32000, p.Embd, p.Layers, p.FFN, false}).Parameters(); n != want {
			t.Errorf("%s: %d parameters, want %d", name, n, want)
		}
	}
	if n := (Config{32000, 768, 12, 2688, false}).Parameters() - 2*32000*768; n != 85_039_104 {
		t.Errorf("85m has %d parameters besides embedding and head", n)
	}
	if _, err := Named("86m"); err == nil || !strings.Contains(err.Error(), "nano, micro, mini, 85m") {
		t.Errorf("unknown preset: %v", err)
	}
}

func TestInit(t *testing.T) {
	c := Config{Vocab: 300, Embd: 32, Layers: 3, FFN: 100}
	p := Init(c, 7, 1)
	if q := Init(c, 7, 3); !slices.Equal(p.Flat, q.Flat) {
		t.Error("other weights with 3 threads")
	}
	if q := Init(c, 8, 1); slices.Equal(p.Blocks[0].Value, q.Blocks[0].Value) {
		t.Error("the seed changes nothing")
	}
	for name, w := range map[string]struct {
		w       []float32
		out, in int
		gain    float64
	}{
		"value": {p.Blocks[1].Value, 32, 32, 1},
		"key":   {p.Blocks[1].FFNKey, 100, 32, math.Sqrt(100. / 32)},
		"head":  {p.Head, 300, 32, 0.5 * math.Sqrt(300./32)},
	} {
		for i := range w.in {
			for j := range w.in {
				s, want := 0.0, 0.0
				for o := range w.out {
					s += float64(w.w[o*w.in+i]) * float64(w.w[o*w.in+j])
				}
				if i == j {
					want = w.gain * w.gain
				}
				if math.Abs(s-want) > 1e-5 {
					t.Fatalf("%s: columns %d and %d have product %g, want %g", name, i, j, s, want)
				}
			}
		}
	}
	wide := make([]float32, 3*8)
	orthogonal(wide, 3, 8, 1, &source{rand.NewPCG(1, 1)}, 1)
	for i := range 3 {
		s := 0.0
		for _, v := range wide[i*8 : i*8+8] {
			s += float64(v) * float64(v)
		}
		if math.Abs(s-1) > 1e-6 {
			t.Errorf("row %d of a wide matrix has norm² %g", i, s)
		}
	}
	b0, b2 := p.Blocks[0], p.Blocks[2]
	for _, q := range []struct {
		name      string
		got, want float64
	}{
		{"first decay", float64(b0.Decay[0]), -5}, {"last decay", float64(b2.Decay[31]), 3},
		{"decay of channel 8, layer 0", float64(b0.Decay[8]), -5 + 8*math.Pow(8./31, 0.7)},
		{"bonus 0", float64(b0.First[0]), math.Log(0.3)}, {"bonus 1", float64(b0.First[1]), math.Log(0.3) + .5}, {"bonus 2", float64(b0.First[2]), math.Log(0.3) - .5},
		{"mix k, layer 0", float64(b0.MixK[8]), 0.25}, {"mix v, layer 2", float64(b2.MixV[8]), math.Pow(0.25, 1./3) + 0.3},
		{"mix r, layer 0", float64(b0.MixR[8]), 0.5}, {"ffn mix, layer 0", float64(b0.FFNMixR[16]), 0.5},
		{"zeros", float64(slices.Max(b0.Output)) + float64(slices.Max(b2.FFNValue)), 0}, {"LN", float64(slices.Min(b2.LN2W)), 1},
	} {
		if math.Abs(q.got-q.want) > 1e-6 {
			t.Errorf("%s: %g, want %g", q.name, q.got, q.want)
		}
	}
}

func randomParams(c Config, r *rand.Rand) *Params[float64] {
	p := NewParams[float64](c)
	for i := range p.Flat {
		p.Flat[i] = 0.4 * r.NormFloat64()
	}
	return p
}

func randomTokens(r *rand.Rand, vocab, n int) []uint32 {
	x := make([]uint32, n)
	for i := range x {
		x[i] = uint32(r.IntN(vocab))
	}
	return x
}

// A block's backward, every tensor, its input and its starting state, against central
// differences of a loss on its output and its final state.
func TestBlockBackward(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := Config{Vocab: 1, Embd: 5, Layers: 1, FFN: 7}
	const batch, seq = 2, 4
	cpu := kernel.NewCPU[float64](2)
	p, g := randomParams(c, r), NewParams[float64](c)
	n := batch * seq * c.Embd
	x, wout := make([]float64, n), make([]float64, n)
	start, ws := NewState[float64](c, batch), NewState[float64](c, batch)
	for _, b := range [][]float64{x, wout, start[0].Att, start[0].FFN, start[0].WKV.A, start[0].WKV.P, ws[0].Att, ws[0].FFN, ws[0].WKV.A, ws[0].WKV.B} {
		for i := range b {
			b[i] = r.NormFloat64()
		}
	}
	fill64(start[0].WKV.B, 1.5)
	fill64(ws[0].WKV.P, 0)
	layer, out := NewLayers(cpu, c, batch, seq, Off)[0], make([]float64, n)
	loss := func() (l float64) {
		s := NewState[float64](c, batch)
		s.Copy(start)
		layer.Forward(&p.Blocks[0], out, x, &s[0], nil)
		for i := range out {
			l += out[i] * wout[i]
		}
		for i := range s[0].Att {
			e := math.Exp(s[0].WKV.P[i])
			l += s[0].Att[i]*ws[0].Att[i] + s[0].FFN[i]*ws[0].FFN[i] + e*(s[0].WKV.A[i]*ws[0].WKV.A[i]+s[0].WKV.B[i]*ws[0].WKV.B[i])
		}
		return l
	}
	loss()
	ds, dx := NewState[float64](c, batch), make([]float64, n)
	ds.Copy(ws)
	layer.Backward(&p.Blocks[0], &g.Blocks[0], dx, wout, &ds[0])
	check := func(name string, x, grad []float64) {
		t.Helper()
		for i, v := range x {
			const h = 1e-5
			x[i] = v + h
			up := loss()
			x[i] = v - h
			down := loss()
			x[i] = v
			if want := (up - down) / (2 * h); !(math.Abs(want-grad[i]) <= 2e-7*(1+math.Abs(want))) {
				t.Errorf("%s[%d]: gradient %g, finite difference %g", name, i, grad[i], want)
			}
		}
	}
	for _, q := range c.Tensors()[3 : 3+BlockTensors] {
		check(q.Name, p.Flat[q.Start:q.End], g.Flat[q.Start:q.End])
	}
	check("x", x, dx)
	check("state att", start[0].Att, ds[0].Att)
	check("state ffn", start[0].FFN, ds[0].FFN)
	for i := range ds[0].WKV.A {
		e := math.Exp(ds[0].WKV.P[i] + start[0].WKV.P[i])
		ds[0].WKV.A[i] *= e
		ds[0].WKV.B[i] *= e
	}
	check("state a", start[0].WKV.A, ds[0].WKV.A)
	check("state b", start[0].WKV.B, ds[0].WKV.B)
}

func fill64(x []float64, v float64) {
	for i := range x {
		x[i] = v
	}
}

// Three ways to read the same tokens give the same logits: all at once, in chunks with
// the state carried, and one token at a time.
func TestForwardsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	c := Config{Vocab: 40, Embd: 70, Layers: 3, FFN: 50}
	p := randomParams(c, r)
	tokens := randomTokens(r, c.Vocab, 24)
	cpu := kernel.NewCPU[float64](1)
	var all [][]float64
	keep := func(_ int, logits []float64) { all = append(all, slices.Clone(logits)) }
	n := NewNetwork(cpu, p, 1, 24)
	n.Forward(tokens, nil, nil)
	n.Logits(0, 24, keep)
	m, s := NewNetwork(cpu, p, 1, 8), NewState[float64](c, 1)
	for i := range 3 {
		m.Forward(tokens[8*i:8*i+8], s, nil)
		m.Logits(0, 8, keep)
	}
	step, q := NewStepper(cpu, p, kernel.FP32), NewState[float64](c, 1)
	for i, id := range tokens {
		for j, v := range step.Step(q, id) {
			if math.Abs(v-all[i][j]) > 1e-10 || math.Abs(v-all[24+i][j]) > 1e-10 {
				t.Fatalf("token %d, logit %d: %g at once, %g in chunks, %g in steps", i, j, all[i][j], all[24+i][j], v)
			}
		}
	}
	for l := range s {
		for i := range s[l].Att {
			if math.Abs(s[l].Att[i]-q[l].Att[i]) > 1e-10 || math.Abs(s[l].FFN[i]-q[l].FFN[i]) > 1e-10 || math.Abs(s[l].WKV.A[i]-q[l].WKV.A[i]) > 1e-8 {
				t.Fatalf("layer %d: states differ at %d", l, i)
			}
		}
	}
	q.Reset()
	if got := step.Step(q, tokens[0]); math.Abs(got[0]-all[0][0]) > 1e-10 {
		t.Error("a reset state remembers")
	}
	if a := testing.AllocsPerRun(10, func() { step.Step(q, 3) }); a != 0 {
		t.Errorf("a step allocates %g times", a)
	}
}

// A Stepper takes the memory that is said of it, in each kind of weights, and what it reads for
// a token is all of that but the embedding, unless the head is the embedding.
func TestInferBytes(t *testing.T) {
	for _, tied := range []bool{false, true} {
		c := Config{Vocab: 101, Embd: 70, Layers: 2, FFN: 1030, Tied: tied}
		p := NewParams[float32](c)
		for _, kind := range []kernel.Weights{kernel.FP32, kernel.BF16, kernel.Int8} {
			s := NewStepper(kernel.NewCPU[float32](1), p, kind)
			state := int64(4 * 5 * c.Layers * c.Embd)
			want := InferBytes(c, kind) - state
			if s.Bytes() != want {
				t.Errorf("%s, tied %v: %d bytes, InferBytes says %d", kind, tied, s.Bytes(), want)
			}
			emb := int64(0)
			if !tied {
				m := kernel.Pack(kind, make([]uint32, kind.Words(c.Vocab, c.Embd)), p.Emb, c.Vocab, c.Embd)
				emb = m.Bytes()
			}
			if s.TokenBytes() != s.Bytes()-emb {
				t.Errorf("%s, tied %v: a token reads %d of %d bytes", kind, tied, s.TokenBytes(), s.Bytes())
			}
		}
	}
}

func TestCheck(t *testing.T) {
	for _, q := range []struct {
		c    Config
		want string
	}{{Config{0, 4, 1, 4, false}, "vocabulary"}, {Config{4, 1, 1, 4, false}, "at least 2"}, {Config{4, 4, 0, 4, false}, "layers"}, {Config{4, 4, 1, 0, false}, "feed-forward"}} {
		if err := q.c.Check(); err == nil || !strings.Contains(err.Error(), q.want) {
			t.Errorf("%+v: %v", q.c, err)
		}
	}
}
