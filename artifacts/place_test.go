package artifacts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// artifactOf publishes an artifact of n files that all hold content.
func artifactOf(s *Store, n int, content string) (*Manifest, error) {
	m := &Manifest{}
	dir := s.WorkDir(1, "part")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	w, err := NewWriter(filepath.Join(dir, content))
	if err != nil {
		return nil, err
	}
	if _, err := w.Write([]byte(content)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	for i := range n {
		m.Files = append(m.Files, ManifestFile{Path: fmt.Sprintf("sub%d/%d.txt", i%3, i), Digest: w.Digest(), Size: w.Size()})
	}
	return m, s.Publish([]Staged{{w.Path(), w.Digest(), w.Size()}})
}

func artifact(t *testing.T, s *Store, n int, content string) *Manifest {
	t.Helper()
	m, err := artifactOf(s, n, content)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// view reads a directory that a reader opened, all files of which it expects to be alike.
func view(dir string) (files int, content string, err error) {
	root, err := os.OpenRoot(dir) // the directory as it is now, wherever its name goes
	if err != nil {
		return 0, "", err
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || p == viewMarker {
			return err
		}
		b, err := root.ReadFile(p)
		if err == nil && files > 0 && string(b) != content {
			err = fmt.Errorf("%s holds %q beside %q", p, b, content)
		}
		files, content = files+1, string(b)
		return err
	})
	return files, content, err
}

func wantView(t *testing.T, dir string, files int, content string) {
	t.Helper()
	n, c, err := view(dir)
	if err != nil || n != files || c != content {
		t.Errorf("%s holds %d files of %q (%v), want %d of %q", dir, n, c, err, files, content)
	}
}

func TestPlace(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "store"))
	parent := filepath.Join(t.TempDir(), "not there yet")
	dir := filepath.Join(parent, "out")
	old, new := artifact(t, s, 5, "velho"), artifact(t, s, 7, "novo")
	for _, c := range []struct {
		m       *Manifest
		files   int
		content string
	}{{old, 5, "velho"}, {new, 7, "novo"}, {new, 7, "novo"}, {old, 5, "velho"}} {
		if err := s.Place(c.m, dir); err != nil {
			t.Fatal(err)
		}
		wantView(t, dir, c.files, c.content)
	}
	if info, err := os.Stat(filepath.Join(dir, "sub1", "1.txt")); err != nil || info.Mode().Perm() != 0o444 {
		t.Error(info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(parent, ".*")); len(left) > 0 {
		t.Errorf("left beside the view: %v", left)
	}
	// What a crash leaves beside a view is taken away, and what it had moved is put back.
	if err := os.Mkdir(filepath.Join(parent, ".out.pipeline-new"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, filepath.Join(parent, ".out.pipeline-old")); err != nil {
		t.Fatal(err)
	}
	gone := &Manifest{Files: []ManifestFile{{Path: "x", Digest: fakeDigest(1), Size: 1}}}
	wantError(t, s.Place(gone, dir), "x", "no object", "run the pipeline")
	wantView(t, dir, 5, "velho")
	if left, _ := filepath.Glob(filepath.Join(parent, ".*")); len(left) > 0 {
		t.Errorf("left beside the view: %v", left)
	}
}

func TestPlaceThroughLink(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "store"))
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(real, 0o755), os.Symlink("real", link)); err != nil {
		t.Fatal(err)
	}
	if err := s.Place(artifact(t, s, 2, "x"), link); err != nil {
		t.Fatal(err)
	}
	wantView(t, real, 2, "x")
	if to, err := os.Readlink(link); to != "real" {
		t.Error(to, err)
	}
}

// On another file system there are neither links nor reflinks to the store.
func TestPlaceCopies(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "place")
	if err != nil {
		t.Skip("no second file system here: ", err)
	}
	defer os.RemoveAll(dir)
	s := openStore(t, filepath.Join(t.TempDir(), "store"))
	m := artifact(t, s, 2, "copiado")
	if err := s.Place(m, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	wantView(t, filepath.Join(dir, "out"), 2, "copiado")
}

func TestPlaceRefuses(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "store"))
	m := artifact(t, s, 3, "x")
	dir := t.TempDir()

	theirs := filepath.Join(dir, "theirs")
	file := filepath.Join(theirs, "deep", "thesis.tex")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("três anos"), 0o644)); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Place(m, theirs), theirs, "deep/thesis.tex", "no view this program made", "choose another directory")
	wantError(t, s.Place(m, file), "not a directory", "choose another directory")

	ours := filepath.Join(dir, "ours")
	if err := s.Place(m, ours); err != nil {
		t.Fatal(err)
	}
	notes := filepath.Join(ours, "sub0", "notes.txt")
	if err := os.WriteFile(notes, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Place(m, ours), ours, "sub0/notes.txt", "would be lost", "move that file out")
	for _, p := range []string{file, notes} {
		if !exists(p) {
			t.Errorf("%s is lost", p)
		}
	}
	wantError(t, s.Place(&Manifest{Files: []ManifestFile{{Path: "../x", Digest: fakeDigest(1)}}}, ours), "not the path of a file")
}

// A reader that opens the view at any moment finds one artifact, whole.
func TestPlaceIsAtomic(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "store"))
	dir := filepath.Join(t.TempDir(), "out")
	ms := []*Manifest{artifact(t, s, 20, "a"), artifact(t, s, 30, "b")}
	if err := s.Place(ms[0], dir); err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 60 {
			if err := s.Place(ms[i%2], dir); err != nil {
				t.Error(err)
				return
			}
		}
	})
	looks := 0
	for {
		select {
		case <-done:
			if looks == 0 {
				t.Error("nobody looked")
			}
			return
		default:
		}
		root, err := os.Open(dir)
		if err != nil {
			t.Fatalf("the view is gone for a moment: %v", err)
		}
		marker, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d/%s", root.Fd(), viewMarker))
		root.Close()
		if errors.Is(err, fs.ErrNotExist) {
			continue // opened the former view, which was removed since
		}
		if n := bytes.Count(marker, []byte("\n")); err != nil || n != 20 && n != 30 {
			t.Fatalf("the view has %d files: %v", n, err)
		}
		looks++
	}
}

// placeForEver places two artifacts in turn.
func placeForEver(args []string) error {
	s, err := Open(args[0], Options{})
	if err != nil {
		return err
	}
	os.RemoveAll(s.WorkDir(1, "part"))
	a, err := artifactOf(s, 20, "a")
	if err != nil {
		return err
	}
	b, err := artifactOf(s, 30, "b")
	if err != nil {
		return err
	}
	for {
		for _, m := range []*Manifest{a, b} {
			if err := s.Place(m, args[1]); err != nil {
				return err
			}
			fmt.Println("placed")
		}
	}
}

func TestKilledWhilePlacing(t *testing.T) {
	store, parent := filepath.Join(t.TempDir(), "store"), t.TempDir()
	dir := filepath.Join(parent, "out")
	s := openStore(t, store)
	for n := range 10 {
		p := start(t, "place", store, dir)
		p.line(t)
		<-time.After(time.Duration(n*371%4000) * time.Microsecond)
		p.kill(t)
		files, content, err := view(dir)
		if got := fmt.Sprintf("%d %s", files, content); err != nil || got != "20 a" && got != "30 b" {
			t.Fatalf("after kill %d the view is %s: %v", n, got, err)
		}
		if b, _ := os.ReadFile(filepath.Join(dir, viewMarker)); strings.Count(string(b), "\n") != files {
			t.Fatalf("after kill %d the marker does not fit", n)
		}
	}
	if err := s.Place(artifact(t, s, 1, "fim"), dir); err != nil {
		t.Fatal(err)
	}
	wantView(t, dir, 1, "fim")
}
