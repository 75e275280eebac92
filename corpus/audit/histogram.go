package audit

import "math/bits"

// Histogram counts non-negative integers in fixed bins, two to an octave (0, 1, 2, 3,
// 4–5, 6–7, 8–11, 12–15, …), beside their exact count, sum and extremes. It merges
// exactly; a quantile is exact to its bin.
type Histogram struct {
	Count int64   `json:"count"`
	Sum   int64   `json:"sum"`
	Min   int64   `json:"min"`
	Max   int64   `json:"max"`
	Bins  []int64 `json:"bins,omitempty"` // up to the last that is not empty
}

// Add counts v; a negative v counts as 0.
func (h *Histogram) Add(v int64) {
	v = max(v, 0)
	if h.Count == 0 || v < h.Min {
		h.Min = v
	}
	h.Max = max(h.Max, v)
	h.Count++
	h.Sum += v
	b := binOf(v)
	for len(h.Bins) <= b {
		h.Bins = append(h.Bins, 0)
	}
	h.Bins[b]++
}

// Merge adds what o counted.
func (h *Histogram) Merge(o *Histogram) {
	if o.Count == 0 {
		return
	}
	if h.Count == 0 || o.Min < h.Min {
		h.Min = o.Min
	}
	h.Max = max(h.Max, o.Max)
	h.Count += o.Count
	h.Sum += o.Sum
	for len(h.Bins) < len(o.Bins) {
		h.Bins = append(h.Bins, 0)
	}
	for i, n := range o.Bins {
		h.Bins[i] += n
	}
}

// Mean is the exact mean, 0 for nothing.
func (h *Histogram) Mean() float64 {
	if h.Count == 0 {
		return 0
	}
	return float64(h.Sum) / float64(h.Count)
}

// Quantile is the value below which num of den values lie, spread evenly inside its
// bin and kept within the extremes.
func (h *Histogram) Quantile(num, den int64) int64 {
	if h.Count == 0 {
		return 0
	}
	rank := (h.Count - 1) * num / den
	for b, n := range h.Bins {
		if rank < n {
			lo, hi := BinRange(b)
			v := lo + (hi-lo)*rank/n
			return min(max(v, h.Min), h.Max)
		}
		rank -= n
	}
	return h.Max
}

// binOf gives the bin of v: with k the place of its highest bit, bin 2k or 2k+1 by the
// bit below.
func binOf(v int64) int {
	if v < 2 {
		return int(v)
	}
	k := bits.Len64(uint64(v)) - 1
	return 2*k + int(v>>(k-1)&1)
}

// BinRange gives the lowest and highest value of a bin.
func BinRange(b int) (lo, hi int64) {
	if b < 2 {
		return int64(b), int64(b)
	}
	width := int64(1) << (b/2 - 1)
	lo = int64(2+b&1) * width
	return lo, lo + width - 1
}
