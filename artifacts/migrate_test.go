package artifacts

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeLedger makes a ledger of schema 1, as the program left it that first had one.
// Its contents are in testdata, as sqlite3's .dump writes them.
func writeLedger(t *testing.T, path string) {
	t.Helper()
	dump, err := os.ReadFile("testdata/ledger-v1.sql")
	if err != nil {
		t.Fatal(err)
	}
	edit(t, path, string(dump))
}

func edit(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite3", dsn(path, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

func pragma(t *testing.T, path, query string) (answer string) {
	t.Helper()
	db, err := sql.Open("sqlite3", dsn(path, "mode=ro"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// withMigrations lets a test be a program of a later version.
func withMigrations(t *testing.T, extra ...string) {
	before := migrations
	t.Cleanup(func() { migrations = before })
	migrations = append(append([]string{}, before...), extra...)
}

// Whatever the schema has become, ledgers of schema 1 open and keep what they held.
func TestMigrateFromSchema1(t *testing.T) {
	dir := t.TempDir()
	makeStore(t, dir)
	path := filepath.Join(dir, "ledger.db")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	writeLedger(t, path)
	withMigrations(t, "ALTER TABLE runs ADD COLUMN host TEXT NOT NULL DEFAULT ''", "CREATE TABLE later (artifact TEXT PRIMARY KEY)")

	_, err := Open(dir, Options{ReadOnly: true})
	wantError(t, err, path, "schema 1", fmt.Sprint("schema ", len(migrations)), "`pipeline run` migrates it")

	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if v := pragma(t, path, "PRAGMA user_version"); v != fmt.Sprint(len(migrations)) {
		t.Errorf("schema %s", v)
	}
	if pragma(t, path, "SELECT count(*) FROM later") != "0" || pragma(t, path, "SELECT max(host) FROM runs") != "" {
		t.Error("the migrations were not done")
	}
	backup := path + ".bak-v1"
	if v := pragma(t, backup, "PRAGMA user_version"); v != "1" {
		t.Errorf("the backup has schema %s", v)
	}
	if n := pragma(t, backup, "SELECT count(*) FROM actions"); n != "1" {
		t.Errorf("the backup has %s actions", n)
	}
	l := s.Ledger()
	key := fakeDigest(1)
	found, err := l.Actions([]string{key})
	if err != nil || found[key] == nil || found[key].Outputs.Files[0].Path != "docs/00000.jsonl.zst" || found[key].Seconds != 1.5 {
		t.Errorf("%+v %v", found, err)
	}
	runs, err := l.Runs("v16", 10)
	if err != nil || len(runs) != 2 || runs[0].State != "died" || runs[1].State != "done" || runs[1].Args[1] != "v16.yaml" {
		t.Errorf("%+v %v", runs, err)
	}
	if p, err := l.LastParts("v16", "clean"); err != nil || len(p) != 1 || p[0].Key != key {
		t.Errorf("%+v %v", p, err)
	}
	if m, err := l.Metrics(1, ""); err != nil || len(m) != 1 || m[0].Value != 0.5 {
		t.Errorf("%+v %v", m, err)
	}
	if d, ok, err := l.SourceDigest(FileID{1, 2, 3, 4, 5}); err != nil || !ok || d != fakeDigest(7) {
		t.Error(d, ok, err)
	}
	if c, err := l.Config(fakeDigest(0)); err != nil || string(c) != `{"rules":[]}` {
		t.Error(string(c), err)
	}
	// It is a ledger to work with, and the numbers of runs go on.
	if id := beginRun(t, l, "v16"); id != 3 {
		t.Errorf("the next run is %d", id)
	}
}

// Schema 1 is out: an edit of its migration would make two different schemas 1.
func TestSchema1IsFixed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	writeLedger(t, path)
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(migrations[0]); err != nil {
		t.Fatal(err)
	}
	const schema = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name)"
	var now string
	if err := db.QueryRow(schema).Scan(&now); err != nil {
		t.Fatal(err)
	}
	if was := pragma(t, path, schema); was != now {
		t.Errorf("schema 1 was\n%s\nand is\n%s", was, now)
	}
}

func TestMigrationThatFails(t *testing.T) {
	dir := t.TempDir()
	makeStore(t, dir)
	path := filepath.Join(dir, "ledger.db")
	known := len(migrations)
	withMigrations(t, "CREATE TABLE later (a)", "CREATE TABLE more (a); CREATE TABLE later (b)")
	_, err := Open(dir, Options{})
	wantError(t, err, fmt.Sprintf("migrate to schema %d", known+2), path, "later")
	if v := pragma(t, path, "PRAGMA user_version"); v != fmt.Sprint(known+1) {
		t.Errorf("schema %s, want the last that could be reached", v)
	}
	if n := pragma(t, path, "SELECT count(*) FROM sqlite_schema WHERE name = 'more'"); n != "0" {
		t.Error("half a migration was done")
	}
}

// An older program that has the store open would go on writing by the old schema.
func TestMigrationWaitsForOthers(t *testing.T) {
	dir := t.TempDir()
	older := openStore(t, dir)
	known := len(migrations)
	withMigrations(t, "CREATE TABLE later (a)")
	_, err := Open(dir, Options{})
	wantError(t, err, fmt.Sprintf("must be migrated from schema %d to %d", known, known+1), "another process uses the store", "run again")
	if v := pragma(t, filepath.Join(dir, "ledger.db"), "PRAGMA user_version"); v != fmt.Sprint(known) {
		t.Errorf("schema %s", v)
	}
	beginRun(t, older.Ledger(), "p")
	older.Ledger().runs[1].Close()
	delete(older.Ledger().runs, 1)
	if err := older.lock.Close(); err != nil {
		t.Fatal(err)
	}
	older.lock = nil
	newer, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer newer.Close()
	// The lock is shared again.
	third, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	third.Close()
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	makeStore(t, dir)
	path := filepath.Join(dir, "ledger.db")
	edit(t, path, "PRAGMA user_version = 99")
	for _, o := range []Options{{}, {ReadOnly: true}} {
		_, err := Open(dir, o)
		wantError(t, err, path, "schema 99", fmt.Sprintf("up to %d only", len(migrations)), "newer program", "--store")
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("more than a sentence: %v", err)
		}
	}
	if v := pragma(t, path, "PRAGMA user_version"); v != "99" {
		t.Error("the newer ledger was changed")
	}
}

func TestForeignDatabaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	edit(t, path, "CREATE TABLE photos (a)")
	_, err := Open(t.TempDir(), Options{CreateIfMissing: true, LedgerPath: path})
	wantError(t, err, path, "no ledger of this program", "--ledger")
}

func TestEmptyLedgerHasTheSchema(t *testing.T) {
	l, err := openEmptyLedger()
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	var v int
	if err := l.read.QueryRowContext(context.Background(), "PRAGMA user_version").Scan(&v); err != nil || v != len(migrations) {
		t.Error(v, err)
	}
}
