// Package disk is the part of package os that the engine uses to change files, with
// every call passing through package fault. The engine's packages (artifacts, dag, and
// those below them) change files through it alone; a test holds that.
package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"golang.org/x/sys/unix"
)

// File is an open file whose writes, syncs and closing are events.
type File struct{ *os.File }

// Open opens a file for reading.
func Open(path string) (f *os.File, err error) {
	err = fault.Do(fault.Open, path, "", func() (err error) {
		f, err = os.Open(path)
		return err
	})
	return whole(f, err)
}

// OpenFile opens or makes a file, as os.OpenFile does.
func OpenFile(path string, flag int, perm fs.FileMode) (*File, error) {
	op := fault.Open
	if flag&os.O_CREATE != 0 {
		op = fault.Create
	}
	var f *os.File
	err := fault.Do(op, path, "", func() (err error) {
		f, err = os.OpenFile(path, flag, perm)
		return err
	})
	if f, err = whole(f, err); err != nil {
		return nil, err
	}
	return &File{f}, nil
}

// CreateTemp makes a new file in dir, as os.CreateTemp does.
func CreateTemp(dir, pattern string) (*File, error) {
	var f *os.File
	err := fault.Do(fault.Create, filepath.Join(dir, pattern), "", func() (err error) {
		f, err = os.CreateTemp(dir, pattern)
		return err
	})
	if f, err = whole(f, err); err != nil {
		return nil, err
	}
	return &File{f}, nil
}

// whole closes a file that was opened before the event failed.
func whole(f *os.File, err error) (*os.File, error) {
	if err != nil && f != nil {
		f.Close()
		f = nil
	}
	return f, err
}

// Write writes to the file.
func (f *File) Write(p []byte) (int, error) {
	return fault.Bytes(fault.Write, f.Name(), p, f.File.Write)
}

// ReadFrom writes what r gives: io.Copy comes here, and its writes are events too.
func (f *File) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{f}, r)
}

// WriteString writes to the file.
func (f *File) WriteString(s string) (int, error) { return f.Write([]byte(s)) }

// Sync flushes the file's content to the disk.
func (f *File) Sync() error { return fault.Do(fault.Sync, f.Name(), "", f.File.Sync) }

// Close closes the file, also when the event fails.
func (f *File) Close() error {
	closed := false
	err := fault.Do(fault.Close, f.Name(), "", func() error {
		closed = true
		return f.File.Close()
	})
	if !closed {
		err = errors.Join(err, f.File.Close())
	}
	return err
}

// Sync flushes the content of a file that was opened for reading.
func Sync(f *os.File) error { return fault.Do(fault.Sync, f.Name(), "", f.Sync) }

// Flock takes or changes a lock on an open file (flock(2)), starting over when a signal
// comes between.
func Flock(f *os.File, how int) error {
	return fault.Do(fault.Lock, f.Name(), "", func() error {
		for {
			err := unix.Flock(int(f.Fd()), how)
			if err != unix.EINTR {
				return err
			}
		}
	})
}

// Clone makes the empty file to share the blocks of from, where the file system can.
func Clone(to *File, from *os.File) error {
	return fault.Do(fault.Write, to.Name(), "", func() error { return unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) })
}

// SyncDir makes the names in a directory durable.
func SyncDir(path string) error {
	return fault.Do(fault.SyncDir, path, "", func() error {
		d, err := os.Open(path)
		if err != nil {
			return err
		}
		defer d.Close()
		return d.Sync()
	})
}

// Rename moves a file or directory.
func Rename(from, to string) error {
	return fault.Do(fault.Rename, from, to, func() error { return os.Rename(from, to) })
}

// Exchange swaps two files or directories in one step.
func Exchange(a, b string) error {
	return fault.Do(fault.Rename, a, b, func() error {
		return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	})
}

// Link makes a hard link.
func Link(from, to string) error {
	return fault.Do(fault.Link, from, to, func() error { return os.Link(from, to) })
}

// Symlink makes a symbolic link at to.
func Symlink(from, to string) error {
	return fault.Do(fault.Link, from, to, func() error { return os.Symlink(from, to) })
}

// Remove removes a file or an empty directory.
func Remove(path string) error {
	return fault.Do(fault.Remove, path, "", func() error { return os.Remove(path) })
}

// RemoveAll removes a tree, also one with directories that its owner made read-only.
func RemoveAll(path string) error {
	return fault.Do(fault.Remove, path, "", func() error {
		err := os.RemoveAll(path)
		if !errors.Is(err, fs.ErrPermission) {
			return err
		}
		filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() {
				os.Chmod(p, 0o700) // before its names are read; what fails here fails below again
			}
			return nil
		})
		return os.RemoveAll(path)
	})
}

// Mkdir makes a directory.
func Mkdir(path string, perm fs.FileMode) error {
	return fault.Do(fault.Mkdir, path, "", func() error { return os.Mkdir(path, perm) })
}

// MkdirAll makes a directory and those above it.
func MkdirAll(path string, perm fs.FileMode) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil // nothing to do is no event
	}
	return fault.Do(fault.Mkdir, path, "", func() error { return os.MkdirAll(path, perm) })
}

// Chmod sets permissions.
func Chmod(path string, perm fs.FileMode) error {
	return fault.Do(fault.Chmod, path, "", func() error { return os.Chmod(path, perm) })
}

// Truncate cuts an open file.
func (f *File) Truncate(size int64) error {
	return fault.Do(fault.Write, f.Name(), "", func() error { return f.File.Truncate(size) })
}

// ReadFile reads a whole file.
func ReadFile(path string) (b []byte, err error) {
	err = fault.Do(fault.Read, path, "", func() (err error) {
		b, err = os.ReadFile(path)
		return err
	})
	return b, err
}

// ReadDir lists a directory by name.
func ReadDir(path string) (entries []fs.DirEntry, err error) {
	err = fault.Do(fault.Read, path, "", func() (err error) {
		entries, err = os.ReadDir(path)
		return err
	})
	return entries, err
}

// WriteFile makes or replaces a file with content b.
func WriteFile(path string, b []byte) error {
	f, err := OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}
