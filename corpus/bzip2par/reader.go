// Package bzip2par reads the blocks of a bzip2 file in parallel, from any byte range,
// without an index: a range has the blocks that start in it, so that ranges which cut
// a file have each block once.
//
//	r := bzip2par.NewReader(file, size, from, to, cpus)
//	defer r.Close()
//	for {
//		b, err := r.Next() // b.Past: the range is over, the blocks of the next one follow
//	}
//
// Blocks come in the order of the file, however many CPUs decode them, and each is
// checked against its CRC. Several streams in one file (multistream dumps, files put
// together with cat) follow each other.
package bzip2par

import (
	"errors"
	"fmt"
	"io"
)

// Block is one decoded block.
type Block struct {
	Data   []byte
	Offset int64 // of the byte of the file in which the block starts
	Past   bool  // it starts after the range
}

// CorruptError says which bytes of the file could not be decoded. Next may be called
// again and goes on after them.
type CorruptError struct {
	From, To int64 // bytes of the file
	Past     bool  // they start after the range
	Cut      bool  // the file ends inside them: it is not whole
	Err      error
}

func (e *CorruptError) Error() string {
	if e.Cut {
		return fmt.Sprintf("the bzip2 file is cut off: what begins at byte %d should end in an end-of-stream mark, but the file ends at byte %d", e.From, e.To)
	}
	return fmt.Sprintf("bzip2 data at bytes %d-%d is corrupt: %v", e.From, e.To-1, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// Reader reads the blocks of a range, and then those after it.
type Reader struct {
	r        io.ReaderAt
	size     int64
	from, to int64
	cpus     int

	find  *finder
	ahead *mark // found, not yet in the queue
	queue []*segment
	begun bool // a block of the range was seen
	fatal error

	crc     uint32 // of the blocks of this stream so far
	checked bool   // crc covers the stream from its first block on
}

// segment is what lies between two marks: a block, or the end of a stream.
type segment struct {
	mark
	stop int64         // bit offset of the next mark, or of the end of the file
	last bool          // there is no next mark
	done chan struct{} // nil: nobody decodes it yet
	data []byte
	crc  uint32
	err  error
}

// NewReader reads the blocks of r, a file of size bytes, that start in bytes
// [from, to), decoding as many at once as there are cpus.
func NewReader(r io.ReaderAt, size, from, to int64, cpus int) *Reader {
	return &Reader{r: r, size: size, from: from, to: to, cpus: max(1, cpus), find: newFinder(r, size, from)}
}

// Close waits for blocks being decoded that nobody will read.
func (r *Reader) Close() {
	for _, s := range r.queue {
		if s.done != nil {
			<-s.done
		}
	}
	r.queue, r.fatal = nil, errors.New("bzip2 reader is closed")
}

// fill looks a few segments ahead and has as many decoded as there are CPUs; past the
// range only the one that is wanted now.
func (r *Reader) fill() error {
	var err error
	for n := len(r.queue); n < r.cpus+2 && (n == 0 || !r.queue[n-1].last); n++ {
		if r.ahead == nil {
			var m mark
			if m, err = r.find.next(); err != nil {
				break
			}
			r.ahead = &m
		}
		s := &segment{mark: *r.ahead, stop: r.size * 8, last: true}
		r.ahead = nil
		var m mark
		if m, err = r.find.next(); err == nil {
			r.ahead, s.stop, s.last = &m, m.bit, false
		} else if !errors.Is(err, io.EOF) {
			break
		}
		r.queue = append(r.queue, s)
	}
	for i, s := range r.queue[:min(r.cpus, len(r.queue))] {
		if s.done != nil || i > 0 && r.past(s) {
			continue
		}
		s.done = make(chan struct{})
		if s.end || s.last {
			close(s.done)
			continue
		}
		go func() {
			defer close(s.done)
			s.data, s.crc, s.err = decode(r.r, s.bit, s.stop)
		}()
	}
	if errors.Is(err, io.EOF) && len(r.queue) > 0 {
		return nil
	}
	return err
}

func decode(r io.ReaderAt, from, to int64) ([]byte, uint32, error) {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	return d.block(r, from, to)
}

func (r *Reader) past(s *segment) bool { return s.bit/8 >= r.to }

// Next returns the next block, a *CorruptError after which it can be called again,
// io.EOF at the end of the file, or an error of the underlying reader.
func (r *Reader) Next() (Block, error) {
	for {
		if r.fatal != nil {
			return Block{}, r.fatal
		}
		if err := r.fill(); err != nil {
			return Block{}, r.fail(err)
		}
		s := r.queue[0]
		<-s.done
		if s.end {
			if err := r.endOfStream(s); err != nil {
				return Block{}, err
			}
			continue
		}
		if b, ok, err := r.block(s); ok {
			return b, err
		}
	}
}

// fail keeps the error that ends the reading. A range without a single mark that
// reaches the end of the file can only be the tail of a file that was cut off.
func (r *Reader) fail(err error) error {
	r.fatal = err
	if errors.Is(err, io.EOF) && !r.begun && r.from == 0 && r.size > 0 {
		return &CorruptError{From: 0, To: r.size, Cut: true}
	}
	return err
}

func (r *Reader) pop() {
	r.queue = r.queue[1:]
	r.begun = true
}

// endOfStream checks the CRC of a stream read from its start, and that another stream
// or nothing follows.
func (r *Reader) endOfStream(s *segment) error {
	defer r.pop()
	checked := r.checked
	r.checked = false
	at := (s.bit + magicBits + 32 + 7) / 8 // of the first byte after the stream
	if at > r.size {
		return &CorruptError{From: s.bit / 8, To: r.size, Past: r.past(s), Cut: true}
	}
	var head [12]byte
	if _, err := r.r.ReadAt(head[:min(12, r.size-s.bit/8)], s.bit/8); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if crc := uint32(bits(head[:], int(s.bit%8)+magicBits, 32)); checked && crc != r.crc {
		return &CorruptError{From: s.bit / 8, To: at, Past: r.past(s), Err: fmt.Errorf("the blocks of the stream that ends here have CRC %08x, its end says %08x: blocks are missing or doubled", r.crc, crc)}
	}
	if at == r.size {
		return nil
	}
	var next [4]byte
	if _, err := r.r.ReadAt(next[:min(4, r.size-at)], at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if string(next[:3]) != "BZh" || next[3] < '1' || next[3] > '9' {
		return &CorruptError{From: at, To: max(at+1, s.stop/8), Past: r.past(s), Err: fmt.Errorf("after the end of a stream stands %q, not another stream or the end of the file", next)}
	}
	if s.last {
		return &CorruptError{From: at, To: r.size, Past: r.past(s), Cut: true}
	}
	r.crc, r.checked = 0, s.stop == at*8+32
	return nil
}

// block returns a decoded block; not ok means that s is none. Where decoding failed,
// one of the marks may be the magic number by chance, inside a block (once in 2^48
// bits): then the block goes on behind it.
func (r *Reader) block(s *segment) (b Block, ok bool, err error) {
	if s.bit == 32 {
		r.crc, r.checked = 0, true
	}
	first := !r.begun && r.from > 0
	defer r.pop()
	b = Block{Offset: s.bit / 8, Past: r.past(s)}
	if s.last {
		r.checked = false
		return b, true, &CorruptError{From: b.Offset, To: r.size, Past: b.Past, Cut: true}
	}
	for n := 1; s.err != nil && n < len(r.queue) && n < 3; n++ {
		next := r.queue[n]
		if next.last && !next.end || next.stop-s.bit > maxBlockBytes*8 {
			break
		}
		if data, crc, err := decode(r.r, s.bit, next.stop); err == nil {
			s.data, s.crc, s.err = data, crc, nil
			for _, q := range r.queue[1 : n+1] {
				if q.done != nil {
					<-q.done
				}
			}
			r.queue = r.queue[n:]
		}
	}
	if s.err != nil {
		r.checked = false
		if first && r.insideBlock(s) {
			return b, false, nil
		}
		return b, true, &CorruptError{From: b.Offset, To: (s.stop + 7) / 8, Past: b.Past, Err: s.err}
	}
	r.crc = (r.crc<<1 | r.crc>>31) ^ s.crc
	b.Data = s.data
	return b, true, nil
}

// insideBlock says whether the first mark of the range lies inside a block that starts
// before it, which then belongs to the range before.
func (r *Reader) insideBlock(s *segment) bool {
	f := newFinder(r.r, r.size, max(0, s.bit/8-maxBlockBytes))
	var before mark
	for {
		m, err := f.next()
		if err != nil || m.bit >= s.bit {
			break
		}
		before = m
	}
	if before.bit == 0 || before.end {
		return false
	}
	_, _, err := decode(r.r, before.bit, s.stop)
	return err == nil
}

// bits reads n ≤ 32 bits from a bit offset, most significant first.
func bits(b []byte, at, n int) (x uint64) {
	for i := at; i < at+n; i++ {
		x = x<<1 | uint64(b[i/8]>>(7-i%8)&1)
	}
	return x
}
