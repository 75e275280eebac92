package dag

import (
	"fmt"
	"path/filepath"
	"sync"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
)

// rooms is the work directories of a run. One that a part left empty is given to the next:
// to make and remove a directory takes a file system longer than to write a small output.
type rooms struct {
	mu    sync.Mutex
	empty []string
}

// take gives an empty directory that nobody else has: path, or another of the run.
func (r *rooms) take(path string) (string, error) {
	r.mu.Lock()
	if n := len(r.empty); n > 0 {
		defer r.mu.Unlock()
		path = r.empty[n-1]
		r.empty = r.empty[:n-1]
		return path, nil
	}
	r.mu.Unlock()
	path, err := filepath.Abs(path)
	if err == nil {
		err = disk.MkdirAll(path, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("make the part's work directory: %w", err)
	}
	return path, nil
}

// give takes a directory back. That of an attempt that failed goes at once, since the next
// needs the room, and what it left running might still write there.
func (r *rooms) give(path string, succeeded bool) {
	if succeeded {
		if left, err := disk.ReadDir(path); err == nil && len(left) == 0 {
			r.mu.Lock()
			r.empty = append(r.empty, path)
			r.mu.Unlock()
			return
		}
	}
	disk.RemoveAll(path)
}
