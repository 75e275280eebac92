// Package dataset reads token files: what stage tokenize writes and what training and
// evaluation read. A directory holds, for each split (train, val):
//
//	train.bin      ids, little-endian, 16 bits each (32 where the vocabulary passes
//	               65,536), every document ended by [EOS]: as nanoGPT reads them
//	train.docs     one record a document: where its ids begin, its bytes and words of
//	               original text, its source
//	manifest.json  counts, sources, digests, and what the layout is
//
// That is the plain layout; layout.go has those of other programs.
//
// Batches are drawn by position: Sample is a pure function of seed, epoch and index, so
// training goes on after a crash where it stood, and any number of workers may draw.
package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The splits.
const (
	Train = "train"
	Val   = "val"
)

// Splits lists the splits in the order of the files.
var Splits = []string{Train, Val}

// ManifestName is the file that makes a directory a dataset.
const ManifestName = "manifest.json"

// Manifest describes a dataset.
type Manifest struct {
	Format    string           `json:"format"`    // Format
	Tokenizer string           `json:"tokenizer"` // sha256 of tokenizer.json
	Vocab     int              `json:"vocab"`     // ids are below
	Lossy     bool             `json:"lossy"`     // the tokenizer's normal form loses something
	DType     string           `json:"dtype"`     // "uint16" or "uint32", little-endian
	End       uint32           `json:"end"`       // id after every document
	Seed      uint64           `json:"seed"`      // of the pipeline that made it
	Sources   []string         `json:"sources"`   // documents name them by number
	Splits    map[string]Split `json:"splits"`

	Layout Layout `json:"layout"`
	// Exchanged is none or two ids that stand for each other in the .bin, where its
	// layout wants 0 at the end of a document. Readers of this package undo it.
	Exchanged []uint32          `json:"exchanged,omitempty"`
	Digests   map[string]string `json:"digests"` // sha256 of the other files, by name
}

// Format is the version of the manifest. Before there was formatPlain: without layout,
// which is plain, and without digests.
const (
	Format      = "ptbr-tokens-2"
	formatPlain = "ptbr-tokens-1"
)

// Split counts what a split holds.
type Split struct {
	Volume
	Sources map[string]Volume `json:"sources"`
}

// Volume counts documents and what is in them.
type Volume struct {
	Documents int64 `json:"documents"`
	Tokens    int64 `json:"tokens"` // the [EOS] of each document included
	Bytes     int64 `json:"bytes"`  // of original text, before any normal form
	Words     int64 `json:"words"`  // of original text
}

// Add adds o to v.
func (v *Volume) Add(o Volume) {
	v.Documents += o.Documents
	v.Tokens += o.Tokens
	v.Bytes += o.Bytes
	v.Words += o.Words
}

// DType is how ids below vocab are stored, and Width its bytes.
func DType(vocab int) (name string, width int) {
	if vocab <= 1<<16 {
		return "uint16", 2
	}
	return "uint32", 4
}

// Dataset is an open dataset. Its methods may be called from several goroutines.
type Dataset struct {
	Manifest Manifest
	dir      string
	files    map[string]*tokenFile
}

// Open opens the dataset in dir and holds its files against the manifest: one that is
// missing, cut short or of another size is an error. Close it.
func Open(dir string) (*Dataset, error) {
	path := filepath.Join(dir, ManifestName)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("token files: %w", err)
	}
	d := &Dataset{dir: dir, files: map[string]*tokenFile{}}
	if err := json.Unmarshal(b, &d.Manifest); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m := &d.Manifest
	switch {
	case m.Format == formatPlain:
		m.Layout, m.Exchanged = Plain, nil
	case m.Format != Format:
		return nil, fmt.Errorf("%s: format is %q; %q is the one read here: run tokenize again", path, m.Format, Format)
	case len(m.Exchanged) != 0 && (len(m.Exchanged) != 2 || int64(max(m.Exchanged[0], m.Exchanged[1])) >= int64(m.Vocab)):
		return nil, fmt.Errorf("%s: exchanged is %d; must be none or two ids below %d", path, m.Exchanged, m.Vocab)
	}
	if err := m.Layout.Check(m.Vocab); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	dtype, width := DType(m.Vocab)
	if m.Vocab < 1 || m.DType != dtype {
		return nil, fmt.Errorf("%s: dtype is %q; a vocabulary of %d is stored as %s", path, m.DType, m.Vocab, dtype)
	}
	if m.Splits[Train].Tokens == 0 {
		return nil, fmt.Errorf("%s: there are no tokens to train on", path)
	}
	for _, split := range Splits {
		s, ok := m.Splits[split]
		if !ok {
			continue
		}
		f, err := openTokens(filepath.Join(dir, split+".bin"), m, s.Tokens, width)
		if err != nil {
			d.Close()
			return nil, err
		}
		d.files[split] = f
		if err := errors.Join(d.checkDocs(split), d.checkIndex(split, width)); err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// Close unmaps the files.
func (d *Dataset) Close() error {
	var first error
	for _, split := range Splits {
		if f := d.files[split]; f != nil {
			if err := f.Close(); first == nil {
				first = err
			}
		}
	}
	return first
}

// Match refuses a tokenizer that is not the one the data was made with.
func (d *Dataset) Match(tokenizerDigest string) error {
	if d.Manifest.Tokenizer != tokenizerDigest {
		return fmt.Errorf("token files in %s were made with the tokenizer %.12s, not with %.12s: run tokenize again with this tokenizer, or give the one it used",
			d.dir, d.Manifest.Tokenizer, tokenizerDigest)
	}
	return nil
}

// Tokens is the number of ids in a split; 0 if the dataset does not have it.
func (d *Dataset) Tokens(split string) int64 { return d.Manifest.Splits[split].Tokens }

// End is the id after every document.
func (d *Dataset) End() uint32 { return d.Manifest.End }

// Read fills dst with the ids of a split from position at on.
func (d *Dataset) Read(split string, at int64, dst []uint32) error {
	f := d.files[split]
	if f == nil {
		return fmt.Errorf("token files in %s have no split %q", d.dir, split)
	}
	return f.read(at, dst)
}
