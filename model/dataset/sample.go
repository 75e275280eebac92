package dataset

import (
	"fmt"
	"math/bits"
)

// Chunks is how many samples an epoch has: the training split as a ring, cut every
// seqLen ids. The last chunk runs on into the first, so every id is a target once in
// every epoch, and fewer than seqLen of them twice.
func (d *Dataset) Chunks(seqLen int) int64 {
	t := int64(seqLen)
	return (d.Tokens(Train) + t - 1) / t
}

// Sample fills dst, of length seqLen+1, with one chunk of the training split and the
// id that follows it: inputs dst[:seqLen], targets dst[1:]. Which chunk index stands
// for is a permutation drawn from seed and epoch, as is the place where the ring is
// first cut, so borders move from epoch to epoch. Index runs from 0 to Chunks-1.
func (d *Dataset) Sample(seed uint64, epoch, index int64, seqLen int, dst []uint32) error {
	chunks := d.Chunks(seqLen)
	switch {
	case len(dst) != seqLen+1:
		return fmt.Errorf("a sample of %d tokens needs room for %d, not %d", seqLen, seqLen+1, len(dst))
	case index < 0 || index >= chunks:
		return fmt.Errorf("sample %d of epoch %d: an epoch has samples 0 to %d", index, epoch, chunks-1)
	}
	n := uint64(d.Tokens(Train))
	key := mix(mix(seed) ^ uint64(epoch))
	offset := mix(key^0x6f66667365740000) % n // "offset"
	chunk := permute(uint64(index), uint64(chunks), key)
	return d.ring((offset+chunk*uint64(seqLen))%n, dst)
}

// Stream fills dst with what one of so many streams has from position at on. Streams read the
// training split as a ring and begin evenly spread over it, the first of them at a place
// drawn from seed; each reads on past where the next one began.
func (d *Dataset) Stream(seed uint64, stream, streams, at int64, dst []uint32) error {
	if stream < 0 || stream >= streams || at < 0 {
		return fmt.Errorf("position %d of stream %d: there are streams 0 to %d, from position 0 on", at, stream, streams-1)
	}
	n := uint64(d.Tokens(Train))
	start := mix(mix(seed)^0x73747265616d0000)%n + uint64(stream)*n/uint64(streams) // "stream"
	return d.ring((start+uint64(at))%n, dst)
}

// ring fills dst with the ids of the training split from at on, over its end to its
// beginning.
func (d *Dataset) ring(at uint64, dst []uint32) error {
	n := uint64(d.Tokens(Train))
	for len(dst) > 0 {
		k := min(uint64(len(dst)), n-at)
		if err := d.Read(Train, int64(at), dst[:k]); err != nil {
			return err
		}
		dst, at = dst[k:], 0
	}
	return nil
}

// permute maps [0, n) onto itself, each key another way, without a table: a Feistel
// network of four rounds over the next even number of bits, walked on from what falls
// outside (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002). At most
// three of four steps fall outside, so a few are enough on average.
func permute(i, n, key uint64) uint64 {
	half := uint(bits.Len64(n-1)+1) / 2
	mask := uint64(1)<<half - 1
	for {
		left, right := i>>half, i&mask
		for round := uint64(0); round < 4; round++ {
			left, right = right, left^mix(key+round<<56^right)&mask
		}
		if i = left<<half | right; i < n {
			return i
		}
	}
}

// mix spreads every bit over all (the step and finaliser of splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
