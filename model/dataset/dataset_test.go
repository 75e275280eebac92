package dataset

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A manifest of before there were layouts is read: it says nothing of them.
func TestFormatPlain(t *testing.T) {
	dir := write(t, 95, 500)
	path := filepath.Join(dir, ManifestName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte(Format), []byte(formatPlain), 1)
	if err := os.WriteFile(path, bytes.Replace(b, []byte(`"plain"`), []byte(`""`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if d := open(t, dir); d.Manifest.Layout != Plain {
		t.Errorf("the layout is %q", d.Manifest.Layout)
	}
}

// Streams begin evenly spread over the training split, somewhere that the seed decides, and
// read on over its end.
func TestStream(t *testing.T) {
	d, err := Open(write(t, 1000, 1001))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	read := func(seed uint64, stream, at int64) []uint32 {
		x := make([]uint32, 7)
		if err := d.Stream(seed, stream, 4, at, x); err != nil {
			t.Fatal(err)
		}
		return x
	}
	first := read(1, 0, 0)[0]
	for stream := range int64(4) {
		for _, at := range []int64{0, 7, 400, 999, 12345} {
			for i, got := range read(1, stream, at) {
				if want := (int64(first) + 250*stream + at + int64(i)) % 1000; int64(got) != want {
					t.Fatalf("stream %d at %d+%d: %d, want %d", stream, at, i, got, want)
				}
			}
		}
	}
	if read(2, 0, 0)[0] == first {
		t.Error("two seeds begin at the same place")
	}
	if err := d.Stream(1, 4, 4, 0, nil); err == nil {
		t.Error("a fifth stream of four")
	}
}

// write makes a dataset of n tokens, 0 1 2 … modulo vocab, in documents of ten.
func write(t testing.TB, n, vocab int) string {
	t.Helper()
	dir := t.TempDir()
	dtype, width := DType(vocab)
	m := Manifest{Format: Format, Tokenizer: "abc", Vocab: vocab, DType: dtype, Sources: []string{"a", "b"}, Splits: map[string]Split{}, Layout: Plain}
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(i % vocab)
	}
	var docs []byte
	v := Volume{}
	for at := 0; at < n; at += 10 {
		d := Document{Start: int64(at), Tokens: int64(min(10, n-at)), Bytes: 30, Words: 7, ID: Hash("a", "x"), Source: uint32(at / 10 % 2)}
		var err error
		if docs, err = AppendDocument(docs, d); err != nil {
			t.Fatal(err)
		}
		v.Add(Volume{1, d.Tokens, d.Bytes, d.Words})
	}
	m.Splits[Train] = Split{Volume: v}
	m.Digests = map[string]string{"train.docs": fmt.Sprintf("%x", sha256.Sum256(docs))}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"train.bin": AppendTokens(nil, ids, width), "train.docs": docs, ManifestName: b.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t testing.TB, dir string) *Dataset {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// Every epoch takes every chunk once, every token is a target at least once and fewer
// than a chunk of them twice, and the cuts move.
func TestEpochCoversAll(t *testing.T) {
	for _, n := range []int{1, 2, 7, 8, 9, 64, 1000} {
		d := open(t, write(t, n, 2000))
		for _, T := range []int{1, 3, 8} {
			cuts := map[uint32]bool{}
			for epoch := range int64(4) {
				targets := make([]int, n)
				first := map[uint32]bool{}
				dst := make([]uint32, T+1)
				for i := range d.Chunks(T) {
					if err := d.Sample(42, epoch, i, T, dst); err != nil {
						t.Fatal(err)
					}
					for j, id := range dst[1:] {
						targets[id]++
						if int(id) != (int(dst[j])+1)%n {
							t.Fatalf("n=%d T=%d: %d follows %d", n, T, id, dst[j])
						}
					}
					if first[dst[0]] {
						t.Fatalf("n=%d T=%d epoch %d: the chunk at %d was drawn twice", n, T, epoch, dst[0])
					}
					first[dst[0]] = true
					cuts[dst[0]] = true
				}
				twice := 0
				for id, k := range targets {
					if k < 1 {
						t.Fatalf("n=%d T=%d epoch %d: token %d is never a target", n, T, epoch, id)
					}
					twice += k - 1
				}
				if twice >= T {
					t.Fatalf("n=%d T=%d epoch %d: %d targets too many", n, T, epoch, twice)
				}
			}
			if n == 1000 && T == 8 && len(cuts) == int(d.Chunks(T)) {
				t.Error("four epochs cut at the same places")
			}
		}
	}
}

// A run that stops anywhere and goes on by (epoch, index), in another process and in
// any order, draws what the undisturbed one draws; another seed or epoch, something else.
func TestSampleIsPure(t *testing.T) {
	const n, T = 997, 5
	dir := write(t, n, 1000)
	d := open(t, dir)
	draw := func(d *Dataset, seed uint64, epoch, from, to int64) (all []uint32) {
		dst := make([]uint32, T+1)
		for i := from; i < to; i++ {
			if err := d.Sample(seed, epoch, i, T, dst); err != nil {
				t.Fatal(err)
			}
			all = append(all, dst...)
		}
		return all
	}
	chunks := d.Chunks(T)
	whole := draw(d, 1, 3, 0, chunks)
	tail := draw(open(t, dir), 1, 3, chunks/3, chunks)
	if !slices.Equal(append(draw(d, 1, 3, 0, chunks/3), tail...), whole) {
		t.Error("the resumed sequence differs")
	}
	if slices.Equal(draw(d, 1, 4, 0, chunks), whole) || slices.Equal(draw(d, 2, 3, 0, chunks), whole) {
		t.Error("epoch or seed changes nothing")
	}
	var wg sync.WaitGroup
	parts := make([][]uint32, chunks)
	for w := range int64(4) {
		wg.Go(func() {
			for i := w; i < chunks; i += 4 {
				parts[i] = draw(d, 1, 3, i, i+1)
			}
		})
	}
	wg.Wait()
	if !slices.Equal(slices.Concat(parts...), whole) {
		t.Error("four workers draw something else")
	}
}

func TestPermute(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 4, 5, 17, 64, 1000, 65537} {
		seen := make([]bool, n)
		same := 0
		for i := range n {
			p := permute(i, n, 7)
			if p >= n || seen[p] {
				t.Fatalf("n=%d: %d goes to %d again", n, i, p)
			}
			seen[p] = true
			if p == i {
				same++
			}
		}
		if n > 1000 && same > 10 {
			t.Errorf("n=%d: %d stay where they are", n, same)
		}
	}
}

// Reading without a mapping gives the same, in both widths.
func TestReadWithoutMapping(t *testing.T) {
	for _, vocab := range []int{500, 65536, 65537, 100000} {
		d := open(t, write(t, 1234, vocab))
		f := d.files[Train]
		if _, width := DType(vocab); f.width != width {
			t.Fatalf("vocabulary %d: width %d", vocab, f.width)
		}
		a, b := make([]uint32, 100), make([]uint32, 100)
		if err := d.Read(Train, 777, a); err != nil {
			t.Fatal(err)
		}
		unmapped := &tokenFile{f: f.f, n: f.n, width: f.width, vocab: f.vocab}
		if err := unmapped.read(777, b); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a, b) || a[0] != uint32(777%vocab) {
			t.Errorf("vocabulary %d: mapped %v…, read %v…", vocab, a[:3], b[:3])
		}
	}
}

func TestDocuments(t *testing.T) {
	d := open(t, write(t, 95, 500))
	docs, err := d.Documents(Train)
	if err != nil {
		t.Fatal(err)
	}
	want := Document{Start: 90, Tokens: 5, Bytes: 30, Words: 7, ID: Hash("a", "x"), Source: 1}
	if len(docs) != 10 || docs[9] != want {
		t.Errorf("the last of %d documents is %+v; must be %+v", len(docs), docs[9], want)
	}
}

func TestRefuses(t *testing.T) {
	replace := func(name, old, new string) func(string) error {
		return func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, name), bytes.Replace(b, []byte(old), []byte(new), 1), 0o644)
		}
	}
	truncate := func(name string, n int64) func(string) error {
		return func(dir string) error { return os.Truncate(filepath.Join(dir, name), n) }
	}
	remove := func(name string) func(string) error {
		return func(dir string) error { return os.Remove(filepath.Join(dir, name)) }
	}
	for _, c := range []struct {
		name   string
		damage func(dir string) error
		want   string
	}{
		{"tokens cut short", truncate("train.bin", 150), "train.bin has 150 bytes; the manifest says 95 tokens of 2 bytes: the file was cut short"},
		{"documents cut short", truncate("train.docs", 80), "has 80 bytes; the manifest says 10 documents"},
		{"no tokens", remove("train.bin"), "train.bin"},
		{"no documents", remove("train.docs"), "train.docs"},
		{"no manifest", remove(ManifestName), "manifest.json"},
		{"manifest cut short", truncate(ManifestName, 100), "manifest.json: unexpected end"},
		{"other format", replace(ManifestName, Format, "ptbr-tokens-9"), `format is "ptbr-tokens-9"`},
		{"no layout", replace(ManifestName, `"plain"`, `""`), `layout is ""`},
		{"other dtype", replace(ManifestName, "uint16", "uint32"), `dtype is "uint32"; a vocabulary of 500 is stored as uint16`},
		{"nothing to train on", replace(ManifestName, `"tokens": 95`, `"tokens": 0`), "no tokens to train on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, 95, 500)
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			d, err := Open(dir)
			if err == nil {
				d.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is\n%v\nwithout\n%s", err, c.want)
			}
		})
	}
	dir := write(t, 95, 500)
	d := open(t, dir)
	dst := make([]uint32, 9)
	for _, err := range []error{d.Match("def"), d.Read(Train, 90, dst), d.Read(Val, 0, dst), d.Sample(1, 0, d.Chunks(8), 8, dst), d.Sample(1, 0, 0, 9, dst)} {
		if err == nil {
			t.Error("a wrong tokenizer, position, split, sample or length was taken")
		}
	}
	if err := d.Match("abc"); err != nil {
		t.Error(err)
	}
	// An id that the vocabulary does not have.
	if err := replace("train.bin", "\x05\x00", "\xff\xff")(dir); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir).Read(Train, 0, dst); err == nil || !strings.Contains(err.Error(), "token 65535 near position 0; the vocabulary has 500") {
		t.Errorf("an id outside the vocabulary: %v", err)
	}
	// Records that are not those of the manifest; and such that do not follow each other.
	b, _ := os.ReadFile(filepath.Join(dir, "train.docs"))
	was := fmt.Sprintf("%x", sha256.Sum256(b))
	b[documentSize] = 11
	if err := os.WriteFile(filepath.Join(dir, "train.docs"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).Documents(Train); err == nil || !strings.Contains(err.Error(), "the manifest says "+was[:12]) {
		t.Errorf("records that were changed: %v", err)
	}
	if err := replace(ManifestName, was, fmt.Sprintf("%x", sha256.Sum256(b)))(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).Documents(Train); err == nil || !strings.Contains(err.Error(), "document 1 begins at 11; the one before it ends at 10") {
		t.Errorf("records with a gap: %v", err)
	}
}

// Whatever a manifest says of files that are there, opening and reading ends in data or
// in an error.
func FuzzManifest(f *testing.F) {
	dir := write(f, 95, 500)
	b, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(bytes.Replace(b, []byte(`"tokens": 95`), []byte(`"tokens": 9223372036854775807`), 1))
	f.Add(bytes.Replace(b, []byte(`"plain"`), []byte(`"llm.c"`), 1))
	f.Add(bytes.Replace(b, []byte(`"plain"`), []byte(`"u64-count"`), 1))
	f.Add(bytes.Replace(b, []byte(`"documents": 10`), []byte(`"documents": -10`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, ManifestName), b, 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := Open(dir)
		if err != nil {
			return
		}
		defer d.Close()
		dst := make([]uint32, 9)
		for i := range d.Chunks(8) {
			if err := d.Sample(1, 0, i, 8, dst); err != nil {
				return // an id above the manifest's vocabulary
			}
		}
		if _, err := d.Documents(Train); err == nil && d.Tokens(Train) != 95 {
			t.Errorf("%d tokens were taken for 95", d.Tokens(Train))
		}
	})
}

func BenchmarkSample(b *testing.B) {
	d := open(b, write(b, 1<<20, 32000))
	dst := make([]uint32, 513)
	chunks := d.Chunks(512)
	b.SetBytes(512 * 2)
	for i := 0; b.Loop(); i++ {
		if err := d.Sample(1, 0, int64(i)%chunks, 512, dst); err != nil {
			b.Fatal(err)
		}
	}
}
