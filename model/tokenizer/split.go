package tokenizer

import (
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// A splitter cuts text into the pieces within which merges happen. It is a scanner
// written by hand that gives what its regular expression gives, many times faster;
// tokenizer.json carries the expression, for other programs.
type splitter struct {
	name  string
	regex string                    // as Oniguruma reads it, which Hugging Face's tokenizers use
	next  func(s string, i int) int // end of the piece that begins at s[i]; a byte that is not UTF-8 is an other
}

// splitters are those that train-tokenizer offers and Read knows.
//
// ptbr keeps whole what Portuguese holds together: letters with their marks, whatever
// the normal form; numbers in pairs of digits, so that a year is two tokens; runs of
// anything else; line breaks with the white space before them. The space before a
// piece belongs to it. There are no clitic rules: dá-lhe is dá, -, lhe.
//
// gpt2 is the expression of openai/gpt-2 (src/encoder.py); cl100k and o200k are those of
// openai/tiktoken (tiktoken_ext/openai_public.py) in the form of the tokenizer.json of
// models that took them over. Their letters are without marks (o200k's with), so that
// they break words written in NFD.
var splitters = []*splitter{
	{"ptbr", ` ?[\p{L}\p{M}]+| ?\p{N}{1,2}| ?[^\s\p{L}\p{M}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+`, ptbr},
	{"gpt2", `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, gpt2},
	{"cl100k", `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, cl100k},
	{"o200k", `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`, o200k},
}

// variants are other spellings of an expression above that files in circulation have
// and that cut every text the same.
//
// Two that look alike are not here. tiktoken's own cl100k, since 0.8, tries `\s++$` before
// line breaks, so that "\n  " at the end of a text is one piece and not two; and to
// Oniguruma its `\p{N}{1,3}+` is a repetition, not possessive: all digits. And
// `'[sS]|'[tT]|…`, for engines without (?i:), leaves out U+017F, the long s, which
// folds to s.
var variants = map[string]string{
	`'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`:                                        "gpt2",   // tiktoken's quotation of it
	`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`:                                               "gpt2",   // tiktoken's r50k and p50k until 0.7
	`'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s`:                                       "gpt2",   // since 0.8
	`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`:         "cl100k", // tiktoken's until 0.7; minbpe's, nanochat's
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: "cl100k",
}

func findSplitter(name string) (*splitter, error) {
	var names []string
	for _, s := range splitters {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	return nil, fmt.Errorf("there is no splitter %q; there are %s", name, strings.Join(names, ", "))
}

// splitterOf finds the splitter of a regular expression as tokenizer.json has it, in
// one of the spellings known here; nil: none has it.
func splitterOf(regex string) *splitter {
	for _, s := range splitters {
		if s.regex == regex || s.name == variants[regex] {
			return s
		}
	}
	return nil
}

func ptbr(s string, i int) int {
	c, j := first(s, i)
	switch {
	case c&marked != 0:
		return letters(s, j, marked, anyCase)
	case c == other:
		return run(s, j, other)
	case c == number:
		return digits(s, j, 1)
	}
	return spaces(s, i)
}

func gpt2(s string, i int) int {
	if s[i] == '\'' {
		if j := contraction(s, i, false); j > i {
			return j
		}
	}
	c, j := first(s, i)
	switch {
	case c&letter != 0:
		return letters(s, j, letter, anyCase)
	case c&symbol != 0:
		return run(s, j, symbol)
	case c == number:
		return run(s, j, number)
	}
	return beforeLast(s, i, run(s, j, white))
}

func cl100k(s string, i int) int {
	if s[i] == '\'' {
		if j := contraction(s, i, true); j > i {
			return j
		}
	}
	c, n := classAt(s, i)
	j := i + n
	switch {
	case c&letter != 0:
		return letters(s, j, letter, anyCase)
	case c == number:
		return digits(s, j, 2)
	case c != newline && j < len(s):
		d, n := classAt(s, j)
		switch {
		case d&letter != 0:
			return letters(s, j+n, letter, anyCase)
		case s[i] == ' ' && d&symbol != 0:
			c, j = d, j+n
		}
	}
	if c&symbol == 0 {
		return spaces(s, i)
	}
	for j = run(s, j, symbol); j < len(s) && (s[j] == '\n' || s[j] == '\r'); j++ {
	}
	return j
}

func o200k(s string, i int) int {
	c, n := classAt(s, i)
	j := i + n
	switch {
	case c&letter != 0:
		end, _ := cased(s, i)
		return contracted(s, end)
	case c == number:
		return digits(s, j, 2)
	case c != newline:
		// One rune that is neither letter nor number may stand before the letters. A mark
		// may be that rune or one of them: it is the word where what follows it has no
		// end in small letters, because the first alternative is tried whole before the
		// second.
		switch end, small := cased(s, j); {
		case small:
			return contracted(s, end)
		case c == mark:
			return contracted(s, j)
		case end > j:
			return contracted(s, end)
		}
		if s[i] == ' ' && j < len(s) {
			if d, n := classAt(s, j); d == other {
				c, j = d, j+n
			}
		}
	}
	if c != other {
		return spaces(s, i)
	}
	for j = run(s, j, symbol); j < len(s) && (s[j] == '\n' || s[j] == '\r' || s[j] == '/'); j++ {
	}
	return j
}

// cased ends a word of o200k that begins at s[i]: capitals (and what has no case), then
// small letters (and what has no case), one at least. Where no small letter follows the
// capitals, the last rune without case among them ends the word; where there is none
// of those either, small is false and end the end of the capitals, i if there are none.
func cased(s string, i int) (end int, small bool) {
	j := i
	for j < len(s) {
		c, n := classAt(s, j)
		switch {
		case c == lower:
			return letters(s, j+n, lower|caseless|mark, 0), true
		case c&(caseless|mark) != 0:
			end, small = j+n, true
		case c != upper:
			if small {
				return end, true
			}
			return j, false
		}
		j += n
	}
	if small {
		return end, true
	}
	return j, false
}

// contracted adds an English contraction to a word that ends at s[i].
func contracted(s string, i int) int {
	if i < len(s) && s[i] == '\'' {
		return contraction(s, i, true)
	}
	return i
}

// contraction ends 's, 't, 're, 've, 'm, 'll or 'd at the apostrophe s[i], if it is one
// of these; else it returns i. With fold, case does not matter, and U+017F is an s.
func contraction(s string, i int, fold bool) int {
	at := func(k int) byte {
		if k >= len(s) {
			return 0
		}
		if c := s[k]; fold && c >= 'A' && c <= 'Z' {
			return c | 0x20
		}
		return s[k]
	}
	switch c, d := at(i+1), at(i+2); {
	case c == 's', c == 't', c == 'm', c == 'd':
		return i + 2
	case c == 'r' && d == 'e', c == 'v' && d == 'e', c == 'l' && d == 'l':
		return i + 3
	case fold && c == 0xc5 && d == 0xbf:
		return i + 3
	}
	return i
}

// first returns the class of the rune that says what the piece at s[i] is, and where
// what follows that rune begins: of the second rune, if the first is a space that
// belongs to it.
func first(s string, i int) (class, int) {
	j := i
	if s[i] == ' ' && i+1 < len(s) {
		j++
	}
	c, n := classAt(s, j)
	if j > i && c&white != 0 {
		return space, j
	}
	return c, j + n
}

// letters is run for a set that of ASCII has just a-z, and with fold 0x2020202020202020
// A-Z too. It takes eight bytes at a time: a loop over single bytes would end at a
// place that no processor foresees.
func letters(s string, j int, set class, fold uint64) int {
	const ones = 0x0101010101010101
	for len(s)-j >= 8 {
		b := s[j : j+8]
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		// In each byte of y the high bit says whether the sum passed 0x7f.
		y := (x | fold) & (0x7f * ones)
		is := (y + (0x80-'a')*ones) &^ (y + (0x7f-'z')*ones) &^ x & (0x80 * ones)
		n := bits.TrailingZeros64(is^0x80*ones) / 8
		if j += n; n == 8 {
			continue
		}
		c := s[j]
		if c < utf8.RuneSelf {
			return j
		}
		d, n := beyondASCII(s[j:])
		if d&set == 0 {
			return j
		}
		j += n
	}
	return run(s, j, set)
}

const anyCase = 0x2020202020202020

// run ends the runes of set that begin at s[j].
func run(s string, j int, set class) int {
	for j < len(s) {
		c, n := classAt(s, j)
		if c&set == 0 {
			return j
		}
		j += n
	}
	return j
}

// digits ends a number at s[j], after at most n more digits.
func digits(s string, j, n int) int {
	for ; n > 0 && j < len(s); n-- {
		c, k := classAt(s, j)
		if c != number {
			break
		}
		j += k
	}
	return j
}

// spaces ends white space that begins at s[i]: after its last line break if it has
// one, else where beforeLast says.
func spaces(s string, i int) int {
	j := run(s, i, white)
	for k := j; k > i; k-- {
		if s[k-1] == '\n' || s[k-1] == '\r' {
			return k
		}
	}
	return beforeLast(s, i, j)
}

// beforeLast ends the white space s[i:j] before its last rune, which may belong to the
// piece that follows; at j, if nothing follows or there is but one.
func beforeLast(s string, i, j int) int {
	if j == len(s) {
		return j
	}
	k := j - 1
	for s[k]&0xc0 == 0x80 {
		k--
	}
	if k == i {
		return j
	}
	return k
}
