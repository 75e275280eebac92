// Package train fits a network to token files: AdamW over a fixed number of
// micro-batches a step, warm-up and cosine, validation, checkpoints that resume exactly.
//
// A run is a pure function of network, recipe, data and seed. A step is a fixed list of
// micro-batches; workers take any of them, and their gradients are summed in a fixed
// tree over the list. So the weights do not depend on how many workers or threads there
// were, when checkpoints were saved, or how often the run was killed.
package train

import (
	"fmt"
	"math"

	"github.com/ptbr-slm/pipeline/model/kernel"
)

// Recipe is all of a run, besides network and data, that its result depends on.
type Recipe struct {
	SeqLen    int     `json:"seq-len"`    // tokens of a sequence
	Batch     int     `json:"batch-size"` // sequences of a micro-batch
	Accum     int     `json:"grad-accum"` // micro-batches of a step
	Steps     int     `json:"max-steps"`
	Rate      float64 `json:"learning-rate"` // highest
	MinRatio  float64 `json:"min-lr-ratio"`  // of the last rate to the highest
	Warmup    int     `json:"warmup-steps"`
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
	}{{"learning-rate", r.Rate, 0, 10}, {"min-lr-ratio", r.MinRatio, 0, 1}, {"weight-decay", r.Decay, 0, 100},
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
	return nil
}

// StepTokens is the number of tokens a step trains on.
func (r Recipe) StepTokens() int64 { return int64(r.SeqLen) * int64(r.Batch) * int64(r.Accum) }

// rate is the learning rate of a step, counted from 0: up in a line over the warm-up,
// then down half a cosine to Rate·MinRatio at the last step.
func (r Recipe) rate(step int) float64 {
	if step < r.Warmup {
		return r.Rate * float64(step+1) / float64(r.Warmup)
	}
	p := float64(step-r.Warmup) / float64(max(1, r.Steps-1-r.Warmup))
	half := float64(0.5 * (1 - r.MinRatio))
	return r.Rate * (r.MinRatio + half + float64(half*kernel.CosPi(p)))
}
