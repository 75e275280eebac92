package tokenizer

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// step is one step of a normal form: one of those below under the name that
// tokenizer.json gives it, or, where replace is given, a run of its Replace steps.
type step struct {
	form    string
	replace *replacer
}

const (
	formNFC          = "NFC"
	formNFD          = "NFD"
	formLowercase    = "Lowercase"
	formStripAccents = "StripAccents"
	formReplace      = "Replace"
)

// normalizer is the steps that text passes before it is split. Empty: none.
type normalizer []step

// normalizers are the names that Options.Normalizer takes.
var normalizers = map[string]normalizer{
	"nfc":              {{form: formNFC}},
	"nfd":              {{form: formNFD}},
	"lowercase":        {{form: formLowercase}},
	"strip-diacritics": {{form: formNFD}, {form: formStripAccents}, {form: formNFC}},
	"ptbr-punctuation": replacing(punctuation),
	"mojibake":         replacing(misread),
}

func findNormalizer(names []string) (normalizer, error) {
	var n normalizer
	for _, name := range names {
		steps, ok := normalizers[name]
		if !ok {
			return nil, fmt.Errorf("there is no normalizer %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(normalizers)), ", "))
		}
		n = append(n, steps...)
	}
	return n, nil
}

func (n normalizer) lossy() bool {
	return slices.ContainsFunc(n, func(s step) bool { return s.form != formNFC })
}

// apply brings text to the normal form, with U+FFFD for what is not UTF-8.
func (n normalizer) apply(text string) string {
	span := plainSpan(text, 0)
	if span < len(text) && !utf8.ValidString(text[span:]) {
		text = validUTF8(text)
	}
	for i, s := range n {
		if i > 0 {
			span = 0
		}
		switch {
		case s.replace != nil:
			text = s.replace.apply(text)
		case s.form == formNFC:
			text = nfc(text, span)
		case s.form == formNFD:
			text = nfd(text)
		case s.form == formLowercase:
			text = lowercase(text)
		case s.form == formStripAccents:
			text = stripAccents(text)
		}
	}
	return text
}

// applyExact is apply, but bytes that are not UTF-8 stay as they are. No step looks
// across them.
func (n normalizer) applyExact(text string) string {
	if utf8.ValidString(text) {
		return n.apply(text)
	}
	var b strings.Builder
	for len(text) > 0 {
		valid := 0
		for valid < len(text) {
			r, k := utf8.DecodeRuneInString(text[valid:])
			if r == utf8.RuneError && k == 1 {
				break
			}
			valid += k
		}
		b.WriteString(n.apply(text[:valid]))
		bad := min(valid+1, len(text))
		b.WriteString(text[valid:bad])
		text = text[bad:]
	}
	return b.String()
}

// lowercase maps rune by rune with Unicode's full mapping, without regard to context.
// U+0130 is the one rune whose full mapping is longer than one.
func lowercase(s string) string {
	return strings.ToLower(strings.ReplaceAll(s, "\u0130", "i\u0307"))
}

func stripAccents(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsMark(r) {
			return -1
		}
		return r
	}, s)
}

// marshal gives the normalizer of tokenizer.json.
func (n normalizer) marshal() []byte {
	var all []string
	for _, s := range n {
		if s.replace == nil {
			all = append(all, fmt.Sprintf(`{"type": %s}`, quote(s.form)))
			continue
		}
		for _, r := range s.replace.rules {
			kind := "String"
			if r.regex {
				kind = "Regex"
			}
			all = append(all, fmt.Sprintf(`{"type": "Replace", "pattern": {%q: %s}, "content": %s}`, kind, quote(r.pattern), quote(r.content)))
		}
	}
	switch len(all) {
	case 0:
		return []byte("null")
	case 1:
		return []byte(all[0])
	}
	var b bytes.Buffer
	b.WriteString(`{"type": "Sequence", "normalizers": [`)
	for i, s := range all {
		b.WriteString(comma(i))
		b.WriteString(s)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// normalizer reads what marshal gives and what other programs write so.
func (c *component) normalizer(field string) (normalizer, error) {
	var n normalizer
	var rules []rule
	var add func(c *component, field string) error
	add = func(c *component, field string) error {
		switch c.Type {
		case "Sequence":
			for i := range c.Normalizers {
				if err := add(&c.Normalizers[i], fmt.Sprintf("%s.normalizers[%d]", field, i)); err != nil {
					return err
				}
			}
			return nil
		case formReplace:
			r, err := c.rule(field)
			rules = append(rules, r)
			return err
		case formNFC, formNFD, formLowercase, formStripAccents:
			n = append(append(n, replacing(rules)...), step{form: c.Type})
			rules = nil
			return nil
		}
		return fmt.Errorf("%s.type: is %q; only NFC, NFD, Lowercase, StripAccents, Replace and Sequence are read", field, c.Type)
	}
	if c == nil {
		return nil, nil
	}
	if err := add(c, field); err != nil {
		return nil, err
	}
	return append(n, replacing(rules)...), nil
}

// nfd decomposes text. Package norm keeps its output fit for streams by U+034F after
// thirty marks on one letter; the standard's form has none.
func nfd(s string) string {
	d := norm.NFD.String(s)
	if strings.Count(d, joiner) == strings.Count(s, joiner) {
		return d
	}
	return string(decompose(s))
}
