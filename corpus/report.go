package corpus

import (
	"encoding/json"
	"hash/fnv"
	"io"
	"sort"
	"unicode"
	"unicode/utf8"
)

// SamplesPerRule is how many documents of each rule a Report keeps to be read by eye.
const SamplesPerRule = 20

// Volume counts documents, bytes of text and words (runs of letters, digits and
// marks between white space).
type Volume struct {
	Documents int64 `json:"documents"`
	Bytes     int64 `json:"bytes"`
	Words     int64 `json:"words"`
}

// Add adds o to v.
func (v *Volume) Add(o Volume) {
	v.Documents += o.Documents
	v.Bytes += o.Bytes
	v.Words += o.Words
}

// Touch is what one rule did to one source.
type Touch struct {
	Documents int64 `json:"documents"` // in which it found something
	Matches   int64 `json:"matches"`
	Bytes     int64 `json:"bytes"` // removed, or rewritten
}

// Sample is an excerpt that shows a rule at work.
type Sample struct {
	Hash   uint64 `json:"hash"` // of seed, rule and document: the lowest are kept
	ID     string `json:"id"`
	Source string `json:"source"`
	Text   string `json:"text"` // at most a few hundred runes
}

// Report is what a stage that maps documents to documents says it did: what went in,
// what came out, what each rule touched, by source, and samples. Reports of parts
// merge into that of the stage, in any order.
type Report struct {
	Kind    string                        `json:"kind"`              // stage kind that wrote it
	In      map[string]Volume             `json:"in,omitempty"`      // by source
	Out     map[string]Volume             `json:"out,omitempty"`     // by source
	Rules   map[string]map[string]Touch   `json:"rules,omitempty"`   // rule → source
	Lost    map[string]map[string]Touch   `json:"lost,omitempty"`    // template (or other cause) → source: text that removal damaged
	Samples map[string][]Sample           `json:"samples,omitempty"` // rule → lowest hashes, sorted
	Numbers map[string]map[string]float64 `json:"numbers,omitempty"` // measure → source: sums that a kind wants shown
}

// NewReport returns an empty report of a stage kind.
func NewReport(kind string) *Report {
	return &Report{Kind: kind, In: map[string]Volume{}, Out: map[string]Volume{}, Rules: map[string]map[string]Touch{},
		Lost: map[string]map[string]Touch{}, Samples: map[string][]Sample{}, Numbers: map[string]map[string]float64{}}
}

// Measure returns the volume of one document.
func Measure(d *Document) Volume {
	return Volume{Documents: 1, Bytes: int64(len(d.Text)), Words: int64(CountWords(d.Text))}
}

// Enter records a document that came in, and Leave one that went out.
func (r *Report) Enter(d *Document) { addTo(r.In, d) }

// Leave records a document that went out.
func (r *Report) Leave(d *Document) { addTo(r.Out, d) }

func addTo(m map[string]Volume, d *Document) {
	v := m[d.Source]
	v.Add(Measure(d))
	m[d.Source] = v
}

// Touch records that a rule found matches in a document of source, touching so many bytes.
func (r *Report) Touch(rule, source string, matches, bytes int64) {
	touch(r.Rules, rule, source, Touch{1, matches, bytes})
}

// Lose records text damaged by the removal of what cause names.
func (r *Report) Lose(cause, source string, matches, bytes int64) {
	touch(r.Lost, cause, source, Touch{1, matches, bytes})
}

func touch(m map[string]map[string]Touch, rule, source string, t Touch) {
	s := m[rule]
	if s == nil {
		s = map[string]Touch{}
		m[rule] = s
	}
	o := s[source]
	s[source] = Touch{o.Documents + t.Documents, o.Matches + t.Matches, o.Bytes + t.Bytes}
}

// Number adds x to a named sum of a source.
func (r *Report) Number(measure, source string, x float64) {
	if r.Numbers[measure] == nil {
		r.Numbers[measure] = map[string]float64{}
	}
	r.Numbers[measure][source] += x
}

// Sample offers an excerpt for a rule. Which are kept depends on seed, rule and
// document id alone.
func (r *Report) Sample(seed uint64, rule string, d *Document, excerpt string) {
	r.SampleFunc(seed, rule, d, func() string { return excerpt })
}

// SampleFunc is Sample for excerpts that take work to make: excerpt is called only when
// the sample is kept for now.
func (r *Report) SampleFunc(seed uint64, rule string, d *Document, excerpt func() string) {
	h := fnv.New64a()
	var b [8]byte
	for i := range b {
		b[i] = byte(seed >> (8 * i))
	}
	h.Write(b[:])
	io.WriteString(h, rule)
	h.Write([]byte{0})
	io.WriteString(h, d.Source+"\x00"+d.ID)
	x := mix(h.Sum64())
	s := r.Samples[rule]
	if len(s) == SamplesPerRule && x >= s[len(s)-1].Hash {
		return
	}
	r.Samples[rule] = lowest(append(s, Sample{x, d.ID, d.Source, Excerpt(excerpt(), 400)}))
}

func lowest(s []Sample) []Sample {
	sort.SliceStable(s, func(i, j int) bool {
		a, b := s[i], s[j]
		if a.Hash != b.Hash {
			return a.Hash < b.Hash
		}
		if a.ID != b.ID {
			return a.ID < b.ID
		}
		return a.Text < b.Text
	})
	return s[:min(len(s), SamplesPerRule)]
}

// Merge adds o to r.
func (r *Report) Merge(o *Report) {
	for s, v := range o.In {
		t := r.In[s]
		t.Add(v)
		r.In[s] = t
	}
	for s, v := range o.Out {
		t := r.Out[s]
		t.Add(v)
		r.Out[s] = t
	}
	for rule, m := range o.Rules {
		for s, t := range m {
			touch(r.Rules, rule, s, t)
		}
	}
	for cause, m := range o.Lost {
		for s, t := range m {
			touch(r.Lost, cause, s, t)
		}
	}
	for rule, s := range o.Samples {
		r.Samples[rule] = lowest(append(r.Samples[rule], s...))
	}
	for m, by := range o.Numbers {
		for s, x := range by {
			r.Number(m, s, x)
		}
	}
}

// ReadReport decodes a report.
func ReadReport(rd io.Reader) (*Report, error) {
	r := NewReport("")
	if err := json.NewDecoder(rd).Decode(r); err != nil {
		return nil, err
	}
	return r, nil
}

// WriteTo encodes the report as indented JSON, keys sorted.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(b, '\n'))
	return int64(n), err
}

// CountWords counts the runs of anything but white space that hold a letter or digit.
func CountWords(s string) int {
	n, in := 0, false
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == ' ' || c >= '\t' && c <= '\r':
				in = false
			case !in && (c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'):
				in = true
				n++
			}
			continue
		}
		r, k := utf8.DecodeRuneInString(s[i:])
		i += k
		switch {
		case unicode.IsSpace(r):
			in = false
		case !in && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			in = true
			n++
		}
	}
	return n
}

// Excerpt returns the first n runes of s, with an ellipsis where it was cut.
func Excerpt(s string, n int) string {
	i := 0
	for j := range s {
		if i == n {
			return s[:j] + "…"
		}
		i++
	}
	return s
}
