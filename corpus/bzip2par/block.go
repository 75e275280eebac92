package bzip2par

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/dsnet/compress/bzip2"
)

// decoder decodes single blocks; it keeps the tables it once made.
type decoder struct {
	z      *bzip2.Reader
	stream []byte
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// block decodes the block between two bit offsets of a file: it moves the block's
// bits to a byte border and puts a header before them and an end behind them, which
// makes a whole stream of one block. The decoder then checks the block's CRC and
// that the block ends exactly where it should.
func (d *decoder) block(r io.ReaderAt, from, to int64) (out []byte, crc uint32, err error) {
	if to-from < magicBits+32 {
		return nil, 0, fmt.Errorf("a block of %d bits", to-from)
	}
	if to-from > maxBlockBytes*8 {
		return nil, 0, fmt.Errorf("no block or end within %d bytes", (to-from)/8)
	}
	first, shift := from/8, uint(from%8)
	raw := make([]byte, (to+7)/8-first+1) // one more: the shift looks a byte ahead
	if _, err := r.ReadAt(raw[:len(raw)-1], first); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	bits := to - from
	s := append(d.stream[:0], "BZh9"...)
	for i := range int((bits + 7) / 8) {
		s = append(s, raw[i]<<shift|raw[i+1]>>(8-shift))
	}
	used := uint(bits % 8) // bits of the last byte that are the block's
	crc = uint32(s[10])<<24 | uint32(s[11])<<16 | uint32(s[12])<<8 | uint32(s[13])
	if used > 0 {
		s[len(s)-1] &= 0xff << (8 - used)
	} else {
		s = append(s, 0)
	}
	tail := [10]byte{endMagic >> 40, endMagic >> 32 & 0xff, endMagic >> 24 & 0xff, endMagic >> 16 & 0xff, endMagic >> 8 & 0xff, endMagic & 0xff,
		byte(crc >> 24), byte(crc >> 16), byte(crc >> 8), byte(crc)}
	for _, b := range tail {
		s[len(s)-1] |= b >> used
		s = append(s, b<<(8-used))
	}
	if used == 0 {
		s = s[:len(s)-1]
	}
	d.stream = s
	out, err = d.decode(s)
	return out, crc, err
}

func (d *decoder) decode(stream []byte) (out []byte, err error) {
	defer func() {
		// The decoder is meant to turn all that corrupt input does into errors; if
		// it misses something the block is corrupt all the same.
		if p := recover(); p != nil {
			d.z = nil
			out, err = nil, fmt.Errorf("decoder: %v", p)
		}
	}()
	in := bytes.NewReader(stream)
	if d.z == nil {
		d.z, err = bzip2.NewReader(in, nil)
	} else {
		err = d.z.Reset(in)
	}
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, min(1<<20, 8*len(stream))))
	if _, err := b.ReadFrom(d.z); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
