// Package unwrap joins the lines of hard-wrapped prose into paragraphs and leaves
// verse, headings, dialogue and lists as they stand.
//
// A line break was put there by wrapping when the next word would not have fitted.
// The width is not known, so it is read off the text: a break before a lower-case
// letter and not after a full stop falls inside a sentence, and where text is wrapped
// such breaks pile up at one length. Verse has few of them (its lines begin with
// capitals), or many at all lengths. Both the width and whether there is one are
// decided around each line, since a book may hold a preface in prose, poems, and
// letters set narrower; where two widths mix, a break at the lesser one is joined only
// if it falls inside a sentence.
package unwrap

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	window    = 48   // lines on either side that witness the width
	witnesses = 3    // fewest breaks inside sentences that prove a width
	narrowest = 40   // runes; no prose is set narrower than this, much verse is
	pile      = 0.8  // share of the breaks inside sentences that must fall at the width
	lower     = 0.35 // share of the lines after full ones that must begin with a lower-case letter
	slack     = 0.93 // of the width: proportional type and late hyphens leave lines shorter
	sure      = 0.98 // of the width, for a break that could also end a paragraph
)

// Counts says what was done.
type Counts struct {
	Joined  int64 // line breaks turned into spaces
	Hyphens int64 // words put together again, hyphen dropped
}

type line struct {
	text     string // without white space at its end
	runes    int    // length of text
	first    int    // length of its first word
	width    float64
	narrow   float64 // another width that some of the lines around have (letters, quotations), or 0
	indent   int
	inside   bool // the break after it falls inside a sentence
	beginsLo bool
}

// Text returns s with wrapped lines joined. With force, breaks are joined wherever
// a paragraph can go on, whatever the text looks like.
func Text(s string, force bool) (string, Counts) {
	lines := scan(s)
	if !force {
		measure(lines)
	}
	var c Counts
	words := &vocabulary{text: s}
	out := make([]byte, 0, len(s))
	for i := range lines {
		l := &lines[i]
		if i > 0 && l.text != "" && lines[i-1].text != "" {
			p := &lines[i-1]
			if force && goesOn(p, l) || !force && wrapped(p, l) {
				c.Joined++
				text := strings.TrimLeft(l.text, blanks)
				switch hyphen(string(out[max(0, len(out)-64):]), text, words) {
				case dropped:
					out = out[:len(out)-1]
					c.Hyphens++
				case none:
					out = append(out, ' ')
				}
				out = append(out, text...)
				continue
			}
		}
		if i > 0 {
			out = append(out, '\n')
		}
		out = append(out, l.text...)
	}
	return string(out), c
}

const blanks = " \t\u00a0"

func scan(s string) []line {
	raw := strings.Split(s, "\n")
	lines := make([]line, len(raw))
	for i, r := range raw {
		l := &lines[i]
		l.text = strings.TrimRight(r, blanks)
		l.runes = utf8.RuneCountInString(l.text)
		body := strings.TrimLeft(l.text, blanks)
		l.indent = l.runes - utf8.RuneCountInString(body)
		word, _, _ := strings.Cut(body, " ")
		l.first = utf8.RuneCountInString(word)
		r, _ := utf8.DecodeRuneInString(body)
		l.beginsLo = unicode.IsLower(r)
		if i > 0 {
			p := &lines[i-1]
			p.inside = p.text != "" && l.beginsLo && !ends(p.text)
		}
	}
	return lines
}

// full is the length that a line would have had with the first word of the next.
func full(p, l *line) float64 { return float64(p.runes + 1 + l.first) }

// measure finds the width around each line, in steps of a quarter of the window.
func measure(lines []line) {
	const step = window / 4
	var at []float64
	for from := 0; from < len(lines); from += step {
		to := min(from+step, len(lines))
		a, z := max(0, from-window), min(len(lines)-1, to+window)
		at = at[:0]
		for i := a; i < z; i++ {
			if lines[i].inside {
				at = append(at, float64(lines[i].runes))
			}
		}
		if len(at) < witnesses {
			continue
		}
		slices.Sort(at)
		width := at[(len(at)-1)*9/10]
		if width < narrowest {
			continue
		}
		narrow := narrower(at, width)
		var piled, long, low int
		for i := a; i < z; i++ {
			l := &lines[i+1]
			if l.text == "" || lines[i].text == "" {
				continue
			}
			if full(&lines[i], l) < slack*width {
				if narrow > 0 && lines[i].inside && full(&lines[i], l) >= slack*narrow {
					piled++
				}
				continue
			}
			long++
			if l.beginsLo {
				low++
			}
			if lines[i].inside {
				piled++
			}
		}
		if float64(piled) < pile*float64(len(at)) || float64(low) < lower*float64(long) {
			continue
		}
		for i := from; i < to; i++ {
			lines[i].width, lines[i].narrow = width, narrow
		}
	}
}

// narrower finds a second width among sorted lengths, below that of most lines: 0 when
// fewer than a width's witnesses, and fewer than a tenth of the breaks, show it.
func narrower(at []float64, width float64) float64 {
	n := 0
	for n < len(at) && at[n] < 0.9*width {
		n++
	}
	if n < 2*witnesses || 10*n < len(at) {
		return 0
	}
	w := at[(n-1)*9/10]
	if w < narrowest {
		return 0
	}
	return w
}

// wrapped says whether the break between p and l comes from wrapping.
func wrapped(p, l *line) bool {
	if p.width == 0 || !goesOn(p, l) {
		return false
	}
	need := slack
	if !l.beginsLo && ends(p.text) {
		need = sure
	}
	f := full(p, l)
	return f >= need*p.width || p.narrow > 0 && p.inside && f >= slack*p.narrow
}

// goesOn says whether the text of p can go on in l at all.
func goesOn(p, l *line) bool {
	body := strings.TrimLeft(l.text, blanks)
	switch {
	case p.text == "" || body == "":
		return false
	case l.indent > p.indent+1: // a new paragraph, a verse, a centred heading
		return false
	case speaks(body) && ends(p.text), named(body):
		return false
	case capitals(body) || capitals(strings.TrimLeft(p.text, blanks)):
		return false
	case bullet(body):
		return false
	}
	return true
}

// ends says whether a sentence can end with s.
func ends(s string) bool {
	s = strings.TrimRight(s, "\"”’»)]*")
	r, _ := utf8.DecodeLastRuneInString(s)
	return strings.ContainsRune(".!?:;…", r)
}

// speaks says whether s begins with a dash, as a turn of dialogue does.
func speaks(s string) bool {
	for _, dash := range []string{"—", "–", "―", "- "} {
		if strings.HasPrefix(s, dash) {
			return true
		}
	}
	return false
}

// named says whether s begins with the name of a speaker in capitals and a dash or
// colon, as plays and minutes have it.
func named(s string) bool {
	name, _, dash := strings.Cut(s, " —")
	if head, _, ok := strings.Cut(s, ": "); ok && (!dash || len(head) < len(name)) {
		name, dash = head, true
	}
	name, _, _ = strings.Cut(name, " (") // HELENA (baixo) —
	return dash && len(name) < 64 && capitals(name)
}

func bullet(s string) bool {
	for _, mark := range []string{"* ", "• ", "· ", "▪ ", "‣ "} {
		if strings.HasPrefix(s, mark) {
			return true
		}
	}
	return false
}

// capitals says whether all letters of s are capitals, as in headings and names of
// speakers; a word or two at a paragraph's end are told apart by having fewer than three.
func capitals(s string) bool {
	n := 0
	for _, r := range s {
		switch {
		case unicode.IsLower(r):
			return false
		case unicode.IsUpper(r):
			n++
		}
	}
	return n >= 3
}

type hyphenation int

const (
	none    hyphenation = iota // no hyphen: words are parted by a space
	kept                       // the hyphen belongs to the word
	dropped                    // the hyphen was put there by the break
)

// clitics follow a verb after a hyphen that is part of the spelling.
var clitics = map[string]bool{"me": true, "te": true, "se": true, "lhe": true, "lhes": true, "nos": true, "vos": true,
	"o": true, "a": true, "os": true, "as": true, "lo": true, "la": true, "los": true, "las": true, "no": true, "na": true,
	"nas": true, "mo": true, "ma": true, "to": true, "ta": true, "lho": true, "lha": true, "ia": true, "ei": true, "ão": true,
	"á": true, "ás": true, "emos": true, "iam": true}

// links stand between two hyphens of a compound (lua-de-mel); after prefixes a hyphen is
// spelling always.
var (
	links    = map[string]bool{"de": true, "do": true, "da": true, "à": true}
	prefixes = map[string]bool{"bem": true, "recém": true, "pré": true, "pós": true, "pró": true, "vice": true, "além": true, "aquém": true}
)

// hyphen says what to do about a hyphen at the end of before, when after follows. One
// before a clitic or a capital, in a compound, or in a word that the text has with its
// hyphen elsewhere and never without, is spelling; any other is taken to part a word.
func hyphen(before, after string, words *vocabulary) hyphenation {
	if !strings.HasSuffix(before, "-") || len(before) < 2 {
		return none
	}
	before = before[:len(before)-1]
	r, _ := utf8.DecodeLastRuneInString(before)
	if !unicode.IsLetter(r) {
		return none
	}
	word := after
	if i := strings.IndexFunc(after, func(r rune) bool { return !unicode.IsLetter(r) }); i >= 0 {
		word = after[:i]
	}
	r, _ = utf8.DecodeRuneInString(word)
	rest := strings.TrimRightFunc(before, unicode.IsLetter)
	left := strings.ToLower(before[len(rest):])
	switch {
	case !unicode.IsLower(r), clitics[word], prefixes[left], links[left] && strings.HasSuffix(rest, "-"),
		words.has(left+"-"+word) && !words.has(left+word):
		return kept
	}
	return dropped
}

// vocabulary is the words of a text, taken when first asked for.
type vocabulary struct {
	text string
	seen map[string]bool
}

func (v *vocabulary) has(word string) bool {
	if v.seen == nil {
		v.seen = map[string]bool{}
		for w := range strings.FieldsFuncSeq(v.text, func(r rune) bool { return !unicode.IsLetter(r) && r != '-' }) {
			v.seen[strings.ToLower(w)] = true
		}
	}
	return v.seen[strings.ToLower(word)]
}
