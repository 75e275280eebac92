package tokenizer

import (
	"slices"
	"testing"

	"github.com/dlclark/regexp2"
)

func pieces(s *splitter, text string) (p []string) {
	for i := 0; i < len(text); {
		j := s.next(text, i)
		p = append(p, text[i:j])
		i = j
	}
	return p
}

// matches is what the regular expression cuts, Isolated: what it misses are pieces too.
func matches(t testing.TB, re *regexp2.Regexp, text string) (p []string) {
	t.Helper()
	runes := []rune(text)
	at := 0
	m, err := re.FindRunesMatch(runes)
	for ; m != nil && err == nil; m, err = re.FindNextMatch(m) {
		if m.Index > at {
			p = append(p, string(runes[at:m.Index]))
		}
		p = append(p, m.String())
		at = m.Index + m.Length
	}
	if err != nil {
		t.Fatal(err)
	}
	if at < len(runes) {
		p = append(p, string(runes[at:]))
	}
	return p
}

func TestSplitterIsItsRegex(t *testing.T) {
	for _, s := range splitters {
		re := regexp2.MustCompile(s.regex, regexp2.None)
		for _, text := range append(excerpts(t), strange...) {
			text = validUTF8(text)
			got, want := pieces(s, text), matches(t, re, text)
			if !slices.Equal(got, want) {
				for i := range got {
					if i >= len(want) || got[i] != want[i] {
						t.Errorf("%s: piece %d of %.40q is %q; the regex gives %q", s.name, i, text, got[i], want[min(i, len(want)-1)])
						break
					}
				}
			}
		}
	}
}

func FuzzSplitter(f *testing.F) {
	for _, s := range strange {
		f.Add(s)
	}
	var res []*regexp2.Regexp
	for _, s := range splitters {
		res = append(res, regexp2.MustCompile(s.regex, regexp2.None))
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = validUTF8(text)
		for i, s := range splitters {
			got, want := pieces(s, text), matches(t, res[i], text)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q gives %q; the regex gives %q", s.name, text, got, want)
			}
			// A piece is its own only piece: counts of pieces stand for the text.
			for _, p := range got {
				if again := pieces(s, p); len(again) != 1 {
					t.Errorf("%s: the piece %q of %q is split again: %q", s.name, p, text, again)
				}
			}
		}
	})
}

func TestPtbr(t *testing.T) {
	s, err := findSplitter("ptbr")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		"Em 2024, não.":      {"Em", " 20", "24", ",", " não", "."},
		"dá-lhe água":        {"dá", "-", "lhe", " água"},
		"a\u0301gua":         {"a\u0301gua"},
		"1º  Art.\n\n§ 2":    {"1", "º", " ", " Art", ".", "\n\n", "§", " 2"},
		"fim \n  novo":       {"fim", " \n", " ", " novo"},
		"x\t\ty":             {"x", "\t", "\t", "y"},
		"R$ 1.234,56":        {"R", "$", " 1", ".", "23", "4", ",", "56"},
		"sim!!! (não)":       {"sim", "!!!", " (", "não", ")"},
		"   ":                {"   "},
		"[EOS]":              {"[", "EOS", "]"},
		"São Paulo — Brasil": {"São", " Paulo", " —", " Brasil"},
	} {
		if got := pieces(s, text); !slices.Equal(got, want) {
			t.Errorf("%q gives %q; must give %q", text, got, want)
		}
	}
}

func BenchmarkSplit(b *testing.B) {
	text := ""
	for _, x := range excerpts(b) {
		text += x
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		for i := 0; i < len(text); {
			i = ptbr(text, i)
		}
	}
}
