package tokenizer

import (
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// blanks are the white space before which text can be cut and brought to the normal
// form part by part: nothing composes with them, and nothing looks across them but a
// replacement of text that has one.
const blanks = " \t\r\n"

// readBytes is how much of a reader is read at once.
const readBytes = 64 << 10

// EncodeReader encodes all that r gives as one text, as Encode does, and hands the ids
// on as soon as no further text can change them. emit must not keep them; its error
// ends the reading. Memory is in proportion to the longest stretch without a space or
// line end; of a tokenizer that looks for added tokens in text, or replaces text that
// has white space in it, to the whole.
func (t *Tokenizer) EncodeReader(r io.Reader, emit func(ids []uint32) error) error {
	var (
		whole  = t.prefixSpace || len(t.added) > len(t.names) || t.normalizer.crossesBlanks()
		buf    = make([]byte, readBytes)
		raw    []byte // read, and not yet in the normal form
		normal string // in the normal form, and not yet encoded
		fresh  int    // bytes at the end of raw that were not looked at
		ids    []uint32
	)
	for {
		n, err := r.Read(buf)
		raw, fresh = append(raw, buf[:n]...), fresh+n
		switch {
		case errors.Is(err, io.EOF) && whole:
			return handOn(t.Encode(nil, string(raw)), emit)
		case errors.Is(err, io.EOF):
			return handOn(t.encodeNormal(ids[:0], normal+t.normal(string(raw))), emit)
		case err != nil:
			return err
		case whole || fresh < len(normal)+len(raw)-fresh: // so that text without a blank is not looked at again and again
			continue
		}
		if k := strings.LastIndexAny(string(raw[len(raw)-fresh:]), blanks); k >= 0 {
			k += len(raw) - fresh
			normal += t.normal(string(raw[:k]))
			raw = append(raw[:0], raw[k:]...)
		}
		fresh = 0
		ids, n = t.encodeUpTo(ids[:0], normal, settled(normal))
		normal = normal[n:]
		if err := handOn(ids, emit); err != nil {
			return err
		}
	}
}

func handOn(ids []uint32, emit func([]uint32) error) error {
	if len(ids) == 0 {
		return nil
	}
	return emit(ids)
}

// settled returns how far the pieces of text stay as they are, whatever follows: those
// that end before the last word that has white space behind it. No splitter looks
// further from the end of a piece than over white space to the end of the next word.
func settled(text string) int {
	for end := len(text); ; {
		if end = strings.LastIndexAny(text[:end], blanks); end <= 0 {
			return 0
		}
		if r, _ := utf8.DecodeLastRuneInString(text[:end]); !unicode.IsSpace(r) {
			return len(strings.TrimRightFunc(text[:end], func(r rune) bool { return !unicode.IsSpace(r) }))
		}
	}
}

// crossesBlanks says that a step replaces text in which there is one of blanks.
func (n normalizer) crossesBlanks() bool {
	for _, s := range n {
		if s.replace == nil {
			continue
		}
		for _, r := range s.replace.rules {
			if strings.ContainsAny(r.pattern, blanks) {
				return true
			}
		}
	}
	return false
}
