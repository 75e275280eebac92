package artifacts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
)

// A commit that must be durable waits for the disk, a thousand times longer than the
// work in it takes. Calls that come while another commits therefore wait in a queue, and
// the first of them to get its turn takes all of them into one transaction: four workers
// that finish at once cost one wait and not four. Each call is undone alone if it fails.
type writes struct {
	mu      sync.Mutex
	waiting []*write
}

type write struct {
	do      func(*tx) error
	durable bool
	err     error
	done    bool // under Ledger.mu
}

// transact does f in a transaction, which may hold other calls' work besides. A durable
// one has reached the disk on return; another one is safe from a crash of the program,
// not of the machine. f is called at most once.
func (l *Ledger) transact(doing string, durable bool, f func(*tx) error) error {
	if l.readOnly {
		return fmt.Errorf("ledger: %s: %s is open for reading only", doing, l.path)
	}
	w := &write{do: f, durable: durable}
	l.queue.mu.Lock()
	l.queue.waiting = append(l.queue.waiting, w)
	l.queue.mu.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	if !w.done {
		l.queue.mu.Lock()
		batch := l.queue.waiting
		l.queue.waiting = nil
		l.queue.mu.Unlock()
		err := l.commit(batch)
		for _, w := range batch {
			w.done = true
			if err != nil {
				w.err = err
			}
		}
	}
	return adviseLedger(doing, l.path, w.err)
}

// commit does a batch in one transaction. What went wrong with one write alone is left
// in its err; an error returned means that nothing of the batch was written.
func (l *Ledger) commit(batch []*write) error {
	t := &tx{l}
	durable := false
	for _, w := range batch {
		durable = durable || w.durable
	}
	if durable != l.full {
		mode := "PRAGMA synchronous=NORMAL"
		if durable {
			mode = "PRAGMA synchronous=FULL"
		}
		if err := t.exec(mode); err != nil {
			return err
		}
		l.full = durable
	}
	begin := func() error { return t.exec("BEGIN IMMEDIATE") }
	if err := fault.Do(fault.Begin, l.path, "", begin); err != nil {
		_ = t.exec("ROLLBACK") // of one that was begun all the same
		return err
	}
	err := t.each(batch)
	if err == nil {
		err = l.journal.write(durable)
	}
	if err == nil {
		op := fault.Commit
		if durable {
			op = fault.Durable
		}
		err = fault.Do(op, l.path, "", func() error { return t.exec("COMMIT") })
	}
	if err != nil {
		// After some errors, a full disk among them, SQLite has rolled back by itself.
		_ = t.exec("ROLLBACK")
		l.journal.back(0)
	}
	return err
}

func (t *tx) each(batch []*write) error {
	if len(batch) == 1 {
		return batch[0].do(t)
	}
	for _, w := range batch {
		if err := t.exec("SAVEPOINT one"); err != nil {
			return err
		}
		mark := len(t.l.journal.pending)
		if w.err = w.do(t); w.err != nil {
			t.l.journal.back(mark)
			// Fails when SQLite has given up the whole transaction, and then so must we.
			if err := t.exec("ROLLBACK TO one"); err != nil {
				return errors.Join(w.err, err)
			}
		}
		if err := t.exec("RELEASE one"); err != nil {
			return err
		}
	}
	return nil
}

// tx is a transaction in progress, on prepared statements.
type tx struct{ l *Ledger }

func (t *tx) prepare(query string) (*sql.Stmt, error) {
	if s := t.l.stmts[query]; s != nil {
		return s, nil
	}
	s, err := t.l.conn.PrepareContext(context.Background(), query)
	if err == nil {
		t.l.stmts[query] = s
	}
	return s, err
}

func (t *tx) exec(query string, args ...any) error {
	s, err := t.prepare(query)
	if err != nil {
		return err
	}
	res, err := s.Exec(args...)
	if err != nil || !journalled(query) {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return t.l.journal.add(query, args)
}

// has says whether a query gives any row.
func (t *tx) has(query string, args ...any) (found bool, err error) {
	s, err := t.prepare("SELECT EXISTS (" + query + ")")
	if err != nil {
		return false, err
	}
	return found, s.QueryRow(args...).Scan(&found)
}
