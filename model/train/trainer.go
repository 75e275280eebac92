package train

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ptbr-slm/pipeline/model/graph"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// Data is where tokens come from; *dataset.Dataset is one.
type Data interface {
	Chunks(seqLen int) int64
	Sample(seed uint64, epoch, index int64, seqLen int, dst []uint32) error
	Tokens(split string) int64
	Read(split string, at int64, dst []uint32) error
	// Stream reads the training split as a ring, from position at of one of so many streams
	// that begin evenly spread over it.
	Stream(seed uint64, stream, streams, at int64, dst []uint32) error
	End() uint32 // the token after every document
}

// Record is one line of the training log.
type Record struct {
	Step     int      `json:"step"` // steps done
	Tokens   int64    `json:"tokens"`
	Loss     float64  `json:"loss"` // nats a token, mean over the steps since the last record
	Rate     float64  `json:"learning-rate"`
	GradNorm float64  `json:"grad-norm"` // before clipping, of the last step
	ValLoss  *float64 `json:"val-loss,omitempty"`
}

// Options say how a run is done. None changes its result, but for Start, and Path in BF16, where
// it may stand for another class of processors.
type Options struct {
	Start     *rwkv.Params[float32] // weights to begin with, which are trained in place; nil: rwkv.Init's
	Threads   int
	Path      string // one of kernel.Paths; "": the fastest, or what PIPELINE_CPU says
	Dir       string // for checkpoints; "": none
	SaveEvery int    // steps; 0: only when ctx ends
	Keep      int    // how many checkpoints to keep, at least 1
	// Checkpointing is which blocks keep their activations; "" is rwkv.Off.
	Checkpointing rwkv.Checkpointing
	// Identity names network, data and tokenizer: a checkpoint of another is refused.
	Identity string
	OnStep   func(step int) // after every step
	OnRecord func(r Record) // after every record
	Logf     func(format string, args ...any)
}

// Run trains a network from its initial weights, or from the newest whole checkpoint in
// o.Dir, to the recipe's last step. When ctx ends it saves a checkpoint and returns
// ctx.Err(). The log has all records, also those of attempts before.
func Run(ctx context.Context, c rwkv.Config, r Recipe, data Data, o Options) (*rwkv.Params[float32], []Record, error) {
	if err := c.Check(); err != nil {
		return nil, nil, err
	}
	if err := r.Check(); err != nil {
		return nil, nil, err
	}
	t := &trainer{config: c, recipe: r, data: data, o: o}
	if data.Chunks(r.SeqLen) < 1 {
		return nil, nil, fmt.Errorf("the data has no sequence to train on")
	}
	if err := t.begin(); err != nil {
		return nil, nil, err
	}
	before := HeapInUse()
	if err := t.makeWorkers(); err != nil {
		return nil, nil, err
	}
	first := t.step + 1
	for t.step < r.Steps {
		err := t.oneStep(ctx)
		if err != nil {
			if ctx.Err() != nil && o.Dir != "" {
				if err := t.save(); err != nil {
					return nil, nil, err
				}
			}
			return nil, nil, err
		}
		if t.step == first {
			t.logMemory(HeapInUse() - before)
		}
		if o.Dir != "" && o.SaveEvery > 0 && t.step%o.SaveEvery == 0 && t.step < r.Steps {
			if err := t.save(); err != nil {
				return nil, nil, err
			}
		}
	}
	return t.params, t.log, nil
}

type trainer struct {
	config rwkv.Config
	recipe Recipe
	data   Data
	o      Options

	cpu          *kernel.CPU[float32] // all threads, between the micro-batches
	workers      []*worker
	tree         *tree
	params, m, v *rwkv.Params[float32]
	val          *validation
	// Where the streams are, by group, and where the micro-batches of the step that is being
	// made leave them; nil unless there are streams.
	states, next []rwkv.State[float32]

	// What the workers share of a step. It stands here so that a step takes no memory.
	ctx      context.Context
	turn     atomic.Int64 // the next micro-batch, or matrix
	working  sync.WaitGroup
	losses   []float64 // by micro-batch
	tensors  []rwkv.Tensor
	spans    []span // that the step trains: see active
	matrices muonStep

	step    int   // done
	now     Phase // of the step that is being made
	log     []Record
	lossSum float64 // over the steps since the last record
	lossN   int
	saved   int // step of the newest checkpoint
}

// worker runs one micro-batch after another.
type worker struct {
	cpu   *kernel.CPU[float32]
	graph *graph.Network[float32]
	seq   int // T, that the graph is for

	chunk           []uint32 // [T+1]
	tokens, targets []uint32 // [B,T]
	fresh           []bool   // [B,T]: a document begins; nil unless there are streams

	gradients, matrices func() // its shares of gradient and muon, made once
	err                 error  // of gradients
}

// makeWorkers shares the threads out: first among micro-batches, which share nothing,
// then inside them.
func (t *trainer) makeWorkers() error {
	threads := max(1, t.o.Threads)
	n := min(threads, t.recipe.Accum)
	var err error
	if t.cpu, err = t.newCPU(threads); err != nil {
		return err
	}
	t.tree = newTree(len(t.params.Flat))
	t.tensors = t.params.Tensors()
	rows := t.recipe.Batch * t.recipe.SeqLen
	for i := range n {
		w := &worker{tokens: make([]uint32, rows), targets: make([]uint32, rows)}
		if w.cpu, err = t.newCPU((threads + i) / n); err != nil {
			return err
		}
		if t.recipe.Streams > 0 {
			w.fresh = make([]bool, rows)
		}
		if t.recipe.Precision == BF16 {
			if err := w.cpu.UseBF16(); err != nil {
				return err
			}
		}
		if err := t.shape(w, t.recipe.phase(t.step).SeqLen); err != nil {
			return err
		}
		w.gradients = func() { defer t.working.Done(); w.err = t.gradients(w) }
		w.matrices = func() { defer t.working.Done(); t.moveMatrices(w) }
		t.workers = append(t.workers, w)
	}
	return nil
}

func (t *trainer) newCPU(threads int) (*kernel.CPU[float32], error) {
	if t.o.Path == "" {
		return kernel.NewCPU[float32](threads), nil
	}
	return kernel.NewCPUOn(t.o.Path, threads)
}

// shape makes a worker's graph one for sequences of seq tokens.
func (t *trainer) shape(w *worker, seq int) (err error) {
	if w.graph != nil {
		w.graph = nil
		runtime.GC() // memory need not hold both
	}
	w.seq, w.chunk = seq, make([]uint32, seq+1)
	w.graph, err = graph.New(w.cpu, t.params, len(w.tokens)/seq, seq, cmp.Or(t.o.Checkpointing, rwkv.Off))
	return err
}

// sample is the number, in a run of sequences as long as they are now, of the first one of a
// micro-batch.
func (t *trainer) sample(micro int) int64 {
	return (t.recipe.micros(t.step) + int64(micro)) * int64(t.recipe.Batch*t.recipe.SeqLen/t.now.SeqLen)
}

// group is which of the streams a micro-batch reads, so many side by side as it has sequences:
// micro-batches take the groups in turn. at is how far they have been read.
func (t *trainer) group(micro int) (group int, at int64) {
	groups := int64(t.recipe.Streams / t.recipe.Batch)
	i := t.recipe.micros(t.step) + int64(micro)
	return int(i % groups), i / groups * int64(t.recipe.SeqLen)
}

// sequence reads one sequence of a micro-batch into w.chunk.
func (t *trainer) sequence(w *worker, micro, b int) error {
	r := t.recipe
	if r.Streams > 0 {
		group, at := t.group(micro)
		return t.data.Stream(r.Seed, int64(group*r.Batch+b), int64(r.Streams), at, w.chunk)
	}
	at, chunks := t.sample(micro)+int64(b), t.data.Chunks(w.seq)
	return t.data.Sample(r.Seed, at/chunks, at%chunks, w.seq, w.chunk)
}

// load reads a micro-batch.
func (t *trainer) load(w *worker, micro int) error {
	seq := w.seq
	for b := range len(w.tokens) / seq {
		if err := t.sequence(w, micro, b); err != nil {
			return err
		}
		for _, id := range w.chunk {
			if int(id) >= t.config.Vocab {
				return fmt.Errorf("token %d in the data is outside of the vocabulary of %d", id, t.config.Vocab)
			}
		}
		copy(w.tokens[b*seq:(b+1)*seq], w.chunk)
		copy(w.targets[b*seq:(b+1)*seq], w.chunk[1:])
	}
	if w.fresh != nil {
		begins(w.fresh, w.tokens, t.data.End())
	}
	return nil
}

// begins says of each token whether a document begins with it: with the end of the one
// before, from which its first token is predicted.
func begins(fresh []bool, tokens []uint32, end uint32) {
	for i, id := range tokens {
		fresh[i] = id == end
	}
}

// run makes the gradient of a micro-batch and returns its loss.
func (t *trainer) run(w *worker, micro int, grad []float32) (float64, error) {
	if w.seq != t.now.SeqLen {
		if err := t.shape(w, t.now.SeqLen); err != nil {
			return 0, err
		}
	}
	if err := t.load(w, micro); err != nil {
		return 0, err
	}
	b := graph.Batch[float32]{Tokens: w.tokens, Targets: w.targets, Fresh: w.fresh}
	b.Layers = t.now.Layers
	if t.recipe.Streams > 0 {
		group, _ := t.group(micro)
		t.next[micro].Copy(t.states[group])
		b.State = t.next[micro]
	}
	return w.graph.Run(b, grad)
}

// oneStep makes the gradient of a step, updates the parameters, and validates where it
// is due. When ctx ends before the update, nothing has changed.
func (t *trainer) oneStep(ctx context.Context) error {
	losses, err := t.gradient(ctx)
	if err != nil {
		return err
	}
	tokens := float64(t.recipe.Tokens(t.step+1) - t.recipe.Tokens(t.step))
	loss := 0.0
	for i, l := range losses {
		if math.IsNaN(l) || math.IsInf(l, 0) {
			return t.broken(i, i+1, "loss", l)
		}
		loss += l
	}
	loss /= tokens
	norm := 0.0
	for _, s := range t.spans {
		norm += t.cpu.SumSquares(t.tree.root[s.from:s.to])
	}
	norm = math.Sqrt(norm) / tokens
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return t.broken(0, len(losses), "norm of the gradient", norm)
	}
	scale := 1 / tokens
	if t.recipe.Clip > 0 && norm > t.recipe.Clip {
		scale *= t.recipe.Clip / norm
	}
	rate := t.recipe.rate(t.step)
	t.update(rate, float32(scale))
	for i := range losses {
		if t.recipe.Streams > 0 {
			group, _ := t.group(i)
			t.states[group], t.next[i] = t.next[i], t.states[group]
		}
	}
	t.step++
	t.lossSum += loss
	t.lossN++
	return t.record(rate, norm)
}

func (t *trainer) broken(from, to int, what string, x float64) error {
	a, b, chunks := t.sample(from), t.sample(to)-1, t.data.Chunks(t.now.SeqLen)
	return fmt.Errorf("step %d, micro-batches %d to %d (epoch %d, sequences %d to %d of %d): the %s is %g: lower the learning rate, or lengthen the warm-up",
		t.step+1, from, to-1, a/chunks, a%chunks, b%chunks, chunks, what, x)
}

// gradient leaves the sum of the gradients of all losses of a step in t.tree.root and
// returns the losses' sums by micro-batch.
func (t *trainer) gradient(ctx context.Context) ([]float64, error) {
	t.now = t.recipe.phase(t.step)
	n := t.now.Accum
	if cap(t.losses) < n {
		t.losses = make([]float64, n)
	}
	t.losses = t.losses[:n]
	t.ctx = ctx
	t.tree.start(n, t.active())
	t.turn.Store(0)
	t.working.Add(len(t.workers))
	for _, w := range t.workers {
		go w.gradients()
	}
	t.working.Wait()
	for _, w := range t.workers {
		if w.err != nil {
			return nil, w.err
		}
	}
	if int(t.turn.Load()) < n || t.tree.root == nil { // given up
		return nil, ctx.Err()
	}
	return t.losses, nil
}

// active is what is trained now, in Params.Flat.
func (t *trainer) active() []span {
	t.spans = t.spans[:0]
	for _, q := range t.tensors {
		switch last := len(t.spans) - 1; {
		case t.idle(q):
		case last >= 0 && t.spans[last].to == q.Start:
			t.spans[last].to = q.End
		default:
			t.spans = append(t.spans, span{q.Start, q.End})
		}
	}
	return t.spans
}

// idle says that a tensor is not trained yet.
func (t *trainer) idle(q rwkv.Tensor) bool { return t.now.Layers > 0 && q.Block >= t.now.Layers }

// gradients makes the gradients of the micro-batches that the worker gets hold of.
func (t *trainer) gradients(w *worker) (err error) {
	for t.ctx.Err() == nil {
		micro := int(t.turn.Add(1)) - 1
		if micro >= len(t.losses) {
			return nil
		}
		g := t.tree.buffer()
		if t.losses[micro], err = t.run(w, micro, g); err != nil {
			return err
		}
		t.tree.put(micro, g, w.cpu)
	}
	return nil
}

// record logs where it is due, with a validation where that is due.
func (t *trainer) record(rate, norm float64) error {
	r := t.recipe
	last := t.step == r.Steps
	eval := last || r.EvalEvery > 0 && t.step%r.EvalEvery == 0
	if eval || t.step%r.LogEvery == 0 {
		rec := Record{Step: t.step, Tokens: r.Tokens(t.step), Loss: t.lossSum / float64(t.lossN), Rate: rate, GradNorm: norm}
		if eval {
			if err := t.validate(&rec); err != nil {
				return err
			}
		}
		t.lossSum, t.lossN = 0, 0
		t.log = append(t.log, rec)
		if t.o.OnRecord != nil {
			t.o.OnRecord(rec)
		}
	}
	if t.o.OnStep != nil {
		t.o.OnStep(t.step)
	}
	return nil
}
