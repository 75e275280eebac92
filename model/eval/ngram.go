package eval

import (
	"fmt"
	"slices"

	"github.com/ptbr-slm/pipeline/model/kernel"
)

// MaxOrder is the longest n-gram in bytes: eight fill a key.
const MaxOrder = 8

// NGram is a model of bytes: interpolated modified Kneser–Ney (Chen and Goodman, 1998)
// of up to MaxOrder bytes. With c(h w) the count of byte w after context h,
//
//	P(w|h) = (c(hw) - D(c(hw)))⁺ / c(h·) + λ(h) P(w|h'),   h' = h without its first byte,
//
// where D has three values for counts of one, two and more, λ(h) is what the discounts
// set free, the counts below the highest order are the numbers of distinct bytes before
// hw, and below one byte stands 1/256. Being of bytes it compares with any tokenizer.
//
// Memory is 12 bytes for each distinct n-gram of each order, and 8 for each byte of text
// while it trains.
type NGram struct {
	levels []level // levels[n-1]: n-grams of n bytes
}

// level holds the n-grams of one order, sorted, as big-endian integers.
type level struct {
	keys     []uint64
	counts   []uint32
	discount [4]float64 // by count: 0, 1, 2, 3 and more
}

// start stands before the first byte of every document.
const start = 0

// TrainNGram counts the n-grams of texts; none crosses from one text to the next.
func TrainNGram(texts []string, order int) (*NGram, error) {
	if order < 1 || order > MaxOrder {
		return nil, fmt.Errorf("n-gram model of order %d; it can be 1 to %d", order, MaxOrder)
	}
	m := &NGram{levels: make([]level, order)}
	var keys []uint64
	size := 0
	for _, t := range texts {
		size += len(t)
	}
	keys = make([]uint64, 0, size)
	for _, t := range texts {
		key := uint64(start)
		for i := range len(t) {
			key = (key<<8 | uint64(t[i])) & mask(order)
			if i+2 >= order { // as many bytes, with the start, as the order has
				keys = append(keys, key)
			}
		}
	}
	m.levels[order-1] = count(keys)
	for n := order - 1; n >= 1; n-- {
		keys = keys[:0]
		for _, k := range m.levels[n].keys {
			keys = append(keys, k&mask(n))
		}
		if n > 1 { // nothing stands before the start of a text: it is counted as often as seen
			for _, t := range texts {
				if len(t) >= n-1 {
					keys = append(keys, pack(start, t[:n-1]))
				}
			}
		}
		m.levels[n-1] = count(keys)
	}
	return m, nil
}

func mask(n int) uint64 { return ^uint64(0) >> (64 - 8*n) }

func pack(first byte, rest string) uint64 {
	k := uint64(first)
	for i := range len(rest) {
		k = k<<8 | uint64(rest[i])
	}
	return k
}

// count sorts keys and folds equal ones. It reorders its argument.
func count(keys []uint64) level {
	slices.Sort(keys)
	distinct := 0
	for i := range keys {
		if i == 0 || keys[i] != keys[i-1] {
			distinct++
		}
	}
	l := level{keys: make([]uint64, 0, distinct), counts: make([]uint32, 0, distinct)}
	for i, k := range keys {
		if i == 0 || k != keys[i-1] {
			l.keys = append(l.keys, k)
			l.counts = append(l.counts, 0)
		}
		l.counts[len(l.counts)-1]++
	}
	var n [5]float64 // n-grams by count
	for _, c := range l.counts {
		if c < 5 {
			n[c]++
		}
	}
	// Chen and Goodman's estimates, and ¾ where there is too little to estimate from.
	y := 0.0
	if n[1] > 0 {
		y = n[1] / (n[1] + float64(2*n[2]))
	}
	for c := 1; c <= 3; c++ {
		d := 0.75
		if n[c] > 0 && n[c+1] > 0 {
			d = float64(c) - float64(float64(c+1)*y)*n[c+1]/n[c]
		}
		l.discount[c] = min(max(d, 0), float64(c))
	}
	return l
}

// Order is the length of the longest n-grams, in bytes.
func (m *NGram) Order() int { return len(m.levels) }

// Size is how many n-grams the model holds.
func (m *NGram) Size() (n int) {
	for _, l := range m.levels {
		n += len(l.keys)
	}
	return n
}

// Nats is -Σ ln P of the bytes of a text, each after those before it.
func (m *NGram) Nats(text string) float64 {
	var nats float64
	history, have := uint64(start), 1
	for i := range len(text) {
		nats -= kernel.Log(m.probability(history, have, text[i]))
		history = history<<8 | uint64(text[i])
		have = min(have+1, MaxOrder)
	}
	return nats
}

// probability of byte w after the last have bytes of history.
func (m *NGram) probability(history uint64, have int, w byte) float64 {
	p := 1.0 / 256
	for n := 1; n <= len(m.levels) && n-1 <= have; n++ {
		l := &m.levels[n-1]
		first := uint64(0)
		if n > 1 {
			first = history & mask(n-1) << 8
		}
		at, _ := slices.BinarySearch(l.keys, first)
		var total, free, seen float64
		for ; at < len(l.keys) && l.keys[at] <= first|0xff; at++ {
			c := l.counts[at]
			d := l.discount[min(c, 3)]
			total += float64(c)
			free += d
			if byte(l.keys[at]) == w {
				seen = float64(c) - d
			}
		}
		if total == 0 {
			break // nor has any longer context been seen
		}
		p = (seen + float64(free*p)) / total
	}
	return p
}
