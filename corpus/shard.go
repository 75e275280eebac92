package corpus

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// MaxLine bounds one document's line in a shard, in bytes.
const MaxLine = 1 << 30

// ShardStats describes a shard.
type ShardStats struct {
	Documents int64
	Bytes     int64  // of text
	First     string // id of the first document
	Last      string // id of the last document
}

// Writer writes one shard: JSON lines in a zstd frame. The same documents give the
// same bytes, on any machine.
type Writer struct {
	z     *zstd.Encoder
	line  []byte
	stats ShardStats
}

// NewWriter begins a shard on w.
func NewWriter(w io.Writer) (*Writer, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return nil, err
	}
	return &Writer{z: z}, nil
}

// Write appends a document. Its text must be valid UTF-8.
func (w *Writer) Write(d *Document) error {
	if !utf8.ValidString(d.Text) {
		return fmt.Errorf("document %s: text is not valid UTF-8", d.ID)
	}
	var err error
	if w.line, err = d.AppendJSON(w.line[:0]); err != nil {
		return err
	}
	if _, err = w.z.Write(w.line); err != nil {
		return err
	}
	if w.stats.Documents == 0 {
		w.stats.First = d.ID
	}
	w.stats.Documents++
	w.stats.Bytes += int64(len(d.Text))
	w.stats.Last = d.ID
	return nil
}

// Close ends the frame; it does not close the underlying writer.
func (w *Writer) Close() error { return w.z.Close() }

// Stats describes what was written so far.
func (w *Writer) Stats() ShardStats { return w.stats }

// Reader reads one shard, document by document.
type Reader struct {
	z    *zstd.Decoder
	r    *bufio.Reader
	line int
}

// NewReader begins reading a shard.
func NewReader(r io.Reader) (*Reader, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return nil, err
	}
	return &Reader{z: z, r: bufio.NewReaderSize(z, 1<<20)}, nil
}

// Next reads the next document into d, or returns io.EOF after the last.
func (r *Reader) Next(d *Document) error {
	r.line++
	line, err := r.readLine()
	if err != nil {
		return err
	}
	*d = Document{}
	if err := json.Unmarshal(line, d); err != nil {
		return fmt.Errorf("shard line %d: %w", r.line, err)
	}
	return nil
}

func (r *Reader) readLine() ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	if err == nil || (errors.Is(err, io.EOF) && len(line) > 0) {
		return line, nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("shard line %d: %w", r.line, err)
	}
	long := append([]byte(nil), line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.r.ReadSlice('\n')
		if long = append(long, line...); len(long) > MaxLine {
			return nil, fmt.Errorf("shard line %d is longer than %d bytes", r.line, MaxLine)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("shard line %d: %w", r.line, err)
	}
	return long, nil
}

// Close frees the decoder.
func (r *Reader) Close() { r.z.Close() }

// Cutter says where a stream of documents is cut into shards. Whether a shard ends after
// a document is drawn from the hash of that document's id and text alone, with a
// probability in proportion to its size; what stands before it has no say. So inserting
// a document, or changing one, makes a new shard of the one around it, or two; removing
// one makes one of two at most; all others stay.
//
// The price is sizes that scatter: one shard in ten is smaller than an eighth of the
// target, one in three thousand would be larger than eight times the target and is cut
// there, whatever the document. (A least size, too, would depend on where the shard began:
// one edit could then move several borders, one after the other.)
type Cutter struct {
	target int64
	size   int64
}

// longest is how many times its target a shard may grow.
const longest = 8

// NewCutter cuts shards of about target bytes of text.
func NewCutter(target int64) *Cutter { return &Cutter{target: max(target, 1)} }

// After says whether the shard ends after d.
func (c *Cutter) After(d *Document) bool {
	n := int64(len(d.Text))
	c.size += n
	h := fnv.New64a()
	io.WriteString(h, d.ID)
	h.Write([]byte{0})
	io.WriteString(h, d.Text)
	p := float64(n) / float64(c.target)
	cut := p >= 1 || mix(h.Sum64()) < uint64(p*math.MaxUint64) || c.size >= longest*c.target
	if cut {
		c.size = 0
	}
	return cut
}

// mix spreads the bits of an FNV hash (the finaliser of splitmix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
