// Package train fits a network to token files: AdamW over a fixed number of
// micro-batches a step, warm-up and cosine, validation, checkpoints that resume exactly.
//
// A run is a pure function of network, recipe, data and seed. A step is a fixed list of
// micro-batches; workers take any of them, and their gradients are summed in a fixed
// tree over the list. So the weights do not depend on how many workers or threads there
// were, when checkpoints were saved, or how often the run was killed.
package train

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/ptbr-slm/pipeline/model/kernel"
)

// Recipe is all of a run, besides network and data, that its result depends on.
type Recipe struct {
	SeqLen    int     `json:"seq-len"`    // tokens of a sequence
	Batch     int     `json:"batch-size"` // sequences of a micro-batch
	Accum     int     `json:"grad-accum"` // micro-batches of a step, unless a phase says otherwise
	Steps     int     `json:"max-steps"`
	Phases    []Phase `json:"phases,omitempty"`
	Streams   int     `json:"streams"`       // that the data is read as, each going on from its state; 0: chunks from anywhere
	Rate      float64 `json:"learning-rate"` // highest
	MinRatio  float64 `json:"min-lr-ratio"`  // of the last rate to the highest
	Warmup    int     `json:"warmup-steps"`
	Schedule  string  `json:"schedule"`     // after the warm-up: Cosine or WSD
	Cooldown  float64 `json:"cooldown"`     // of WSD: share of the steps, at the end, in which the rate falls
	EmbRate   float64 `json:"embedding-lr"` // factors of the rate
	HeadRate  float64 `json:"head-lr"`
	Optimizer string  `json:"optimizer"`    // of the matrices of blocks: AdamW or Muon; all else has AdamW
	MuonRate  float64 `json:"muon-lr"`      // highest, by the same schedule
	Momentum  float64 `json:"momentum"`     // of Muon
	Decay     float64 `json:"weight-decay"` // of matrices
	Beta1     float64 `json:"beta1"`
	Beta2     float64 `json:"beta2"`
	Clip      float64 `json:"clip"` // of the gradient's norm; 0: none
	LogEvery  int     `json:"log-every"`
	EvalEvery int     `json:"eval-every"`  // 0: at the end only
	EvalLen   int64   `json:"eval-tokens"` // of the validation split
	Seed      uint64  `json:"seed"`
	Precision string  `json:"precision"` // of the factors of products: FP32 or BF16
}

// Precisions. In BF16 the weights, their moments and all sums stay float32; the result is
// that of one class of processors.
const (
	FP32 = "fp32"
	BF16 = "bf16"
)

// Optimizers.
const (
	AdamW = "adamw"
	Muon  = "muon"
)

// Schedules of the learning rate after its warm-up.
const (
	Cosine = "cosine" // half a cosine down to MinRatio at the last step
	WSD    = "wsd"    // stable, then for the last Cooldown of the steps a line down to MinRatio
)

// Phase changes a run from a step on, until the next phase.
type Phase struct {
	From   int `json:"from-step"`
	Layers int `json:"n-layer"`    // blocks that are trained, from the bottom; 0: all
	Accum  int `json:"grad-accum"` // micro-batches of a step; 0: the recipe's
	// SeqLen is the tokens of a sequence; a micro-batch has as many of them as make up the same
	// number of tokens. 0: the recipe's.
	SeqLen int `json:"seq-len"`
}

// adamEps is added to the root of the second moment.
const adamEps = 1e-8

// Check says what is wrong with the recipe, if anything is.
func (r Recipe) Check() error {
	for _, q := range []struct {
		name   string
		n, min int
	}{{"seq-len", r.SeqLen, 1}, {"batch-size", r.Batch, 1}, {"grad-accum", r.Accum, 1}, {"max-steps", r.Steps, 1},
		{"warmup-steps", r.Warmup, 0}, {"log-every", r.LogEvery, 1}, {"eval-every", r.EvalEvery, 0}} {
		if q.n < q.min {
			return fmt.Errorf("%s is %d; it must be at least %d", q.name, q.n, q.min)
		}
	}
	for _, q := range []struct {
		name        string
		x, min, max float64
	}{{"learning-rate", r.Rate, 0, 10}, {"min-lr-ratio", r.MinRatio, 0, 1}, {"cooldown", r.Cooldown, 0, 1},
		{"muon-lr", r.MuonRate, 0, 10}, {"momentum", r.Momentum, 0, 0.99999},
		{"embedding-lr", r.EmbRate, 0, 1000}, {"head-lr", r.HeadRate, 0, 1000}, {"weight-decay", r.Decay, 0, 100},
		{"beta1", r.Beta1, 0, 0.99999}, {"beta2", r.Beta2, 0, 0.99999}, {"clip", r.Clip, 0, math.MaxFloat32}} {
		if !(q.x >= q.min && q.x <= q.max) {
			return fmt.Errorf("%s is %g; it must lie between %g and %g", q.name, q.x, q.min, q.max)
		}
	}
	if r.Precision != FP32 && r.Precision != BF16 {
		return fmt.Errorf("precision is %q; it must be %s or %s", r.Precision, FP32, BF16)
	}
	if r.Rate == 0 {
		return fmt.Errorf("learning-rate is 0: nothing would be learnt")
	}
	if r.Warmup >= r.Steps {
		return fmt.Errorf("warmup-steps is %d; it must be below max-steps, which is %d", r.Warmup, r.Steps)
	}
	if r.Optimizer != AdamW && r.Optimizer != Muon {
		return fmt.Errorf("optimizer is %q; it must be %s or %s", r.Optimizer, AdamW, Muon)
	}
	if r.Schedule != Cosine && r.Schedule != WSD {
		return fmt.Errorf("schedule is %q; it must be %s or %s", r.Schedule, Cosine, WSD)
	}
	if step := r.Batch * r.Accum; r.Streams != 0 && (r.Streams < step || r.Streams%r.Batch != 0) {
		return fmt.Errorf("streams is %d; it must be 0, or a multiple of batch-size, which is %d, and at least the sequences of a step, which are %d", r.Streams, r.Batch, step)
	}
	from := -1
	for i, p := range r.Phases {
		switch {
		case p.From <= from || p.From >= r.Steps:
			return fmt.Errorf("phases[%d].from-step is %d; it must be above that of the phase before, and below max-steps, which is %d", i, p.From, r.Steps)
		case p.Layers < 0:
			return fmt.Errorf("phases[%d].n-layer is %d; it cannot be below 0", i, p.Layers)
		case p.Accum < 0 || p.Accum > r.Accum:
			return fmt.Errorf("phases[%d].grad-accum is %d; it must lie between 1 and grad-accum, which is %d (0: that)", i, p.Accum, r.Accum)
		case p.SeqLen < 0 || p.SeqLen > 0 && r.SeqLen*r.Batch%p.SeqLen != 0:
			return fmt.Errorf("phases[%d].seq-len is %d; it must divide the tokens of a micro-batch, which are %d (0: seq-len)", i, p.SeqLen, r.SeqLen*r.Batch)
		case p.SeqLen > 0 && r.Streams > 0:
			return fmt.Errorf("phases[%d].seq-len is %d; streams are read in sequences of one length", i, p.SeqLen)
		}
		from = p.From
	}
	return nil
}

// equal compares recipes; no phases are no phases, nil or empty.
func (r Recipe) equal(o Recipe) bool {
	p, q := r.Phases, o.Phases
	r.Phases, o.Phases = nil, nil
	return slices.Equal(p, q) && reflect.DeepEqual(r, o)
}

// phase is what holds at a step, with nothing left to the recipe but that 0 blocks are all.
func (r Recipe) phase(step int) Phase {
	now := Phase{}
	for _, p := range r.Phases {
		if p.From > step {
			break
		}
		now = p
	}
	now.Accum, now.SeqLen = cmp.Or(now.Accum, r.Accum), cmp.Or(now.SeqLen, r.SeqLen)
	return now
}

// micros is how many micro-batches the first so many steps have.
func (r Recipe) micros(steps int) int64 {
	n, from, now := int64(0), 0, r.Accum
	for _, p := range append(r.Phases[:len(r.Phases):len(r.Phases)], Phase{From: steps}) {
		to := min(p.From, steps)
		n += int64(to-from) * int64(now)
		from, now = to, cmp.Or(p.Accum, r.Accum)
	}
	return n
}

// Tokens is the number of tokens that the first so many steps train on.
func (r Recipe) Tokens(steps int) int64 {
	return r.micros(steps) * int64(r.SeqLen) * int64(r.Batch)
}

// rate is the learning rate of a step, counted from 0: up in a line over the warm-up,
// then by the schedule down to Rate·MinRatio at the last step.
func (r Recipe) rate(step int) float64 {
	if step < r.Warmup {
		return r.Rate * float64(step+1) / float64(r.Warmup)
	}
	if r.Schedule == WSD {
		fall := max(1, math.Round(float64(r.Cooldown*float64(r.Steps)))) // steps
		p := max(0, 1-float64(r.Steps-1-step)/fall)
		return r.Rate * (1 - float64(p*(1-r.MinRatio)))
	}
	p := float64(step-r.Warmup) / float64(max(1, r.Steps-1-r.Warmup))
	half := float64(0.5 * (1 - r.MinRatio))
	return r.Rate * (r.MinRatio + half + float64(half*kernel.CosPi(p)))
}
