package artifacts

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Completion is a stage of which every part is known, as one thing: a run that finds it
// need not look for the parts. It says nothing that the actions of the parts do not say,
// and is forgotten when one of them goes or changes.
type Completion struct {
	Key     string // digest of all that determines the stage's outputs; computed elsewhere
	Parts   [][2]string
	Objects []Object        // of the parts and of the stage's outputs, manifests among them
	Detail  json.RawMessage // opaque here
}

// Object is a file of the store.
type Object struct {
	Digest string // sha256, hex
	Size   int64  // bytes
}

// Known is a Completion as it is found.
type Known struct {
	Count  int // of parts
	Detail json.RawMessage

	list string // digest
}

// PutCompletion keeps a completion whose actions have all been recorded.
func (l *Ledger) PutCompletion(c Completion) error {
	objects, err := packObjects(c.Objects)
	if err != nil {
		return err
	}
	return l.transact("keep a completed stage", false, func(t *tx) error {
		list, err := t.putList(c.Parts)
		if err != nil {
			return err
		}
		return t.exec("INSERT OR REPLACE INTO completions (key, list, count, objects, detail, created) VALUES (?, ?, ?, ?, ?, ?)",
			c.Key, list, len(c.Parts), objects, string(c.Detail), time.Now().UnixNano())
	})
}

// Completion gives the completion with a key if every object of it is present with the
// right size, and nil if it is not known or something is missing.
func (s *Store) Completion(key string) (*Known, error) {
	k := &Known{}
	var objects []byte
	var detail string
	found := false
	err := s.ledger.each("look up a completed stage", "SELECT list, count, objects, detail FROM completions WHERE key = ?", []any{key}, func(r *sql.Rows) error {
		found = true
		var raw sql.RawBytes
		if err := r.Scan(&k.list, &k.Count, &raw, &detail); err != nil {
			return err
		}
		objects = bytes.Clone(raw)
		return nil
	})
	if err != nil || !found || !s.hasAll(objects) {
		return nil, err
	}
	k.Detail = raw(detail)
	return k, nil
}

// RecordCompletion records that all parts of a stage were hits: first tells the run, the
// stage, its kind, the index of the first part and the time.
func (l *Ledger) RecordCompletion(first PartRecord, k *Known) error {
	return l.transact("record parts", false, func(t *tx) error { return t.putListed(&first, k.Count, k.list) })
}

// packed is the length of an object in a completion: its digest, then its size, big-endian.
const packed = sha256.Size + 8

// packObjects lists objects by digest, each once: their bytes, so that ten thousand parts
// can be looked for without ten thousand texts.
func packObjects(objects []Object) ([]byte, error) {
	b := make([]byte, 0, packed*len(objects))
	sorted := slices.Clone(objects)
	slices.SortFunc(sorted, func(a, b Object) int { return bytes.Compare([]byte(a.Digest), []byte(b.Digest)) })
	last := ""
	for _, o := range sorted {
		if o.Digest == last {
			continue
		}
		last = o.Digest
		if !isDigest(o.Digest) {
			return nil, fmt.Errorf("completion: %q is not a sha256 in hex", o.Digest)
		}
		b, _ = hex.AppendDecode(b, []byte(o.Digest))
		b = binary.BigEndian.AppendUint64(b, uint64(o.Size))
	}
	return b, nil
}

// hasAll says whether the store holds all packed objects, each with its size. It costs a
// stat for each, on all processors.
func (s *Store) hasAll(objects []byte) bool {
	if len(objects)%packed != 0 {
		return false
	}
	n := len(objects) / packed
	var absent atomic.Bool
	var g errgroup.Group
	workers := min(runtime.GOMAXPROCS(0), n/64+1)
	for w := range workers {
		part := objects[n*w/workers*packed : n*(w+1)/workers*packed]
		g.Go(func() error {
			if !s.hasEach(part, &absent) {
				absent.Store(true)
			}
			return nil
		})
	}
	g.Wait()
	return !absent.Load()
}

// hasEach looks from within each folder, so that the kernel need not walk to it again.
func (s *Store) hasEach(objects []byte, stop *atomic.Bool) bool {
	dir, at := -1, -1
	defer func() {
		if dir >= 0 {
			unix.Close(dir)
		}
	}()
	var name [2 * (sha256.Size - 1)]byte
	for ; len(objects) > 0; objects = objects[packed:] {
		if stop.Load() {
			return false
		}
		if prefix := int(objects[0]); prefix != at {
			if dir >= 0 {
				unix.Close(dir)
			}
			var err error
			at = prefix
			path := filepath.Join(s.dir, objectsDir, strconv.FormatInt(int64(prefix)+256, 16)[1:])
			if dir, err = unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
				return false
			}
		}
		hex.Encode(name[:], objects[1:sha256.Size])
		var st unix.Stat_t
		err := unix.Fstatat(dir, string(name[:]), &st, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != int64(binary.BigEndian.Uint64(objects[sha256.Size:])) {
			return false
		}
	}
	return true
}
