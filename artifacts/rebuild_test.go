package artifacts

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fillLedger makes a store with runs, parts, hits, results whose objects are there, pins
// and awkward values, and gives what its ledger says of them.
func fillLedger(t *testing.T, dir string) map[string][]string {
	t.Helper()
	s, err := Open(dir, Options{CreateIfMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	l := s.Ledger()
	run, err := l.BeginRun(RunInfo{Pipeline: "p", Args: []string{"a", "ção"}, Graph: json.RawMessage(`{"seed":1}`), Texts: map[string][]byte{"t": []byte(`[1]`)}})
	if err != nil {
		t.Fatal(err)
	}
	var hits []PartRecord
	for i := range 60 {
		staged := stage(t, s, fmt.Sprintf("part-%d", i), fmt.Sprint("content ", i))
		if err := s.Publish([]Staged{staged}); err != nil {
			t.Fatal(err)
		}
		key := fakeDigest(1000 + i)
		a := &Action{Key: key, Kind: "k", Version: 1, Components: json.RawMessage(`{"a":"<&>"}`), Config: "c", Seconds: float64(i), InputBytes: 1 << 60,
			Outputs: &Manifest{Files: []ManifestFile{{Path: "docs/a", Digest: staged.Digest, Size: staged.Size}}}, Refusal: "über \"0\"\n", Created: time.Unix(0, int64(i))}
		p := PartRecord{Run: run, Stage: "s", Kind: "k", Part: "p\xff" + fmt.Sprint(i), Index: i, Key: key, State: "ran", Attempt: 1, Started: time.Unix(5, 6),
			Metrics: []Metric{{Name: "loss", Step: 1, Value: 0.1}, {Name: "loss", Step: 2, Value: math.NaN()}, {Name: "loss", Step: 3, Value: math.Inf(1)}}}
		if err := l.RecordPart(p, a); err != nil {
			t.Fatal(err)
		}
		hits = append(hits, PartRecord{Run: run, Stage: "again", Kind: "k", Part: fmt.Sprint(i), Index: 100 + i, Key: key, State: "cached"})
	}
	manifest, err := s.PutManifest(&Manifest{})
	for _, err := range []error{err, l.RecordParts(hits), l.PutConfig("c", []byte(`{}`)), s.Pin(Pin{Artifact: manifest, Name: "kept"}),
		l.RecordStage(StageRecord{Run: run, Stage: "s", Kind: "k", Parts: 60, Ran: 60, Outputs: json.RawMessage(`{}`)}), l.EndRun(run, "done", json.RawMessage(`{"x":1}`)), s.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return tables(t, filepath.Join(dir, "ledger.db"))
}

var journalTables = []string{"configs", "actions", "runs", "stages", "part_rows", "hits", "lists", "metrics", "pins"}

// tables is all rows that are journalled, as text, of a ledger that has some in each table.
func tables(t *testing.T, path string) map[string][]string {
	t.Helper()
	all := tablesOf(t, path, journalTables...)
	for _, table := range journalTables {
		if len(all[table]) == 0 {
			t.Fatalf("no rows in %s: the test would prove nothing", table)
		}
	}
	return all
}

func tablesOf(t *testing.T, path string, tables ...string) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite3", dsn(path, "mode=ro"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := map[string][]string{}
	for _, table := range tables {
		rows, err := db.Query("SELECT * FROM " + table + " ORDER BY 1, 2")
		if err != nil {
			t.Fatal(err)
		}
		columns, _ := rows.Columns()
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			all[table] = append(all[table], fmt.Sprintf("%#v", values))
		}
		rows.Close()
	}
	return all
}

// damage is what may become of a ledger.
var damage = []struct {
	name string
	do   func(t *testing.T, path string, b []byte)
}{
	{"missing", func(t *testing.T, path string, _ []byte) { remove(t, path) }},
	{"empty", func(t *testing.T, path string, _ []byte) { overwrite(t, path, nil) }},
	{"truncated", func(t *testing.T, path string, b []byte) { overwrite(t, path, b[:len(b)/2+77]) }},
	{"zeroed", func(t *testing.T, path string, b []byte) { overwrite(t, path, make([]byte, len(b))) }},
	{"zeroed in the middle", func(t *testing.T, path string, b []byte) {
		overwrite(t, path, append(append(bytes.Clone(b[:4096]), make([]byte, len(b)-8192)...), b[len(b)-4096:]...))
	}},
	{"bits flipped", func(t *testing.T, path string, b []byte) {
		for i := 64; i < len(b); i += 512 {
			b[i] ^= 0x55
		}
		overwrite(t, path, b)
	}},
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRebuildLedger(t *testing.T) {
	for _, d := range damage {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			want := fillLedger(t, dir)
			path := filepath.Join(dir, "ledger.db")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			d.do(t, path, bytes.Clone(b))
			bad, readErr := os.ReadFile(path)
			r, err := RebuildLedger(t.Context(), dir, Options{}, true)
			if err != nil {
				t.Fatal(err)
			}
			if r.Results != 60 || r.Missing != 0 || r.Damaged != 0 || r.Runs != 1 {
				t.Errorf("%+v", r)
			}
			if got := tables(t, path); !reflect.DeepEqual(got, want) {
				t.Errorf("rebuilt:\n%v\nwant:\n%v", got, want)
			}
			kept, err := os.ReadFile(r.Kept)
			if readErr == nil && (err != nil || !bytes.Equal(kept, bad)) {
				t.Errorf("the damaged ledger was not kept as it was: %v", err)
			}
			// It works on, and can be rebuilt once more from the journal it writes now.
			for range 2 {
				s, err := Open(dir, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if runs, err := s.Ledger().Runs("p", 9); err != nil || len(runs) != 1 || runs[0].State != "done" {
					t.Error(runs, err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if r, err := RebuildLedger(t.Context(), dir, Options{}, false); err != nil || r.Results != 60 {
					t.Fatal(r, err)
				}
			}
			if got := tables(t, path); !reflect.DeepEqual(got, want) {
				t.Error("rebuilt again, it differs")
			}
		})
	}
}

// A lost ledger is made anew without a word from the user; a damaged one is named, with
// the command that helps.
func TestOpenDamagedLedger(t *testing.T) {
	for _, d := range damage {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			fillLedger(t, dir)
			path := filepath.Join(dir, "ledger.db")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			d.do(t, path, b)
			s, err := Open(dir, Options{})
			if d.name == "missing" || d.name == "empty" {
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if a, err := s.Ledger().Actions([]string{fakeDigest(1000)}); err != nil || len(a) != 1 {
					t.Error(a, err)
				}
				return
			}
			if err == nil {
				defer s.Close()
				_, err = s.Ledger().BeginRun(RunInfo{Pipeline: "p"})
			}
			if err == nil {
				_, err = s.Ledger().Actions([]string{fakeDigest(1000)})
			}
			wantError(t, err, path, "`pipeline doctor --rebuild-ledger`")
		})
	}
}

// Results are taken only with their objects; lines that are damaged are left out alone.
func TestRebuildLeavesOut(t *testing.T) {
	dir := t.TempDir()
	fillLedger(t, dir)
	s, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for i := range 60 {
		keys = append(keys, fakeDigest(1000+i))
	}
	all, err := s.Ledger().Actions(keys)
	if err != nil {
		t.Fatal(err)
	}
	object := func(i int) string { return s.ObjectPath(all[keys[i]].Outputs.Files[0].Digest) }
	gone, short, wrong := object(3), object(4), object(5)
	s.Close()
	remove(t, gone)
	for _, p := range []string{short, wrong} {
		if err := os.Chmod(p, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	overwrite(t, short, []byte("c"))
	overwrite(t, wrong, []byte("CONTENT 5"))
	journal := filepath.Join(dir, "ledger.journal")
	b, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(b, []byte("\n"))
	hurt := 0
	for i, line := range lines {
		if bytes.Contains(line, []byte(keys[7])) && bytes.Contains(line, []byte("components")) == false && bytes.Contains(line, []byte(`docs/a`)) {
			lines[i] = bytes.Replace(line, []byte("docs/a"), []byte("docs/b"), 1)
			hurt++
		}
	}
	if hurt != 1 {
		t.Fatalf("%d lines altered", hurt)
	}
	torn := append(bytes.Join(lines, nil), lines[len(lines)-2][:40]...)
	overwrite(t, journal, torn)
	r, err := RebuildLedger(t.Context(), dir, Options{}, true)
	if err != nil {
		t.Fatal(err)
	}
	if r.Damaged != 2 || r.Missing != 3 || r.Corrupt != 1 || r.Results != 56 {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(dir, "quarantine", filepath.Base(filepath.Dir(wrong))+filepath.Base(wrong))); err != nil {
		t.Error("the corrupt object was not set aside:", err)
	}
	// What comes after a torn line is a line of its own.
	s, err = Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ledger().PutConfig("later", []byte("1")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	remove(t, filepath.Join(dir, "ledger.db"))
	if s, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if c, err := s.Ledger().Config("later"); err != nil || string(c) != "1" {
		t.Error(string(c), err)
	}
}

func TestRebuildRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := RebuildLedger(t.Context(), filepath.Join(dir, "none"), Options{}, false)
	wantError(t, err, "no store")
	fillLedger(t, dir)
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = RebuildLedger(t.Context(), dir, Options{}, false)
	wantError(t, err, "another process uses the store")
	s.Close()
	remove(t, filepath.Join(dir, "ledger.journal"))
	_, err = RebuildLedger(t.Context(), dir, Options{}, false)
	wantError(t, err, "no journal", "backup")
	if _, err := os.Stat(filepath.Join(dir, "ledger.db")); err != nil {
		t.Error("a rebuild that was refused moved the ledger:", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err = Open(dir, Options{}); err != nil { // writes the journal anew
		t.Fatal(err)
	}
	s.Close()
	if _, err := RebuildLedger(ctx, dir, Options{}, false); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.rebuild*")); len(left) > 0 {
		t.Error("left behind:", left)
	}
}

// A journal of another ledger, or of another schema, is not gone on with.
func TestJournalBelongsToLedger(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	want := fillLedger(t, a)
	makeStore(t, b)
	text, err := os.ReadFile(filepath.Join(b, "ledger.journal"))
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, filepath.Join(a, "ledger.journal"), text)
	s, err := Open(a, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	remove(t, filepath.Join(a, "ledger.db"))
	if s, err = Open(a, Options{}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if got := tables(t, filepath.Join(a, "ledger.db")); !reflect.DeepEqual(got, want) {
		t.Error("the ledger came back from another's journal")
	}
}

func TestJournalValues(t *testing.T) {
	for _, v := range []any{"", "ção\n", "\xff\x00", int64(1<<63 - 1), int64(-1), 0.1, 3.0, math.Inf(-1), []byte{0, 255}, nil, true} {
		b, err := encodeArg(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeArg(b); err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("%#v came back as %#v, %v", v, got, err)
		}
	}
	if _, err := encodeArg(struct{}{}); err == nil {
		t.Error("took a struct")
	}
}

func TestJournalled(t *testing.T) {
	for query, want := range map[string]bool{
		"INSERT INTO actions (key) VALUES (?)":              true,
		"INSERT OR REPLACE INTO part_rows (run) VALUES (?)": true,
		"UPDATE runs SET state = ?":                         true,
		"DELETE FROM lists WHERE digest NOT IN (SELECT list FROM hits UNION SELECT list FROM completions)": true,
		"INSERT OR REPLACE INTO sources (dev) VALUES (?)":                                                  false,
		"INSERT OR REPLACE INTO source_lists (place) VALUES (?)":                                           false,
		"DELETE FROM source_lists WHERE rowid <= 1":                                                        false,
		"INSERT OR REPLACE INTO completions (key) VALUES (?)":                                              false,
		"SELECT 1 FROM runs":      false,
		"PRAGMA synchronous=FULL": false,
	} {
		if got := journalled(query); got != want {
			t.Errorf("%s: %v", query, got)
		}
	}
}

func FuzzReadJournal(f *testing.F) {
	f.Add(appendLine(appendLine(nil, []byte(`{"journal":1}`)), []byte(`{"s":"x"}`)))
	f.Add([]byte("0123456789abcdef {}\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		if _, err := readJournal(bytes.NewReader(b), func(line []byte) error {
			n++
			if !strings.Contains(string(b), string(line)) {
				t.Error("a line that is not there")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		whole := appendLine(append(bytes.Clone(b), '\n'), []byte(`{"s":"y"}`))
		m := 0
		if _, err := readJournal(bytes.NewReader(whole), func([]byte) error { m++; return nil }); err != nil || m != n+1 {
			t.Errorf("%d lines, then one more is %d: %v", n, m, err)
		}
	})
}
