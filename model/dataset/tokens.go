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
	skip   int64  // bytes before the first
	vocab  uint32

	exchanged []uint32 // Manifest.Exchanged
}

func openTokens(path string, m *Manifest, n int64, width int) (*tokenFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("token files: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	t := &tokenFile{f: f, n: n, width: width, skip: m.Layout.headerSize(), vocab: uint32(m.Vocab), exchanged: m.Exchanged}
	if !fits(info.Size()-t.skip, n, width) {
		f.Close()
		header := ""
		if t.skip > 0 {
			header = fmt.Sprintf(" after the %d bytes with which layout %s begins", t.skip, m.Layout)
		}
		return nil, fmt.Errorf("%s has %d bytes; the manifest says %d tokens of %d bytes%s: the file was cut short or is of another dataset",
			path, info.Size(), n, width, header)
	}
	if err := checkHeader(f, m.Layout, n, width); err != nil {
		f.Close()
		return nil, err
	}
	if n > 0 {
		t.mapped = mapFile(f, info.Size())
	}
	return t, nil
}

// fits says whether size bytes are n records of width bytes. Dividing, it holds for any n.
func fits(size, n int64, width int) bool {
	return size >= 0 && size%int64(width) == 0 && size/int64(width) == n
}

// checkHeader holds the beginning of a .bin against its layout.
func checkHeader(f *os.File, l Layout, n int64, width int) error {
	want, err := l.Header(n, width)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(f, got); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("%s: byte %d is 0x%02x; the header of the layout %s for %d tokens has 0x%02x: the file is damaged or of another dataset", f.Name(), i, got[i], l, n, want[i])
		}
	}
	return nil
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
	from, size := t.skip+at*int64(t.width), int64(len(dst)*t.width)
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
	if t.exchanged != nil {
		x, y := t.exchanged[0], t.exchanged[1]
		for i, id := range dst {
			switch id {
			case x:
				dst[i] = y
			case y:
				dst[i] = x
			}
		}
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
