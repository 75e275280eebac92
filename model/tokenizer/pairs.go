package tokenizer

import "math/bits"

// pair is the key of two adjacent ids. Keys are ordered as (left, right) are.
func pair(left, right uint32) uint64 { return uint64(left)<<32 | uint64(right) }

// noPair is never a key: ids stay below 2³²-1.
const noPair = ^uint64(0)

// none is the rank of a pair that does not merge.
const none = ^uint32(0)

// pairTable maps pairs to numbers: open addressing, linear probing, at most half full.
type pairTable struct {
	slots []pairSlot
	shift uint // 64 - log2(len(slots))
	n     int
}

type pairSlot struct {
	key   uint64
	value uint32
}

func newPairTable(capacity int) *pairTable {
	t := &pairTable{}
	t.resize(bits.Len(uint(max(2*capacity, 16) - 1)))
	return t
}

func (t *pairTable) resize(log int) {
	old := t.slots
	t.slots, t.shift = make([]pairSlot, 1<<log), uint(64-log)
	for i := range t.slots {
		t.slots[i].key = noPair
	}
	for _, s := range old {
		if s.key != noPair {
			*t.find(s.key) = s
		}
	}
}

// find returns the slot of key, or the empty one where it belongs. The multiplier is
// 2⁶⁴ over the golden ratio (Knuth, vol. 3, 6.4).
func (t *pairTable) find(key uint64) *pairSlot {
	mask := uint64(len(t.slots) - 1)
	for i := key * 0x9e3779b97f4a7c15 >> t.shift; ; i = (i + 1) & mask {
		if s := &t.slots[i&mask]; s.key == key || s.key == noPair {
			return s
		}
	}
}

// get returns the value of key, or none.
func (t *pairTable) get(key uint64) uint32 {
	if s := t.find(key); s.key == key {
		return s.value
	}
	return none
}

// add sets the value of a new key; of one that is there it returns the value.
func (t *pairTable) add(key uint64, value uint32) (was uint32, added bool) {
	s := t.find(key)
	if s.key == key {
		return s.value, false
	}
	*s = pairSlot{key, value}
	if t.n++; 2*t.n > len(t.slots) {
		t.resize(int(64-t.shift) + 1)
	}
	return value, true
}
