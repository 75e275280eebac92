package artifacts

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"golang.org/x/sys/unix"
)

func stage(t testing.TB, s *Store, name, content string) Staged {
	t.Helper()
	dir := s.WorkDir(1, "part")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return Staged{w.Path(), w.Digest(), w.Size()}
}

func publish(t testing.TB, s *Store, name, content string) Staged {
	t.Helper()
	f := stage(t, s, name, content)
	if err := s.Publish([]Staged{f}); err != nil {
		t.Fatal(err)
	}
	return f
}

func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error does not say %q:\n%v", w, err)
		}
	}
}

func TestPublish(t *testing.T) {
	s := openStore(t, t.TempDir())
	a, twin, b := stage(t, s, "a", "um"), stage(t, s, "twin", "um"), stage(t, s, "empty", "")
	if s.Has(a.Digest, a.Size) {
		t.Fatal("the store has what was not published")
	}
	if err := s.Publish([]Staged{a, twin, b}); err != nil {
		t.Fatal(err)
	}
	for _, f := range []Staged{a, b} {
		if !s.Has(f.Digest, f.Size) || s.Has(f.Digest, f.Size+1) {
			t.Errorf("Has(%s, %d) is wrong", f.Digest, f.Size)
		}
		digest, size, err := HashFile(s.ObjectPath(f.Digest))
		if err != nil || digest != f.Digest || size != f.Size {
			t.Errorf("object %s: %s %d %v", f.Digest, digest, size, err)
		}
		if info, _ := os.Stat(s.ObjectPath(f.Digest)); info.Mode().Perm() != 0o444 {
			t.Errorf("object has mode %v", info.Mode())
		}
	}
	if left, _ := os.ReadDir(s.WorkDir(1, "part")); len(left) != 0 {
		t.Errorf("staged files are left: %v", left)
	}
	// The layout is a format: `printf um | sha256sum`.
	if got, want := s.ObjectPath(a.Digest), filepath.Join(s.dir, "objects/28/9c90decf40c8ec15f72f6080f2a4e7cd11d4128530dd5d290fc06ebadba620"); got != want {
		t.Errorf("object is at %s, want %s", got, want)
	}
}

func TestPublishReplacesTornObject(t *testing.T) {
	s := openStore(t, t.TempDir())
	f := stage(t, s, "a", "inteiro")
	if err := os.WriteFile(s.ObjectPath(f.Digest), []byte("int"), 0o444); err != nil {
		t.Fatal(err)
	}
	if s.Has(f.Digest, f.Size) {
		t.Fatal("a torn object counts as there")
	}
	if err := s.Publish([]Staged{f}); err != nil {
		t.Fatal(err)
	}
	if !s.Has(f.Digest, f.Size) {
		t.Fatal("not repaired")
	}
	if b, err := os.ReadFile(filepath.Join(s.dir, quarantineDir, f.Digest)); string(b) != "int" {
		t.Fatalf("torn object not kept aside: %q %v", b, err)
	}
}

func TestPublishMakesRemovedFolder(t *testing.T) {
	s := openStore(t, t.TempDir())
	f := stage(t, s, "a", "x")
	if err := os.Remove(filepath.Dir(s.ObjectPath(f.Digest))); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish([]Staged{f}); err != nil || !s.Has(f.Digest, f.Size) {
		t.Fatal(err)
	}
}

func TestPublishRefuses(t *testing.T) {
	s := openStore(t, t.TempDir())
	f := stage(t, s, "grown", "x")
	if err := os.WriteFile(f.Path, []byte("xx"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Publish([]Staged{f}), f.Path, "2 bytes", "expected a file of 1", "changed after it was hashed")
	wantError(t, s.Publish([]Staged{{Path: f.Path, Digest: "../../../etc", Size: 2}}), "not a sha256")
	wantError(t, s.Publish([]Staged{{Path: f.Path + "-gone", Digest: f.Digest, Size: 2}}), "grown-gone", "no such file")
	link := filepath.Join(filepath.Dir(f.Path), "link")
	if err := os.Symlink("grown", link); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Publish([]Staged{{Path: link, Digest: f.Digest, Size: 5}}), "changed after it was hashed")
}

func TestOpenAbsent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	for _, ro := range []bool{false, true} {
		_, err := Open(dir, Options{ReadOnly: ro})
		wantError(t, err, dir, "no store", "pipeline run", "--store")
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v does not wrap fs.ErrNotExist", err)
		}
	}
	s, err := Open(dir, Options{ReadOnly: true, CreateIfMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if runs, err := s.Ledger().Runs("", 10); err != nil || len(runs) != 0 {
		t.Error(runs, err)
	}
	if found, err := s.Ledger().Actions([]string{fakeDigest(1)}); err != nil || len(found) != 0 {
		t.Error(found, err)
	}
	if _, err := s.Ledger().BeginRun(RunInfo{}); err == nil {
		t.Error("a run began in an absent store")
	}
	if s.Has(fakeDigest(1), 0) {
		t.Error("an absent store has an object")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("looking at an absent store made one")
	}
}

func TestOpenWithoutLedger(t *testing.T) {
	dir := t.TempDir()
	makeStore(t, dir)
	path := filepath.Join(dir, "ledger.db")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{ReadOnly: true})
	wantError(t, err, "no ledger at "+path, "pipeline run", "--ledger")
	s, err := Open(dir, Options{ReadOnly: true, CreateIfMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if runs, err := s.Ledger().Runs("", 1); err != nil || len(runs) != 0 || exists(path) {
		t.Error(runs, err)
	}
}

func TestOpenReadOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a ?b%20#c") // all that a name of a database treats as special
	s := openStore(t, dir)
	run, err := s.Ledger().BeginRun(RunInfo{Pipeline: "p", Args: []string{"run", "x.yaml"}})
	if err != nil {
		t.Fatal(err)
	}
	f := publish(t, s, "a", "x")

	r, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := r.Ledger().Run(run); err != nil || got.State != "running" {
		t.Errorf("a live run: %+v %v", got, err)
	}
	if !r.Has(f.Digest, f.Size) {
		t.Error("object not seen")
	}
	wantError(t, r.Publish(nil), "reading only")
	_, err = r.PutManifest(&Manifest{})
	wantError(t, err, "reading only")
	wantError(t, r.Ledger().EndRun(run, "done", nil), "reading only")
	if _, err := os.Stat(filepath.Join(dir, "ledger.db")); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(file, Options{CreateIfMissing: true})
	wantError(t, err, file, "not a directory", "--store")
	_, err = Open(dir, Options{ReadOnly: true})
	wantError(t, err, dir, "not a store")

	ledger := filepath.Join(dir, "notes.db")
	if err := os.WriteFile(ledger, []byte(strings.Repeat("isto não é um banco de dados\n", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Open(filepath.Join(dir, "s"), Options{CreateIfMissing: true, LedgerPath: ledger})
	wantError(t, err, ledger, "damaged or no ledger", "move it away")
}

// Garbage collection takes the lock exclusively.
func TestOpenWhileLocked(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir)
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := disk.Flock(f, unix.LOCK_EX|unix.LOCK_NB); err == nil {
		t.Fatal("an open store can be locked exclusively")
	}
	other := t.TempDir()
	makeStore(t, other)
	g, err := os.Open(filepath.Join(other, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := disk.Flock(g, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	_, err = Open(other, Options{})
	wantError(t, err, "locked", "run again")
}

func TestPathsStayInside(t *testing.T) {
	s := openStore(t, t.TempDir())
	for _, d := range []string{"", "a", "../../../../etc/passwd", strings.Repeat("/", 64), strings.Repeat("A", 64)} {
		if p := s.ObjectPath(d); !strings.HasPrefix(p, filepath.Join(s.dir, objectsDir)+"/") {
			t.Errorf("ObjectPath(%q) = %s", d, p)
		}
		if s.Has(d, 0) {
			t.Errorf("Has(%q)", d)
		}
	}
}

func TestLedgerElsewhere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fast disk", "my.db")
	s, err := Open(filepath.Join(dir, "s"), Options{CreateIfMissing: true, LedgerPath: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "s", "ledger.db")); err == nil {
		t.Error("a second ledger in the store")
	}
}
