package tokenizer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// rule is one Replace of tokenizer.json: what is found from left to right becomes
// content. Of regular expressions it has two: one of the runes in brackets, and a text
// that does not stand behind a capital.
type rule struct {
	pattern, content string
	regex            bool

	runes   string // any of them is found; if empty, text is
	text    string
	guarded bool // not behind a capital
}

// behindCapital begins the expression of a guarded rule.
const behindCapital = `(?<!\p{Lu})`

var plainText = regexp.MustCompile(`^[^][(){}^$.|?*+\\&\-#]+$`)

// newRule reads a pattern; ok is false if it is an expression of another kind.
func newRule(pattern, content string, regex bool) (r rule, ok bool) {
	r = rule{pattern: pattern, content: content, regex: regex, text: pattern}
	if !regex {
		if utf8.RuneCountInString(pattern) == 1 {
			r.runes = pattern
		}
		return r, pattern != ""
	}
	if inner, found := strings.CutPrefix(pattern, "["); found {
		inner, found = strings.CutSuffix(inner, "]")
		r.runes = inner
		return r, found && plainText.MatchString(inner)
	}
	r.text, r.guarded = strings.CutPrefix(pattern, behindCapital)
	return r, plainText.MatchString(r.text)
}

// rule reads a Replace.
func (c *component) rule(field string) (rule, error) {
	switch s, x := c.Pattern.String, c.Pattern.Regex; {
	case s != nil:
		if r, ok := newRule(*s, c.Content, false); ok {
			return r, nil
		}
		return rule{}, fmt.Errorf("%s.pattern.String: is empty; must be the text to replace", field)
	case x != nil:
		if r, ok := newRule(*x, c.Content, true); ok {
			return r, nil
		}
		return rule{}, fmt.Errorf("%s.pattern.Regex: is %q; of expressions only characters in brackets are read, and text, which may begin with %s", field, *x, behindCapital)
	}
	return rule{}, fmt.Errorf("%s.pattern: is missing; must be a String or a Regex", field)
}

// apply replaces text; rules of single runes are applied together.
func (r *rule) apply(s string) string {
	if !r.guarded {
		return strings.ReplaceAll(s, r.text, r.content)
	}
	var b strings.Builder
	done := 0
	for i := 0; ; {
		k := strings.Index(s[i:], r.text)
		if k < 0 {
			break
		}
		i += k
		if before, _ := utf8.DecodeLastRuneInString(s[:i]); unicode.IsUpper(before) {
			i++
			continue
		}
		b.WriteString(s[done:i])
		b.WriteString(r.content)
		i += len(r.text)
		done = i
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// replacer applies rules in their order, each to the whole of a text in valid UTF-8.
type replacer struct {
	rules  []rule
	of     map[rune]string // if each rule finds single runes: what becomes of a rune after all of them
	first  [256]bool       // bytes with which something that a rule finds begins
	second [256]bool       // bytes that come next there
}

// replacing makes steps of rules: one of those of a named normalizer, where they stand
// together; else one of each run of rules that find single runes, and one of each run of
// others.
func replacing(rules []rule) (n normalizer) {
	named := func(rules []rule) int {
		for _, known := range [][]rule{punctuation, misread} {
			if len(known) <= len(rules) && slices.Equal(known, rules[:len(known)]) {
				return len(known)
			}
		}
		return 0
	}
	for len(rules) > 0 {
		k := named(rules)
		if k == 0 {
			for k = 1; k < len(rules) && (rules[k].runes == "") == (rules[0].runes == "") && named(rules[k:]) == 0; k++ {
			}
		}
		n = append(n, step{form: formReplace, replace: newReplacer(rules[:k])})
		rules = rules[k:]
	}
	return n
}

func newReplacer(rules []rule) *replacer {
	p := &replacer{rules: rules}
	mark := func(found string) {
		p.first[found[0]] = true
		if len(found) > 1 {
			p.second[found[1]] = true
			return
		}
		for c := range p.second {
			p.second[c] = true
		}
	}
	for _, r := range rules {
		if r.runes == "" {
			mark(r.text)
			continue
		}
		if p.of == nil {
			p.of = map[rune]string{}
		}
		for from, to := range p.of { // what an earlier rule gave meets this one
			p.of[from] = mapRunes(to, func(x rune) (string, bool) { return r.content, strings.ContainsRune(r.runes, x) })
		}
		for _, x := range r.runes {
			mark(string(x))
			if _, ok := p.of[x]; !ok {
				p.of[x] = r.content
			}
		}
	}
	return p
}

func (p *replacer) apply(s string) string {
	i := p.next(s, 0)
	if i == len(s) {
		return s
	}
	if p.of == nil {
		for k := range p.rules {
			s = p.rules[k].apply(s)
		}
		return s
	}
	b := make([]byte, 0, len(s)+16)
	done := 0
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		b = append(append(b, s[done:i]...), p.of[r]...)
		done = i + n
		i = p.next(s, done)
	}
	return string(append(b, s[done:]...))
}

// next returns the first place from i on where a rule finds something, guarded or not;
// len(s) if there is none.
func (p *replacer) next(s string, i int) int {
	for ; i < len(s); i++ {
		if !p.first[s[i]] || i+1 < len(s) && !p.second[s[i+1]] {
			continue
		}
		if p.of != nil {
			r, _ := utf8.DecodeRuneInString(s[i:])
			if _, ok := p.of[r]; ok {
				return i
			}
			continue
		}
		for k := range p.rules {
			if strings.HasPrefix(s[i:], p.rules[k].text) {
				return i
			}
		}
	}
	return len(s)
}

// mapRunes replaces the runes for which f is true.
func mapRunes(s string, f func(rune) (string, bool)) string {
	var b strings.Builder
	for _, r := range s {
		if to, ok := f(r); ok {
			b.WriteString(to)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func mustRule(pattern, content string, regex bool) rule {
	r, ok := newRule(pattern, content, regex)
	if !ok {
		panic("a rule of ours is not read: " + pattern)
	}
	return r
}

// punctuation is ptbr-punctuation: typographic marks become those of a keyboard. A dash
// that stands for a pause or opens speech becomes two hyphens, so that it joins no
// words as a hyphen does. What has a meaning of its own stays: º ª § ° · • ´ and the
// superscripts.
var punctuation = []rule{
	mustRule("[“”„‟«»″]", `"`, true),
	mustRule("[‘’‚‛‹›′]", "'", true),
	mustRule("[‐‑‒–−]", "-", true), // hyphens, figure and en dash, minus
	mustRule("[—―]", "--", true),
	mustRule("…", "...", false),
	mustRule("[\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000]", " ", true),
}

// misread is mojibake: it repairs UTF-8 that was read as Windows-1252 or as Latin-1, of
// the letters and signs that Portuguese uses. Rules of Ã come before those of Â, and these
// before those of â, so that no result is taken for the second character of another;
// those that give Ã, Â or â come last. As in the rule mojibake-utf8 of clean, Ã and Â stay
// behind a capital where what follows them may well end a word in capitals (“MANHÃ”,
// IRMÃ»). Text that was misread twice takes the rules twice.
var misread = misreadings()

func misreadings() (rules []rule) {
	const closing = "»”’–—…“‘›•™\u00a0"
	seen := map[string]bool{}
	signs := ""
	for r := rune(0xa0); r <= 0xbf; r++ {
		signs += string(r)
	}
	for _, r := range "áàãçéêíóôõúüñÁÀÇÉÊÍÓÔÕÚÜÑ" + signs + "“”‘’–—…•€™" + "âÂÃ" {
		for _, table := range []*charmap.Charmap{charmap.Windows1252, charmap.ISO8859_1} {
			var wrong []rune
			for _, c := range []byte(string(r)) {
				x := table.DecodeByte(c)
				if x == utf8.RuneError { // the five holes of Windows-1252: read as Latin-1's controls
					x = rune(c)
				}
				wrong = append(wrong, x)
			}
			text := string(wrong)
			if seen[text] {
				continue
			}
			seen[text] = true
			if guarded := len(wrong) == 2 && strings.ContainsRune(closing, wrong[1]); guarded {
				rules = append(rules, mustRule(behindCapital+text, string(r), true))
			} else {
				rules = append(rules, mustRule(text, string(r), false))
			}
		}
	}
	return rules
}
