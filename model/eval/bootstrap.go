package eval

import (
	"math/bits"
	"slices"
)

// Ratio is a numerator and a denominator of one document: bits and bytes, say.
type Ratio struct{ Num, Den float64 }

// Interval is the middle 95 % of the ratios of sums that resampled documents give.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Bootstrap gives the 95 % percentile interval of Σ Num / Σ Den over documents drawn with
// replacement, as many as there are, so many times. Documents are the unit because
// tokens of one document are no independent draws. Fewer than two documents, or no
// resamples, have no interval: ok is false. The seed fixes the draws.
func Bootstrap(documents []Ratio, resamples int, seed uint64) (i Interval, ok bool) {
	n := len(documents)
	if n < 2 || resamples < 1 {
		return Interval{}, false
	}
	x := seed
	ratios := make([]float64, 0, resamples)
	for range resamples {
		var num, den float64
		for range n {
			hi, _ := bits.Mul64(splitmix(&x), uint64(n)) // uniform below n
			d := documents[hi]
			num += d.Num
			den += d.Den
		}
		if den > 0 {
			ratios = append(ratios, num/den)
		}
	}
	if len(ratios) == 0 {
		return Interval{}, false
	}
	slices.Sort(ratios)
	last := len(ratios) - 1
	return Interval{ratios[last*25/1000], ratios[last-last*25/1000]}, true
}

// splitmix is Vigna's splitmix64.
func splitmix(x *uint64) uint64 {
	*x += 0x9e3779b97f4a7c15
	z := *x
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
