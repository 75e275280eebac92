package artifacts

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Pin keeps an artifact, and what made it, from garbage collection.
type Pin struct {
	Artifact string // digest of a manifest object
	Name     string // what the user called it; may be empty
	Created  time.Time
}

// Pin pins artifacts, all or none. One that is pinned already gets the new name. Each
// must be in the store, with every file; otherwise the error wraps fs.ErrNotExist.
func (s *Store) Pin(pins ...Pin) error {
	for _, p := range pins {
		m, err := s.Manifest(p.Artifact)
		if err != nil {
			return fmt.Errorf("pin %s: %w", p.Artifact, err)
		}
		for _, f := range m.Files {
			if !s.Has(f.Digest, f.Size) {
				return fmt.Errorf("pin %s: the store does not have its file %s: run the pipeline to make it again: %w", p.Artifact, f.Path, fs.ErrNotExist)
			}
		}
	}
	return s.ledger.transact("pin", true, func(t *tx) error {
		for _, p := range pins {
			created := p.Created
			if created.IsZero() {
				created = time.Now()
			}
			if err := t.exec(`INSERT INTO pins (artifact, name, created) VALUES (?, ?, ?)
				ON CONFLICT (artifact) DO UPDATE SET name = excluded.name`, p.Artifact, p.Name, created.UnixNano()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Unpin gives pinned artifacts back to garbage collection, all or none. The error wraps
// fs.ErrNotExist if one is not pinned.
func (s *Store) Unpin(artifacts ...string) error {
	return s.ledger.transact("unpin", true, func(t *tx) error {
		for _, a := range artifacts {
			pinned, err := t.has("SELECT 1 FROM pins WHERE artifact = ?", a)
			if err != nil {
				return err
			}
			if !pinned {
				return fmt.Errorf("artifact %s is not pinned: %w", a, fs.ErrNotExist)
			}
			if err := t.exec("DELETE FROM pins WHERE artifact = ?", a); err != nil {
				return err
			}
		}
		return nil
	})
}

// Pins lists the pins, the oldest first.
func (l *Ledger) Pins() (pins []Pin, err error) {
	err = l.each("list pins", "SELECT artifact, name, created FROM pins ORDER BY created, artifact", nil, func(r *sql.Rows) error {
		var p Pin
		var created int64
		if err := r.Scan(&p.Artifact, &p.Name, &created); err != nil {
			return err
		}
		p.Created = time.Unix(0, created)
		pins = append(pins, p)
		return nil
	})
	return pins, err
}

// Artifacts lists the artifacts that the ledger knows, made by a part or a stage or
// pinned, whose digest begins with prefix, each once.
func (l *Ledger) Artifacts(ctx context.Context, prefix string) (digests []string, err error) {
	seen := map[string]bool{}
	err = l.eachArtifact(ctx, func(digest string) {
		if strings.HasPrefix(digest, prefix) && !seen[digest] {
			seen[digest] = true
			digests = append(digests, digest)
		}
	})
	slices.Sort(digests)
	return digests, err
}
