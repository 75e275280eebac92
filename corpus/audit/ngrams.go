package audit

import (
	"cmp"
	"hash/fnv"
	"io"
	"math/bits"
	"slices"
	"strings"
)

// blockWords is the unit of sampling: n-grams that begin in the same run of so many
// words of a document are all counted or none.
const blockWords = 256

// NGrams counts the word n-grams of one order in bounded memory, such that the result
// depends on the documents alone: not on how they are cut into parts, nor on the order
// in which parts are merged.
//
// Every block of text has a level drawn from the hash of its place (source, document,
// number of the block): level l with probability 2^-(l+1). Counts are kept by level, and
// when there are more than Capacity of them the lowest level is let go and never counted
// again (adaptive sampling, Flajolet 1990, over blocks in place of values). So the lowest
// level that stays is the lowest for which the counts of all documents fit, whoever
// counted them, and the counts above it are exact: those of a random 2^-Level of the
// text. A count c of them estimates c·2^Level in the whole text, with a relative standard
// error of about 1/√c while n-grams fall into blocks independently; at Level 0 it is exact.
type NGrams struct {
	Order    int                `json:"order"` // words
	Capacity int                `json:"capacity"`
	Level    int                `json:"level"`
	Counts   []map[string]int64 `json:"counts"` // by level, from Level on: Counts[0] is that of Level
	entries  int
}

// newNGrams counts n-grams of so many words in at most capacity counts.
func newNGrams(order, capacity int) *NGrams {
	return &NGrams{Order: order, Capacity: capacity, Counts: []map[string]int64{}}
}

// blockLevel gives the level of block i of a document.
func blockLevel(source, id string, i int) int {
	h := fnv.New64a()
	var b [8]byte
	for j := range b {
		b[j] = byte(i >> (8 * j))
	}
	io.WriteString(h, source+"\x00"+id+"\x00")
	h.Write(b[:])
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return bits.TrailingZeros64(x ^ x>>31 | 1<<40)
}

// add counts an n-gram of a block of the given level.
func (g *NGrams) add(level int, gram []byte) {
	if level < g.Level {
		return
	}
	for len(g.Counts) <= level-g.Level {
		g.Counts = append(g.Counts, map[string]int64{})
	}
	m := g.Counts[level-g.Level]
	if n, ok := m[string(gram)]; ok {
		m[string(gram)] = n + 1
		return
	}
	m[string(gram)] = 1
	g.entries++
	g.fit()
}

func (g *NGrams) fit() {
	for g.entries > g.Capacity {
		g.entries -= len(g.Counts[0])
		g.Counts = g.Counts[1:]
		g.Level++
	}
}

// Merge adds what o counted; both have the same order and capacity.
func (g *NGrams) Merge(o *NGrams) {
	for g.Level < o.Level {
		if len(g.Counts) > 0 {
			g.entries -= len(g.Counts[0])
			g.Counts = g.Counts[1:]
		}
		g.Level++
	}
	for i, counts := range o.Counts {
		level := o.Level + i
		for gram, n := range counts {
			if level < g.Level {
				break
			}
			for len(g.Counts) <= level-g.Level {
				g.Counts = append(g.Counts, map[string]int64{})
			}
			m := g.Counts[level-g.Level]
			if _, ok := m[gram]; !ok {
				g.entries++
			}
			m[gram] += n
		}
		g.fit()
	}
}

// recount restores what JSON does not hold.
func (g *NGrams) recount() {
	g.entries = 0
	for _, m := range g.Counts {
		g.entries += len(m)
	}
}

// Gram is a frequent n-gram.
type Gram struct {
	Text     string `json:"text"`
	Counted  int64  `json:"counted"`  // in the sampled text
	Estimate int64  `json:"estimate"` // in the whole text
}

// Top gives the k most frequent n-grams, most frequent first and then by text.
func (g *NGrams) Top(k int) []Gram {
	sum := map[string]int64{}
	for _, m := range g.Counts {
		for gram, n := range m {
			sum[gram] += n
		}
	}
	all := make([]Gram, 0, len(sum))
	for gram, n := range sum {
		all = append(all, Gram{gram, n, n << g.Level})
	}
	slices.SortFunc(all, func(a, b Gram) int {
		return cmp.Or(cmp.Compare(b.Counted, a.Counted), strings.Compare(a.Text, b.Text))
	})
	return all[:min(k, len(all))]
}
