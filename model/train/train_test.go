package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/model/dataset"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// corpus is data in memory: each token follows from the one before, nine times in ten.
type corpus struct{ train, val []uint32 }

func newCorpus(vocab, n int) corpus {
	r := rand.New(rand.NewPCG(1, 1))
	next := r.Perm(vocab)
	walk := func(n int) (x []uint32) {
		at := 0
		for range n {
			if at = next[at]; r.IntN(10) == 0 {
				at = r.IntN(vocab)
			}
			x = append(x, uint32(at))
		}
		return x
	}
	return corpus{walk(n), walk(n / 4)}
}

func (c corpus) Chunks(seqLen int) int64 { return int64((len(c.train) - 1) / seqLen) }

func (c corpus) Sample(seed uint64, epoch, index int64, seqLen int, dst []uint32) error {
	i := (index*7 + epoch + int64(seed)) % c.Chunks(seqLen)
	copy(dst, c.train[int(i)*seqLen:])
	return nil
}

func (c corpus) Stream(seed uint64, stream, streams, at int64, dst []uint32) error {
	n := int64(len(c.train))
	for i := range dst {
		dst[i] = c.train[(int64(seed)+stream*n/streams+at+int64(i))%n]
	}
	return nil
}

func (c corpus) End() uint32 { return 5 }

func (c corpus) Tokens(split string) int64 {
	if split == dataset.Val {
		return int64(len(c.val))
	}
	return int64(len(c.train))
}

func (c corpus) Read(_ string, at int64, dst []uint32) error {
	copy(dst, c.val[at:])
	return nil
}

var (
	small  = rwkv.Config{Vocab: 32, Embd: 16, Layers: 2, FFN: 32}
	recipe = Recipe{SeqLen: 16, Batch: 2, Accum: 3, Steps: 40, Rate: 2e-2, MinRatio: 0.1, Warmup: 4, Decay: 0.01, Beta1: 0.9, Beta2: 0.99, Clip: 1,
		LogEvery: 3, EvalEvery: 10, EvalLen: 300, Seed: 42, Precision: FP32, Schedule: Cosine, Optimizer: AdamW, EmbRate: 1, HeadRate: 1}
)

// streams is a recipe with all that a run may have besides: state that is carried, a network
// that grows, steps that grow, Muon.
func streams() Recipe {
	r := recipe
	r.Optimizer, r.MuonRate, r.Momentum = Muon, 0.02, 0.95
	r.Streams, r.Schedule, r.Cooldown, r.EmbRate, r.HeadRate = 10, WSD, 0.5, 2, 0.5
	r.Phases = []Phase{{From: 0, Layers: 1, Accum: 1}, {From: 8, Layers: 1, Accum: 2}, {From: 20}}
	return r
}

// lengths is a recipe whose sequences grow.
func lengths() Recipe {
	r := recipe
	r.Phases = []Phase{{From: 0, Layers: 1, Accum: 1, SeqLen: 4}, {From: 7, SeqLen: 8}, {From: 15}, {From: 30, SeqLen: 32}}
	return r
}

func sum(p *rwkv.Params[float32], log []Record) string {
	h := sha256.New()
	for _, v := range p.Flat {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
		h.Write(b[:])
	}
	b, err := json.Marshal(log)
	if err != nil {
		panic(err)
	}
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

func must(t *testing.T, ctx context.Context, c rwkv.Config, r Recipe, d Data, o Options) (string, []Record) {
	t.Helper()
	p, log, err := Run(ctx, c, r, d, o)
	if err != nil {
		t.Fatal(err)
	}
	return sum(p, log), log
}

func TestLearns(t *testing.T) {
	r := recipe
	r.Steps = 200
	_, log := must(t, t.Context(), small, r, newCorpus(32, 4000), Options{Threads: 1})
	last := log[len(log)-1]
	// 0.9 of the mass on one token, the rest on all: 0.66 nats.
	if last.ValLoss == nil || *last.ValLoss > 1.1 {
		t.Errorf("validation loss %v after %d steps; the chain itself has 0.66", *last.ValLoss, last.Step)
	}
	if last.Step != 200 || last.Tokens != 200*96 || math.Abs(last.Rate-r.Rate*r.MinRatio) > 1e-12 {
		t.Errorf("last record %+v", last)
	}
	var steps, evals []int
	for _, x := range log[:6] {
		steps = append(steps, x.Step)
		if x.ValLoss != nil {
			evals = append(evals, x.Step)
		}
	}
	if !slices.Equal(steps, []int{3, 6, 9, 10, 12, 15}) || !slices.Equal(evals, []int{10}) {
		t.Errorf("records at %v, validations at %v", steps, evals)
	}
}

// One result for any number of threads, at the size of a real preset.
// In bfloat16 a network learns as in float32, with bits of its own that no number of threads
// changes.
func TestBF16(t *testing.T) {
	if !kernel.HasBF16() {
		t.Skip("this processor has no AVX512_BF16")
	}
	data := newCorpus(small.Vocab, 6000)
	r := recipe
	run := func(threads int) (string, float64) {
		p, log, err := Run(context.Background(), small, r, data, Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		return sum(p, log), *log[len(log)-1].ValLoss
	}
	full, want := run(1)
	r.Precision = BF16
	one, loss := run(1)
	if three, _ := run(3); three != one {
		t.Error("other bits with 3 threads")
	}
	if one == full {
		t.Error("bf16 gave the bits of fp32")
	}
	if math.Abs(loss-want) > 0.01*want {
		t.Errorf("validation loss %.4f in bf16, %.4f in fp32", loss, want)
	}
}

func TestThreads(t *testing.T) {
	nano, err := rwkv.Named("nano")
	if err != nil {
		t.Fatal(err)
	}
	c := rwkv.Config{Vocab: 300, Embd: nano.Embd, Layers: nano.Layers, FFN: nano.FFN}
	d := newCorpus(300, 4000)
	for _, accum := range []int{1, 3} {
		r := recipe
		r.Steps, r.Warmup, r.SeqLen, r.Batch, r.Accum, r.EvalLen = 2, 1, 16, 1, accum, 130
		want := ""
		for threads := 1; threads <= accum+1 && threads <= 3; threads++ {
			got, _ := must(t, t.Context(), c, r, d, Options{Threads: threads})
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("%d micro-batches: other weights with %d threads", accum, threads)
			}
		}
	}
}

// A run begins with the weights that it is given.
func TestStart(t *testing.T) {
	d, r := newCorpus(32, 4000), recipe
	r.Steps = 6
	want, _ := must(t, t.Context(), small, r, d, Options{Threads: 1})
	for seed := r.Seed; seed <= r.Seed+1; seed++ {
		got, _ := must(t, t.Context(), small, r, d, Options{Threads: 1, Start: rwkv.Init(small, seed, 1)})
		if (got == want) != (seed == r.Seed) {
			t.Errorf("weights of seed %d: the run's own: %t", seed, got == want)
		}
	}
}

// Stopped by its context anywhere, and gone on with: the same weights and log.
func TestStopAndResume(t *testing.T) {
	none := recipe
	none.Phases = []Phase{} // as a decoder leaves it
	for name, r := range map[string]Recipe{"chunks": none, "streams": streams(), "lengths": lengths()} {
		t.Run(name, func(t *testing.T) { stopAndResume(t, r) })
	}
}

func stopAndResume(t *testing.T, recipe Recipe) {
	d := newCorpus(32, 4000)
	want, _ := must(t, t.Context(), small, recipe, d, Options{Threads: 1})
	dir := t.TempDir()
	o := Options{Threads: 2, Dir: dir, SaveEvery: 7, Keep: 2, Identity: "a"}
	for _, stop := range []int{1, 9, 20, 21, 39} {
		ctx, cancel := context.WithCancel(t.Context())
		o.OnStep = func(step int) {
			if step == stop {
				cancel()
			}
		}
		if _, _, err := Run(ctx, small, recipe, d, o); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at step %d: %v", stop, err)
		}
		cancel()
		steps, err := checkpoints(dir)
		if err != nil || len(steps) > 2 || steps[len(steps)-1] != fmt.Sprintf("step-%08d", stop) {
			t.Fatalf("stopped at step %d: checkpoints %v, %v", stop, steps, err)
		}
	}
	o.OnStep = nil
	if got, _ := must(t, t.Context(), small, recipe, d, o); got != want {
		t.Error("stopped and resumed, other weights or another log")
	}

	// The newest checkpoint damaged: the one before is taken, with the same end.
	steps, err := checkpoints(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, steps[1], "m.safetensors")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	var said []string
	o.Logf = func(f string, a ...any) { said = append(said, fmt.Sprintf(f, a...)) }
	if got, _ := must(t, t.Context(), small, recipe, d, o); got != want {
		t.Error("after a damaged checkpoint, other weights or another log")
	}
	if len(said) < 2 || !strings.Contains(said[0], "m.safetensors has sha256") || !strings.Contains(said[1], "going on from checkpoint "+steps[0]) {
		t.Errorf("said %q", said)
	}

	// A checkpoint of another run is refused, not overwritten.
	other := o
	other.Identity = "b"
	if _, _, err := Run(t.Context(), small, recipe, d, other); !errors.Is(err, errOther) {
		t.Errorf("checkpoint of another run: %v", err)
	}
}

// Not a test: the process that TestKill kills.
func TestHelperProcess(t *testing.T) {
	dir := os.Getenv("TRAIN_TEST_DIR")
	if dir == "" {
		t.Skip("only run by TestKill")
	}
	got, _ := must(t, t.Context(), small, killRecipe(), newCorpus(32, 4000), Options{Threads: 2, Dir: dir, SaveEvery: 1, Keep: 2})
	if err := os.WriteFile(filepath.Join(dir, "done"), []byte(got), 0o644); err != nil {
		t.Fatal(err)
	}
}

func killRecipe() Recipe {
	r := recipe
	r.Steps = 60
	return r
}

// A run that carries state and grows gives one result for any number of threads, learns, and
// reads each stream on where it was.
func TestStreams(t *testing.T) {
	d := newCorpus(32, 4000)
	r := streams()
	want, log := must(t, t.Context(), small, r, d, Options{Threads: 1})
	for threads := 2; threads <= 4; threads++ {
		if got, _ := must(t, t.Context(), small, r, d, Options{Threads: threads}); got != want {
			t.Errorf("other weights with %d threads", threads)
		}
	}
	last := log[len(log)-1]
	if tokens := int64(8*1+12*2+20*3) * 2 * 16; last.Tokens != tokens || r.Tokens(40) != tokens {
		t.Errorf("%d tokens seen, Tokens gives %d, want %d", last.Tokens, r.Tokens(40), tokens)
	}
	if first := log[0].Loss; last.Loss > first-0.5 {
		t.Errorf("loss %.3f at first, %.3f at last", first, last.Loss)
	}

	var read [][4]int64
	if _, _, err := Run(t.Context(), small, r, spy{d, &read}, Options{Threads: 1}); err != nil {
		t.Fatal(err)
	}
	at := map[int64]int64{}
	for i, q := range read { // pairs of streams in turn, each where it was
		if q[0] != 42 || q[1] != int64(i%10) || q[2] != 10 || q[3] != at[q[1]] {
			t.Fatalf("read seed %d, stream %d of %d at %d; it was at %d", q[0], q[1], q[2], q[3], at[q[1]])
		}
		at[q[1]] += 16
	}
}

// spy keeps what is asked of Stream and Sample.
type spy struct {
	corpus
	read *[][4]int64
}

func (s spy) Sample(seed uint64, epoch, index int64, seqLen int, dst []uint32) error {
	*s.read = append(*s.read, [4]int64{int64(seed), epoch, index, int64(seqLen)})
	return s.corpus.Sample(seed, epoch, index, seqLen, dst)
}

func (s spy) Stream(seed uint64, stream, streams, at int64, dst []uint32) error {
	*s.read = append(*s.read, [4]int64{int64(seed), stream, streams, at})
	return s.corpus.Stream(seed, stream, streams, at, dst)
}

// Micro-batches keep their tokens when sequences get longer, and each length's sequences go on
// where as many tokens of its own would have brought it.
func TestLengths(t *testing.T) {
	d := newCorpus(32, 4000)
	var read [][4]int64
	want, _ := must(t, t.Context(), small, lengths(), spy{d, &read}, Options{Threads: 1})
	for i, at := range []struct {
		nth  int // sequence of the run
		want [4]int64
	}{
		{0, [4]int64{42, 0, 0, 4}},
		{7*8 - 1, [4]int64{42, 0, 55, 4}},
		{7 * 8, [4]int64{42, 0, 28, 8}},                                 // 7·32 tokens are over
		{7*8 + 8*3*4, [4]int64{42, 0, 62, 16}},                          // 224 + 8·96 tokens
		{7*8 + 8*3*4 + 15*3*2, [4]int64{42, 0, (224 + 23*96) / 32, 32}}, // 224 + 23·96 tokens
		{7*8 + 8*3*4 + 15*3*2 + 29, [4]int64{42, 0, 76 + 29, 32}},       // the last
	} {
		if read[at.nth] != at.want {
			t.Errorf("%d: sequence %d is %v, want %v (seed, epoch, index, length)", i, at.nth, read[at.nth], at.want)
		}
	}
	if n := 7*8 + 8*3*4 + 15*3*2 + 30; len(read) != n {
		t.Errorf("%d sequences, want %d", len(read), n)
	}
	if got, _ := must(t, t.Context(), small, lengths(), d, Options{Threads: 3}); got != want {
		t.Error("other weights with 3 threads")
	}
}

// Blocks that are not trained yet stay as they began, and change nothing.
func TestGrowingNetwork(t *testing.T) {
	r := recipe
	r.Steps, r.Decay, r.Phases = 6, 0.5, []Phase{{From: 0, Layers: 1}}
	d := newCorpus(32, 4000)
	p, _, err := Run(t.Context(), small, r, d, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	start := rwkv.Init(small, r.Seed, 1)
	for _, q := range small.Tensors() {
		if same := slices.Equal(p.Flat[q.Start:q.End], start.Flat[q.Start:q.End]); same != (q.Block == 1) {
			t.Errorf("%s: as it began: %v", q.Name, same)
		}
	}
	tokens := d.train[:40]
	logits := func(p *rwkv.Params[float32]) (all []float32) {
		n := rwkv.NewNetwork(kernel.NewCPU[float32](1), p, 1, len(tokens))
		n.Forward(tokens, nil, nil)
		n.Logits(0, len(tokens), func(_ int, x []float32) { all = append(all, x...) })
		return all
	}
	one := rwkv.NewParams[float32](rwkv.Config{Vocab: 32, Embd: 16, Layers: 1, FFN: 32})
	for _, q := range one.Tensors() {
		for _, o := range small.Tensors() {
			if o.Name == q.Name {
				copy(one.Flat[q.Start:q.End], p.Flat[o.Start:o.End])
			}
		}
	}
	if !slices.Equal(logits(p), logits(one)) {
		t.Error("a block that was not trained changes the logits")
	}
}

// Killed again and again at random, most often while it saves (it saves after every
// step), then left to finish: the weights of an undisturbed run.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(uint64(os.Getpid()), 0))
	start := func() *exec.Cmd {
		c := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
		c.Env = append(os.Environ(), "TRAIN_TEST_DIR="+dir)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	kills, furthest := 0, ""
	for range 8 {
		c := start()
		// From its first new checkpoint on, it dies within a few.
		deadline := time.Now().Add(20 * time.Second)
		for newest(dir) == furthest && !done(dir) && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(r.IntN(20000)) * time.Microsecond)
		if done(dir) {
			c.Wait()
			break
		}
		c.Process.Kill()
		c.Wait()
		kills++
		furthest = newest(dir)
	}
	if kills < 3 {
		t.Errorf("only %d kills before it was done: nothing was tested", kills)
	}
	for !done(dir) {
		if err := start().Wait(); err != nil {
			t.Fatalf("after %d kills: %v", kills, err)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "done"))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := must(t, t.Context(), small, killRecipe(), newCorpus(32, 4000), Options{Threads: 1})
	if string(got) != want {
		t.Errorf("after %d kills, the last at %s, other weights or another log", kills, furthest)
	}
}

func done(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "done"))
	return err == nil
}

// newest is the newest checkpoint, without the clearing up of checkpoints().
func newest(dir string) (name string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), stepPrefix) {
			name = max(name, e.Name())
		}
	}
	return name
}

func TestTree(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	cpu := kernel.NewCPU[float32](1)
	tr := newTree(20)
	for n := 1; n <= 9; n++ {
		// What is not active is 0, whatever was there in the sum before.
		active := []span{{0, 20}}
		if n%3 == 0 {
			active = []span{{0, 3}, {9, 17}}
		}
		leaves := make([][]float32, n)
		for i := range leaves {
			leaves[i] = make([]float32, 20)
			for j := range leaves[i] {
				if slices.ContainsFunc(active, func(s span) bool { return s.from <= j && j < s.to }) {
					leaves[i][j] = float32(r.NormFloat64())
				}
			}
		}
		var want []float32
		for range 8 {
			tr.start(n, active)
			for _, i := range r.Perm(n) {
				b := tr.buffer()
				for _, s := range active {
					copy(b[s.from:s.to], leaves[i][s.from:s.to])
				}
				tr.put(i, b, cpu)
			}
			if want == nil {
				want = slices.Clone(tr.root)
				for j := range want {
					s := 0.0
					for _, l := range leaves {
						s += float64(l[j])
					}
					if math.Abs(s-float64(want[j])) > 1e-5 {
						t.Fatalf("n=%d: sum %g, want %g", n, want[j], s)
					}
				}
			}
			if !slices.Equal(tr.root, want) {
				t.Fatalf("n=%d: the order of the leaves changes the bits", n)
			}
		}
	}
}

func TestRate(t *testing.T) {
	r := Recipe{Steps: 11, Warmup: 2, Rate: 1, MinRatio: 0.2, Cooldown: 0.4}
	for schedule, rates := range map[string]map[int]float64{
		Cosine: {0: 0.5, 1: 1, 2: 1, 6: 0.6, 10: 0.2},
		WSD:    {0: 0.5, 1: 1, 2: 1, 6: 1, 7: 0.8, 8: 0.6, 9: 0.4, 10: 0.2},
	} {
		r.Schedule = schedule
		for step, want := range rates {
			if got := r.rate(step); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: rate of step %d is %g, want %g", schedule, step, got, want)
			}
		}
	}
}

func TestNaNStops(t *testing.T) {
	d := newCorpus(32, 4000)
	tr := &trainer{config: small, recipe: recipe, data: d}
	if err := tr.begin(); err != nil {
		t.Fatal(err)
	}
	if err := tr.makeWorkers(); err != nil {
		t.Fatal(err)
	}
	tr.step = 50
	tr.params.LNOutW[3] = float32(math.NaN())
	err := tr.oneStep(t.Context())
	if err == nil || !strings.Contains(err.Error(), "step 51, micro-batches 0 to 0 (epoch 1, sequences 51 to 52 of 249): the loss is NaN") {
		t.Errorf("%v", err)
	}
	if tr.step != 50 {
		t.Error("the step was counted")
	}
}

type outside struct{ corpus }

func (o outside) Sample(seed uint64, epoch, index int64, seqLen int, dst []uint32) error {
	dst[1] = 32
	return nil
}

func TestRefuses(t *testing.T) {
	d := newCorpus(32, 4000)
	for _, q := range []struct {
		want   string
		change func(r *Recipe)
	}{
		{"seq-len is 0", func(r *Recipe) { r.SeqLen = 0 }},
		{"grad-accum is -1", func(r *Recipe) { r.Accum = -1 }},
		{"learning-rate is 0", func(r *Recipe) { r.Rate = 0 }},
		{"beta2 is 1", func(r *Recipe) { r.Beta2 = 1 }},
		{"min-lr-ratio is NaN", func(r *Recipe) { r.MinRatio = math.NaN() }},
		{"schedule is \"linear\"", func(r *Recipe) { r.Schedule = "linear" }},
		{"optimizer is \"sgd\"", func(r *Recipe) { r.Optimizer = "sgd" }},
		{"streams is 4", func(r *Recipe) { r.Streams = 4 }},
		{"streams is 7", func(r *Recipe) { r.Streams = 7 }},
		{"cooldown is 1.5", func(r *Recipe) { r.Cooldown = 1.5 }},
		{"phases[1].from-step is 3", func(r *Recipe) { r.Phases = []Phase{{From: 3}, {From: 3}} }},
		{"phases[0].from-step is 40", func(r *Recipe) { r.Phases = []Phase{{From: 40}} }},
		{"phases[0].n-layer is -1", func(r *Recipe) { r.Phases = []Phase{{Layers: -1}} }},
		{"phases[0].grad-accum is 4", func(r *Recipe) { r.Phases = []Phase{{Accum: 4}} }},
		{"phases[0].seq-len is 5; it must divide the tokens of a micro-batch, which are 32", func(r *Recipe) { r.Phases = []Phase{{SeqLen: 5}} }},
		{"phases[0].seq-len is 8; streams", func(r *Recipe) { r.Streams, r.Phases = 6, []Phase{{SeqLen: 8}} }},
		{"must be below max-steps", func(r *Recipe) { r.Warmup = 40 }},
		{"no sequence to train on", func(r *Recipe) { r.SeqLen = 5000 }},
	} {
		r := recipe
		q.change(&r)
		if _, _, err := Run(t.Context(), small, r, d, Options{}); err == nil || !strings.Contains(err.Error(), q.want) {
			t.Errorf("%v, want %q", err, q.want)
		}
	}
	if _, _, err := Run(t.Context(), small, recipe, outside{d}, Options{}); err == nil || !strings.Contains(err.Error(), "token 32 in the data is outside of the vocabulary of 32") {
		t.Errorf("token outside of the vocabulary: %v", err)
	}
}

// Before anything is learnt the loss is ln V + 1/8: all tokens about equally likely.
func TestFirstLoss(t *testing.T) {
	r := recipe
	r.Steps, r.Warmup, r.SeqLen, r.Batch, r.LogEvery = 1, 0, 64, 16, 1
	_, log := must(t, t.Context(), rwkv.Config{Vocab: 4000, Embd: 32, Layers: 2, FFN: 64}, r, newCorpus(4000, 20000), Options{Threads: 2})
	if want := math.Log(4000) + 0.125; math.Abs(log[0].Loss-want) > 0.02 {
		t.Errorf("first loss %.4f, want %.3f ± 0.02", log[0].Loss, want)
	}
}
