package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"golang.org/x/sys/unix"
)

// KeyLock is the right to make the part with one key, held by one process at a time.
//
// It is a flock on a file: the kernel gives it back when the holder dies, however it
// dies, so a lock is never stale. It is advisory and keeps out nobody who does not ask.
// Processes started by the holder do not inherit it. Waiters are served in no order.
type KeyLock struct{ f *disk.File }

// LockKey waits until no other process, and nobody else in this one, holds the key.
// owner is what others who wait are told: "pid 123, run 7, stage clean". onWait, which
// may be nil, is called with the owner of the lock when there is a wait, once for each
// owner; one that has not written its name yet is "". The caller looks for the key in the ledger again once it has the lock: the
// former owner may have made the part. The error is ctx.Err() when ctx ends first.
func (s *Store) LockKey(ctx context.Context, key, owner string, onWait func(holder string)) (*KeyLock, error) {
	path := filepath.Join(s.dir, locksDir, key)
	told, waits := "", 0
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		f, err := tryLock(path)
		if err == nil {
			if _, err := f.WriteString(owner + "\n"); err != nil {
				f.Close()
				return nil, advise("lock a key", path, err)
			}
			return &KeyLock{f}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, advise("lock a key", path, err)
		}
		waits++
		if holder := holderOf(path); onWait != nil && (holder != "" && holder != told || waits == 2 && told == "") {
			told = holder
			onWait(holder)
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-t.C:
		}
	}
}

// Unlock gives the key back.
func (l *KeyLock) Unlock() error { return unlock(l.f) }

// holderOf reads who holds a lock. A holder that has not written its name yet has none.
func holderOf(path string) string {
	b, err := disk.ReadFile(path)
	if err != nil || len(b) == 0 || b[len(b)-1] != '\n' {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// tryLock takes the lock file at path, made if need be, and returns it empty. The error
// wraps EWOULDBLOCK when somebody has it.
//
// Lock files are removed by their holders, so that there are only as many as there are
// locks. A file that was locked may therefore be one that was removed between open and
// flock, and whoever holds that holds nothing: hence the comparison.
func tryLock(path string) (*disk.File, error) {
	for {
		f, err := disk.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		if err := disk.Flock(f.File, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			return nil, fmt.Errorf("flock: %w", err)
		}
		mine, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		there, err := os.Stat(path)
		if err == nil && os.SameFile(mine, there) {
			if err := f.Truncate(0); err != nil {
				f.Close()
				return nil, err
			}
			return f, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// unlock removes the lock file, then lets go of it.
func unlock(f *disk.File) error {
	err := disk.Remove(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// isLocked says whether somebody holds the lock file at path. It changes nothing.
func isLocked(path string) bool {
	f, err := disk.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(disk.Flock(f, unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
