package audit

import (
	"cmp"
	"hash/fnv"
	"io"
	"slices"
	"strings"
)

// How many of the worst lines and documents are listed.
const (
	maxLines     = 200
	maxDocuments = 50
)

// Worst is a line or document with a bad score.
type Worst struct {
	Score  int64    `json:"score"` // lines: thousandths of dirt; documents: points
	Hash   uint64   `json:"hash"`  // orders equal scores
	ID     string   `json:"id"`
	Source string   `json:"source"`
	Why    []string `json:"why"`
	Text   string   `json:"text"` // an excerpt
}

func hashOf(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		io.WriteString(h, p)
		h.Write([]byte{0})
	}
	return h.Sum64()
}

// worstLines orders lines from the dirtiest and keeps the first few distinct ones, each
// with the first document that has it. Since a line among the worst of all parts is
// among the worst of its own, the result does not depend on the parts.
func worstLines(w []Worst) []Worst {
	slices.SortFunc(w, func(a, b Worst) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Hash, b.Hash), strings.Compare(a.Text, b.Text),
			strings.Compare(a.Source, b.Source), strings.Compare(a.ID, b.ID))
	})
	w = slices.CompactFunc(w, func(a, b Worst) bool { return a.Hash == b.Hash && a.Text == b.Text })
	return w[:min(len(w), maxLines)]
}

// worstDocuments orders documents from the lowest score and keeps the first few.
func worstDocuments(w []Worst) []Worst {
	slices.SortFunc(w, func(a, b Worst) int {
		return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(a.Hash, b.Hash),
			strings.Compare(a.Source, b.Source), strings.Compare(a.ID, b.ID))
	})
	return w[:min(len(w), maxDocuments)]
}

func names(all []string, mask uint16) (r []string) {
	for i, n := range all {
		if mask>>i&1 == 1 {
			r = append(r, n)
		}
	}
	return r
}
