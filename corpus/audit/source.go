package audit

import (
	"strings"

	"github.com/ptbr-slm/pipeline/corpus"
)

// Hits counts where something was found.
type Hits struct {
	Documents int64 `json:"documents"`
	Matches   int64 `json:"matches"`
}

// Source is what is known of the documents of one source, or of several taken together.
// Every field is a count, a sum of integers or an extreme, so that parts merge exactly.
type Source struct {
	Volume     corpus.Volume `json:"volume"`
	Characters int64         `json:"characters"`
	Tokens     int64         `json:"tokens"` // 0 without a tokenizer
	Lines      int64         `json:"lines"`  // that are not blank
	Letters    int64         `json:"letters"`
	Digits     int64         `json:"digits"`

	DocumentWords Histogram `json:"document-words"`
	DocumentBytes Histogram `json:"document-bytes"`
	LineLength    Histogram `json:"line-length"`     // characters
	WordLength    Histogram `json:"word-length"`     // characters
	SentenceWords Histogram `json:"sentence-length"` // words from one . ! ? to the next, within a line

	Residue map[string]Hits `json:"residue"`
	Defects map[string]Hits `json:"defects"`

	Flagged     int64            `json:"flagged-lines"`
	LineReasons map[string]int64 `json:"line-reasons"` // lines by reason, flagged or not
	Scores      []int64          `json:"scores"`       // documents by score: 0–9, 10–19, …, 100
	ScoreSum    int64            `json:"score-sum"`
	Passed      int64            `json:"passed"` // documents of 50 points and more
	Issues      map[string]int64 `json:"issues"`

	Languages map[string]corpus.Volume `json:"languages"`
	Variants  map[string]corpus.Volume `json:"variants"`
	Markers   map[string]int64         `json:"markers"`  // words that speak for a variant
	Foreign   map[string]Hits          `json:"foreign"`  // characters that Portuguese does not use
	Licences  map[string]corpus.Volume `json:"licences"` // "" for none stated
}

func newSource() *Source {
	return &Source{Residue: map[string]Hits{}, Defects: map[string]Hits{}, LineReasons: map[string]int64{}, Scores: make([]int64, 11),
		Issues: map[string]int64{}, Languages: map[string]corpus.Volume{}, Variants: map[string]corpus.Volume{},
		Markers: map[string]int64{}, Foreign: map[string]Hits{}, Licences: map[string]corpus.Volume{}}
}

func (s *Source) merge(o *Source) {
	s.Volume.Add(o.Volume)
	s.Characters += o.Characters
	s.Tokens += o.Tokens
	s.Lines += o.Lines
	s.Letters += o.Letters
	s.Digits += o.Digits
	s.DocumentWords.Merge(&o.DocumentWords)
	s.DocumentBytes.Merge(&o.DocumentBytes)
	s.LineLength.Merge(&o.LineLength)
	s.WordLength.Merge(&o.WordLength)
	s.SentenceWords.Merge(&o.SentenceWords)
	mergeHits(s.Residue, o.Residue)
	mergeHits(s.Defects, o.Defects)
	s.Flagged += o.Flagged
	mergeCounts(s.LineReasons, o.LineReasons)
	for i, n := range o.Scores {
		s.Scores[i] += n
	}
	s.ScoreSum += o.ScoreSum
	s.Passed += o.Passed
	mergeCounts(s.Issues, o.Issues)
	mergeVolumes(s.Languages, o.Languages)
	mergeVolumes(s.Variants, o.Variants)
	mergeCounts(s.Markers, o.Markers)
	mergeHits(s.Foreign, o.Foreign)
	mergeVolumes(s.Licences, o.Licences)
}

func mergeHits(to, from map[string]Hits) {
	for k, h := range from {
		t := to[k]
		to[k] = Hits{t.Documents + h.Documents, t.Matches + h.Matches}
	}
}

func mergeCounts(to, from map[string]int64) {
	for k, n := range from {
		to[k] += n
	}
}

func mergeVolumes(to, from map[string]corpus.Volume) {
	for k, v := range from {
		addVolume(to, k, v)
	}
}

func addVolume(m map[string]corpus.Volume, key string, v corpus.Volume) {
	t := m[key]
	t.Add(v)
	m[key] = t
}

func hit(m map[string]Hits, name string, matches int64) {
	if matches > 0 {
		h := m[name]
		m[name] = Hits{h.Documents + 1, h.Matches + matches}
	}
}

// PerMillion gives matches per million characters.
func (s *Source) PerMillion(h Hits) float64 {
	if s.Characters == 0 {
		return 0
	}
	return float64(h.Matches) * 1e6 / float64(s.Characters)
}

// countPatterns counts what a table of patterns finds in a text.
func countPatterns(m map[string]Hits, patterns []pattern, text string) {
	for i := range patterns {
		hit(m, patterns[i].name, patterns[i].count(text))
	}
}

// trimmedLines calls f with each line that is not blank, without the white space around it.
func trimmedLines(text string, f func(string)) {
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			f(line)
		}
	}
}
