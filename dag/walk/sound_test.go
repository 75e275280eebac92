package walk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
)

// sound says whether each object is what its name says, and each action that the ledger
// knows has all its objects, manifest included.
func (s *site) sound(ctx context.Context) error {
	store, err := artifacts.Open(filepath.Join(s.home, "store"), artifacts.Options{CreateIfMissing: true})
	if err != nil {
		return err
	}
	defer store.Close()
	return verify(ctx, store)
}

func verify(ctx context.Context, store *artifacts.Store) error {
	r, err := store.Verify(ctx, artifacts.VerifyOptions{DryRun: true})
	if err != nil {
		return err
	}
	if !r.Clean() || r.Incomplete > 0 || r.Missing > 0 || r.Modes > 0 || len(r.Strangers) > 0 {
		return fmt.Errorf("verify: %+v", r)
	}
	return nil
}

// collect verifies the store and collects garbage: all but what the last runs, one of each
// pipeline, need, which is worked out here from what the ledger says of their parts.
func (s *site) collect(ctx context.Context, runs ...int64) error {
	store, err := artifacts.Open(filepath.Join(s.home, "store"), artifacts.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	if !s.robbed { // else there may be results of earlier texts that nobody made whole
		if err := verify(ctx, store); err != nil {
			return err
		}
	}
	need := map[string]bool{}
	for _, run := range runs {
		if err := needs(store.Ledger(), run, need); err != nil {
			return err
		}
	}
	if _, err := store.Collect(ctx, artifacts.GCOptions{KeepRuns: 1}, func([]string) {}, nil); err != nil {
		return err
	}
	if s.robbed {
		if err := verify(ctx, store); err != nil {
			return err
		}
	}
	there, err := s.objects()
	if err != nil {
		return err
	}
	for digest, must := range need {
		if must && !there[digest] {
			return fmt.Errorf("it took object %s, which is needed", digest)
		}
		delete(there, digest)
	}
	if len(there) > 0 {
		return fmt.Errorf("it left objects that nobody needs: %v", slices.Collect(maps.Keys(there)))
	}
	return nil
}

// needs adds the objects of a run's parts and of its stages' outputs.
//
// The list of a part's outputs is an object too, but it is false in need: the part's row
// holds the same list, and where the object was taken away by hand no run misses it.
func needs(l *artifacts.Ledger, run int64, need map[string]bool) error {
	parts, err := l.Parts(run, "")
	if err != nil {
		return err
	}
	var keys []string
	for _, p := range parts {
		keys = append(keys, p.Key)
	}
	actions, err := l.Actions(keys)
	if err != nil {
		return err
	}
	for _, a := range actions {
		if !need[a.Artifact] {
			need[a.Artifact] = false
		}
		for _, f := range a.Outputs.Files {
			need[f.Digest] = true
		}
	}
	stages, err := l.Stages(run)
	if err != nil {
		return err
	}
	for _, st := range stages {
		var outputs map[string]dag.Output
		if err := json.Unmarshal(st.Outputs, &outputs); err != nil {
			return err
		}
		for _, o := range outputs {
			need[o.Digest] = true
		}
	}
	return nil
}

// objects lists what is under objects/.
func (s *site) objects() (map[string]bool, error) {
	there := map[string]bool{}
	dir := filepath.Join(s.home, "store", "objects")
	return there, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			there[filepath.Base(filepath.Dir(p))+d.Name()] = true
		}
		return err
	})
}

// tidy looks for what is neither the store's, nor a log, nor the user's.
func (s *site) tidy() error {
	expected := []string{"p.yaml", "q.yaml", "text.txt", "data/more.txt", "store/lock"}
	for _, view := range []string{"out/walk/", "out/other/"} {
		for _, name := range []string{"total/total.txt", "total/.pipeline-view", "tree/.pipeline-view", "tree/plain.txt", "tree/run.sh", "tree/secret", "tree/sub/deep/all.txt"} {
			expected = append(expected, view+name)
		}
	}
	var litter []string
	err := filepath.WalkDir(s.home, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(s.home, p)
		if err != nil {
			return err
		}
		switch dir, _ := filepath.Split(name); {
		case strings.HasPrefix(name, "store/objects/"), strings.HasPrefix(name, "store/logs/"), strings.HasPrefix(name, "store/ledger."):
		case dir == "store/work/", dir == "store/partial/", dir == "store/locks/", !d.IsDir() && !slices.Contains(expected, name), d.Name() == "quarantine":
			litter = append(litter, name)
		}
		return nil
	})
	if err == nil && len(litter) > 0 {
		err = fmt.Errorf("left behind: %s", strings.Join(litter, ", "))
	}
	return err
}
