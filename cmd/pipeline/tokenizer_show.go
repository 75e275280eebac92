package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

// encoded encodes a text and finds where each token stands in it.
func encoded(t *tokenizer.Tokenizer, text string, allowed []string) *encodedText {
	kinds := kinds(t)
	ids, spans := t.EncodeOffsets(text, allowed)
	e := &encodedText{Text: text, Form: t.Decode(ids), Bytes: len(text), Words: corpus.CountWords(text), Tokens: []encodedToken{}}
	for i, id := range ids {
		e.Tokens = append(e.Tokens, encodedToken{rowOf(t, kinds, id), spans[i].Start, spans[i].End})
	}
	return e
}

func (i *inspection) print(w io.Writer, table bool) {
	switch {
	case table && len(i.Tokens) == 0:
		fmt.Fprintln(w, "no such tokens")
	case table:
		printVocabulary(w, i.Tokens)
	case i.Text == nil && i.Fit == nil:
		i.printFacts(w)
	}
	if i.Text != nil {
		i.Text.print(w)
	}
	if i.Fit != nil {
		printFit(w, i.Fit)
	}
}

func (i *inspection) printFacts(w io.Writer) {
	form := strings.Join(i.Normalizer, ", then ")
	if form == "" {
		form = "none"
	}
	if i.Lossy {
		form += paint(yellow, " (lossy: bits per byte compare with no other tokenizer's)")
	}
	t := newTable("what", "")
	t.row("tokenizer.json", i.Digest)
	t.row("ids", count(int64(i.Vocab)))
	t.row("merges", count(int64(i.Merges)))
	t.row("splitter", i.Splitter)
	t.row("normal form", form)
	var specials, added []string
	for _, a := range i.Added {
		s := fmt.Sprintf("%s %d", visible(a.Token), a.ID)
		if a.Special {
			specials = append(specials, s)
		} else {
			added = append(added, s)
		}
	}
	t.row("special tokens", strings.Join(specials, ", "))
	if added != nil {
		t.row("found in text as they are", strings.Join(added, ", "))
	}
	if i.IgnoreMerges {
		t.row("pieces that are tokens", "stay whole, whatever the merges make of them")
	}
	if i.PrefixSpace {
		t.row("a text's beginning", "is given a space where it has none")
	}
	t.print(w)
	if len(i.Longest) > 0 {
		heading(w, "longest tokens")
		printVocabulary(w, i.Longest)
	}
}

func printVocabulary(w io.Writer, rows []vocabularyEntry) {
	t := newTable("id", "bytes", "kind", "token").right(0, 1)
	for _, r := range rows {
		t.row(fmt.Sprint(r.ID), fmt.Sprint(len(r.bytes)), r.Kind, r.shown())
	}
	t.print(w)
}

// print shows the text cut at its tokens, then the tokens one by one.
func (e *encodedText) print(w io.Writer) {
	var b strings.Builder
	for i, t := range e.Tokens {
		s := t.shown()
		switch {
		case coloured:
			s = paint([]string{"30;46", "30;43"}[i%2], s)
		case i > 0:
			s = "|" + s
		}
		b.WriteString(s)
		if strings.HasSuffix(t.Token, "\n") {
			b.WriteByte('\n')
		}
	}
	fmt.Fprintln(w, strings.TrimSuffix(b.String(), "\n"))
	perWord, perToken := "", ""
	if e.Words > 0 {
		perWord = fmt.Sprintf(", %.2f a word", float64(len(e.Tokens))/float64(e.Words))
	}
	if len(e.Tokens) > 0 {
		perToken = fmt.Sprintf(", %.2f bytes a token", float64(e.Bytes)/float64(len(e.Tokens)))
	}
	heading(w, fmt.Sprintf("%s tokens of %s words in %s bytes%s%s", count(int64(len(e.Tokens))), count(int64(e.Words)), count(int64(e.Bytes)), perWord, perToken))
	t := newTable("id", "from", "to", "kind", "token").right(0, 1, 2)
	for _, x := range e.Tokens {
		t.row(fmt.Sprint(x.ID), fmt.Sprint(x.From), fmt.Sprint(x.To), x.Kind, x.shown())
	}
	t.print(w)
}

func (v vocabularyEntry) shown() string { return visible(v.bytes) }

// visible shows spaces, line breaks and what else cannot be seen, and bytes that are no
// characters.
func visible(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == ' ':
			b.WriteRune('·')
		case r == '\n':
			b.WriteRune('↵')
		case r == '\r':
			b.WriteRune('␍')
		case r == '\t':
			b.WriteRune('⇥')
		case !unicode.IsGraphic(r) || unicode.IsSpace(r) || unicode.IsMark(r) && i == 0:
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}
