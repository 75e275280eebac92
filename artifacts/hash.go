package artifacts

import (
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
)

// HashFile returns the sha256 of a file, in hex, and its size in bytes, after
// flushing the file to the disk.
func HashFile(path string) (digest string, size int64, err error) {
	f, err := disk.Open(path)
	if err != nil {
		return "", 0, advise("hash", path, err)
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, advise("hash", path, err)
	}
	if err := disk.Sync(f); err != nil {
		return "", 0, advise("hash", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
