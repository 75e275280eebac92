package artifacts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
)

// roomyLedger makes a store whose ledger holds a few rows of every table and the room of
// some thousand more that are gone, and gives what it says.
func roomyLedger(t *testing.T, dir string) map[string][]string {
	t.Helper()
	fillLedger(t, dir)
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := s.Ledger()
	run := beginRun(t, l, "p")
	parts := make([]PartRecord, 4000)
	for i := range parts {
		parts[i] = PartRecord{Run: run, Stage: "gone", Kind: "k", Part: fmt.Sprint(i), Index: i, Key: fakeDigest(i), State: "failed", Attempt: 1, Error: strings.Repeat("why ", 200)}
	}
	for _, err := range []error{
		l.RecordParts(parts),
		l.RecordStage(StageRecord{Run: run, Stage: "z", Kind: "k"}),
		l.RecordStage(StageRecord{Run: run, Stage: "a", Kind: "k"}),
		l.EndRun(run, "failed", nil),
		l.transact("forget", true, func(tx *tx) error { return tx.forget(&GCPlan{runs: []int64{run}}) }),
		s.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return tables(t, filepath.Join(dir, "ledger.db"))
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// compactOnce is what gc does last; it says when it begins, and when it has ended.
func compactOnce(args []string) error {
	s, err := Open(args[0], Options{})
	if err != nil {
		return err
	}
	release, err := s.exclusively(context.Background(), "a test", nil)
	if err != nil {
		return err
	}
	fmt.Println("begins")
	if err := s.Ledger().Compact(context.Background()); err != nil {
		return err
	}
	fmt.Println("ended")
	return errors.Join(release(), s.Close())
}

// wantWhole holds that a ledger, and one that is rebuilt from its journal, say what was said.
func wantWhole(t *testing.T, dir string, want map[string][]string) {
	t.Helper()
	path := filepath.Join(dir, "ledger.db")
	if got := pragma(t, path, "PRAGMA integrity_check"); got != "ok" {
		t.Errorf("the ledger is damaged: %s", got)
	}
	if got := tables(t, path); !reflect.DeepEqual(got, want) {
		t.Errorf("the ledger says\n%v\nwant\n%v", got, want)
	}
	if _, err := RebuildLedger(t.Context(), dir, Options{}, false); err != nil {
		t.Fatal(err)
	}
	if got := tables(t, path); !reflect.DeepEqual(got, want) {
		t.Errorf("rebuilt from its journal the ledger says\n%v\nwant\n%v", got, want)
	}
}

func TestCompact(t *testing.T) {
	dir := quickDir(t)
	want := roomyLedger(t, dir)
	path, journal := filepath.Join(dir, "ledger.db"), filepath.Join(dir, "ledger.journal")
	ledgerWas, journalWas := sizeOf(t, path), sizeOf(t, journal)
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := s.Ledger()
	if err := l.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := sizeOf(t, path); got > ledgerWas/4 {
		t.Errorf("the ledger had %d bytes and has %d", ledgerWas, got)
	}
	if got := sizeOf(t, journal); got > journalWas/4 {
		t.Errorf("the journal had %d bytes and has %d", journalWas, got)
	}
	if got := tables(t, path); !reflect.DeepEqual(got, want) {
		t.Errorf("the ledger says\n%v\nwant\n%v", got, want)
	}
	if st, err := l.Stages(2); err != nil || len(st) != 2 || st[0].Stage != "z" || st[1].Stage != "a" {
		t.Errorf("stages are no longer in the order in which they ended: %+v %v", st, err)
	}

	// Nothing is free now, so that nothing is to be done.
	before, err := os.Stat(journal)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(journal); err != nil || !os.SameFile(before, after) {
		t.Errorf("the journal was written again for nothing: %v", err)
	}

	// It goes on, here and in its journal.
	if id := beginRun(t, l, "after"); id != 3 {
		t.Errorf("the next run is %d", id)
	}
	if err := l.EndRun(3, "done", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want = tables(t, path)
	if len(want["runs"]) != 3 {
		t.Errorf("runs: %v", want["runs"])
	}
	wantWhole(t, dir, want)
}

// Whatever the event at which the process dies, no row is lost, and the next collection
// gives the room back.
func TestCompactDiesAnywhere(t *testing.T) {
	template := quickDir(t)
	want := roomyLedger(t, template)
	for n, ended := int64(1), false; !ended; n++ {
		dir := quickDir(t)
		if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := &crashAt{}
		c.n.Store(n)
		fault.Inject(c)
		err = s.Ledger().Compact(t.Context())
		fault.Inject(nil)
		if ended = err == nil; ended && n < 5 {
			t.Errorf("only %d events", n-1)
		}
		if err != nil && !errors.Is(err, errDead) {
			t.Fatalf("event %d: %v", n, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		lost := quickDir(t) // the ledger is lost as well, before anybody opens it again
		if err := os.CopyFS(lost, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		wantWhole(t, lost, want)
		if s, err = Open(dir, Options{}); err != nil {
			t.Fatalf("after event %d: %v", n, err)
		}
		if err := errors.Join(s.Ledger().Compact(t.Context()), s.Close()); err != nil {
			t.Fatal(err)
		}
		if a, b := sizeOf(t, filepath.Join(dir, "ledger.db")), sizeOf(t, filepath.Join(template, "ledger.db")); a > b/4 {
			t.Errorf("after event %d the ledger had %d bytes and has %d", n, b, a)
		}
		wantWhole(t, dir, want)
	}
}

// SQLite's own writes are no events of ours: kill it among them.
func TestCompactKilled(t *testing.T) {
	template := quickDir(t)
	want := roomyLedger(t, template)
	const kills = 10
	var takes time.Duration // until it has ended
	cut := 0
	for i := range kills + 1 {
		dir := quickDir(t)
		if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
			t.Fatal(err)
		}
		p := start(t, "compact", dir)
		p.line(t)
		if began := time.Now(); i == 0 {
			p.line(t)
			takes = time.Since(began)
		} else {
			<-time.After(takes * time.Duration(i-1) / kills)
		}
		p.kill(t)
		path := filepath.Join(dir, "ledger.db")
		if sizeOf(t, path) == sizeOf(t, filepath.Join(template, "ledger.db")) {
			cut++
		}
		wantWhole(t, dir, want)
	}
	t.Logf("%d of %d were killed before the ledger had shrunk", cut, kills)
}

func TestCompactInterrupted(t *testing.T) {
	dir := quickDir(t)
	want := roomyLedger(t, dir)
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Ledger().Compact(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, dir, want)
}
