package artifacts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"golang.org/x/sys/unix"
)

// A directory of nobody is removed once it is this old: in the moment after it was made
// it is not locked yet.
const scratchGrace = time.Minute

// Scratch makes a private directory for work that no run is recorded for: in the store,
// or below parent if that is not empty. remove removes it. When this process dies
// before, the next call for the same place does: a lock on the directory, which ends
// with its holder, says whose it is.
func (s *Store) Scratch(parent string) (dir string, remove func() error, err error) {
	if parent == "" {
		parent = filepath.Join(s.dir, workDir)
	}
	// Other users have theirs in the same place, and locks of this machine say nothing of
	// those of another.
	prefix := fmt.Sprintf("pipeline-scratch-%d-", os.Getuid())
	host, err := os.Hostname()
	if err == nil {
		prefix += host + "-"
	}
	old, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return "", nil, advise("look for old scratch directories", parent, err)
	}
	for _, d := range old {
		if info, err := os.Lstat(d); err != nil || !info.IsDir() || time.Since(info.ModTime()) < scratchGrace {
			continue
		}
		if lock, err := lockDir(d); err == nil {
			_ = disk.RemoveAll(d) // what cannot be removed now is waste, no reason to stop
			lock.Close()
		}
	}
	dir = filepath.Join(parent, fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), time.Now().UnixNano()))
	if err := disk.Mkdir(dir, 0o700); err != nil {
		return "", nil, advise("make a scratch directory", dir, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return "", nil, errors.Join(advise("lock a scratch directory", dir, err), disk.Remove(dir))
	}
	return dir, func() error {
		return errors.Join(advise("remove a scratch directory", dir, disk.RemoveAll(dir)), lock.Close())
	}, nil
}

// lockDir locks a directory, or says that another process has it.
func lockDir(dir string) (*os.File, error) {
	f, err := disk.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := disk.Flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
