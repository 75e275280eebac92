package artifacts

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// publishForEver makes parts, one after the other, each of three files of which one is
// the same in all parts, and says so when it begins one.
func publishForEver(args []string) error {
	s, err := Open(args[0], Options{CreateIfMissing: true})
	if err != nil {
		return err
	}
	first, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	l := s.Ledger()
	run, err := l.BeginRun(RunInfo{Pipeline: "crash", PID: os.Getpid()})
	if err != nil {
		return err
	}
	for i := first; ; i++ {
		fmt.Println(i)
		dir := s.WorkDir(run, strconv.Itoa(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		var staged []Staged
		m := &Manifest{}
		for n, content := range []string{"every part has this", fmt.Sprint("part ", i), fmt.Sprint("and ", i)} {
			w, err := NewWriter(filepath.Join(dir, strconv.Itoa(n)))
			if err != nil {
				return err
			}
			for range 1000 {
				if _, err := w.Write([]byte(content)); err != nil {
					return err
				}
			}
			if err := w.Close(); err != nil {
				return err
			}
			staged = append(staged, Staged{w.Path(), w.Digest(), w.Size()})
			m.Files = append(m.Files, ManifestFile{Path: fmt.Sprint("docs/", n), Digest: w.Digest(), Size: w.Size()})
		}
		if err := s.Publish(staged); err != nil {
			return err
		}
		artifact, err := s.PutManifest(m)
		if err != nil {
			return err
		}
		key := fakeDigest(i)
		p := PartRecord{Run: run, Stage: "make", Kind: "make", Part: strconv.Itoa(i), Index: i, Key: key, State: "ran", Attempt: 1, Started: time.Now(),
			Metrics: []Metric{{Name: "i", Value: float64(i)}}}
		if err := l.RecordPart(p, &Action{Key: key, Kind: "make", Version: 1, Outputs: m, Artifact: artifact}); err != nil {
			return err
		}
	}
}

// A process is killed at one point after the other of publishing. Whatever the ledger
// says afterwards was made is there, whole, and the next process goes on.
func TestKilledWhilePublishing(t *testing.T) {
	kills := 12 // package dag/walk kills at every event
	if testing.Short() {
		kills = 8
	}
	dir := filepath.Join(t.TempDir(), "store")
	known := 0
	for n := range kills {
		p := start(t, "publish", dir, strconv.Itoa(n*1000))
		for range 1 + n%3 {
			p.line(t)
		}
		// A part takes about 4 ms here. The points need not be the same each time.
		<-time.After(time.Duration(n*173%5000) * time.Microsecond)
		p.kill(t)

		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("after kill %d: %v", n, err)
		}
		known = checkStore(t, s)
		runs, err := s.Ledger().Runs("crash", 100)
		if err != nil || len(runs) != n+1 {
			t.Fatalf("after kill %d: %d runs, %v", n, len(runs), err)
		}
		for _, r := range runs {
			if r.State != "died" {
				t.Errorf("run %d is %s", r.ID, r.State)
			}
		}
		if left, _ := os.ReadDir(filepath.Join(dir, workDir)); len(left) > 1 { // one manifest, maybe
			t.Errorf("work of dead runs is left: %v", left)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if known < kills/2 {
		t.Errorf("only %d parts were recorded in %d runs: the test kills too early to show anything", known, kills)
	}
}

// checkStore rehashes every object of every action and manifest and looks for anything
// under a wrong name. It returns the number of actions.
func checkStore(t *testing.T, s *Store) (actions int) {
	t.Helper()
	sound := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(s.dir, objectsDir), func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		digest, _, err := HashFile(p)
		if name := filepath.Base(filepath.Dir(p)) + d.Name(); err == nil && name != digest {
			t.Errorf("object %s hashes to %s", name, digest)
		}
		sound[digest] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	err = s.ledger.each("all keys", "SELECT key FROM actions", nil, func(r *sql.Rows) error {
		keys = append(keys, "")
		return r.Scan(&keys[len(keys)-1])
	})
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Ledger().Actions(keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range found {
		for _, f := range a.Outputs.Files {
			if !sound[f.Digest] || !s.Has(f.Digest, f.Size) {
				t.Errorf("action %s: object %s of %s is missing", a.Key, f.Digest, f.Path)
			}
		}
		if m, err := s.Manifest(a.Artifact); err != nil || len(m.Files) != len(a.Outputs.Files) {
			t.Errorf("action %s: artifact: %v", a.Key, err)
		}
	}
	// Parts and actions are recorded together, and metrics with them.
	var parts, metrics int
	if err := s.ledger.read.QueryRow("SELECT (SELECT count(*) FROM parts), (SELECT count(*) FROM metrics)").Scan(&parts, &metrics); err != nil {
		t.Fatal(err)
	}
	if parts != len(found) || metrics != len(found) {
		t.Errorf("%d actions, but %d parts and %d metrics", len(found), parts, metrics)
	}
	return len(found)
}
