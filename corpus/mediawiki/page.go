package mediawiki

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Page is one page of a dump, with its last revision.
type Page struct {
	Title     string
	NS        int
	HasNS     bool // <ns> was there: dumps before 2011 have none
	ID        int64
	Redirect  string // target, from the <redirect> tag
	RevID     int64
	Timestamp string // RFC 3339, UTC
	Model     string // "wikitext"; "" in old dumps, which had nothing else
	Text      string
	Deleted   bool // the text was withheld

	Where string // in the file, for messages
}

// parsePage reads the XML from <page to </page>.
func parsePage(b []byte) (*Page, error) {
	p := &Page{}
	if !utf8.Valid(b) {
		p.Title = roughTitle(b)
		return p, &Damage{Kind: InvalidUTF8, Page: p.Title, Err: fmt.Errorf("byte %d of the page is not valid UTF-8", invalidAt(b))}
	}
	x := xmlScanner{b: b}
	var path []string // of the open elements
	var text []byte   // of the innermost one, if it is wanted
	fail := func(err error) (*Page, error) {
		return p, &Damage{Kind: MalformedPage, Page: p.Title, Err: fmt.Errorf("malformed XML at byte %d of the page: %w", x.pos, err)}
	}
	for {
		at := x.pos
		kind, raw, err := x.next()
		if err != nil {
			x.pos = at
			return fail(err)
		}
		switch kind {
		case xmlOpen:
			text = text[:0]
			if len(path) == maxDepth {
				return fail(fmt.Errorf("elements nested deeper than %d", maxDepth))
			}
			path = append(path, string(x.name))
			if err := p.begin(path, &x); err != nil {
				return fail(err)
			}
			if !x.empty {
				continue
			}
			path = path[:len(path)-1]
		case xmlText, xmlRaw:
			if len(path) == 0 {
				if len(bytes.TrimSpace(raw)) > 0 {
					return fail(fmt.Errorf("text %q outside the page", clip(raw, 20)))
				}
				continue
			}
			if !wanted(path) {
				raw, text = raw[:0], text[:0]
			}
			if kind == xmlRaw {
				text = append(text, raw...)
			} else if text, err = appendText(text, raw); err != nil {
				return fail(err)
			}
		case xmlClose:
			if len(path) == 0 || path[len(path)-1] != string(x.name) {
				return fail(fmt.Errorf("</%s> closes what is not open", x.name))
			}
			if err := p.end(path, text); err != nil {
				return fail(err)
			}
			text = text[:0]
			if path = path[:len(path)-1]; len(path) == 0 {
				return p, nil
			}
		case xmlEnd:
			return fail(fmt.Errorf("the page ends inside %v", path))
		}
	}
}

const maxDepth = 16

// wanted says whether the text of an element matters.
func wanted(path []string) bool {
	switch len(path) {
	case 2:
		return path[1] == "title" || path[1] == "ns" || path[1] == "id"
	case 3:
		if path[1] != "revision" {
			return false
		}
		switch path[2] {
		case "id", "timestamp", "model", "text":
			return true
		}
	}
	return false
}

func (p *Page) begin(path []string, x *xmlScanner) (err error) {
	switch {
	case len(path) == 2 && path[1] == "redirect":
		p.Redirect, _, err = x.attr("title")
		if p.Redirect == "" {
			p.Redirect = "?" // before 2012 the tag had no title
		}
	case len(path) == 2 && path[1] == "revision":
		// The revisions of a history dump follow each other, the oldest first.
		p.RevID, p.Timestamp, p.Model, p.Text, p.Deleted = 0, "", "", "", false
	case len(path) == 3 && path[1] == "revision" && path[2] == "text":
		_, p.Deleted, err = x.attr("deleted")
	}
	return err
}

func (p *Page) end(path []string, text []byte) (err error) {
	if !wanted(path) {
		return nil
	}
	number := func() int64 {
		var n int64
		if n, err = strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64); err != nil {
			err = fmt.Errorf("<%s> is %q, not a number", path[len(path)-1], clip(text, 20))
		}
		return n
	}
	if len(path) == 2 {
		switch path[1] {
		case "title":
			p.Title = string(text)
		case "ns":
			p.NS, p.HasNS = int(number()), true
		case "id":
			p.ID = number()
		}
		return err
	}
	switch path[2] {
	case "id":
		p.RevID = number()
	case "timestamp":
		p.Timestamp = string(text)
	case "model":
		p.Model = string(text)
	case "text":
		p.Text = string(text)
	}
	return err
}

// roughTitle finds the title of a page that cannot be parsed, for messages.
func roughTitle(b []byte) string {
	_, rest, ok := bytes.Cut(b, []byte("<title>"))
	title, _, closed := bytes.Cut(rest, []byte("</title>"))
	if !ok || !closed || len(title) > 1000 {
		return ""
	}
	title, err := appendText(nil, title)
	if err != nil {
		return ""
	}
	return string(bytes.ToValidUTF8(title, []byte("\uFFFD")))
}

func invalidAt(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}
