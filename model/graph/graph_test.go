package graph

import (
	"math"
	"math/rand/v2"
	"reflect"
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

func network[T kernel.Float](t testing.TB, p *rwkv.Params[T], batch, seq int) *Network[T] {
	t.Helper()
	n, err := New(kernel.NewCPU[T](1), p, batch, seq, rwkv.Off)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func run[T kernel.Float](t testing.TB, n *Network[T], p *rwkv.Params[T], b Batch[T]) (float64, []T) {
	t.Helper()
	g := make([]T, len(p.Flat))
	loss, err := n.Run(b, g)
	if err != nil {
		t.Fatal(err)
	}
	return loss, g
}

// The gradient of every parameter of a whole network against central differences, from
// nothing and from a state, without and with documents that begin in the middle.
func TestGradients(t *testing.T) {
	documents := []bool{false, true, true, false, false, true, false, false, false, true}
	gradients(t, false, false, nil)
	gradients(t, true, false, nil)
	gradients(t, false, true, nil)
	gradients(t, true, true, documents)
}

func gradients(t *testing.T, tied, carried bool, fresh []bool) {
	c := rwkv.Config{Vocab: 11, Embd: 4, Layers: 2, FFN: 6, Tied: tied}
	const batch, seq = 2, 5
	p := randomParams(c, 1)
	n := network(t, p, batch, seq)
	before := Batch[float64]{State: rwkv.NewState[float64](c, batch)}
	before.Tokens, before.Targets = randomTokens(c.Vocab, batch*seq, 7)
	run(t, n, p, before)
	tokens, targets := randomTokens(c.Vocab, batch*seq, 2)
	targets[3] = kernel.Ignore
	here := func() (float64, []float64) {
		b := Batch[float64]{Tokens: tokens, Targets: targets, Fresh: fresh}
		if carried {
			b.State = rwkv.NewState[float64](c, batch)
			b.State.Copy(before.State)
		}
		return run(t, n, p, b)
	}
	_, g := here()
	for _, q := range c.Tensors() {
		for i := q.Start; i < q.End; i++ {
			const h = 1e-5
			v := p.Flat[i]
			p.Flat[i] = v + h
			up, _ := here()
			p.Flat[i] = v - h
			down, _ := here()
			p.Flat[i] = v
			if want := (up - down) / (2 * h); math.Abs(want-g[i]) > 1e-6*(1+math.Abs(want)) {
				t.Fatalf("tied %v, carried %v, documents %v: %s[%d]: gradient %g, finite difference %g", tied, carried, fresh, q.Name, i-q.Start, g[i], want)
			}
		}
	}
}

// Read in chunks, the state carried on, tokens have the losses to the bit that they have in
// one piece, and leave the same state.
func TestCarried(t *testing.T) {
	carried[float64](t)
	carried[float32](t)
}

func carried[T kernel.Float](t *testing.T) {
	c := rwkv.Config{Vocab: 50, Embd: 70, Layers: 3, FFN: 90}
	const batch, seq, chunks = 2, 13, 3
	p := rwkv.NewParams[T](c)
	for i, v := range randomParams(c, 8).Flat {
		p.Flat[i] = T(v)
	}
	tokens, targets := randomTokens(c.Vocab, batch*seq*chunks, 9)
	whole := network(t, p, batch, seq*chunks)
	end := rwkv.NewState[T](c, batch)
	run(t, whole, p, Batch[T]{Tokens: tokens, Targets: targets, State: end})
	losses := slices.Clone(whole.head.Loss)
	run(t, whole, p, Batch[T]{Tokens: tokens, Targets: targets})
	if !slices.Equal(losses, whole.head.Loss) {
		t.Errorf("%T: an empty state is not what no state is", losses)
	}
	n, s := network(t, p, batch, seq), rwkv.NewState[T](c, batch)
	for i := range chunks {
		b := Batch[T]{State: s}
		for j := range batch {
			at := (j*chunks + i) * seq
			b.Tokens, b.Targets = append(b.Tokens, tokens[at:at+seq]...), append(b.Targets, targets[at:at+seq]...)
		}
		run(t, n, p, b)
		for j := range batch {
			at := (j*chunks + i) * seq
			if !slices.Equal(n.head.Loss[j*seq:(j+1)*seq], losses[at:at+seq]) {
				t.Errorf("%T: sequence %d, chunk %d: losses %v, in one piece %v", losses, j, i, n.head.Loss[j*seq:(j+1)*seq], losses[at:at+seq])
			}
		}
	}
	for l := range s {
		for i, q := range [][2][]T{{s[l].Att, end[l].Att}, {s[l].FFN, end[l].FFN}, {s[l].WKV.A, end[l].WKV.A}, {s[l].WKV.B, end[l].WKV.B}, {s[l].WKV.P, end[l].WKV.P}} {
			if !slices.Equal(q[0], q[1]) {
				t.Errorf("%T: layer %d: part %d of the state differs", losses, l, i)
			}
		}
	}
}

// A document in the middle of a row has the losses to the bit that it has alone, and the
// gradients. What stands before it changes no bit of them.
func TestDocuments(t *testing.T) {
	documents[float64](t, 1e-12)
	documents[float32](t, 1e-4)
}

func documents[T kernel.Float](t *testing.T, eps float64) {
	c := rwkv.Config{Vocab: 50, Embd: 70, Layers: 3, FFN: 90}
	const batch, seq, at = 2, 21, 8 // a document begins at 8 in the first row, at 0 in the second
	p := rwkv.NewParams[T](c)
	for i, v := range randomParams(c, 10).Flat {
		p.Flat[i] = T(v)
	}
	tokens, targets := randomTokens(c.Vocab, batch*seq, 11)
	for i := range at {
		targets[i] = kernel.Ignore
	}
	for i := range seq - at {
		tokens[seq+i], targets[seq+i] = tokens[at+i], targets[at+i]
	}
	for i := seq - at; i < seq; i++ {
		targets[seq+i] = kernel.Ignore
	}
	fresh := make([]bool, batch*seq)
	fresh[at], fresh[seq], fresh[2*seq-at] = true, true, true
	state := rwkv.NewState[T](c, batch)
	n := network(t, p, batch, seq)
	b := Batch[T]{Tokens: tokens, Targets: targets, State: state}
	run(t, n, p, b) // so that there is something to forget
	b.Fresh = fresh
	_, grad := run(t, n, p, b)
	losses := slices.Clone(n.head.Loss)
	if !slices.Equal(losses[at:seq], losses[seq:2*seq-at]) {
		t.Errorf("%T: one document in two places has losses %v and %v", losses, losses[at:seq], losses[seq:2*seq-at])
	}

	others, _ := randomTokens(c.Vocab, at, 12)
	copy(tokens, others)
	copy(tokens[2*seq-at:], others)
	_, again := run(t, n, p, b)
	if !slices.Equal(n.head.Loss, losses) || !slices.Equal(again, grad) {
		t.Errorf("%T: other tokens in another document change losses or gradients", losses)
	}

	alone := network(t, p, batch, seq-at)
	b = Batch[T]{Tokens: append(slices.Clone(tokens[at:seq]), tokens[at:seq]...), Targets: append(slices.Clone(targets[at:seq]), targets[at:seq]...)}
	_, want := run(t, alone, p, b)
	if !slices.Equal(alone.head.Loss[:seq-at], losses[at:seq]) {
		t.Errorf("%T: losses %v, alone %v", losses, losses[at:seq], alone.head.Loss[:seq-at])
	}
	for i := range want { // sums over rows are cut in other places
		if math.Abs(float64(want[i]-grad[i])) > eps*(1+math.Abs(float64(want[i]))) {
			t.Fatalf("%T: gradient %d is %g, alone %g", losses, i, grad[i], want[i])
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
				losses[i], grads[i] = run(t, nets[i], p, Batch[float64]{Tokens: tokens, Targets: targets})
			})
		}
		wg.Wait()
		for i := range nets {
			tokens, targets := randomTokens(c.Vocab, 12, 2*round+uint64(i))
			loss, g := run(t, alone, p, Batch[float64]{Tokens: tokens, Targets: targets})
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
		n, err := New(kernel.NewCPU[float32](2), p, 40, 100, rwkv.Off)
		if err != nil {
			t.Fatal(err)
		}
		tokens, targets := randomTokens(q.c.Vocab, 4000, 5)
		loss, err := n.Run(Batch[float32]{Tokens: tokens, Targets: targets}, make([]float32, len(p.Flat)))
		if err != nil {
			t.Fatal(err)
		}
		if loss /= 4000; math.Abs(loss-q.want) > 0.02 {
			t.Errorf("%+v: first loss %.4f, want %.3f ± 0.02", q.c, loss, q.want)
		}
	}
}

// Whatever blocks keep, losses, gradients and the state left behind have the same bits.
func TestCheckpointing(t *testing.T) {
	checkpointing(t, kernel.NewCPU[float64](1))
	checkpointing(t, kernel.NewCPU[float32](2))
	if kernel.HasBF16() {
		c := kernel.NewCPU[float32](2)
		if err := c.UseBF16(); err != nil {
			t.Fatal(err)
		}
		checkpointing(t, c)
	}
	if _, err := New(kernel.NewCPU[float32](1), rwkv.NewParams[float32](rwkv.Config{Vocab: 2, Embd: 2, Layers: 1, FFN: 2}), 1, 1, "some"); err == nil {
		t.Error("a mode that does not exist is taken")
	}
}

func checkpointing[T kernel.Float](t *testing.T, cpu *kernel.CPU[T]) {
	c := rwkv.Config{Vocab: 50, Embd: 70, Layers: 5, FFN: 90}
	const batch, seq = 2, 21
	p := rwkv.NewParams[T](c)
	for i, v := range randomParams(c, 13).Flat {
		p.Flat[i] = T(v)
	}
	fresh := make([]bool, batch*seq)
	fresh[5], fresh[30] = true, true
	var want, losses []T
	var end rwkv.State[T]
	for _, keep := range []rwkv.Checkpointing{rwkv.Off, rwkv.Balanced, rwkv.Aggressive} {
		n, err := New(cpu, p, batch, seq, keep)
		if err != nil {
			t.Fatal(err)
		}
		s := rwkv.NewState[T](c, batch)
		var grads, ls []T
		for i := range 3 { // from nothing, from an empty state, from what is left
			b := Batch[T]{Fresh: fresh}
			if i > 0 {
				b.State = s
			}
			b.Tokens, b.Targets = randomTokens(c.Vocab, batch*seq, uint64(i))
			_, g := run(t, n, p, b)
			grads, ls = append(grads, g...), append(ls, n.head.Loss...)
		}
		if want == nil {
			want, losses, end = grads, ls, s
		}
		if !slices.Equal(grads, want) || !slices.Equal(ls, losses) || !reflect.DeepEqual(s, end) {
			t.Errorf("%T, checkpointing %s: other bits", want, keep)
		}
	}
}

// The loss's gradients are multiplied by that of the sum.
func TestScaledLoss(t *testing.T) {
	c := rwkv.Config{Vocab: 5, Embd: 3, Layers: 1, FFN: 4}
	p := randomParams(c, 14)
	n := network(t, p, 1, 4)
	tokens, targets := randomTokens(c.Vocab, 4, 15)
	_, g := run(t, n, p, Batch[float64]{Tokens: tokens, Targets: targets})
	head := n.tensors[len(n.tensors)-1]
	want := slices.Clone(g[head.Start:head.End])
	din := [][]float64{g[head.Start:head.End]}
	f := n.loss(4, c.Embd)
	f.backward(din, nil, []float64{1})
	if !slices.Equal(din[0], want) {
		t.Error("1 changes the gradient")
	}
	f.backward(din, nil, []float64{3})
	for i, v := range din[0] {
		if v != 3*want[i] {
			t.Fatalf("3 times %g is %g", want[i], v)
		}
	}
}
