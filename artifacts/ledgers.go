package artifacts

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
)

// A ledger may lie outside of the store that it is used with, and a store on a network
// file system may be used with one on each machine. What is garbage to one of them may be
// the other's result. Such ledgers therefore sign their name in the store: a file in
// ledgers/ that holds the machine's name and the path, a line each.

// sign signs the name of a ledger that lies outside of the store.
func (s *Store) sign(ledger string) error {
	if within(s.dir, ledger) {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("sign the ledger's name in the store: %w", err)
	}
	text := host + "\n" + ledger + "\n"
	sum := sha256.Sum256([]byte(text))
	path := filepath.Join(s.dir, ledgersDir, hex.EncodeToString(sum[:8]))
	if exists(path) {
		return nil
	}
	if err := disk.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return advise("sign the ledger's name in the store", path, err)
	}
	// Whole or not there: half a name is one that nobody can answer for.
	f, err := disk.CreateTemp(filepath.Join(s.dir, workDir), manifestTemp)
	if err != nil {
		return advise("sign the ledger's name in the store", path, err)
	}
	defer disk.Remove(f.Name())
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = disk.Rename(f.Name(), path)
	}
	if err == nil {
		err = disk.SyncDir(filepath.Dir(path))
	}
	return advise("sign the ledger's name in the store", path, err)
}

func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// otherLedgers names the ledgers beside this one that the store is used with. One of this
// machine that is gone is none.
func (s *Store) otherLedgers() (names []string, err error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	if own := filepath.Join(s.dir, "ledger.db"); own != s.ledger.path && exists(own) {
		names = append(names, own)
	}
	dir := filepath.Join(s.dir, ledgersDir)
	entries, err := disk.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return names, nil
	}
	if err != nil {
		return nil, advise("look for other ledgers", dir, err)
	}
	for _, e := range entries {
		b, err := disk.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, advise("look for other ledgers", dir, err)
		}
		at, path, _ := strings.Cut(strings.TrimSuffix(string(b), "\n"), "\n")
		switch {
		case at != host:
			names = append(names, path+" of "+at)
		case path != s.ledger.path && exists(path):
			names = append(names, path)
		}
	}
	return names, nil
}
