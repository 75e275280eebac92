// Package artifacts keeps what a pipeline made: files named by the sha256 of their
// content (Store) and the database that says which part made them (Ledger).
//
// The idea is two names. A key is the digest of all that determines a part's outputs;
// it is computed elsewhere and is only text here. A digest is the sha256 of a file's
// content. The ledger maps a key to the digests of its outputs, the store maps a digest
// to bytes. Objects are written before the row that names them, so a crash leaves
// objects without a row, which is waste, and never a row without objects.
//
// The order in which a caller works is
//
//	run, _ := ledger.BeginRun(…)          // also clears away what dead runs left
//	lock, _ := store.LockKey(ctx, key, …) // one process at a time makes a part
//	… files in store.WorkDir(run, part), written with Writer …
//	store.Publish(staged)                 // files are durable, nobody sees them yet
//	ledger.RecordPart(record, action)     // one transaction: now the key is a hit
//	lock.Unlock()
//	ledger.EndRun(run, "done", …)
//
// docs/formats/store.md describes the files and tables for other programs.
package artifacts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"golang.org/x/sys/unix"
)

// Store is a directory of immutable objects and of what work in progress needs.
//
// What it promises: an object appears whole or not at all, and once Publish has
// returned it survives a power loss. Any number of processes may use one store.
//
// What it does not: it never rereads what it serves. Has trusts the size, and a
// program that writes into an object despite its permissions (through a hard link
// made by Place, say) is noticed only by rehashing. Locks are flock locks: on a
// network file system they hold between machines only where the file system says so
// (NFS from Linux 2.6.12 on does, many FUSE file systems do not).
type Store struct {
	dir      string
	lock     *os.File // shared for as long as the store is open; nil when absent and read-only
	ledger   *Ledger
	readOnly bool
	litter   error
}

// Options says how to open a store.
type Options struct {
	// LedgerPath puts the ledger elsewhere than in the store, which may then be on a
	// network file system. Empty means ledger.db in the store.
	LedgerPath string

	// ReadOnly changes nothing on disk: neither layout nor schema, and no dead run is
	// marked as such. Methods that write fail, but for the memo of source digests,
	// which forgets what it is told.
	ReadOnly bool

	// CreateIfMissing makes a store or ledger where there is none. Together with ReadOnly
	// what is absent is empty, and leaves no trace. Without CreateIfMissing an absent
	// store is an error that wraps fs.ErrNotExist, and so is, to a reader, an absent ledger.
	CreateIfMissing bool

	// LeaveLitter does not clear away what dead runs left, as opening for writing does
	// otherwise: Collect counts it first.
	LeaveLitter bool
}

// The folders of a store.
const (
	objectsDir    = "objects"
	partialDir    = "partial"
	workDir       = "work"
	logsDir       = "logs"
	locksDir      = "locks"
	quarantineDir = "quarantine"
	ledgersDir    = "ledgers"
)

// Open opens the store in dir and its ledger. The caller closes it. While it is open
// it holds a shared lock on the store, so that nothing collects garbage meanwhile.
func Open(dir string, o Options) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: abs, readOnly: o.ReadOnly}
	switch info, err := os.Stat(abs); {
	case errors.Is(err, fs.ErrNotExist) && !o.CreateIfMissing:
		return nil, fmt.Errorf("no store at %s: `pipeline run` makes one, --store DIR or PIPELINE_STORE names another: %w", abs, fs.ErrNotExist)
	case errors.Is(err, fs.ErrNotExist) && o.ReadOnly:
		if s.ledger, err = openEmptyLedger(); err != nil {
			return nil, err
		}
		return s, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, advise("open the store", abs, err)
	case err == nil && !info.IsDir():
		return nil, fmt.Errorf("open the store: %s is a file, not a directory: name a directory with --store", abs)
	}
	if !o.ReadOnly {
		if err := s.layout(); err != nil {
			return nil, err
		}
	}
	if s.lock, err = s.share(); err != nil {
		return nil, err
	}
	path := o.LedgerPath
	if path == "" {
		path = filepath.Join(abs, "ledger.db")
	}
	if s.ledger, err = s.openLedger(path, o.CreateIfMissing); err != nil {
		s.lock.Close()
		return nil, err
	}
	if !o.ReadOnly && !o.LeaveLitter {
		if err := s.ledger.markDied(); err != nil {
			s.Close()
			return nil, err
		}
		s.litter = s.clearUp()
	}
	return s, nil
}

// layout makes the folders. The 256 folders of objects are made at once, so that
// publishing never has to make one durable.
func (s *Store) layout() error {
	fresh := []string{s.dir} // and what has to be made above it
	for up := filepath.Dir(s.dir); !exists(up); up = filepath.Dir(up) {
		fresh = append(fresh, up)
	}
	for _, d := range []string{partialDir, workDir, logsDir, locksDir} {
		if err := disk.MkdirAll(filepath.Join(s.dir, d), 0o755); err != nil {
			return advise("make the store", s.dir, err)
		}
	}
	objects := filepath.Join(s.dir, objectsDir)
	if exists(filepath.Join(objects, "ff")) && exists(filepath.Join(s.dir, "lock")) {
		return nil // the last of them, and what is made when all are durable
	}
	for i := range 256 {
		if err := disk.MkdirAll(filepath.Join(objects, fmt.Sprintf("%02x", i)), 0o755); err != nil {
			return advise("make the store", objects, err)
		}
	}
	for _, d := range []string{objects, s.dir} {
		if err := disk.SyncDir(d); err != nil {
			return advise("make the store", d, err)
		}
	}
	for _, d := range fresh {
		if err := disk.SyncDir(filepath.Dir(d)); err != nil {
			return advise("make the store", d, err)
		}
	}
	return nil
}

// Litter says what Open found of runs that died and could not clear away; nil when there
// was nothing. It costs room and harms nobody.
func (s *Store) Litter() error { return s.litter }

// share takes the shared lock that garbage collection takes exclusively.
func (s *Store) share() (*os.File, error) {
	path := filepath.Join(s.dir, "lock")
	flags := os.O_RDWR | os.O_CREATE
	if s.readOnly {
		flags = os.O_RDONLY
	}
	f, err := disk.OpenFile(path, flags, 0o644)
	switch {
	case s.readOnly && errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s is not a store: it has no file `lock`; --store DIR names another: %w", s.dir, fs.ErrNotExist)
	case err != nil:
		return nil, advise("lock the store", path, err)
	}
	began := time.Now()
	err = disk.Flock(f.File, unix.LOCK_SH|unix.LOCK_NB)
	for errors.Is(err, unix.EWOULDBLOCK) && time.Since(began) < moment {
		// A process that was forked a moment ago may still hold the lock of one that is gone.
		time.Sleep(20 * time.Millisecond)
		err = disk.Flock(f.File, unix.LOCK_SH|unix.LOCK_NB)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			who := holderOf(path)
			if who == "" {
				who = "a process that clears it up"
			}
			return nil, fmt.Errorf("the store %s is locked by %s: run again when that has ended", s.dir, who)
		}
		return nil, advise("lock the store", path, err)
	}
	return f.File, nil
}

// Close ends the use of the store and its ledger. A run that was begun and not ended
// counts as died from then on.
func (s *Store) Close() error {
	err := s.ledger.close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// Ledger is the store's ledger. It is closed with the store.
func (s *Store) Ledger() *Ledger { return s.ledger }

// ObjectPath is where the object with a digest is, if there is one.
func (s *Store) ObjectPath(digest string) string {
	if !isDigest(digest) { // never a path that leads out of the store
		return filepath.Join(s.dir, objectsDir, "no-digest")
	}
	return filepath.Join(s.dir, objectsDir, digest[:2], digest[2:])
}

// WorkDir is the private directory of one part of a run, for the caller to make. What
// it holds may vanish as soon as the run has ended or its process died.
func (s *Store) WorkDir(run int64, part string) string {
	return filepath.Join(s.dir, workDir, strconv.FormatInt(run, 10), part)
}

// RemoveWork removes all work directories of a run.
func (s *Store) RemoveWork(run int64) error {
	dir := filepath.Join(s.dir, workDir, strconv.FormatInt(run, 10))
	return advise("remove the work of a run", dir, disk.RemoveAll(dir))
}

// PartialDir is where the unfinished part with a key keeps its checkpoints, for the
// part to make.
func (s *Store) PartialDir(key string) string { return filepath.Join(s.dir, partialDir, key) }

// DropPartial removes the checkpoints of a key: its part has succeeded.
func (s *Store) DropPartial(key string) error {
	dir := s.PartialDir(key)
	return advise("remove checkpoints", dir, disk.RemoveAll(dir))
}

// LogPath is the log of one attempt at the part with a key. Its directory is for the
// caller to make.
func (s *Store) LogPath(key string, attempt int) string {
	return filepath.Join(s.dir, logsDir, key, strconv.Itoa(attempt)+".log")
}
