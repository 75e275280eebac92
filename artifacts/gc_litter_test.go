package artifacts

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
)

// file makes a file in the store, and the directories above it.
func (t *past) file(path ...string) string {
	t.Helper()
	p := filepath.Join(append([]string{t.dir}, path...)...)
	t.ok(os.MkdirAll(filepath.Dir(p), 0o755))
	t.ok(os.WriteFile(p, []byte("litter"), 0o644))
	return p
}

// litter leaves one thing of everything that a crash or a change of mind can leave.
func (t *past) litter() {
	t.Helper()
	t.ok(t.Publish([]Staged{stage(t.T, t.Store, "x", "nobody's")}))
	t.ok(os.RemoveAll(filepath.Join(t.dir, workDir, "1")))
	t.file(partialDir, digest("abandoned"), "checkpoint")
	t.file(logsDir, digest("abandoned"), "1.log")
	t.file(quarantineDir, digest("damaged"))
	t.file(workDir, "77", "000001-1", "half")
	t.file(workDir, "manifest-123")
	t.file(locksDir, digest("unlocked"))
	t.file("ledger.db.bak-v1.new")
	t.file("ledger.journal.new")
	t.ok(t.Ledger().PutConfig(digest("no key's"), []byte("{}")))
}

func (t *past) rows(table string) (n int) {
	t.Helper()
	t.ok(t.ledger.read.QueryRow("SELECT count(*) FROM " + table).Scan(&n))
	return n
}

func what(p *GCPlan) (kinds []string) {
	for _, w := range p.Remove {
		kinds = append(kinds, w.What)
	}
	return kinds
}

func TestCollectTakesAllLitter(tt *testing.T) {
	t := newPast(tt)
	run := t.run("p", "done", "clean a b", "train x")
	before := t.files("")
	t.litter()

	old, err := t.PlanGC(context.Background(), GCOptions{KeepRuns: 1, Grace: day})
	t.ok(err)
	t.want("removed although young", what(old), []string{"work", "locks", "rows of configs"})

	t.collect(GCOptions{KeepRuns: 1})
	t.want("files", withoutLedger(t.files("")), withoutLedger(before))
	t.want("hits", t.hits("clean a b", "train x"), []string{"clean a b", "train x"})
	if n := t.rows("configs"); n != 2 {
		t.Errorf("%d configs, want those of two parts", n)
	}
	if t.output(run, "clean") == "" {
		t.Error("the outputs of the run are forgotten")
	}
}

func withoutLedger(files []string) (rest []string) {
	for _, f := range files {
		if !strings.HasPrefix(f, "ledger.db-") && f != "ledger.db" {
			rest = append(rest, f)
		}
	}
	return rest
}

func TestCollectRows(tt *testing.T) {
	t := newPast(tt)
	t.run("p", "done", "clean a", "clean b")
	t.run("p", "done", "clean a", "clean b") // hits
	t.run("p", "done", "clean c", "clean b")
	t.collect(GCOptions{KeepRuns: 1})
	for table, want := range map[string]int{"runs": 3, "stages": 3, "parts": 2, "actions": 2, "metrics": 2, "configs": 2, "lists": 1, "hits": 1} {
		if n := t.rows(table); n != want {
			t.Errorf("%d %s, want %d", n, table, want)
		}
	}
}

func TestCollectCheckpoints(t *testing.T) {
	for _, f := range []struct {
		fact string
		runs func(t *past)
		kept bool
	}{
		{"of a part that stopped in a kept run stay", func(t *past) {
			run := t.run("p", "interrupted", "clean a")
			t.ok(t.Ledger().RecordPart(PartRecord{Run: run, Stage: "train", Index: 7, Key: key("train x"), State: "stopped"}, nil))
			t.file(partialDir, key("train x"), "checkpoint")
		}, true},
		{"of a part that was killed stay: no row tells of it", func(t *past) {
			run := t.run("p", "running", "clean a")
			t.file(partialDir, key("train x"), "checkpoint")
			t.die(run)
		}, true},
		{"of a part that was killed stay behind a run that was interrupted later", func(t *past) {
			run := t.run("p", "running", "clean a")
			t.file(partialDir, key("train x"), "checkpoint")
			t.die(run)
			t.run("p", "interrupted", "clean a")
		}, true},
		{"of a part that was killed go after a run that was done", func(t *past) {
			run := t.run("p", "running", "clean a")
			t.file(partialDir, key("train x"), "checkpoint")
			t.die(run)
			t.run("p", "done", "clean a")
		}, false},
		{"that are older than the run that died go", func(t *past) {
			t.file(partialDir, key("train x"), "checkpoint")
			<-time.After(20 * time.Millisecond) // more than a tick of the file system's clock
			t.die(t.run("p", "running", "clean a"))
		}, false},
		{"of a part that is made go", func(t *past) {
			t.run("p", "done", "train x")
			t.file(partialDir, key("train x"), "checkpoint")
		}, false},
		{"of a part that is made and lost stay", func(t *past) {
			t.run("p", "done", "train x")
			t.file(partialDir, key("train x"), "checkpoint")
			t.ok(os.Remove(t.ObjectPath(digest("x"))))
		}, true},
		{"of nobody go", func(t *past) { t.file(partialDir, key("train x"), "checkpoint") }, false},
		{"of a part that another process makes stay", func(t *past) {
			t.file(partialDir, key("train x"), "checkpoint")
			lock, err := t.LockKey(context.Background(), key("train x"), "somebody", nil)
			t.ok(err)
			t.Cleanup(func() { lock.Unlock() })
		}, true},
	} {
		t.Run(f.fact, func(tt *testing.T) {
			t := newPast(tt)
			f.runs(t)
			t.collect(GCOptions{KeepRuns: 1})
			if kept := exists(t.PartialDir(key("train x"))); kept != f.kept {
				t.Errorf("kept: %v", kept)
			}
		})
	}
}

// die lets a run under way be one whose process died.
func (t *past) die(run int64) {
	t.Helper()
	t.ok(t.ledger.runs[run].Close())
	delete(t.ledger.runs, run)
}

func TestCollectToSize(t *testing.T) {
	a, b, c := "clean a*10000", "clean b*10000", "clean c*10000"
	for _, f := range []struct {
		fact string
		runs func(t *past)
		size int64
		kept []string
		over bool
	}{
		{"what runs have not used for longest goes first", func(t *past) {
			t.run("p", "done", a)
			t.run("p", "done", b)
			t.run("p", "done", c)
			t.run("p", "done", a)
		}, 25_000, []string{a, c}, false},
		{"nothing goes if all fits", func(t *past) {
			t.run("p", "done", a)
			t.run("p", "done", b, c)
		}, 100_000, []string{a, b, c}, false},
		{"pins stay, the store is too large", func(t *past) {
			run := t.run("p", "done", a)
			t.ok(t.Pin(Pin{Artifact: t.output(run, "clean")}))
			t.run("p", "done", b, c)
		}, 5_000, []string{a}, true},
		{"what a run uses stays", func(t *past) {
			t.run("p", "done", b)
			t.run("p", "running", a)
		}, 5_000, []string{a}, true},
		{"an object goes with the last result that needs it", func(t *past) {
			t.run("p", "done", a)
			t.run("p", "done", a+" small")
			t.run("p", "done", b)
		}, 12_000, []string{b}, false},
		{"of what was used at once that goes first which was made first", func(t *past) {
			t.run("p", "done", a, b, c)
		}, 12_000, []string{c}, false},
	} {
		t.Run(f.fact, func(tt *testing.T) {
			t := newPast(tt)
			f.runs(t)
			plan := t.collect(GCOptions{KeepRuns: 9, Grace: day, MaxSize: f.size})
			t.want("kept", t.hits(a, b, c), f.kept)
			if plan.After > f.size != f.over || plan.Over > 0 != f.over {
				t.Errorf("%d bytes stay, %d over %d", plan.After, plan.Over, f.size)
			}
		})
	}
}

// A pulled result comes with a row of its own age and objects that may be older. It is
// never parted from an object that it alone has and that is too young to go.
func TestCollectNeverParts(tt *testing.T) {
	t := newPast(tt)
	t.run("p", "done", "clean a")
	t.ok(t.ledger.transact("test", false, func(x *tx) error { return x.exec("UPDATE actions SET created = 1") }))
	t.collect(GCOptions{Grace: time.Minute, Now: time.Now().Add(-time.Second)})
	t.want("hits", t.hits("clean a"), []string{"clean a"})
	t.collect(GCOptions{Grace: time.Minute, Now: time.Now().Add(time.Hour)})
	t.want("hits", t.hits("clean a"), nil)
}

func TestPublishedAgainIsYoung(tt *testing.T) {
	t := newPast(tt)
	f := publish(tt, t.Store, "x", "a")
	was, err := lookAt(t.ObjectPath(f.Digest))
	t.ok(err)
	<-time.After(20 * time.Millisecond) // more than a tick of the file system's clock
	publish(tt, t.Store, "x", "a")
	is, err := lookAt(t.ObjectPath(f.Digest))
	t.ok(err)
	if !is.changed.After(was.changed) {
		t.Error("an object that was published again is as old as before")
	}
}

func TestViewsOutliveTheirObjects(tt *testing.T) {
	t := newPast(tt)
	run := t.run("p", "done", "clean a b")
	m, err := t.Manifest(t.output(run, "clean"))
	t.ok(err)
	view := filepath.Join(tt.TempDir(), "view")
	t.ok(t.Place(m, view))
	info, err := lookAt(filepath.Join(view, "0"))
	t.ok(err)
	plan := t.collect(GCOptions{})
	if linked := info.links > 1; linked && plan.Linked != 2 || !linked && plan.Linked != 0 {
		t.Errorf("%d bytes said to stay in views; the view's files have %d names", plan.Linked, info.links)
	}
	for name, want := range map[string]string{"0": "a", "1": "b"} {
		if b, err := os.ReadFile(filepath.Join(view, name)); err != nil || string(b) != want {
			t.Errorf("%s in the view: %q, %v", name, b, err)
		}
	}
	if n := len(t.files(objectsDir)); n > 0 {
		t.Errorf("%d objects are left", n)
	}
}

// crashAt is a process that dies at its n-th change: nothing that it does from then on
// happens.
type crashAt struct{ n, seen atomic.Int64 }

var errDead = errors.New("dead")

func (c *crashAt) dead(op fault.Op) bool {
	switch op {
	case fault.Open, fault.Read, fault.Lock, fault.Close, fault.Begin:
		return c.seen.Load() >= c.n.Load()
	}
	return c.seen.Add(1) >= c.n.Load()
}

func (c *crashAt) Do(e fault.Event, do func() error) error {
	if c.dead(e.Op) {
		return errDead
	}
	return do()
}

func (c *crashAt) Write(e fault.Event, p []byte, do func([]byte) (int, error)) (int, error) {
	if c.dead(e.Op) {
		return 0, errDead
	}
	return do(p)
}

// Whenever a collection dies, what the ledger knows is there, and the next collection
// ends where an undisturbed one does.
func TestCollectDiesAnywhere(tt *testing.T) {
	parts := []string{"clean a b", "clean c", "train x", "clean b d", "train y"}
	o := GCOptions{KeepRuns: 1}
	template := newPast(tt)
	template.run("p", "done", parts[:3]...)
	template.run("p", "done", parts[3:]...)
	template.litter()
	template.ok(template.ledger.close()) // all of it is in its file now, for copies
	template.ledger = &Ledger{}
	var want []string
	deaths := 0
	for n := int64(0); ; n++ {
		dir := quickDir(tt)
		template.ok(os.CopyFS(dir, os.DirFS(template.dir)))
		s, err := Open(dir, Options{LeaveLitter: true})
		template.ok(err)
		c := &crashAt{}
		c.n.Store(max(n, 1))
		if n == 0 {
			c.n.Store(1 << 40)
		}
		fault.Inject(c)
		_, err = s.Collect(context.Background(), o, nil, nil)
		fault.Inject(nil)
		_ = s.Close()
		again := &past{tt, openStore(tt, dir)}
		again.hits(parts...)
		if n == 0 {
			template.ok(err)
		}
		if err != nil {
			deaths++
			again.collect(o)
		}
		files := withoutLedger(again.files(""))
		again.want("hits", again.hits(parts...), parts[3:])
		if n == 0 {
			want = files
			continue
		}
		again.want("files", files, want)
		if err == nil && c.seen.Load() < n {
			break
		}
	}
	if deaths < 20 {
		tt.Errorf("the collection died at %d points only", deaths)
	}
}

// A collection that is interrupted leaves no row without its data, and the next one ends
// what it began.
func TestCollectIsInterrupted(tt *testing.T) {
	t := newPast(tt)
	t.run("p", "done", "clean a b c d")
	ctx, cancel := context.WithCancel(context.Background())
	plan, err := t.Collect(ctx, GCOptions{}, nil, func(done, _ int) {
		if done == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || plan.Left != len(plan.files)-3 {
		t.Fatalf("%d of %d files left, %v", plan.Left, len(plan.files), err)
	}
	t.want("hits", t.hits("clean a b c d"), nil)
	t.collect(GCOptions{})
	t.want("objects", t.files(objectsDir), nil)
}

func TestCollectWantsTheStoreAlone(tt *testing.T) {
	t := newPast(tt)
	t.run("p", "done", "clean a")
	p := start(tt, "hold", t.dir, digest("key"), "somebody")
	p.line(tt)
	_, err := t.Collect(context.Background(), GCOptions{}, nil, nil)
	var use *InUse
	if !errors.As(err, &use) || len(use.Holders) != 1 {
		tt.Fatalf("%v, holders %q", err, use)
	}
	wantError(tt, err, "is in use by pid", "--wait")
	told := make(chan string, 1)
	done := make(chan error)
	go func() {
		_, err := t.Collect(context.Background(), GCOptions{}, func(holders []string) { told <- holders[0] }, nil)
		done <- err
	}()
	if who := <-told; !strings.HasPrefix(who, "pid ") {
		t.Errorf("waits for %q", who)
	}
	p.kill(tt)
	t.ok(<-done)
	t.want("hits", t.hits("clean a"), nil)

	release, err := t.exclusively(context.Background(), "pid 4711, which collects garbage", nil)
	t.ok(err)
	_, err = Open(t.dir, Options{})
	wantError(tt, err, "is locked by pid 4711, which collects garbage")
	t.ok(release())
	other, err := Open(t.dir, Options{})
	t.ok(err)
	t.ok(other.Close())
}

func TestCollectRefusesNonsense(tt *testing.T) {
	t := newPast(tt)
	for _, o := range []GCOptions{{KeepRuns: -1}, {Grace: -1}, {MaxSize: -1}} {
		_, err := t.PlanGC(context.Background(), o)
		wantError(tt, err, "must not be below zero")
	}
	s, err := Open(t.dir, Options{ReadOnly: true})
	t.ok(err)
	defer s.Close()
	_, err = s.Collect(context.Background(), GCOptions{}, nil, nil)
	wantError(tt, err, "for reading only")
}

// Each ledger of a shared store would take the others' results for waste.
func TestCollectMindsOtherLedgers(tt *testing.T) {
	t := newPast(tt)
	t.run("p", "done", "clean a")
	elsewhere := filepath.Join(tt.TempDir(), "ledger.db")
	for range 2 {
		s, err := Open(t.dir, Options{LedgerPath: elsewhere, CreateIfMissing: true})
		t.ok(err)
		_, err = s.PlanGC(context.Background(), GCOptions{})
		wantError(tt, err, "is used with another ledger", filepath.Join(t.dir, "ledger.db"), "--one-ledger")
		t.ok(s.Close())
	}
	_, err := t.Collect(context.Background(), GCOptions{}, nil, nil)
	wantError(tt, err, "is used with another ledger", elsewhere)
	t.want("hits", t.hits("clean a"), []string{"clean a"})

	plan, err := t.Collect(context.Background(), GCOptions{OneLedger: true}, nil, nil)
	t.ok(err)
	if plan.Results != 0 {
		t.Errorf("%d results stay", plan.Results)
	}
	t.ok(os.Remove(elsewhere))
	t.collect(GCOptions{}) // that ledger is gone
	t.file(ledgersDir, "0123456789abcdef")
	t.ok(os.WriteFile(filepath.Join(t.dir, ledgersDir, "0123456789abcdef"), []byte("far\n/away/ledger.db\n"), 0o644))
	_, err = t.PlanGC(context.Background(), GCOptions{})
	wantError(tt, err, "/away/ledger.db of far")
}
