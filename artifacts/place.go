package artifacts

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"golang.org/x/sys/unix"
)

// viewMarker is the file in a view that lists what Place put there, a path a line. It
// is what allows a later Place to take the view away again.
const viewMarker = ".pipeline-view"

// Place makes dir a view of an artifact: plain, read-only files. Each is a reflink of
// its object where the file system has them, else a hard link, else a copy.
//
// The view is built beside dir and then exchanged with it in one step, so that a reader
// sees the old files or the new ones and a crash leaves the old ones. (The old files are
// removed then, also from under a reader that has not finished with them. A file system
// that cannot exchange, such as NFS, takes two steps, and dir is absent for a moment in
// between.) Only what an earlier Place made is ever replaced: a directory without its
// marker, or with files it did not put there, is left alone and the error says how to
// go on. Views need no store to be read.
//
// Limit: a hard link is the object. A user who makes such a file writable and writes
// into it damages the store.
func (s *Store) Place(m *Manifest, dir string) error {
	if err := m.check(); err != nil {
		return err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real // a link stays, what it points to changes
	}
	parent, base := filepath.Split(dir)
	if err := disk.MkdirAll(parent, 0o755); err != nil {
		return advise("place files", parent, err)
	}
	// One Place at a time here. Where a directory cannot be locked, two at once to the
	// same place are the users' own affair.
	p, err := disk.Open(parent)
	if err != nil {
		return advise("place files", parent, err)
	}
	defer p.Close()
	_ = disk.Flock(p, unix.LOCK_EX)

	fresh, old := filepath.Join(parent, "."+base+".pipeline-new"), filepath.Join(parent, "."+base+".pipeline-old")
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(old); err == nil { // a crash between the two steps
			if err := disk.Rename(old, dir); err != nil {
				return advise("put back a view", dir, err)
			}
		}
	}
	if err := mayReplace(dir); err != nil {
		return err
	}
	for _, d := range []string{fresh, old} { // what a crash left
		if err := disk.RemoveAll(d); err != nil {
			return advise("place files", d, err)
		}
	}
	if err := s.build(m, fresh); err != nil {
		disk.RemoveAll(fresh)
		return err
	}
	if err := swap(fresh, dir, old); err != nil {
		disk.RemoveAll(fresh)
		return advise("place files", dir, err)
	}
	if err := disk.SyncDir(parent); err != nil {
		return advise("place files", parent, err)
	}
	for _, d := range []string{fresh, old} { // the view that was there before
		if err := disk.RemoveAll(d); err != nil {
			return advise("remove the former view", d, err)
		}
	}
	return nil
}

// mayReplace says whether dir is absent, empty or nothing but an earlier view.
func mayReplace(dir string) error {
	const wayOut = "choose another directory, or move this one away"
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return advise("place files", dir, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("place files: %s exists and is not a directory: %s", dir, wayOut)
	}
	listed := map[string]bool{viewMarker: true}
	b, err := disk.ReadFile(filepath.Join(dir, viewMarker))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return advise("place files", dir, err)
	}
	marked := err == nil
	for _, path := range strings.Split(string(b), "\n") {
		listed[path] = true
	}
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return advise("place files", p, err)
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return nil
		case !marked:
			return fmt.Errorf("place files: %s holds %s and is no view this program made (it has no %s): %s", dir, name, viewMarker, wayOut)
		case !listed[filepath.ToSlash(name)]:
			return fmt.Errorf("place files: %s is a view of an earlier artifact, but %s in it is not from there and would be lost: move that file out, or choose another directory", dir, name)
		}
		return nil
	})
}

// build makes a view in a new directory, durable.
func (s *Store) build(m *Manifest, dir string) error {
	if err := disk.Mkdir(dir, 0o755); err != nil {
		return advise("place files", dir, err)
	}
	dirs := map[string]bool{dir: true}
	var names strings.Builder
	for _, f := range m.Files {
		to := filepath.Join(dir, filepath.FromSlash(f.Path))
		if d := filepath.Dir(to); !dirs[d] {
			if err := disk.MkdirAll(d, 0o755); err != nil {
				return advise("place files", d, err)
			}
			for ; !dirs[d]; d = filepath.Dir(d) {
				dirs[d] = true
			}
		}
		if !s.Has(f.Digest, f.Size) {
			return fmt.Errorf("place files: %s: the store %s has no object %s of %d bytes: run the pipeline to make it again: %w",
				f.Path, s.dir, f.Digest, f.Size, fs.ErrNotExist)
		}
		if err := placeFile(s.ObjectPath(f.Digest), to); err != nil {
			return advise("place files", to, err)
		}
		names.WriteString(f.Path + "\n")
	}
	marker := filepath.Join(dir, viewMarker)
	w, err := disk.OpenFile(marker, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return advise("place files", marker, err)
	}
	_, err = w.WriteString(names.String())
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return advise("place files", marker, err)
	}
	for d := range dirs {
		if err := disk.SyncDir(d); err != nil {
			return advise("place files", d, err)
		}
	}
	return nil
}

// placeFile makes the new file to out of an object, by the cheapest way there is. Why a
// way is closed (another file system, one without reflinks, links not allowed) does not
// matter: a copy is always possible, and where it is not it names the fault.
func placeFile(object, to string) error {
	src, err := disk.Open(object)
	if err != nil {
		return err
	}
	defer src.Close()
	create := func() (*disk.File, error) { return disk.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444) }
	dst, err := create()
	if err != nil {
		return err
	}
	if err := disk.Clone(dst, src); err == nil {
		return errors.Join(dst.Sync(), dst.Close())
	}
	if err := errors.Join(dst.Close(), disk.Remove(to)); err != nil {
		return err
	}
	if err := disk.Link(object, to); err == nil {
		return nil
	}
	if dst, err = create(); err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err == nil {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close())
}

// swap puts fresh in the place of dir, whose former content is then at fresh or old.
func swap(fresh, dir, old string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return disk.Rename(fresh, dir)
	}
	err := disk.Exchange(fresh, dir)
	if err == nil || (!errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.ENOTSUP)) {
		return err
	}
	if err := disk.Rename(dir, old); err != nil {
		return err
	}
	return disk.Rename(fresh, dir)
}
