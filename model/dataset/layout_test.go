package dataset

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The files in testdata were written once in Python 3.12 with numpy 2.4, as the writers of the
// other programs do it step by step, from three documents of which 3 is the end:
//
//	llm.c-*      write_datafile of llm.c's dev/data/data_common.py, as "gpt-2" and "llama-3"
//	megatron-*   MMapIndexedDatasetBuilder and MMapIndexedDataset.Index.writer of RWKV-LM
//	             (RWKV-v5/make_data.py, src/binidx.py), as uint16 and int32, with 0 and 3
//	             in each other's place; Megatron-LM's indexed_dataset.py writes the same
//	u64-count-*  struct.pack("<Q", n) and numpy's tobytes of "<u2"
//	plain-*      numpy's tofile, as nanoGPT's prepare.py writes
func layoutFixture(width int) (documents [][]uint32, name string) {
	top := uint32(40000)
	if width == 4 {
		top = 70000
	}
	return [][]uint32{{5, 7, 300, 3}, {3}, {65, 0, top, 3}}, fmt.Sprintf("-%d", 8*width)
}

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is written here is, byte for byte, what the other programs write.
func TestLayoutsAreTheirs(t *testing.T) {
	for _, width := range []int{2, 4} {
		documents, name := layoutFixture(width)
		ids := slices.Concat(documents...)
		for _, l := range Layouts {
			if l.Check(1<<(8*width)) != nil {
				continue // 16 bits only
			}
			got, err := l.Header(int64(len(ids)), width)
			if err != nil {
				t.Fatal(err)
			}
			got = AppendTokens(got, ids, width)
			if l == Megatron {
				Exchange(got, width, 0, 3)
			}
			if want := fixture(t, string(l)+name+".bin"); !bytes.Equal(got, want) {
				t.Errorf("%s%s.bin is\n% x, must be\n% x", l, name, got, want)
			}
		}
		var idx bytes.Buffer
		if err := WriteIndex(&idx, []int32{4, 1, 4}, width); err != nil {
			t.Fatal(err)
		}
		if want := fixture(t, "megatron"+name+".idx"); !bytes.Equal(idx.Bytes(), want) {
			t.Errorf("megatron%s.idx is\n% x, must be\n% x", name, idx.Bytes(), want)
		}
	}
}

// theirs lays the files of another program out as a dataset.
func theirs(t *testing.T, l Layout, width int) string {
	t.Helper()
	dir := t.TempDir()
	documents, name := layoutFixture(width)
	m := Manifest{Format: Format, Tokenizer: "abc", Vocab: 1 << 16, End: 3, Sources: []string{"a"}, Splits: map[string]Split{}, Layout: l}
	if width == 4 {
		m.Vocab = 100000
	}
	m.DType, _ = DType(m.Vocab)
	var docs []byte
	var v Volume
	for _, d := range documents {
		var err error
		if docs, err = AppendDocument(docs, Document{Start: v.Tokens, Tokens: int64(len(d))}); err != nil {
			t.Fatal(err)
		}
		v.Add(Volume{Documents: 1, Tokens: int64(len(d))})
	}
	m.Splits[Train] = Split{Volume: v}
	files := map[string][]byte{"train.bin": fixture(t, string(l)+name+".bin"), "train.docs": docs}
	if l == Megatron {
		m.Exchanged = []uint32{0, 3}
		files["train.idx"] = fixture(t, "megatron"+name+".idx")
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	files[ManifestName] = b.Bytes()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Whatever the layout, the same ids are read, mapped and not.
func TestLayoutsReadAlike(t *testing.T) {
	for _, width := range []int{2, 4} {
		documents, _ := layoutFixture(width)
		want := slices.Concat(documents...)
		for _, l := range Layouts {
			if l.Check(1<<(8*width)) != nil {
				continue
			}
			d := open(t, theirs(t, l, width))
			f := *d.files[Train]
			f.mapped = nil
			for _, read := range []func(int64, []uint32) error{d.files[Train].read, f.read} {
				got := make([]uint32, len(want)-1)
				if err := read(1, got); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want[1:]) {
					t.Errorf("%s, %d bytes: %d, must be %d", l, width, got, want[1:])
				}
			}
		}
	}
}

func TestLayoutsRefuse(t *testing.T) {
	if err := Layout("gguf").Check(100); err == nil || !strings.Contains(err.Error(), `layout is "gguf"; there are plain, llm.c, megatron, u64-count`) {
		t.Errorf("an unknown layout: %v", err)
	}
	if err := Counted.Check(65537); err == nil || !strings.Contains(err.Error(), "layout u64-count has 16 bits for an id, and the vocabulary has 65537") {
		t.Errorf("a vocabulary that is too large: %v", err)
	}
	if _, err := LLMC.Header(math.MaxInt32, 2); err != nil {
		t.Error(err)
	}
	if _, err := LLMC.Header(math.MaxInt32+1, 2); err == nil || !strings.Contains(err.Error(), "layout llm.c cannot hold a split of 2147483648 tokens") {
		t.Errorf("more tokens than 31 bits count: %v", err)
	}
	change := func(name string, f func([]byte) []byte) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, f(b), 0o644)
		}
	}
	flip := func(i int) func([]byte) []byte { return func(b []byte) []byte { b[i] ^= 1; return b } }
	for _, c := range []struct {
		layout Layout
		damage func(dir string) error
		want   string
	}{
		{LLMC, change("train.bin", flip(0)), "train.bin: byte 0 is 0x89; the header of the layout llm.c for 9 tokens has 0x88"},
		{LLMC, change("train.bin", func(b []byte) []byte { return b[:1030] }), "has 1030 bytes; the manifest says 9 tokens of 2 bytes after the 1024 bytes with which layout llm.c begins"},
		{LLMC, change("train.bin", func([]byte) []byte { return nil }), "has 0 bytes; the manifest says 9 tokens"},
		{Counted, change("train.bin", flip(0)), "train.bin: byte 0 is 0x08; the header of the layout u64-count"},
		{Megatron, func(dir string) error { return os.Remove(filepath.Join(dir, "train.idx")) }, "train.idx: no such file"},
		{Megatron, change("train.idx", flip(18)), "train.idx is not the index of 3 documents of 2 bytes an id"},
		{Megatron, change("train.idx", func(b []byte) []byte { return b[:len(b)-8] }), "train.idx is not the index of 3 documents"},
		{Megatron, change(ManifestName, func(b []byte) []byte { return bytes.Replace(b, []byte(`"megatron"`), []byte(`"safetensors"`), 1) }), `layout is "safetensors"`},
		{Megatron, change(ManifestName, func(b []byte) []byte { return bytes.Replace(b, []byte("    0,\n    3\n"), []byte("0, 65536"), 1) }), "exchanged is [0 65536]; must be none or two ids below 65536"},
		{Megatron, change(ManifestName, func(b []byte) []byte { return bytes.Replace(b, []byte("    0,\n    3\n"), []byte("0"), 1) }), "exchanged is [0]"},
	} {
		dir := theirs(t, c.layout, 2)
		if err := c.damage(dir); err != nil {
			t.Fatal(err)
		}
		d, err := Open(dir)
		if err == nil {
			d.Close()
			t.Errorf("%s: opened; must say %q", c.layout, c.want)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is\n%v\nwithout\n%s", err, c.want)
		}
	}
}
