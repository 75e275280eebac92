// Package eval measures language models on text: bits per byte, perplexities, accuracy
// and entropy, with bootstrap intervals, beside baselines on the same text: a byte
// n-gram model and a compressor.
//
// Exponentials are the kernels' float32, which have the same bits on any machine; all sums are
// float64, in a fixed order and with no fused operations. So the same logits give the same
// figures everywhere.
package eval

import (
	"math"

	"github.com/ptbr-slm/pipeline/model/kernel"
)

// Sums is what a model scored on some text adds up to. Sums of parts add.
type Sums struct {
	Tokens  int64   `json:"tokens"`
	Bytes   int64   `json:"bytes"` // of the original text, UTF-8
	Words   int64   `json:"words"`
	Nats    float64 `json:"nats"`    // -Σ ln p(token)
	Entropy float64 `json:"entropy"` // Σ of the entropy of what the model predicted, nats
	Top1    int64   `json:"top1"`    // tokens that the model thought likeliest
	Top5    int64   `json:"top5"`    // and those among its first five
}

// Add adds o to s.
func (s *Sums) Add(o Sums) {
	s.Tokens += o.Tokens
	s.Bytes += o.Bytes
	s.Words += o.Words
	s.Nats += o.Nats
	s.Entropy += o.Entropy
	s.Top1 += o.Top1
	s.Top5 += o.Top5
}

// Observe adds the prediction of one token: the logits before it, and which it was.
func (s *Sums) Observe(logits []float32, token uint32) {
	top := logits[0]
	for _, l := range logits[1:] {
		top = max(top, l)
	}
	// With d = logit - top: ln Z = ln Σ e^d, and H = ln Z - Σ d·e^d / Z.
	var z, dz float64
	target := logits[token]
	rank := 0 // of the token; the lower id goes first among equals
	var d, e [256]float32
	for from := 0; from < len(logits); from += len(d) {
		row := logits[from:min(from+len(d), len(logits))]
		for i, l := range row {
			d[i] = l - top
			if l > target || l == target && uint32(from+i) < token {
				rank++
			}
		}
		copy(e[:], d[:len(row)])
		kernel.ExpAll(e[:len(row)])
		for i, x := range e[:len(row)] {
			z += float64(x)
			if x > 0 {
				dz += float64(float64(d[i]) * float64(x))
			}
		}
	}
	lnZ := kernel.Log(z)
	s.Tokens++
	s.Nats += lnZ - (float64(target) - float64(top))
	s.Entropy += lnZ - dz/z
	if rank < 1 {
		s.Top1++
	}
	if rank < 5 {
		s.Top5++
	}
}

// Measures is sums as figures to compare.
type Measures struct {
	BitsPerByte     float64 `json:"bits-per-byte"`
	BitsPerToken    float64 `json:"bits-per-token"`
	TokenPerplexity float64 `json:"token-perplexity"`
	WordPerplexity  float64 `json:"word-perplexity"`
	BytePerplexity  float64 `json:"byte-perplexity"`
	Top1            float64 `json:"top-1"`   // share of tokens
	Top5            float64 `json:"top-5"`   // share of tokens
	Entropy         float64 `json:"entropy"` // bits a token
	BytesPerToken   float64 `json:"bytes-per-token"`
}

// Measures gives the figures; of nothing they are 0.
func (s Sums) Measures() Measures {
	if s.Tokens == 0 || s.Bytes == 0 {
		return Measures{}
	}
	n := float64(s.Tokens)
	return Measures{
		BitsPerByte:     Bits(s.Nats) / float64(s.Bytes),
		BitsPerToken:    Bits(s.Nats) / n,
		TokenPerplexity: perplexity(s.Nats, s.Tokens),
		WordPerplexity:  perplexity(s.Nats, s.Words),
		BytePerplexity:  perplexity(s.Nats, s.Bytes),
		Top1:            float64(s.Top1) / n,
		Top5:            float64(s.Top5) / n,
		Entropy:         Bits(s.Entropy) / n,
		BytesPerToken:   float64(s.Bytes) / n,
	}
}

// Bits turns nats into bits.
func Bits(nats float64) float64 { return nats / math.Ln2 }

// perplexity is e^(nats/n), at most the largest number there is.
func perplexity(nats float64, n int64) float64 {
	if n == 0 {
		return 0
	}
	x := nats / float64(n)
	if x > 700 {
		return math.MaxFloat64
	}
	return 1 / kernel.Exp(-x)
}
