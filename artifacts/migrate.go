package artifacts

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"golang.org/x/sys/unix"
)

// migrations bring the schema from version i to i+1; the version is kept in PRAGMA
// user_version. One that has been released is never changed: ledgers were made with it.
//
// Times are Unix time in nanoseconds. Keys and digests are lower-case hex. Columns of
// JSON hold ” where there is nothing to say.
var migrations = []string{`
CREATE TABLE configs (
	digest TEXT PRIMARY KEY,
	json   TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE actions (            -- what a part with this key made
	key         TEXT PRIMARY KEY,
	kind        TEXT NOT NULL,
	version     INTEGER NOT NULL,
	components  TEXT NOT NULL,    -- JSON: what the key was computed from
	config      TEXT NOT NULL,    -- digest, in configs
	outputs     TEXT NOT NULL,    -- manifest
	artifact    TEXT NOT NULL,    -- digest of a manifest object, or ''
	seconds     REAL NOT NULL,
	input_bytes INTEGER NOT NULL,
	refusal     TEXT NOT NULL,    -- why a gate refused, or ''
	counts      TEXT NOT NULL,    -- JSON
	created     INTEGER NOT NULL
);
CREATE INDEX actions_by_kind ON actions (kind, created);

CREATE TABLE runs (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	pipeline TEXT NOT NULL,
	file     TEXT NOT NULL,
	profile  TEXT NOT NULL,
	args     TEXT NOT NULL,       -- JSON list
	pid      INTEGER NOT NULL,
	lock     TEXT NOT NULL,       -- file that the run's process holds locked
	state    TEXT NOT NULL,       -- running done failed refused interrupted died
	started  INTEGER NOT NULL,
	ended    INTEGER,             -- NULL while running, and for ever when died
	summary  TEXT NOT NULL        -- JSON
);
CREATE INDEX runs_by_pipeline ON runs (pipeline, id);

CREATE TABLE stages (             -- stages that ended, by run
	run     INTEGER NOT NULL,
	stage   TEXT NOT NULL,
	kind    TEXT NOT NULL,
	parts   INTEGER NOT NULL,
	ran     INTEGER NOT NULL,
	cached  INTEGER NOT NULL,
	seconds REAL NOT NULL,
	outputs TEXT NOT NULL,        -- JSON
	UNIQUE (run, stage)
);

CREATE TABLE parts (              -- what became of each part of a run, last word
	run     INTEGER NOT NULL,
	stage   TEXT NOT NULL,
	idx     INTEGER NOT NULL,
	kind    TEXT NOT NULL,
	part    TEXT NOT NULL,
	key     TEXT NOT NULL,        -- '' as long as it is not known
	state   TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	started INTEGER NOT NULL,
	seconds REAL NOT NULL,
	error   TEXT NOT NULL,
	PRIMARY KEY (run, stage, idx)
) WITHOUT ROWID;

CREATE TABLE metrics (            -- said by the part with this key
	key   TEXT NOT NULL,
	name  TEXT NOT NULL,
	step  INTEGER NOT NULL,
	value REAL,                   -- NULL is not a number
	PRIMARY KEY (key, name, step)
) WITHOUT ROWID;

CREATE TABLE sources (            -- digests of files outside, while they stay as they were
	dev    INTEGER NOT NULL,
	ino    INTEGER NOT NULL,
	size   INTEGER NOT NULL,
	mtime  INTEGER NOT NULL,
	ctime  INTEGER NOT NULL,
	sha256 TEXT NOT NULL,
	PRIMARY KEY (dev, ino)
) WITHOUT ROWID;
`, `
CREATE TABLE pins (               -- artifacts that garbage collection keeps
	artifact TEXT PRIMARY KEY,    -- digest of a manifest object
	name     TEXT NOT NULL,       -- what the user called it, or ''
	created  INTEGER NOT NULL
) WITHOUT ROWID;

ALTER TABLE runs ADD COLUMN graph TEXT NOT NULL DEFAULT ''; -- JSON: the sources and stages as they were resolved
`, `
ALTER TABLE parts RENAME TO part_rows; -- parts that were no hits, and the hits of older runs

CREATE TABLE lists (              -- parts that were hits, of one stage; runs share them
	digest TEXT PRIMARY KEY,      -- of parts
	parts  TEXT NOT NULL          -- JSON: [[name, key], …]
);

CREATE TABLE hits (               -- parts of a run that were known, many to a row
	run     INTEGER NOT NULL,
	stage   TEXT NOT NULL,
	idx     INTEGER NOT NULL,     -- of the first; the others follow
	kind    TEXT NOT NULL,
	count   INTEGER NOT NULL,
	list    TEXT NOT NULL,        -- digest, in lists
	started INTEGER NOT NULL,
	PRIMARY KEY (run, stage, idx)
) WITHOUT ROWID;

CREATE VIEW parts AS              -- what became of each part of a run, last word
SELECT run, stage, idx, kind, part, key, state, attempt, started, seconds, error FROM part_rows
UNION ALL
SELECT h.run, h.stage, h.idx + e.key, h.kind, e.value ->> 0, e.value ->> 1, 'cached', 0, h.started, 0.0, ''
	FROM hits h JOIN lists l ON l.digest = h.list, json_each(l.parts) e;

CREATE TABLE completions (        -- stages of which every part is known, as one row
	key     TEXT PRIMARY KEY,     -- digest of all that determines the stage's outputs
	list    TEXT NOT NULL,        -- its parts; digest, in lists
	count   INTEGER NOT NULL,     -- of parts
	objects BLOB NOT NULL,        -- every object of its parts: see packObjects
	detail  TEXT NOT NULL,        -- JSON
	created INTEGER NOT NULL
);

-- A completion stands for the actions of its parts: it goes when one of them does.
CREATE TRIGGER action_gone AFTER DELETE ON actions BEGIN DELETE FROM completions; END;
CREATE TRIGGER action_anew BEFORE INSERT ON actions WHEN EXISTS (SELECT 1 FROM actions WHERE key = NEW.key)
	BEGIN DELETE FROM completions; END;

CREATE TABLE source_lists (       -- digests of many files outside, while they all stay as they were
	place   TEXT PRIMARY KEY,     -- digest of which files they are: devices and inodes
	state   TEXT NOT NULL,        -- digest of their sizes and times
	digests BLOB NOT NULL         -- 32 bytes for each, in order
);

-- Rows without an artifact and runs that have ended are nearly all there are.
CREATE INDEX actions_by_artifact ON actions (artifact) WHERE artifact <> '';
CREATE INDEX runs_under_way ON runs (state, lock) WHERE state = 'running';
`}

func checkVersion(path string, found, known int) error {
	if found > known {
		return fmt.Errorf("the ledger %s has schema %d, but this program knows schemas up to %d only: use the newer program that wrote it, or another store (--store DIR)", path, found, known)
	}
	return nil
}

// migrate brings the ledger to the newest schema, one transaction a step, after a
// backup copy to <path>.bak-v<N>. alone, if not nil, is asked before a ledger that is in
// use is changed.
func migrate(ctx context.Context, conn *sql.Conn, path string, steps []string, alone func() error) error {
	var version, tables int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return adviseLedger("open", path, err)
	}
	if err := checkVersion(path, version, len(steps)); err != nil {
		return err
	}
	if version == len(steps) {
		return nil
	}
	if version > 0 {
		if alone != nil {
			if err := alone(); err != nil {
				return fmt.Errorf("the ledger %s must be migrated from schema %d to %d: %w", path, version, len(steps), err)
			}
		}
		if err := backup(ctx, conn, path, version); err != nil {
			return err
		}
	} else {
		if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
			return adviseLedger("open", path, err)
		}
		if tables > 0 {
			return fmt.Errorf("%s is a database, but no ledger of this program: name another file with --ledger FILE", path)
		}
	}
	for v := version; v < len(steps); v++ {
		step := fmt.Sprintf("BEGIN IMMEDIATE; %s; PRAGMA user_version = %d; COMMIT", steps[v], v+1)
		err := fault.Do(fault.Durable, path, "", func() error {
			_, err := conn.ExecContext(ctx, step)
			return err
		})
		if err != nil {
			_, _ = conn.ExecContext(ctx, "ROLLBACK")
			return adviseLedger(fmt.Sprintf("migrate to schema %d", v+1), path, err)
		}
	}
	return nil
}

func backup(ctx context.Context, conn *sql.Conn, path string, version int) error {
	to := fmt.Sprintf("%s.bak-v%d", path, version)
	tmp := to + ".new"
	if err := disk.RemoveAll(tmp); err != nil {
		return advise("back up the ledger", tmp, err)
	}
	if _, err := conn.ExecContext(ctx, "VACUUM INTO ?", tmp); err != nil {
		return adviseLedger("back up to "+to, path, err)
	}
	if err := disk.SyncDir(tmp); err != nil { // any file, here
		return advise("back up the ledger", tmp, err)
	}
	return advise("back up the ledger", to, disk.Rename(tmp, to))
}

// alone makes sure that no other process has the store open, an older program for one,
// which would go on writing by the old schema. The store stays locked against others
// until the migration is over and the lock is shared again.
func (s *Store) alone() error {
	if err := disk.Flock(s.lock, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("another process uses the store %s: run again when it has ended", s.dir)
	}
	return nil
}
