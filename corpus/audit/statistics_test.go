package audit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
)

// draw makes documents out of a small vocabulary, with markup and defects here and there.
func draw(r *rand.Rand, n int) []corpus.Document {
	vocabulary := strings.Fields("o a de que e do da em um para não casa rio ponte {{x}} [[y]] () Ã£ e\u0301 ônibus facto <br> &amp; Xstrng 日本 fim.")
	docs := make([]corpus.Document, n)
	for i := range docs {
		var b strings.Builder
		for range 1 + r.IntN(1500) {
			b.WriteString(vocabulary[r.IntN(len(vocabulary))])
			if r.IntN(12) == 0 {
				b.WriteByte('\n')
			} else {
				b.WriteByte(' ')
			}
		}
		docs[i] = corpus.Document{ID: fmt.Sprint(i), Source: string(rune('a' + i%3)), License: []string{"", "CC0"}[i%2], Text: b.String()}
	}
	return docs
}

func encode(t *testing.T, s *Statistics) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestStatisticsDoNotDependOnTheCut(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	docs := draw(r, 24)
	for _, capacity := range []int{1 << 20, 3000, 100} {
		whole := New(5, []int{1, 2, 4}, capacity)
		for i := range docs {
			whole.Add(&docs[i], 3)
		}
		want := encode(t, whole)
		for range 3 {
			parts := make([]*Statistics, 1+r.IntN(9))
			for i := range parts {
				parts[i] = New(5, []int{1, 2, 4}, capacity)
			}
			for _, i := range r.Perm(len(docs)) {
				parts[r.IntN(len(parts))].Add(&docs[i], 3)
			}
			sum := New(5, []int{1, 2, 4}, capacity)
			for _, p := range parts {
				back, err := Read(bytes.NewReader(encode(t, p)))
				if err != nil {
					t.Fatal(err)
				}
				if err := sum.Merge(back); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(encode(t, sum), want) {
				t.Fatalf("capacity %d: %d parts do not add up to the whole", capacity, len(parts))
			}
		}
	}
}

func TestNGramsAreExactAboveTheirLevel(t *testing.T) {
	docs := draw(rand.New(rand.NewPCG(3, 4)), 30)
	all := New(0, []int{2}, 1<<30)
	few := New(0, []int{2}, 500)
	for i := range docs {
		all.Add(&docs[i], 0)
		few.Add(&docs[i], 0)
	}
	a, f := all.NGrams[0], few.NGrams[0]
	if a.Level != 0 || f.Level == 0 || f.entries > 500 || f.entries == 0 {
		t.Fatalf("levels %d and %d, %d entries", a.Level, f.Level, f.entries)
	}
	brute := map[string]int64{}
	for i := range docs {
		trimmedLines(docs[i].Text, func(line string) {
			var w words
			w.split(line)
			for j := 0; j+2 <= w.len(); j++ {
				brute[string(w.gram(j, 2))]++
			}
		})
	}
	for _, g := range a.Top(1 << 30) {
		if brute[g.Text] != g.Counted || g.Estimate != g.Counted {
			t.Fatalf("%q counted %d times, there are %d", g.Text, g.Counted, brute[g.Text])
		}
	}
	for l, counts := range f.Counts {
		for gram, n := range counts {
			if m := a.Counts[f.Level+l][gram]; m != n {
				t.Fatalf("level %d of %q: %d, want %d", f.Level+l, gram, n, m)
			}
		}
	}
}

func TestWorstLinesAreDistinct(t *testing.T) {
	s := New(0, nil, 0)
	for i := range 3 {
		var b strings.Builder
		for j := range 800 {
			fmt.Fprintf(&b, "%s\n{{{{ |%d| }}}}\n", strings.Repeat("日本", 1+j%7), j%500)
		}
		s.Add(&corpus.Document{ID: fmt.Sprint(i), Source: "x", Text: b.String()}, 0)
	}
	seen := map[string]bool{}
	for i, w := range s.Lines {
		if seen[w.Text] {
			t.Fatalf("%q is listed twice", w.Text)
		}
		seen[w.Text] = true
		if i > 0 && w.Score > s.Lines[i-1].Score {
			t.Fatal("a worse line comes later")
		}
		if w.ID != "0" {
			t.Fatalf("%q is of document %s, want the first that has it", w.Text, w.ID)
		}
	}
	if len(s.Lines) != maxLines || s.Sources["x"].Flagged != 3*1600 {
		t.Fatalf("%d lines listed, %d flagged", len(s.Lines), s.Sources["x"].Flagged)
	}
}

func TestReadRefusesGarbage(t *testing.T) {
	good := encode(t, New(0, []int{1}, 10))
	for _, b := range [][]byte{nil, []byte("{}"), good[:len(good)/2]} {
		if _, err := Read(bytes.NewReader(b)); err == nil {
			t.Errorf("%q was read", b)
		}
	}
	if err := New(0, []int{1}, 10).Merge(New(0, []int{2}, 10)); err == nil {
		t.Error("n-grams of different orders were merged")
	}
	if err := New(0, []int{1}, 10).Merge(New(0, nil, 10)); err == nil {
		t.Error("statistics of different n-grams were merged")
	}
}
