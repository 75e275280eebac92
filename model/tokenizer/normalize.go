package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// step is one step of a normal form, under the name that tokenizer.json gives it.
type step string

const (
	stepNFC          step = "NFC"
	stepNFD          step = "NFD"
	stepLowercase    step = "Lowercase"
	stepStripAccents step = "StripAccents"
)

// normalizer is the steps that text passes before it is split. Empty: none.
type normalizer []step

// normalizers are the names that Options.Normalizer takes.
var normalizers = map[string]normalizer{
	"nfc":              {stepNFC},
	"nfd":              {stepNFD},
	"lowercase":        {stepLowercase},
	"strip-diacritics": {stepNFD, stepStripAccents, stepNFC},
}

func findNormalizer(names []string) (normalizer, error) {
	var n normalizer
	for _, name := range names {
		steps, ok := normalizers[name]
		if !ok {
			return nil, fmt.Errorf("there is no normalizer %q; there are nfc, nfd, lowercase, strip-diacritics", name)
		}
		n = append(n, steps...)
	}
	return n, nil
}

func (n normalizer) lossy() bool {
	for _, s := range n {
		if s != stepNFC {
			return true
		}
	}
	return false
}

// apply makes text valid UTF-8 and brings it to the normal form.
func (n normalizer) apply(text string) string {
	plain := isPlain(text)
	if !plain {
		text = validUTF8(text)
	}
	for _, s := range n {
		switch s {
		case stepNFC:
			if !plain {
				text = norm.NFC.String(text)
			}
		case stepNFD:
			text, plain = norm.NFD.String(text), false
		case stepLowercase:
			text, plain = lowercase(text), false
		case stepStripAccents:
			text, plain = stripAccents(text), false
		}
	}
	return text
}

// isPlain says that text is valid UTF-8 and in NFC as far as a quick look tells: it has
// only runes below U+0300, none of which composes or decomposes under NFC, and dashes,
// quotes and the ellipsis from U+2010–U+203F, none of which does either. Most
// Portuguese text passes.
func isPlain(s string) bool {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c < utf8.RuneSelf:
			i++
		case c >= 0xc2 && c < 0xcc && i+1 < len(s) && s[i+1]&0xc0 == 0x80:
			i += 2
		case c == 0xe2 && i+2 < len(s) && s[i+1] == 0x80 && s[i+2] >= 0x90 && s[i+2] <= 0xbf:
			i += 3
		default:
			return false
		}
	}
	return true
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
