package artifacts

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
)

// found is a file that a look through the store met.
type found struct {
	path    string
	digest  string // of an object: its name
	size    int64  // bytes
	mode    fs.FileMode
	changed time.Time // when it was last written, renamed, linked or given another mode
	links   uint64
}

// lookAt describes a file or tree: of a tree the bytes of all its files and the latest
// change in it. What vanishes meanwhile is not there.
func lookAt(path string) (found, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return found{}, err
	}
	f := found{path: path}
	f.add(info)
	f.mode, f.links = info.Mode(), uint64(info.Sys().(*syscall.Stat_t).Nlink)
	if !info.IsDir() {
		return f, nil
	}
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case errors.Is(err, fs.ErrPermission):
			return fs.SkipDir // counted without what is in it
		case err != nil:
			return err
		}
		f.add(info)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return f, err
}

func (f *found) add(info fs.FileInfo) {
	st := info.Sys().(*syscall.Stat_t)
	if at := time.Unix(0, max(st.Mtim.Nano(), st.Ctim.Nano())); at.After(f.changed) {
		f.changed = at
	}
	if !info.IsDir() {
		f.size += info.Size()
	}
}

// entries looks at all files and trees in a folder of the store, which may be absent.
func (s *Store) entries(ctx context.Context, folder string, visit func(name string, f found) error) error {
	dir := filepath.Join(s.dir, folder)
	names, err := disk.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return advise("look through the store", dir, err)
	}
	for _, e := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f, err := lookAt(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return advise("look through the store", f.path, err)
		}
		if err := visit(e.Name(), f); err != nil {
			return err
		}
	}
	return nil
}

// scanObjects looks at every object. What lies among them and is named otherwise is
// given to stranger.
func (s *Store) scanObjects(ctx context.Context, visit func(found) error, stranger func(path string)) error {
	for i := range 256 {
		prefix := fmt.Sprintf("%02x", i)
		err := s.entries(ctx, filepath.Join(objectsDir, prefix), func(name string, f found) error {
			f.digest = prefix + name
			if !isDigest(f.digest) {
				stranger(f.path)
				return nil
			}
			return visit(f)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// made is the part of an action's row that says which objects it needs.
type made struct {
	key, kind, artifact string
	outputs             *Manifest
	created             int64 // Unix time, ns
	err                 error // the row is damaged; outputs is nil
}

// eachAction reads the rows of all actions, by key.
func (l *Ledger) eachAction(ctx context.Context, visit func(made) error) error {
	return l.each("read all results", "SELECT key, kind, artifact, outputs, created FROM actions ORDER BY key", nil, func(r *sql.Rows) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var m made
		var outputs string
		if err := r.Scan(&m.key, &m.kind, &m.artifact, &outputs, &m.created); err != nil {
			return err
		}
		m.outputs, m.err = decodeManifest(outputs)
		return visit(m)
	})
}

// eachKey reads the keys of the parts of one run, or of all runs when run is 0, in no
// order and some of them more than once.
func (l *Ledger) eachKey(ctx context.Context, run int64, visit func(run int64, stage, key string) error) error {
	rows, listed, args := "SELECT run, stage, key FROM part_rows WHERE key <> ''", "SELECT list, run, stage FROM hits", []any(nil)
	if run != 0 { // a condition that might not hold would keep SQLite from using the index
		rows, listed, args = rows+" AND run = ?", listed+" WHERE run = ?", []any{run}
	}
	err := l.each("look up keys", rows, args, func(r *sql.Rows) error {
		var id int64
		var stage, key string
		if err := r.Scan(&id, &stage, &key); err != nil {
			return err
		}
		if err := visit(id, stage, key); err != nil {
			return err
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	type user struct {
		run   int64
		stage string
	}
	users := map[string][]user{} // of each list of hits, which many runs share
	err = l.each("look up keys", listed, args, func(r *sql.Rows) error {
		var list string
		var u user
		err := r.Scan(&list, &u.run, &u.stage)
		users[list] = append(users[list], u)
		return err
	})
	if err != nil || len(users) == 0 {
		return err
	}
	texts := "SELECT digest, parts FROM lists"
	if run != 0 {
		texts += " WHERE digest IN (SELECT list FROM hits WHERE run = ?)"
	}
	return l.each("look up keys", texts, args, func(r *sql.Rows) error {
		var list string
		var parts sql.RawBytes
		if err := r.Scan(&list, &parts); err != nil {
			return err
		}
		of := users[list]
		if len(of) == 0 {
			return ctx.Err()
		}
		var pairs [][2]string
		if err := json.Unmarshal(parts, &pairs); err != nil {
			return fmt.Errorf("the list of parts %s: %w", list, err)
		}
		for _, u := range of {
			for _, q := range pairs {
				if err := visit(u.run, u.stage, q[1]); err != nil {
					return err
				}
			}
		}
		return ctx.Err()
	})
}

// eachArtifact names the artifacts that the ledger knows, some of them several times.
func (l *Ledger) eachArtifact(ctx context.Context, visit func(digest string)) error {
	const query = "SELECT artifact FROM actions WHERE artifact <> '' UNION SELECT artifact FROM pins"
	err := l.each("list artifacts", query, nil, func(r *sql.Rows) error {
		var digest string
		if err := r.Scan(&digest); err != nil {
			return err
		}
		visit(digest)
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return l.eachOutput(func(o stageOutput) error {
		visit(o.artifact)
		return ctx.Err()
	})
}

// stageOutput is one output of a stage that a run completed.
type stageOutput struct {
	run                   int64
	stage, port, artifact string
}

// eachOutput reads the outputs of the stages that runs completed, by run.
func (l *Ledger) eachOutput(visit func(stageOutput) error) error {
	return l.each("read the outputs of stages", "SELECT run, stage, outputs FROM stages ORDER BY run, rowid", nil, func(r *sql.Rows) error {
		var o stageOutput
		var outputs string
		if err := r.Scan(&o.run, &o.stage, &outputs); err != nil {
			return err
		}
		if outputs == "" {
			return nil
		}
		var ports map[string]struct {
			Digest string `json:"digest"`
		}
		if err := json.Unmarshal([]byte(outputs), &ports); err != nil {
			return fmt.Errorf("outputs of stage %s in run %d: %w", o.stage, o.run, err)
		}
		for _, port := range slices.Sorted(maps.Keys(ports)) {
			o.port, o.artifact = port, ports[port].Digest
			if err := visit(o); err != nil {
				return err
			}
		}
		return nil
	})
}

// peek reads a manifest without changing anything: nil when it is absent or is not what
// its name says.
func (s *Store) peek(artifact string) *Manifest {
	b, err := disk.ReadFile(s.ObjectPath(artifact))
	if err != nil {
		return nil
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != artifact {
		return nil
	}
	m, err := decodeManifest(string(b))
	if err != nil {
		return nil
	}
	return m
}
