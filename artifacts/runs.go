package artifacts

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"golang.org/x/sys/unix"
)

// RunInfo says what a run was asked to do.
type RunInfo struct {
	Pipeline string   // its name
	File     string   // the pipeline file
	Profile  string   // empty: none
	Args     []string // the command line
	PID      int      // for people; whether a run lives is told by its lock

	// Graph is the pipeline as the run resolved it, opaque here. What it names by digest
	// (configs, lists of files) is in Texts and is kept as PutConfig keeps it. Runs does
	// not give them back: see Ledger.Graph.
	Graph json.RawMessage
	Texts map[string][]byte
}

// Run is a run as the ledger knows it.
type Run struct {
	ID int64
	RunInfo
	State   string // running, done, failed, refused, interrupted, died
	Started time.Time
	Ended   time.Time // zero while running, and when it died
	Summary json.RawMessage
}

// BeginRun records a run as running and keeps it alive until EndRun, or until the store
// is closed or the process dies, which make it one that died. It marks runs that died
// before.
func (l *Ledger) BeginRun(r RunInfo) (id int64, err error) {
	if err := l.markDied(); err != nil {
		return 0, err
	}
	args, err := json.Marshal(r.Args)
	if err != nil {
		return 0, err
	}
	var lock *disk.File
	err = l.transact("begin a run", false, func(t *tx) error {
		next, err := t.prepare("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'runs'")
		if err != nil {
			return err
		}
		if err := next.QueryRow().Scan(&id); err != nil {
			return err
		}
		// Locked before anyone can see the row. When the store is shared and another
		// machine's ledger has a run of that number under way, take the next.
		for {
			lock, err = tryLock(runLock(l.locks, id))
			if err == nil {
				break
			}
			if !errors.Is(err, unix.EWOULDBLOCK) {
				return advise("lock a run", runLock(l.locks, id), err)
			}
			id++
		}
		for digest, text := range r.Texts {
			if err := t.putConfig(digest, text); err != nil {
				return err
			}
		}
		return t.exec(`INSERT INTO runs (id, pipeline, file, profile, args, pid, lock, state, started, summary, graph)
			VALUES (?, ?, ?, ?, ?, ?, ?, 'running', ?, '', ?)`,
			id, r.Pipeline, r.File, r.Profile, string(args), r.PID, lock.Name(), time.Now().UnixNano(), string(r.Graph))
	})
	if err != nil {
		if lock != nil {
			err = errors.Join(err, unlock(lock))
		}
		return 0, err
	}
	l.mu.Lock()
	l.runs[id] = lock
	l.mu.Unlock()
	return id, nil
}

// EndRun records how a run ended: done, failed, refused or interrupted.
func (l *Ledger) EndRun(id int64, state string, summary json.RawMessage) error {
	err := l.transact("end a run", false, func(t *tx) error {
		return t.exec("UPDATE runs SET state = ?, ended = ?, summary = ? WHERE id = ?", state, time.Now().UnixNano(), string(summary), id)
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	lock := l.runs[id]
	delete(l.runs, id)
	l.mu.Unlock()
	if lock != nil {
		return unlock(lock)
	}
	return nil
}

// markDied records as died the runs that say they are running and are not.
func (l *Ledger) markDied() error {
	var dead []int64
	err := l.each("look for dead runs", "SELECT id, lock FROM runs WHERE state = 'running'", nil, func(r *sql.Rows) error {
		var id int64
		var lock string
		if err := r.Scan(&id, &lock); err != nil {
			return err
		}
		if !isLocked(lock) {
			dead = append(dead, id)
		}
		return nil
	})
	if err != nil || len(dead) == 0 {
		return err
	}
	return l.transact("mark dead runs", false, func(t *tx) error {
		for _, id := range dead {
			if err := t.exec("UPDATE runs SET state = 'died' WHERE id = ? AND state = 'running'", id); err != nil {
				return err
			}
		}
		return nil
	})
}

// Runs gives the last runs of a pipeline, the newest first; of all pipelines when its
// name is empty.
func (l *Ledger) Runs(pipeline string, limit int) ([]Run, error) {
	if pipeline == "" {
		return l.runsWhere("true ORDER BY id DESC LIMIT ?", limit)
	}
	return l.runsWhere("pipeline = ? ORDER BY id DESC LIMIT ?", pipeline, limit)
}

// Run gives one run. The error wraps fs.ErrNotExist if there is none of that number.
func (l *Ledger) Run(id int64) (Run, error) {
	runs, err := l.runsWhere("id = ?", id)
	if err == nil && len(runs) == 0 {
		err = fmt.Errorf("the ledger %s has no run %d: `pipeline status` lists the runs: %w", l.path, id, fs.ErrNotExist)
	}
	if err != nil {
		return Run{}, err
	}
	return runs[0], nil
}

// Graph gives the pipeline as a run resolved it: what BeginRun was told. It is nil for
// runs of programs that did not record it.
func (l *Ledger) Graph(run int64) (graph json.RawMessage, err error) {
	err = l.each("look up the graph of a run", "SELECT graph FROM runs WHERE id = ?", []any{run}, func(r *sql.Rows) error {
		var s string
		if err := r.Scan(&s); err != nil {
			return err
		}
		graph = raw(s)
		return nil
	})
	return graph, err
}

func (l *Ledger) runsWhere(where string, args ...any) (runs []Run, err error) {
	query := "SELECT id, pipeline, file, profile, args, pid, lock, state, started, ended, summary FROM runs WHERE " + where
	err = l.each("look up runs", query, args, func(r *sql.Rows) error {
		var u Run
		var args, lock, summary string
		var started int64
		var ended sql.NullInt64
		if err := r.Scan(&u.ID, &u.Pipeline, &u.File, &u.Profile, &args, &u.PID, &lock, &u.State, &started, &ended, &summary); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(args), &u.Args); err != nil {
			return err
		}
		u.Started, u.Summary = time.Unix(0, started), raw(summary)
		if ended.Valid {
			u.Ended = time.Unix(0, ended.Int64)
		}
		if u.State == "running" && !isLocked(lock) {
			u.State = "died"
		}
		runs = append(runs, u)
		return nil
	})
	return runs, err
}
