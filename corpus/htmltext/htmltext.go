// Package htmltext turns HTML as it is found into lines of text: one a block or line
// break, white space collapsed, entities decoded. It reads tokens and keeps its own
// short stack of open elements, so that tags never closed, closed twice or crossed
// (pages of public bodies have thousands) cost neither text nor memory; where browsers
// reopen a formatting element after a block ends, so does it.
package htmltext

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// Line is one line of text.
type Line struct {
	Text string // without what is struck out
	All  string // with it
}

// Page is a page's text.
type Page struct {
	Title string // of <title>
	Lines []Line // empty ones left out
}

// deepest bounds the stack of open elements; what is opened below it is read as text
// of the element above.
const deepest = 512

// skipped elements hold no text of the page.
var skipped = set("script style noscript template head svg math object iframe nav aside footer select button")

// void elements have no content and no end tag.
var void = set("area base br col embed hr img input link meta param source track wbr")

// blocks begin and end a line.
var blocks = set("address article blockquote body center dd details dir div dl dt fieldset figcaption figure footer form " +
	"h1 h2 h3 h4 h5 h6 header hgroup hr html li main menu ol p pre section summary table tbody td tfoot th thead tr ul caption")

// formatting elements outlive the block they are opened in, until they are closed.
var formatting = set("a b big code em font i nobr s small strike strong tt u del ins")

func set(names string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	return m
}

type element struct {
	name   string
	struck bool
	skip   bool
}

type reader struct {
	page  Page
	open  []element
	text  builder // of the line, without what is struck out
	all   builder
	sup   bool
	title bool
	plain strings.Builder // of <title>
}

// Read reads a page. Struck text is that inside <s>, <strike>, <del> and whatever has
// a style of line-through. A page without an end is no error.
func Read(s string) (*Page, error) {
	z := html.NewTokenizer(strings.NewReader(s))
	r := &reader{}
	for {
		switch z.Next() {
		case html.ErrorToken:
			if err := z.Err(); !errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("html: %w", err)
			}
			r.end()
			r.page.Title = collapse(r.plain.String())
			return &r.page, nil
		case html.TextToken:
			r.write(string(z.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			r.start(z)
		case html.EndTagToken:
			name, _ := z.TagName()
			r.close(string(name))
		}
	}
}

func (r *reader) start(z *html.Tokenizer) {
	b, more := z.TagName()
	e := element{name: string(b)}
	style := ""
	for more {
		var k, v []byte
		if k, v, more = z.TagAttr(); string(k) == "style" {
			style = strings.ToLower(string(v))
		}
	}
	switch e.name {
	case "br":
		r.end()
	case "sup":
		r.sup = true
	case "title":
		r.title = true
	}
	if blocks[e.name] {
		r.end()
		r.imply(e.name)
	}
	if void[e.name] {
		return
	}
	e.skip = skipped[e.name]
	e.struck = e.name == "s" || e.name == "strike" || e.name == "del" || strings.Contains(style, "line-through")
	if len(r.open) < deepest || e.struck && len(r.open) < 2*deepest {
		r.open = append(r.open, e)
	}
}

// imply closes what the start of a block closes.
func (r *reader) imply(name string) {
	switch name {
	case "body":
		r.closeAbove("head")
	case "li":
		r.closeAbove("li", "ul", "ol")
	case "dd", "dt":
		r.closeAbove("dd", "dl")
		r.closeAbove("dt", "dl")
	case "td", "th":
		r.closeAbove("td", "table")
		r.closeAbove("th", "table")
	case "tr":
		r.closeAbove("td", "table")
		r.closeAbove("tr", "table")
	}
	r.closeAbove("p", "td", "th", "table", "object")
}

// closeAbove closes the innermost open element of a name that is not outside a bound.
func (r *reader) closeAbove(name string, bounds ...string) {
	for i := len(r.open) - 1; i >= 0; i-- {
		if r.open[i].name == name {
			r.cut(i)
			return
		}
		for _, b := range bounds {
			if r.open[i].name == b {
				return
			}
		}
	}
}

func (r *reader) close(name string) {
	switch name {
	case "sup":
		r.sup = false
	case "title":
		r.title = false
	case "br", "p":
		r.end()
	}
	if blocks[name] {
		r.end()
	}
	for i := len(r.open) - 1; i >= 0; i-- {
		if r.open[i].name == name {
			r.cut(i)
			return
		}
	}
}

// cut closes the open element i and those inside it, except formatting ones.
func (r *reader) cut(i int) {
	keep := r.open[:i]
	for _, e := range r.open[i+1:] {
		if formatting[e.name] {
			keep = append(keep, e)
		}
	}
	r.open = keep
}

func (r *reader) write(s string) {
	if r.title {
		r.plain.WriteString(s)
		return
	}
	struck := false
	for _, e := range r.open {
		if e.skip {
			return
		}
		struck = struck || e.struck
	}
	if r.sup {
		if t := superscript(s, r.all.String()); t != "" {
			s = t
			r.all.space, r.text.space = false, false
		}
	}
	r.all.write(s)
	if !struck {
		r.text.write(s)
	} else {
		r.text.space = r.text.space || s != strings.TrimSpace(s)
	}
}

// superscript gives a raised o or a after a figure (or n, for number) its own
// character, and small powers theirs; "" where it does neither.
func superscript(s, before string) string {
	last, _ := utf8.DecodeLastRuneInString(strings.TrimRight(before, " "))
	t := strings.TrimSpace(s)
	switch {
	case (unicode.IsDigit(last) || last == 'n' || last == 'N') && (t == "o" || t == "os" || t == "a" || t == "as"):
		t = strings.NewReplacer("o", "º", "a", "ª", "s", "").Replace(t)
	case unicode.IsDigit(last) && (t == "º" || t == "ª"):
	case unicode.IsLetter(last) && t == "2":
		t = "²"
	case unicode.IsLetter(last) && t == "3":
		t = "³"
	default:
		return ""
	}
	if strings.TrimRightFunc(s, unicode.IsSpace) != s {
		t += " "
	}
	return t
}

func (r *reader) end() {
	if all := r.all.take(); all != "" {
		r.page.Lines = append(r.page.Lines, Line{Text: r.text.take(), All: all})
	} else {
		r.text.take()
	}
}

// builder collapses white space.
type builder struct {
	strings.Builder
	space bool
}

func (b *builder) write(s string) {
	for _, c := range s {
		if unicode.IsSpace(c) || c == '\u200b' || c == '\ufeff' {
			b.space = true
			continue
		}
		if b.space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.space = false
		b.WriteRune(c)
	}
}

func (b *builder) take() string {
	s := b.String()
	b.Reset()
	b.space = false
	return s
}

func collapse(s string) string {
	var b builder
	b.write(s)
	return b.String()
}
