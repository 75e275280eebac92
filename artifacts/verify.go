package artifacts

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// VerifyOptions say what to verify, and how. The zero value is all there is, by one
// goroutine.
type VerifyOptions struct {
	Run    int64  // only what this run made or found made
	Stage  string // only what this stage made, in that run or in any; a matrix stage's base name means all of it
	Pinned bool   // only what is pinned

	DryRun   bool                    // move and mend nothing; so it is with a store open for reading
	Jobs     int                     // objects to hash at a time
	Progress func(done, total int64) // bytes hashed; may be nil; called by one goroutine at a time
}

// VerifyReport is what Verify found.
type VerifyReport struct {
	Objects int             `json:"objects"` // that were hashed
	Bytes   int64           `json:"bytes"`
	Corrupt []CorruptObject `json:"corrupt"`
	Moved   bool            `json:"moved"` // the corrupt objects are in quarantine/ now

	Modes  int  `json:"modes"`  // objects whose permissions were not 0444
	Mended bool `json:"mended"` // they are now

	Manifests int      `json:"manifests"` // that were parsed
	Damaged   []string `json:"damaged"`   // manifests and rows of the ledger that do not parse
	Strangers []string `json:"strangers"` // files among the objects that are none

	Results    int      `json:"results"`    // keys that the ledger knows
	Incomplete int      `json:"incomplete"` // those of which an object is missing: a run makes them again
	Missing    int      `json:"missing"`    // objects that are missing, corrupt ones included
	Ledger     []string `json:"ledger"`     // what SQLite's own check complains of
}

// CorruptObject is an object that is not what its name says.
type CorruptObject struct {
	Digest string `json:"digest"`         // its name
	Size   int64  `json:"size"`           // bytes
	Found  string `json:"found"`          // what it hashes to, or why it cannot be read
	Linked bool   `json:"linked"`         // it has another name, in a view perhaps, through which it may have been written
	Use    string `json:"use,omitempty"`  // what it is to the first result that lists it: kind and path
	Kept   string `json:"kept,omitempty"` // where it was moved
}

// Clean says that nothing is wrong. A missing object is not wrong: it is a miss, and the
// next run that needs it makes it.
func (r *VerifyReport) Clean() bool {
	return len(r.Corrupt) == 0 && len(r.Damaged) == 0 && len(r.Ledger) == 0
}

// Verify rehashes objects. One that is not what its name says is moved to quarantine/,
// so that the parts which made it are misses from then on. Runs may be under way
// meanwhile. After an error, which is ctx.Err() when that ends, the report tells what
// was found until then.
func (s *Store) Verify(ctx context.Context, o VerifyOptions) (*VerifyReport, error) {
	v := &verification{s: s, o: o, r: &VerifyReport{Corrupt: []CorruptObject{}, Damaged: []string{}, Strangers: []string{}, Ledger: []string{}}}
	if s.readOnly {
		v.o.DryRun = true
	}
	var err error
	if v.scope, err = s.scope(ctx, o); err != nil {
		return v.r, err
	}
	if err := v.hashAll(ctx); err != nil {
		return v.r, err
	}
	if err := v.readManifests(ctx); err != nil {
		return v.r, err
	}
	if err := v.checkResults(ctx); err != nil {
		return v.r, err
	}
	v.r.Ledger = append(v.r.Ledger, s.ledger.integrity(ctx)...)
	return v.r, ctx.Err()
}

type verification struct {
	s     *Store
	o     VerifyOptions
	scope *scope // nil: everything

	mu   sync.Mutex // guards r and done while hashing
	r    *VerifyReport
	done int64
}

// hashAll hashes the objects in question.
func (v *verification) hashAll(ctx context.Context) error {
	var todo []found
	var total int64
	err := v.s.scanObjects(ctx, func(f found) error {
		if v.scope == nil || v.scope.objects[f.digest] {
			todo = append(todo, f)
			total += f.size
		}
		return nil
	}, func(path string) { v.r.Strangers = append(v.r.Strangers, path) })
	if err != nil {
		return err
	}
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(max(v.o.Jobs, 1))
	for _, f := range todo {
		if each.Err() != nil {
			break
		}
		g.Go(func() error { return v.object(each, f, total) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	v.r.Moved = len(v.r.Corrupt) > 0 && !v.o.DryRun
	v.r.Mended = v.r.Modes > 0 && !v.o.DryRun
	slices.SortFunc(v.r.Corrupt, func(a, b CorruptObject) int { return strings.Compare(a.Digest, b.Digest) })
	return ctx.Err()
}

// object verifies one object.
func (v *verification) object(ctx context.Context, f found, total int64) error {
	if f.mode.IsRegular() && f.mode.Perm() != 0o444 {
		if !v.o.DryRun { // before it is read: it may lack the permission
			if err := disk.Chmod(f.path, 0o444); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return advise("mend the permissions of an object", f.path, err)
			}
		}
		v.mu.Lock()
		v.r.Modes++
		v.mu.Unlock()
	}
	is := "not a file"
	if f.mode.IsRegular() {
		var err error
		is, err = v.hash(ctx, f, total)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil // collected or moved by another
		case errors.Is(err, fs.ErrPermission):
			v.mu.Lock()
			v.r.Damaged = append(v.r.Damaged, fmt.Sprintf("object %s cannot be read: %v", f.digest, err))
			v.mu.Unlock()
			return nil
		case errors.Is(err, unix.EIO), errors.Is(err, unix.EUCLEAN), errors.Is(err, unix.EBADMSG):
			is = err.Error() // the disk has lost it
		case err != nil:
			return advise("hash an object", f.path, err)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.r.Objects++
	v.r.Bytes += f.size
	if is == f.digest {
		return nil
	}
	c := CorruptObject{Digest: f.digest, Size: f.size, Found: is, Linked: f.links > 1 && f.mode.IsRegular()}
	if !v.o.DryRun {
		if err := v.s.quarantine(f.digest); err != nil {
			return err
		}
		c.Kept = filepath.Join(v.s.dir, quarantineDir, f.digest)
	}
	v.r.Corrupt = append(v.r.Corrupt, c)
	return nil
}

// hash is the sha256 of a file, in hex.
func (v *verification) hash(ctx context.Context, of found, total int64) (string, error) {
	f, err := disk.Open(of.path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, min(of.size+1, 1<<20)) // most objects are small, and there are many
	for ctx.Err() == nil {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		v.mu.Lock()
		v.done += int64(n)
		if v.o.Progress != nil && n > 0 {
			v.o.Progress(v.done, total)
		}
		v.mu.Unlock()
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", ctx.Err()
}

// readManifests parses the manifests that the ledger names: that they hash to their
// names is known by now.
func (v *verification) readManifests(ctx context.Context) error {
	named := map[string]bool{}
	if v.scope != nil {
		named = v.scope.artifacts
	} else {
		if err := v.s.ledger.eachArtifact(ctx, func(digest string) { named[digest] = true }); err != nil {
			return err
		}
	}
	for _, digest := range slices.Sorted(maps.Keys(named)) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b, err := disk.ReadFile(v.s.ObjectPath(digest))
		if err != nil {
			continue // missing, or corrupt and reported as such
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != digest {
			continue
		}
		v.r.Manifests++
		if _, err := decodeManifest(string(b)); err != nil {
			v.r.Damaged = append(v.r.Damaged, fmt.Sprintf("object %s should be a manifest: %v", digest, err))
		}
	}
	return nil
}

// checkResults looks whether each result's objects are there, and what corrupt objects
// were to them.
func (v *verification) checkResults(ctx context.Context) error {
	corrupt := map[string]*CorruptObject{}
	for i := range v.r.Corrupt {
		corrupt[v.r.Corrupt[i].Digest] = &v.r.Corrupt[i]
	}
	missing := map[string]bool{}
	err := v.s.ledger.eachAction(ctx, func(m made) error {
		if v.scope != nil && !v.scope.keys[m.key] {
			return nil
		}
		v.r.Results++
		if m.err != nil {
			v.r.Damaged = append(v.r.Damaged, fmt.Sprintf("the ledger's row of key %s: %v", m.key, m.err))
			return nil
		}
		whole := true
		for _, f := range m.outputs.Files {
			bad := corrupt[f.Digest]
			if bad != nil && bad.Use == "" {
				bad.Use = m.kind + ", " + f.Path
			}
			if bad != nil || !v.s.Has(f.Digest, f.Size) {
				missing[f.Digest] = true
				whole = false
			}
		}
		if !whole {
			v.r.Incomplete++
		}
		if bad := corrupt[m.artifact]; bad != nil && bad.Use == "" {
			bad.Use = m.kind + ", the list of its outputs"
		}
		return nil
	})
	v.r.Missing = len(missing)
	return err
}

// integrity is what SQLite finds wrong with the ledger's file.
func (l *Ledger) integrity(ctx context.Context) (problems []string) {
	err := l.each("check", "PRAGMA quick_check(20)", nil, func(r *sql.Rows) error {
		var line string
		if err := r.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			problems = append(problems, line)
		}
		return ctx.Err()
	})
	if err != nil && ctx.Err() == nil {
		problems = append(problems, err.Error())
	}
	return problems
}
