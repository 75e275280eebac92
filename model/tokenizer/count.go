package tokenizer

import (
	"cmp"
	"hash/maphash"
	"math"
	"slices"
)

// MaxWord is the longest piece that merges are learnt from, in bytes. Longer ones
// (encoded data, rules drawn with dashes) are counted as Long and left aside: nothing
// of the language is in them, and one of a megabyte would cost more than all others.
const MaxWord = 1024

// Word is a piece with how often it was seen.
type Word struct {
	Text  string
	Count uint64
}

// Counter counts the pieces of texts, as training wants them. Its memory is that of a Tally.
type Counter struct {
	Long uint64 // pieces above MaxWord

	splitter   *splitter
	normalizer normalizer
	tally      Tally
}

// NewCounter counts pieces of the named splitter, after the named normalizers.
func NewCounter(splitter string, normalizer []string) (*Counter, error) {
	s, err := findSplitter(splitter)
	if err != nil {
		return nil, err
	}
	n, err := findNormalizer(normalizer)
	if err != nil {
		return nil, err
	}
	return &Counter{splitter: s, normalizer: n}, nil
}

// Add counts the pieces of a text.
func (c *Counter) Add(text string) {
	text = c.normalizer.apply(text)
	for i := 0; i < len(text); {
		j := c.splitter.next(text, i)
		if j-i > MaxWord {
			c.Long++
		} else {
			c.tally.Add(text[i:j], 1)
		}
		i = j
	}
}

// Words returns what was counted, sorted by text.
func (c *Counter) Words() []Word { return c.tally.Words() }

// Tally sums the counts of words. The zero Tally is empty and ready. A distinct word
// takes its bytes and 32 to 48 more, and three times that for a moment when the Tally
// grows: the words stand one behind the other, and a table of open addressing finds them.
type Tally struct {
	seed  maphash.Seed
	slots []tallySlot // at most half full; a power of two
	words []tallied
	bytes []byte // of all words
}

// tallySlot is empty when word is 0; else word is an index of words, plus 1.
type tallySlot struct{ hash, word uint32 }

type tallied struct {
	count uint64
	start uint64 // in bytes; the word ends where the next one starts
}

// Add counts a word n times more. A count that would pass 2⁶⁴-1 stays there.
func (t *Tally) Add(text string, n uint64) {
	if 2*len(t.words) >= len(t.slots) {
		t.grow()
	}
	hash := uint32(maphash.String(t.seed, text))
	mask := uint32(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.word == 0 {
			*s = tallySlot{hash, uint32(len(t.words) + 1)}
			t.words = append(t.words, tallied{n, uint64(len(t.bytes))})
			t.bytes = append(t.bytes, text...)
			return
		}
		if s.hash == hash && string(t.text(s.word-1)) == text {
			w := &t.words[s.word-1]
			if w.count += n; w.count < n {
				w.count = math.MaxUint64
			}
			return
		}
	}
}

func (t *Tally) grow() {
	if t.slots == nil {
		t.seed = maphash.MakeSeed()
	}
	old := t.slots
	t.slots = make([]tallySlot, max(1<<10, 2*len(old)))
	mask := uint32(len(t.slots) - 1)
	for _, s := range old {
		if s.word == 0 {
			continue
		}
		i := s.hash & mask
		for t.slots[i].word != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = s
	}
}

func (t *Tally) text(word uint32) []byte {
	if int(word)+1 < len(t.words) {
		return t.bytes[t.words[word].start:t.words[word+1].start]
	}
	return t.bytes[t.words[word].start:]
}

// Len is the number of distinct words.
func (t *Tally) Len() int { return len(t.words) }

// Words returns the words with their counts, sorted by text.
func (t *Tally) Words() []Word {
	all := string(t.bytes)
	words := make([]Word, len(t.words))
	for i, w := range t.words {
		words[i] = Word{all[w.start:][:len(t.text(uint32(i)))], w.count}
	}
	slices.SortFunc(words, func(a, b Word) int { return cmp.Compare(a.Text, b.Text) })
	return words
}
