package train

import (
	"bytes"
	"math/bits"
	"os"
	"runtime"
	"strconv"

	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// Memory is what a training holds, in bytes.
type Memory struct {
	Weights     int64 `json:"weights"`
	Moments     int64 `json:"moments"`
	Gradients   int64 `json:"gradients"`
	Activations int64 `json:"activations"` // of all workers, with what they need while they run
	Validation  int64 `json:"validation"`
}

// Total is the sum.
func (m Memory) Total() int64 {
	return m.Weights + m.Moments + m.Gradients + m.Activations + m.Validation
}

// Estimate computes what a training needs with so many workers, each at a micro-batch of
// its own, of batch sequences of seq tokens; a step has accum of them. Precision makes no
// difference: bf16 is what factors are rounded to on their way into a product. What kernels
// lay aside, some MiB, is not in it.
func Estimate(c rwkv.Config, batch, seq, accum, workers int, keep rwkv.Checkpointing) Memory {
	weights := 4 * c.Parameters()
	workers = min(workers, accum)
	return Memory{
		Weights: weights,
		Moments: 2 * weights,
		// Each worker's, and those that wait in the tree for their neighbours.
		Gradients:   weights * int64(min(accum, workers+bits.Len(uint(accum))-1)),
		Activations: int64(workers) * rwkv.TrainBytes(c, batch, seq, keep),
		Validation:  rwkv.ForwardBytes(c, evalStreams, seq),
	}
}

// HeapInUse is the bytes that live objects take.
func HeapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// logMemory says what the run takes: what was allocated, workers being what they and the
// gradients have added to the heap.
func (t *trainer) logMemory(workers int64) {
	weights := 4 * int64(len(t.params.Flat))
	gradients := 4 * t.tree.allocated()
	kernels := t.scratch()
	const mib = 1 << 20
	t.logf("memory: %.1f MiB weights, %.1f MiB moments, %.1f MiB gradients, %.1f MiB activations, %.1f MiB laid aside by kernels; %.1f MiB resident at most so far",
		float64(weights)/mib, float64(2*weights)/mib, float64(gradients)/mib, float64(workers-gradients-kernels)/mib, float64(kernels)/mib, float64(resident())/mib)
}

// scratch is what the kernels of all CPUs have laid aside, in bytes.
func (t *trainer) scratch() int64 {
	n := t.cpu.Scratch()
	for _, w := range t.workers {
		n += w.cpu.Scratch()
	}
	return n
}

// resident is the most memory that the process has had, in bytes; 0 where the system does
// not say.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(b, []byte("VmHWM:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
