package tokenizer

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTallyIsAMap(t *testing.T) {
	var tally Tally
	if tally.Len() != 0 || len(tally.Words()) != 0 {
		t.Error("an empty tally holds words")
	}
	want := map[string]uint64{}
	r := rand.New(rand.NewPCG(9, 10))
	for range 50_000 {
		text := fmt.Sprint(r.ExpFloat64() * 1000)[:1+r.IntN(5)]
		if r.IntN(100) == 0 {
			text = ""
		}
		n := r.Uint64N(1 << 40)
		tally.Add(text, n)
		want[text] += n
	}
	tally.Add("1", math.MaxUint64)
	want["1"] = math.MaxUint64
	words := tally.Words()
	if len(words) != len(want) || tally.Len() != len(want) {
		t.Errorf("%d words, Len %d; must be %d", len(words), tally.Len(), len(want))
	}
	if !slices.IsSortedFunc(words, func(a, b Word) int { return cmp.Compare(a.Text, b.Text) }) {
		t.Error("the words are not sorted by text")
	}
	for _, w := range words {
		if want[w.Text] != w.Count {
			t.Errorf("%q was counted %d times; must be %d", w.Text, w.Count, want[w.Text])
		}
	}
}
