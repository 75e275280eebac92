package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// class is what the splitters' expressions tell runes apart by: one of the bits, or a
// set of them. Runes are taken as Unicode 15.0 has them (the tables of package unicode);
// one that a later version assigned is an other here.
type class uint8

const (
	lower    class = 1 << iota // \p{Ll}
	upper                      // \p{Lu}, \p{Lt}
	caseless                   // \p{Lm}, \p{Lo}
	mark                       // \p{M}
	number                     // \p{N}
	space                      // \s without the next
	newline                    // \r, \n
	other

	letter = lower | upper | caseless // \p{L}
	marked = letter | mark
	symbol = mark | other // [^\s\p{L}\p{N}]
	white  = space | newline
)

// classes holds the class of every rune of the Basic Multilingual Plane; beyond are
// emoji, rare ideographs and the like, looked up in the tables of package unicode.
var classes [0x10000]class

var tables = []struct {
	class
	of []*unicode.RangeTable
}{
	{lower, []*unicode.RangeTable{unicode.Ll}}, {upper, []*unicode.RangeTable{unicode.Lu, unicode.Lt}},
	{caseless, []*unicode.RangeTable{unicode.Lm, unicode.Lo}}, {mark, []*unicode.RangeTable{unicode.M}},
	{number, []*unicode.RangeTable{unicode.N}}, {space, []*unicode.RangeTable{unicode.White_Space}},
}

func init() {
	for i := range classes {
		classes[i] = other
	}
	for _, t := range tables {
		for _, of := range t.of {
			for _, x := range of.R16 {
				for r := int(x.Lo); r <= int(x.Hi); r += int(x.Stride) {
					classes[r] = t.class
				}
			}
		}
	}
	classes['\r'], classes['\n'] = newline, newline
}

// classAt returns the class and length of the rune at s[i]. A byte that begins no rune
// is an other of length 1.
func classAt(s string, i int) (class, int) {
	c := s[i]
	if c < utf8.RuneSelf {
		return classes[c], 1
	}
	return beyondASCII(s[i:])
}

func beyondASCII(s string) (class, int) {
	if c := s[0]; c >= 0xc2 && c < 0xe0 && len(s) > 1 && s[1]&0xc0 == 0x80 {
		return classes[int(c&0x1f)<<6|int(s[1]&0x3f)], 2
	}
	r, n := utf8.DecodeRuneInString(s)
	if int(r) < len(classes) {
		return classes[r], n
	}
	for _, t := range tables {
		if unicode.In(r, t.of...) {
			return t.class, n
		}
	}
	return other, n
}
