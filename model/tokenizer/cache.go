package tokenizer

import (
	"math/bits"
	"sync/atomic"
)

// cache remembers the ids of short pieces, which are nearly all of a text. Goroutines
// share it without a lock: a place is eight words, each read and written atomically,
// the first of which changes before and after the others are written. Who finds it the
// same before and after reading has read one whole entry, and who finds it change takes
// it for a miss. On a processor whose plain loads are in order that costs nothing, and
// a warm cache is only read, so that its lines stay with every core.
//
// A piece has two places. The first keeps what came first, for words that are frequent
// come early; the second what came last, so that no beginning of a text can spoil the
// cache for the rest. It takes 8 MiB when full.
type cache [1 << cacheBits][2]place

const (
	cacheBits  = 16
	keyWords   = 3
	cachePiece = 8 * keyWords // bytes; longer pieces are not remembered
	cacheIDs   = 8            // nor are those of more ids
)

// place holds one piece with its ids. state is 0 at first; its lowest byte is the number
// of ids, 0 while somebody writes; the byte above is the piece's length; the rest counts
// the writes.
type place struct {
	state atomic.Uint64
	key   [keyWords]atomic.Uint64
	ids   [cacheIDs / 2]atomic.Uint64
}

// cacheKey is a piece of cachePiece bytes at most, as words with zeros behind it, with
// its length.
type cacheKey struct {
	words  [keyWords]uint64
	length uint64
}

var keyMasks = func() (m [cachePiece + 1][keyWords]uint64) {
	for n := range m {
		for i := range n {
			m[n][i/8] |= 0xff << (i % 8 * 8)
		}
	}
	return m
}()

func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// keyOf is the key of the n bytes of text from i on.
func keyOf(text string, i, n int) cacheKey {
	m := &keyMasks[n]
	if len(text)-i < cachePiece {
		var b [cachePiece]byte
		copy(b[:], text[i:])
		text, i = string(b[:]), 0
	}
	s := text[i : i+cachePiece]
	return cacheKey{[keyWords]uint64{word(s) & m[0], word(s[8:]) & m[1], word(s[16:]) & m[2]}, uint64(n)}
}

func (k *cacheKey) hash() uint64 {
	hi, lo := bits.Mul64(k.words[0]^0x9e3779b97f4a7c15, k.words[1]^0xe7037ed1a0b428db^k.length)
	h := hi ^ lo ^ k.words[2]
	return h * 0xd6e8feb86659fd93
}

// places are where a piece may be.
func (c *cache) places(k *cacheKey) *[2]place { return &c[k.hash()>>(64-cacheBits)] }

func (p *place) empty() bool { return p.state.Load() == 0 }

// get appends the ids of the piece to dst; ok says that the place holds it.
func (p *place) get(k *cacheKey, dst []uint32) (_ []uint32, ok bool) {
	state := p.state.Load()
	n := int(state & 0xff)
	if n == 0 || state>>8&0xff != k.length ||
		p.key[0].Load() != k.words[0] || p.key[1].Load() != k.words[1] || p.key[2].Load() != k.words[2] {
		return dst, false
	}
	ids := p.ids[0].Load()
	was := dst
	dst = append(dst, uint32(ids))
	for i := 1; i < n; i++ {
		if ids >>= 32; i%2 == 0 {
			ids = p.ids[i/2&(len(p.ids)-1)].Load()
		}
		dst = append(dst, uint32(ids))
	}
	if p.state.Load() != state {
		return was, false
	}
	return dst, true
}

// put writes the piece with its ids, unless somebody else is writing there.
func (p *place) put(k *cacheKey, ids []uint32) {
	state := p.state.Load()
	if state != 0 && state&0xff == 0 || !p.state.CompareAndSwap(state, (state>>16+1)<<16) {
		return
	}
	for i, w := range k.words {
		p.key[i].Store(w)
	}
	for i := 0; i < len(ids); i += 2 {
		w := uint64(ids[i])
		if i+1 < len(ids) {
			w |= uint64(ids[i+1]) << 32
		}
		p.ids[i/2].Store(w)
	}
	p.state.Store((state>>16+1)<<16 | k.length<<8 | uint64(len(ids)))
}
