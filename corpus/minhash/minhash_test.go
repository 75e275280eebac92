package minhash

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	got := Words("A Educação, em 1988 (art. 205): DIREITO de todos... coração")
	if want := strings.Fields("a educacao em 0000 art 000 direito de todos coracao"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestShingles(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
	}{{"", 0}, {"um", 1}, {"um dois três", 1}, {"a b c d e", 1}, {"a b c d e f", 2}, {"a b a b a b a b", 2}} {
		if got := Shingles(Words(c.text), 5); len(got) != c.n || !slices.IsSorted(got) {
			t.Errorf("%q: %d shingles, want %d", c.text, len(got), c.n)
		}
	}
	if slices.Equal(Shingles(Words("a b c d e"), 5), Shingles(Words("b a c d e"), 5)) {
		t.Error("the order of words does not matter")
	}
}

func TestJaccard(t *testing.T) {
	for _, c := range []struct {
		a, b []uint64
		want float64
	}{{nil, nil, 0}, {[]uint64{1}, nil, 0}, {[]uint64{1, 2, 3}, []uint64{2, 3, 4}, 0.5}, {[]uint64{1, 2}, []uint64{1, 2}, 1}} {
		if got := Jaccard(c.a, c.b); got != c.want {
			t.Errorf("%v %v: %v", c.a, c.b, got)
		}
	}
}

// Pairs of sets with a known similarity share a band as often as the formula says.
func TestBandsFollowTheFormula(t *testing.T) {
	h := NewHasher(14, 8, 1)
	for _, c := range []struct{ common, own int }{{400, 50}, {300, 100}, {250, 125}} {
		s := float64(c.common) / float64(c.common+2*c.own)
		want := 1 - math.Pow(1-math.Pow(s, 8), 14)
		const pairs = 200
		hits := 0
		for p := range uint64(pairs) {
			var a, b []uint64
			for i := range c.common + 2*c.own {
				x := mix(p<<32 + uint64(i))
				if i < c.common+c.own {
					a = append(a, x)
				}
				if i < c.common || i >= c.common+c.own {
					b = append(b, x)
				}
			}
			if x, y := h.Bands(a), h.Bands(b); slices.ContainsFunc([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, func(i int) bool { return x[i] == y[i] }) {
				hits++
			}
		}
		got := float64(hits) / pairs
		// Four standard deviations of the share of 200 pairs.
		if d := math.Abs(got - want); d > 4*math.Sqrt(want*(1-want)/pairs) {
			t.Errorf("similarity %.2f: %.3f share a band, want %.3f", s, got, want)
		}
	}
}

func TestSeedDraws(t *testing.T) {
	set := Shingles(Words("um texto de algumas palavras para a assinatura"), 5)
	if slices.Equal(NewHasher(2, 2, 1).Bands(set), NewHasher(2, 2, 2).Bands(set)) {
		t.Error("another seed gives the same bands")
	}
	if NewHasher(2, 2, 1).Bands(nil) != nil {
		t.Error("the empty set has bands")
	}
}

func TestRecord(t *testing.T) {
	want := []Record{{ID: "a", Source: "wiki", Words: 7, Bands: []uint64{1, 1 << 63}, Exact: [32]byte{1, 31: 2}}, {ID: "", Source: "x"}}
	var b []byte
	for i := range want {
		b, _ = want[i].AppendBinary(b)
	}
	in := bufio.NewReader(bytes.NewReader(b))
	for i := range want {
		var r Record
		if err := ReadRecord(in, &r); err != nil || !reflect.DeepEqual(r, want[i]) {
			t.Errorf("%d: %+v %v", i, r, err)
		}
	}
	if err := ReadRecord(in, &Record{}); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	for n := 1; n < 40; n++ {
		if err := ReadRecord(bufio.NewReader(bytes.NewReader(b[:n])), &Record{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func FuzzReadRecord(f *testing.F) {
	b, _ := (&Record{ID: "a", Source: "b", Bands: []uint64{3}}).AppendBinary(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bufio.NewReader(bytes.NewReader(b))
		for ReadRecord(in, &Record{}) == nil {
		}
	})
}

func BenchmarkBands(b *testing.B) {
	words := Words(strings.Repeat("a cidade cresceu às margens do rio onde os primeiros moradores construíram casas de barro ", 60))
	for i := range words {
		words[i] += string(rune('a' + i%26))
	}
	h := NewHasher(14, 8, 1)
	b.SetBytes(int64(len(strings.Join(words, " "))))
	for b.Loop() {
		h.Bands(Shingles(words, 5))
	}
}
