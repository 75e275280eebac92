package tokenize

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
	"github.com/ptbr-slm/pipeline/model/dataset"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

const excerpts = "../../model/tokenizer/testdata"

// excerpt returns the documents of one excerpt, a paragraph each.
func excerpt(t testing.TB, source string) (d []corpus.Document) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(excerpts, "text-"+source+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range strings.Split(string(b), "\n\n") {
		d = append(d, corpus.Document{ID: source + "-" + string(rune('a'+i%26)) + string(rune('a'+i/26)), Source: source, Text: text})
	}
	return d
}

// vocabulary trains a small tokenizer and returns it with its files as an input.
func vocabulary(t testing.TB, set func(*tokenizer.Options)) (*tokenizer.Tokenizer, []stagetest.Input) {
	t.Helper()
	o := tokenizer.Options{VocabSize: 800, MinFrequency: 2, Specials: []string{tokenizer.Pad, tokenizer.End}, Splitter: "ptbr", Normalizer: []string{"nfc"}}
	if set != nil {
		set(&o)
	}
	c, err := tokenizer.NewCounter(o.Splitter, o.Normalizer)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range excerpt(t, "machado") {
		c.Add(d.Text)
	}
	tok, err := tokenizer.Train(context.Background(), c.Words(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	var files []stagetest.Input
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{tokenizer.FileName, "vocab.json"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, stagetest.Input{Name: name, Data: b})
	}
	return tok, files
}

func inputs(t testing.TB, files []stagetest.Input) map[string][]stagetest.Input {
	return map[string][]stagetest.Input{
		"train": {
			stagetest.Shard(t, excerpt(t, "machado")...),
			stagetest.Shard(t, append(excerpt(t, "senado"), excerpt(t, "berlim")...)...),
		},
		"val":       {stagetest.Shard(t, excerpt(t, "constituicao")...)},
		"tokenizer": files,
	}
}

// opened writes the outputs to a directory and opens it as training does.
func opened(t testing.TB, r *stagetest.Result) *dataset.Dataset {
	t.Helper()
	dir := t.TempDir()
	for _, o := range r.Out["tokens"] {
		if err := os.WriteFile(filepath.Join(dir, o.Name), o.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := dataset.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestGolden(t *testing.T) {
	_, files := vocabulary(t, nil)
	r := stagetest.Run(t, Kind, Kind.Config, inputs(t, files))
	stagetest.Golden(t, Kind, r)
}

// Every document stands in the files, in order, as its own encoding and [EOS], with its
// source, bytes and words; and the counts of the manifest are their sums.
func TestDocumentsAreThere(t *testing.T) {
	tok, files := vocabulary(t, nil)
	r := stagetest.Run(t, Kind, Kind.Config, inputs(t, files))
	d := opened(t, r)
	if err := d.Match(tok.Digest()); err != nil {
		t.Error(err)
	}
	end, _ := tok.Special(tokenizer.End)
	want := map[string][]corpus.Document{
		dataset.Train: slices.Concat(excerpt(t, "machado"), excerpt(t, "senado"), excerpt(t, "berlim")),
		dataset.Val:   excerpt(t, "constituicao"),
	}
	for split, docs := range want {
		got, err := d.Documents(split)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(docs) {
			t.Fatalf("%s has %d documents of %d", split, len(got), len(docs))
		}
		sums := map[string]dataset.Volume{}
		for i, g := range got {
			doc := docs[i]
			ids := make([]uint32, g.Tokens)
			if err := d.Read(split, g.Start, ids); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(ids, append(tok.Encode(nil, doc.Text), end)) {
				t.Fatalf("%s document %d is %q", split, i, tok.Decode(ids))
			}
			if g.Bytes != int64(len(doc.Text)) || g.Words != int64(corpus.CountWords(doc.Text)) ||
				d.Manifest.Sources[g.Source] != doc.Source || g.ID != dataset.Hash(doc.Source, doc.ID) {
				t.Fatalf("%s document %d is recorded as %+v", split, i, g)
			}
			v := sums[doc.Source]
			v.Add(dataset.Volume{Documents: 1, Tokens: g.Tokens, Bytes: g.Bytes, Words: g.Words})
			sums[doc.Source] = v
		}
		var all dataset.Volume
		for source, v := range sums {
			if d.Manifest.Splits[split].Sources[source] != v {
				t.Errorf("%s of %s: the manifest says %+v, the documents %+v", split, source, d.Manifest.Splits[split].Sources[source], v)
			}
			all.Add(v)
		}
		if d.Manifest.Splits[split].Volume != all {
			t.Errorf("%s: the manifest says %+v, the documents %+v", split, d.Manifest.Splits[split].Volume, all)
		}
	}
	for _, o := range r.Out["tokens"] {
		if o.Name == "train.bin" && (o.Stats.Tokens != d.Tokens(dataset.Train) || o.Stats.Documents == 0 || o.Stats.Bytes == 0) {
			t.Errorf("the listing says %+v of train.bin", o.Stats)
		}
	}
}

// The .bin is plain: what nanoGPT reads as np.memmap(…, dtype=np.uint16).
func TestPlainFile(t *testing.T) {
	tok, files := vocabulary(t, nil)
	in := map[string][]stagetest.Input{"tokenizer": files,
		"train": {stagetest.Shard(t, corpus.Document{ID: "1", Source: "s", Text: "Uma noite"}, corpus.Document{ID: "2", Source: "s", Text: ""})}}
	r := stagetest.Run(t, Kind, Kind.Config, in)
	end, _ := tok.Special(tokenizer.End)
	ids := append(tok.Encode(nil, "Uma noite"), end, end)
	var want []byte
	for _, id := range ids {
		want = binary.LittleEndian.AppendUint16(want, uint16(id))
	}
	for _, o := range r.Out["tokens"] {
		switch o.Name {
		case "train.bin":
			if !slices.Equal(o.Data, want) {
				t.Errorf("train.bin is % x; must be % x", o.Data, want)
			}
		case "val.bin":
			t.Error("there is a val.bin without documents to validate on")
		}
	}
}

// allowing is the defaults with allow-specials.
func allowing(names ...string) Config {
	c := Kind.Config.(Config)
	c.AllowSpecials = append([]string{}, names...)
	return c
}

// Whatever the layout, the same ids are read, in the same documents; the parts are the same; the manifest has the
// digests of the files; and megatron ends documents with 0.
func TestLayouts(t *testing.T) {
	tok, files := vocabulary(t, nil)
	end, _ := tok.Special(tokenizer.End)
	_, zero := vocabulary(t, func(o *tokenizer.Options) { o.Specials = []string{tokenizer.End} })
	c := Kind.Config.(Config)
	base := opened(t, stagetest.Run(t, Kind, c, inputs(t, files)))
	for _, l := range dataset.Layouts {
		c.Layout = string(l)
		r := stagetest.Run(t, Kind, c, inputs(t, files))
		d := opened(t, r)
		body := map[string][]byte{}
		for _, o := range r.Out["tokens"] {
			body[o.Name] = o.Data
			if o.Name != dataset.ManifestName && d.Manifest.Digests[o.Name] != o.Digest {
				t.Errorf("%s: the manifest says that %s has the sha256 %q; it has %s", l, o.Name, d.Manifest.Digests[o.Name], o.Digest)
			}
		}
		if n := len(body) - 1; n != len(d.Manifest.Digests) || d.Manifest.Layout != l {
			t.Errorf("%s: a manifest of layout %q with %d digests of %d files", l, d.Manifest.Layout, len(d.Manifest.Digests), n)
		}
		for _, split := range dataset.Splits {
			want, got := make([]uint32, base.Tokens(split)), make([]uint32, d.Tokens(split))
			if err := errors.Join(base.Read(split, 0, want), d.Read(split, 0, got)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: other ids are read in %s", l, split)
			}
			a, err := base.Documents(split)
			b, err2 := d.Documents(split)
			if err != nil || err2 != nil || !slices.Equal(a, b) {
				t.Errorf("%s: other documents in %s: %v %v", l, split, err, err2)
			}
			if l != dataset.Megatron {
				continue
			}
			for i, x := range b {
				if at := 2 * (x.Start + x.Tokens - 1); body[split+".bin"][at] != 0 || body[split+".bin"][at+1] != 0 {
					t.Fatalf("document %d of %s does not end with 0", i, split)
				}
			}
			if !bytes.HasPrefix(body[split+".idx"], []byte("MMIDIDX\x00\x00")) {
				t.Errorf("%s has no index", split)
			}
		}
		if l != dataset.Megatron {
			continue
		}
		if want := fmt.Sprintf("0 ([PAD]) and %d ([EOS]) stand for each other", end); len(r.Log) == 0 || !strings.Contains(r.Log[0], want) || !slices.Equal(d.Manifest.Exchanged, []uint32{0, end}) {
			t.Errorf("that ids are exchanged is not told: %q, %d", r.Log, d.Manifest.Exchanged)
		}
		if r := stagetest.Run(t, Kind, c, inputs(t, zero)); len(r.Log) != 0 || opened(t, r).Manifest.Exchanged != nil {
			t.Errorf("a tokenizer whose [EOS] is 0 needs no exchange: %q", r.Log)
		}
	}
}

func TestAllowSpecials(t *testing.T) {
	tok, files := vocabulary(t, func(o *tokenizer.Options) { o.Specials = append(o.Specials, "<|im_start|>") })
	in := map[string][]stagetest.Input{"tokenizer": files,
		"train": {stagetest.Shard(t, corpus.Document{ID: "1", Text: "<|im_start|>Olá[EOS]"})}}
	start, _ := tok.Special("<|im_start|>")
	end, _ := tok.Special(tokenizer.End)
	count := func(c Config) (n int) {
		d := opened(t, stagetest.Run(t, Kind, c, in))
		ids := make([]uint32, d.Tokens(dataset.Train)-1)
		if err := d.Read(dataset.Train, 0, ids); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if id == start {
				n++
			} else if id == end {
				t.Error("[EOS] in the text became the end of a document")
			}
		}
		return n
	}
	if n := count(allowing()); n != 0 {
		t.Errorf("%d specials came from plain text", n)
	}
	if n := count(allowing("<|im_start|>")); n != 1 {
		t.Errorf("the allowed special came %d times", n)
	}
}

func TestManifestSaysLossy(t *testing.T) {
	for _, n := range []string{"nfc", "lowercase"} {
		_, files := vocabulary(t, func(o *tokenizer.Options) { o.Normalizer = []string{n} })
		if d := opened(t, stagetest.Run(t, Kind, Kind.Config, inputs(t, files))); d.Manifest.Lossy != (n == "lowercase") {
			t.Errorf("%s: lossy is %v", n, d.Manifest.Lossy)
		}
	}
}

func TestRefuses(t *testing.T) {
	_, files := vocabulary(t, nil)
	_, noEnd := vocabulary(t, func(o *tokenizer.Options) { o.Specials = []string{"[PAD]"} })
	one := []stagetest.Input{stagetest.Shard(t, corpus.Document{ID: "1", Text: "x"})}
	layout := allowing()
	layout.Layout = "gguf"
	for want, c := range map[string]struct {
		config Config
		in     map[string][]stagetest.Input
	}{
		"there are no documents to train on":            {allowing(), map[string][]stagetest.Input{"tokenizer": files, "val": one}},
		"the shards of train are empty":                 {allowing(), map[string][]stagetest.Input{"tokenizer": files, "train": {stagetest.Shard(t)}}},
		"has no special token [EOS]":                    {allowing(), map[string][]stagetest.Input{"tokenizer": noEnd, "train": one}},
		"has no special token <|x|>":                    {allowing("<|x|>"), map[string][]stagetest.Input{"tokenizer": files, "train": one}},
		`layout is "gguf"; there are plain, llm.c`:      {layout, map[string][]stagetest.Input{"tokenizer": files, "train": one}},
		`allow-specials names "a" twice`:                {allowing("a", "a"), map[string][]stagetest.Input{"tokenizer": files, "train": one}},
		"tokenizer.json: no such file":                  {allowing(), map[string][]stagetest.Input{"tokenizer": files[1:], "train": one}},
		"tokenizer.json: not valid JSON at line 1 of 1": {allowing(), map[string][]stagetest.Input{"tokenizer": {{Name: "tokenizer.json", Data: []byte("{")}}, "train": one}},
	} {
		if _, err := stagetest.Try(t, Kind, c.config, c.in, 1, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; must say %q", err, want)
		}
	}
}
