package infer

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

// Options say how to choose tokens. The zero value takes the likeliest each time.
type Options struct {
	MaxTokens   int     // how many to make at most
	Temperature float64 // 0: always the likeliest
	TopK        int     // only so many of the likeliest; 0: all
	TopP        float64 // only the likeliest that together reach this; 0 or 1: all
	Seed        uint64
}

// Check says what is wrong with the options, if anything is.
func (o Options) Check() error {
	switch {
	case o.MaxTokens < 0:
		return fmt.Errorf("the number of tokens to make is %d; it cannot be below 0", o.MaxTokens)
	case !(o.Temperature >= 0 && o.Temperature <= math.MaxFloat32):
		return fmt.Errorf("the temperature is %g; it must be 0 or above", o.Temperature)
	case o.TopK < 0:
		return fmt.Errorf("top-k is %d; it must be 0 (all) or above", o.TopK)
	case !(o.TopP >= 0 && o.TopP <= 1):
		return fmt.Errorf("top-p is %g; it must lie between 0 and 1", o.TopP)
	}
	return nil
}

// sampler draws tokens as ChatRWKV does: truncation by top-p, then by top-k, on the
// probabilities as they are; the temperature only afterwards, p^(1/T). (Hugging Face
// applies the temperature first, which truncates elsewhere.)
type sampler struct {
	Options
	pcg   *rand.PCG
	cpu   *kernel.CPU[float32]
	probs []float64
	order []uint32
}

func newSampler(o Options) *sampler {
	return &sampler{Options: o, pcg: rand.NewPCG(o.Seed, 0x73_616d_706c_65), cpu: kernel.NewCPU[float32](1)}
}

// next draws from logits, which it overwrites. Equal probabilities go by the lower id.
func (s *sampler) next(logits []float32) uint32 {
	s.cpu.Softmax(logits)
	s.order = s.order[:0]
	for i := range logits {
		s.order = append(s.order, uint32(i))
	}
	less := func(a, b uint32) int {
		return cmp.Or(cmp.Compare(logits[b], logits[a]), cmp.Compare(a, b))
	}
	if s.Temperature == 0 {
		return slices.MinFunc(s.order, less)
	}
	slices.SortFunc(s.order, less)
	keep := len(s.order)
	if s.TopP > 0 && s.TopP < 1 {
		sum := 0.0
		for i, id := range s.order {
			if sum += float64(logits[id]); sum >= s.TopP {
				keep = i + 1
				break
			}
		}
		for keep < len(s.order) && logits[s.order[keep]] == logits[s.order[keep-1]] {
			keep++ // as likely as the last that is in
		}
	}
	if s.TopK > 0 {
		keep = min(keep, s.TopK)
	}
	s.probs = s.probs[:0]
	total := 0.0
	for _, id := range s.order[:keep] {
		p := kernel.Pow(float64(logits[id]), 1/s.Temperature)
		s.probs = append(s.probs, p)
		total += p
	}
	x := float64(s.pcg.Uint64()>>11) / (1 << 53) * total
	for i, p := range s.probs {
		if x -= p; x < 0 {
			return s.order[i]
		}
	}
	return s.order[0] // all underflowed, or rounding left a crumb
}

// Generate reads the prompt as the beginning of a document and gives what follows to
// emit, piece by piece, each ending with a whole character, until the document ends,
// MaxTokens are made, emit fails or ctx ends. The prompt is not repeated.
func (m *Model) Generate(ctx context.Context, prompt string, o Options, emit func(text string) error) error {
	if err := o.Check(); err != nil {
		return err
	}
	end, ok := m.Tokenizer.Special(tokenizer.End)
	if !ok {
		return fmt.Errorf("the tokenizer has no %s: where a document begins and ends is not known", tokenizer.End)
	}
	// In the data a document follows the end of another.
	tokens := m.Tokenizer.Encode([]uint32{end}, prompt)
	s := m.NewState()
	last := make([]float32, m.Config.Vocab)
	m.read(s, tokens, len(tokens)-1, func(_ int, logits []float32) { copy(last, logits) })
	draw, stream, logits := newSampler(o), m.Tokenizer.NewStream(), last
	for i := range o.MaxTokens {
		if err := ctx.Err(); err != nil {
			return err
		}
		id := draw.next(logits)
		if id == end {
			break
		}
		if text := stream.Push(id); text != "" {
			if err := emit(text); err != nil {
				return err
			}
		}
		if i+1 < o.MaxTokens {
			logits = m.Step(s, id)
		}
	}
	if text := stream.Flush(); text != "" {
		return emit(text)
	}
	return nil
}
