package tokenizer

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Encode appends the ids of text to dst. Specials written in the text are text: none
// of their ids comes out. Bytes that are not UTF-8 count as U+FFFD (see Exact).
func (t *Tokenizer) Encode(dst []uint32, text string) []uint32 {
	if t.prefixSpace || len(t.added) > len(t.names) {
		return t.EncodeSpecials(dst, text, nil)
	}
	return t.encodeNormal(dst, t.normal(text))
}

// encodeNormal encodes text that is in the normal form.
func (t *Tokenizer) encodeNormal(dst []uint32, text string) []uint32 {
	dst, _ = t.encodeUpTo(dst, text, len(text))
	return dst
}

// encodeUpTo encodes the pieces of text that end at limit or before, and returns where
// the last of them ends.
func (t *Tokenizer) encodeUpTo(dst []uint32, text string, limit int) (_ []uint32, end int) {
	next, i := t.splitter.next, 0
	for i < limit {
		j := next(text, i)
		if j > limit {
			break
		}
		switch n := j - i; {
		case n == 1:
			dst = append(dst, t.bytes[text[i]])
		case n > cachePiece:
			dst = t.mergePiece(dst, text[i:j])
		default:
			key := keyOf(text, i, n)
			places := t.cache.places(&key)
			var ok bool
			if dst, ok = places[0].get(&key, dst); !ok {
				dst = t.encodeRare(dst, text[i:j], &key, places)
			}
		}
		i = j
	}
	return dst, i
}

// EncodeSpecials is Encode, but the specials named in allowed become their ids where
// the text has them: the leftmost first, the longest of those that begin together.
func (t *Tokenizer) EncodeSpecials(dst []uint32, text string, allowed []string) []uint32 {
	t.segments(text, allowed,
		func(text string) { dst = t.encodeNormal(dst, text) },
		func(id uint32) { dst = append(dst, id) })
	return dst
}

// EncodeBatch encodes texts on workers goroutines; the ids of texts[i] are in place i.
// Specials written in the texts are text.
func (t *Tokenizer) EncodeBatch(texts []string, workers int) [][]uint32 {
	ids := make([][]uint32, len(texts))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range max(1, min(workers, len(texts))) {
		wg.Go(func() {
			var dst []uint32
			for {
				i := int(next.Add(1)) - 1
				if i >= len(texts) {
					return
				}
				dst = t.Encode(dst[:0], texts[i])
				ids[i] = slices.Clone(dst)
			}
		})
	}
	wg.Wait()
	return ids
}

// shortPiece is the length in bytes up to which the lowest rank is found by looking at
// all of them.
const shortPiece = 64

// encodeRare encodes a piece that is not in the first of its places.
func (t *Tokenizer) encodeRare(dst []uint32, piece string, key *cacheKey, places *[2]place) []uint32 {
	dst, ok := places[1].get(key, dst)
	if ok {
		return dst
	}
	n := len(dst)
	dst = t.mergePiece(dst, piece)
	if ids := dst[n:]; len(ids) <= cacheIDs {
		if places[0].empty() {
			places[0].put(key, ids)
		} else {
			places[1].put(key, ids)
		}
	}
	return dst
}

func (t *Tokenizer) mergePiece(dst []uint32, piece string) []uint32 {
	if id, ok := t.whole[piece]; ok {
		return append(dst, id)
	}
	if len(piece) > shortPiece {
		return t.mergeLong(dst, piece)
	}
	return t.mergeShort(dst, piece)
}

// mergeShort merges the leftmost pair of lowest rank until none is left, looking at
// all pairs each time: quadratic, and for a few dozen bytes the fastest way.
func (t *Tokenizer) mergeShort(dst []uint32, piece string) []uint32 {
	var idBuf, rankBuf [shortPiece]uint32
	ids, ranks := idBuf[:len(piece)], rankBuf[:len(piece)]
	for i := range ids {
		ids[i] = t.bytes[piece[i]]
	}
	for i := range ranks[1:] {
		ranks[i] = t.pairs.get(pair(ids[i], ids[i+1]))
	}
	ranks[len(ranks)-1] = none // of the pair (ids[i], ids[i+1]): the last has no partner
	for {
		best, at := none, 0
		for i, r := range ranks {
			if r < best {
				best, at = r, i
			}
		}
		if best == none {
			return append(dst, ids...)
		}
		ids[at] = t.merges[best].id
		ids = append(ids[:at+1], ids[at+2:]...)
		ranks = append(ranks[:at+1], ranks[at+2:]...)
		if at > 0 {
			ranks[at-1] = t.pairs.get(pair(ids[at-1], ids[at]))
		}
		if ranks[at] = none; at+1 < len(ids) {
			ranks[at] = t.pairs.get(pair(ids[at], ids[at+1]))
		}
	}
}

// mergeLong does the same with a heap of (rank, position) over a linked list, in
// n·log n, for pieces of any length.
func (t *Tokenizer) mergeLong(dst []uint32, piece string) []uint32 {
	type node struct{ id, prev, next uint32 }
	n := uint32(len(piece))
	nodes := make([]node, n)
	for i := range n {
		nodes[i] = node{t.bytes[piece[i]], i - 1, i + 1} // prev of the first wraps to none
	}
	rank := func(i uint32) uint32 {
		if i >= n || nodes[i].next >= n {
			return none
		}
		return t.pairs.get(pair(nodes[i].id, nodes[nodes[i].next].id))
	}
	heap := make(minHeap, 0, n)
	for i := range n {
		if r := rank(i); r != none {
			heap = append(heap, pair(r, i))
		}
	}
	heap.init()
	const gone = none // id of a node that was merged into the one before
	for len(heap) > 0 {
		top := heap.pop()
		r, i := uint32(top>>32), uint32(top)
		if nodes[i].id == gone || rank(i) != r {
			continue
		}
		a := &nodes[i]
		b := &nodes[a.next]
		a.id, a.next = t.merges[r].id, b.next
		b.id = gone
		if a.next < n {
			nodes[a.next].prev = i
		}
		if r := rank(a.prev); r != none {
			heap.push(pair(r, a.prev))
		}
		if r := rank(i); r != none {
			heap.push(pair(r, i))
		}
	}
	for i := uint32(0); i < n; i = nodes[i].next {
		dst = append(dst, nodes[i].id)
	}
	return dst
}

// minHeap is a binary heap with the least first.
type minHeap []uint64

func (h minHeap) init() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h minHeap) down(i int) {
	x := h[i]
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1] < h[c] {
			c++
		}
		if h[c] >= x {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = x
}

func (h *minHeap) push(x uint64) {
	*h = append(*h, x)
	s := *h
	i := len(s) - 1
	for i > 0 && s[(i-1)/2] > x {
		s[i] = s[(i-1)/2]
		i = (i - 1) / 2
	}
	s[i] = x
}

func (h *minHeap) pop() uint64 {
	s := *h
	top := s[0]
	s[0] = s[len(s)-1]
	*h = s[:len(s)-1]
	if len(*h) > 0 {
		h.down(0)
	}
	return top
}
