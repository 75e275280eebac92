package tokenize

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"

	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/dataset"
)

// splitWriter writes the files of one split and enters them in the manifest.
type splitWriter struct {
	m         *dataset.Manifest
	split     string
	width     int
	bin, docs *file
	sum       dataset.Split
	documents []int32 // ids of each, for the index of layout megatron
}

// newSplitWriter begins the files. The shards tell how many ids there will be.
func newSplitWriter(t stage.Task, m *dataset.Manifest, split string, shards []stage.File) (*splitWriter, error) {
	w := &splitWriter{m: m, split: split, sum: dataset.Split{Sources: map[string]dataset.Volume{}}}
	_, w.width = dataset.DType(m.Vocab)
	var size int64
	for _, f := range shards {
		size += f.Size
	}
	header, err := m.Layout.Header(size/int64(w.width), w.width)
	if err != nil {
		return nil, err
	}
	if w.bin, err = create(t, split+".bin"); err != nil {
		return nil, err
	}
	if _, err := w.bin.Write(header); err != nil {
		return nil, err
	}
	w.docs, err = create(t, split+".docs")
	return w, err
}

// add appends one shard, numbering its sources as the manifest does.
func (w *splitWriter) add(t stage.Task, shard stage.File, x index) error {
	if x.Split != w.split {
		return fmt.Errorf("the shard %.12s is of split %q; it stands among those of %s", shard.Digest, x.Split, w.split)
	}
	number := make([]uint32, len(x.Sources))
	for i, source := range x.Sources {
		number[i] = uint32(sourceNumber(w.m, source))
	}
	var records []byte
	var err error
	before := w.sum.Tokens
	for _, d := range x.Documents {
		r := dataset.Document{Start: w.sum.Tokens, Tokens: d.Tokens, Bytes: d.Bytes, Words: d.Words, ID: d.ID, Source: number[d.Source]}
		if records, err = dataset.AppendDocument(records, r); err != nil {
			return err
		}
		if w.m.Layout == dataset.Megatron {
			if d.Tokens > math.MaxInt32 {
				return fmt.Errorf("a document of %d tokens is too long for the index of layout %s; the limit is 2³¹-1", d.Tokens, w.m.Layout)
			}
			w.documents = append(w.documents, int32(d.Tokens))
		}
		v := dataset.Volume{Documents: 1, Tokens: d.Tokens, Bytes: d.Bytes, Words: d.Words}
		w.sum.Add(v)
		source := x.Sources[d.Source]
		v.Add(w.sum.Sources[source])
		w.sum.Sources[source] = v
	}
	if shard.Size != (w.sum.Tokens-before)*int64(w.width) {
		return fmt.Errorf("the shard %.12s has %d bytes; its index counts %d ids of %d bytes", shard.Digest, shard.Size, w.sum.Tokens-before, w.width)
	}
	if _, err := w.docs.Write(records); err != nil {
		return err
	}
	h, err := t.Open(shard)
	if err != nil {
		return err
	}
	defer h.Close()
	b := make([]byte, 1<<16) // holds ids of either width without a rest
	for {
		n, err := io.ReadFull(h, b)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if x := w.m.Exchanged; x != nil {
			dataset.Exchange(b[:n], w.width, x[0], x[1])
		}
		if _, err := w.bin.Write(b[:n]); err != nil {
			return err
		}
	}
}

func sourceNumber(m *dataset.Manifest, source string) int {
	for i, s := range m.Sources {
		if s == source {
			return i
		}
	}
	m.Sources = append(m.Sources, source)
	return len(m.Sources) - 1
}

func (w *splitWriter) close(t stage.Task) error {
	w.m.Splits[w.split] = w.sum
	w.bin.SetStats(stage.Stats{Documents: w.sum.Documents, Bytes: w.sum.Bytes, Tokens: w.sum.Tokens})
	files := []*file{w.bin, w.docs}
	if w.m.Layout == dataset.Megatron {
		idx, err := create(t, w.split+".idx")
		if err != nil {
			return err
		}
		if err := dataset.WriteIndex(idx, w.documents, w.width); err != nil {
			return err
		}
		files = append(files, idx)
	}
	for _, f := range files {
		w.m.Digests[f.name] = hex.EncodeToString(f.sum.Sum(nil))
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// file is an output whose sha256 goes into the manifest.
type file struct {
	stage.Writer
	name string
	sum  hash.Hash
}

func create(t stage.Task, name string) (*file, error) {
	w, err := t.Create("tokens", name)
	return &file{w, name, sha256.New()}, err
}

func (f *file) Write(b []byte) (int, error) {
	f.sum.Write(b)
	return f.Writer.Write(b)
}
