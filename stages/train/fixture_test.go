package train

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
	"github.com/ptbr-slm/pipeline/model/dataset"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

var makeFixture = flag.Bool("make-fixture", false, "make testdata/tokens and testdata/tokenizer anew out of testdata/machado.txt")

// inputs reads the fixture: an excerpt of Dom Casmurro as tokens, and their tokenizer.
// It is kept as files so that the digests here depend on training alone.
func inputs(t testing.TB) map[string][]stagetest.Input {
	t.Helper()
	in := map[string][]stagetest.Input{}
	for _, port := range []string{"tokens", "tokenizer"} {
		entries, err := os.ReadDir(filepath.Join("testdata", port))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join("testdata", port, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			in[port] = append(in[port], stagetest.Input{Name: e.Name(), Data: b})
		}
	}
	return in
}

func TestMakeFixture(t *testing.T) {
	if !*makeFixture {
		t.Skip("the fixture is made by hand, with -make-fixture")
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("testdata/machado.txt")
	check(err)
	o := tokenizer.Options{VocabSize: 400, MinFrequency: 2, Specials: []string{tokenizer.Pad, tokenizer.Unknown, tokenizer.Begin, tokenizer.End, tokenizer.Separator},
		Splitter: "ptbr", Normalizer: []string{"nfc"}}
	count, err := tokenizer.NewCounter(o.Splitter, o.Normalizer)
	check(err)
	count.Add(string(text))
	tok, err := tokenizer.Train(t.Context(), count.Words(), o, nil)
	check(err)
	check(os.MkdirAll("testdata/tokenizer", 0o755))
	check(os.MkdirAll("testdata/tokens", 0o755))
	check(tok.Save("testdata/tokenizer"))
	tok, err = tokenizer.Load("testdata/tokenizer")
	check(err)
	end, _ := tok.Special(tokenizer.End)
	dtype, width := dataset.DType(tok.VocabSize())
	m := dataset.Manifest{Format: dataset.Format, Tokenizer: tok.Digest(), Vocab: tok.VocabSize(), DType: dtype, End: end,
		Sources: []string{"machado"}, Splits: map[string]dataset.Split{}}
	cut := bytes.LastIndexByte(text[:len(text)*4/5], '\n')
	for i, body := range [][]byte{text[:cut], text[cut:]} {
		split := dataset.Splits[i]
		ids := append(tok.Encode(nil, string(body)), end)
		d, err := dataset.AppendDocument(nil, dataset.Document{Tokens: int64(len(ids)), Bytes: int64(len(body)), Words: 1, ID: dataset.Hash("machado", split)})
		check(err)
		v := dataset.Volume{Documents: 1, Tokens: int64(len(ids)), Bytes: int64(len(body)), Words: 1}
		m.Splits[split] = dataset.Split{Volume: v, Sources: map[string]dataset.Volume{"machado": v}}
		check(os.WriteFile(filepath.Join("testdata/tokens", split+".bin"), dataset.AppendTokens(nil, ids, width), 0o644))
		check(os.WriteFile(filepath.Join("testdata/tokens", split+".docs"), d, 0o644))
	}
	var b bytes.Buffer
	_, err = m.WriteTo(&b)
	check(err)
	check(os.WriteFile(filepath.Join("testdata/tokens", dataset.ManifestName), b.Bytes(), 0o644))
}
