package gpt2

import (
	"slices"
	"testing"
)

// Ids as get_encoding("gpt2") of tiktoken 1.0.22 (npm) gives them.
func TestIds(t *testing.T) {
	tok, err := Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]uint32{
		"hello world":                          {31373, 995},
		"O Brasil é uma República Federativa.": {46, 39452, 346, 38251, 334, 2611, 1432, 21356, 65, 677, 64, 35089, 265, 12151, 13},
		"Dir-se-ia que não há coração que lhe resista;\n\n  às 10h30, R$ 1.234,56": {35277, 12, 325, 12, 544, 8358, 299, 28749, 289, 6557, 1162, 64, 16175,
			28749, 8358, 300, 258, 4180, 64, 26, 628, 220, 28141, 82, 838, 71, 1270, 11, 371, 3, 352, 13, 24409, 11, 3980},
		" 🙂 a\tb  c":      {32485, 257, 197, 65, 220, 269},
		"it's don't IT'S": {270, 338, 836, 470, 7283, 6, 50},
	} {
		if got := tok.Encode(nil, text); !slices.Equal(got, want) {
			t.Errorf("%q is %d; must be %d", text, got, want)
		}
		if got := tok.Decode(want); got != text {
			t.Errorf("%d is %q; must be %q", want, got, text)
		}
	}
	if end, ok := tok.Special(End); !ok || end != 50256 || tok.VocabSize() != 50257 {
		t.Errorf("%d ids, %s is %d", tok.VocabSize(), End, end)
	}
}
