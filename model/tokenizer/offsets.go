package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Span is a stretch of a text, in bytes: text[Start:End].
type Span struct{ Start, End int }

// EncodeOffsets is EncodeSpecials with the place of each token in text as it was given,
// before the normal form. Where the normal form left a word as it was, which is nearly
// everywhere with NFC, a token's span holds its very bytes; several tokens may share a
// character. Within a word that was changed that is so up to the first byte that
// changed and from the last one on; a token that has some of what lies between spans
// all of it. A token that stands for nothing in the text (a space put before it) has an
// empty span.
func (t *Tokenizer) EncodeOffsets(text string, allowed []string) (ids []uint32, spans []Span) {
	raw, normal := t.sought(allowed)
	raw.cut(text, func(text string, at int) {
		form, changes := t.align(text)
		span := func(start, end int) {
			spans = append(spans, Span{at + changes.start(start), at + changes.end(end)})
		}
		normal.cut(form, func(s string, start int) {
			first, begin := len(ids), start
			if t.prefixSpace && s[0] != ' ' {
				s = " " + s
				start--
			}
			ids = t.encodeNormal(ids, s)
			for _, id := range ids[first:] {
				end := start + len(t.tokens[id])
				span(max(start, begin), max(end, begin))
				start = end
			}
		}, func(id uint32, start, end int) {
			ids = append(ids, id)
			span(start, end)
		})
	}, func(id uint32, start, end int) {
		ids, spans = append(ids, id), append(spans, Span{start, end})
	})
	return ids, spans
}

// change is a stretch of text that the normal form made another.
type change struct{ normal, text Span }

// changes are in the order of the text, and neither overlap nor touch.
type changes []change

// align returns the normal form of text and what it changed, word by word.
func (t *Tokenizer) align(text string) (form string, c changes) {
	form = t.normal(text)
	if form == text {
		return form, nil
	}
	if t.normalizer.crossesBlanks() {
		return form, changes{}.with(text, 0, form, 0)
	}
	for i, k := 0, 0; i < len(text); {
		j := i + 1
		for j < len(text) && strings.IndexByte(blanks, text[j]) < 0 {
			j++
		}
		word := t.normal(text[i:j])
		if word != text[i:j] {
			c = c.with(text[i:j], i, word, k)
		}
		i, k = j, k+len(word)
	}
	return form, c
}

// with adds what differs between a word and its normal form, which begin at i and k.
func (c changes) with(word string, i int, form string, k int) changes {
	n := min(len(word), len(form))
	head, tail := 0, 0
	for head < n && word[head] == form[head] {
		head++
	}
	for head > 0 && !(boundary(word, head) && boundary(form, head)) {
		head--
	}
	for tail < n-head && word[len(word)-1-tail] == form[len(form)-1-tail] {
		tail++
	}
	for tail > 0 && !(boundary(word, len(word)-tail) && boundary(form, len(form)-tail)) {
		tail--
	}
	return append(c, change{Span{k + head, k + len(form) - tail}, Span{i + head, i + len(word) - tail}})
}

func boundary(s string, i int) bool { return i == len(s) || utf8.RuneStart(s[i]) }

// start returns where in the text a stretch begins that begins at i in the normal form.
func (c changes) start(i int) int {
	x := c.last(i)
	if i < x.normal.End {
		return x.text.Start
	}
	return x.text.End + i - x.normal.End
}

// end returns where in the text a stretch ends that ends at i in the normal form.
func (c changes) end(i int) int {
	x := c.last(i)
	if i > x.normal.Start && i < x.normal.End {
		return x.text.End
	}
	if i <= x.normal.Start {
		return x.text.Start + i - x.normal.Start
	}
	return x.text.End + i - x.normal.End
}

// last returns the last change that begins at i or before; none is at 0 and empty.
func (c changes) last(i int) change {
	lo, hi := 0, len(c)
	for lo < hi {
		if m := (lo + hi) / 2; c[m].normal.Start <= i {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == 0 {
		return change{}
	}
	return c[lo-1]
}
