package tokenizer

import "unicode/utf8"

// GPT-2's byte alphabet, in which vocabularies are written: printable bytes of Latin-1
// stand for themselves, the others for U+0100 onwards in order, so that a token's text
// has neither spaces nor control characters (0x20 is Ġ, 0x0A is Ċ).
// Source: bytes_to_unicode in openai/gpt-2, src/encoder.py.
var (
	byteRune  [256]rune
	runeByte  [0x144]int16 // -1: not of the alphabet
	byteOrder [256]byte    // bytes by their rune: the order of the first 256 ids
)

func init() {
	printable := func(b int) bool {
		return b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae
	}
	n := 0
	for b := range 256 {
		if printable(b) {
			byteRune[b] = rune(b)
			byteOrder[n] = byte(b)
			n++
		}
	}
	next := rune(0x100)
	for b := range 256 {
		if !printable(b) {
			byteRune[b] = next
			byteOrder[n] = byte(b)
			next++
			n++
		}
	}
	for r := range runeByte {
		runeByte[r] = -1
	}
	for b, r := range byteRune {
		runeByte[r] = int16(b)
	}
}

// spell writes bytes in the alphabet.
func spell(token string) string {
	b := make([]byte, 0, len(token)+8)
	for i := range len(token) {
		b = utf8.AppendRune(b, byteRune[token[i]])
	}
	return string(b)
}

// unspell reads the alphabet; bad is the first rune that is not of it.
func unspell(s string) (token string, bad rune, ok bool) {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if int(r) >= len(runeByte) || runeByte[r] < 0 {
			return "", r, false
		}
		b = append(b, byte(runeByte[r]))
	}
	return string(b), 0, true
}
