package planaltoparse

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// withoutC1 gives control characters U+0080 to U+009F the meaning that their bytes have
// in windows-1252, as browsers do with &#145;: pages that were taken for ISO-8859-1 and
// saved as UTF-8 have their quotation marks there. It counts them.
func withoutC1(s string) (string, int64) {
	var n int64
	isC1 := func(r rune) bool { return r >= 0x80 && r <= 0x9f }
	if !strings.ContainsFunc(s, isC1) {
		return s, 0
	}
	s = strings.Map(func(r rune) rune {
		if !isC1(r) {
			return r
		}
		n++
		if x := charmap.Windows1252.DecodeByte(byte(r)); x != utf8.RuneError && !isC1(x) {
			return x
		}
		return -1 // one of the five that windows-1252 does not have
	}, s)
	return s, n
}

// form is a rule that gives a line its canonical form. Numbers of articles and
// paragraphs are ordinal up to 9 and cardinal, with a full stop, from 10 on (Lei
// Complementar 95/1998, art. 10).
type form struct {
	name  string
	match *regexp.Regexp
	to    func(m []string) string
}

var forms = []form{
	// A degree sign, or a plain o right after the figure, that stands for º.
	{"ordinal-sign", regexp.MustCompile(`(\d ?|\b[nN])[°˚]( ?[CFK]\b)?`), func(m []string) string {
		if m[2] != "" {
			return m[0]
		}
		return strings.TrimSpace(m[1]) + "º"
	}},
	{"ordinal-space", regexp.MustCompile(`(\d) ([ºª])([\s,.;:)-]|$)`), func(m []string) string { return m[1] + m[2] + m[3] }},
	{"ordinal-letter", regexp.MustCompile(`(§ ?|\b[Aa]rts?\. ?)([1-9])o([\s,.;:)-]|$)`), func(m []string) string { return m[1] + m[2] + "º" + m[3] }},
	{"article", regexp.MustCompile(`^(?i:art)[ .]*(\d{1,3}(?:\.\d{3})+|\d+)( ?[ºª])?(.*)$`), numbered("Art.")},
	{"paragraph", regexp.MustCompile(`^§ ?(\d+)( ?[ºª])?(.*)$`), numbered("§")},
	{"sole-paragraph", regexp.MustCompile(`^(?i:par[áa]grafo [úu]nico)([\s.:]*)(?:[-–—]\s*)?`), func(m []string) string { return "Parágrafo único. " }},
	// Figures of Rome set with the letter l: VlIl, lI.
	{"numeral-letter", regexp.MustCompile(`(^|[\s(])(?:[IVX]+l|l+[IVX])[IVXl]*([\s,.;:)-]|$)`), func(m []string) string { return strings.ReplaceAll(m[0], "l", "I") }},
	{"item", regexp.MustCompile(`^([IVXLCDM]+(?:-[A-Z]{1,2})?)(?: [-–—] ?|[-–—] )`), func(m []string) string { return m[1] + " - " }},
	{"letter", regexp.MustCompile(`^([a-z](?:-[A-Z])?) \)`), func(m []string) string { return m[1] + ")" }},
	// A hyphen that was set as a dash: "presumir - se - á".
	{"split-hyphen", regexp.MustCompile(`(\p{Ll}{2}) - (se|lhes?|l[oa]s?|me|nos)( - (?:ão|iam?|á))?([\s,.;:)]|$)`), func(m []string) string {
		return m[1] + "-" + m[2] + strings.ReplaceAll(m[3], " ", "") + m[4]
	}},
	{"empty-parentheses", regexp.MustCompile(` ?\( ?\)`), func([]string) string { return "" }},
	{"space-before-punctuation", regexp.MustCompile(`([\pL\d)ºª”"]) ([,.;:])( |$)`), func(m []string) string { return m[1] + m[2] + m[3] }},
	{"dot-leader", regexp.MustCompile(`\.{4,}|(?:\. ){4,}\.?`), func([]string) string { return "..." }},
}

var (
	// suffix is the letter of an article put between others. A hyphen with a space before
	// it is none: in "Art. 913 - O Ministro" it parts the number from the text.
	suffix = regexp.MustCompile(`^-[A-Z]{1,2}([\s.:]|$)`)
	parted = regexp.MustCompile(`^[\s.:]*(?:[-–—]\s*)?`)
)

// numbered writes the number of an article or paragraph. Of the match, 1 is the number
// and 3 all that follows it and its ordinal sign.
func numbered(sign string) func(m []string) string {
	return func(m []string) string {
		n, letter, rest := m[1], "", m[3]
		if s := suffix.FindStringSubmatch(rest); s != nil {
			letter = strings.TrimSuffix(s[0], s[1])
			rest = rest[len(letter):]
		}
		rest = rest[len(parted.FindString(rest)):]
		switch {
		case len(n) == 1 && letter == "":
			return sign + " " + n + "º " + rest
		case len(n) == 1:
			return sign + " " + n + "º" + letter + ". " + rest
		}
		return sign + " " + n + letter + ". " + rest
	}
}

// canonical returns a line in its canonical form and calls touched for each rule that
// changed it.
func canonical(line string, touched func(rule string, bytes int64)) string {
	for _, f := range forms {
		if !f.match.MatchString(line) {
			continue
		}
		next := f.match.ReplaceAllStringFunc(line, func(s string) string { return f.to(f.match.FindStringSubmatch(s)) })
		if next = strings.TrimSpace(next); next != line {
			touched(f.name, int64(len(line)))
			line = next
		}
	}
	return line
}

// doubled are two separators that met when what stood between them, struck text or a
// remark, was taken out.
var doubled = regexp.MustCompile(`([,;:]) ?[,.;](?: |$)|(\.) [,.;](?: |$)`)

// single keeps the first of two separators.
func single(line string) string {
	return strings.TrimSpace(doubled.ReplaceAllString(line, "$1$2 "))
}
