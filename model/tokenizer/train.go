package tokenizer

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Options say what to train.
type Options struct {
	VocabSize    int      // ids in all, specials and bytes included
	MinFrequency uint64   // a pair seen less often is not merged
	Specials     []string // take the first ids, in this order
	Splitter     string
	Normalizer   []string
}

// start checks the options and makes the tokenizer before its first merge: specials,
// then the 256 bytes in the order of GPT-2's alphabet.
func (o Options) start() (*Tokenizer, error) {
	s, err := findSplitter(o.Splitter)
	if err != nil {
		return nil, err
	}
	n, err := findNormalizer(o.Normalizer)
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{splitter: s, normalizer: n}
	seen := map[string]bool{}
	for _, name := range o.Specials {
		switch {
		case seen[name]:
			return nil, fmt.Errorf("the special token %q is named twice", name)
		case len(name) < 2 || !utf8.ValidString(name):
			return nil, fmt.Errorf("the special token %q must be valid UTF-8 of at least two bytes", name)
		}
		seen[name] = true
		t.added = append(t.added, addedToken{ID: uint32(len(t.tokens)), Content: name, Special: true})
		t.tokens, t.special = append(t.tokens, name), append(t.special, true)
	}
	for _, b := range byteOrder {
		t.tokens, t.special = append(t.tokens, string([]byte{b})), append(t.special, false)
	}
	if o.VocabSize < len(t.tokens) {
		return nil, fmt.Errorf("a vocabulary of %d cannot hold %d special tokens and the 256 bytes", o.VocabSize, len(o.Specials))
	}
	return t, nil
}

// Check says what is wrong with the options, if anything is.
func (o Options) Check() error {
	_, err := o.start()
	return err
}

// Train learns merges from counted words: at each step the pair of adjacent ids seen
// most often becomes a token; of those seen equally often, the one with the lowest
// (left, right). The result depends on the counts only, not on the order of words. It
// may hold fewer than VocabSize ids, when no pair is left that is frequent enough. A
// pair that would spell a special is never merged. progress, if not nil, hears how many
// ids there are.
//
// The pairs are kept with their counts and the words they stand in; a merge visits just
// those words and updates the counts of the pairs it breaks and makes. Memory is in
// proportion to the bytes of the distinct words: some 30 bytes for each.
func Train(ctx context.Context, words []Word, o Options, progress func(done, total int)) (*Tokenizer, error) {
	t, err := o.start()
	if err != nil {
		return nil, err
	}
	var byteID [256]uint32
	for i, b := range byteOrder {
		byteID[b] = uint32(len(o.Specials) + i)
	}
	l, err := newLearner(words, &byteID, max(1, o.MinFrequency))
	if err != nil {
		return nil, err
	}
	ids := map[string]uint32{}
	for id, tok := range t.tokens {
		ids[tok] = uint32(id)
	}
	done := map[uint64]bool{}
	for steps := 0; len(t.tokens) < o.VocabSize; steps++ {
		if steps%64 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if progress != nil {
				progress(len(t.tokens), o.VocabSize)
			}
		}
		p, count := l.best()
		if count == 0 {
			break
		}
		left, right := uint32(l.pairs[p].key>>32), uint32(l.pairs[p].key)
		tok := t.tokens[left] + t.tokens[right]
		id, known := ids[tok]
		if known && t.special[id] {
			l.forbid(p)
			continue
		}
		if !known {
			id = uint32(len(t.tokens))
			ids[tok] = id
			t.tokens, t.special = append(t.tokens, tok), append(t.special, false)
		}
		if key := l.pairs[p].key; !done[key] {
			done[key] = true
			t.merges = append(t.merges, merge{left, right, id})
		}
		l.merge(p, left, right, id)
	}
	if err := t.indexTokens(); err != nil {
		return nil, err
	}
	if err := t.indexMerges(); err != nil {
		return nil, err
	}
	t.setFile(t.marshal())
	return t, nil
}

// learner is the state of training: every distinct word as ids, and every pair.
type learner struct {
	ids   []uint32 // of all words, one after the other; a word shrinks in place
	start []uint32 // of each word in ids
	size  []uint16 // ids left of each word
	count []uint64 // of each word

	index *pairTable // pair → its index in pairs
	pairs []learnPair
	heap  maxHeap
	least uint64   // count below which a pair is not merged
	fresh []uint32 // pairs whose count grew in this merge
}

type learnPair struct {
	key   uint64
	count uint64   // over all words; 0 once merged
	words []uint32 // that hold it, or did
	grew  bool
	never bool // would spell a special
}

func newLearner(words []Word, byteID *[256]uint32, least uint64) (*learner, error) {
	l := &learner{index: newPairTable(1 << 12), least: least}
	var total, sum uint64
	for _, w := range words {
		n := uint64(len(w.Text))
		if n > MaxWord {
			return nil, fmt.Errorf("a word of %d bytes is too long to learn from; the limit is %d", n, MaxWord)
		}
		if n > 0 && w.Count > (1<<62-sum)/n {
			return nil, errors.New("the counts of all words together pass 2⁶²: lower the source weights")
		}
		sum += w.Count * n
		total += n
	}
	if total > 1<<32-1 {
		return nil, fmt.Errorf("the distinct words hold %d bytes; 2³² is the most that training takes: use a sample", total)
	}
	l.ids = make([]uint32, 0, total)
	l.start, l.size, l.count = make([]uint32, len(words)), make([]uint16, len(words)), make([]uint64, len(words))
	var places []uint32 // how often each pair stands in words, to give its list of them the room it needs
	for w, word := range words {
		l.start[w], l.size[w], l.count[w] = uint32(len(l.ids)), uint16(len(word.Text)), word.Count
		for i := range len(word.Text) {
			l.ids = append(l.ids, byteID[word.Text[i]])
			if i == 0 {
				continue
			}
			p, added := l.index.add(pair(l.ids[len(l.ids)-2], l.ids[len(l.ids)-1]), uint32(len(places)))
			if added {
				places = append(places, 0)
			}
			places[p]++
		}
	}
	l.pairs = make([]learnPair, len(places))
	room := make([]uint32, len(l.ids))
	for i, n := range places {
		l.pairs[i].words, room = room[:0:n], room[n:]
	}
	for w := range words {
		ids := l.ids[l.start[w]:][:l.size[w]]
		for i := 1; i < len(ids); i++ {
			key := pair(ids[i-1], ids[i])
			l.pairs[l.index.get(key)].key = key
			l.grow(key, uint32(w))
		}
	}
	l.pushFresh()
	return l, nil
}

// grow counts a pair once more in word w.
func (l *learner) grow(key uint64, w uint32) {
	i, added := l.index.add(key, uint32(len(l.pairs)))
	if added {
		l.pairs = append(l.pairs, learnPair{key: key})
	}
	p := &l.pairs[i]
	p.count += l.count[w]
	if n := len(p.words); n == 0 || p.words[n-1] != w {
		p.words = append(p.words, w)
	}
	if !p.grew {
		p.grew = true
		l.fresh = append(l.fresh, i)
	}
}

func (l *learner) shrink(key uint64, w uint32) {
	l.pairs[l.index.get(key)].count -= l.count[w]
}

func (l *learner) pushFresh() {
	for _, i := range l.fresh {
		p := &l.pairs[i]
		p.grew = false
		if p.count >= l.least && !p.never {
			l.heap.push(candidate{p.count, p.key, i})
		}
	}
	l.fresh = l.fresh[:0]
}

// best returns the pair to merge next; a count of 0 says that there is none. Entries of the heap whose count fell since they
// were pushed go back with the count of today; a count that grew was pushed anew.
func (l *learner) best() (p uint32, count uint64) {
	for len(l.heap) > 0 {
		top := l.heap.pop()
		now := l.pairs[top.pair].count
		if now == top.count {
			return top.pair, now
		}
		if now >= l.least && now < top.count {
			top.count = now
			l.heap.push(top)
		}
	}
	return 0, 0
}

// forbid leaves a pair unmerged for good.
func (l *learner) forbid(p uint32) { l.pairs[p].never = true }

// merge replaces the pair by id in every word, from left to right.
func (l *learner) merge(p uint32, left, right, id uint32) {
	words := l.pairs[p].words
	l.pairs[p].words = nil
	for _, w := range words {
		ids := l.ids[l.start[w]:][:l.size[w]]
		n := 0 // ids written
		for i := 0; i < len(ids); i++ {
			if ids[i] != left || i+1 == len(ids) || ids[i+1] != right {
				ids[n] = ids[i]
				n++
				continue
			}
			if n > 0 {
				l.shrink(pair(ids[n-1], left), w)
				l.grow(pair(ids[n-1], id), w)
			}
			if i+2 < len(ids) {
				l.shrink(pair(right, ids[i+2]), w)
				l.grow(pair(id, ids[i+2]), w)
			}
			ids[n] = id
			n++
			i++
		}
		l.size[w] = uint16(n)
	}
	l.pairs[p].count = 0
	l.pushFresh()
}

// candidate is a pair with the count it had when it was pushed.
type candidate struct {
	count uint64
	key   uint64
	pair  uint32
}

// before orders candidates: most frequent first, then by (left, right).
func (a candidate) before(b candidate) bool {
	if a.count != b.count {
		return a.count > b.count
	}
	return a.key < b.key
}

type maxHeap []candidate

func (h *maxHeap) push(x candidate) {
	*h = append(*h, x)
	s := *h
	i := len(s) - 1
	for i > 0 && x.before(s[(i-1)/2]) {
		s[i] = s[(i-1)/2]
		i = (i - 1) / 2
	}
	s[i] = x
}

func (h *maxHeap) pop() candidate {
	s := *h
	top, x := s[0], s[len(s)-1]
	s = s[:len(s)-1]
	*h = s
	if len(s) == 0 {
		return top
	}
	i := 0
	for {
		c := 2*i + 1
		if c >= len(s) {
			break
		}
		if c+1 < len(s) && s[c+1].before(s[c]) {
			c++
		}
		if !s[c].before(x) {
			break
		}
		s[i] = s[c]
		i = c
	}
	s[i] = x
	return top
}
