package tokenizer

import (
	"cmp"
	"slices"
	"strings"
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

// Counter counts the pieces of texts, as training wants them. Its memory is in
// proportion to the distinct pieces: some 100 bytes each.
type Counter struct {
	Long uint64 // pieces above MaxWord

	splitter   *splitter
	normalizer normalizer
	index      map[string]uint32
	words      []Word
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
	return &Counter{splitter: s, normalizer: n, index: map[string]uint32{}}, nil
}

// Add counts the pieces of a text.
func (c *Counter) Add(text string) {
	text = c.normalizer.apply(text)
	for i := 0; i < len(text); {
		j := c.splitter.next(text, i)
		c.count(text[i:j])
		i = j
	}
}

func (c *Counter) count(piece string) {
	if len(piece) > MaxWord {
		c.Long++
		return
	}
	if i, ok := c.index[piece]; ok {
		c.words[i].Count++
		return
	}
	piece = strings.Clone(piece)
	c.index[piece] = uint32(len(c.words))
	c.words = append(c.words, Word{piece, 1})
}

// Words returns what was counted, sorted by text.
func (c *Counter) Words() []Word {
	w := slices.Clone(c.words)
	slices.SortFunc(w, func(a, b Word) int { return cmp.Compare(a.Text, b.Text) })
	return w
}
