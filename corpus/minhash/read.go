package minhash

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// longest bounds the strings and bands of a record that is read, against damage.
const longest = 1 << 20

// ReadRecord reads what AppendBinary wrote, or returns io.EOF where no record begins.
func ReadRecord(in *bufio.Reader, r *Record) error {
	if _, err := in.Peek(1); err != nil {
		return err
	}
	err := r.read(in)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}

func (r *Record) read(in *bufio.Reader) error {
	for _, s := range []*string{&r.ID, &r.Source} {
		n, err := number(in)
		if err != nil {
			return err
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return err
		}
		*s = string(b)
	}
	if _, err := io.ReadFull(in, r.Exact[:]); err != nil {
		return err
	}
	words, err := binary.ReadUvarint(in)
	if err != nil {
		return err
	}
	r.Words = int(words)
	n, err := number(in)
	if err != nil {
		return err
	}
	r.Bands = nil
	for range n {
		var b [8]byte
		if _, err := io.ReadFull(in, b[:]); err != nil {
			return err
		}
		r.Bands = append(r.Bands, binary.LittleEndian.Uint64(b[:]))
	}
	return nil
}

func number(in *bufio.Reader) (int, error) {
	n, err := binary.ReadUvarint(in)
	if err == nil && n > longest {
		err = fmt.Errorf("a length of %d; the file is damaged", n)
	}
	return int(n), err
}
