// Package minhash finds texts that are nearly alike: shingles of words, signatures
// whose bands two texts share with a probability that grows with their similarity
// (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, ch. 3),
// and the similarity itself.
package minhash

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Words returns what counts of a text when texts are compared: runs of letters and
// digits, in lower case, without diacritics, every digit a 0.
func Words(s string) []string {
	var words []string
	var b strings.Builder
	for _, r := range norm.NFD.String(s) {
		switch {
		case unicode.Is(unicode.M, r):
		case unicode.IsLetter(r):
			b.WriteRune(unicode.ToLower(r))
		case unicode.IsDigit(r):
			b.WriteByte('0')
		default:
			if b.Len() > 0 {
				words = append(words, b.String())
				b.Reset()
			}
		}
	}
	if b.Len() > 0 {
		words = append(words, b.String())
	}
	return words
}

// Shingles returns the set of n-grams of words as sorted hashes. A text of fewer words
// is one shingle; one of none has none.
func Shingles(words []string, n int) []uint64 {
	if len(words) == 0 {
		return nil
	}
	n = min(n, len(words))
	hashes := make([]uint64, len(words))
	for i, w := range words {
		h := uint64(14695981039346656037) // FNV-1a
		for j := range len(w) {
			h = (h ^ uint64(w[j])) * 1099511628211
		}
		hashes[i] = mix(h)
	}
	set := make([]uint64, 0, len(words)-n+1)
	for i := 0; i+n <= len(words); i++ {
		h := uint64(0)
		for _, w := range hashes[i : i+n] {
			h = mix(h ^ w)
		}
		set = append(set, h)
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// Jaccard is the size of the intersection over that of the union of two sorted sets; 0
// if both are empty.
func Jaccard(a, b []uint64) float64 {
	both := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			both++
			i++
			j++
		case a[i] < b[j]:
			i++
		default:
			j++
		}
	}
	if n := len(a) + len(b) - both; n > 0 {
		return float64(both) / float64(n)
	}
	return 0
}

// Hasher makes banded signatures. Texts of similarity s share one of its bands with
// probability 1-(1-s^rows)^bands: 14 bands of 8 rows give 0.924 at 0.8 and 0.053 at 0.5.
type Hasher struct {
	bands, rows int
	seeds       []uint64 // one a row of a band
}

// NewHasher draws the hash functions from a seed.
func NewHasher(bands, rows int, seed uint64) *Hasher {
	h := &Hasher{bands: bands, rows: rows, seeds: make([]uint64, bands*rows)}
	for i := range h.seeds {
		seed += 0x9e3779b97f4a7c15 // splitmix64
		h.seeds[i] = mix(seed)
	}
	return h
}

// Bands returns a hash for each band of the signature of a set; nil for the empty set.
func (h *Hasher) Bands(set []uint64) []uint64 {
	if len(set) == 0 {
		return nil
	}
	low := make([]uint64, len(h.seeds))
	for i := range low {
		low[i] = ^uint64(0)
	}
	for _, x := range set {
		for i, s := range h.seeds {
			if v := mix(x ^ s); v < low[i] {
				low[i] = v
			}
		}
	}
	bands := make([]uint64, h.bands)
	for b := range bands {
		x := uint64(b)
		for _, v := range low[b*h.rows : (b+1)*h.rows] {
			x = mix(x ^ v)
		}
		bands[b] = x
	}
	return bands
}

// mix is a permutation of 64 bits that looks random: the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// Record is what an index keeps of a document.
type Record struct {
	ID, Source string
	Exact      [32]byte // SHA-256 of the words, a space between
	Words      int
	Bands      []uint64 // nil for a text without words
}

// AppendBinary appends the record: strings and numbers by uvarints, hashes of bands as 8
// bytes, little-endian.
func (r *Record) AppendBinary(b []byte) ([]byte, error) {
	for _, s := range []string{r.ID, r.Source} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = append(b, r.Exact[:]...)
	b = binary.AppendUvarint(b, uint64(r.Words))
	b = binary.AppendUvarint(b, uint64(len(r.Bands)))
	for _, h := range r.Bands {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return b, nil
}
