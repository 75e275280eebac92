package artifacts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"
)

func beginRun(t testing.TB, l *Ledger, pipeline string) int64 {
	t.Helper()
	id, err := l.BeginRun(RunInfo{Pipeline: pipeline, File: "p.yaml", Profile: "sample", Args: []string{"run", "p.yaml"}, PID: 12})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestRuns(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := s.Ledger()
	for _, state := range []string{"done", "failed", "refused", "interrupted"} {
		id := beginRun(t, l, "v16")
		if r, err := l.Run(id); err != nil || r.State != "running" || !r.Ended.IsZero() {
			t.Errorf("%+v %v", r, err)
		}
		if err := l.EndRun(id, state, json.RawMessage(`{"parts":1}`)); err != nil {
			t.Fatal(err)
		}
		r, err := l.Run(id)
		if err != nil || r.State != state || r.Ended.Before(r.Started) || string(r.Summary) != `{"parts":1}` {
			t.Errorf("%+v %v", r, err)
		}
		want := RunInfo{Pipeline: "v16", File: "p.yaml", Profile: "sample", Args: []string{"run", "p.yaml"}, PID: 12}
		if !reflect.DeepEqual(r.RunInfo, want) {
			t.Errorf("%+v", r.RunInfo)
		}
	}
	other := beginRun(t, l, "other")
	if runs, err := l.Runs("v16", 2); err != nil || len(runs) != 2 || runs[0].State != "interrupted" || runs[1].State != "refused" {
		t.Errorf("%+v %v", runs, err)
	}
	if runs, err := l.Runs("", 99); err != nil || len(runs) != 5 || runs[0].ID != other {
		t.Errorf("%+v %v", runs, err)
	}
	_, err := l.Run(77)
	wantError(t, err, "no run 77", "pipeline status")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not wrap fs.ErrNotExist", err)
	}
}

// A run that nobody ended is running as long as its process holds the store open.
func TestRunsThatDied(t *testing.T) {
	dir := t.TempDir()
	first := openStore(t, dir)
	crashed, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	dead := beginRun(t, crashed.Ledger(), "p")
	live := beginRun(t, first.Ledger(), "p")
	stage(t, crashed, "of run 1", "x")
	second := openStore(t, dir)
	for _, id := range []int64{dead, live} {
		if r, err := second.Ledger().Run(id); err != nil || r.State != "running" {
			t.Errorf("%+v %v", r, err)
		}
	}
	if !exists(second.WorkDir(dead, "part")) {
		t.Error("the work of a live run was removed")
	}
	if err := crashed.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := second.Ledger().Run(dead); err != nil || r.State != "died" {
		t.Errorf("%+v %v", r, err)
	}
	beginRun(t, second.Ledger(), "p") // writes it down
	var state string
	if err := first.ledger.read.QueryRow("SELECT state FROM runs WHERE id = ?", dead).Scan(&state); err != nil || state != "died" {
		t.Error(state, err)
	}
	openStore(t, dir) // clears up
	if exists(second.WorkDir(dead, "part")) {
		t.Error("the work of a dead run stays")
	}
	if r, err := second.Ledger().Run(live); err != nil || r.State != "running" {
		t.Errorf("%+v %v", r, err)
	}
	if n, _ := filepath.Glob(filepath.Join(dir, locksDir, "*")); len(n) != 2 {
		t.Errorf("locks of two live runs expected: %v", n)
	}
}

// Two ledgers for one store, as two machines have that share it.
func TestRunsOfTwoLedgers(t *testing.T) {
	dir := t.TempDir()
	a := openStore(t, dir)
	b, err := Open(dir, Options{LedgerPath: filepath.Join(t.TempDir(), "b.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	one, two := beginRun(t, a.Ledger(), "p"), beginRun(t, b.Ledger(), "p")
	if one == two {
		t.Errorf("both have run %d, and with it the same work directories", one)
	}
	for _, l := range []*Ledger{a.Ledger(), b.Ledger()} {
		if runs, err := l.Runs("", 9); err != nil || len(runs) != 1 || runs[0].State != "running" {
			t.Errorf("%+v %v", runs, err)
		}
	}
}

func TestActions(t *testing.T) {
	l := openStore(t, t.TempDir()).Ledger()
	run := beginRun(t, l, "p")
	full := testAction(1, fakeDigest(2), 3)
	full.Refusal, full.Artifact, full.Created = "0.7 of 0.9\n\x1f\tsee report", fakeDigest(9), time.Unix(1700000000, 123456789)
	empty := &Action{Key: "k", Kind: "split", Outputs: &Manifest{}, Created: time.Unix(1, 0), Seconds: 1.0 / 3}
	for i, a := range []*Action{full, empty} {
		if err := l.RecordPart(PartRecord{Run: run, Stage: "s", Index: i, Key: a.Key, State: "ran"}, a); err != nil {
			t.Fatal(err)
		}
	}
	found, err := l.Actions([]string{full.Key, "nobody's", empty.Key})
	if err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	for _, a := range []*Action{full, empty} {
		got := found[a.Key]
		if !got.Created.Equal(a.Created) {
			t.Errorf("created %v, want %v", got.Created, a.Created)
		}
		got.Created = a.Created
		if !reflect.DeepEqual(got, a) {
			t.Errorf("got %+v, want %+v", got, a)
		}
	}
	if found, err := l.Actions(nil); err != nil || len(found) != 0 {
		t.Error(found, err)
	}
	// A later success replaces what an earlier one made.
	full.Seconds, full.Outputs = 9, &Manifest{}
	if err := l.RecordPart(PartRecord{Run: run, Stage: "s", Key: full.Key, State: "ran"}, full); err != nil {
		t.Fatal(err)
	}
	if found, err = l.Actions([]string{full.Key}); err != nil || found[full.Key].Seconds != 9 || len(found[full.Key].Outputs.Files) != 0 {
		t.Error(found, err)
	}
	for _, bad := range []*Action{{Key: "x"}, {Outputs: &Manifest{}}, {Key: "x", Outputs: &Manifest{}, Counts: json.RawMessage("{")},
		{Key: "x", Outputs: &Manifest{Files: []ManifestFile{{Path: "a"}}}}} {
		if err := l.RecordPart(PartRecord{Run: run, Stage: "s", Index: 5, Key: "x", State: "ran"}, bad); err == nil {
			t.Errorf("recorded %+v", bad)
		}
	}
	if parts, err := l.Parts(run, "s"); err != nil || len(parts) != 2 {
		t.Errorf("a refused action left its part behind: %+v %v", parts, err)
	}
}

func TestManyActions(t *testing.T) {
	l := openStore(t, t.TempDir()).Ledger()
	const n = 5000
	keys := make([]string, 0, n+1)
	err := l.transact("fill", false, func(x *tx) error {
		for i := range n {
			a := testAction(i, fakeDigest(i), int64(i))
			keys = append(keys, a.Key)
			if err := x.putAction(a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	found, err := l.Actions(append(keys, "none"))
	if err != nil || len(found) != n {
		t.Fatal(len(found), err)
	}
	for i, k := range keys {
		if f := found[k].Outputs.Files[0]; f.Size != int64(i) || f.Digest != fakeDigest(i) {
			t.Fatalf("key %d has %+v", i, f)
		}
	}
}

func TestConfigs(t *testing.T) {
	l := openStore(t, t.TempDir()).Ledger()
	for range 2 {
		if err := l.PutConfig("d", []byte(`{"a":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := l.Config("d"); err != nil || string(c) != `{"a":1}` {
		t.Error(string(c), err)
	}
	if _, err := l.Config("e"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestParts(t *testing.T) {
	l := openStore(t, t.TempDir()).Ledger()
	run := beginRun(t, l, "p")
	started := time.Unix(1700000000, 5)
	want := []PartRecord{
		{Run: run, Stage: "a", Kind: "clean", Part: "join", Index: -1, State: "waiting"},
		{Run: run, Stage: "a", Kind: "clean", Part: "0", Index: 0, Key: "k0", State: "ran", Attempt: 2, Started: started, Seconds: 1.5},
		{Run: run, Stage: "a", Kind: "clean", Part: "1", Index: 1, Key: "k1", State: "failed", Attempt: 3, Started: started, Error: "x:\n y"},
		{Run: run, Stage: "b", Kind: "audit", Part: "all", Index: 0, Key: "k2", State: "cached"},
	}
	if err := l.RecordParts([]PartRecord{want[3], want[2], want[0]}); err != nil {
		t.Fatal(err)
	}
	first := want[1]
	first.State, first.Attempt = "failed", 1
	for _, p := range []PartRecord{first, want[1]} {
		if err := l.RecordPart(p, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.RecordParts([]PartRecord{{Run: run + 1, Stage: "a"}}); err != nil {
		t.Fatal(err)
	}
	got, err := l.Parts(run, "")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	if got, err := l.Parts(run, "b"); err != nil || !reflect.DeepEqual(got, want[3:]) {
		t.Errorf("%+v %v", got, err)
	}
}

// Metrics are the key's: whoever finds it made has them.
// TestPartsUnderWay holds that the word on how a part ended stands, whatever comes late,
// until a later attempt begins.
func TestPartsUnderWay(t *testing.T) {
	l := openStore(t, t.TempDir()).Ledger()
	run := beginRun(t, l, "v16")
	for i, step := range []struct {
		state   string
		attempt int
		want    string
	}{
		{"waiting", 0, "waiting 0"},
		{"running", 1, "running 1"},
		{"running", 1, "running 1"},
		{"failed", 1, "failed 1"},
		{"running", 1, "failed 1"},
		{"running", 2, "running 2"},
		{"ran", 2, "ran 2"},
		{"running", 2, "ran 2"},
		{"waiting", 0, "ran 2"},
	} {
		p := PartRecord{Run: run, Stage: "train", Part: "whole", Index: 1, Key: "k", State: step.state, Attempt: step.attempt,
			Metrics: []Metric{{Name: "loss", Step: int64(i), Value: 1}}}
		var err error
		if step.state == "running" || step.state == "waiting" {
			err = l.RecordUnderWay([]PartRecord{p})
		} else {
			err = l.RecordPart(p, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		parts, err := l.Parts(run, "train")
		if err != nil || len(parts) != 1 || fmt.Sprint(parts[0].State, " ", parts[0].Attempt) != step.want {
			t.Errorf("after %s %d: %+v, %v; want %s", step.state, step.attempt, parts, err, step.want)
		}
		if m, err := l.Metrics(run, "train"); err != nil || len(m) != i+1 {
			t.Errorf("after step %d: %d metrics, %v", i, len(m), err)
		}
	}
}

func TestMetrics(t *testing.T) {
	l := openStore(t, t.TempDir()).Ledger()
	run := beginRun(t, l, "p")
	p := PartRecord{Run: run, Stage: "train", Index: 0, Key: "k", State: "ran", Metrics: []Metric{
		{Name: "loss", Step: 10, Value: 2.5}, {Name: "loss", Step: 0, Value: 9}, {Name: "bad", Value: math.NaN()}, {Name: "big", Value: math.Inf(1)}}}
	if err := l.RecordPart(p, nil); err != nil {
		t.Fatal(err)
	}
	// A second attempt goes on from a checkpoint and repeats a step.
	p.Metrics = []Metric{{Name: "loss", Step: 10, Value: 2.25}, {Name: "loss", Step: 20, Value: 2}}
	if err := l.RecordPart(p, nil); err != nil {
		t.Fatal(err)
	}
	later := beginRun(t, l, "p")
	if err := l.RecordParts([]PartRecord{{Run: later, Stage: "again", Key: "k", State: "cached"},
		{Run: later, Stage: "keyless", State: "waiting", Metrics: []Metric{{Name: "lost"}}}}); err != nil {
		t.Fatal(err)
	}
	for run, stage := range map[int64]string{run: "train", later: "again"} {
		got, err := l.Metrics(run, "")
		want := []Metric{{stage, "bad", 0, math.NaN()}, {stage, "big", 0, math.Inf(1)}, {stage, "loss", 0, 9}, {stage, "loss", 10, 2.25}, {stage, "loss", 20, 2}}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) { // NaN equals nothing
			t.Errorf("%v\ngot  %v\nwant %v", err, got, want)
		}
		if got, err := l.Metrics(run, "other"); err != nil || len(got) != 0 {
			t.Error(got, err)
		}
	}
}

func TestStagesAndLastParts(t *testing.T) {
	l := openStore(t, t.TempDir()).Ledger()
	if p, err := l.LastParts("p", "s"); err != nil || p != nil {
		t.Error(p, err)
	}
	record := func(pipeline, key, state string, complete bool) int64 {
		run := beginRun(t, l, pipeline)
		if err := l.RecordParts([]PartRecord{{Run: run, Stage: "s", Index: 0, Key: "same", State: "cached"}, {Run: run, Stage: "s", Index: 1, Key: key, State: state}}); err != nil {
			t.Fatal(err)
		}
		if complete {
			if err := l.RecordStage(StageRecord{Run: run, Stage: "s", Kind: "k", Parts: 2, Ran: 1, Cached: 1, Seconds: 2, Outputs: json.RawMessage(`{}`)}); err != nil {
				t.Fatal(err)
			}
		}
		return run
	}
	record("p", "k1", "ran", true)
	good := record("p", "k2", "ran", true)
	record("p", "k3", "failed", true)
	record("p", "", "waiting", true)
	record("p", "k4", "ran", false) // killed before the stage was complete
	record("other", "k5", "ran", true)
	got, err := l.LastParts("p", "s")
	if err != nil || len(got) != 2 || got[1].Key != "k2" || got[1].Run != good {
		t.Errorf("%+v %v", got, err)
	}

	if err := l.RecordStage(StageRecord{Run: good, Stage: "a later one"}); err != nil {
		t.Fatal(err)
	}
	again := StageRecord{Run: good, Stage: "s", Kind: "k", Parts: 2, Ran: 0, Cached: 2, Seconds: 3, Outputs: json.RawMessage(`{"x":1}`)}
	if err := l.RecordStage(again); err != nil {
		t.Fatal(err)
	}
	if s, err := l.Stages(good); err != nil || len(s) != 2 || !reflect.DeepEqual(s[0], again) || s[1].Stage != "a later one" {
		t.Errorf("%+v %v", s, err)
	}
}

func TestHistory(t *testing.T) {
	l := openStore(t, t.TempDir()).Ledger()
	for i := range 5 {
		a := &Action{Key: fmt.Sprint(i), Kind: []string{"even", "odd"}[i%2], Outputs: &Manifest{}, Seconds: float64(i), InputBytes: int64(10 * i), Created: time.Unix(int64(i), 0)}
		if err := l.RecordPart(PartRecord{Run: 1, Index: i, Key: a.Key}, a); err != nil {
			t.Fatal(err)
		}
	}
	got, err := l.History("even", 2)
	if want := []Duration{{InputBytes: 40, Seconds: 4}, {InputBytes: 20, Seconds: 2}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v, want %v", got, err, want)
	}
}

// Calls that share a transaction fail alone.
func TestWritesShareATransaction(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := s.Ledger()
	run := beginRun(t, l, "p")
	l.mu.Lock() // as if a commit were under way, so that all of these wait
	var wg sync.WaitGroup
	errs := make([]error, 30)
	for i := range errs {
		wg.Go(func() {
			a := testAction(i, fakeDigest(i), 1)
			if i%10 == 3 {
				a.Outputs.Files[0].Path = "../out" // refused
			}
			errs[i] = l.RecordPart(PartRecord{Run: run, Stage: "s", Index: i, Key: a.Key, State: "ran"}, a)
		})
	}
	for queued := 0; queued < len(errs); {
		l.queue.mu.Lock()
		queued = len(l.queue.waiting)
		l.queue.mu.Unlock()
	}
	l.mu.Unlock()
	wg.Wait()
	for i, err := range errs {
		if (err != nil) != (i%10 == 3) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if parts, err := l.Parts(run, "s"); err != nil || len(parts) != 27 {
		t.Errorf("%d parts, %v", len(parts), err)
	}
}

func TestFailedWriteIsUndone(t *testing.T) {
	l := openStore(t, t.TempDir()).Ledger()
	boom := errors.New("boom")
	put := func(key string, err error) *write {
		return &write{do: func(x *tx) error {
			if e := x.exec("INSERT INTO configs VALUES (?, '{}')", key); e != nil {
				return e
			}
			return err
		}}
	}
	batch := []*write{put("a", nil), put("b", boom), put("c", nil), put("a", nil)}
	if err := l.commit(batch); err != nil {
		t.Fatal(err)
	}
	if batch[0].err != nil || batch[1].err != boom || batch[2].err != nil || batch[3].err == nil {
		t.Error(batch[0].err, batch[1].err, batch[2].err, batch[3].err)
	}
	for key, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, err := l.Config(key); (err == nil) != want {
			t.Errorf("%s: %v", key, err)
		}
	}
	// A transaction that SQLite gave up takes everyone with it and leaves the ledger usable.
	gone := &write{do: func(x *tx) error { return errors.Join(x.exec("ROLLBACK"), boom) }}
	if err := l.commit([]*write{put("d", nil), gone, put("e", nil)}); !errors.Is(err, boom) {
		t.Error(err)
	}
	for _, key := range []string{"d", "e"} {
		if _, err := l.Config(key); err == nil {
			t.Errorf("%s was written all the same", key)
		}
	}
	if err := l.PutConfig("f", nil); err != nil {
		t.Error(err)
	}
}

// Two processes' worth of writers: two stores open on one directory.
func TestTwoWriters(t *testing.T) {
	dir := t.TempDir()
	a, b := openStore(t, dir), openStore(t, dir)
	var wg sync.WaitGroup
	for n, s := range []*Store{a, b, a, b} {
		wg.Go(func() {
			run := beginRun(t, s.Ledger(), "p")
			for i := range 25 {
				makePart(t, s, run, n*100+i)
			}
			if err := s.Ledger().EndRun(run, "done", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	runs, err := a.Ledger().Runs("p", 10)
	if err != nil || len(runs) != 4 {
		t.Fatal(runs, err)
	}
	for _, r := range runs {
		if p, err := b.Ledger().Parts(r.ID, ""); r.State != "done" || err != nil || len(p) != 25 {
			t.Errorf("run %d is %s with %d parts, %v", r.ID, r.State, len(p), err)
		}
	}
}
