package eval

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestObserve(t *testing.T) {
	// Four tokens with probabilities 1/2, 1/4, 1/8, 1/8; a constant added to all logits
	// changes nothing.
	var s Sums
	logits := []float32{5, 5, 5, 5}
	for i, p := range []float64{0.5, 0.25, 0.125, 0.125} {
		logits[i] += float32(math.Log(p))
	}
	for token := range uint32(4) {
		s.Observe(logits, token)
	}
	s.Bytes, s.Words = 8, 2
	m := s.Measures()
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-6*want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	near("bits a token", m.BitsPerToken, (1.0+2+3+3)/4)
	near("bits a byte", m.BitsPerByte, 9.0/8)
	near("entropy", m.Entropy, 0.5*1+0.25*2+0.25*3)
	near("token perplexity", m.TokenPerplexity, math.Exp2(9.0/4))
	near("word perplexity", m.WordPerplexity, math.Exp2(9.0/2))
	near("byte perplexity", m.BytePerplexity, math.Exp2(9.0/8))
	near("bytes a token", m.BytesPerToken, 2)
	if s.Top1 != 1 || s.Top5 != 4 {
		t.Errorf("top-1 %d, top-5 %d; want 1 and 4", s.Top1, s.Top5)
	}
}

func TestObserveTies(t *testing.T) {
	logits := make([]float32, 10)
	var s Sums
	for token := range uint32(10) {
		s.Observe(logits, token)
	}
	if s.Top1 != 1 || s.Top5 != 5 {
		t.Errorf("of ten equal logits %d are first and %d among five, want 1 and 5", s.Top1, s.Top5)
	}
	// A distribution with all its mass on one token: no NaN from 0·ln 0.
	var sure Sums
	sure.Observe([]float32{0, -1e30, float32(math.Inf(-1))}, 0)
	if sure.Nats != 0 || sure.Entropy != 0 {
		t.Errorf("a sure prediction costs %v nats and has entropy %v", sure.Nats, sure.Entropy)
	}
	if m := (Sums{}).Measures(); m != (Measures{}) {
		t.Errorf("measures of nothing: %+v", m)
	}
}

func TestBootstrapCovers(t *testing.T) {
	// Documents of unequal length whose bits scatter around 2 a byte.
	r := rand.New(rand.NewPCG(5, 6))
	covered := 0
	const trials = 300
	for trial := range trials {
		docs := make([]Ratio, 40)
		for i := range docs {
			n := 100 + 900*r.Float64()
			docs[i] = Ratio{n * (2 + 0.5*r.NormFloat64()), n}
		}
		i, ok := Bootstrap(docs, 400, uint64(trial))
		if !ok || i.Low >= i.High {
			t.Fatalf("interval %+v", i)
		}
		if i.Low <= 2 && 2 <= i.High {
			covered++
		}
	}
	// 95 % nominal; percentile intervals of 40 documents fall a little short of it.
	if covered < 264 || covered > 297 {
		t.Errorf("%d of %d intervals cover the truth", covered, trials)
	}
}

func TestBootstrapEdges(t *testing.T) {
	docs := []Ratio{{2, 1}, {4, 2}, {1, 1}}
	a, _ := Bootstrap(docs, 200, 7)
	b, _ := Bootstrap(docs, 200, 7)
	c, _ := Bootstrap(docs, 200, 8)
	if a != b || a == (Interval{}) {
		t.Errorf("%+v, then %+v", a, b)
	}
	if a.Low < 1 || a.High > 2 || c.Low < 1 {
		t.Errorf("%+v or %+v is outside what documents have", a, c)
	}
	for _, none := range [][]Ratio{nil, docs[:1], {{0, 0}, {0, 0}}} {
		if i, ok := Bootstrap(none, 200, 7); ok {
			t.Errorf("%v has interval %+v", none, i)
		}
	}
}
