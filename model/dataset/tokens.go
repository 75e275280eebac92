package dataset

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// tokenFile is a file of ids: mapped into memory where the system can, else read.
// A mapped file must not shrink while it is open; those in the store never change.
type tokenFile struct {
	f      *os.File
	mapped []byte // nil: read with ReadAt
	n      int64  // ids
	width  int    // bytes of an id
	vocab  uint32
}

func openTokens(path string, n int64, width, vocab int) (*tokenFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("token files: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if !fits(info.Size(), n, width) {
		f.Close()
		return nil, fmt.Errorf("%s has %d bytes; the manifest says %d tokens of %d bytes: the file was cut short or is of another dataset",
			path, info.Size(), n, width)
	}
	t := &tokenFile{f: f, n: n, width: width, vocab: uint32(vocab)}
	if n > 0 {
		t.mapped = mapFile(f, info.Size())
	}
	return t, nil
}

// fits says whether size bytes are n records of width bytes. Dividing, it holds for any n.
func fits(size, n int64, width int) bool {
	return size%int64(width) == 0 && size/int64(width) == n
}

func (t *tokenFile) Close() error {
	if t.mapped != nil {
		unmapFile(t.mapped)
		t.mapped = nil
	}
	return t.f.Close()
}

// read fills dst from position at on. An id outside the vocabulary is an error: an
// embedding has no row for it.
func (t *tokenFile) read(at int64, dst []uint32) error {
	if at < 0 || at+int64(len(dst)) > t.n {
		return fmt.Errorf("%s: tokens %d to %d were asked for; it has %d", t.f.Name(), at, at+int64(len(dst)), t.n)
	}
	var b []byte
	from, size := at*int64(t.width), int64(len(dst)*t.width)
	if t.mapped != nil {
		b = t.mapped[from : from+size]
	} else {
		b = make([]byte, size)
		if _, err := io.ReadFull(io.NewSectionReader(t.f, from, size), b); err != nil {
			return fmt.Errorf("%s: %w", t.f.Name(), err)
		}
	}
	var top uint32
	if t.width == 2 {
		for i := range dst {
			x := uint32(binary.LittleEndian.Uint16(b[2*i:]))
			dst[i], top = x, max(top, x)
		}
	} else {
		for i := range dst {
			x := binary.LittleEndian.Uint32(b[4*i:])
			dst[i], top = x, max(top, x)
		}
	}
	if top >= t.vocab {
		return fmt.Errorf("%s: token %d near position %d; the vocabulary has %d: the file is damaged or of another tokenizer", t.f.Name(), top, at, t.vocab)
	}
	return nil
}

// AppendTokens appends ids as they stand in a .bin file of the given width.
func AppendTokens(b []byte, ids []uint32, width int) []byte {
	for _, id := range ids {
		if width == 2 {
			b = binary.LittleEndian.AppendUint16(b, uint16(id))
		} else {
			b = binary.LittleEndian.AppendUint32(b, id)
		}
	}
	return b
}
