package artifacts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"
	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"golang.org/x/sys/unix"
)

// busyTimeout is how long a write waits for another process's write to end.
const busyTimeout = 30 * time.Second

// readers is how many queries may be under way at once, each with up to 16 MiB of pages.
const readers = 4

// Ledger is the database of runs, parts, what parts made, and metrics.
//
// What it promises: a row that says a part was made is written after its outputs are
// durable, together with all that belongs to it, and is itself durable when the call
// returns. Rows that only tell of progress may be lost to a power failure, though not
// to a crash of the program. Several processes may write; each call is one transaction.
//
// What it does not: it cannot be on a network file system, and Open refuses to try.
// A row does not mean that the objects are still there: ask Store.Has for each.
type Ledger struct {
	path     string
	locks    string // folder of the run locks; "" for an empty ledger in memory
	readOnly bool

	read  *sql.DB
	write *sql.DB // one connection, pinned in conn; nil when read-only

	queue writes

	mu    sync.Mutex // one transaction of this process at a time
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	full  bool // PRAGMA synchronous of conn is FULL

	journalPath string
	journal     *journal

	runs map[int64]*disk.File
}

// openEmptyLedger is the ledger of a store that does not exist.
func openEmptyLedger() (*Ledger, error) {
	l := &Ledger{path: "(none)", readOnly: true}
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return nil, adviseLedger("open", l.path, err)
	}
	db.SetMaxOpenConns(1) // another connection would be another database
	l.read = db
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, adviseLedger("open", l.path, err)
	}
	defer conn.Close()
	if err := migrate(ctx, conn, l.path, migrations, nil); err != nil {
		return nil, err
	}
	return l, nil
}

func (s *Store) openLedger(path string, create bool) (*Ledger, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	l := &Ledger{path: path, locks: filepath.Join(s.dir, locksDir), readOnly: s.readOnly, journalPath: s.journalPath(path),
		stmts: map[string]*sql.Stmt{}, runs: map[int64]*disk.File{}}
	if s.readOnly && !exists(path) {
		if create {
			return openEmptyLedger()
		}
		return nil, fmt.Errorf("no ledger at %s: `pipeline run` makes one, --ledger FILE names another: %w", path, fs.ErrNotExist)
	}
	if !s.readOnly {
		if err := disk.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, advise("open the ledger", path, err)
		}
	}
	if err := refuseNetwork(path); err != nil {
		return nil, err
	}
	if s.readOnly {
		return l, l.openRead()
	}
	// One process at a time makes or migrates the ledger.
	lock, err := s.LockKey(context.Background(), "ledger", fmt.Sprintf("pid %d, opening the ledger", os.Getpid()), nil)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	if s.lost(path) {
		if _, err := s.rebuild(context.Background(), path, false); err != nil {
			return nil, err
		}
	}
	if err := l.openWrite(s); err != nil {
		return nil, errors.Join(err, l.close())
	}
	if err := s.sign(path); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *Ledger) openRead() error {
	params := "mode=ro"
	if unwritable(filepath.Dir(l.path)) && !exists(l.path+"-wal") {
		// SQLite cannot make the shared memory beside the file. Nobody writes, for the
		// log is gone: it may be read as a file that never changes.
		params = "mode=ro&immutable=1"
	}
	if err := l.openReaders(params); err != nil {
		return err
	}
	var v int
	if err := l.read.QueryRow("PRAGMA user_version").Scan(&v); err != nil {
		l.read.Close()
		return adviseLedger("open", l.path, err)
	}
	if err := checkVersion(l.path, v, len(migrations)); err != nil {
		l.read.Close()
		return err
	}
	if v < len(migrations) {
		l.read.Close()
		return fmt.Errorf("the ledger %s has schema %d and this program reads schema %d: `pipeline run` migrates it, keeping a backup copy", l.path, v, len(migrations))
	}
	return nil
}

func (l *Ledger) openReaders(params string) error {
	db, err := sql.Open("sqlite3", dsn(l.path, params))
	if err != nil {
		return adviseLedger("open", l.path, err)
	}
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	l.read = db
	return nil
}

func (l *Ledger) openWrite(s *Store) error {
	if info, err := os.Stat(l.path); err == nil && info.Mode().Perm()&0o222 == 0 {
		return advise("open the ledger", l.path, fs.ErrPermission)
	}
	db, err := sql.Open("sqlite3", dsn(l.path, "_txlock=immediate"))
	if err != nil {
		return adviseLedger("open", l.path, err)
	}
	db.SetMaxOpenConns(1)
	l.write = db
	ctx := context.Background()
	if l.conn, err = db.Conn(ctx); err != nil {
		return adviseLedger("open", l.path, err)
	}
	if err := migrate(ctx, l.conn, l.path, migrations, s.alone); err != nil {
		return err
	}
	if err := disk.Flock(s.lock, unix.LOCK_SH); err != nil { // others may come in again
		return advise("lock the store", s.lock.Name(), err)
	}
	var mode string
	if err := l.conn.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode); err != nil {
		return adviseLedger("open", l.path, err)
	}
	if mode != "wal" {
		return fmt.Errorf("ledger: open: %s: its file system cannot hold a write-ahead log (journal mode %s): keep it on another with --ledger FILE", l.path, mode)
	}
	if _, err := l.conn.ExecContext(ctx, "PRAGMA synchronous=FULL"); err != nil {
		return adviseLedger("open", l.path, err)
	}
	l.full = true
	if err := l.openJournal(ctx); err != nil {
		return err
	}
	return l.openReaders("_query_only=1")
}

// dsn is the name under which the driver opens a file, whatever is in its path.
func dsn(path, params string) string {
	u := url.URL{Path: path}
	return fmt.Sprintf("file:%s?_busy_timeout=%d&_cache_size=-16384&%s", u.EscapedPath(), busyTimeout.Milliseconds(), params)
}

// unwritable says whether this process may not make files in a directory.
func unwritable(dir string) bool {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS) != nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (l *Ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, f := range l.runs {
		errs = append(errs, f.Close())
	}
	for _, s := range l.stmts {
		errs = append(errs, s.Close())
	}
	if l.read != nil {
		errs = append(errs, l.read.Close())
	}
	if l.journal != nil {
		errs = append(errs, l.journal.f.Close())
	}
	if l.conn != nil {
		errs = append(errs, l.conn.Close())
	}
	if l.write != nil {
		errs = append(errs, fault.Do(fault.Close, l.path, "", l.write.Close))
	}
	if err := errors.Join(errs...); err != nil {
		return adviseLedger("close", l.path, err)
	}
	return nil
}

// each runs a query and calls scan for every row.
func (l *Ledger) each(doing, query string, args []any, scan func(*sql.Rows) error) error {
	var rows *sql.Rows
	err := fault.Do(fault.Read, l.path, "", func() (err error) {
		rows, err = l.read.Query(query, args...)
		return err
	})
	if rows != nil {
		defer rows.Close()
	}
	if err != nil {
		return adviseLedger(doing, l.path, err)
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return adviseLedger(doing, l.path, err)
		}
	}
	return adviseLedger(doing, l.path, rows.Err())
}
