// Package safetensors reads and writes float32 tensors in the safetensors format: a
// little-endian length of 8 bytes, a JSON header of names, shapes and offsets, the
// tensors' bytes, little-endian, row-major, without holes
// (https://github.com/huggingface/safetensors).
package safetensors

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sort"
)

// Tensor is a tensor to be written.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// maxHeader is the longest header the format allows.
const maxHeader = 100_000_000

const metadataKey = "__metadata__"

type entry struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// Write writes tensors, sorted by name as the reference writer does, and metadata.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	tensors = slices.Clone(tensors)
	sort.SliceStable(tensors, func(i, j int) bool { return tensors[i].Name < tensors[j].Name })
	var h bytes.Buffer
	h.WriteByte('{')
	put := func(key string, value any) error {
		if h.Len() > 1 {
			h.WriteByte(',')
		}
		k, err := json.Marshal(key)
		if err != nil {
			return err
		}
		v, err := json.Marshal(value)
		if err != nil {
			return err
		}
		h.Write(k)
		h.WriteByte(':')
		h.Write(v)
		return nil
	}
	if len(metadata) > 0 {
		if err := put(metadataKey, metadata); err != nil {
			return err
		}
	}
	var at int64
	for i, t := range tensors {
		n, err := count(t.Shape)
		if err != nil || n != int64(len(t.Data)) {
			return fmt.Errorf("tensor %s has shape %v and %d values", t.Name, t.Shape, len(t.Data))
		}
		if t.Name == metadataKey || i > 0 && tensors[i-1].Name == t.Name {
			return fmt.Errorf("tensor name %s is taken", t.Name)
		}
		if err := put(t.Name, entry{"F32", append([]int{}, t.Shape...), [2]int64{at, at + 4*n}}); err != nil {
			return err
		}
		at += 4 * n
	}
	h.WriteByte('}')
	for h.Len()%8 != 0 {
		h.WriteByte(' ')
	}
	b := bufio.NewWriterSize(w, 1<<16)
	var word [8]byte
	binary.LittleEndian.PutUint64(word[:], uint64(h.Len()))
	b.Write(word[:])
	b.Write(h.Bytes())
	for _, t := range tensors {
		for _, v := range t.Data {
			binary.LittleEndian.PutUint32(word[:4], math.Float32bits(v))
			if _, err := b.Write(word[:4]); err != nil {
				return err
			}
		}
	}
	return b.Flush()
}

// File is an open file. Close it.
type File struct {
	Metadata map[string]string
	f        *os.File
	entries  map[string]entry
	data     int64 // where the tensors' bytes begin
}

// Open opens a file and checks its header against its size.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	file, err := open(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

func open(f *os.File) (*File, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var word [8]byte
	if _, err := f.ReadAt(word[:], 0); err != nil {
		return nil, fmt.Errorf("not a safetensors file: %d bytes are too few for its header's length", st.Size())
	}
	n := binary.LittleEndian.Uint64(word[:])
	if n > maxHeader || int64(n) > st.Size()-8 {
		return nil, fmt.Errorf("not a safetensors file, or cut short: its header would have %d bytes, the file has %d", n, st.Size())
	}
	header := make([]byte, n)
	if _, err := f.ReadAt(header, 8); err != nil {
		return nil, err
	}
	entries, metadata, err := parse(header, st.Size()-8-int64(n))
	if err != nil {
		return nil, err
	}
	return &File{metadata, f, entries, 8 + int64(n)}, nil
}

// parse decodes a header and holds it against the number of bytes after it.
func parse(header []byte, size int64) (map[string]entry, map[string]string, error) {
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, errors.New("not a safetensors file: its header is not a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(header))
	if _, err := d.Token(); err != nil {
		return nil, nil, fmt.Errorf("safetensors header: %w", err)
	}
	entries, metadata := map[string]entry{}, map[string]string(nil)
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("safetensors header: %w", err)
		}
		name, _ := tok.(string)
		if _, twice := entries[name]; twice || name == metadataKey && metadata != nil {
			return nil, nil, fmt.Errorf("safetensors header names %s twice", name)
		}
		if name == metadataKey {
			metadata = map[string]string{}
			if err := d.Decode(&metadata); err != nil {
				return nil, nil, fmt.Errorf("safetensors header, %s: %w", name, err)
			}
			continue
		}
		var e entry
		if err := d.Decode(&e); err != nil {
			return nil, nil, fmt.Errorf("safetensors header, tensor %s: %w", name, err)
		}
		if e.DType != "F32" {
			return nil, nil, fmt.Errorf("tensor %s is of type %s; only F32 is read here", name, e.DType)
		}
		n, err := count(e.Shape)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		if e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] || e.Offsets[1]-e.Offsets[0] != 4*n {
			return nil, nil, fmt.Errorf("tensor %s has shape %v but bytes %d to %d", name, e.Shape, e.Offsets[0], e.Offsets[1])
		}
		entries[name] = e
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, fmt.Errorf("safetensors header: %w", err)
	}
	spans := make([]entry, 0, len(entries))
	for _, e := range entries {
		spans = append(spans, e)
	}
	sort.Slice(spans, func(i, j int) bool {
		a, b := spans[i].Offsets, spans[j].Offsets
		return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
	})
	var at int64
	for _, e := range spans {
		if e.Offsets[0] != at {
			return nil, nil, fmt.Errorf("safetensors header: a tensor begins at byte %d, the one before ends at %d", e.Offsets[0], at)
		}
		at = e.Offsets[1]
	}
	if at != size {
		return nil, nil, fmt.Errorf("the tensors have %d bytes, the file has %d for them: it was cut short or is not whole", at, size)
	}
	return entries, metadata, nil
}

// count is the number of values of a shape.
func count(shape []int) (int64, error) {
	n := int64(1)
	for _, s := range shape {
		if s < 0 || s > 0 && n > math.MaxInt64/8/int64(s) {
			return 0, fmt.Errorf("shape %v is none", shape)
		}
		n *= int64(s)
	}
	return n, nil
}

// Names lists the tensors, sorted.
func (f *File) Names() []string {
	names := make([]string, 0, len(f.entries))
	for n := range f.entries {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Read reads a tensor into dst. It must have that shape.
func (f *File) Read(name string, shape []int, dst []float32) error {
	e, ok := f.entries[name]
	if !ok {
		return fmt.Errorf("%s has no tensor %s", f.f.Name(), name)
	}
	if n, err := count(shape); err != nil || !slices.Equal(e.Shape, shape) || n != int64(len(dst)) {
		return fmt.Errorf("%s: tensor %s has shape %v, must have %v", f.f.Name(), name, e.Shape, shape)
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f.f, f.data+e.Offsets[0], e.Offsets[1]-e.Offsets[0]), 1<<16)
	var word [4]byte
	for i := range dst {
		if _, err := io.ReadFull(r, word[:]); err != nil {
			return fmt.Errorf("%s: tensor %s: %w", f.f.Name(), name, err)
		}
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(word[:]))
	}
	return nil
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }
