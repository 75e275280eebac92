package artifacts

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func sampleManifest() *Manifest {
	return &Manifest{Files: []ManifestFile{
		{Path: "docs/00001.jsonl.zst", Digest: fakeDigest(1), Size: 10, Stats: json.RawMessage(`{ "last": "wiki:9", "bytes": 12345678901234567890, "first": "a<b>" }`)},
		{Path: "docs/00000 \"ção\".zst", Digest: fakeDigest(2), Size: 0},
	}}
}

// The encoding names artifacts: it may never change for a given format number.
func TestManifestEncoding(t *testing.T) {
	b, err := sampleManifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"files":[` +
		`{"digest":"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b","path":"docs/00001.jsonl.zst","size":10,"stats":{"bytes":12345678901234567890,"first":"a<b>","last":"wiki:9"}},` +
		`{"digest":"d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35","path":"docs/00000 \"ção\".zst","size":0}` +
		`],"format":1}`
	if string(b) != want {
		t.Errorf("got\n%s\nwant\n%s", b, want)
	}
	if b, _ := (&Manifest{}).Encode(); string(b) != `{"files":[],"format":1}` {
		t.Errorf("empty manifest: %s", b)
	}
}

func TestManifestRoundTrip(t *testing.T) {
	s := openStore(t, t.TempDir())
	m := sampleManifest()
	digest, err := s.PutManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.PutManifest(m)
	if err != nil || again != digest {
		t.Fatal(again, err)
	}
	got, err := s.Manifest(digest)
	if err != nil {
		t.Fatal(err)
	}
	m.Files[0].Stats = json.RawMessage(`{"bytes":12345678901234567890,"first":"a<b>","last":"wiki:9"}`)
	if !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, want %+v", got, m)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, workDir, "*")); len(left) > 0 {
		t.Errorf("left in work: %v", left)
	}
}

func TestManifestRefuses(t *testing.T) {
	ok := ManifestFile{Path: "a", Digest: fakeDigest(1)}
	for _, c := range []struct {
		change func(*ManifestFile)
		says   string
	}{
		{func(f *ManifestFile) { f.Path = "../a" }, "not the path of a file"},
		{func(f *ManifestFile) { f.Path = "/etc/passwd" }, "not the path of a file"},
		{func(f *ManifestFile) { f.Path = "x//y" }, "not the path of a file"},
		{func(f *ManifestFile) { f.Path = "." }, "not the path of a file"},
		{func(f *ManifestFile) { f.Path = "\xff" }, "not the path of a file"},
		{func(f *ManifestFile) { f.Path = viewMarker }, "not the path of a file"},
		{func(f *ManifestFile) { f.Path = "b" }, "listed twice"},
		{func(f *ManifestFile) { f.Digest = strings.ToUpper(f.Digest) }, "not a sha256"},
		{func(f *ManifestFile) { f.Digest = "" }, "not a sha256"},
		{func(f *ManifestFile) { f.Size = -1 }, "below zero"},
		{func(f *ManifestFile) { f.Stats = json.RawMessage(`{"a":`) }, "stats of a"},
		{func(f *ManifestFile) { f.Stats = json.RawMessage(`{} {}`) }, "stats of a"},
	} {
		f := ok
		c.change(&f)
		_, err := (&Manifest{Files: []ManifestFile{{Path: "b", Digest: fakeDigest(2)}, f}}).Encode()
		wantError(t, err, c.says)
	}
}

// A manifest comes from a disk that may lie, or from another's store.
func TestManifestOnDiskIsChecked(t *testing.T) {
	s := openStore(t, t.TempDir())
	put := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		d := hex.EncodeToString(sum[:])
		if err := os.WriteFile(s.ObjectPath(d), []byte(text), 0o444); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for text, says := range map[string]string{
		`{"files":[],"format":2}`: "newer program",
		`{"files":[{"digest":"` + fakeDigest(1) + `","path":"../../x","size":1}],"format":1}`: "not the path of a file",
		`um documento`: "manifest",
	} {
		_, err := s.Manifest(put(text))
		wantError(t, err, says)
	}
}

func TestCorruptManifestIsQuarantined(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	digest, err := s.PutManifest(sampleManifest())
	if err != nil {
		t.Fatal(err)
	}
	path := s.ObjectPath(digest)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[20] ^= 1 // one bit, the size stays
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}

	r, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = r.Manifest(digest)
	wantError(t, err, path, "counts as missing", "left there")

	_, err = s.Manifest(digest)
	wantError(t, err, path, "counts as missing", "quarantine")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not wrap fs.ErrNotExist", err)
	}
	if s.Has(digest, int64(len(b))) {
		t.Error("the corrupt object is still served")
	}
	if kept, _ := os.ReadFile(filepath.Join(dir, quarantineDir, digest)); string(kept) != string(b) {
		t.Error("the corrupt object was not kept")
	}
	if again, err := s.PutManifest(sampleManifest()); err != nil || again != digest {
		t.Fatal(again, err)
	}
	if _, err := s.Manifest(digest); err != nil {
		t.Error(err)
	}
}

// The fast decoder reads all that Encode writes, and whatever it accepts means the same
// to encoding/json.
func FuzzDecodeManifest(f *testing.F) {
	for _, m := range []*Manifest{{}, sampleManifest(), testAction(1, fakeDigest(3), 7).Outputs} {
		b, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
		f.Add(strings.Replace(string(b), `"size":10`, `"size":010`, 1))
		f.Add(strings.Replace(string(b), `"size":`, `"path":"x","size":`, 1))
	}
	f.Add(`{"files":[{"digest":"a","path":"b","size":1,"stats":{"a":"}\"{"}}],"format":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		fast, ok := decodeCanonical(text)
		if !ok {
			return
		}
		for _, file := range fast.Files {
			if len(file.Stats) > 0 && !json.Valid(file.Stats) {
				return // not looked into
			}
		}
		slow, err := decodeAny(text)
		if err != nil {
			t.Fatalf("accepted %q: %v", text, err)
		}
		if len(slow.Files) == 0 && len(fast.Files) == 0 {
			return
		}
		if !reflect.DeepEqual(fast, slow) {
			t.Fatalf("%q\nfast %+v\nslow %+v", text, fast, slow)
		}
	})
}

func TestFastDecoderReadsEncoded(t *testing.T) {
	for i, m := range []*Manifest{{}, testAction(1, fakeDigest(3), 7).Outputs} {
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := decodeCanonical(string(b)); !ok || len(got.Files) != len(m.Files) {
			t.Errorf("manifest %d takes the slow way: %s", i, b)
		}
	}
}
