package artifacts

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// A life is what a ledger has seen: so many runs of a pipeline of ten stages.
type life struct {
	runs, parts int // parts of each run
	changed     int // of those, made anew in each run after the first
	s           *Store
	dir         string
	keys        []string // of the last run's parts, by stage
	sources     []FileID
	configs     []string
}

const lifeStages = 10

func stageName(i int) string { return fmt.Sprintf("stage-%d", i) }

// TestLedgerAtScale holds that no command reads a whole table of a ledger to answer a
// question about a part of it, whatever its size: SQLite chooses its plans by the schema
// alone, as long as nobody calls ANALYZE. With LEDGER_SCALE=1 the ledger has seen a
// million parts, and the test says how long everything takes.
func TestLedgerAtScale(t *testing.T) {
	f := &life{runs: 20, parts: 1000, changed: 160}
	if os.Getenv("LEDGER_SCALE") == "1" {
		f.parts, f.changed = 50_000, 7_900
	} else {
		t.Log("a fiftieth of the size: LEDGER_SCALE=1 (`make ledger-scale`) builds a ledger of 1,000,000 parts and times it")
	}
	f.dir = t.TempDir()
	f.s = openStore(t, f.dir)
	began := time.Now()
	f.live(t)
	l := f.s.Ledger()
	seen := &queries{}
	seen.watch(t, l)
	t.Logf("%d runs of %d parts in %v: %s", f.runs, f.parts, time.Since(began).Round(time.Millisecond), f.size(t))

	for _, q := range f.questions(l) {
		began := time.Now()
		n, err := q.ask()
		if err != nil {
			t.Fatalf("%s: %v", q.name, err)
		}
		if n == 0 {
			t.Errorf("%s: nothing found, which proves nothing", q.name)
		}
		t.Logf("%-44s %9.1f ms  %8d found", q.name, time.Since(began).Seconds()*1e3, n)
	}
	f.collect(t)
	seen.check(t, l)
}

// live writes what the engine writes for that many runs, many records to a transaction.
func (f *life) live(t *testing.T) {
	l := f.s.Ledger()
	each := f.parts / lifeStages
	key := make([]int, f.parts) // of each part, the number of its key
	for i := range 20 {
		config := fmt.Sprintf(`{"rules":[%d]}`, i)
		f.configs = append(f.configs, digest(config))
		f.ok(t, l.PutConfig(digest(config), []byte(config)))
	}
	next := 0
	for r := range f.runs {
		run, err := l.BeginRun(RunInfo{Pipeline: []string{"v16", "other"}[r%4/3], File: "p.yaml", Args: []string{"run"}, PID: 1, Graph: f.graph()})
		f.ok(t, err)
		for s := range lifeStages {
			first, window := s*each, f.changed/lifeStages
			at := (r * window) % (each - window) // where sources were edited
			fresh := func(i int) bool { return r == 0 || i >= at && i < at+window }
			var under, hits []PartRecord
			for i := range each {
				p := PartRecord{Run: run, Stage: stageName(s), Kind: fmt.Sprintf("kind-%d", s), Part: fmt.Sprintf("%05d", i), Index: i, State: "running", Attempt: 1, Started: time.Now()}
				if fresh(i) {
					key[first+i] = next
					next++
					p.Key = fakeDigest(key[first+i])
					under = append(under, p)
				} else {
					p.Key, p.State, p.Attempt = fakeDigest(key[first+i]), "cached", 0
					hits = append(hits, p)
				}
			}
			f.ok(t, l.RecordParts(hits))
			f.ok(t, l.RecordUnderWay(under))
			for chunk := range slices.Chunk(under, 1000) {
				f.ok(t, l.transact("fill", true, func(tx *tx) error {
					for i := range chunk {
						p := &chunk[i]
						p.State, p.Seconds, p.Metrics = "ran", 1.5, []Metric{{Name: "documents", Value: 214}, {Name: "kept", Value: 0.5}}
						a := testAction(key[first+p.Index], fakeDigest(-key[first+p.Index]), 1<<20)
						a.Kind, a.Config = p.Kind, f.configs[r%len(f.configs)]
						if err := tx.putAction(a); err != nil {
							return err
						}
						if err := tx.putPart(p); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			f.ok(t, l.RecordStage(StageRecord{Run: run, Stage: stageName(s), Kind: fmt.Sprintf("kind-%d", s), Parts: each, Ran: len(under), Cached: len(hits), Seconds: 1,
				Outputs: json.RawMessage(fmt.Sprintf(`{"docs":{"bytes":100,"digest":"%s","files":%d}}`, fakeDigest(1_000_000+r*lifeStages+s), each))}))
		}
		f.ok(t, l.EndRun(run, "done", json.RawMessage(`{"parts":1}`)))
	}
	f.keys = make([]string, f.parts)
	for i := range f.keys {
		f.keys[i] = fakeDigest(key[i])
	}
	for s := range lifeStages {
		c := Completion{Key: fakeDigest(2_000_000 + s), Detail: json.RawMessage(`{}`)}
		for i, k := range f.keys[s*each : (s+1)*each] {
			c.Parts = append(c.Parts, [2]string{fmt.Sprintf("%05d", i), k})
			c.Objects = append(c.Objects, Object{k, 1})
		}
		f.ok(t, l.PutCompletion(c))
	}
	for i := range f.parts {
		f.sources = append(f.sources, FileID{Dev: 1, Ino: uint64(i), Size: 1 << 20, MtimeNS: 1, CtimeNS: int64(i)})
	}
	f.ok(t, l.PutSourceDigests(f.sources, f.keys, time.Now()))
}

// graph is as long as that of a pipeline of ten stages.
func (f *life) graph() json.RawMessage {
	var stages []string
	for s := range lifeStages {
		stages = append(stages, fmt.Sprintf(`{"name":"%s","config":"%s","parts":"%s"}`, stageName(s), f.configs[s], strings.Repeat("x", 400)))
	}
	return json.RawMessage(`{"sources":[],"stages":[` + strings.Join(stages, ",") + `]}`)
}

func (f *life) ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *life) size(t *testing.T) string {
	t.Helper()
	var sizes []string
	for _, name := range []string{"ledger.db", "ledger.db-wal", "ledger.journal"} {
		if info, err := os.Stat(filepath.Join(f.dir, name)); err == nil {
			sizes = append(sizes, fmt.Sprintf("%s %.1f MiB", name, float64(info.Size())/(1<<20)))
		}
	}
	return strings.Join(sizes, ", ")
}

type question struct {
	name string
	ask  func() (found int, err error)
}

// questions are what commands ask. The ledger's runs were of the pipelines v16 and other.
func (f *life) questions(l *Ledger) []question {
	last := int64(f.runs - 1) // the last of v16: every fourth run is of the other
	some := f.keys[:min(len(f.keys), 10_000)]
	key := fakeDigest(2_000_000)
	parts := func(p []PartRecord, err error) (int, error) { return len(p), err }
	return []question{
		{"Actions of 10,000 keys", func() (int, error) { a, err := l.Actions(some); return len(a), err }},
		{"LastParts of a stage", func() (int, error) { return parts(l.LastParts("v16", stageName(3))) }},
		{"Parts of a run", func() (int, error) { return parts(l.Parts(last, "")) }},
		{"Parts of a stage of a run", func() (int, error) { return parts(l.Parts(last, stageName(3))) }},
		{"Stages of a run", func() (int, error) { s, err := l.Stages(last); return len(s), err }},
		{"Runs, the last 20 of a pipeline", func() (int, error) { r, err := l.Runs("v16", 20); return len(r), err }},
		{"Runs, the last 20", func() (int, error) { r, err := l.Runs("", 20); return len(r), err }},
		{"Run", func() (int, error) { r, err := l.Run(last); return len(r.State), err }},
		{"Graph of a run", func() (int, error) { g, err := l.Graph(last); return len(g), err }},
		{"History of a kind, 1,000 parts", func() (int, error) { d, err := l.History("kind-3", 1000); return len(d), err }},
		{"Metrics of a run", func() (int, error) { m, err := l.Metrics(last, ""); return len(m), err }},
		{"Metrics of a stage of a run", func() (int, error) { m, err := l.Metrics(last, stageName(3)); return len(m), err }},
		{"KeyMetrics of 10,000 keys", func() (int, error) { m, err := l.KeyMetrics(some); return len(m), err }},
		{"Config", func() (int, error) { c, err := l.Config(f.configs[3]); return len(c), err }},
		{"SourceDigest of a file", func() (int, error) { d, _, err := l.SourceDigest(f.sources[7]); return len(d), err }},
		{"SourceDigests of all files, first", func() (int, error) { d, err := l.SourceDigests(f.sources); return len(d), err }},
		{"SourceDigests of all files, again", func() (int, error) { d, err := l.SourceDigests(f.sources); return len(d), err }},
		{"Completion, and record it", func() (int, error) {
			if _, err := f.s.Completion(key); err != nil { // its objects are not there
				return 0, err
			}
			run, err := l.BeginRun(RunInfo{Pipeline: "v16"})
			if err != nil {
				return 0, err
			}
			var list string
			if err := l.read.QueryRow("SELECT list FROM hits WHERE run = ?", last).Scan(&list); err != nil {
				return 0, err
			}
			if err := l.RecordCompletion(PartRecord{Run: run, Stage: stageName(0)}, &Known{Count: 1, list: list}); err != nil {
				return 0, err
			}
			return 1, l.EndRun(run, "done", nil)
		}},
		{"BeginRun after one that died", func() (int, error) {
			dead, err := l.BeginRun(RunInfo{Pipeline: "v16"})
			if err != nil {
				return 0, err
			}
			if err := l.runs[dead].Close(); err != nil {
				return 0, err
			}
			delete(l.runs, dead)
			run, err := l.BeginRun(RunInfo{Pipeline: "v16"})
			if err != nil {
				return 0, err
			}
			return 1, l.EndRun(run, "done", nil)
		}},
		{"RecordPart with its action", func() (int, error) {
			a := testAction(-5, f.keys[0], 1)
			p := PartRecord{Run: last, Stage: "late", Key: a.Key, State: "ran", Metrics: []Metric{{Name: "kept", Value: 1}}}
			return 1, l.RecordPart(p, a)
		}},
		{"keys of a run (verify, push)", func() (n int, err error) {
			return n, l.eachKey(context.Background(), last, func(int64, string, string) error { n++; return nil })
		}},
		{"Artifacts by prefix", func() (int, error) { a, err := l.Artifacts(context.Background(), ""); return len(a), err }},
	}
}

// collect removes what all runs but the last two made, and gives the room back.
func (f *life) collect(t *testing.T) {
	t.Helper()
	timed := func(what string, do func() error) {
		t.Helper()
		began := time.Now()
		f.ok(t, do())
		t.Logf("%-44s %9.1f ms  %s", what, time.Since(began).Seconds()*1e3, f.size(t))
	}
	l := f.s.Ledger()
	release, err := f.s.exclusively(t.Context(), "a test", nil)
	f.ok(t, err)
	_, err = l.conn.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
	f.ok(t, err)
	before, err := os.Stat(l.path)
	f.ok(t, err)
	_, err = l.Pins()
	f.ok(t, err)
	var plan *GCPlan
	timed("gc: decide", func() (err error) {
		plan, err = f.s.PlanGC(t.Context(), GCOptions{KeepRuns: 2})
		return err
	})
	if len(plan.keys) < f.changed || len(plan.runs) < 10 {
		t.Errorf("gc would remove %d results and the parts of %d runs only", len(plan.keys), len(plan.runs))
	}
	t.Logf("to be removed: %d of %d results, the parts of %d of %d runs", len(plan.keys), len(plan.keys)+plan.Results, len(plan.runs), f.runs)
	timed("gc: remove rows", func() error { return f.s.sweep(t.Context(), plan, nil) })
	timed("Compact", func() error { return l.Compact(t.Context()) })
	after, err := os.Stat(l.path)
	f.ok(t, err)
	if after.Size() > before.Size()*3/4 {
		t.Errorf("the ledger had %d bytes and has %d", before.Size(), after.Size())
	}
	f.ok(t, release())
}

// queries are the statements that a ledger was asked, whichever of its functions did.
type queries struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (q *queries) add(query string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seen[query] = true
}

// watch puts itself between a ledger and SQLite.
func (q *queries) watch(t *testing.T, l *Ledger) {
	t.Helper()
	q.seen = map[string]bool{}
	for _, s := range l.stmts {
		s.Close()
	}
	l.stmts = map[string]*sql.Stmt{}
	for _, err := range []error{l.read.Close(), l.conn.Close(), l.write.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l.read = sql.OpenDB(watched{q, dsn(l.path, "_query_only=1")})
	l.read.SetMaxOpenConns(readers)
	l.write = sql.OpenDB(watched{q, dsn(l.path, "_txlock=immediate")})
	l.write.SetMaxOpenConns(1)
	l.full = false
	var err error
	if l.conn, err = l.write.Conn(context.Background()); err != nil {
		t.Fatal(err)
	}
}

type watched struct {
	q   *queries
	dsn string
}

func (w watched) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

func (w watched) Connect(context.Context) (driver.Conn, error) {
	c, err := w.Driver().Open(w.dsn)
	if err != nil {
		return nil, err
	}
	return watchedConn{c.(*sqlite3.SQLiteConn), w.q}, nil
}

type watchedConn struct {
	*sqlite3.SQLiteConn
	q *queries
}

func (c watchedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	c.q.add(query)
	return c.SQLiteConn.PrepareContext(ctx, query)
}

func (c watchedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.q.add(query)
	return c.SQLiteConn.QueryContext(ctx, query, args)
}

func (c watchedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.q.add(query)
	return c.SQLiteConn.ExecContext(ctx, query, args)
}

// wholeReads are the statements that may read tables from one end to the other, by all
// their text or, with "…" at its end, by how they begin.
var wholeReads = []struct{ query, tables, why string }{
	{"SELECT id, pipeline, file, profile, args, pid, lock, state, started, ended, summary FROM runs WHERE true ORDER BY id DESC LIMIT…", "runs", "the last runs: it ends at the limit"},
	{"SELECT p.stage, m.name, m.step, m.value FROM parts p JOIN metrics m…", "p", "p is the parts of one run, which were searched for"},
	{"SELECT artifact, name, created FROM pins ORDER BY…", "pins", "all pins are asked for"},
	{"SELECT artifact FROM actions WHERE artifact <> '' UNION…", "actions_by_artifact pins", "all artifacts are asked for, and the index holds nothing else"},
	{"SELECT run, stage, outputs FROM stages ORDER BY run…", "stages", "artifacts are looked for in the outputs of every stage; a row is a stage of a run, not a part"},

	{"SELECT id, pipeline, state, lock, started, coalesce(ended, 0)…", "runs", "gc weighs every run"},
	{"SELECT run, stage FROM stages", "stages", "gc weighs every run"},
	{"SELECT run, stage, key FROM part_rows WHERE key <> ''", "part_rows", "gc marks the keys of all kept runs"},
	{"SELECT list, run, stage FROM hits", "hits", "gc marks the keys of all kept runs"},
	{"SELECT digest, parts FROM lists", "lists", "gc marks the keys of all kept runs"},
	{"SELECT key, kind, artifact, outputs, created FROM actions ORDER BY key", "actions", "gc marks the objects of every result"},
	{"SELECT run, sum(n) FROM…", "part_rows hits (subquery-2)", "gc counts the parts of every run"},
	{"SELECT digest FROM configs", "configs", "gc looks for configs that nothing names"},
	{"SELECT key, config || ' ' || components FROM actions…", "actions runs", "gc looks for configs that nothing names"},
	{"DELETE FROM lists WHERE digest NOT IN…", "lists hits completions", "gc removes what nothing names"},
	{"DELETE FROM metrics WHERE key NOT IN…", "metrics actions part_rows lists", "gc removes what nothing names"},

	{"SELECT m.name, group_concat(c.name…", "m", "m is the tables of the schema"},
	{"SELECT key, kind, version, components, config, outputs…", "actions", "Compact writes the journal anew"},
	{"SELECT digest, json FROM configs", "configs", "Compact writes the journal anew"},
	{"SELECT id, pipeline, file, profile, args, pid, lock, state, started, ended, summary, graph FROM runs", "runs", "Compact writes the journal anew"},
	{"SELECT run, stage, kind, parts, ran, cached, seconds, outputs FROM stages", "stages", "Compact writes the journal anew"},
	{"SELECT run, stage, idx, kind, part, key, state, attempt, started, seconds, error FROM part_rows", "part_rows", "Compact writes the journal anew"},
	{"SELECT run, stage, idx, kind, count, list, started FROM hits", "hits", "Compact writes the journal anew"},
	{"SELECT key, name, step, value FROM metrics", "metrics", "Compact writes the journal anew"},
	{"SELECT artifact, name, created FROM pins", "pins", "Compact writes the journal anew"},
}

// check explains every statement that was asked and complains of those that read a whole
// table, or make an index for the occasion, and are not among wholeReads.
func (q *queries) check(t *testing.T, l *Ledger) {
	t.Helper()
	used := make([]bool, len(wholeReads))
	explained := 0
	for query := range q.seen {
		if verb, _, _ := strings.Cut(query, " "); !slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE"}, verb) {
			continue
		}
		explained++
		oneLine := strings.Join(strings.Fields(query), " ")
		var may []string
		plan, whole := readWhole(t, l, query)
		for i, w := range wholeReads {
			begin, open := strings.CutSuffix(w.query, "…")
			if len(whole) > 0 && (oneLine == begin || open && strings.HasPrefix(oneLine, begin)) {
				used[i] = true
				may = append(may, strings.Fields(w.tables)...)
			}
		}
		for _, table := range whole {
			if !slices.Contains(may, table) {
				t.Errorf("%s\nreads the whole of %s:\n  %s", oneLine, table, strings.Join(plan, "\n  "))
			}
		}
	}
	for i, w := range wholeReads {
		if !used[i] {
			t.Errorf("no statement %q reads a whole table any more (%s)", w.query, w.why)
		}
	}
	if explained < 50 {
		t.Errorf("%d statements explained: were they all seen?", explained)
	}
	t.Logf("%d statements explained", explained)
}

// readWhole gives SQLite's plan of a statement, and the tables that it reads from one end
// to the other: by their alias if they have one, or by the index that is read for them.
func readWhole(t *testing.T, l *Ledger, query string) (plan, whole []string) {
	t.Helper()
	rows, err := l.read.Query("EXPLAIN QUERY PLAN "+query, make([]any, parameters(query))...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var detail string
		if err := rows.Scan(new(int), new(int), new(int), &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
		words := strings.Fields(detail)
		switch {
		case strings.Contains(detail, "AUTOMATIC"): // an index made for the occasion, of all rows
			whole = append(whole, words[1])
		case words[0] != "SCAN" || strings.Contains(detail, "VIRTUAL TABLE") || detail == "SCAN CONSTANT ROW":
		case slices.Contains(words, "COVERING") && strings.HasPrefix(words[len(words)-1], words[1]+"_by_"):
			whole = append(whole, words[len(words)-1])
		default:
			whole = append(whole, words[1])
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan, whole
}

// parameters counts those of a statement: ?1 is one, however often it is there.
func parameters(query string) int {
	if strings.Contains(query, "?1") {
		return 1
	}
	return strings.Count(query, "?")
}
