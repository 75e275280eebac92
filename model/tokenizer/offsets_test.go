package tokenizer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The spans lie in the text, in order; where nothing changes they hold their tokens.
func FuzzEncodeOffsets(f *testing.F) {
	for _, s := range strange {
		f.Add(s)
	}
	all := several(f)
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range all {
			ids, spans := tok.EncodeOffsets(text, []string{End})
			if want := tok.EncodeSpecials(nil, text, []string{End}); !slices.Equal(ids, want) || len(spans) != len(ids) {
				t.Fatalf("%q gives %v, %d spans; must give %v", text, ids, len(spans), want)
			}
			last := Span{}
			for i, s := range spans {
				if s.Start < last.Start || s.End < s.Start || s.End > len(text) {
					t.Fatalf("%q: span %d is %v, after %v", text, i, s, last)
				}
				last = s
				if tok.normal(text) == text && !strings.Contains(text, End) && text[s.Start:s.End] != tok.Token(ids[i]) {
					t.Errorf("%q: span %d holds %q; must hold %q", text, i, text[s.Start:s.End], tok.Token(ids[i]))
				}
			}
		}
	})
}

func TestEncodeOffsets(t *testing.T) {
	bytes := trained(t, Options{VocabSize: 261, Specials: options().Specials, Splitter: "ptbr", Normalizer: []string{"nfc"}})
	prefixed := *bytes
	prefixed.prefixSpace = true
	lower := *bytes
	lower.normalizer = normalizer{{form: formLowercase}}
	for _, c := range []struct {
		tok        *Tokenizer
		text, want string
	}{
		{bytes, "aé", "0-1 1-2 2-3"},
		{bytes, "cae\u0301b d", "0-1 1-2 2-5 2-5 5-6 6-7 7-8"},
		{bytes, "e\u0301 e\u0301", "0-3 0-3 3-4 4-7 4-7"},
		{bytes, "A\u0300", "0-3 0-3"},
		{&lower, "aÉ", "0-1 1-3 1-3"},
		{bytes, "a\xffb", "0-1 1-2 1-2 1-2 2-3"},
		{bytes, "x[EOS] y", "0-1 1-6 6-7 7-8"},
		{bytes, "e\u0301[EOS]e\u0301", "0-3 0-3 3-8 8-11 8-11"},
		{&prefixed, "ab", "0-0 0-1 1-2"},
		{&lower, "aİb C", "0-1 1-3 1-3 1-3 3-4 4-5 5-6"},
	} {
		_, spans := c.tok.EncodeOffsets(c.text, []string{End})
		var got []string
		for _, s := range spans {
			got = append(got, fmt.Sprintf("%d-%d", s.Start, s.End))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: got %v; must be %s", c.text, got, c.want)
		}
	}
}
