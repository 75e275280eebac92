package artifacts

import (
	"database/sql"
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

// settled is how long a file must have been left alone before its digest is trusted:
// more than the coarsest clock of a common file system (FAT: 2 s).
const settled = 2 * time.Second

// PutSourceDigest remembers the digest of a file whose hashing began at the time
// hashed. id must have been taken both before and after hashing, and be the same. A file
// changed less than two seconds before, or in the future, is not remembered: a later
// change might leave no trace in its times. A ledger open for reading remembers nothing.
func (l *Ledger) PutSourceDigest(id FileID, sha256 string, hashed time.Time) error {
	if l.readOnly || hashed.UnixNano()-max(id.MtimeNS, id.CtimeNS) < int64(settled) {
		return nil
	}
	return l.transact("remember a source", false, func(t *tx) error {
		return t.exec("INSERT OR REPLACE INTO sources (dev, ino, size, mtime, ctime, sha256) VALUES (?, ?, ?, ?, ?, ?)",
			int64(id.Dev), int64(id.Ino), id.Size, id.MtimeNS, id.CtimeNS, sha256)
	})
}
