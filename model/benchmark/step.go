package benchmark

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/ptbr-slm/pipeline/model/rwkv"
	"github.com/ptbr-slm/pipeline/model/train"
)

func steps(ctx context.Context, o *Options, r *Report) error {
	for _, p := range o.Presets {
		for _, path := range o.Paths {
			for _, threads := range o.Threads {
				s, err := step(ctx, o, p, path, threads)
				if err != nil {
					return err
				}
				s.Share = share(s.GFLOPS, r.peak(path, threads))
				r.Steps = append(r.Steps, s)
			}
		}
		o.Done("training of " + p.Name)
	}
	return nil
}

// step trains until o.Runs steps are measured and o.Time is over. The speed is that of the
// median step; the first two, in which memory is allocated, do not count.
func step(ctx context.Context, o *Options, p rwkv.Preset, path string, threads int) (Step, error) {
	shape := rwkv.Config{Vocab: o.Vocab, Embd: p.Embd, Layers: p.Layers, FFN: p.FFN}
	recipe := train.Recipe{SeqLen: o.Seq, Batch: o.Batch, Accum: o.Accum, Steps: math.MaxInt32, Rate: 1e-4, Decay: 0.01, Beta1: 0.9, Beta2: 0.99,
		Clip: 1, LogEvery: math.MaxInt32, Precision: train.FP32,
		Optimizer: train.AdamW, Schedule: train.Cosine, EmbRate: 1, HeadRate: 1}
	if path == "avx512bf16" {
		recipe.Precision = train.BF16
	}
	training, enough := context.WithCancel(ctx)
	defer enough()
	before := train.HeapInUse()
	var memory int64
	var objects, bytes uint64 // allocated in the steps that are measured
	var took []float64        // seconds
	var begun, last time.Time
	onStep := func(step int) {
		switch {
		case step == 2:
			memory = train.HeapInUse() - before
			begun = time.Now()
			objects, bytes = allocated()
		case step > 2:
			took = append(took, time.Since(last).Seconds())
			if len(took) >= o.Runs && time.Since(begun) >= o.Time {
				enough()
				o, b := allocated()
				objects, bytes = o-objects, b-bytes
			}
		}
		last = time.Now()
	}
	_, _, err := train.Run(training, shape, recipe, noise{vocab: o.Vocab}, train.Options{Start: weights(shape), Threads: threads, Path: path, OnStep: onStep})
	if ctx.Err() != nil {
		return Step{}, ctx.Err()
	}
	if training.Err() == nil {
		return Step{}, err
	}
	n := float64(len(took))
	slices.Sort(took)
	s := Step{Path: path, Preset: p.Name, Threads: threads, Batch: o.Batch, Seq: o.Seq, Accum: o.Accum, Tokens: o.rows() * o.Accum, Memory: memory, Allocs: float64(objects) / n, Garbage: float64(bytes) / n}
	s.Speed = float64(s.Tokens) / took[len(took)/2]
	s.GFLOPS = s.Speed * float64(shape.TrainFLOPs()) / 1e9
	return s, nil
}

// noise is tokens to train on: what they are makes no difference to the time. No method but its own
// is called, since no step validates.
type noise struct {
	train.Data
	vocab int
}

func (n noise) Chunks(int) int64 { return 1 }

func (n noise) Sample(_ uint64, epoch, _ int64, _ int, dst []uint32) error {
	for i := range dst {
		dst[i] = uint32((epoch + int64(i)) * 7919 % int64(n.vocab))
	}
	return nil
}
