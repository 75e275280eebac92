// Package benchmark measures the kernels and the network on this machine, beside what the
// machine can do at most: floating-point operations of a loop on registers, bytes of a loop
// that only reads.
package benchmark

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

// Options say what to measure.
type Options struct {
	Presets   []rwkv.Preset
	Vocab     int           // of the networks
	Threads   []int         // numbers of threads, each measured
	Paths     []string      // of kernel.Paths; none: all but plain Go
	Time      time.Duration // a figure may take, at least
	Runs      int           // of which a figure is the median
	Batch     int           // sequences of a micro-batch
	Seq       int           // tokens of a sequence
	Accum     int           // micro-batches of a training step
	Weights   []kernel.Weights
	Text      string // to encode; "" leaves the tokenizer out
	Tokenizer *tokenizer.Tokenizer
	Only      []string // of Parts; none: all
	Done      func(what string)
}

// The parts of a report. What the machine can do at most is measured with any but the tokenizer:
// they are told as a share of it.
const (
	Products   = "products"
	Training   = "training"
	Generation = "generation"
	Encoding   = "tokenizer"
)

// Parts lists them.
var Parts = []string{Products, Training, Generation, Encoding}

// rows is the tokens of a micro-batch, and the rows of the products.
func (o *Options) rows() int { return o.Batch * o.Seq }

// Report is what was measured. It is the JSON document of `pipeline benchmark --json`.
type Report struct {
	CPUs    int      `json:"cpus"`
	Peaks   []Peak   `json:"peaks"`
	Reads   []Read   `json:"reads"`
	Gemms   []Gemm   `json:"gemms"`
	Steps   []Step   `json:"steps"`
	Decodes []Decode `json:"decodes"`
	Encodes []Encode `json:"encodes"`
}

// Peak is the most that a path can do.
type Peak struct {
	Path    string  `json:"path"`
	Threads int     `json:"threads"`
	GFLOPS  float64 `json:"gflops"`
}

// Read is the speed of reading memory, far more than caches hold.
type Read struct {
	Threads int     `json:"threads"`
	GBs     float64 `json:"gigabytes-per-second"` // 10⁹ bytes
}

// Gemm is a product C[m,n] = op(A)·op(B) over k.
type Gemm struct {
	Path    string  `json:"path"`
	Form    string  `json:"form"` // "NT": b transposed, …
	M       int     `json:"m"`
	N       int     `json:"n"`
	K       int     `json:"k"`
	Threads int     `json:"threads"`
	GFLOPS  float64 `json:"gflops"`
	Share   float64 `json:"share-of-peak"`
}

// Step is a whole training step as package train makes it: forward, loss and backward of every
// micro-batch, their gradients summed, its norm, and AdamW.
type Step struct {
	Path    string  `json:"path"`
	Preset  string  `json:"preset"`
	Threads int     `json:"threads"`
	Batch   int     `json:"batch-size"` // sequences of a micro-batch
	Seq     int     `json:"seq-len"`
	Accum   int     `json:"grad-accum"` // micro-batches
	Tokens  int     `json:"tokens"`     // of the step
	Speed   float64 `json:"tokens-per-second"`
	GFLOPS  float64 `json:"gflops"`
	Share   float64 `json:"share-of-peak"`
	Memory  int64   `json:"bytes"` // on the heap: weights, moments, gradients, activations
	Allocs  float64 `json:"allocations"`
	Garbage float64 `json:"allocated-bytes"`
}

// Decode is generation, a token at a time.
type Decode struct {
	Preset  string         `json:"preset"`
	Weights kernel.Weights `json:"weights"`
	Threads int            `json:"threads"`
	Speed   float64        `json:"tokens-per-second"`
	GBs     float64        `json:"gigabytes-per-second"` // of weights read
	Share   float64        `json:"share-of-read"`        // of what reading memory reaches, measured in turn
	Token   int64          `json:"token-bytes"`          // weights that a token reads
	Memory  int64          `json:"bytes"`                // of the weights
	Allocs  float64        `json:"allocations"`
}

// perSecond returns how often f can be done in a second.
func perSecond(ctx context.Context, o *Options, f func()) float64 {
	f() // warm
	var took []float64
	for range o.Runs {
		if ctx.Err() != nil {
			return 0
		}
		n := 0
		start := time.Now()
		for time.Since(start) < o.Time/time.Duration(o.Runs) || n == 0 {
			f()
			n++
		}
		took = append(took, time.Since(start).Seconds()/float64(n))
	}
	slices.Sort(took)
	return 1 / took[o.Runs/2]
}

// Run measures. When ctx ends it returns ctx.Err().
func Run(ctx context.Context, o Options) (*Report, error) {
	r := &Report{CPUs: runtime.NumCPU(), Peaks: []Peak{}, Reads: []Read{}, Gemms: []Gemm{}, Steps: []Step{}, Decodes: []Decode{}, Encodes: []Encode{}}
	if o.Done == nil {
		o.Done = func(string) {}
	}
	for _, part := range []struct {
		name string // "": with all but the tokenizer
		f    func(context.Context, *Options, *Report) error
	}{{"", peaks}, {"", reads}, {Products, gemms}, {Training, steps}, {Generation, decodes}, {Encoding, encodes}} {
		if len(o.Only) > 0 {
			if part.name != "" && !slices.Contains(o.Only, part.name) || part.name == "" && slices.Equal(o.Only, []string{Encoding}) {
				continue
			}
		}
		if err := part.f(ctx, &o, r); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func peaks(ctx context.Context, o *Options, r *Report) error {
	for _, path := range o.Paths {
		for _, threads := range o.Threads {
			c, err := kernel.NewCPUOn(path, threads)
			if err != nil {
				return err
			}
			const rounds = 1 << 20
			if c.Exercise(1) == 0 {
				continue
			}
			flop := 0.0
			speed := perSecond(ctx, o, func() { flop = c.Exercise(rounds) })
			r.Peaks = append(r.Peaks, Peak{path, threads, speed * flop / 1e9})
		}
	}
	o.Done("peak")
	return nil
}

// peak is that of a path and threads; 0 when it has none.
func (r *Report) peak(path string, threads int) float64 {
	for _, p := range r.Peaks {
		if p.Path == path && p.Threads == threads {
			return p.GFLOPS
		}
	}
	return 0
}

// readBytes is more than the caches of common processors hold.
const readBytes = 512 << 20

// manyBytes is so many to read. They are written first: memory that never was is one page.
func manyBytes() []float32 {
	x := kernel.Large[float32](readBytes / 4)
	for i := range x {
		x[i] = 1
	}
	return x
}

func reads(ctx context.Context, o *Options, r *Report) error {
	x := manyBytes()
	for _, threads := range o.Threads {
		c := kernel.NewCPU[float32](threads)
		speed := perSecond(ctx, o, func() { c.Read(x) })
		r.Reads = append(r.Reads, Read{threads, speed * readBytes / 1e9})
	}
	o.Done("read")
	return nil
}

func gemms(ctx context.Context, o *Options, r *Report) error {
	for _, p := range o.Presets {
		for _, s := range []struct {
			form    string
			m, n, k int
		}{{"NT", o.rows(), p.FFN, p.Embd}, {"NN", o.rows(), p.Embd, p.FFN}, {"TN", p.FFN, p.Embd, o.rows()}} {
			a, b, out := make([]float32, s.m*s.k), make([]float32, s.k*s.n), make([]float32, s.m*s.n)
			for i := range a {
				a[i] = float32(i%7) - 3
			}
			for i := range b {
				b[i] = float32(i%5) - 2
			}
			for _, path := range o.Paths {
				for _, threads := range o.Threads {
					c, err := kernel.NewCPUOn(path, threads)
					if err != nil {
						return err
					}
					speed := perSecond(ctx, o, func() { c.Gemm(s.form[0] == 'T', s.form[1] == 'T', s.m, s.n, s.k, a, b, out, false) })
					g := speed * 2e-9 * float64(s.m) * float64(s.n) * float64(s.k)
					r.Gemms = append(r.Gemms, Gemm{path, s.form, s.m, s.n, s.k, threads, g, share(g, r.peak(path, threads))})
				}
			}
		}
		o.Done("products of " + p.Name)
	}
	return nil
}

func share(x, of float64) float64 {
	if of == 0 {
		return 0
	}
	return x / of
}

func decodes(ctx context.Context, o *Options, r *Report) error {
	memory := manyBytes()
	for _, p := range o.Presets {
		shape := rwkv.Config{Vocab: o.Vocab, Embd: p.Embd, Layers: p.Layers, FFN: p.FFN}
		params := weights(shape)
		for _, kind := range o.Weights {
			for _, threads := range o.Threads {
				d := Decode{Preset: p.Name, Weights: kind, Threads: threads}
				d.measure(ctx, o, params, memory)
				r.Decodes = append(r.Decodes, d)
			}
		}
		o.Done("decoding of " + p.Name)
	}
	return nil
}

// measure generates, and reads memory, in turn: what other work there is on the machine slows
// both.
func (d *Decode) measure(ctx context.Context, o *Options, params *rwkv.Params[float32], memory []float32) {
	c := kernel.NewCPU[float32](d.Threads)
	s, state := rwkv.NewStepper(c, params, d.Weights), rwkv.NewState[float32](params.Config, 1)
	d.Token, d.Memory = s.TokenBytes(), s.Bytes()
	next := uint32(0)
	token := func() { s.Step(state, next); next = (next + 1) % uint32(params.Vocab) }
	token() // warm
	c.Read(memory)
	var speeds, shares []float64
	for range o.Runs {
		if ctx.Err() != nil {
			return
		}
		start, n := time.Now(), 0
		c.Read(memory)
		read := readBytes / time.Since(start).Seconds()
		start = time.Now()
		for time.Since(start) < o.Time/time.Duration(o.Runs) || n == 0 {
			token()
			n++
		}
		speed := float64(n) / time.Since(start).Seconds()
		speeds, shares = append(speeds, speed), append(shares, speed*float64(d.Token)/read)
	}
	slices.Sort(speeds)
	slices.Sort(shares)
	d.Speed, d.Share = speeds[o.Runs/2], shares[o.Runs/2]
	d.GBs = d.Speed * float64(d.Token) / 1e9
	const times = 10
	before, _ := allocated()
	for range times {
		token()
	}
	after, _ := allocated()
	d.Allocs = float64(after-before) / times
}

// allocated is how many objects and bytes were allocated so far.
func allocated() (objects, bytes uint64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs, m.TotalAlloc
}

// weights are none that one would train from, but made at once: rwkv.Init takes a minute and more for
// large networks, since it makes matrices orthogonal.
func weights(c rwkv.Config) *rwkv.Params[float32] {
	p := rwkv.NewParams[float32](c)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range p.Flat {
		p.Flat[i] = (r.Float32() - 0.5) / 8
	}
	return p
}
