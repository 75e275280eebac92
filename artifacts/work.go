package artifacts

import (
	"os"
	"path/filepath"
	"strconv"
)

// runLock is the file that a run's process holds locked while the run is under way.
// That, and no process id, is how others know that it lives: ids are reused, and a
// store may be shared between machines.
func runLock(locks string, run int64) string {
	return filepath.Join(locks, "run-"+strconv.FormatInt(run, 10))
}

// clearDeadRuns marks runs whose process is gone as died and removes the work of all
// runs that are no longer under way.
func (s *Store) clearDeadRuns() error {
	if err := s.ledger.markDied(); err != nil {
		return err
	}
	work := filepath.Join(s.dir, workDir)
	entries, err := os.ReadDir(work)
	if err != nil {
		return advise("look for the work of dead runs", work, err)
	}
	for _, e := range entries {
		run, err := strconv.ParseInt(e.Name(), 10, 64)
		if err != nil {
			continue
		}
		// Held while we remove, so that the run cannot be begun meanwhile.
		lock, err := tryLock(runLock(filepath.Join(s.dir, locksDir), run))
		if err != nil {
			continue
		}
		err = s.RemoveWork(run)
		unlock(lock)
		if err != nil {
			return err
		}
	}
	return nil
}
