// Package pagetest checks pages as tests of the stages that write them need it.
package pagetest

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Check fails the test unless the page stands alone and is well formed: no scripts, no
// references out of itself, every element closed in its turn, no id twice, every
// reference within it met, a caption on every table and a label on every drawing.
func Check(t testing.TB, page string) {
	t.Helper()
	for _, bad := range []string{"<script", "<link", "<img", "<iframe", "@import", "url(", "ZgotmplZ", ">NaN", ">+Inf", ">-Inf", "%!"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	var open, ids, refs []string
	tables, captions := 0, 0
	z := html.NewTokenizer(strings.NewReader(page))
	for tt := z.Next(); tt != html.ErrorToken; tt = z.Next() {
		if tt != html.StartTagToken && tt != html.EndTagToken && tt != html.SelfClosingTagToken {
			continue
		}
		tok := z.Token()
		label := false
		for _, a := range tok.Attr {
			switch a.Key {
			case "id":
				if slices.Contains(ids, a.Val) {
					t.Errorf("two elements have the id %q", a.Val)
				}
				ids = append(ids, a.Val)
			case "href":
				if !strings.HasPrefix(a.Val, "#") {
					t.Errorf("<%s> refers to %q", tok.Data, a.Val)
				}
				refs = append(refs, strings.TrimPrefix(a.Val, "#"))
			case "aria-labelledby":
				refs = append(refs, a.Val)
			case "src", "onclick", "onload", "onerror":
				t.Errorf("<%s> has %s=%q", tok.Data, a.Key, a.Val)
			case "aria-label":
				label = a.Val != ""
			}
		}
		switch {
		case tt == html.SelfClosingTagToken || tok.Data == "meta":
			continue
		case tt == html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				t.Fatalf("</%s> where %v are open", tok.Data, open)
			}
			open = open[:len(open)-1]
			continue
		}
		open = append(open, tok.Data)
		switch tok.Data {
		case "table":
			tables++
		case "caption":
			captions++
		case "svg":
			if !label {
				t.Error("a drawing has no label")
			}
		}
	}
	if len(open) > 0 {
		t.Errorf("never closed: %v", open)
	}
	if tables != captions {
		t.Errorf("%d tables have %d captions", tables, captions)
	}
	for _, r := range refs {
		if !slices.Contains(ids, r) {
			t.Errorf("nothing has the id %q", r)
		}
	}
}
