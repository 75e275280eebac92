package tokenizer

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// several returns tokenizers of all splitters, with normal forms that change much.
func several(t testing.TB) (all []*Tokenizer) {
	t.Helper()
	for _, s := range splitters {
		for _, n := range [][]string{{"nfc"}, {"mojibake", "ptbr-punctuation", "lowercase", "strip-diacritics"}} {
			o := options()
			o.Splitter, o.Normalizer = s.name, n
			all = append(all, trained(t, o))
		}
	}
	return append(all, trained(t, options()).Exact())
}

// pieceReader gives text in pieces of the sizes in turn.
type pieceReader struct {
	text  string
	sizes []byte
	k     int
}

func (r *pieceReader) Read(b []byte) (int, error) {
	if r.text == "" {
		return 0, io.EOF
	}
	n := 1
	if len(r.sizes) > 0 {
		n += int(r.sizes[r.k%len(r.sizes)])
		r.k++
	}
	n = copy(b, r.text[:min(n, len(r.text))])
	r.text = r.text[n:]
	return n, nil
}

func readAll(t testing.TB, tok *Tokenizer, r io.Reader) (ids []uint32) {
	t.Helper()
	if err := tok.EncodeReader(r, func(part []uint32) error { ids = append(ids, part...); return nil }); err != nil {
		t.Fatal(err)
	}
	return ids
}

// However a text is cut into reads, it has the ids that it has as a whole.
func FuzzEncodeReader(f *testing.F) {
	for _, s := range strange {
		f.Add(s, []byte{0})
	}
	for i, s := range []string{"don't we'LL DON'T x'\nre", "!!\n/ //\n\n  x  y\r\n\r\n ", "AAbb 日本AAb é e\u0301 \u0301x\n\u0301", "a \u00a0\u2003b c\u0085d", "caminhÃ£o Ã  â€œsimâ€\u009d ... nÃ£o",
		"\xff \xe2\x82 \xc3\n\xa9 \xf0\x9f", strings.Repeat("palavras, 1234567 e mais\t\n  ", 40), "   \n\n   \n  . \n x"} {
		f.Add(s, []byte{byte(i), 7, 0, 30})
	}
	all := several(f)
	f.Fuzz(func(t *testing.T, text string, sizes []byte) {
		for _, tok := range all {
			want := tok.Encode(nil, text)
			if got := readAll(t, tok, &pieceReader{text: text, sizes: sizes}); !slices.Equal(got, want) {
				t.Errorf("%s, %v: %q read in pieces of %v gives %v; must give %v", tok.splitter.name, tok.normalizer, text, sizes, got, want)
			}
		}
	})
}

func TestEncodeReader(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	text := strings.Join(excerpts(t), "\n")
	for _, tok := range several(t) {
		want := tok.Encode(nil, text)
		sizes := make([]byte, 100)
		for i := range sizes {
			sizes[i] = byte(r.IntN(256) >> r.IntN(8))
		}
		for name, in := range map[string]io.Reader{"at once": strings.NewReader(text), "in pieces": &pieceReader{text: text, sizes: sizes}, "with the end": iotest.DataErrReader(strings.NewReader(text))} {
			if got := readAll(t, tok, in); !slices.Equal(got, want) {
				t.Errorf("%s: the text read %s gives other ids", tok.splitter.name, name)
			}
		}
	}
	tok, broken := trained(t, options()), errors.New("broken")
	if err := tok.EncodeReader(iotest.ErrReader(broken), nil); !errors.Is(err, broken) {
		t.Errorf("a reader's error came back as %v", err)
	}
	calls := 0
	if err := tok.EncodeReader(&pieceReader{text: text, sizes: []byte{200}}, func([]uint32) error { calls++; return broken }); !errors.Is(err, broken) || calls != 1 {
		t.Errorf("emit's error came back as %v after %d calls", err, calls)
	}
}

// A text is handed on while it is read, however long it is.
func TestEncodeReaderHoldsLittle(t *testing.T) {
	tok := trained(t, options())
	text := strings.Repeat("Não há nada de novo. ", 50_000)
	in, most := strings.NewReader(text), 0
	var n int
	if err := tok.EncodeReader(in, func(ids []uint32) error {
		n += len(tok.Decode(ids))
		most = max(most, len(text)-in.Len()-n)
		return nil
	}); err != nil || most > 100 {
		t.Errorf("%v; %d bytes were held back", err, most)
	}
}

// A rule with white space in it may stand anywhere: the text is normalized as a whole.
func TestEncodeReaderWithRulesOverBlanks(t *testing.T) {
	tok := *trained(t, options())
	tok.normalizer = replacing([]rule{mustRule("o m", "ó", false)})
	const text = "como mais o m e o\nm"
	if got, want := readAll(t, &tok, &pieceReader{text: text}), tok.Encode(nil, text); !slices.Equal(got, want) || !strings.Contains(tok.Decode(got), "comóais") {
		t.Errorf("got %q; must be %q", tok.Decode(got), tok.Decode(want))
	}
}
