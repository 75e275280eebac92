package audit

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestBins(t *testing.T) {
	for _, c := range []struct{ v, lo, hi int64 }{
		{0, 0, 0}, {1, 1, 1}, {2, 2, 2}, {3, 3, 3}, {4, 4, 5}, {5, 4, 5}, {6, 6, 7}, {7, 6, 7}, {8, 8, 11},
		{11, 8, 11}, {12, 12, 15}, {1000, 768, 1023}, {1024, 1024, 1535}, {1 << 40, 1 << 40, 3<<39 - 1},
	} {
		if lo, hi := BinRange(binOf(c.v)); lo != c.lo || hi != c.hi {
			t.Errorf("%d falls into %d–%d, want %d–%d", c.v, lo, hi, c.lo, c.hi)
		}
	}
	for b := range 100 {
		_, hi := BinRange(b)
		if lo, _ := BinRange(b + 1); lo != hi+1 {
			t.Fatalf("bin %d ends at %d and the next begins at %d", b, hi, lo)
		}
	}
}

func TestHistogramMerges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var whole, a, b Histogram
	for i := range 10000 {
		v := r.Int64N(1 << r.Int64N(30))
		whole.Add(v)
		if i%3 == 0 {
			a.Add(v)
		} else {
			b.Add(v)
		}
	}
	a.Merge(&b)
	a.Merge(&Histogram{})
	if !reflect.DeepEqual(a, whole) {
		t.Fatalf("merged %+v, whole %+v", a, whole)
	}
}

func TestQuantile(t *testing.T) {
	var h Histogram
	for v := range int64(1001) {
		h.Add(v)
	}
	for _, c := range []struct{ num, lo, hi int64 }{{0, 0, 0}, {50, 384, 511}, {90, 768, 1000}, {100, 768, 1000}} {
		if q := h.Quantile(c.num, 100); q < c.lo || q > c.hi {
			t.Errorf("quantile %d is %d, want it in its bin, %d–%d", c.num, q, c.lo, c.hi)
		}
	}
	if h.Mean() != 500 {
		t.Errorf("mean %v, want 500", h.Mean())
	}
	var none Histogram
	if none.Quantile(1, 2) != 0 || none.Mean() != 0 {
		t.Error("an empty histogram has a quantile or a mean")
	}
}
