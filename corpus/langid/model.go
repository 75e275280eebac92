package langid

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
)

// order is the length of the longest n-gram: a character and the three before it.
const order = 4

// scale is the resolution of stored costs: units a bit.
const scale = 12

// unseen is the cost of a character that no training text has, in units; alike in all
// languages, so that it decides nothing between them.
const unseen = 20 * scale

// Model tells languages apart by how well each predicts a text, character by character.
type Model struct {
	Languages []string
	costs     map[string][]uint8 // n-gram → cost of its last character after the others, by language
}

// Train makes a model of a text by language. Each language has an interpolated n-gram
// model: the estimate of a longer context leans on that of the shorter by Witten and
// Bell's weight (Chen and Goodman 1996, §2.5), down to a uniform one over the
// characters of all texts.
func Train(text map[string]string) *Model {
	m := &Model{costs: map[string][]uint8{}}
	for l := range text {
		m.Languages = append(m.Languages, l)
	}
	slices.Sort(m.Languages)
	counts := make([]counter, len(m.Languages))
	alphabet := map[rune]bool{}
	grams := map[string]bool{}
	for i, l := range m.Languages {
		counts[i] = count(text[l])
		for g := range counts[i].n {
			grams[g] = true
			if r := []rune(g); len(r) == 1 {
				alphabet[r[0]] = true
			}
		}
	}
	for g := range grams {
		c := make([]uint8, len(m.Languages))
		for i := range counts {
			bits := -math.Log2(counts[i].probability([]rune(g), float64(len(alphabet))))
			c[i] = uint8(min(math.Round(bits*scale), unseen))
		}
		m.costs[g] = c
	}
	return m
}

type counter struct {
	n     map[string]float64 // how often an n-gram comes
	after map[string]float64 // how often its context comes, followed by anything
	kinds map[string]float64 // by how many different characters
}

func count(text string) counter {
	c := counter{map[string]float64{}, map[string]float64{}, map[string]float64{}}
	r := []rune(normalize(text))
	for i := range r {
		for n := 1; n <= order && n <= i+1; n++ {
			g, context := string(r[i+1-n:i+1]), string(r[i+1-n:i])
			if c.n[g] == 0 {
				c.kinds[context]++
			}
			c.n[g]++
			c.after[context]++
		}
	}
	return c
}

func (c counter) probability(g []rune, alphabet float64) float64 {
	lower := 1 / alphabet
	if len(g) > 1 {
		lower = c.probability(g[1:], alphabet)
	} else if len(g) == 0 {
		return lower
	}
	context := string(g[:len(g)-1])
	all, kinds := c.after[context], c.kinds[context]
	if all == 0 {
		return lower
	}
	return (c.n[string(g)] + float64(kinds*lower)) / (all + kinds)
}

// normalize reduces a text to what the model sees: lower-case letters, and one space for
// each run of anything else. An apostrophe counts as a letter: it tells French and
// Italian apart from the rest.
func normalize(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte(' ')
	space := true
	for _, r := range s {
		if r == '’' {
			r = '\''
		}
		if unicode.IsLetter(r) || unicode.Is(unicode.Mn, r) || r == '\'' {
			b.WriteRune(unicode.ToLower(r))
			space = false
		} else if !space {
			b.WriteByte(' ')
			space = true
		}
	}
	if !space {
		b.WriteByte(' ')
	}
	return b.String()
}

// add adds to sum, by language, the cost of a normalised text, and returns its
// characters. The longest n-gram that any language has seen speaks for each.
func (m *Model) add(normal string, sum []int64) int {
	var at [order + 1]int // byte positions of the last characters
	n := 0
	for i, r := range normal {
		copy(at[:], at[1:])
		at[order] = i
		n++
		end := i + len(string(r))
		var c []uint8
		for k := min(n, order); k > 0; k-- {
			if c = m.costs[normal[at[order+1-k]:end]]; c != nil {
				break
			}
		}
		for l := range sum {
			if c == nil {
				sum[l] += unseen
			} else {
				sum[l] += int64(c[l])
			}
		}
	}
	return n
}

// AppendBinary appends the model: the languages, then the n-grams in order, each as
// the bytes it shares with the one before, the rest, and a cost for each language.
func (m *Model) AppendBinary(b []byte) ([]byte, error) {
	str := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Languages)))
	for _, l := range m.Languages {
		str(l)
	}
	grams := make([]string, 0, len(m.costs))
	for g := range m.costs {
		grams = append(grams, g)
	}
	slices.Sort(grams)
	b = binary.AppendUvarint(b, uint64(len(grams)))
	last := ""
	for _, g := range grams {
		k := 0
		for k < min(len(last), len(g)) && last[k] == g[k] {
			k++
		}
		b = binary.AppendUvarint(b, uint64(k))
		str(g[k:])
		b = append(b, m.costs[g]...)
		last = g
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (m *Model) UnmarshalBinary(b []byte) error {
	r := bytes.NewReader(b)
	number := func() int {
		n, err := binary.ReadUvarint(r)
		if err != nil || n > uint64(len(b)) {
			return -1
		}
		return int(n)
	}
	text := func() (string, bool) {
		n := number()
		if n < 0 || n > r.Len() {
			return "", false
		}
		s := make([]byte, n)
		r.Read(s)
		return string(s), true
	}
	broken := errors.New("language model: the file is damaged")
	*m = Model{costs: map[string][]uint8{}}
	languages := number()
	if languages < 1 {
		return broken
	}
	for range languages {
		l, ok := text()
		if !ok {
			return broken
		}
		m.Languages = append(m.Languages, l)
	}
	grams, last := number(), ""
	if grams < 0 {
		return broken
	}
	for range grams {
		k := number()
		rest, ok := text()
		if k < 0 || k > len(last) || !ok {
			return broken
		}
		c := make([]uint8, languages)
		if n, _ := r.Read(c); n != languages {
			return broken
		}
		last = last[:k] + rest
		m.costs[last] = c
	}
	if r.Len() > 0 {
		return fmt.Errorf("%w: %d bytes too many", broken, r.Len())
	}
	return nil
}
