package source

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
)

type sums struct{ sha256, sha1 string }

// hashFile hashes a file, and says which state of it was hashed.
func hashFile(ctx context.Context, path string, progress func(done, total int64)) (sums, FileID, error) {
	for range 2 {
		s, before, after, err := hashOnce(ctx, path, progress)
		if err != nil {
			return sums{}, FileID{}, err
		}
		if before == after {
			return s, before, nil
		}
	}
	return sums{}, FileID{}, fmt.Errorf("%s changes while it is read", path)
}

// hashBuffers are used again: a source may be many small files.
var hashBuffers = sync.Pool{New: func() any { return new([1 << 20]byte) }}

func hashOnce(ctx context.Context, path string, progress func(done, total int64)) (s sums, before, after FileID, err error) {
	f, err := disk.Open(path)
	if err != nil {
		return s, before, after, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return s, before, after, fmt.Errorf("stat %s: %w", path, err)
	}
	before = identity(&st)
	h, h1 := sha256.New(), sha1.New()
	buf := hashBuffers.Get().(*[1 << 20]byte)
	defer hashBuffers.Put(buf)
	var done int64
	for {
		if err := ctx.Err(); err != nil {
			return s, before, after, err
		}
		n, err := f.Read(buf[:])
		h.Write(buf[:n])
		h1.Write(buf[:n])
		if done += int64(n); n > 0 {
			progress(done, before.Size)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s, before, after, err
		}
	}
	if after, err = Identify(path); err != nil { // by its name: it may have been replaced
		return s, before, after, err
	}
	return sums{hex.EncodeToString(h.Sum(nil)), hex.EncodeToString(h1.Sum(nil))}, before, after, nil
}
