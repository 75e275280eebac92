package tokenizer

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

func pieces(s *splitter, text string) (p []string) {
	for i := 0; i < len(text); {
		j := s.next(text, i)
		p = append(p, text[i:j])
		i = j
	}
	return p
}

// compiled is an expression for regexp2, which reads it otherwise than Oniguruma does in
// two things: it folds case by simple mapping, so that U+017F is no s, and it has no
// possessive quantifiers.
func compiled(regex string) *regexp2.Regexp {
	regex = strings.NewReplacer(
		`(?i:'s|'t|'re|'ve|'m|'ll|'d)`, `(?:'[sSſ]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])`,
		`'(?i:[sdmt]|ll|ve|re)`, `'(?:[sSſdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])`,
	).Replace(regex)
	regex = regexp.MustCompile(`(\\p\{\w+\}|\[[^]]+\]|\\s)([+*?])\+`).ReplaceAllString(regex, `(?>$1$2)`)
	return regexp2.MustCompile(regex, regexp2.None)
}

// matches is what the regular expression cuts, Isolated: what it misses are pieces too.
// A byte that is not UTF-8 is a rune of its own, U+FFFD, to the expression.
func matches(t testing.TB, re *regexp2.Regexp, text string) (p []string) {
	t.Helper()
	runes := []rune(text)
	at, cut := 0, 0 // in runes, in bytes
	add := func(end int) {
		n := 0
		for ; at < end; at++ {
			_, k := utf8.DecodeRuneInString(text[cut+n:])
			n += k
		}
		p = append(p, text[cut:cut+n])
		cut += n
	}
	m, err := re.FindRunesMatch(runes)
	for ; m != nil && err == nil; m, err = re.FindNextMatch(m) {
		if m.Index > at {
			add(m.Index)
		}
		add(m.Index + m.Length)
	}
	if err != nil {
		t.Fatal(err)
	}
	if at < len(runes) {
		add(len(runes))
	}
	return p
}

func TestSplitterIsItsRegex(t *testing.T) {
	most := 0
	if testing.Short() || underRace {
		most = 5_000
	}
	texts := append(sample(t, most), strange...)
	for _, s := range splitters {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			re := compiled(s.regex)
			for _, text := range texts {
				got, want := pieces(s, text), matches(t, re, text)
				if slices.Equal(got, want) {
					continue
				}
				for i := range got {
					if i >= len(want) || got[i] != want[i] {
						t.Errorf("piece %d of %.40q is %q; the regex gives %q", i, text, got[i], want[min(i, len(want)-1)])
						break
					}
				}
			}
		})
	}
}

// Every rune, where it makes a difference: before and behind letters of either case,
// marks of punctuation, white space. Of the long stretches of ideographs and Hangul it
// takes some.
func TestSplitterTakesEveryRune(t *testing.T) {
	var runes []rune
	for r := rune(0); r < 0x323b0; r++ { // beyond are only private use, tags and variation selectors
		if utf8.ValidRune(r) && (r%32 == 0 || !unicode.In(r, unicode.Ideographic, unicode.Hangul, unicode.Co) && unicode.IsPrint(r)) || r < 0x3000 {
			runes = append(runes, r)
		}
	}
	if testing.Short() || underRace {
		runes = runes[:0x3000]
	}
	for _, s := range splitters {
		re := compiled(s.regex)
		var text strings.Builder
		check := func() {
			if got, want := pieces(s, text.String()), matches(t, re, text.String()); !slices.Equal(got, want) {
				t.Errorf("%s: %q gives %q; the regex gives %q", s.name, text.String(), got, want)
			}
			text.Reset()
		}
		for i, r := range runes {
			x := string(r)
			text.WriteString(x + "a" + x + "A" + x + "B! " + x + "'" + x + "x" + x + "'s \n" + x + " " + x + "1")
			if i%64 == 63 {
				check()
			}
		}
		check()
	}
}

// alphabet is what fuzzing makes texts of: a byte each.
var alphabet = []string{
	"a", "s", "t", "r", "e", "v", "l", "m", "d", "x", "S", "L", "E", "A", "B", "Z", "é", "ç", "Ã", "ſ", "K", "ß", "ﬆ", "ŉ", // letters
	"ǅ", "ᾈ", "ʰ", "ª", "º", "ˈ", "日", "ก", "א", "𝒜", "𝔞", "𐐀", "ꟲ", // titlecase, modifiers, without case, beyond the BMP
	"\u0301", "\u0327", "\u20dd", "\u0903", "\ufe0f", "\U000e0100", // marks
	"1", "2", "٣", "Ⅷ", "½", "²", "𝟘", "〇", // numbers
	" ", " ", " ", "\t", "\n", "\n", "\r", "\r\n", "\u00a0", "\u0085", "\u2003", "\u2028", "\u2029", "\u3000", "\u180e", "\u200b", "\ufeff", "\v",
	"'", "'", "'", "’", "!", "/", "/", "-", "—", "_", "$", "😀", "👩‍👩‍👧", "🇧🇷", "�", // other
	"\u0378", "\U000323b0", "\U0001e900", "\ue000", "\U0010ffff", // unassigned, of a script with case, for private use
	"\x00", "\x7f", "\xff", "\xc3", "\xe2\x80", "\xf0\x9f", "\x80", "\xed\xa0\x80", // not UTF-8
}

func FuzzSplitter(f *testing.F) {
	for _, s := range strange {
		f.Add(s, []byte(s))
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 30 { // enough to see most of what fuzzing can see, each time the tests run
		letters := make([]byte, 400)
		for i := range letters {
			letters[i] = byte(r.Uint32())
		}
		f.Add("", letters)
	}
	var res []*regexp2.Regexp
	for _, s := range splitters {
		res = append(res, compiled(s.regex))
	}
	others := map[*regexp2.Regexp]*splitter{}
	for regex := range variants {
		others[compiled(regex)] = splitterOf(regex)
	}
	f.Fuzz(func(t *testing.T, text string, letters []byte) {
		var made strings.Builder
		for _, n := range letters {
			made.WriteString(alphabet[int(n)%len(alphabet)])
		}
		for _, text := range []string{text, made.String()} {
			for i, s := range splitters {
				got, want := pieces(s, text), matches(t, res[i], text)
				if !slices.Equal(got, want) {
					t.Errorf("%s: %q gives %q; the regex gives %q", s.name, text, got, want)
				}
				// A piece is its own only piece: counts of pieces stand for the text.
				for _, p := range got {
					if again := pieces(s, p); len(again) != 1 {
						t.Errorf("%s: the piece %q of %q is split again: %q", s.name, p, text, again)
					}
				}
			}
			for re, s := range others {
				if got, want := pieces(s, text), matches(t, re, text); !slices.Equal(got, want) {
					t.Errorf("%s: %q gives %q; the variant %s gives %q", s.name, text, got, re, want)
				}
			}
		}
	})
}

func TestSplitters(t *testing.T) {
	for name, of := range map[string]map[string][]string{
		"ptbr": {
			"Em 2024, não.":      {"Em", " 20", "24", ",", " não", "."},
			"dá-lhe água":        {"dá", "-", "lhe", " água"},
			"a\u0301gua":         {"a\u0301gua"},
			"1º  Art.\n\n§ 2":    {"1", "º", " ", " Art", ".", "\n\n", "§", " 2"},
			"fim \n  novo":       {"fim", " \n", " ", " novo"},
			"x\t\ty":             {"x", "\t", "\t", "y"},
			"R$ 1.234,56":        {"R", "$", " 1", ".", "23", "4", ",", "56"},
			"sim!!! (não)":       {"sim", "!!!", " (", "não", ")"},
			"   ":                {"   "},
			"[EOS]":              {"[", "EOS", "]"},
			"São Paulo — Brasil": {"São", " Paulo", " —", " Brasil"},
			"a\xff\xe2\x82b":     {"a", "\xff\xe2\x82", "b"},
		},
		"gpt2": {
			"it's IT'S":      {"it", "'s", " IT", "'", "S"},
			"a\u0301 2024!!": {"a", "\u0301", " 2024", "!!"},
			"a \n b\n":       {"a", " \n", " b", "\n"},
		},
		"cl100k": {
			"it's IT'ſ":      {"it", "'s", " IT", "'ſ"},
			"a\u0301b 2024!": {"a", "\u0301b", " ", "202", "4", "!"},
			"a!\n\n (b) \n ": {"a", "!\n\n", " (", "b", ")", " \n", " "},
		},
		"o200k": {
			"it's OK'RE":          {"it's", " OK'RE"},
			"McDonald HTMLParser": {"Mc", "Donald", " HTMLParser"},
			"a\u0301b 2024!":      {"a\u0301b", " ", "202", "4", "!"},
			"ABªCD \u0301AB 日本Go": {"ABª", "CD", " \u0301", "AB", " 日本Go"},
			"a!\n//\nb":           {"a", "!\n//\n", "b"},
			"1\u0301's \u0301A'S": {"1", "\u0301's", " \u0301", "A'S"},
		},
	} {
		s, err := findSplitter(name)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range of {
			if got := pieces(s, text); !slices.Equal(got, want) {
				t.Errorf("%s: %q gives %q; must give %q", name, text, got, want)
			}
		}
	}
}

func TestSplitterOf(t *testing.T) {
	for regex, name := range variants {
		if s := splitterOf(regex); s == nil || s.name != name {
			t.Errorf("%s is %v; must be %s", regex, s, name)
		}
	}
	for _, s := range splitters {
		if splitterOf(s.regex) != s {
			t.Errorf("the expression of %s is not found", s.name)
		}
	}
	for _, regex := range []string{
		"", `\w+`,
		`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`,
	} {
		if s := splitterOf(regex); s != nil {
			t.Errorf("%q is taken for %s", regex, s.name)
		}
	}
}

// Another version of Unicode cuts other pieces: tables of package unicode that follow
// it make other tokens of the same text, and must be seen to.
func TestUnicodeVersion(t *testing.T) {
	if unicode.Version != "15.0.0" {
		t.Errorf("package unicode has version %s; the splitters are documented with 15.0.0: runes that came since change their class", unicode.Version)
	}
}

func BenchmarkSplit(b *testing.B) {
	text := strings.Join(excerpts(b), "")
	for _, s := range splitters {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				for i := 0; i < len(text); {
					i = s.next(text, i)
				}
			}
		})
	}
}
