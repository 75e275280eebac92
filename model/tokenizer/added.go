package tokenizer

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is found in the text before anything else happens to it,
// as tokenizer.json has it. A special one counts as text unless the caller allows it.
type addedToken struct {
	ID         uint32 `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // not inside a word
	LStrip     bool   `json:"lstrip"`      // takes the white space before it along
	RStrip     bool   `json:"rstrip"`      // and that behind it
	Normalized bool   `json:"normalized"`  // is sought, in its normal form, in the text's normal form
	Special    bool   `json:"special"`
}

// segments cuts text at its added tokens: those that are not special, and the specials
// named in allowed. It hands on, in their order, the ids of these and, in the normal
// form, the text between, never empty.
//
// Text is looked through twice, as Hugging Face's tokenizers do: for the tokens that
// are not normalized as it is, and what lies between in its normal form for the others.
// Of tokens that begin together the longest is meant.
func (t *Tokenizer) segments(text string, allowed []string, plain func(text string), token func(id uint32)) {
	raw, normal := t.sought(allowed)
	raw.cut(text, func(text string, _ int) {
		if text = t.normal(text); text == "" {
			return
		}
		normal.cut(text, func(text string, _ int) {
			if t.prefixSpace && text[0] != ' ' {
				text = " " + text
			}
			plain(text)
		}, func(id uint32, _, _ int) { token(id) })
	}, func(id uint32, _, _ int) { token(id) })
}

// sought returns the tokens to look for in text as it is, and in its normal form.
func (t *Tokenizer) sought(allowed []string) (raw, normal finder) {
	for _, a := range t.added {
		switch {
		case a.Special && !slices.Contains(allowed, a.Content):
		case a.Normalized:
			a.Content = t.normal(a.Content)
			normal = normal.with(a)
		default:
			raw = raw.with(a)
		}
	}
	return raw, normal
}

// finder finds added tokens, by their first byte. Nil finds none.
type finder map[byte][]addedToken

func (f finder) with(a addedToken) finder {
	if a.Content == "" { // the normal form leaves nothing of it
		return f
	}
	if f == nil {
		f = finder{}
	}
	c := a.Content[0]
	f[c] = append(f[c], a)
	slices.SortStableFunc(f[c], func(a, b addedToken) int { return cmp.Compare(len(b.Content), len(a.Content)) })
	return f
}

// cut hands on the pieces of text, never empty, with where they begin, and the tokens
// between, with what they take of it. A match that
// single_word forbids is passed over whole: no token that begins inside it is found.
func (f finder) cut(text string, plain func(text string, at int), token func(id uint32, start, end int)) {
	done := 0 // what is before was handed on
	for i := 0; i < len(text) && f != nil; i++ {
		k := slices.IndexFunc(f[text[i]], func(a addedToken) bool { return strings.HasPrefix(text[i:], a.Content) })
		if k < 0 {
			continue
		}
		a := f[text[i]][k]
		start, end := i, i+len(a.Content)
		i = end - 1
		if a.SingleWord && (wordEnds(text[:start]) || wordBegins(text[end:])) {
			continue
		}
		if a.LStrip {
			start = max(done, len(strings.TrimRightFunc(text[:start], unicode.IsSpace)))
		}
		if a.RStrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if done < start {
			plain(text[done:start], done)
		}
		token(a.ID, start, end)
		done = end
	}
	if done < len(text) {
		plain(text[done:], done)
	}
}

func wordBegins(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && ofWord(r)
}

func wordEnds(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && ofWord(r)
}

// ofWord is \w of Unicode's regular expressions (UTS 18, annex C).
func ofWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}
