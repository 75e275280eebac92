package clean

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/corpus/wikitext"
)

// edits collects what a rule changes in a text, in order.
type edits struct {
	s    string
	b    []byte
	done int
	wikitext.Count
}

// replace puts x in place of s[i:j].
func (e *edits) replace(i, j int, x string) {
	if e.b == nil {
		e.b = make([]byte, 0, len(e.s)+64)
	}
	e.b = append(append(e.b, e.s[e.done:i]...), x...)
	e.done = j
	e.Matches++
	e.Bytes += int64(max(j-i, len(x)))
}

func (e *edits) finish(p *page) wikitext.Count {
	if e.Matches > 0 {
		p.S = string(append(e.b, e.s[e.done:]...))
	}
	return e.Count
}

// windows1252 gives the byte of each character that windows-1252 puts at 80…9F, where
// Latin-1 has control characters. Text that went wrong went wrong by either.
var windows1252 = map[rune]byte{'€': 0x80, '‚': 0x82, 'ƒ': 0x83, '„': 0x84, '…': 0x85, '†': 0x86, '‡': 0x87, 'ˆ': 0x88, '‰': 0x89, 'Š': 0x8a, '‹': 0x8b, 'Œ': 0x8c, 'Ž': 0x8e,
	'‘': 0x91, '’': 0x92, '“': 0x93, '”': 0x94, '•': 0x95, '–': 0x96, '—': 0x97, '˜': 0x98, '™': 0x99, 'š': 0x9a, '›': 0x9b, 'œ': 0x9c, 'ž': 0x9e, 'Ÿ': 0x9f}

// latinByte returns the byte that a character was before it was misread.
func latinByte(r rune) (byte, bool) {
	if r < 0x100 {
		return byte(r), true
	}
	b, ok := windows1252[r]
	return b, ok
}

// closing is what may well follow MANHÃ, and would make a letter of its Ã.
const closing = "»”’–—…“‘›•™\u00a0"

// mojibakeUTF8 looks for Â, Ã and â before what continues a UTF-8 sequence; again and again,
// for text that was misread as often. (Each misreading doubles what it touches, so that
// there cannot be many.)
func (p *page) mojibakeUTF8() (c wikitext.Count) {
	for {
		n := p.readAsUTF8()
		if n.Matches == 0 {
			return c
		}
		c.Matches += n.Matches
		c.Bytes += n.Bytes
	}
}

func (p *page) readAsUTF8() wikitext.Count {
	e := edits{s: p.S}
	s := p.S
	for i := 0; i < len(s); {
		if s[i] != 0xc3 || i+1 >= len(s) || s[i+1] != 0x82 && s[i+1] != 0x83 && s[i+1] != 0xa2 {
			i++
			continue
		}
		lead, n := utf8.DecodeRuneInString(s[i:]) // Â, Ã or â
		raw := []byte{byte(lead)}
		need, j := 1, i+n
		if lead == 'â' {
			need = 2
		}
		for len(raw) <= need && j < len(s) {
			r, k := utf8.DecodeRuneInString(s[j:])
			x, ok := latinByte(r)
			if !ok || x < 0x80 || x > 0xbf {
				break
			}
			raw = append(raw, x)
			j += k
		}
		before, _ := utf8.DecodeLastRuneInString(s[:i])
		r, k := utf8.DecodeRune(raw)
		switch {
		case len(raw) != need+1 || r == utf8.RuneError || k != len(raw),
			lead != 'â' && unicode.IsUpper(before) && strings.Contains(closing, s[i+n:j]),
			lead == 'â' && (r < 0x2000 || r > 0x2fff):
			i += n
		default:
			e.replace(i, j, string(r))
			i = j
		}
	}
	return e.finish(p)
}

// c1Controls puts back what windows-1252 has at 80…9F, where Latin-1, by which it was read,
// has control characters that no text holds.
func (p *page) c1Controls() wikitext.Count {
	return p.mapRunes(&c1First, func(r rune, _ byte) rune {
		if x, ok := c1[r]; ok {
			return x
		}
		return r
	})
}

var (
	c1      = map[rune]rune{}
	c1First = firsts(0x80)
)

func init() {
	for r, b := range windows1252 {
		c1[rune(b)] = r
	}
}

// latin2 maps the characters of Latin-2 to those that Latin-1 has in the same place and
// Portuguese uses. (ç, á, â, é, í, ó, ô, ú, ü are the same in both.)
var latin2 = map[rune]string{'ă': "ã", 'Ă': "Ã", 'ő': "õ", 'Ő': "Õ", 'ę': "ê", 'Ę': "Ê", 'ŕ': "à", 'Ŕ': "À", 'ş': "º", 'Ş': "ª", 'ň': "ò", 'č': "è", 'ń': "ñ", 'ě': "ì", 'ů': "ù", 'ď': "ï"}

// signs of Latin-2 mojibake: endings that Portuguese is full of and no language has so.
var latin2Signs = []string{"ăo", "çőe", "ăe", "ĂO", "Ăo", "şş", "nęn", "ŕs "}

func (p *page) mojibakeLatin2() (c wikitext.Count) {
	if !strings.Contains(p.S, "ă") && !strings.Contains(p.S, "ő") && !strings.Contains(p.S, "Ă") && !strings.Contains(p.S, "Ő") {
		return c
	}
	signs := 0
	for _, s := range latin2Signs {
		signs += strings.Count(p.S, s)
	}
	if signs < 3 {
		return c
	}
	e := edits{s: p.S}
	for i, r := range p.S {
		if x, ok := latin2[r]; ok {
			e.replace(i, i+utf8.RuneLen(r), x)
		}
	}
	return e.finish(p)
}

// yearWords are what years follow: "de2010".
var yearWords = map[string]bool{"de": true, "em": true, "até": true, "desde": true, "entre": true, "ano": true, "anos": true, "e": true, "a": true, "para": true, "por": true,
	"janeiro": true, "fevereiro": true, "março": true, "abril": true, "maio": true, "junho": true, "julho": true, "agosto": true, "setembro": true, "outubro": true, "novembro": true, "dezembro": true}

func (p *page) gluedYears() wikitext.Count {
	e := edits{s: p.S}
	s := p.S
	for i := 1; i+4 <= len(s); i++ {
		if c := s[i]; c != '1' && c != '2' || !isDigits(s[i:i+4]) {
			continue
		}
		before := s[i-1]
		if before >= '0' && before <= '9' || (before < 'a' || before > 'z') && before < 0x80 ||
			i+4 < len(s) && (isWordByte(s[i+4]) || s[i+4] == '.' && i+5 < len(s) && s[i+5] >= '0' && s[i+5] <= '9') {
			i += 3
			continue
		}
		year := s[i : i+4]
		start := i
		for start > 0 && isWordByte(s[start-1]) {
			start--
		}
		// "e" and "a" alone are also the names of things: e2020 is none, but A2000 is.
		if year >= "1500" && year <= "2099" && yearWords[s[start:i]] && (i-start > 1 || start > 0 && s[start-1] == ' ') {
			e.replace(i, i, " ")
		}
		i += 3
	}
	return e.finish(p)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// isWordByte takes all of UTF-8's other bytes for letters.
func isWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80
}

// Words that a hyphen and a space are right before: "pré- e pós-guerra".
var coordination = map[string]bool{"e": true, "ou": true, "a": true, "o": true, "de": true, "do": true, "da": true, "à": true, "em": true, "para": true, "até": true, "nem": true}

// Pronouns that keep their hyphen: "disse- me".
var enclitics = map[string]bool{"me": true, "te": true, "se": true, "lhe": true, "lhes": true, "nos": true, "vos": true, "lo": true, "la": true, "los": true, "las": true, "no": true, "na": true, "nas": true, "os": true, "as": true}

// Endings that stand behind the pronoun inside a verb: "levar-se- á".
var mesoclitics = map[string]bool{"á": true, "ás": true, "ão": true, "ei": true, "ia": true, "ias": true, "iam": true, "emos": true, "íamos": true}

// Prefixes that always have a hyphen (não- profissional), and those that have one before
// some words only, where nothing is done.
var (
	prefixes     = map[string]bool{"pré": true, "pós": true, "pró": true, "ex": true, "vice": true, "não": true, "recém": true, "bem": true, "além": true}
	halfPrefixes = map[string]bool{"sub": true, "anti": true, "mal": true, "auto": true}
)

// ocrHyphens joins words that a hyphen and a space cut. Whether the hyphen belongs to the
// word (data- limite) or only to the line it once ended (cons- tituição), the rest of
// the text tells.
func (p *page) ocrHyphens() wikitext.Count {
	e := edits{s: p.S}
	s := p.S
	var seen map[string]bool // words of the text; made when one asks
	kept := -1               // end of the last cut that kept its hyphen
	keep := func(i int) {
		e.replace(i+1, i+2, "")
		kept = i + 2
	}
	for i := 1; i < len(s); i++ {
		n := strings.Index(s[i:], "- ")
		if n < 0 {
			break
		}
		i += n
		left, _ := utf8.DecodeLastRuneInString(s[:i])
		right, _ := utf8.DecodeRuneInString(s[i+2:])
		if !unicode.IsLower(left) || !unicode.IsLower(right) {
			continue
		}
		start, end := i, i+2
		for start > 0 && i-start < maxWord && isWordByte(s[start-1]) {
			start--
		}
		for end < len(s) && end-i < maxWord && isWordByte(s[end]) {
			end++
		}
		word, next := s[start:i], s[i+2:end]
		inside := start > 0 && (s[start-1] == '-' || start == kept)
		switch {
		case coordination[next] || halfPrefixes[strings.ToLower(word)] || len(word) < 2: // a list, a prefix, a bullet
		case prefixes[next] && end < len(s) && s[end] == '-': // pré- pós-
		case prefixes[strings.ToLower(word)],
			mesoclitics[next] && enclitics[word] && inside:
			keep(i)
		case inside: // guarda- roupa- etc.: a list of hyphens, not a cut
		case enclitics[next]:
			keep(i)
		case utf8.RuneCountInString(next) >= 3, len(next) >= 2 && strings.HasPrefix(s[end:], "- "): // cons- ti- tuição
			if seen == nil {
				seen = wordsOf(s)
			}
			a, b := strings.ToLower(word), strings.ToLower(next)
			if !seen[a+b] && (seen[a+"-"+b] || seen[a] && seen[b]) {
				keep(i)
			} else {
				e.replace(i, i+2, "")
			}
		}
	}
	return e.finish(p)
}

// maxWord bounds the words that ocrHyphens looks at, in bytes.
const maxWord = 60

// wordsOf returns the words of a text in lower case, also those with a hyphen inside;
// not the pieces on either side of a hyphen and a space.
func wordsOf(s string) map[string]bool {
	words := map[string]bool{}
	for i := 0; i < len(s); {
		if !isWordByte(s[i]) {
			i++
			continue
		}
		j := i
		for j < len(s) && (isWordByte(s[j]) || s[j] == '-' && j+1 < len(s) && isWordByte(s[j+1])) {
			j++
		}
		if j-i <= maxWord && !strings.HasPrefix(s[j:], "- ") && !(i >= 2 && s[i-2:i] == "- " && (i < 3 || isWordByte(s[i-3]))) {
			words[strings.ToLower(s[i:j])] = true
		}
		i = j
	}
	return words
}
