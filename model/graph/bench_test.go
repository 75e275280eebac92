package graph

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// byHand is the same training without gorgonia: a loop over the same layers.
type byHand struct {
	p, g   *rwkv.Params[float32]
	embed  *rwkv.Embedding[float32]
	layers []*rwkv.Layer[float32]
	head   *rwkv.Head[float32]
	x      [][]float32 // the input of each block, and of the head
	dx     []float32
}

func newByHand(cpu *kernel.CPU[float32], p *rwkv.Params[float32], batch, seq int) *byHand {
	n := batch * seq
	h := &byHand{p: p, g: rwkv.NewParams[float32](p.Config), embed: rwkv.NewEmbedding(cpu, p.Config, n),
		layers: rwkv.NewLayers(cpu, p.Config, batch, seq, rwkv.Off), head: rwkv.NewHead(cpu, p.Config, n), dx: make([]float32, n*p.Embd)}
	for range p.Layers + 1 {
		h.x = append(h.x, make([]float32, n*p.Embd))
	}
	return h
}

func (h *byHand) run(tokens, targets []uint32) {
	p, g := h.p, h.g
	h.embed.Forward(h.x[0], p.Emb, p.LN0W, p.LN0B, tokens)
	for l, a := range h.layers {
		a.Forward(&p.Blocks[l], h.x[l+1], h.x[l], nil, nil)
	}
	h.head.Forward(h.dx, g.LNOutW, g.LNOutB, g.Head, h.x[p.Layers], p.LNOutW, p.LNOutB, p.Head, targets)
	for l := p.Layers - 1; l >= 0; l-- {
		h.layers[l].Backward(&p.Blocks[l], &g.Blocks[l], h.dx, h.dx, nil)
	}
	h.embed.Backward(g.Emb, g.LN0W, g.LN0B, h.dx, p.LN0W, tokens, p.Tied)
}

func (h *byHand) loss() (sum float64) {
	for _, l := range h.head.Loss {
		sum += float64(l)
	}
	return sum
}

// The graph gives what the loop gives, to the bit.
func TestByHand(t *testing.T) {
	for _, tied := range []bool{false, true} {
		c := rwkv.Config{Vocab: 40, Embd: 24, Layers: 3, FFN: 50, Tied: tied}
		cpu, p := kernel.NewCPU[float32](1), rwkv.Init(c, 1, 1)
		for i := range p.Flat {
			p.Flat[i] += float32(i%7) * 0.01
		}
		tokens, targets := randomTokens(c.Vocab, 40, 1)
		h, n := newByHand(cpu, p, 2, 20), network(t, p, 2, 20)
		h.run(tokens, targets)
		if loss, g := run(t, n, p, Batch[float32]{Tokens: tokens, Targets: targets}); loss != h.loss() || !slices.Equal(g, h.g.Flat) {
			t.Errorf("tied %v: loss %g by the graph, %g by hand; gradients equal: %v", tied, loss, h.loss(), slices.Equal(g, h.g.Flat))
		}
	}
}

// After its first step a training by hand takes no more memory: all that kernels need has been
// laid aside.
func TestNoAllocations(t *testing.T) {
	c := rwkv.Config{Vocab: 600, Embd: 72, Layers: 2, FFN: 130}
	for _, bf16 := range []bool{false, true} {
		for _, threads := range []int{1, 2} {
			cpu, p := kernel.NewCPU[float32](threads), rwkv.Init(c, 1, 1)
			if bf16 {
				if !kernel.HasBF16() {
					continue
				}
				if err := cpu.UseBF16(); err != nil {
					t.Fatal(err)
				}
			}
			const batch, seq = 2, 150
			h, m, v := newByHand(cpu, p, batch, seq), rwkv.NewParams[float32](c), rwkv.NewParams[float32](c)
			tokens, targets := randomTokens(c.Vocab, batch*seq, 1)
			s := kernel.AdamW{Rate: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Step: 1}
			step := func() {
				h.run(tokens, targets)
				cpu.SumSquares(h.g.Flat)
				cpu.Accumulate(h.g.Flat, h.g.Flat)
				cpu.AdamW(p.Flat, h.g.Flat, m.Flat, v.Flat, s, 1)
				cpu.Muon(p.Blocks[0].FFNKey, h.g.Blocks[0].FFNKey, m.Blocks[0].FFNKey, c.FFN, c.Embd, kernel.Muon{Rate: 1e-3, Momentum: 0.9}, 1)
			}
			if n := testing.AllocsPerRun(5, step); n != 0 {
				t.Errorf("bf16 %v, %d threads: a step allocates %g times", bf16, threads, n)
			}
		}
	}
}

func setting(b *testing.B, name string) (p *rwkv.Params[float32], seq int, tokens, targets []uint32) {
	q, err := rwkv.Named(name)
	if err != nil {
		b.Fatal(err)
	}
	c := rwkv.Config{Vocab: 8192, Embd: q.Embd, Layers: q.Layers, FFN: q.FFN}
	seq = 512
	tokens, targets = randomTokens(c.Vocab, seq, 1)
	return rwkv.Init(c, 1, 2), seq, tokens, targets
}

var benchmarked = []string{"nano", "micro", "85m"}

func BenchmarkByHand(b *testing.B) {
	for _, name := range benchmarked {
		b.Run(name, func(b *testing.B) {
			p, seq, tokens, targets := setting(b, name)
			h := newByHand(kernel.NewCPU[float32](1), p, 1, seq)
			b.ReportAllocs()
			for b.Loop() {
				h.run(tokens, targets)
			}
		})
	}
}

// With -test.cpuprofile, `go tool pprof -top -cum -ignore 'model/(kernel|rwkv)'` shows what is
// gorgonia's.
func BenchmarkGraph(b *testing.B) {
	for _, name := range benchmarked {
		b.Run(name, func(b *testing.B) {
			p, seq, tokens, targets := setting(b, name)
			n, g := network(b, p, 1, seq), make([]float32, len(p.Flat))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := n.Run(Batch[float32]{Tokens: tokens, Targets: targets}, g); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What checkpointing costs, and the memory of what it is about.
func BenchmarkCheckpointing(b *testing.B) {
	p, seq, tokens, targets := setting(b, "micro")
	g := make([]float32, len(p.Flat))
	for _, keep := range []rwkv.Checkpointing{rwkv.Off, rwkv.Balanced, rwkv.Aggressive} {
		b.Run(string(keep), func(b *testing.B) {
			n, err := New(kernel.NewCPU[float32](1), p, 1, seq, keep)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := n.Run(Batch[float32]{Tokens: tokens, Targets: targets}, g); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rwkv.TrainBytes(p.Config, 1, seq, keep))/(1<<20), "MiB")
		})
	}
}

// What gorgonia costs. Its work depends on the number of operations and not on their size, so it
// is what a run of as many blocks of next to nothing takes longer than the loop by hand; its
// share is of a run at full size.
func BenchmarkGorgoniasShare(b *testing.B) {
	for _, name := range benchmarked {
		b.Run(name, func(b *testing.B) {
			p, seq, tokens, targets := setting(b, name)
			full := newByHand(kernel.NewCPU[float32](1), p, 1, seq)
			q := rwkv.NewParams[float32](rwkv.Config{Vocab: 2, Embd: 2, Layers: p.Layers, FFN: 2})
			hand, n, g := newByHand(kernel.NewCPU[float32](1), q, 1, 1), network(b, q, 1, 1), make([]float32, len(q.Flat))
			one := []uint32{1}
			var before, after runtime.MemStats
			least := func(best *time.Duration, f func()) {
				start := time.Now()
				f()
				if d := time.Since(start); *best == 0 || d < *best {
					*best = d
				}
			}
			var whole, byGraph, byLoop time.Duration
			for b.Loop() {
				least(&whole, func() { full.run(tokens, targets) })
				for range 20 {
					least(&byLoop, func() { hand.run(one, one) })
					runtime.ReadMemStats(&before)
					least(&byGraph, func() {
						if _, err := n.Run(Batch[float32]{Tokens: one, Targets: one}, g); err != nil {
							b.Fatal(err)
						}
					})
					runtime.ReadMemStats(&after)
				}
			}
			b.ReportMetric(100*float64(byGraph-byLoop)/float64(whole), "gorgonia-%")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc), "B/run")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs), "mallocs/run")
		})
	}
}
