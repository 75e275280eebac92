package mediawiki

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/ptbr-slm/pipeline/corpus/bzip2par"
)

// chunk is a stretch of a dump's XML.
type chunk struct {
	data   []byte
	offset int64 // where it begins: see chunks.where
	past   bool  // it begins after the range; its pages are another part's
}

// chunks gives the XML of a range of a file, and then what follows it. A *Damage is a
// gap after which next may be called again.
type chunks interface {
	next() (chunk, error)
	// where words a position: delta bytes into the chunk that began at offset.
	where(offset, delta int64) string
	close()
}

const chunkSize = 1 << 20

// maxWindow bounds the memory that a .zst file can ask for: what zstd itself takes
// without being told otherwise.
const maxWindow = 128 << 20

// A dump grows about ten times when it is unpacked. One that grows maxGrowth times, past
// the first freeGrowth bytes, was made to keep the machine busy, and is refused whatever
// is to be done about damage.
const (
	maxGrowth  = 200
	freeGrowth = 64 << 20
)

// bounded are chunks that may be so much in all.
type bounded struct {
	chunks
	packed, left int64 // bytes
}

func bound(c chunks, packed int64) chunks {
	return &bounded{c, packed, freeGrowth + maxGrowth*packed}
}

func (b *bounded) next() (chunk, error) {
	c, err := b.chunks.next()
	if b.left -= int64(len(c.data)); b.left < 0 {
		return chunk{}, fmt.Errorf("%d bytes of the dump unpack to more than %d times as many (and %d MiB): that is no dump but made to do harm; refused", b.packed, maxGrowth, freeGrowth>>20)
	}
	return c, err
}

// open finds out the format of a file by its first bytes.
func open(r io.ReaderAt, size, from, to int64, cpus int) (chunks, error) {
	var head [4]byte
	n, err := r.ReadAt(head[:min(4, size)], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	whole := io.NewSectionReader(r, 0, size)
	switch {
	case n == 0:
		return nil, &Damage{Kind: Truncated, Where: "the file", Err: errors.New("it is empty; expected a MediaWiki XML dump (.xml, .bz2, .gz or .zst)")}
	case bytes.HasPrefix(head[:n], []byte("BZh")):
		return bound(&bz2Chunks{bzip2par.NewReader(r, size, from, to, cpus)}, min(to, size)-from), nil
	case bytes.HasPrefix(head[:n], []byte{0x1f, 0x8b}):
		// One stream that can only be read from its start: the first part has all of it.
		if from > 0 {
			return noChunks{}, nil
		}
		z, err := gzip.NewReader(whole)
		if err != nil {
			return nil, &Damage{Kind: CorruptBlock, Where: "the start of the gzip file", Err: err}
		}
		return bound(&streamChunks{r: z, name: "gzip", done: func() { z.Close() }}, size), nil
	case bytes.HasPrefix(head[:n], []byte{0x28, 0xb5, 0x2f, 0xfd}):
		if from > 0 {
			return noChunks{}, nil
		}
		z, err := zstd.NewReader(whole, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, &Damage{Kind: CorruptBlock, Where: "the start of the zstd file", Err: err}
		}
		return bound(&streamChunks{r: z, name: "zstd", done: z.Close}, size), nil
	}
	return &plainChunks{r: r, size: size, off: from, to: to}, nil
}

type bz2Chunks struct{ r *bzip2par.Reader }

func (c *bz2Chunks) next() (chunk, error) {
	b, err := c.r.Next()
	var bad *bzip2par.CorruptError
	if errors.As(err, &bad) {
		d := &Damage{Kind: CorruptBlock, Where: fmt.Sprintf("bytes %d-%d of the file", bad.From, bad.To-1), Bytes: bad.To - bad.From, Past: bad.Past, Err: bad}
		if bad.Cut {
			d.Kind = Truncated
		}
		return chunk{}, d
	}
	return chunk{b.Data, b.Offset, b.Past}, err
}

func (c *bz2Chunks) where(offset, delta int64) string {
	return fmt.Sprintf("byte %d of the bzip2 block that begins at byte %d of the file", delta, offset)
}

func (c *bz2Chunks) close() { c.r.Close() }

type plainChunks struct {
	r       io.ReaderAt
	size    int64
	off, to int64
}

func (c *plainChunks) next() (chunk, error) {
	end := min(c.off+chunkSize, c.size)
	past := c.off >= c.to
	if !past {
		end = min(end, c.to)
	}
	if c.off >= end {
		return chunk{}, io.EOF
	}
	b := make([]byte, end-c.off)
	if n, err := c.r.ReadAt(b, c.off); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return chunk{}, err
	}
	k := chunk{b, c.off, past}
	c.off = end
	return k, nil
}

func (c *plainChunks) where(offset, delta int64) string {
	return fmt.Sprintf("byte %d of the file", offset+delta)
}

func (c *plainChunks) close() {}

// streamChunks reads a compressed stream that cannot be entered in the middle.
type streamChunks struct {
	r    io.Reader
	off  int64
	name string
	done func()
	err  error
}

func (c *streamChunks) next() (chunk, error) {
	if err := c.err; err != nil {
		c.err = io.EOF
		return chunk{}, err
	}
	b, n := make([]byte, chunkSize), 0
	for n < len(b) && c.err == nil {
		var k int
		k, c.err = c.r.Read(b[n:])
		n += k
	}
	offset := c.off
	c.off += int64(n)
	switch at := fmt.Sprintf("byte %d of the XML", c.off); {
	case c.err == nil, c.err == io.EOF:
	case errors.Is(c.err, io.ErrUnexpectedEOF):
		c.err = &Damage{Kind: Truncated, Where: at, Err: fmt.Errorf("the %s file is cut off here: its end is missing", c.name)}
	default:
		c.err = &Damage{Kind: CorruptBlock, Where: at, Err: fmt.Errorf("the %s file is corrupt here: %w", c.name, c.err)}
	}
	if n == 0 {
		return c.next()
	}
	return chunk{b[:n], offset, false}, nil
}

func (c *streamChunks) where(offset, delta int64) string {
	return fmt.Sprintf("byte %d of the XML", offset+delta)
}

func (c *streamChunks) close() { c.done() }

// noChunks is a range of a file that cannot be entered in the middle.
type noChunks struct{}

func (noChunks) next() (chunk, error)      { return chunk{}, io.EOF }
func (noChunks) where(int64, int64) string { return "" }
func (noChunks) close()                    {}
