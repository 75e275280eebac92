package bzip2par

import (
	"errors"
	"io"
)

// A bzip2 stream is a four-byte header, blocks, and an end; each block and the end
// begin with a magic number of 48 bits, at any bit offset, since nothing is aligned
// but the header. Finding the magics is therefore enough to cut a stream into blocks
// (the format: https://en.wikipedia.org/wiki/Bzip2#File_format).
const (
	blockMagic = 0x314159265359
	endMagic   = 0x177245385090
	magicBits  = 48
	magicMask  = 1<<magicBits - 1
)

// maxBlockBytes is more than any block takes compressed: 900,000 symbols of at most
// 20 bits, and its tables.
const maxBlockBytes = 2_600_000

// mark is where a block or the end of a stream begins.
type mark struct {
	bit int64 // offset in the file
	end bool
}

// shifts tells, for the byte before the last one read, at which shifts a magic can
// lie over it: bit s for a block's, bit 8+s for an end's. Fifteen bytes in sixteen
// can be passed over with one look.
var shifts = func() (t [256]uint16) {
	for s := range 8 {
		t[blockMagic>>(8-s)&0xff] |= 1 << s
		t[endMagic>>(8-s)&0xff] |= 1 << (8 + s)
	}
	return t
}()

// finder finds the marks of a file in order.
type finder struct {
	r    io.ReaderAt
	size int64
	min  int64 // bit offset before which no mark counts
	off  int64 // offset in the file of the next byte to look at
	w    uint64
	buf  []byte
	pos  int
}

const finderBuffer = 1 << 18

func newFinder(r io.ReaderAt, size, fromByte int64) *finder {
	return &finder{r: r, size: size, min: fromByte * 8, off: fromByte}
}

// next returns the next mark, or io.EOF.
func (f *finder) next() (mark, error) {
	for {
		if f.pos == len(f.buf) {
			if f.off >= f.size {
				return mark{}, io.EOF
			}
			if f.buf == nil {
				f.buf = make([]byte, min(finderBuffer, f.size-f.off))
			}
			n := int(min(int64(cap(f.buf)), f.size-f.off))
			f.buf, f.pos = f.buf[:n], 0
			if n, err := f.r.ReadAt(f.buf, f.off); n < len(f.buf) {
				if err == nil || errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				f.buf = f.buf[:0]
				return mark{}, err
			}
		}
		buf, w := f.buf, f.w
		for i := f.pos; i < len(buf); i++ {
			w = w<<8 | uint64(buf[i])
			c := shifts[byte(w>>8)]
			if c == 0 {
				continue
			}
			for s := range 8 {
				isBlock, isEnd := c>>s&1 != 0, c>>(8+s)&1 != 0
				if !isBlock && !isEnd {
					continue
				}
				m := w >> s & magicMask
				if !(isBlock && m == blockMagic || isEnd && m == endMagic) {
					continue
				}
				bit := (f.off+int64(i-f.pos)+1)*8 - int64(s) - magicBits
				if bit < f.min {
					continue
				}
				f.off += int64(i - f.pos + 1)
				f.pos, f.w = i+1, w
				return mark{bit: bit, end: m == endMagic}, nil
			}
		}
		f.off += int64(len(buf) - f.pos)
		f.pos, f.w = len(buf), w
	}
}
