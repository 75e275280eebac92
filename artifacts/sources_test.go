package artifacts

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSourceDigest(t *testing.T) {
	l := openStore(t, t.TempDir()).Ledger()
	mtime := time.Unix(1700000000, 999)
	id := FileID{Dev: 1 << 63, Ino: 1<<64 - 1, Size: 5, MtimeNS: mtime.UnixNano(), CtimeNS: mtime.UnixNano()}
	with := func(change func(*FileID)) FileID {
		c := id
		change(&c)
		return c
	}
	second := int64(time.Second)
	for _, c := range []struct {
		what   string
		put    FileID
		hashed time.Time
		get    FileID
		ok     bool
	}{
		{"unchanged", id, mtime.Add(time.Hour), id, true},
		{"two seconds old", id, mtime.Add(2 * time.Second), id, true},
		{"younger", id, mtime.Add(2*time.Second - 1), id, false},
		{"from the future", id, mtime.Add(-time.Hour), id, false},
		{"renamed or rewritten with its old mtime just now", with(func(i *FileID) { i.CtimeNS += 10 * second }), mtime.Add(11 * time.Second),
			with(func(i *FileID) { i.CtimeNS += 10 * second }), false},
		{"another device", id, mtime.Add(time.Hour), with(func(i *FileID) { i.Dev++ }), false},
		{"another inode", id, mtime.Add(time.Hour), with(func(i *FileID) { i.Ino-- }), false},
		{"another size", id, mtime.Add(time.Hour), with(func(i *FileID) { i.Size++ }), false},
		{"another mtime", id, mtime.Add(time.Hour), with(func(i *FileID) { i.MtimeNS++ }), false},
		{"another ctime", id, mtime.Add(time.Hour), with(func(i *FileID) { i.CtimeNS++ }), false},
	} {
		if err := l.transact("forget", false, func(x *tx) error { return x.exec("DELETE FROM sources") }); err != nil {
			t.Fatal(err)
		}
		if err := l.PutSourceDigest(c.put, fakeDigest(1), c.hashed); err != nil {
			t.Fatal(err)
		}
		got, ok, err := l.SourceDigest(c.get)
		if err != nil || ok != c.ok || ok && got != fakeDigest(1) {
			t.Errorf("%s: %q %v %v, want %v", c.what, got, ok, err, c.ok)
		}
	}
	// One file, one row: the last.
	for i := range 3 {
		c := with(func(f *FileID) { f.MtimeNS += int64(i) })
		if err := l.PutSourceDigest(c, fakeDigest(i), mtime.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := l.SourceDigest(c); got != fakeDigest(i) || !ok || err != nil {
			t.Error(got, ok, err)
		}
	}
	if _, ok, _ := l.SourceDigest(id); ok {
		t.Error("an old state of the file is remembered")
	}
}

func TestFileIDOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(path, []byte("um"), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := FileIDOf(path)
	if err != nil || a.Size != 2 {
		t.Fatal(a, err)
	}
	if b, err := FileIDOf(path); err != nil || a != b {
		t.Error(a, b, err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(1700000000, 123)); err != nil {
		t.Fatal(err)
	}
	if b, err := FileIDOf(path); err != nil || a == b || b.MtimeNS != 1700000000e9+123 {
		t.Error(b, err)
	}
	_, err = FileIDOf(path + "-gone")
	wantError(t, err, path+"-gone", "no such file")
}

func TestReadOnlyLedgerForgets(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir)
	r, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	id := FileID{Ino: 1}
	if err := r.Ledger().PutSourceDigest(id, fakeDigest(1), time.Now()); err != nil {
		t.Error(err)
	}
	if _, ok, err := r.Ledger().SourceDigest(id); ok || err != nil {
		t.Error(ok, err)
	}
}
