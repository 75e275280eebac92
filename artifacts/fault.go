package artifacts

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	sqlite3 "github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"
)

// advise adds to an error what was being done, to what, and for the faults that a user
// can mend what to do about them. The cause stays in the chain, so that
// errors.Is(err, syscall.ENOSPC) holds for a full disk wherever it struck.
func advise(doing, path string, err error) error {
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	if errors.As(err, &pe) && pe.Path == path {
		err = pe.Err // the path is named once, by us
	}
	return fmt.Errorf("%s: %s: %w%s", doing, path, err, remedy(path, err))
}

func remedy(path string, err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Sprintf(": make room on the file system of %s, then run again: finished parts are kept", filepath.Dir(path))
	case errors.Is(err, unix.EROFS):
		return ": the file system is mounted read-only: name another place with --store DIR"
	case errors.Is(err, fs.ErrPermission):
		return ": give this user permission to write there, or name another place with --store DIR"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return ": too many open files: raise the limit (ulimit -n)"
	}
	return ""
}

// adviseLedger is advise for errors of SQLite, whose codes are put into the terms of
// the operating system.
func adviseLedger(doing, path string, err error) error {
	if err == nil {
		return nil
	}
	var se sqlite3.Error
	switch {
	case !errors.As(err, &se): // not from SQLite, and advised where it arose
	case se.Code == sqlite3.ErrFull || se.SystemErrno == unix.ENOSPC:
		return advise("ledger: "+doing, path, unix.ENOSPC)
	case se.Code == sqlite3.ErrReadonly, se.Code == sqlite3.ErrPerm, se.SystemErrno == unix.EACCES:
		return advise("ledger: "+doing, path, unix.EACCES)
	case se.Code == sqlite3.ErrBusy, se.Code == sqlite3.ErrLocked:
		return fmt.Errorf("ledger: %s: %s: another process has held it for more than %s: find it with `fuser %s`, then run again: %w",
			doing, path, busyTimeout, path, err)
	case se.Code == sqlite3.ErrCorrupt, se.Code == sqlite3.ErrNotADB:
		return fmt.Errorf("ledger: %s: %s is damaged or no ledger: `pipeline doctor --rebuild-ledger` makes it anew from the store's journal and keeps the damaged file; if it is something else, move it away: %w",
			doing, path, err)
	}
	return fmt.Errorf("ledger: %s: %s: %w", doing, path, err)
}
