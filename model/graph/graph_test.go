package graph

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

func randomParams(c rwkv.Config, seed uint64) *rwkv.Params[float64] {
	r := rand.New(rand.NewPCG(seed, 0))
	p := rwkv.NewParams[float64](c)
	for i := range p.Flat {
		p.Flat[i] = 0.4 * r.NormFloat64()
	}
	return p
}

func randomTokens(vocab, n int, seed uint64) (tokens, targets []uint32) {
	r := rand.New(rand.NewPCG(seed, 1))
	for range n {
		tokens, targets = append(tokens, uint32(r.IntN(vocab))), append(targets, uint32(r.IntN(vocab)))
	}
	return tokens, targets
}

func network(t testing.TB, p *rwkv.Params[float64], batch, seq int) *Network[float64] {
	t.Helper()
	n, err := New(kernel.NewCPU[float64](1), p, batch, seq)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func run(t testing.TB, n *Network[float64], p *rwkv.Params[float64], tokens, targets []uint32) (float64, []float64) {
	t.Helper()
	g := make([]float64, len(p.Flat))
	loss, err := n.Run(tokens, targets, g)
	if err != nil {
		t.Fatal(err)
	}
	return loss, g
}

// The gradient of every parameter of a whole network against central differences.
func TestGradients(t *testing.T) {
	for _, tied := range []bool{false, true} {
		c := rwkv.Config{Vocab: 11, Embd: 4, Layers: 2, FFN: 6, Tied: tied}
		const batch, seq = 2, 5
		p := randomParams(c, 1)
		n := network(t, p, batch, seq)
		tokens, targets := randomTokens(c.Vocab, batch*seq, 2)
		targets[3] = kernel.Ignore
		_, g := run(t, n, p, tokens, targets)
		for _, q := range c.Tensors() {
			for i := q.Start; i < q.End; i++ {
				const h = 1e-5
				v := p.Flat[i]
				p.Flat[i] = v + h
				up, _ := run(t, n, p, tokens, targets)
				p.Flat[i] = v - h
				down, _ := run(t, n, p, tokens, targets)
				p.Flat[i] = v
				if want := (up - down) / (2 * h); math.Abs(want-g[i]) > 1e-6*(1+math.Abs(want)) {
					t.Fatalf("tied %v: %s[%d]: gradient %g, finite difference %g", tied, q.Name, i-q.Start, g[i], want)
				}
			}
		}
	}
}

// Networks that share parameters run at the same time and give what one gives alone.
func TestConcurrentRuns(t *testing.T) {
	c := rwkv.Config{Vocab: 30, Embd: 8, Layers: 2, FFN: 16, Tied: true}
	p := randomParams(c, 3)
	alone := network(t, p, 2, 6)
	nets := []*Network[float64]{network(t, p, 2, 6), network(t, p, 2, 6)}
	for round := range uint64(20) {
		grads, losses := make([][]float64, 2), make([]float64, 2)
		var wg sync.WaitGroup
		for i := range nets {
			wg.Go(func() {
				tokens, targets := randomTokens(c.Vocab, 12, 2*round+uint64(i))
				losses[i], grads[i] = run(t, nets[i], p, tokens, targets)
			})
		}
		wg.Wait()
		for i := range nets {
			tokens, targets := randomTokens(c.Vocab, 12, 2*round+uint64(i))
			loss, g := run(t, alone, p, tokens, targets)
			if loss != losses[i] || !slices.Equal(g, grads[i]) {
				t.Fatalf("round %d: network %d gives %g together, %g alone", round, i, losses[i], loss)
			}
		}
	}
}

// The first loss of a new network is ln V + 1/8, whatever the tokens; tied, ln V.
func TestFirstLoss(t *testing.T) {
	for _, q := range []struct {
		c    rwkv.Config
		want float64
	}{
		{rwkv.Config{Vocab: 1000, Embd: 32, Layers: 2, FFN: 64}, math.Log(1000) + 0.125},
		{rwkv.Config{Vocab: 2000, Embd: 48, Layers: 3, FFN: 100}, math.Log(2000) + 0.125},
		{rwkv.Config{Vocab: 1000, Embd: 32, Layers: 1, FFN: 64, Tied: true}, math.Log(1000)},
	} {
		p := rwkv.Init(q.c, 42, 2)
		n, err := New(kernel.NewCPU[float32](2), p, 40, 100)
		if err != nil {
			t.Fatal(err)
		}
		tokens, targets := randomTokens(q.c.Vocab, 4000, 5)
		loss, err := n.Run(tokens, targets, make([]float32, len(p.Flat)))
		if err != nil {
			t.Fatal(err)
		}
		if loss /= 4000; math.Abs(loss-q.want) > 0.02 {
			t.Errorf("%+v: first loss %.4f, want %.3f ± 0.02", q.c, loss, q.want)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	c := rwkv.Config{Vocab: 4096, Embd: 128, Layers: 4, FFN: 512}
	const batch, seq = 8, 128
	p := rwkv.Init(c, 1, 2)
	n, err := New(kernel.NewCPU[float32](1), p, batch, seq)
	if err != nil {
		b.Fatal(err)
	}
	tokens, targets := randomTokens(c.Vocab, batch*seq, 1)
	g := make([]float32, len(p.Flat))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Run(tokens, targets, g); err != nil {
			b.Fatal(err)
		}
	}
	perToken := b.Elapsed().Seconds() / float64(b.N) / (batch * seq)
	b.ReportMetric(1/perToken, "tokens/s")
	b.ReportMetric(float64(c.TrainFLOPs())/perToken/1e9, "GFLOP/s")
}
