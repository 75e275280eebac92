// Package audit measures documents: how many and how long they are, what markup and what
// encoding defects are left in them, how dirty their lines are, what language they are in,
// which n-grams they repeat.
//
// Statistics of parts merge: those of a corpus are the same however it was cut into
// shards and in whatever order these were merged. Everything is counted in integers.
package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/langid"
)

// Statistics is what is known of some documents.
type Statistics struct {
	Sources map[string]*Source         `json:"sources"`
	Lines   []Worst                    `json:"worst-lines"`
	Worst   []Worst                    `json:"worst-documents"`
	Kept    map[string][]corpus.Sample `json:"kept"` // by source: a sample of documents to read
	NGrams  []*NGrams                  `json:"ngrams"`

	seed   uint64
	words  words
	fields map[string]struct{}
}

// New begins statistics with n-grams of the given orders, each in at most capacity
// counts. The seed draws the documents that are kept to be read.
func New(seed uint64, orders []int, capacity int) *Statistics {
	s := &Statistics{Sources: map[string]*Source{}, Kept: map[string][]corpus.Sample{}, seed: seed, fields: map[string]struct{}{}}
	for _, n := range orders {
		s.NGrams = append(s.NGrams, newNGrams(n, capacity))
	}
	return s
}

// Add measures a document; tokens is its length in tokens, 0 when not known.
func (s *Statistics) Add(d *corpus.Document, tokens int64) {
	src := s.Sources[d.Source]
	if src == nil {
		src = newSource()
		s.Sources[d.Source] = src
	}
	v := corpus.Measure(d)
	src.Volume.Add(v)
	src.Tokens += tokens
	src.DocumentBytes.Add(v.Bytes)
	src.DocumentWords.Add(v.Words)
	addVolume(src.Licences, d.License, v)
	countPatterns(src.Residue, residues, d.Text)
	countPatterns(src.Defects, defects, d.Text)
	src.countCharacters(d.Text)
	s.scoreLines(src, d)
	s.scoreDocument(src, d)
	s.countWords(src, d, v)
	s.keep(d)
}

func (s *Source) countCharacters(text string) {
	foreign := map[rune]int64{}
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			i++
			s.Characters++
			switch {
			case c|0x20 >= 'a' && c|0x20 <= 'z':
				s.Letters++
			case c >= '0' && c <= '9':
				s.Digits++
			}
			continue
		}
		r, k := utf8.DecodeRuneInString(text[i:])
		i += k
		s.Characters++
		if unicode.IsLetter(r) {
			s.Letters++
		}
		if !portuguese(r) {
			foreign[r]++
		}
	}
	for r, n := range foreign {
		hit(s.Foreign, string(r), n)
	}
}

func (s *Statistics) scoreLines(src *Source, d *corpus.Document) {
	floor := s.floor()
	trimmedLines(d.Text, func(line string) {
		src.Lines++
		src.LineLength.Add(int64(utf8.RuneCountInString(line)))
		score, why := lineScore(line)
		if why == 0 {
			return
		}
		reasons := names(LineReasons, uint16(why))
		for _, r := range reasons {
			src.LineReasons[r]++
		}
		if score <= flagAbove {
			return
		}
		src.Flagged++
		if score < floor {
			return
		}
		s.Lines = append(s.Lines, Worst{score, hashOf(line), d.ID, d.Source, reasons, corpus.Excerpt(line, 300)})
		if len(s.Lines) >= 4*maxLines {
			s.Lines = worstLines(s.Lines)
			floor = s.floor()
		}
	})
	s.Lines = worstLines(s.Lines)
}

// floor is the score under which a line is not among the worst any more.
func (s *Statistics) floor() int64 {
	if len(s.Lines) < maxLines {
		return 0
	}
	return s.Lines[maxLines-1].Score
}

func (s *Statistics) scoreDocument(src *Source, d *corpus.Document) {
	score, issues := documentScore(d.Text, s.fields)
	src.Scores[score/10]++
	src.ScoreSum += int64(score)
	if score >= passScore {
		src.Passed++
		return
	}
	why := names(Issues, issues)
	for _, i := range why {
		src.Issues[i]++
	}
	s.Worst = append(s.Worst, Worst{int64(score), hashOf(d.Source, d.ID), d.ID, d.Source, why, corpus.Excerpt(d.Text, 300)})
	s.Worst = worstDocuments(s.Worst)
}

func (s *Statistics) countWords(src *Source, d *corpus.Document, v corpus.Volume) {
	var br, pt int64
	block, inBlock := -1, blockWords
	level := 0
	trimmedLines(d.Text, func(line string) {
		w := &s.words
		w.split(line)
		for i := range w.len() {
			word := w.word(i)
			src.WordLength.Add(int64(w.runes[i]))
			if isBR, ok := markers[string(word)]; ok {
				src.Markers[string(word)]++
				if isBR {
					br++
				} else {
					pt++
				}
			}
			if inBlock == blockWords {
				block, inBlock = block+1, 0
				level = blockLevel(d.Source, d.ID, block)
			}
			inBlock++
			for _, g := range s.NGrams {
				if level >= g.Level && i+g.Order <= w.len() {
					g.add(level, w.gram(i, g.Order))
				}
			}
		}
		for sentence := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == '.' || r == '!' || r == '?' }) {
			if n := corpus.CountWords(sentence); n > 0 {
				src.SentenceWords.Add(int64(n))
			}
		}
	})
	addVolume(src.Languages, langid.Default().Detect(d.Text), v)
	addVolume(src.Variants, variant(br, pt), v)
}

// keep offers a document to the sample of its source.
func (s *Statistics) keep(d *corpus.Document) {
	r := corpus.Report{Samples: s.Kept}
	r.Sample(s.seed, d.Source, d, d.Text)
}

// Merge adds what o measured. Both began with the same arguments.
func (s *Statistics) Merge(o *Statistics) error {
	if len(s.NGrams) != len(o.NGrams) {
		return fmt.Errorf("statistics have n-grams of %d and of %d orders", len(s.NGrams), len(o.NGrams))
	}
	for name, src := range o.Sources {
		if s.Sources[name] == nil {
			s.Sources[name] = newSource()
		}
		s.Sources[name].merge(src)
	}
	s.Lines = worstLines(append(s.Lines, o.Lines...))
	s.Worst = worstDocuments(append(s.Worst, o.Worst...))
	kept := corpus.Report{Samples: s.Kept}
	kept.Merge(&corpus.Report{Samples: o.Kept})
	for i, g := range o.NGrams {
		if s.NGrams[i].Order != g.Order || s.NGrams[i].Capacity != g.Capacity {
			return fmt.Errorf("n-grams of order %d and capacity %d do not merge with order %d and capacity %d",
				g.Order, g.Capacity, s.NGrams[i].Order, s.NGrams[i].Capacity)
		}
		s.NGrams[i].Merge(g)
	}
	return nil
}

// Total is all sources taken together.
func (s *Statistics) Total() *Source {
	t := newSource()
	for _, src := range s.Sources {
		t.merge(src)
	}
	return t
}

// Write encodes statistics as JSON in a zstd frame; Read reads them again.
func (s *Statistics) Write(w io.Writer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if err := json.NewEncoder(z).Encode(s); err != nil {
		return err
	}
	return z.Close()
}

// Read decodes what Write wrote.
func Read(r io.Reader) (*Statistics, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	s := New(0, nil, 0)
	if err := json.NewDecoder(z).Decode(s); err != nil {
		return nil, fmt.Errorf("audit statistics: %w", err)
	}
	for _, g := range s.NGrams {
		g.recount()
	}
	return s, nil
}
