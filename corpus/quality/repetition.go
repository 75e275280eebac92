package quality

import (
	"strings"
	"unicode/utf8"
)

// DuplicateLines is the share of lines that came before, word for word.
func (t *Text) DuplicateLines() float64 {
	n, _ := t.duplicates()
	return ratio(n, len(t.lines))
}

// DuplicateLineCharacters is the share of characters, line ends aside, that stand in
// lines that came before.
func (t *Text) DuplicateLineCharacters() float64 {
	_, n := t.duplicates()
	return ratio(n, t.runes-strings.Count(t.text, "\n"))
}

func (t *Text) duplicates() (lines, characters int) {
	seen := make(map[string]bool, len(t.lines))
	for _, l := range t.lines {
		if seen[l] {
			lines++
			characters += utf8.RuneCountInString(l)
		}
		seen[l] = true
	}
	return lines, characters
}

// grams calls f with the first word and the hash of every n-gram, in order, until f
// returns how many words to go on by.
func (t *Text) grams(n int, f func(i int, h uint64) (step int)) {
	for i := 0; i+n <= len(t.words); {
		h := uint64(0)
		for _, w := range t.words[i : i+n] {
			h = (h<<7 | h>>57) ^ w.hash
			h *= 0x9e3779b97f4a7c15
		}
		i += f(i, h)
	}
}

// TopGram is the share of characters in the most frequent n-gram, the words of one
// joined by spaces; the first of equals. It is 0 where no n-gram comes twice.
func (t *Text) TopGram(n int) float64 {
	count := make(map[uint64]int32, len(t.words))
	t.grams(n, func(_ int, h uint64) int { count[h]++; return 1 })
	best, at := int32(1), -1
	t.grams(n, func(i int, h uint64) int {
		if c := count[h]; c > best {
			best, at = c, i
		}
		return 1
	})
	if at < 0 {
		return 0
	}
	length := n - 1
	for _, w := range t.words[at : at+n] {
		length += int(w.runes)
	}
	return ratio(int(best)*length, t.runes)
}

// DuplicateGrams is the share of characters, white space aside in the count of what
// repeats, in n-grams that came before. What repeats is counted once: after an n-gram
// that came before the search goes on behind it.
func (t *Text) DuplicateGrams(n int) float64 {
	seen := make(map[uint64]struct{}, len(t.words))
	repeated := 0
	t.grams(n, func(i int, h uint64) int {
		if _, ok := seen[h]; !ok {
			seen[h] = struct{}{}
			return 1
		}
		for _, w := range t.words[i : i+n] {
			repeated += int(w.runes)
		}
		return n
	})
	return ratio(repeated, t.runes)
}

// NewlinesPerWord is the number of line breaks for each word. An empty line makes the
// break before it no other one: the texts that FineWeb-2's threshold was found on have
// none, and ours set headings and paragraphs apart by them.
func (t *Text) NewlinesPerWord() float64 {
	return ratio(max(0, len(t.lines)-1), len(t.words))
}
