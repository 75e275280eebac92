package artifacts

import (
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
)

// runLock is the file that a run's process holds locked while the run is under way.
// That, and no process id, is how others know that it lives: ids are reused, and a
// store may be shared between machines.
func runLock(locks string, run int64) string {
	return filepath.Join(locks, "run-"+strconv.FormatInt(run, 10))
}

// clearUp marks runs whose process is gone as died, and removes the work of all runs
// that are not under way and the lock files of nobody.
func (s *Store) clearUp() error {
	if err := s.ledger.markDied(); err != nil {
		return err
	}
	work, locks := filepath.Join(s.dir, workDir), filepath.Join(s.dir, locksDir)
	entries, err := disk.ReadDir(work)
	if err != nil {
		return advise("look for the work of dead runs", work, err)
	}
	for _, e := range entries {
		run, err := strconv.ParseInt(e.Name(), 10, 64)
		if err != nil {
			continue
		}
		// Held while we remove, so that the run cannot be begun meanwhile.
		lock, err := tryLock(runLock(locks, run))
		if err != nil {
			continue
		}
		_ = s.RemoveWork(run) // what cannot be removed now is waste, no reason to refuse the store
		if err := unlock(lock); err != nil {
			return err
		}
	}
	// A manifest is written in milliseconds. One that is an hour old has no writer.
	temps, _ := filepath.Glob(filepath.Join(work, manifestTemp))
	for _, t := range temps {
		if info, err := os.Stat(t); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = disk.Remove(t)
		}
	}
	if entries, err = disk.ReadDir(locks); err != nil {
		return advise("look for old locks", locks, err)
	}
	for _, e := range entries {
		if lock, err := tryLock(filepath.Join(locks, e.Name())); err == nil {
			_ = unlock(lock)
		}
	}
	return nil
}
