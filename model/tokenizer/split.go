package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A splitter cuts text into the pieces within which merges happen. It is a scanner
// written by hand that gives what its regular expression gives, many times faster;
// tokenizer.json carries the expression, for other programs.
type splitter struct {
	name  string
	regex string                    // Oniguruma, .NET and PCRE agree on it
	next  func(s string, i int) int // end of the piece that begins at s[i]; s is valid UTF-8
}

// ptbr keeps whole what Portuguese holds together: letters with their marks, whatever
// the normal form; numbers in pairs of digits, so that a year is two tokens; runs of
// anything else; line breaks with the white space before them. The space before a
// piece belongs to it. There are no clitic rules: dá-lhe is dá, -, lhe.
var splitters = []*splitter{
	{"ptbr", ` ?[\p{L}\p{M}]+| ?\p{N}{1,2}| ?[^\s\p{L}\p{M}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+`, ptbr},
}

func findSplitter(name string) (*splitter, error) {
	var names []string
	for _, s := range splitters {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	return nil, fmt.Errorf("there is no splitter %q; there is %s", name, strings.Join(names, ", "))
}

type class uint8

const (
	other  class = iota
	letter       // or mark
	number
	space
	newline // \r and \n, which are space too
)

// classes holds the class of every rune below U+3000; beyond are ideographs, emoji and
// the like, looked up in the tables of package unicode.
var classes [0x3000]class

func init() {
	set := func(c class, tables ...*unicode.RangeTable) {
		for _, t := range tables {
			for _, x := range t.R16 {
				for r := int(x.Lo); r <= int(x.Hi) && r < len(classes); r += int(x.Stride) {
					classes[r] = c
				}
			}
		}
	}
	set(letter, unicode.L, unicode.M)
	set(number, unicode.N)
	set(space, unicode.White_Space)
	classes['\r'], classes['\n'] = newline, newline
}

// classAt returns the class and length of the rune at s[i].
func classAt(s string, i int) (class, int) {
	c := s[i]
	if c < utf8.RuneSelf {
		return classes[c], 1
	}
	if c < 0xe0 && i+1 < len(s) {
		return classes[int(c&0x1f)<<6|int(s[i+1]&0x3f)], 2
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	switch {
	case int(r) < len(classes):
		return classes[r], n
	case unicode.IsLetter(r) || unicode.IsMark(r):
		return letter, n
	case unicode.IsNumber(r):
		return number, n
	case unicode.IsSpace(r):
		return space, n
	}
	return other, n
}

func ptbr(s string, i int) int {
	c, n := classAt(s, i)
	j := i + n
	if s[i] == ' ' && j < len(s) {
		if d, n := classAt(s, j); d < space {
			c, j = d, j+n
		}
	}
	switch c {
	case letter, other:
		for j < len(s) {
			d, n := classAt(s, j)
			if d != c {
				break
			}
			j += n
		}
		return j
	case number:
		if j < len(s) {
			if d, n := classAt(s, j); d == number {
				j += n
			}
		}
		return j
	}
	return spaces(s, i)
}

// spaces ends a piece of white space: after its last line break if it has one; else
// before its last rune, which may belong to the piece that follows; else all of it.
func spaces(s string, i int) int {
	last, brk, j := i, -1, i
	for j < len(s) {
		c, n := classAt(s, j)
		if c < space {
			break
		}
		last = j
		j += n
		if c == newline {
			brk = j
		}
	}
	switch {
	case brk >= 0:
		return brk
	case j < len(s) && last > i:
		return last
	}
	return j
}
