package artifacts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// The cost of one small part beside its own work: lock its key, write and flush one
// file of 4 KiB, publish it, record part and action. Reports the median, in ms. With
// TMPDIR on a RAM disk it shows the processor's share, without one the disk's.
func BenchmarkPart(b *testing.B) {
	s, run := benchStore(b)
	took := make([]float64, 0, b.N)
	b.ResetTimer()
	for i := range b.N {
		start := time.Now()
		makePart(b, s, run, i)
		took = append(took, time.Since(start).Seconds()*1e3)
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "ms-median")
}

// The same from four goroutines, as a coordinator with four workers has it.
func BenchmarkPartsAtOnce(b *testing.B) {
	s, run := benchStore(b)
	var n atomic.Int64
	b.SetParallelism(2) // times GOMAXPROCS
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			makePart(b, s, run, int(n.Add(1)))
		}
	})
}

// The lookup that a run of 10,000 parts begins with.
func BenchmarkActions10000(b *testing.B) {
	s, keys := benchActions(b, 10000)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		found, err := s.Ledger().Actions(keys)
		if err != nil || len(found) != len(keys) {
			b.Fatal(len(found), err)
		}
	}
}

// Recording 10,000 cached parts, which is all that a run writes when nothing changed.
func BenchmarkRecordParts10000(b *testing.B) {
	s, run := benchStore(b)
	parts := make([]PartRecord, 10000)
	for i := range parts {
		parts[i] = PartRecord{Stage: "clean", Kind: "clean", Part: fmt.Sprint(i), Index: i, Key: fakeDigest(i), State: "cached"}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		for i := range parts {
			parts[i].Run = run + int64(n)
		}
		if err := s.Ledger().RecordParts(parts); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHas(b *testing.B) {
	s, run := benchStore(b)
	a := makePart(b, s, run, 1)
	b.ResetTimer()
	for range b.N {
		if f := a.Outputs.Files[0]; !s.Has(f.Digest, f.Size) {
			b.Fatal("lost")
		}
	}
}

func benchStore(b *testing.B) (*Store, int64) {
	s := openStore(b, filepath.Join(b.TempDir(), "store"))
	run, err := s.Ledger().BeginRun(RunInfo{Pipeline: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	return s, run
}

func benchActions(b *testing.B, n int) (*Store, []string) {
	s, run := benchStore(b)
	keys := make([]string, n)
	err := s.Ledger().transact("fill", true, func(t *tx) error {
		for i := range keys {
			a := testAction(i, fakeDigest(-i), 1<<20)
			keys[i] = a.Key
			if err := t.putAction(a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err, run)
	}
	return s, keys
}

func fakeDigest(i int) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(i)))
	return hex.EncodeToString(sum[:])
}

// testAction is an action of a plausible size.
func testAction(i int, digest string, size int64) *Action {
	key := fakeDigest(i)
	return &Action{Key: key, Kind: "clean", Version: 1, Config: fakeDigest(0), Seconds: 1.5, InputBytes: 1 << 20,
		Components: json.RawMessage(fmt.Sprintf(`{"args":null,"config":"%s","engine":1,"inputs":{"docs":["%s"]},"kind":"clean","seed":42,"version":1}`, fakeDigest(0), key)),
		Counts:     json.RawMessage(`{"wiki":{"templates":1234,"tables":56}}`),
		Outputs: &Manifest{Files: []ManifestFile{{Path: "docs/00000.jsonl.zst", Digest: digest, Size: size,
			Stats: json.RawMessage(`{"bytes":1048576,"documents":214,"first":"wiki:1","last":"wiki:99"}`)}}}}
}

func makePart(t testing.TB, s *Store, run int64, i int) *Action {
	t.Helper()
	key := fakeDigest(i)
	lock, err := s.LockKey(context.Background(), key, "pid 1", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := s.WorkDir(run, key)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(filepath.Join(dir, "docs"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(slices.Repeat([]byte(key), 64)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish([]Staged{{w.Path(), w.Digest(), w.Size()}}); err != nil {
		t.Fatal(err)
	}
	a := testAction(i, w.Digest(), w.Size())
	p := PartRecord{Run: run, Stage: "clean", Kind: "clean", Part: fmt.Sprint(i), Index: i, Key: key, State: "ran", Attempt: 1, Started: time.Now()}
	if err := s.Ledger().RecordPart(p, a); err != nil {
		t.Fatal(err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	return a
}

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{CreateIfMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// makeStore leaves a store behind that nobody uses.
func makeStore(t testing.TB, dir string) {
	t.Helper()
	s, err := Open(dir, Options{CreateIfMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
