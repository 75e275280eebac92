package artifacts

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// writeLedger makes a ledger as the program left it that first had a schema. Its contents
// are in testdata, as sqlite3's .dump writes them.
func writeLedger(t *testing.T, path string, schema int) {
	t.Helper()
	dump, err := os.ReadFile(fmt.Sprintf("testdata/ledger-v%d.sql", schema))
	if err != nil {
		t.Fatalf("a schema that is followed by another needs a ledger of it in testdata: %v", err)
	}
	edit(t, path, string(dump))
}

// earlier does a test with each schema that the newest was made from.
func earlier(t *testing.T, f func(t *testing.T, schema int)) {
	for schema := 1; schema < len(migrations); schema++ {
		t.Run(fmt.Sprint("schema ", schema), func(t *testing.T) { f(t, schema) })
	}
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

// Whatever the schema has become, earlier ledgers open and keep what they held.
func TestMigrateFromEarlierSchemas(t *testing.T) {
	earlier(t, func(t *testing.T, schema int) {
		dir := t.TempDir()
		makeStore(t, dir)
		path := filepath.Join(dir, "ledger.db")
		remove(t, path)
		remove(t, filepath.Join(dir, "ledger.journal")) // there was none before schema 3
		writeLedger(t, path, schema)
		before := rowsOf(t, path)
		withMigrations(t, "ALTER TABLE runs ADD COLUMN host TEXT NOT NULL DEFAULT ''", "CREATE TABLE later (artifact TEXT PRIMARY KEY)")

		_, err := Open(dir, Options{ReadOnly: true})
		wantError(t, err, path, fmt.Sprint("schema ", schema), fmt.Sprint("schema ", len(migrations)), "`pipeline run` migrates it")

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
		backup := fmt.Sprintf("%s.bak-v%d", path, schema)
		if v := pragma(t, backup, "PRAGMA user_version"); v != fmt.Sprint(schema) {
			t.Errorf("the backup has schema %s", v)
		}
		if got := rowsOf(t, backup); !maps.Equal(got, before) {
			t.Errorf("the backup has %v, the ledger had %v", got, before)
		}
		now := rowsOf(t, path)
		for table, rows := range before {
			if got := now[table]; got < rows {
				t.Errorf("%s had %d rows and has %d", table, rows, got)
			}
		}
		holdsSchema1(t, s.Ledger())
		if schema >= 2 {
			holdsSchema2(t, s.Ledger())
		}
		// It is a ledger to work with, and the numbers of runs go on.
		if id := beginRun(t, s.Ledger(), "v16"); int(id) != before["runs"]+1 {
			t.Errorf("the next run is %d after %d", id, before["runs"])
		}
		// It has a journal from now on, which knows all of it.
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		whole := tablesOf(t, path, journalTables...)
		delete(whole, "actions") // their objects are not in the store
		if _, err := RebuildLedger(t.Context(), dir, Options{}, false); err != nil {
			t.Fatal(err)
		}
		rebuilt := tablesOf(t, path, journalTables...)
		delete(rebuilt, "actions")
		if !reflect.DeepEqual(rebuilt, whole) {
			t.Errorf("rebuilt:\n%v\nwant:\n%v", rebuilt, whole)
		}
	})
}

// rowsOf counts the rows of each table, and of the view parts what was one.
func rowsOf(t *testing.T, path string) map[string]int {
	t.Helper()
	n := map[string]int{}
	for table := range strings.SplitSeq(pragma(t, path, "SELECT group_concat(name) FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"), ",") {
		n[table], _ = strconv.Atoi(pragma(t, path, "SELECT count(*) FROM "+table))
	}
	if len(n) < 7 {
		t.Fatalf("tables found: %v", n)
	}
	return n
}

// holdsSchema1 asks for what testdata/ledger-v1.sql says, which is in later ones as well.
func holdsSchema1(t *testing.T, l *Ledger) {
	t.Helper()
	key := fakeDigest(1)
	found, err := l.Actions([]string{key})
	if err != nil || found[key] == nil || found[key].Outputs.Files[0].Path != "docs/00000.jsonl.zst" || found[key].Seconds != 1.5 {
		t.Errorf("%+v %v", found, err)
	}
	for id, state := range map[int64]string{1: "done", 2: "died"} {
		if r, err := l.Run(id); err != nil || r.State != state || r.Args[1] != "v16.yaml" {
			t.Errorf("%+v %v", r, err)
		}
	}
	if p, err := l.Parts(1, "clean"); err != nil || len(p) != 1 || p[0].Key != key || p[0].State != "ran" {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := l.LastParts("v16", "clean"); err != nil || len(p) == 0 || p[0].Key != key {
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
}

// holdsSchema2 asks for what testdata/ledger-v2.sql says beside that.
func holdsSchema2(t *testing.T, l *Ledger) {
	t.Helper()
	if g, err := l.Graph(1); err != nil || g != nil {
		t.Errorf("the graph of a run before there were any: %s %v", g, err)
	}
	g, err := l.Graph(3)
	if err != nil || !strings.Contains(string(g), `"name":"wiki"`) || !json.Valid(g) {
		t.Errorf("%s %v", g, err)
	}
	if p, err := l.LastParts("v16", "clean"); err != nil || len(p) != 2 || p[0].State != "cached" || p[1].State != "ran" || p[1].Attempt != 2 || p[1].Key != fakeDigest(2) {
		t.Errorf("%+v %v", p, err)
	}
	a, err := l.Actions([]string{fakeDigest(2)})
	if err != nil || len(a) != 1 || a[fakeDigest(2)].Artifact != fakeDigest(9) || a[fakeDigest(2)].Refusal != "0.7 of 0.9" {
		t.Errorf("%+v %v", a, err)
	}
	if m, err := l.Metrics(3, "clean"); err != nil || len(m) != 2 || m[0].Value != 0.5 || !math.IsNaN(m[1].Value) {
		t.Errorf("%+v %v", m, err)
	}
	pins, err := l.Pins()
	if err != nil || len(pins) != 2 || pins[0].Name != "release 1" || pins[0].Artifact != fakeDigest(8) || pins[1].Created.UnixNano() != 1700000300000000000 {
		t.Errorf("%+v %v", pins, err)
	}
	if got, err := l.Artifacts(t.Context(), ""); err != nil || len(got) < 2 || !slices.Contains(got, fakeDigest(8)) || !slices.Contains(got, fakeDigest(9)) {
		t.Error(got, err)
	}
}

// What a migration makes of an earlier schema is fixed once ledgers were made with it: an
// edit would make two different schemas of one number.
func TestEarlierSchemasAreFixed(t *testing.T) {
	earlier(t, func(t *testing.T, schema int) {
		path := filepath.Join(t.TempDir(), "x.db")
		writeLedger(t, path, schema)
		db, err := sql.Open("sqlite3", ":memory:")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		if _, err := db.Exec(strings.Join(migrations[:schema], ";")); err != nil {
			t.Fatal(err)
		}
		const query = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name)"
		var now string
		if err := db.QueryRow(query).Scan(&now); err != nil {
			t.Fatal(err)
		}
		if was := pragma(t, path, query); was != now {
			t.Errorf("schema %d was\n%s\nand is\n%s", schema, was, now)
		}
		if v := pragma(t, path, "PRAGMA user_version"); v != fmt.Sprint(schema) {
			t.Errorf("the ledger in testdata says schema %s", v)
		}
	})
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
