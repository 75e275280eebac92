package artifacts

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"golang.org/x/sys/unix"
)

// runLock is the file that a run's process holds locked while the run is under way.
// That, and no process id, is how others know that it lives: ids are reused, and a
// store may be shared between machines.
func runLock(locks string, run int64) string {
	return filepath.Join(locks, "run-"+strconv.FormatInt(run, 10))
}

// clearUp removes the work of all runs that are not under way and the lock files of
// nobody. It goes on where something cannot be removed; the error says what.
func (s *Store) clearUp() error {
	var left []error
	work, locks := filepath.Join(s.dir, workDir), filepath.Join(s.dir, locksDir)
	entries, err := disk.ReadDir(work)
	if err != nil {
		left = append(left, advise("look for the work of dead runs", work, err))
	}
	for _, e := range entries {
		run, err := strconv.ParseInt(e.Name(), 10, 64)
		if err != nil {
			continue
		}
		// Held while we remove, so that the run cannot be begun meanwhile.
		path := runLock(locks, run)
		switch lock, err := tryLock(path); {
		case err == nil:
			left = append(left, s.RemoveWork(run), advise("unlock a run", path, unlock(lock)))
		case !errors.Is(err, unix.EWOULDBLOCK):
			left = append(left, advise("lock a dead run", path, err))
		}
	}
	// A manifest is written in milliseconds. One that is an hour old has no writer.
	temps, _ := filepath.Glob(filepath.Join(work, manifestTemp))
	for _, t := range temps {
		if info, err := os.Stat(t); err == nil && time.Since(info.ModTime()) > time.Hour {
			if err := disk.Remove(t); !errors.Is(err, fs.ErrNotExist) {
				left = append(left, advise("remove what is left of a manifest", t, err))
			}
		}
	}
	if entries, err = disk.ReadDir(locks); err != nil {
		left = append(left, advise("look for old locks", locks, err))
	}
	for _, e := range entries {
		path := filepath.Join(locks, e.Name())
		switch lock, err := tryLock(path); {
		case err == nil:
			left = append(left, advise("remove an old lock", path, unlock(lock)))
		case !errors.Is(err, unix.EWOULDBLOCK):
			left = append(left, advise("take an old lock", path, err))
		}
	}
	return errors.Join(left...)
}
