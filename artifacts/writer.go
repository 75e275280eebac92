package artifacts

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"os"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
)

// Writer writes a new file and hashes it on the way, so that no byte is read twice.
type Writer struct {
	f      *disk.File
	h      hash.Hash
	size   int64
	err    error
	closed bool
}

// NewWriter creates path, which must not exist.
func NewWriter(path string) (*Writer, error) {
	f, err := disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, advise("create", path, err)
	}
	return &Writer{f: f, h: sha256.New()}, nil
}

func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.f.Write(p)
	w.h.Write(p[:n])
	w.size += int64(n)
	if err != nil {
		w.err = advise("write", w.f.Name(), err)
		return n, w.err
	}
	return n, nil
}

// Close flushes the file to the disk. After an error the file holds nothing of use.
func (w *Writer) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	if w.err == nil {
		w.err = advise("flush", w.f.Name(), w.f.Sync())
	}
	if err := w.f.Close(); w.err == nil {
		w.err = advise("close", w.f.Name(), err)
	}
	return w.err
}

// Closed says whether Close was called.
func (w *Writer) Closed() bool { return w.closed }

// Path is where the file was created.
func (w *Writer) Path() string { return w.f.Name() }

// Digest is the sha256 of what was written, in hex, and Size its length in bytes.
func (w *Writer) Digest() string { return hex.EncodeToString(w.h.Sum(nil)) }

// Size is the number of bytes written.
func (w *Writer) Size() int64 { return w.size }
