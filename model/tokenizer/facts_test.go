package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

// Steps of a normal form have the names by which they are asked for.
func TestFactsNameTheNormalForm(t *testing.T) {
	for _, names := range [][]string{{}, {"nfc"}, {"nfd", "lowercase"}, {"strip-diacritics", "lowercase"}, {"mojibake", "ptbr-punctuation", "nfc"}, Normalizers()} {
		n, err := findNormalizer(names)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.names(); !slices.Equal(got, names) {
			t.Errorf("%q is called %q", names, got)
		}
	}
}

func TestFacts(t *testing.T) {
	o := options()
	o.Normalizer = []string{"strip-diacritics"}
	f := trained(t, o).Facts()
	if f.Vocab != 1500 || f.Splitter != "ptbr" || !f.Lossy || f.IgnoreMerges || strings.Join(f.Normalizer, " ") != "strip-diacritics" ||
		len(f.Added) != 5 || f.Added[3] != (Added{3, End, true}) {
		t.Errorf("the facts are %+v", f)
	}
}
