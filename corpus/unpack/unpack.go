// Package unpack walks the files inside tar archives and under gzip and zstd, nested
// as they come, and refuses archives that are made to do harm: names and links that
// leave the archive, and a few kilobytes that grow into a full disk.
package unpack

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Limits bound what an archive may grow to.
type Limits struct {
	Ratio  int64 // bytes out for each byte in, past the first Free
	Member int64 // bytes of one file inside a tar
}

// Free bytes may come out of any archive, whatever its size.
const Free = 64 << 20

// depth bounds archives inside archives.
const depth = 6

// File is one file that was found.
type File struct {
	// Name is the path inside the archives, without the suffixes of compression;
	// for a file that is in no archive, its own name.
	Name string
	io.Reader

	// Inner says that the file comes out of a tar.
	Inner bool
}

// Walk calls f for every regular file in the file called name, whose size bytes r
// gives. Links that stay inside a tar are passed over: the file they mean is there.
// Compression is known by its magic number, a tar by its name or its magic number.
func Walk(name string, r io.Reader, size int64, limits Limits, f func(File) error) error {
	w := &walker{limits: limits, left: Free + size*limits.Ratio, size: size, f: f}
	return w.open(name, r, false, 0)
}

type walker struct {
	limits Limits
	size   int64
	left   int64
	f      func(File) error
}

func (w *walker) open(name string, r io.Reader, inner bool, level int) error {
	if level > depth {
		return fmt.Errorf("%s: archives are nested more than %d deep", name, depth)
	}
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(263)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", name, err)
	}
	has := func(at int, magic string) bool {
		return len(head) >= at+len(magic) && string(head[at:at+len(magic)]) == magic
	}
	switch {
	case has(0, "\x1f\x8b"):
		z, err := gzip.NewReader(b)
		if err != nil {
			return fmt.Errorf("%s: gzip: %w", name, err)
		}
		return w.open(strip(name, ".gz", ".tgz"), w.bound(name, "gzip", z), inner, level+1)
	case has(0, "\x28\xb5\x2f\xfd"), len(head) >= 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18":
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return fmt.Errorf("%s: zstd: %w", name, err)
		}
		defer z.Close()
		return w.open(strip(name, ".zst", ".tzst"), w.bound(name, "zstd", z), inner, level+1)
	case has(0, "BZh"), has(0, "\xfd7zXZ\x00"), has(0, "PK\x03\x04"):
		return fmt.Errorf("%s: bzip2, xz and zip are not read here; recompress it with gzip or zstd", name)
	case has(257, "ustar"), strings.HasSuffix(strings.ToLower(name), ".tar"):
		return w.tar(name, b, level)
	}
	return w.f(File{Name: name, Reader: b, Inner: inner})
}

func strip(name, suffix, tarSuffix string) string {
	low := strings.ToLower(name)
	switch {
	case strings.HasSuffix(low, tarSuffix):
		return name[:len(name)-len(tarSuffix)] + ".tar"
	case strings.HasSuffix(low, suffix):
		return name[:len(name)-len(suffix)]
	}
	return name
}

func (w *walker) tar(name string, r io.Reader, level int) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: tar: %w", name, err)
		}
		if escapes(h.Name) {
			return fmt.Errorf("%s: member %q leaves the archive; refused", name, h.Name)
		}
		switch h.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		case tar.TypeSymlink, tar.TypeLink:
			target := h.Linkname
			if h.Typeflag == tar.TypeSymlink && !path.IsAbs(target) {
				target = path.Join(path.Dir(path.Clean(h.Name)), target)
			}
			if escapes(target) {
				return fmt.Errorf("%s: member %q is a link to %q, outside the archive; refused", name, h.Name, h.Linkname)
			}
			continue
		case tar.TypeReg, tar.TypeGNUSparse:
		default:
			return fmt.Errorf("%s: member %q is neither a file, a directory nor a link (type %q); refused", name, h.Name, h.Typeflag)
		}
		if h.Size > w.limits.Member {
			return fmt.Errorf("%s: member %q has %d bytes, more than the %d allowed", name, h.Name, h.Size, w.limits.Member)
		}
		// A sparse file grows without being compressed: its holes count too.
		var m io.Reader = t
		if h.Typeflag == tar.TypeGNUSparse || h.PAXRecords["GNU.sparse.major"] != "" {
			m = w.bound(name, "sparse tar", t)
		}
		if err := w.open(path.Clean(h.Name), m, true, level+1); err != nil {
			return err
		}
	}
}

// escapes says whether a slash-separated path is absolute or leads above its start,
// on any system.
func escapes(p string) bool {
	p = strings.ReplaceAll(p, "\\", "/")
	c := path.Clean(p)
	return p == "" || path.IsAbs(c) || c == ".." || strings.HasPrefix(c, "../") ||
		len(c) > 1 && c[1] == ':' || strings.ContainsRune(p, 0)
}

func (w *walker) bound(name, format string, r io.Reader) io.Reader {
	return &bounded{w: w, name: name, format: format, r: r}
}

// bounded takes what it reads from what the walk has left.
type bounded struct {
	w            *walker
	name, format string
	r            io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.w.left -= int64(n); b.w.left < 0 {
		return 0, fmt.Errorf("%s: %d bytes unpack to more than %d times as many (and %d MiB); refused: raise max-ratio if that is right",
			b.name, b.w.size, b.w.limits.Ratio, Free>>20)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: %s: %w", b.name, b.format, err)
	}
	return n, err
}

// ReadAll reads a file of at most limit bytes.
func ReadAll(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("more than the %d bytes allowed for one document", limit)
	}
	return b, err
}
