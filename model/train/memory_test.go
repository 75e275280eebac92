package train

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/model/graph"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// What Estimate computes is what a training has on the heap after its first validation,
// but for what kernels lay aside.
func TestEstimate(t *testing.T) {
	for _, name := range []string{"nano", "micro"} {
		p, err := rwkv.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		c := rwkv.Config{Vocab: 2048, Embd: p.Embd, Layers: p.Layers, FFN: p.FFN}
		d := newCorpus(c.Vocab, 8000)
		for _, keep := range []rwkv.Checkpointing{rwkv.Off, rwkv.Balanced, rwkv.Aggressive} {
			r := recipe
			r.SeqLen, r.Batch, r.Accum, r.Steps, r.EvalEvery, r.EvalLen = 128, 4, 1, 2, 1, 2000
			before := HeapInUse()
			tr := &trainer{config: c, recipe: r, data: d, o: Options{Threads: 1, Checkpointing: keep}}
			if err := tr.begin(); err != nil {
				t.Fatal(err)
			}
			if err := tr.makeWorkers(); err != nil {
				t.Fatal(err)
			}
			if err := tr.oneStep(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, want := HeapInUse()-before-tr.scratch(), Estimate(c, r.Batch, r.SeqLen, r.Accum, 1, keep)
			runtime.KeepAlive(tr)
			if math.Abs(float64(got-want.Total())) > 0.02*float64(got) {
				t.Errorf("%s, checkpointing %s: %d bytes on the heap, computed %d: %+v", name, keep, got, want.Total(), want)
			}
		}
	}
}

// Checkpointing changes the memory and nothing else, also in the middle of a run.
func TestCheckpointing(t *testing.T) {
	d := newCorpus(32, 4000)
	var said []string
	o := Options{Threads: 2, Logf: func(f string, a ...any) { said = append(said, fmt.Sprintf(f, a...)) }}
	want, _ := must(t, t.Context(), small, recipe, d, o)
	for _, o.Checkpointing = range []rwkv.Checkpointing{rwkv.Balanced, rwkv.Aggressive} {
		if got, _ := must(t, t.Context(), small, recipe, d, o); got != want {
			t.Errorf("checkpointing %s: other weights or another log", o.Checkpointing)
		}
	}
	if len(said) != 3 || !strings.HasPrefix(said[0], "memory: 0.0 MiB weights, ") || !strings.Contains(said[0], " MiB resident at most so far") {
		t.Errorf("said %q", said)
	}
	o.Checkpointing = "much"
	if _, _, err := Run(t.Context(), small, recipe, d, o); err == nil || !strings.Contains(err.Error(), `checkpointing is "much"`) {
		t.Errorf("a mode that does not exist: %v", err)
	}
}

// A step takes no memory but what gorgonia takes to run its tape, and that is little.
func TestAllocations(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates too; held by the plain suite")
	}
	d := newCorpus(small.Vocab, 4000)
	for _, optimizer := range []string{AdamW, Muon} {
		r := recipe
		r.Accum, r.LogEvery, r.EvalEvery, r.Optimizer = 1, 1000, 0, optimizer
		tr := &trainer{config: small, recipe: r, data: d, o: Options{Threads: 1}}
		if err := tr.begin(); err != nil {
			t.Fatal(err)
		}
		if err := tr.makeWorkers(); err != nil {
			t.Fatal(err)
		}
		step := func() {
			if err := tr.oneStep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		step()
		w := tr.workers[0]
		gorgonias := testing.AllocsPerRun(10, func() {
			if _, err := w.graph.Run(graph.Batch[float32]{Tokens: w.tokens, Targets: w.targets}, tr.tree.root); err != nil {
				t.Fatal(err)
			}
		})
		if n := testing.AllocsPerRun(10, step); n > gorgonias || gorgonias > 1000 {
			t.Errorf("%s: a step allocates %g times, the tape %g", optimizer, n, gorgonias)
		}
	}
}
