package filter

import (
	"github.com/ptbr-slm/pipeline/corpus/quality"
)

// rule is one test of a document: a measure and the limit that it keeps.
type rule struct {
	name    string // as config, reports and meta name it
	measure string // rules that share a measure share its value in meta
	least   bool   // the limit is the least that passes, not the most
	limit   float64
	value   func(m *measured) float64
}

// measured is a document with what the measures need.
type measured struct {
	*quality.Text
	language float64 // share of the wanted language
	stop     map[string]bool
}

// rules in the order in which the first that is broken names the reason of a drop. The
// limits of Portuguese are those of FineWeb-2's por_Latn; min-words to bullet-lines
// are Gopher's.
var rules = []rule{
	{"language", "language", true, 0.65, func(m *measured) float64 { return m.language }},
	{"min-words", "words", true, 50, (*measured).words},
	{"max-words", "words", false, 100_000, (*measured).words},
	{"min-word-length", "word-length", true, 3, (*measured).wordLength},
	{"max-word-length", "word-length", false, 13, (*measured).wordLength},
	{"alphabetic-words", "alphabetic-words", true, 0.814, func(m *measured) float64 { return m.AlphabeticWords() }},
	{"stop-words", "stop-words", true, 2, func(m *measured) float64 { return m.StopWords(m.stop) }},
	{"hash-per-word", "hash-per-word", false, 0.1, func(m *measured) float64 { return m.HashesPerWord() }},
	{"ellipsis-per-word", "ellipsis-per-word", false, 0.1, func(m *measured) float64 { return m.EllipsesPerWord() }},
	{"bullet-lines", "bullet-lines", false, 0.9, func(m *measured) float64 { return m.LinesThat(quality.Bullet) }},
	{"line-ends", "line-ends", true, 0.077, func(m *measured) float64 { return m.LinesThat(quality.EndsSentence) }},
	{"newlines-per-word", "newlines-per-word", false, 0.186, func(m *measured) float64 { return m.NewlinesPerWord() }},
	{"duplicate-lines", "duplicate-lines", false, 0.287, func(m *measured) float64 { return m.DuplicateLines() }},
	{"duplicate-line-characters", "duplicate-line-characters", false, 0.1, func(m *measured) float64 { return m.DuplicateLineCharacters() }},
	{"top-2-gram", "top-2-gram", false, 0.371, topGram(2)},
	{"top-3-gram", "top-3-gram", false, 0.191, topGram(3)},
	{"top-4-gram", "top-4-gram", false, 0.163, topGram(4)},
	{"duplicate-5-gram", "duplicate-5-gram", false, 0.163, duplicateGrams(5)},
	{"duplicate-6-gram", "duplicate-6-gram", false, 0.153, duplicateGrams(6)},
	{"duplicate-7-gram", "duplicate-7-gram", false, 0.141, duplicateGrams(7)},
	{"duplicate-8-gram", "duplicate-8-gram", false, 0.130, duplicateGrams(8)},
	{"duplicate-9-gram", "duplicate-9-gram", false, 0.119, duplicateGrams(9)},
	{"duplicate-10-gram", "duplicate-10-gram", false, 0.108, duplicateGrams(10)},
}

func (m *measured) words() float64      { return m.Words() }
func (m *measured) wordLength() float64 { return m.WordLength() }

func topGram(n int) func(*measured) float64 {
	return func(m *measured) float64 { return m.TopGram(n) }
}

func duplicateGrams(n int) func(*measured) float64 {
	return func(m *measured) float64 { return m.DuplicateGrams(n) }
}

// breaks says whether a value is past a limit.
func (r *rule) breaks(value, limit float64) bool {
	if r.least {
		return value < limit
	}
	return value > limit
}

// close says whether a value that passes comes within a fifth of its limit: what such
// documents look like tells whether the limit is right.
func (r *rule) close(value, limit float64) bool {
	if r.least {
		return value < 1.2*limit
	}
	return value > 0.8*limit
}

// defaults are the limits as config has them.
func defaults() map[string]float64 {
	m := map[string]float64{}
	for _, r := range rules {
		m[r.name] = r.limit
	}
	return m
}
