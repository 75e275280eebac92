package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
)

// Document is a record of a .docs file: what stands where in the .bin, and how much
// original text it was, so that evaluation can speak of bytes, words and sources.
type Document struct {
	Start  int64  // position of its first id
	Tokens int64  // its [EOS] included
	Bytes  int64  // of original text
	Words  int64  // of original text
	ID     uint64 // Hash of source and id
	Source uint32 // index in Manifest.Sources
}

// documentSize is the bytes of a record: little-endian, start u64, tokens u32,
// source u32, bytes u64, words u64, id u64.
const documentSize = 40

// Hash is the id of a document as a .docs file has it: FNV-1a, 64 bits, of source, a
// zero byte and id.
func Hash(source, id string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, source)
	h.Write([]byte{0})
	io.WriteString(h, id)
	return h.Sum64()
}

// AppendDocument appends a record.
func AppendDocument(b []byte, d Document) ([]byte, error) {
	if d.Tokens > 1<<32-1 {
		return b, fmt.Errorf("a document of %d tokens is too long; the limit is 2³²-1", d.Tokens)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(d.Start))
	b = binary.LittleEndian.AppendUint32(b, uint32(d.Tokens))
	b = binary.LittleEndian.AppendUint32(b, d.Source)
	b = binary.LittleEndian.AppendUint64(b, uint64(d.Bytes))
	b = binary.LittleEndian.AppendUint64(b, uint64(d.Words))
	return binary.LittleEndian.AppendUint64(b, d.ID), nil
}

func readDocument(b []byte) Document {
	u64 := binary.LittleEndian.Uint64
	return Document{Start: int64(u64(b)), Tokens: int64(binary.LittleEndian.Uint32(b[8:])),
		Source: binary.LittleEndian.Uint32(b[12:]), Bytes: int64(u64(b[16:])), Words: int64(u64(b[24:])), ID: u64(b[32:])}
}

// Documents returns the documents of a split, in the order of the .bin.
func (d *Dataset) Documents(split string) ([]Document, error) {
	path := filepath.Join(d.dir, split+".docs")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("token files: %w", err)
	}
	s := d.Manifest.Splits[split]
	if !fits(int64(len(b)), s.Documents, documentSize) {
		return nil, fmt.Errorf("%s has %d bytes; the manifest says %d documents of %d bytes", path, len(b), s.Documents, documentSize)
	}
	if want, got := d.Manifest.Digests[split+".docs"], fmt.Sprintf("%x", sha256.Sum256(b)); want != "" && got != want {
		return nil, fmt.Errorf("%s has the sha256 %.12s; the manifest says %.12s: the file is damaged or of another dataset", path, got, want)
	}
	docs := make([]Document, s.Documents)
	var at int64
	for i := range docs {
		docs[i] = readDocument(b[i*documentSize:])
		if docs[i].Start != at {
			return nil, fmt.Errorf("%s: document %d begins at %d; the one before it ends at %d", path, i, docs[i].Start, at)
		}
		if at += docs[i].Tokens; int(docs[i].Source) >= len(d.Manifest.Sources) {
			return nil, fmt.Errorf("%s: document %d is of source %d; the manifest names %d", path, i, docs[i].Source, len(d.Manifest.Sources))
		}
	}
	if at != s.Tokens {
		return nil, fmt.Errorf("%s: the documents end at %d; the split has %d tokens", path, at, s.Tokens)
	}
	return docs, nil
}

func (d *Dataset) checkDocs(split string) error {
	info, err := os.Stat(filepath.Join(d.dir, split+".docs"))
	if err != nil {
		return fmt.Errorf("token files: %w", err)
	}
	if n := d.Manifest.Splits[split].Documents; !fits(info.Size(), n, documentSize) {
		return fmt.Errorf("%s.docs in %s has %d bytes; the manifest says %d documents of %d bytes", split, d.dir, info.Size(), n, documentSize)
	}
	return nil
}

// checkIndex holds the .idx of layout megatron against the manifest. Nothing is read from it here:
// the .docs say the same.
func (d *Dataset) checkIndex(split string, width int) error {
	if d.Manifest.Layout != Megatron {
		return nil
	}
	f, err := os.Open(filepath.Join(d.dir, split+".idx"))
	if err != nil {
		return fmt.Errorf("token files: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	n := d.Manifest.Splits[split].Documents
	want := indexHead(n, width)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(f, got); err != nil || info.Size() != indexSize(n) || !bytes.Equal(got, want) {
		return fmt.Errorf("%s is not the index of %d documents of %d bytes an id, which the manifest says it is: run tokenize again", f.Name(), n, width)
	}
	return nil
}

// WriteTo encodes the manifest as indented JSON, keys sorted.
func (m *Manifest) WriteTo(w io.Writer) (int64, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(b, '\n'))
	return int64(n), err
}
