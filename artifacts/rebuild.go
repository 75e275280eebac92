package artifacts

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"golang.org/x/sys/unix"
)

// Rebuilt says what RebuildLedger did.
type Rebuilt struct {
	Ledger  string `json:"ledger"`
	Kept    string `json:"kept,omitempty"` // where the former ledger is now; empty if there was none
	Lines   int    `json:"lines"`          // of the journal that were used
	Damaged int    `json:"damaged"`        // of the journal that were left out
	Results int    `json:"results"`        // parts that are known again
	Missing int    `json:"missing"`        // results left out, since the store lacks an object of theirs
	Corrupt int    `json:"corrupt"`        // objects set aside, since their bytes are not what their name says
	Runs    int    `json:"runs"`
}

// RebuildLedger makes the ledger of a store anew from its journal, and keeps the former
// one beside it, whatever its state. A result is taken only if the store has all of its
// objects, each with the right size; with rehash they are read and compared with their
// names as well, and what does not match is moved to quarantine/. No other process may
// have the store open. A crash at any point leaves the former ledger in place, or none,
// and then the next Open for writing does the same again.
func RebuildLedger(ctx context.Context, dir string, o Options, rehash bool) (*Rebuilt, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if !exists(abs) {
		return nil, fmt.Errorf("no store at %s: --store DIR or PIPELINE_STORE names another: %w", abs, fs.ErrNotExist)
	}
	s := &Store{dir: abs}
	if s.lock, err = s.share(); err != nil {
		return nil, err
	}
	defer s.lock.Close()
	if err := disk.Flock(s.lock, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("rebuild the ledger: another process uses the store %s: run again when it has ended", abs)
	}
	path := o.LedgerPath
	if path == "" {
		path = filepath.Join(abs, "ledger.db")
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	return s.rebuild(ctx, path, rehash)
}

// lost says whether there is no ledger where the journal says that there was one.
func (s *Store) lost(path string) bool {
	info, err := os.Stat(path)
	if err == nil && info.Size() > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	journal, err := os.Stat(s.journalPath(path))
	return err == nil && journal.Size() > 0
}

func (s *Store) rebuild(ctx context.Context, path string, rehash bool) (r *Rebuilt, err error) {
	from, err := disk.Open(s.journalPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("rebuild the ledger: the store has no journal %s: the ledger was made by a program before schema 3, which wrote none; put back a backup (%s.bak-…), or move it away and run again: the objects stay, but what they were made for is computed again",
			s.journalPath(path), filepath.Base(path))
	}
	if err != nil {
		return nil, advise("rebuild the ledger", s.journalPath(path), err)
	}
	defer from.Close()
	tmp := path + ".rebuild"
	for _, f := range []string{tmp, tmp + "-journal"} {
		if err := disk.RemoveAll(f); err != nil {
			return nil, advise("rebuild the ledger", f, err)
		}
	}
	r = &Rebuilt{Ledger: path}
	if err := s.replay(ctx, from, tmp, rehash, r); err != nil {
		return nil, errors.Join(err, disk.RemoveAll(tmp))
	}
	if err := disk.SyncDir(tmp); err != nil { // any file, here
		return nil, advise("rebuild the ledger", tmp, err)
	}
	if r.Kept, err = keepAside(path); err != nil {
		return nil, err
	}
	if err := disk.Rename(tmp, path); err != nil {
		return nil, advise("rebuild the ledger", path, err)
	}
	return r, advise("rebuild the ledger", path, disk.SyncDir(filepath.Dir(path)))
}

// keepAside moves a ledger and the files that belong to it to the first free name.
func keepAside(path string) (kept string, err error) {
	for i := 1; ; i++ {
		kept = fmt.Sprintf("%s.damaged-%d", path, i)
		if !exists(kept) && !exists(kept+"-wal") {
			break
		}
	}
	found := false
	for _, suffix := range []string{"-wal", "-shm", ""} { // the ledger last: while it is there it is not lost
		err := disk.Rename(path+suffix, kept+suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", advise("keep the damaged ledger", path+suffix, err)
		}
		found = true
	}
	if !found {
		return "", nil
	}
	return kept, nil
}

// replay makes a ledger at path out of a journal.
func (s *Store) replay(ctx context.Context, journal *os.File, path string, rehash bool, r *Rebuilt) (err error) {
	texts := map[string]string{}
	var head journalHead
	first := func(line []byte) error {
		switch {
		case bytes.HasPrefix(line, []byte(`{"journal":`)):
			return json.Unmarshal(line, &head)
		case bytes.Contains(line[:min(len(line), 32)], []byte(`"sql":`)):
			var l journalLine
			err := json.Unmarshal(line, &l)
			texts[l.Name] = l.SQL
			return err
		}
		return nil
	}
	if r.Damaged, err = readJournal(journal, first); err != nil {
		return advise("read the journal", journal.Name(), err)
	}
	if head.Journal == 0 {
		head = journalHead{journalFormat, len(migrations), 0} // its first line is damaged
	}
	if head.Journal > journalFormat || head.Schema > len(migrations) {
		return fmt.Errorf("rebuild the ledger: the journal %s is of a newer program (format %d, schema %d): use that", journal.Name(), head.Journal, head.Schema)
	}
	if _, err := journal.Seek(0, 0); err != nil {
		return advise("read the journal", journal.Name(), err)
	}
	db, err := sql.Open("sqlite3", dsn(path, "_txlock=immediate"))
	if err != nil {
		return adviseLedger("rebuild", path, err)
	}
	defer func() { err = errors.Join(err, adviseLedger("rebuild", path, db.Close())) }()
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return adviseLedger("rebuild", path, err)
	}
	defer conn.Close()
	if err := migrate(ctx, conn, path, migrations[:head.Schema], nil); err != nil {
		return err
	}
	// One transaction: thousands of lines a second, and nothing has to outlive a crash.
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return adviseLedger("rebuild", path, err)
	}
	statements := map[string]*sql.Stmt{}
	defer func() {
		for _, q := range statements {
			q.Close()
		}
	}()
	_, err = readJournal(journal, func(line []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var l journalLine
		if err := json.Unmarshal(line, &l); err != nil {
			return err
		}
		if l.Name == "" || l.SQL != "" {
			return nil
		}
		q := statements[l.Name]
		if q == nil {
			text, ok := texts[l.Name]
			if !ok {
				r.Damaged++
				return nil
			}
			// What was journalled for a transaction that failed may be followed by the
			// same again.
			if rest, ok := strings.CutPrefix(text, "INSERT INTO"); ok && !strings.Contains(text, "ON CONFLICT") {
				text = "INSERT OR REPLACE INTO" + rest
			}
			var err error
			if q, err = conn.PrepareContext(ctx, text); err != nil {
				return fmt.Errorf("%.60q: %w", text, err)
			}
			statements[l.Name] = q
		}
		args := make([]any, len(l.Args))
		for i, b := range l.Args {
			var err error
			if args[i], err = decodeArg(b); err != nil {
				return err
			}
		}
		r.Lines++
		_, err := q.ExecContext(ctx, args...)
		return err
	})
	if err != nil {
		return adviseLedger("rebuild", path, err)
	}
	if err := s.dropHollow(ctx, conn, path, rehash, r); err != nil {
		return err
	}
	for query, to := range map[string]*int{"SELECT count(*) FROM actions": &r.Results, "SELECT count(*) FROM runs": &r.Runs} {
		if err := conn.QueryRowContext(ctx, query).Scan(to); err != nil {
			return adviseLedger("rebuild", path, err)
		}
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		return adviseLedger("rebuild", path, err)
	}
	// The journal belongs to the new ledger as it did to the old one. What was left out
	// is written out of it when the ledger is opened next.
	return migrate(ctx, conn, path, migrations, nil)
}

// dropHollow removes the results of which the store lacks an object.
func (s *Store) dropHollow(ctx context.Context, conn *sql.Conn, path string, rehash bool, r *Rebuilt) error {
	rows, err := conn.QueryContext(ctx, "SELECT key, outputs FROM actions")
	if err != nil {
		return adviseLedger("rebuild", path, err)
	}
	var hollow []string
	looked := map[string]bool{}
	whole := func(f ManifestFile) bool {
		ok, known := looked[f.Digest]
		if known && ok {
			return s.Has(f.Digest, f.Size)
		}
		if !known {
			ok = s.Has(f.Digest, f.Size)
			if ok && rehash {
				got, _, err := HashFile(s.ObjectPath(f.Digest))
				if ok = err == nil && got == f.Digest; err == nil && !ok {
					r.Corrupt++
					_ = s.quarantine(f.Digest) // left there it counts as missing all the same
				}
			}
			if rehash {
				looked[f.Digest] = ok
			}
		}
		return ok
	}
	for rows.Next() {
		var key, outputs string
		if err := rows.Scan(&key, &outputs); err != nil {
			rows.Close()
			return adviseLedger("rebuild", path, err)
		}
		m, err := decodeManifest(outputs)
		ok := err == nil
		for i := 0; ok && i < len(m.Files); i++ {
			ok = whole(m.Files[i])
		}
		if !ok {
			hollow = append(hollow, key)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close(), ctx.Err()); err != nil {
		return adviseLedger("rebuild", path, err)
	}
	r.Missing = len(hollow)
	list, err := json.Marshal(hollow)
	if err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "DELETE FROM actions WHERE key IN (SELECT value FROM json_each(?))", string(list))
	return adviseLedger("rebuild", path, err)
}
