package quality

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"Não fez barulho, disse-lhe.":   "Não fez barulho , disse-lhe .",
		"d'água... 1.234,56 — 8.666/93": "d'água ... 1.234,56 — 8.666 / 93",
		"fim.Outro a- b":                "fim . Outro a - b",
		"":                              "",
	} {
		var got []string
		for _, w := range New(in).words {
			got = append(got, w.text)
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%q: %q, want %q", in, g, want)
		}
	}
}

func TestMeasures(t *testing.T) {
	stop := map[string]bool{"de": true, "a": true, "o": true}
	for _, c := range []struct {
		name string
		got  float64
		want float64
	}{
		{"words", New("um, dois três.").Words(), 3},
		{"word length", New("um, dois três.").WordLength(), 10.0 / 3},
		{"alphabetic", New("um, 2 — três").AlphabeticWords(), 0.5},
		{"stop words", New("De a DE b").StopWords(stop), 2},
		{"ellipses", New("a # b ......... c… d..").EllipsesPerWord(), 2.0 / 8},
		{"hashes", New("a ## b").HashesPerWord(), 2.0 / 3},
		{"line ends", New("Um.\nDois\n\n“Três!”").LinesThat(EndsSentence), 2.0 / 3},
		{"bullets", New("- um\n* dois\n-três\n• quatro").LinesThat(Bullet), 3.0 / 4},
		{"newlines", New("a\nb\n\nc d\n").NewlinesPerWord(), 0.5},
		{"duplicate lines", New("aa\nb\naa\n aa ").DuplicateLines(), 0.5},
		{"their characters", New("aa\nb\naa").DuplicateLineCharacters(), 0.4},
		{"top gram", New("a b c a b").TopGram(2), 6.0 / 9},
		{"top gram, nothing twice", New("a b c").TopGram(2), 0},
		{"duplicate grams", New("a b c x a b c").DuplicateGrams(3), 3.0 / 13},
		{"duplicate grams counted once", New("a a a a a a").DuplicateGrams(2), 4.0 / 11},
		{"empty", New("").WordLength() + New("").DuplicateLineCharacters() + New("").TopGram(2) + New("").NewlinesPerWord(), 0},
	} {
		if math.Abs(c.got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

func FuzzMeasures(f *testing.F) {
	f.Add("Um texto, dois textos; um texto.\n- \xff\n1.2.3")
	f.Fuzz(func(t *testing.T, s string) {
		x := New(s)
		for name, v := range map[string]float64{"alpha": x.AlphabeticWords(), "lines": x.DuplicateLines(), "characters": x.DuplicateLineCharacters(),
			"dup": x.DuplicateGrams(5), "ends": x.LinesThat(EndsSentence)} {
			if v < 0 || v > 1 {
				t.Fatalf("%s is %v", name, v)
			}
		}
		var back strings.Builder
		for _, w := range x.words {
			fmt.Fprint(&back, w.text)
		}
		if strings.Join(strings.Fields(s), "") != back.String() {
			t.Fatal("words are lost")
		}
	})
}

func BenchmarkMeasures(b *testing.B) {
	s := strings.Repeat("A cidade cresceu às margens do rio, onde os primeiros moradores construíram casas. ", 2000)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		x := New(s)
		for n := 5; n <= 10; n++ {
			x.DuplicateGrams(n)
		}
		x.TopGram(2)
	}
}
