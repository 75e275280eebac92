package artifacts

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// FileID tells whether a file is still the one that was seen before. Two files that
// differ may share it only if a write falls into the same tick of the file system's
// clock as the look, which is what the two seconds of PutSourceDigest are for, or if
// someone sets the clock back and both times to what they were.
type FileID struct {
	Dev, Ino         uint64
	Size             int64 // bytes
	MtimeNS, CtimeNS int64 // Unix time, ns
}

// FileIDOf looks at a file, following symbolic links.
func FileIDOf(path string) (FileID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return FileID{}, advise("look at a source", path, err)
	}
	return FileID{Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size, MtimeNS: st.Mtim.Nano(), CtimeNS: st.Ctim.Nano()}, nil
}

// SourceDigest gives the digest that a file had when it was last hashed, if it is
// unchanged since.
func (l *Ledger) SourceDigest(id FileID) (sha256 string, ok bool, err error) {
	const query = "SELECT sha256 FROM sources WHERE dev = ? AND ino = ? AND size = ? AND mtime = ? AND ctime = ?"
	args := []any{int64(id.Dev), int64(id.Ino), id.Size, id.MtimeNS, id.CtimeNS}
	err = l.each("look up a source", query, args, func(r *sql.Rows) error {
		ok = true
		return r.Scan(&sha256)
	})
	return sha256, ok, err
}

// SourceDigests is SourceDigest for many files: their digests in the same order, "" for
// those that are not known. Many files that are all known and have stayed as they were
// since the last time take one look-up.
func (l *Ledger) SourceDigests(ids []FileID) ([]string, error) {
	digests := make([]string, len(ids))
	if len(ids) < listed {
		for i, id := range ids {
			d, ok, err := l.SourceDigest(id)
			if err != nil {
				return nil, err
			}
			if ok {
				digests[i] = d
			}
		}
		return digests, nil
	}
	place, state := nameSources(ids)
	found := false
	err := l.each("look up sources", "SELECT digests FROM source_lists WHERE place = ? AND state = ?", []any{place, state}, func(r *sql.Rows) error {
		var b sql.RawBytes
		if err := r.Scan(&b); err != nil {
			return err
		}
		if found = len(b) == len(ids)*sha256.Size; found {
			var hexed strings.Builder
			hexed.Grow(2 * len(b))
			hex.NewEncoder(&hexed).Write(b)
			all := hexed.String()
			for i := range digests {
				digests[i] = all[2*sha256.Size*i : 2*sha256.Size*(i+1)]
			}
		}
		return nil
	})
	if err != nil || found {
		return digests, err
	}
	for i := 0; i < len(ids); i += 1024 {
		if err := l.sourceDigests(ids[i:min(i+1024, len(ids))], digests[i:]); err != nil {
			return nil, err
		}
	}
	if l.readOnly || slices.Contains(digests, "") {
		return digests, nil
	}
	b := make([]byte, 0, len(ids)*sha256.Size)
	for _, d := range digests {
		if b, err = hex.AppendDecode(b, []byte(d)); err != nil {
			return nil, fmt.Errorf("ledger %s: the digest %q of a source: %w", l.path, d, err)
		}
	}
	return digests, l.transact("remember sources", false, func(t *tx) error {
		if err := t.exec("INSERT OR REPLACE INTO source_lists (place, state, digests) VALUES (?, ?, ?)", place, state, b); err != nil {
			return err
		}
		// Of lists that grew or shrank the old ones are of no use any more.
		return t.exec("DELETE FROM source_lists WHERE rowid <= (SELECT max(rowid) FROM source_lists) - ?", keptLists)
	})
}

// listed is from how many files on their digests are remembered together as well, and
// keptLists how many such lists are kept.
const (
	listed    = 64
	keptLists = 32
)

// nameSources gives a digest of which files these are, and one of the state they are in.
func nameSources(ids []FileID) (place, state string) {
	which, how := sha256.New(), sha256.New()
	a, b := make([]byte, 0, 1<<13), make([]byte, 0, 1<<13)
	for _, id := range ids {
		a = binary.BigEndian.AppendUint64(a, id.Dev)
		a = binary.BigEndian.AppendUint64(a, id.Ino)
		b = binary.BigEndian.AppendUint64(b, uint64(id.Size))
		b = binary.BigEndian.AppendUint64(b, uint64(id.MtimeNS))
		b = binary.BigEndian.AppendUint64(b, uint64(id.CtimeNS))
		if len(b) > 8000 {
			which.Write(a)
			how.Write(b)
			a, b = a[:0], b[:0]
		}
	}
	which.Write(a)
	how.Write(b)
	return hex.EncodeToString(which.Sum(nil)), hex.EncodeToString(how.Sum(nil))
}

// sourceDigests looks up files in one query, which gives all that it finds as one text:
// see actions.
func (l *Ledger) sourceDigests(ids []FileID, digests []string) error {
	const query = `SELECT group_concat(e.key || ' ' || s.sha256, char(10)) FROM json_each(?) e
		CROSS JOIN sources s ON s.dev = e.value ->> 0 AND s.ino = e.value ->> 1
		WHERE s.size = e.value ->> 2 AND s.mtime = e.value ->> 3 AND s.ctime = e.value ->> 4`
	list := []byte{'['}
	for i, id := range ids {
		if i > 0 {
			list = append(list, ',')
		}
		list = fmt.Appendf(list, "[%d,%d,%d,%d,%d]", int64(id.Dev), int64(id.Ino), id.Size, id.MtimeNS, id.CtimeNS)
	}
	var rows sql.NullString
	err := l.each("look up sources", query, []any{string(append(list, ']'))}, func(r *sql.Rows) error { return r.Scan(&rows) })
	if err != nil || !rows.Valid {
		return err
	}
	for row := range strings.SplitSeq(rows.String, "\n") {
		at, digest, _ := strings.Cut(row, " ")
		i, err := strconv.Atoi(at)
		if err != nil || i >= len(ids) {
			return fmt.Errorf("ledger %s: look up sources: found the row %q", l.path, row)
		}
		digests[i] = digest
	}
	return nil
}

// settled is how long a file must have been left alone before its digest is trusted:
// more than the coarsest clock of a common file system (FAT: 2 s).
const settled = 2 * time.Second

// PutSourceDigest remembers the digest of a file whose hashing began at the time
// hashed. id must have been taken both before and after hashing, and be the same. A file
// changed less than two seconds before, or in the future, is not remembered: a later
// change might leave no trace in its times. A ledger open for reading remembers nothing.
func (l *Ledger) PutSourceDigest(id FileID, sha256 string, hashed time.Time) error {
	return l.PutSourceDigests([]FileID{id}, []string{sha256}, hashed)
}

// PutSourceDigests is PutSourceDigest for many files; hashed is when hashing of the first
// of them began.
func (l *Ledger) PutSourceDigests(ids []FileID, digests []string, hashed time.Time) error {
	if l.readOnly {
		return nil
	}
	return l.transact("remember sources", false, func(t *tx) error {
		for i, id := range ids {
			if hashed.UnixNano()-max(id.MtimeNS, id.CtimeNS) < int64(settled) {
				continue
			}
			if err := t.exec("INSERT OR REPLACE INTO sources (dev, ino, size, mtime, ctime, sha256) VALUES (?, ?, ?, ?, ?, ?)",
				int64(id.Dev), int64(id.Ino), id.Size, id.MtimeNS, id.CtimeNS, digests[i]); err != nil {
				return err
			}
		}
		return nil
	})
}
