package artifacts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
)

// Staged is a finished file that waits to become an object: written with Writer, or
// hashed with HashFile, and so already flushed to the disk.
type Staged struct {
	Path   string // on the store's file system, as all of WorkDir is
	Digest string // sha256, hex
	Size   int64  // bytes
}

// Has says whether the store holds an object of that size under that digest. It costs
// one stat and reads no byte.
func (s *Store) Has(digest string, size int64) bool {
	if !isDigest(digest) {
		return false
	}
	return isObject(s.ObjectPath(digest), size)
}

func isObject(path string, size int64) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// Publish makes objects of staged files by moving them. When it returns nil all of them
// are durable. The digests are believed, the sizes are checked. A staged file whose
// object exists is removed. After an error, or a crash at any point, some of the files
// are objects and some are still where they were; objects that no ledger row names harm
// nobody.
func (s *Store) Publish(staged []Staged) error {
	if s.readOnly {
		return fmt.Errorf("publish: the store %s is open for reading only", s.dir)
	}
	touched := map[string]bool{}
	for _, f := range staged {
		if err := s.publish(f); err != nil {
			return err
		}
		// Also where the object was there before: whoever put it there may have crashed
		// before making its name durable.
		touched[filepath.Dir(s.ObjectPath(f.Digest))] = true
	}
	dirs := make([]string, 0, len(touched))
	for d := range touched {
		dirs = append(dirs, d)
	}
	sort.Strings(dirs)
	for _, d := range dirs {
		if err := disk.SyncDir(d); err != nil {
			return advise("publish", d, err)
		}
	}
	return nil
}

func (s *Store) publish(f Staged) error {
	if !isDigest(f.Digest) {
		return fmt.Errorf("publish %s: %q is not a sha256 in hex", f.Path, f.Digest)
	}
	info, err := os.Lstat(f.Path)
	if err != nil {
		return advise("publish", f.Path, err)
	}
	if !info.Mode().IsRegular() || info.Size() != f.Size {
		return fmt.Errorf("publish %s: found %s of %d bytes, expected a file of %d: it changed after it was hashed",
			f.Path, info.Mode().Type(), info.Size(), f.Size)
	}
	to := s.ObjectPath(f.Digest)
	if isObject(to, f.Size) {
		// As young as a new one, to a garbage collection on a machine whose locks do not
		// reach this one. It may be another user's, and is an object all the same.
		_ = disk.Chmod(to, 0o444)
		return advise("publish", f.Path, disk.Remove(f.Path))
	}
	if _, err := os.Lstat(to); err == nil { // torn by a fault of the disk
		if err := s.quarantine(f.Digest); err != nil {
			return err
		}
	}
	if err := disk.Chmod(f.Path, 0o444); err != nil {
		return advise("publish", f.Path, err)
	}
	err = disk.Rename(f.Path, to)
	if errors.Is(err, fs.ErrNotExist) { // somebody removed the empty folder
		if err := disk.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return advise("publish", to, err)
		}
		if err := disk.SyncDir(filepath.Join(s.dir, objectsDir)); err != nil {
			return advise("publish", to, err)
		}
		err = disk.Rename(f.Path, to)
	}
	return advise("publish", to, err)
}

// quarantine moves an object that is not what its name says out of the way, where it
// is kept for whoever wants to know what happened to it.
func (s *Store) quarantine(digest string) error {
	dir := filepath.Join(s.dir, quarantineDir)
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return advise("quarantine an object", dir, err)
	}
	from := s.ObjectPath(digest)
	if err := disk.Rename(from, filepath.Join(dir, digest)); err != nil {
		return advise("quarantine an object", from, err)
	}
	for _, d := range []string{dir, filepath.Dir(from)} { // or it is back after a power loss
		if err := disk.SyncDir(d); err != nil {
			return advise("quarantine an object", d, err)
		}
	}
	return nil
}

func isDigest(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if !isHex[s[i]] {
			return false
		}
	}
	return true
}

var isHex = func() (is [256]bool) {
	for _, c := range []byte("0123456789abcdef") {
		is[c] = true
	}
	return is
}()
