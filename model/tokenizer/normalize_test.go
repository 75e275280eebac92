package tokenizer

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
	"golang.org/x/text/unicode/norm"
)

func TestNormalizers(t *testing.T) {
	for _, c := range []struct {
		names      []string
		text, want string
		lossy      bool
	}{
		{nil, "A\u0301 Ç", "A\u0301 Ç", false},
		{[]string{"nfc"}, "A\u0301 Ç \u212b", "Á Ç Å", false},
		{[]string{"nfc"}, "1º m² ﬁ", "1º m² ﬁ", false}, // NFKC would change all three
		{[]string{"nfc"}, "a" + strings.Repeat("\u0301", 40) + "\u0327", "á\u0327"[:2] + "\u0327" + strings.Repeat("\u0301", 39), false},
		{[]string{"nfd"}, "Áç", "A\u0301c\u0327", true},
		{[]string{"nfd"}, "á" + strings.Repeat("\u0323", 40), "a" + strings.Repeat("\u0323", 40) + "\u0301", true},
		{[]string{"lowercase"}, "ÁÇÃO İ", "áção i\u0307", true},
		{[]string{"strip-diacritics"}, "Ação à Ünião", "Acao a Uniao", true},
		{[]string{"lowercase", "strip-diacritics"}, "Ação", "acao", true},
		{[]string{"nfc"}, "a\xff\xe2\x82b", "a��b", false},
		{[]string{"ptbr-punctuation"}, "“Não”, disse «ele» — às 10–12\u00a0h… d’água ‑ −3\u202f% ‘x’ 5′", `"Não", disse "ele" -- às 10-12 h... d'água - -3 % 'x' 5'`, true},
		{[]string{"ptbr-punctuation"}, "Art. 5º, § 1ª · m² • 20° ´ — \u2028", "Art. 5º, § 1ª · m² • 20° ´ -- \u2028", true},
		{[]string{"mojibake"}, "A ConstituiÃ§Ã£o, â€œnovaâ€\u009d, Â§ 1Âº: vocÃª, Ã\u00a0s, fÃ©. ÃGUA Ã\u0081GUA Ã‰", "A Constituição, “nova”, § 1º: você, às, fé. ÃGUA ÁGUA É", true},
		{[]string{"mojibake"}, "Ã\u0083\u00c3\u0087 â\u0080\u0093 AÃ‡ÃƒO CÃ¢mara â‚¬ 5", "ÃÇ – AÇÃO Câmara € 5", true},
		{[]string{"mojibake"}, "“AMANHÃ” e «IRMÃ», MAÇÃ… NÃO, câmara, Â", "“AMANHÃ” e «IRMÃ», MAÇÃ… NÃO, câmara, Â", true},
		{[]string{"mojibake", "mojibake"}, "fÃƒÂ© vocÃƒÂª", "fé você", true},
		{[]string{"mojibake", "ptbr-punctuation", "nfc"}, "â€œa\u0301â€\u009d", `"á"`, true},
	} {
		n, err := findNormalizer(c.names)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.apply(c.text); got != c.want || n.lossy() != c.lossy {
			t.Errorf("%v: %q becomes %q, lossy %v; must be %q, %v", c.names, c.text, got, n.lossy(), c.want, c.lossy)
		}
	}
}

// What plainSpan lets pass is in NFC and valid: for every rune, alone and between others.
func TestPlainIsNFC(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		for _, s := range []string{string(r), "a" + string(r) + "é"} {
			if plainSpan(s, 0) == len(s) && (!norm.NFC.IsNormalString(s) || !utf8.ValidString(s)) {
				t.Fatalf("U+%04X passes", r)
			}
		}
	}
	for _, s := range []string{"\xc3", "\xc3(", "\xe2\x80", "\xe2\x80\x41", "\xc0\x80", "\xc1\xbf", "\x80", "\xff", "12345678\xff", "€\x80"} {
		if plainSpan(s, 0) == len(s) {
			t.Errorf("%q passes", s)
		}
	}
}

// forms are the normal forms that are tried with texts of any kind.
var forms = [][]string{
	nil, {"nfc"}, {"nfd"}, {"lowercase"}, {"strip-diacritics"}, {"ptbr-punctuation"}, {"mojibake"},
	{"ptbr-punctuation", "nfc"}, {"mojibake", "nfc", "ptbr-punctuation"}, {"lowercase", "mojibake", "mojibake", "nfd"},
}

// plainly applies a normal form step by step, each Replace with regexp2 and the forms of
// Unicode with package norm: no shortcuts.
func plainly(t testing.TB, n normalizer, text string) string {
	t.Helper()
	for _, s := range n {
		switch {
		case s.replace != nil:
			for _, r := range s.replace.rules {
				pattern := r.pattern
				if !r.regex {
					pattern = regexp2.Escape(pattern)
				}
				var err error
				if text, err = regexp2.MustCompile(pattern, regexp2.None).Replace(text, strings.ReplaceAll(r.content, "$", "$$"), -1, -1); err != nil {
					t.Fatal(err)
				}
			}
		case s.form == formNFC:
			text = norm.NFC.String(text)
		case s.form == formNFD:
			text = norm.NFD.String(text)
		default:
			text = normalizer{s}.apply(text)
		}
	}
	return text
}

// letters that normal forms change, and pieces of what was misread.
var normalAlphabet = append([]string{
	"Ã", "Â", "â", "€", "œ", "\u009d", "\u0080", "©", "§", "º", "»", "”", "“", "’", "‡", "ƒ", "\u00a0", "M", "Ç", "É",
	"á", "ç", "n", "o", "e\u0301", "\u0303", "\u0323", "\u0315", "\u0334", "Å", "Ω", "ế", "\u1100", "\u1161", "\u11a8", "각", "\u0f71", "\u0f72", "ﬁ", "ﷺ", "\U0001d15e", "🏳️‍🌈",
	"abcdefgh", strings.Repeat("texto ", 12), "—", "…", "–", "«", "\u2009",
}, alphabet...)

// decode(encode(x)) is the normal form of x: for every splitter and normal form, with
// U+FFFD for what is not UTF-8, and with such bytes kept.
func FuzzRoundTrip(f *testing.F) {
	for i, s := range strange {
		f.Add(s, []byte(s), uint8(i), uint8(i/3))
	}
	tok := trained(f, options())
	f.Fuzz(func(t *testing.T, text string, letters []byte, form, split uint8) {
		for _, n := range letters {
			text += normalAlphabet[int(n)%len(normalAlphabet)]
		}
		x := *tok
		x.splitter = splitters[int(split)%len(splitters)]
		x.normalizer, _ = findNormalizer(forms[int(form)%len(forms)])
		want := plainly(t, x.normalizer, validUTF8(text))
		if strings.Count(want, joiner) != strings.Count(text, joiner) {
			want = x.normalizer.apply(text) // package norm has put joiners between many marks
		}
		ids := x.Encode(nil, text)
		if got := x.Decode(ids); got != want {
			t.Errorf("%v, %s: %+q came back as %+q; must be %+q", forms[int(form)%len(forms)], x.splitter.name, text, got, want)
		}
		exact := x.Exact()
		got := exact.Decode(exact.Encode(nil, text))
		switch {
		case utf8.ValidString(text) && got != want:
			t.Errorf("%+q came back as %+q from the exact tokenizer; must be %+q", text, got, want)
		case len(x.normalizer) == 0 && got != text:
			t.Errorf("%+q came back as %+q from the exact tokenizer", text, got)
		}
		if got != exactly(&x, text) {
			t.Errorf("%+q came back as %+q from the exact tokenizer; must be %+q", text, got, exactly(&x, text))
		}
	})
}

// exactly is the normal form of what is UTF-8, with the bytes between that are not.
func exactly(t *Tokenizer, text string) string {
	var b, valid strings.Builder
	flush := func() {
		b.WriteString(t.Decode(t.Encode(nil, valid.String())))
		valid.Reset()
	}
	for i, r := range text {
		if _, n := utf8.DecodeRuneInString(text[i:]); r == utf8.RuneError && n == 1 {
			flush()
			b.WriteByte(text[i])
			continue
		}
		valid.WriteRune(r)
	}
	flush()
	return b.String()
}

func TestExactKeepsBytes(t *testing.T) {
	tok := trained(t, options())
	exact := tok.Exact()
	const text = "a\u0301\xffo\xc3 \xe2\x82 fim"
	if got, want := tok.Decode(tok.Encode(nil, text)), "á�o� � fim"; got != want {
		t.Errorf("%q came back as %q; must be %q", text, got, want)
	}
	ids := exact.Encode(nil, text)
	if got, want := exact.Decode(ids), "á\xffo\xc3 \xe2\x82 fim"; got != want {
		t.Errorf("%q came back as %q from the exact tokenizer; must be %q", text, got, want)
	}
	var b strings.Builder
	s := exact.NewStream()
	for _, id := range ids {
		b.WriteString(s.Push(id))
	}
	b.WriteString(s.Flush())
	if b.String() != exact.Decode(ids) {
		t.Errorf("%q was streamed as %q", text, b.String())
	}
}

// The normal form in tokenizer.json is read as what it was.
func TestNormalizerRoundTrip(t *testing.T) {
	texts := append(excerpts(t), "“AMANHÃ” Ã© â€œ — …", strings.Join(normalAlphabet, ""))
	for _, names := range forms {
		n, err := findNormalizer(names)
		if err != nil {
			t.Fatal(err)
		}
		var c *component
		if err := json.Unmarshal(n.marshal(), &c); err != nil {
			t.Fatal(err)
		}
		again, err := c.normalizer("normalizer")
		if err != nil {
			t.Errorf("%v: %v", names, err)
		}
		if !bytes.Equal(again.marshal(), n.marshal()) || again.lossy() != n.lossy() || !slices.Equal(again.names(), names) {
			t.Errorf("%v is read as %v: %s", names, again.names(), again.marshal())
		}
		for _, text := range texts {
			if again.apply(text) != n.apply(text) {
				t.Errorf("%v as read does something else to %.40q", names, text)
			}
		}
	}
}

func TestReplaceIsRead(t *testing.T) {
	for in, want := range map[string]string{
		`{"type": "Replace", "pattern": {"String": "ab"}, "content": "c"}`:                                                                                                           "xc Acbc",
		`{"type": "Replace", "pattern": {"Regex": "[ab]"}, "content": "c"}`:                                                                                                          "xcc Acccc",
		`{"type": "Replace", "pattern": {"Regex": "(?<!\\p{Lu})ab"}, "content": ""}`:                                                                                                 "x Aabbc",
		`{"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "bc"}, {"type": "Replace", "pattern": {"Regex": "[bx]"}, "content": "y"}]}`: "yycy Aycyyc",
		`{"type": "Replace", "pattern": {"String": ""}, "content": "c"}`:                                                                                                             "n.pattern.String: is empty",
		`{"type": "Replace", "pattern": {"Regex": "a+"}, "content": "c"}`:                                                                                                            `n.pattern.Regex: is "a+"`,
		`{"type": "Replace", "pattern": {"Regex": "[a-z]"}, "content": ""}`:                                                                                                          `n.pattern.Regex: is "[a-z]"`,
		`{"type": "Replace", "pattern": {"Regex": "[^a]"}, "content": ""}`:                                                                                                           `n.pattern.Regex: is "[^a]"`,
		`{"type": "Replace", "content": "c"}`:                                                                                                                                        "n.pattern: is missing",
		`{"type": "Sequence", "normalizers": [{"type": "NFKC"}]}`:                                                                                                                    `n.normalizers[0].type: is "NFKC"`,
	} {
		var c *component
		if err := json.Unmarshal([]byte(in), &c); err != nil {
			t.Fatal(err)
		}
		n, err := c.normalizer("n")
		got := ""
		if err != nil {
			got, _, _ = strings.Cut(err.Error(), ";")
		} else {
			got = n.apply("xab Aabbc")
		}
		if err == nil && got != want || err != nil && !strings.HasPrefix(got, want) {
			t.Errorf("%s gives %q; must give %q", in, got, want)
		}
	}
}

func TestRulesOfMojibake(t *testing.T) {
	n := normalizers["mojibake"]
	var all []string
	for _, r := range n[0].replace.rules {
		all = append(all, r.text)
	}
	if len(n) != 1 || !slices.Contains(all, "Ã©") || !slices.Contains(all, "â€œ") || slices.Contains(all, "é") {
		t.Errorf("%d steps, rules for %q", len(n), all)
	}
}

func BenchmarkNormalize(b *testing.B) {
	text := norm.NFC.String(strings.Join(excerpts(b), ""))
	for _, c := range []struct{ name, text string }{
		{"plain", text}, {"one-euro", text + "€"}, {"one-accent", "a\u0303" + text},
		{"accent-each-kilobyte", every(text, 1000, "e\u0301")}, {"all-nfd", norm.NFD.String(text)}, {"emoji-each-100", every(text, 100, "😀")},
	} {
		b.Run("nfc/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				normalizers["nfc"].apply(c.text)
			}
		})
		b.Run("norm/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				_ = norm.NFC.String(c.text)
			}
		})
	}
	for name, n := range normalizers {
		b.Run("form/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				n.apply(text)
			}
		})
	}
}

func every(text string, n int, x string) string {
	var b strings.Builder
	for i, r := range []rune(text) {
		if i%n == n-1 {
			b.WriteString(x)
		}
		b.WriteRune(r)
	}
	return b.String()
}
