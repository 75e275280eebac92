package tokenizer

import (
	"unicode/utf8"
)

// Decode joins the bytes of ids. Specials appear under their names; an id outside the
// vocabulary and bytes that are not UTF-8 appear as U+FFFD (see Exact for these).
func (t *Tokenizer) Decode(ids []uint32) string {
	b := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		b = append(b, t.Token(id)...)
	}
	return t.decoded(string(b))
}

// Stream decodes ids as they come, giving text only once its characters are whole.
type Stream struct {
	t    *Tokenizer
	held string // the beginning of a character, three bytes at most
}

// NewStream begins a stream.
func (t *Tokenizer) NewStream() *Stream { return &Stream{t: t} }

// Push returns what is certain of the text after one more id. All that Push and Flush
// returned, joined, is what Decode gives for all the ids.
func (s *Stream) Push(id uint32) string {
	b := s.held + s.t.Token(id)
	end := len(b)
	for i := max(0, len(b)-utf8.UTFMax+1); i < len(b); i++ {
		if !utf8.RuneStart(b[i]) {
			continue
		}
		if _, open := subpart(b[i:]); open {
			end = i
			break
		}
	}
	s.held = b[end:]
	return s.t.decoded(b[:end])
}

// Flush ends the stream: what was held back can no longer become a character.
func (s *Stream) Flush() string {
	b := s.held
	s.held = ""
	return s.t.decoded(b)
}
