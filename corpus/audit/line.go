package audit

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A line is scored for dirt as the predecessor's audit scored it, in thousandths: 0 is
// clean, and a line is flagged above flagAbove. The parts, as it weighed them:
//
//	symbols     3 × the share of symbols, when that is above 15 %; a character that
//	            Portuguese does not use counts as three
//	capitals    0.5 when A–Z are above 60 % of a line longer than 50 bytes
//	encoding    1.0 for U+FEFF or U+FFFD
//	escapes     0.4 for \x or \u
//	consonants  0.8 for five or more consonants in a row
const flagAbove = 500

// LineReasons names what a line is flagged for, in the report's order.
var LineReasons = []string{"symbols", "capitals", "encoding", "escapes", "consonants"}

// lineScore gives a line's score and, as bits in the order of LineReasons, why. The
// line has no white space around it.
func lineScore(line string) (score int64, why uint8) {
	var runes, symbols, capitals, streak, longest int64
	encoding := false
	for i := 0; i < len(line); {
		c := line[i]
		if c < utf8.RuneSelf {
			i++
			k := ascii[c]
			if k&isCapital != 0 {
				capitals++
			}
			if k&isSymbol != 0 {
				symbols++
			}
			if k&isConsonant != 0 {
				streak++
				longest = max(longest, streak)
			} else {
				streak = 0
			}
			runes++
			continue
		}
		r, k := utf8.DecodeRuneInString(line[i:])
		i += k
		runes++
		streak = 0
		if !portuguese(r) {
			symbols += 3
		}
		encoding = encoding || r == 0xfeff || r == 0xfffd
	}
	if runes == 0 {
		return 0, 0
	}
	if 100*symbols > 15*runes {
		score += 3000 * symbols / runes
		why |= 1 << 0
	}
	if 100*capitals > 60*runes && len(line) > 50 {
		score += 500
		why |= 1 << 1
	}
	if encoding {
		score += 1000
		why |= 1 << 2
	}
	if strings.Contains(line, `\x`) || strings.Contains(line, `\u`) {
		score += 400
		why |= 1 << 3
	}
	if longest >= 5 {
		score += 800
		why |= 1 << 4
	}
	return score, why
}

const (
	isCapital = 1 << iota
	isSymbol
	isConsonant
)

// ascii classes: a symbol is any sign but the everyday punctuation .,;?!-()"'
var ascii = func() (t [utf8.RuneSelf]uint8) {
	for c := range t {
		r := rune(c)
		if r >= 'A' && r <= 'Z' {
			t[c] |= isCapital
		}
		letter := r|0x20 >= 'a' && r|0x20 <= 'z' && r >= 'A'
		if letter && !strings.ContainsRune("aeiou", r|0x20) {
			t[c] |= isConsonant
		}
		if !letter && !(r >= '0' && r <= '9') && !unicode.IsSpace(r) && !strings.ContainsRune(`.,;?!-()"'`, r) {
			t[c] |= isSymbol
		}
	}
	return t
}()

// portuguese says whether Portuguese text uses a character beyond ASCII: its letters,
// dashes, ellipsis, degree, ordinals, section sign, and quotation marks. (The
// predecessor counted the last as foreign, and so its dirtiest lines were dialogue.)
func portuguese(r rune) bool {
	return strings.ContainsRune("áéíóúÁÉÍÓÚâêîôûÂÊÎÔÛãõÃÕçÇàÀüÜ–—…°ªº§“”‘’«»", r)
}
