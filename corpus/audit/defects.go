package audit

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// defects are flaws of encoding and of normal form.
var defects = []pattern{
	{"mojibake", "Ã© â€œ", countMojibake},
	{"latin2-mojibake", "ę ş ŕ ă", countLatin2},
	{"replacement", "U+FFFD", literal("\ufffd")},
	{"not-nfc", "e + U+0301", countNotNFC},
	{"control", "C0, C1", countControls},
	{"bom", "U+FEFF", literal("\ufeff")},
	{"soft-hyphen", "U+00AD", literal("\u00ad")},
	{"zero-width", "U+200B–U+200D, U+2060", literal("\u200b", "\u200c", "\u200d", "\u2060")},
	{"nbsp", "U+00A0", literal("\u00a0")},
	{"carriage-return", "U+000D", literal("\r")},
	{"private-use", "U+E000–U+F8FF", countPrivate},
}

// Defects lists the names of the defects, in the report's order, and what each looks like.
func Defects() (names []string, shows map[string]string) { return list(defects) }

// countMojibake counts UTF-8 read as Latin-1 or windows-1252: Ã or Â before what the
// second byte of a two-byte letter became (U+0080–U+00BF but for the no-break space,
// which may well follow a word in capitals), and â before the middle byte of
// punctuation from U+2000 on.
func countMojibake(s string) (n int64) {
	for i := 0; i < len(s); {
		j := strings.IndexByte(s[i:], 0xc3) // first byte of À to ÿ, hence of Ã, Â and â
		if j < 0 {
			return n
		}
		i += j
		lead, k := utf8.DecodeRuneInString(s[i:])
		i += max(k, 1)
		next, _ := utf8.DecodeRuneInString(s[i:])
		switch {
		case (lead == 'Ã' || lead == 'Â') && next >= 0x80 && next <= 0xbf && next != 0xa0:
			n++
		case lead == 'Ã' && strings.ContainsRune("€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ", next) && next != utf8.RuneError && !strings.ContainsRune("”’…–—", next):
			n++ // windows-1252's letters for 80–9F, but for what may close a quotation
		case lead == 'â' && (next == '€' || next == 0x80):
			n++
		}
	}
	return n
}

// countLatin2 counts the letters that Planalto's pages show when their windows-1252 is
// read as ISO-8859-2 and that Portuguese does not have: ę for ê, ş for º, ŕ for à, ă
// for ã, č for è, ľ for ¾, đ for ð, ţ for þ, ő for õ, ů for ù.
func countLatin2(s string) (n int64) {
	for _, r := range s {
		if r >= 0x100 && r < 0x180 && strings.ContainsRune("ęşŕăčľđţőůĘŞŔĂČĽĐŢŐŮ", r) {
			n++
		}
	}
	return n
}

// countNotNFC counts the segments (a base with its marks) that Unicode's composed form
// would write otherwise.
func countNotNFC(s string) (n int64) {
	if norm.NFC.IsNormalString(s) {
		return 0
	}
	for len(s) > 0 {
		end := norm.NFC.NextBoundaryInString(s, true)
		if end <= 0 {
			end = len(s)
		}
		if !norm.NFC.IsNormalString(s[:end]) {
			n++
		}
		s = s[end:]
	}
	return n
}

// countControls counts C0 but for tab, line feed and carriage return, DEL, and C1.
func countControls(s string) (n int64) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c < 0x20 && c != '\t' && c != '\n' && c != '\r', c == 0x7f:
			n++
		case c == 0xc2 && i+1 < len(s) && s[i+1] >= 0x80 && s[i+1] < 0xa0:
			n++
		}
	}
	return n
}

func countPrivate(s string) (n int64) {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0xee && s[i] <= 0xef { // first byte of U+E000 and above
			if r, _ := utf8.DecodeRuneInString(s[i:]); r >= 0xe000 && r <= 0xf8ff {
				n++
			}
		}
	}
	return n
}
