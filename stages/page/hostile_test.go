package page

import (
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/ptbr-slm/pipeline/stages/page/pagetest"
)

// hostile tries to leave text, an attribute, a style, a comment and a tag.
const hostile = `"'--></title></style></script></svg><script>alert(1)</script><img src=x onerror=alert(1)> javascript:alert(1)`

// poison sets every string in v, and gives every slice one element.
func poison(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Struct:
		for i := range v.NumField() {
			poison(v.Field(i))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Interface {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			poison(v.Index(i))
		}
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Int64:
		v.SetInt(1)
	}
}

// Whatever stands in titles, names, labels, cells and excerpts is text on the page: every
// string of every block holds an attack, and no element or attribute comes of it.
func TestHostileTextStaysText(t *testing.T) {
	var blocks []Block
	add := func(b any) {
		v := reflect.ValueOf(b).Elem()
		poison(v)
		blocks = append(blocks, v.Interface().(Block))
	}
	add(new(Text))
	add(new(Excerpts))
	add(new(Bars))
	add(new(Curves))
	add(new(Table))
	blocks = append(blocks, Fold{Summary: hostile, Blocks: blocks[:1]}, Pair{Text(hostile), Text(hostile)})
	p := Page{}
	poison(reflect.ValueOf(&p).Elem())
	p.Sections = p.Sections[:1]
	p.Sections[0].ID, p.Sections[0].Blocks = "s", blocks
	for i := range p.Facts {
		p.Facts[i].Verdict = Good
	}
	var b strings.Builder
	if _, err := p.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	pagetest.Check(t, b.String())
	shown := 0
	z := html.NewTokenizer(strings.NewReader(b.String()))
	for tt := z.Next(); tt != html.ErrorToken; tt = z.Next() {
		tok := z.Token()
		switch {
		case tt == html.TextToken && strings.Contains(tok.Data, "<script>alert(1)</script>"):
			shown++
		case tt == html.StartTagToken || tt == html.SelfClosingTagToken:
			if tok.DataAtom == atom.Script || tok.DataAtom == atom.Img {
				t.Errorf("there is a <%s>", tok.Data)
			}
			for _, a := range tok.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "href" && !strings.HasPrefix(a.Val, "#") || a.Key == "style" && strings.Contains(a.Val, "alert") {
					t.Errorf("<%s> has %s=%q", tok.Data, a.Key, a.Val)
				}
			}
		}
	}
	if shown < 20 {
		t.Errorf("the attack is shown as text %d times, want it wherever text stands", shown)
	}
}
