// Package tokenizer turns text into the ids a model reads, and back: byte-level BPE,
// trained here, in the files that Hugging Face's tokenizers, GPT-2's readers and
// tiktoken open.
//
// Text passes four steps. It is made valid UTF-8 and brought to a normal form
// (normalize.go), cut into pieces by a named splitter (split.go), each piece's bytes
// are merged pair by pair in the order the merges were learnt (encode.go), and what
// remains is the ids. Going back (decode.go) joins the tokens' bytes. With a normal
// form that loses nothing, decode(encode(x)) is NFC(x) for every x in UTF-8. What is not
// UTF-8 becomes U+FFFD, or is kept byte by byte (Exact).
//
// A Tokenizer never changes after it was made and may be used by any number of
// goroutines.
package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unicode/utf8"
)

// The specials that the rest of the pipeline asks for by name. They come first in the
// vocabulary of every tokenizer trained here.
const (
	Pad       = "[PAD]"
	Unknown   = "[UNK]"
	Begin     = "[BOS]"
	End       = "[EOS]"
	Separator = "[SEP]"
)

// Tokenizer encodes and decodes with one vocabulary. Make one with Load, Read or Train.
type Tokenizer struct {
	splitter    *splitter
	normalizer  normalizer
	exact       bool // see Exact
	prefixSpace bool // a text that does not begin with a space is given one

	tokens  []string          // bytes of each id; the name of a special; "" for an id that is not used
	special []bool            // by id
	names   map[string]uint32 // id of each special
	added   []addedToken      // the specials and what else is found in text as it is, in the order of the file
	literal map[uint32]bool   // added tokens that are not special and not of the vocabulary

	merges []merge           // by rank
	bytes  [256]uint32       // id of each byte
	pairs  *pairTable        // pair of ids → rank
	whole  map[string]uint32 // pieces that are tokens without any merge; nil: all pieces are merged
	cache  *cache

	file   []byte // tokenizer.json, as read or as first written
	digest string
}

// merge says that left followed by right becomes id. Two merges may give the same id:
// a+bc and ab+c, when contexts led training to both.
type merge struct{ left, right, id uint32 }

// indexTokens fills in what follows from tokens and special.
func (t *Tokenizer) indexTokens() error {
	t.names = map[string]uint32{}
	var have [256]bool
	for id, tok := range t.tokens {
		switch {
		case t.special[id]:
			t.names[tok] = uint32(id)
		case len(tok) == 1 && !t.literal[uint32(id)]:
			t.bytes[tok[0]], have[tok[0]] = uint32(id), true
		}
	}
	for b, ok := range have {
		if !ok {
			return fmt.Errorf("there is no token for the byte 0x%02x; a byte-level vocabulary has all 256", b)
		}
	}
	return nil
}

// mergedTwice says that a pair of tokens is in the merges again.
type mergedTwice struct {
	rank        int // of the second
	left, right string
}

func (m *mergedTwice) Error() string {
	return fmt.Sprintf("the pair %q %q was merged before", m.left, m.right)
}

// indexMerges fills in what follows from merges.
func (t *Tokenizer) indexMerges() error {
	t.pairs = newPairTable(len(t.merges))
	for rank, m := range t.merges {
		if _, added := t.pairs.add(pair(m.left, m.right), uint32(rank)); !added {
			return &mergedTwice{rank, t.text(m.left), t.text(m.right)}
		}
	}
	t.cache = new(cache)
	return nil
}

// setFile records the bytes of tokenizer.json, whose sha256 names the tokenizer.
func (t *Tokenizer) setFile(b []byte) {
	sum := sha256.Sum256(b)
	t.file, t.digest = b, hex.EncodeToString(sum[:])
}

// VocabSize is the number of ids: specials, the 256 bytes, and what was learnt.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// Special returns the id of a special token.
func (t *Tokenizer) Special(name string) (uint32, bool) {
	id, ok := t.names[name]
	return id, ok
}

// Digest is the sha256 of tokenizer.json, in hex. Token files carry it, so that data
// and tokenizer are never mixed up.
func (t *Tokenizer) Digest() string { return t.digest }

// Lossy says that the normal form loses something (case, diacritics) or changes the
// bytes for another form (NFD): bits per byte of such a model compare with no other.
func (t *Tokenizer) Lossy() bool { return t.normalizer.lossy() }

// Has says that an id has a token. Vocabularies of others have ids without one.
func (t *Tokenizer) Has(id uint32) bool {
	return int64(id) < int64(len(t.tokens)) && t.tokens[id] != ""
}

// Token returns the bytes of an id, or the name of a special; U+FFFD outside the vocabulary.
func (t *Tokenizer) Token(id uint32) string {
	if !t.Has(id) {
		return string(utf8.RuneError)
	}
	return t.tokens[id]
}
