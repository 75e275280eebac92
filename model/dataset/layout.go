package dataset

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Layout is how the ids of a split stand in its files: plain, or as another program
// wants them. All are little-endian and read here alike.
type Layout string

// The layouts.
const (
	Plain    Layout = "plain"     // ids and nothing else; nanoGPT
	LLMC     Layout = "llm.c"     // after 256 numbers, as llm.c's write_datafile (dev/data/data_common.py)
	Megatron Layout = "megatron"  // plain, and an index beside them; Megatron-LM, RWKV-LM's binidx
	Counted  Layout = "u64-count" // after their number; PTBR-SLM
)

// Layouts lists the layouts.
var Layouts = []Layout{Plain, LLMC, Megatron, Counted}

// Check refuses a layout that is not known, or that cannot hold the ids of a vocabulary.
func (l Layout) Check(vocab int) error {
	if !slices.Contains(Layouts, l) {
		var names []string
		for _, x := range Layouts {
			names = append(names, string(x))
		}
		return fmt.Errorf("layout is %q; there are %s", l, strings.Join(names, ", "))
	}
	if l == Counted && vocab > 1<<16 {
		return fmt.Errorf("layout %s has 16 bits for an id, and the vocabulary has %d: take another layout or at most 65,536 ids", l, vocab)
	}
	return nil
}

// headerSize is how many bytes stand before the first id.
func (l Layout) headerSize() int64 {
	switch l {
	case LLMC:
		return 256 * 4
	case Counted:
		return 8
	}
	return 0
}

// Header is what stands in a .bin before its ids. llm.c tells the widths apart by magic
// and version: those of its GPT-2 for 2 bytes, those of its Llama 3 for 4. It counts in
// 31 bits: more tokens are an error.
func (l Layout) Header(tokens int64, width int) ([]byte, error) {
	b := make([]byte, l.headerSize())
	switch l {
	case LLMC:
		if tokens > math.MaxInt32 {
			return nil, fmt.Errorf("layout %s cannot hold a split of %d tokens: its header has 31 bits for their number; take another layout", l, tokens)
		}
		magic, version := uint32(20240520), uint32(1)
		if width == 4 {
			magic, version = 20240801, 7
		}
		for i, x := range []uint32{magic, version, uint32(tokens)} {
			binary.LittleEndian.PutUint32(b[4*i:], x)
		}
	case Counted:
		binary.LittleEndian.PutUint64(b, uint64(tokens))
	}
	return b, nil
}

// indexHead is how an .idx begins: magic, version, the code of the ids' type, and how many sequences
// and how many borders of documents follow. A document is one sequence.
func indexHead(documents int64, width int) []byte {
	b := append([]byte("MMIDIDX\x00\x00"), 1, 0, 0, 0, 0, 0, 0, 0)
	code := byte(8) // uint16
	if width == 4 {
		code = 4 // int32: the format has no uint32, and no id needs the sign
	}
	b = append(b, code)
	b = binary.LittleEndian.AppendUint64(b, uint64(documents))
	return binary.LittleEndian.AppendUint64(b, uint64(documents)+1)
}

// indexSize is the bytes of an .idx.
func indexSize(documents int64) int64 { return 34 + 20*documents + 8 }

// WriteIndex writes the .idx of layout megatron: of each document the number of ids, an
// int32; the byte at which it begins in the .bin, an int64; and the borders between
// documents, counted in sequences, int64 too.
func WriteIndex(w io.Writer, tokens []int32, width int) error {
	b := indexHead(int64(len(tokens)), width)
	put := func(size int, x int64) (err error) {
		if size == 4 {
			b = binary.LittleEndian.AppendUint32(b, uint32(x))
		} else {
			b = binary.LittleEndian.AppendUint64(b, uint64(x))
		}
		if len(b) >= 1<<16 {
			_, err = w.Write(b)
			b = b[:0]
		}
		return err
	}
	for _, n := range tokens {
		if err := put(4, int64(n)); err != nil {
			return err
		}
	}
	var at int64
	for _, n := range tokens {
		if err := put(8, at); err != nil {
			return err
		}
		at += int64(n) * int64(width)
	}
	for i := range len(tokens) + 1 {
		if err := put(8, int64(i)); err != nil {
			return err
		}
	}
	_, err := w.Write(b)
	return err
}

// Exchange puts two ids in each other's place, in ids as they stand in a .bin.
func Exchange(bin []byte, width int, x, y uint32) {
	for i := 0; i+width <= len(bin); i += width {
		id := uint32(binary.LittleEndian.Uint16(bin[i:]))
		if width == 4 {
			id = binary.LittleEndian.Uint32(bin[i:])
		}
		switch id {
		case x:
			id = y
		case y:
			id = x
		default:
			continue
		}
		if width == 4 {
			binary.LittleEndian.PutUint32(bin[i:], id)
		} else {
			binary.LittleEndian.PutUint16(bin[i:], uint16(id))
		}
	}
}
