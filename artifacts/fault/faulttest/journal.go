package faulttest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
)

// Journal is the list of what the processes of a case did to the disk, so that what a
// loss of power would have undone can be undone. What POSIX promises to survive one:
//
//   - the content of a file as it was at the last fsync of the file;
//   - a name that was made, changed or removed, once its directory was synced.
//
// Of the ledger survives what was in its write-ahead log at the last commit with
// synchronous=FULL, or more.
type Journal struct {
	dir string
	f   *os.File

	mu    sync.Mutex
	moved map[string]string // files that were renamed, some while open: where they are
}

// at is where the file that was opened as path is now.
func (j *Journal) at(path string) string {
	if _, err := os.Lstat(path); err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		if to := j.moved[path]; to != "" {
			return to
		}
	}
	return path
}

// record is one line of the journal.
type record struct {
	Op       fault.Op `json:"op"`
	Path     string   `json:"path"`
	To       string   `json:"to,omitempty"`
	Ino      uint64   `json:"ino,omitempty"`
	Was      int64    `json:"was"`             // size before a write, or of the log after a commit
	Saved    string   `json:"saved,omitempty"` // where a removed or replaced file is kept
	Exchange bool     `json:"exchange,omitempty"`
	Salt     string   `json:"salt,omitempty"` // of the log
	Stamp    int64    `json:"stamp,omitempty"`
}

func openJournal(c Case) (*Journal, error) {
	f, err := os.OpenFile(filepath.Join(c.Dir, "journal"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	// Held until the process is gone: PowerLoss waits for all of them.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		return nil, err
	}
	j := &Journal{dir: c.Dir, f: f, moved: map[string]string{}}
	if info, err := f.Stat(); err != nil || info.Size() > 0 {
		return j, err
	}
	return j, j.do(fault.Event{Op: fault.Durable, Path: c.Ledger}, func() error { return nil }) // what is there at the start
}

// do does an event and writes down what is needed to undo it.
func (j *Journal) do(e fault.Event, do func() error) error {
	if e.Op == fault.Write || e.Op == fault.Sync {
		e.Path = j.at(e.Path)
	}
	r := record{Op: e.Op, Path: e.Path, To: e.To}
	ino, size := inode(e.Path)
	switch e.Op {
	case fault.Create:
		if ino != 0 { // it was there; it may be cut
			r.Op, r.Ino, r.Was = fault.Write, ino, 0
		}
	case fault.Write:
		r.Ino, r.Was = ino, size
	case fault.Mkdir:
		for up := filepath.Dir(r.Path); ; up = filepath.Dir(up) { // the highest that is made
			if _, err := os.Lstat(up); err == nil {
				break
			}
			r.Path = up
		}
	case fault.Remove:
		if ino == 0 {
			return do()
		}
		r.Ino = ino
		if err := j.save(&r, e.Path); err != nil {
			return err
		}
	case fault.Rename:
		r.Ino = ino
		if to, _ := inode(e.To); to != 0 {
			if err := j.save(&r, e.To); err != nil {
				return err
			}
		}
	}
	if err := do(); err != nil {
		return err
	}
	switch e.Op {
	case fault.Create:
		if r.Ino == 0 {
			if r.Ino, _ = inode(e.Path); r.Ino == 0 {
				return nil // by a pattern: its name is not known here, nor does it need to be
			}
		} else if _, now := inode(e.Path); now == size {
			return nil
		}
	case fault.Sync:
		r.Ino = ino
	case fault.Rename:
		_, err := os.Lstat(e.Path)
		r.Exchange = err == nil
		j.mu.Lock()
		j.moved[e.Path] = e.To
		j.mu.Unlock()
	case fault.Commit:
		return nil
	case fault.Durable:
		r.Was, r.Salt, r.Stamp = ledgerLog(e.Path)
	case fault.Write, fault.SyncDir, fault.Link, fault.Remove, fault.Mkdir:
	default:
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = j.f.Write(append(b, '\n'))
	return err
}

// save keeps a file or tree that is about to lose its name.
func (j *Journal) save(r *record, path string) error {
	dir, err := os.MkdirTemp(j.dir, "saved-")
	if err != nil {
		return err
	}
	r.Saved = filepath.Join(dir, "x")
	return cloneTree(path, r.Saved)
}

// cloneTree makes a copy whose files are hard links.
func cloneTree(from, to string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		if err := os.Link(p, filepath.Join(to, rel)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

func inode(path string) (ino uint64, size int64) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, 0
	}
	return info.Sys().(*syscall.Stat_t).Ino, info.Size()
}

// ledgerLog describes the ledger's write-ahead log: its length, the salts that tell its
// generation, and the time of the last change to the database file itself.
func ledgerLog(path string) (size int64, salt string, stamp int64) {
	if info, err := os.Stat(path); err == nil {
		stamp = info.ModTime().UnixNano()
	}
	b, err := os.ReadFile(path + "-wal")
	if err != nil || len(b) < 32 {
		return 0, "", stamp
	}
	return int64(len(b)), hex.EncodeToString(b[16:24]), stamp
}

// PowerLoss waits until the processes of a case are gone and then undoes what was not
// durable. It returns how many names and how many files' contents it took back.
func PowerLoss(c Case) (names, contents int, err error) {
	f, err := os.OpenFile(filepath.Join(c.Dir, "journal"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return 0, 0, err
	}
	var records []record
	b, err := os.ReadFile(f.Name())
	if err != nil {
		return 0, 0, err
	}
	for line := range bytes.Lines(b) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return 0, 0, fmt.Errorf("journal: %q: %w", line, err)
		}
		records = append(records, r)
	}
	u := &undo{Case: c, random: rand.New(rand.NewPCG(c.Seed, 1))}
	u.read(records)
	if names, err = u.names(); err != nil {
		return 0, 0, err
	}
	if contents, err = u.contents(); err != nil {
		return 0, 0, err
	}
	return names, contents, cutLedger(records, c.Ledger)
}

type undo struct {
	Case
	random  *rand.Rand
	pending []record         // changes of names that are not durable, in order
	torn    map[uint64]int64 // files written since the last sync: their size then
	kept    []record         // renames that stay, in order
}

// read finds out what was durable at the end.
func (u *undo) read(records []record) {
	u.torn = map[uint64]int64{}
	for _, r := range records {
		switch r.Op {
		case fault.Write:
			if was, ok := u.torn[r.Ino]; r.Ino != 0 && (!ok || r.Was < was) {
				u.torn[r.Ino] = r.Was
			}
		case fault.Sync:
			delete(u.torn, r.Ino)
		case fault.SyncDir:
			var rest []record
			for _, p := range u.pending {
				name := p.Path
				if p.To != "" {
					name = p.To
				}
				if filepath.Dir(name) != filepath.Clean(r.Path) {
					rest = append(rest, p)
				} else if p.Op == fault.Rename {
					u.kept = append(u.kept, p)
				}
			}
			u.pending = rest
		case fault.Create, fault.Rename, fault.Link, fault.Remove, fault.Mkdir:
			u.pending = append(u.pending, r)
		}
	}
}

// names takes back changes of names, the last first.
func (u *undo) names() (n int, err error) {
	for _, r := range slices.Backward(u.pending) {
		if u.Fault == LossZeros || u.Fault == LossSome && u.random.IntN(2) == 0 {
			if r.Op == fault.Rename {
				u.kept = append([]record{r}, u.kept...)
			}
			continue
		}
		n++
		path, to := u.now(r.Path), u.now(r.To)
		switch {
		case r.Op == fault.Create:
			if ino, _ := inode(path); ino == r.Ino {
				err = os.Remove(path)
			}
		case r.Op == fault.Mkdir:
			err = removeAll(path)
		case r.Op == fault.Link:
			err = os.Remove(to)
		case r.Op == fault.Remove:
			if _, e := os.Lstat(path); e != nil {
				err = os.Rename(r.Saved, path)
			}
		case r.Exchange:
			if err = os.Rename(path, path+".swap"); err == nil {
				err = errors.Join(os.Rename(to, path), os.Rename(path+".swap", to))
			}
		default:
			if ino, _ := inode(to); ino != r.Ino {
				break
			}
			if err = os.Rename(to, path); errors.Is(err, fs.ErrNotExist) {
				err = removeAll(to) // the directory that it came from is gone too
			}
			if err == nil && r.Saved != "" {
				err = os.Rename(r.Saved, to)
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return n, fmt.Errorf("undo %+v: %w", r, err)
		}
		err = nil
	}
	return n, nil
}

// now is where a path is after the directories above it were renamed.
func (u *undo) now(path string) string {
	for _, r := range u.kept {
		if rest, ok := strings.CutPrefix(path, r.Path+"/"); ok {
			path = filepath.Join(r.To, rest)
		}
	}
	return path
}

// contents takes back what was written to files and not synced.
func (u *undo) contents() (n int, err error) {
	if len(u.torn) == 0 {
		return 0, nil
	}
	err = filepath.WalkDir(u.Root, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) {
			return nil // a command closed it; what is in there was not written through the seam
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		ino, size := inode(p)
		was, ok := u.torn[ino]
		if !ok || was >= size {
			return nil
		}
		how := u.Fault
		if how == LossSome {
			how = []Fault{LossAll, LossZeros, ""}[u.random.IntN(3)]
		}
		if how == "" {
			return nil
		}
		n++
		if err := os.Chmod(p, 0o644); err != nil {
			return err
		}
		if err := os.Truncate(p, was); err != nil {
			return err
		}
		if how == LossZeros {
			err = os.Truncate(p, size)
		}
		return errors.Join(err, os.Chmod(p, info.Mode()))
	})
	return n, err
}

// cutLedger shortens the ledger's log to what was there at the last durable commit. A
// log that was begun anew since, after a checkpoint, which syncs, goes altogether.
func cutLedger(records []record, ledger string) error {
	if err := os.Remove(ledger + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	size, salt, stamp := ledgerLog(ledger)
	if size == 0 {
		return nil
	}
	to := int64(0)
	for _, r := range records {
		if r.Op != fault.Durable || r.Path != ledger {
			continue
		}
		switch {
		case r.Salt != salt:
			to = 0
		case r.Stamp != stamp: // a checkpoint since: all of it was synced
			to = size
		default:
			to = r.Was
		}
	}
	if to >= size {
		return nil
	}
	return os.Truncate(ledger+"-wal", to)
}

// removeAll removes a tree, also one with read-only directories.
func removeAll(path string) error {
	filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(p, 0o755)
		}
		return nil
	})
	return os.RemoveAll(path)
}
