// Package quality measures what heuristics of text quality look at: words, lines and
// how much of a text repeats itself. The measures are those of Gopher (Rae et al. 2021,
// table A1) and FineWeb-2 (Penedo et al. 2025); lengths are in characters.
package quality

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is a text taken apart into words and lines.
type Text struct {
	text  string
	runes int
	words []word
	lines []string // without the empty ones and the white space around each
}

type word struct {
	text   string
	runes  int32
	hash   uint64
	symbol bool // no letter or digit in it
}

// New takes a text apart. Words are runs of letters, marks and digits, with single
// hyphens, apostrophes, and full stops or commas between digits inside; a run of one
// and the same other character is a word of its own kind, a symbol.
func New(s string) *Text {
	t := &Text{text: s, runes: utf8.RuneCountInString(s)}
	for _, l := range strings.Split(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			t.lines = append(t.lines, l)
		}
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if unicode.IsSpace(r) {
			i += n
			continue
		}
		end := i + n
		if inWord(r) {
			end = wordEnd(s, end, unicode.IsDigit(r))
		} else {
			for strings.HasPrefix(s[end:], s[i:i+n]) {
				end += n
			}
		}
		t.words = append(t.words, word{s[i:end], int32(utf8.RuneCountInString(s[i:end])), hash(s[i:end]), !inWord(r)})
		i = end
	}
	return t
}

func inWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.M, r)
}

func wordEnd(s string, i int, digit bool) int {
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		if inWord(r) {
			digit = unicode.IsDigit(r)
			i += n
			continue
		}
		next, _ := utf8.DecodeRuneInString(s[i+n:])
		joins := (r == '-' || r == '\'' || r == '’') && inWord(next) || (r == '.' || r == ',') && digit && unicode.IsDigit(next)
		if !joins {
			break
		}
		i += n
	}
	return i
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Words counts the words that are no symbols.
func (t *Text) Words() float64 {
	n := 0
	for _, w := range t.words {
		if !w.symbol {
			n++
		}
	}
	return float64(n)
}

// WordLength is the mean length of the words that are no symbols.
func (t *Text) WordLength() float64 {
	n, sum := 0, 0
	for _, w := range t.words {
		if !w.symbol {
			n++
			sum += int(w.runes)
		}
	}
	return ratio(sum, n)
}

// AlphabeticWords is the share of what stands between white space that holds a letter.
func (t *Text) AlphabeticWords() float64 {
	n, all := 0, 0
	for f := range strings.FieldsSeq(t.text) {
		all++
		if strings.ContainsFunc(f, unicode.IsLetter) {
			n++
		}
	}
	return ratio(n, all)
}

// StopWords counts how many different words of the list, in lower case, are there.
func (t *Text) StopWords(list map[string]bool) float64 {
	seen := map[string]bool{}
	for _, w := range t.words {
		if len(seen) == len(list) {
			break
		}
		if l := strings.ToLower(w.text); list[l] {
			seen[l] = true
		}
	}
	return float64(len(seen))
}

// HashesPerWord is the number of # for each word.
func (t *Text) HashesPerWord() float64 { return ratio(strings.Count(t.text, "#"), len(t.words)) }

// EllipsesPerWord is the number of ellipses for each word; a row of dots is one.
func (t *Text) EllipsesPerWord() float64 {
	n := 0
	for _, w := range t.words {
		if strings.HasPrefix(w.text, "...") || strings.HasPrefix(w.text, "…") {
			n++
		}
	}
	return ratio(n, len(t.words))
}

// LinesThat is the share of lines that a test holds of.
func (t *Text) LinesThat(test func(line string) bool) float64 {
	n := 0
	for _, l := range t.lines {
		if test(l) {
			n++
		}
	}
	return ratio(n, len(t.lines))
}

// EndsSentence says whether a line ends in a full stop or its like, quotes and brackets
// after it aside.
func EndsSentence(line string) bool {
	line = strings.TrimRight(line, "\"'”’»)]}")
	r, _ := utf8.DecodeLastRuneInString(line)
	return strings.ContainsRune(".!?…", r)
}

// Bullet says whether a line is an item of a list.
func Bullet(line string) bool {
	r, n := utf8.DecodeRuneInString(line)
	return strings.ContainsRune("•‣▪●◦·", r) || (r == '-' || r == '*') && strings.HasPrefix(line[n:], " ")
}
