package task

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/artifacts/disk"
)

// Dependence is something outside its inputs that a part read, as it was then.
type Dependence struct {
	Path   string `json:"path"`
	Digest string `json:"digest"` // see Outside
}

// Absent is the digest of what is not there.
const Absent = "absent"

// Outside gives the digest of what is at a path: of a file's content, by hash; of the names
// in a directory, after "names:"; or Absent.
func Outside(path string, hash func(path string) (string, error)) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Absent, nil
	case err != nil:
		return "", err
	case info.Mode().IsRegular():
		return hash(path)
	case !info.IsDir():
		return "", fmt.Errorf("%s is neither a file nor a directory: it has no digest", path)
	}
	entries, err := disk.ReadDir(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(h, "%s\x00", e.Name())
	}
	return "names:" + hex.EncodeToString(h.Sum(nil)), nil
}

// Depends implements stage.Task.
func (t *Task) Depends(path string) error {
	digest, err := Outside(path, func(path string) (string, error) {
		digest, _, err := artifacts.HashFile(path)
		return digest, err
	})
	if err == nil {
		t.Dependence(Dependence{path, digest})
	}
	return err
}
