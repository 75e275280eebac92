package htmltext

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRead(t *testing.T) {
	for _, c := range []struct{ name, in, text, all string }{
		{"blocks", "<p>um</p><div>dois<p>três</div>quatro", "um|dois|três|quatro", ""},
		{"white space", "<p> um&nbsp;&nbsp;\n dois </p>", "um dois", ""},
		{"inline", "<b>Art</b>. <i>1</i>&ordm;", "Art. 1º", ""},
		{"break", "TÍTULO I<br>Dos<br/>Direitos", "TÍTULO I|Dos|Direitos", ""},
		{"scripts", "<head><style>p{}</style></head>a<script>x<p>y</script>b<noscript>c</noscript>", "ab", ""},
		{"entities", "&sect; 1&ordm; &#xe9; &lt;b&gt;", "§ 1º é <b>", ""},
		{"struck", "<p><strike>velho</strike> novo</p><p><s>só velho</s></p>", "novo|", "velho novo|só velho"},
		{"del and style", "a<del>b</del>c<span style='TEXT-DECORATION: line-through'>d</span>e", "ace", "abcde"},
		{"struck over blocks", "<p><strike>a</p><p>b</strike>c</p>", "|c", "a|bc"},
		{"struck paragraph not closed", "<p style='text-decoration:line-through'>a<p>b", "|b", "a|b"},
		{"style ends with its block", "<div><span style='text-decoration:line-through'>a</div>b", "|b", "a|b"},
		{"closed twice", "<strike>a</strike></strike>b", "b", "ab"},
		{"space stays", "um<strike> velho</strike>dois", "um dois", "um velhodois"},
		{"ordinal", "§ 1<u><sup>o</sup></u> e 2<sup>a</sup>, km<sup>2</sup>, nota<sup>12</sup>", "§ 1º e 2ª, km², nota12", ""},
		{"ordinal with spaces", "§§ 1 <sup> o </sup>a 3 <sup>o </sup>deste", "§§ 1º a 3º deste", ""},
		{"number", "Lei n<sup>o</sup> 1", "Lei nº 1", ""},
		{"table", "<table><tr><td>a<td>b<tr><td>c</table>", "a|b|c", ""},
		{"list", "<ul><li>a<li>b</ul>", "a|b", ""},
		{"title", "<title>Lei\n nº 1</title><body>a", "a", ""},
		{"head not closed", "<head><meta charset=utf-8><body>a", "a", ""},
		{"cut short", "<p>a<b", "a", ""},
	} {
		p, err := Read(c.in)
		if err != nil {
			t.Fatal(err)
		}
		var text, all []string
		for _, l := range p.Lines {
			text, all = append(text, l.Text), append(all, l.All)
		}
		if c.all == "" {
			c.all = c.text
		}
		if a, b := strings.Join(text, "|"), strings.Join(all, "|"); a != c.text || b != c.all {
			t.Errorf("%s: got %q, all %q; want %q, all %q", c.name, a, b, c.text, c.all)
		}
		if c.name == "title" && p.Title != "Lei nº 1" {
			t.Errorf("title %q", p.Title)
		}
	}
}

func TestDepth(t *testing.T) {
	p, err := Read(strings.Repeat("<font><div>", 20_000) + "fim")
	if err != nil || len(p.Lines) != 1 || p.Lines[0].Text != "fim" {
		t.Fatalf("%v %v", p, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("<p><strike>a</p><p>b</strike>c<sup>o")
	f.Add("<table><tr><td>a<td>b</table><title>x")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Read(s)
		if err != nil {
			t.Skip()
		}
		for _, l := range p.Lines {
			if strings.ContainsAny(l.All, "\n\t") || l.All == "" || len(l.Text) > len(l.All) || utf8.ValidString(s) && !utf8.ValidString(l.All) {
				t.Fatalf("%q", l)
			}
		}
	})
}
