// Package langid says in which language a text is written: Portuguese, Galician,
// Spanish, English, French or Italian, or none of these.
//
// Its model holds how well the three characters before predict a character in each
// language. It is trained on the texts in text/, which were written for it: the same
// passages in all six languages (and three articles of the Universal Declaration of
// Human Rights), so that what differs between them is the language and nothing else.
// Languages next to each other, such as Portuguese and Galician, need a sentence or
// two; a text is judged in windows, and the answer is the share of each language.
package langid

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

//go:generate go run ./train

//go:embed model.bin.zst
var packed []byte

// Default is the model that comes with the program.
var Default = sync.OnceValue(func() *Model {
	z, err := zstd.NewReader(strings.NewReader(string(packed)))
	if err != nil {
		panic(fmt.Sprintf("language model: %v", err))
	}
	defer z.Close()
	b, err := io.ReadAll(z)
	if err != nil {
		panic(fmt.Sprintf("language model: %v", err))
	}
	m := &Model{}
	if err := m.UnmarshalBinary(b); err != nil {
		panic(err)
	}
	return m
})

// Unknown is the language of what no language of the model predicts well, or of what
// has too few letters to say.
const Unknown = "und"

const (
	window  = 240 // bytes of text judged at once, about
	windows = 64  // judged of one text at most, evenly spread
	fewest  = 12  // letters that a window must have
	// strange is the cost a character, in units, above which a window is in none of the
	// languages. Machado de Assis costs 2.9 bits at the median and 4.0 at most; Czech and
	// Finnish cost 5.1, noise 6. German, at 4.1, passes for one of the languages.
	strange = 9 * scale / 2
)

// Share is how much of a text is in a language.
type Share struct {
	Language string
	Share    float64 // of the letters that were judged
}

// Shares returns the shares of the model's languages, in their order, and of Unknown,
// last. They add up to 1, or are all 0 for a text without words.
func (m *Model) Shares(s string) []Share {
	letters := make([]int, len(m.Languages)+1)
	total := 0
	for _, w := range cut(s) {
		n, l := m.judge(w)
		letters[l] += n
		total += n
	}
	out := make([]Share, len(letters))
	for i := range out {
		out[i].Language = Unknown
		if i < len(m.Languages) {
			out[i].Language = m.Languages[i]
		}
		if total > 0 {
			out[i].Share = float64(letters[i]) / float64(total)
		}
	}
	return out
}

// Detect returns the language that most of a text is in.
func (m *Model) Detect(s string) string {
	best := Share{Language: Unknown}
	for _, x := range m.Shares(s) {
		if x.Share > best.Share {
			best = x
		}
	}
	return best.Language
}

// judge returns the letters of a window and the index of its language, or that after
// the last for Unknown.
func (m *Model) judge(s string) (letters, language int) {
	for _, r := range s {
		if unicode.IsLetter(r) {
			letters++
		}
	}
	sum := make([]int64, len(m.Languages))
	n := m.add(normalize(s), sum)
	best := 0
	for l := range sum {
		if sum[l] < sum[best] {
			best = l
		}
	}
	if letters < fewest || sum[best] > strange*int64(n) {
		return letters, len(m.Languages)
	}
	return letters, best
}

// cut returns the windows of s: whole words, all of them or evenly spread.
func cut(s string) []string {
	var w []string
	if len(s) <= window*windows {
		for len(s) > 0 {
			n := border(s, window)
			if len(s)-n < window/2 {
				n = len(s)
			}
			w = append(w, s[:n])
			s = s[n:]
		}
		return w
	}
	step := len(s) / windows
	for i := range windows {
		at := s[i*step : (i+1)*step]
		a := border(at, 0)
		w = append(w, at[a:a+border(at[a:], window)])
	}
	return w
}

// border returns the first place from n on where a word ends, at most 64 bytes later.
func border(s string, n int) int {
	for i := n; i < len(s); i++ {
		if i >= n+64 && utf8.RuneStart(s[i]) || s[i] == ' ' || s[i] == '\n' {
			return i
		}
	}
	return len(s)
}
