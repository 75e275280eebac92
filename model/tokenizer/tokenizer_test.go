package tokenizer

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// trained returns a small tokenizer learnt from the excerpts in testdata.
func trained(t testing.TB, o Options) *Tokenizer {
	t.Helper()
	c, err := NewCounter(o.Splitter, o.Normalizer)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range excerpts(t) {
		c.Add(text)
	}
	tok, err := Train(context.Background(), c.Words(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func options() Options {
	return Options{VocabSize: 1500, MinFrequency: 2, Specials: []string{Pad, Unknown, Begin, End, Separator},
		Splitter: "ptbr", Normalizer: []string{"nfc"}}
}

// excerpts reads testdata/text-*.txt: a chapter by Machado de Assis, articles of the
// Constitution, a Senate session, wikitext.
func excerpts(t testing.TB) (texts []string) {
	t.Helper()
	names, err := filepath.Glob("testdata/text-*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no excerpts in testdata: %v", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	return texts
}

func TestDecodeIsInverse(t *testing.T) {
	tok := trained(t, options())
	for _, text := range append(excerpts(t), strange...) {
		ids := tok.Encode(nil, text)
		if got, want := tok.Decode(ids), norm.NFC.String(validUTF8(text)); got != want {
			t.Errorf("%.60q came back as %.60q", want, got)
		}
		var b strings.Builder
		s := tok.NewStream()
		for _, id := range ids {
			b.WriteString(s.Push(id))
		}
		b.WriteString(s.Flush())
		if b.String() != tok.Decode(ids) {
			t.Errorf("%.60q streamed as %.60q", text, b.String())
		}
	}
}

// strange is text that splitters, normal forms and decoders get wrong.
var strange = []string{
	"", " ", "  ", "\n", " \n ", "\r\n\r\n", "a\u00a0b", "\u2003\u2003x", "\t\tx", "x \t\n y",
	"a\u0301", "\u0301", " \u0301x", "1\u0301", "ﬁ Å \u212b \u2126", "\u1100\u1161\u11a8", "🇧🇷👩‍👩‍👧",
	"٣٤٥ ⅷ ½ 1º 2ª 12345", "dá-lhe d'água", "[EOS] [PAD]", "\x00\x01\x7f", "\xff", "a\xc3", "\xe2\x82", "\xf0\x9f\x87", "\xed\xa0\x80", "\xc0\xaf",
	"日本語 中文", "\u2028a\u2029b\u0085c", "\ufeffx", strings.Repeat("á", 100), strings.Repeat("ab", 500), "�",
}

func TestFilesRoundTrip(t *testing.T) {
	tok := trained(t, options())
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != tok.Digest() || !bytes.Equal(again.marshal(), tok.file) {
		t.Error("what was read is not what was written")
	}
	for _, text := range excerpts(t) {
		a, b := tok.Encode(nil, text), again.Encode(nil, text)
		if len(a) != len(b) {
			t.Fatalf("%d ids, %d after reading", len(a), len(b))
		}
	}
}
