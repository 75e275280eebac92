// Package droplist is the format in which deduplication says which documents belong
// together and which of them go: JSON lines, one for each document that has a
// duplicate, the kept ones included, sorted by cluster, source and id.
package droplist

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Name is the file that holds the list, in an artifact of the type Droplist.
const Name = "droplist.jsonl"

// Why a document is in its cluster.
const (
	Kept  = "kept"
	Exact = "exact" // its normalised text is that of another
	Near  = "near"  // enough of its shingles are those of another
)

// Entry is one document of a cluster.
type Entry struct {
	ID      string `json:"id"`
	Source  string `json:"source"`
	Cluster string `json:"cluster"` // Key of the document that is kept
	Keep    bool   `json:"keep"`
	Reason  string `json:"reason"`

	// Jaccard is the highest similarity that was measured between this document and
	// another of its cluster: 1 for exact copies.
	Jaccard float64 `json:"jaccard"`
}

// Key names a document among those of all sources.
func Key(source, id string) string { return source + ":" + id }

// Write sorts the entries and writes them.
func Write(w io.Writer, entries []Entry) error {
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Source, b.Source), cmp.Compare(a.ID, b.ID))
	})
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for i := range entries {
		if err := enc.Encode(&entries[i]); err != nil {
			return fmt.Errorf("drop list: %w", err)
		}
	}
	return b.Flush()
}

// List is a drop list to ask.
type List map[string]Entry

// Read adds the entries of one file to the list.
func (l List) Read(r io.Reader) error {
	dec := json.NewDecoder(bufio.NewReader(r))
	for n := 1; ; n++ {
		var e Entry
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("drop list, entry %d: %w", n, err)
		}
		k := Key(e.Source, e.ID)
		if old, ok := l[k]; ok && old != e {
			return fmt.Errorf("drop list, entry %d: document %s of %s is listed twice, in clusters %q and %q", n, e.ID, e.Source, old.Cluster, e.Cluster)
		}
		l[k] = e
	}
}

// Find returns the entry of a document, if it has duplicates.
func (l List) Find(source, id string) (Entry, bool) {
	e, ok := l[Key(source, id)]
	return e, ok
}

// Cluster returns what stands for the document among those that are alike: the key of
// the kept one, or its own.
func (l List) Cluster(source, id string) string {
	if e, ok := l.Find(source, id); ok {
		return e.Cluster
	}
	return Key(source, id)
}
