package wikitext

import (
	"fmt"
	"strings"
	"testing"
)

// show expands {{name|…}} to name(arguments), {{x…}} to a gap, and applies f.
func show(c *Call) Expansion {
	if strings.HasPrefix(c.Name, "x") {
		return Expansion{Cut: true, Why: c.Name}
	}
	var args []string
	for _, a := range c.Args {
		args = append(args, a.Name+":"+a.Value)
	}
	return Expansion{Text: c.Name + "(" + strings.Join(args, ",") + ")"}
}

func TestConstructs(t *testing.T) {
	templates := func(x *Text) { x.Templates(show) }
	links := func(x *Text) {
		x.Links(func(l Link) (Expansion, bool) {
			if strings.HasPrefix(l.Target, "F:") {
				return Expansion{Cut: true}, true
			}
			if l.Piped {
				return Expansion{Text: l.Text}, true
			}
			return Expansion{Text: l.Target}, !strings.HasPrefix(l.Target, "K:")
		})
	}
	tests := []struct {
		name     string
		f        func(*Text)
		in, want string
	}{
		{"comment", func(x *Text) { x.Comments() }, "a<!-- b -->c", "ac"},
		{"comment alone on its line", func(x *Text) { x.Comments() }, "a\n <!-- b --> \nc", "a\nc"},
		{"comment without end", func(x *Text) { x.Comments() }, "a<!-- b", "a"},
		{"nowiki", func(x *Text) { x.Hold(func(_, _, s string) string { return s }); templates(x) }, "<nowiki>{{a}}</nowiki>{{b}}<nowiki/>", "{{a}}b()"},
		{"a tag without end holds nothing", func(x *Text) { x.Hold(func(_, _, s string) string { return s }) }, "a <math> b", "a <math> b"},
		{"refs", func(x *Text) { x.Refs() }, `a<ref name="x">b {{c}}</ref>d<ref name=y/>e<REF>f</REF>g`, "adeg"},
		{"ref without end before a heading", func(x *Text) { x.Refs() }, "a<ref>b\n== c ==\nd<ref>e</ref>", "a<ref>b\n== c ==\nd"},
		{"inclusion", func(x *Text) { x.Inclusion() }, "<noinclude>a</noinclude><includeonly>b</includeonly><onlyinclude>c</onlyinclude>", "ac"},
		{"template", templates, "{{a}} {{ b | c | d = e }}", "a() b(1: c ,d:e)"},
		{"nested", templates, "{{a|{{b|{{c}}}}}}", "a(1:b(1:c()))"},
		{"link in argument", templates, "{{a|[[b|c]]|d}}", "a(1:[[b|c]],2:d)"},
		{"pipe and equals from a template are text", func(x *Text) {
			x.Templates(func(c *Call) Expansion {
				if e, ok := x.Function(c); ok {
					return e
				}
				return show(c)
			})
		}, "{{a|b{{!}}c|d{{=}}e}}", "a(1:b|c,2:d=e)"},
		{"parameters", templates, "{{{1}}}{{{2|dois}}}{{{3|{{a}}}}}", "doisa()"},
		{"braces left over", templates, "{{{{a}}}} {b} {{{a}} }}", "{} {b} {a() }}"},
		{"gap", func(x *Text) { templates(x); x.S = x.Plain() }, "a {{x1}}b\n{{x2}}\nc", "a b\nc"},
		{"no end: the paragraph goes", func(x *Text) { templates(x); x.S = x.Plain() }, "a\n\nb {{info|c\n|d\n\ne {{f}}", "a\n\nb \n\ne f()"},
		{"links", links, "[[a]] [[b|c]]s [[ d ]] [[e_f]]", "a cs d e f"},
		{"link in caption", links, "x[[F:a|thumb|b [[c|d]] e]]y", "x\x01\x02y"},
		{"kept", links, "[[K:a]] [[b]]", "[[K:a]] b"},
		{"no link", links, "[[a\nb]] [[<c>]] [[d [e]", "[[a\nb]] [[<c>]] [[d [e]"},
		{"brackets around a link", links, "[[[a]]] [b [[c]]]", "[a] [b c]"},
		{"external", func(x *Text) { x.ExternalLinks(); x.S = x.Plain() }, "[http://a.b c d] [https://e] [//f g] [h] [http://i\nj]", "c d  g [h] [http://i\nj]"},
		{"quotes", func(x *Text) { x.Quotes() }, "''a'' '''b''' '''''c''''' d'e", "a b c d'e"},
		{"an apostrophe before italics", func(x *Text) { x.Quotes() }, "d'''Os Lusíadas'' e '''x'''", "d'Os Lusíadas e x"},
		{"four and six quotes", func(x *Text) { x.Quotes() }, "''''a'''' ''''''b''''''", "'a' 'b'"},
		{"tags", func(x *Text) { x.Tags() }, "a<br>b<br/>\nc<span style=\"x\">d</span> 2 < 3 <p>e</p>", "a b\ncd 2 < 3 \ne\n"},
		{"br in verse", func(x *Text) { x.Tags() }, "<poem>a<br>b</poem>c<br>d", "\na\nb\nc d"},
		{"sup and sub", func(x *Text) { x.Tags() }, "m<sup>2</sup> H<sub>2</sub>O x<sup>abc</sup> 5<sup>o</sup>", "m² H₂O xabc 5º"},
		{"entities once", func(x *Text) { x.Entities() }, "a&nbsp;b &amp;lt; &#233; &#xe9; &foo; & &#1; &eacute", "a\u00a0b &lt; é é &foo; &  &eacute"},
		{"headings", func(x *Text) { x.Headings() }, "=a=\n== b ==\n=== c === \x01\x02\n==d=\n== e", "\na\n\n\nb\n\n\nc\n\n\n=d\n\n== e"},
		{"drop sections", func(x *Text) { x.DropSections(map[string]bool{"notas": true}) }, "a\n== Notas ==\nb\n=== c ===\nd\n== '''Notas''' ==\ne\n== f ==\ng", "a\n== f ==\ng"},
		{"empty sections", func(x *Text) { x.EmptySections() }, "== a ==\n== b ==\n=== c ===\nd\n=== e ===\n\n== f ==\n=== g ===\n", "== b ==\n=== c ===\nd\n\n"},
		{"lists", func(x *Text) { x.Lists() }, "* a\n** b\n# c\n# d\n## e\n# f\n: g\n; h : i\n* \n----\n j\n# k", "- a\n- b\n1. c\n2. d\n1. e\n3. f\ng\nh: i\n\x01\x02\n\nj\n1. k"},
		{"magic words", func(x *Text) {
			x.MagicWords(map[string]bool{"__NOTOC__": true, "__SEMSUMÁRIO__": true})
			x.S = x.Plain()
		}, "a__NOTOC__ __semsumário__ __x__ __NOTOC_", "a  __x__ __NOTOC_"},
		{"tables", func(x *Text) { x.Tables(false); x.S = x.Plain() }, "a\n{| class=x\n! b\n|-\n| c\n{|\n| d\n|}\n|}\ne", "a\ne"},
		{"table rows", func(x *Text) { x.Tables(true); x.S = x.Plain() }, "{| class=x\n|+ t\n! a !! b\n|-\n| style=y | c || [[d|e]]\nf\n|}", "t\na; b\nc; [[d|e]] f\n"},
		{"table without end", func(x *Text) { x.Tables(false); x.S = x.Plain() }, "a\n{|\n| b\n== c ==\nd", "a\n== c ==\nd"},
		{"html table", func(x *Text) { x.Tables(false); x.S = x.Plain() }, "a<table><tr><td><table></table>b</td></table>c", "ac"},
	}
	for _, test := range tests {
		x := New(test.in)
		test.f(x)
		got := x.S
		if strings.Contains(got, string(markHeld)) {
			got = x.Plain()
		}
		if got != test.want {
			t.Errorf("%s: %q gave\n%q, want\n%q", test.name, test.in, got, test.want)
		}
	}
}

func TestFunctions(t *testing.T) {
	for in, want := range map[string]string{
		"{{#if: a | b | c }}": "b", "{{#if:  | b | c}}": "c", "{{#if: {{x}} | b}}": "",
		"{{#ifeq: a | a | sim | não}}": "sim", "{{#ifeq: 1.0 | 1 | sim | não}}": "sim", "{{#ifeq: a | b | sim | não}}": "não",
		"{{#switch: b | a = 1 | b | c = 2 | #default = 3}}": "2", "{{#switch: z | a = 1 | #default = 3}}": "3", "{{#switch: z | a = 1 | 4}}": "4", "{{#switch: z | a = 1}}": "",
		"{{#expr: 1 + 2 * 3}}": "7", "{{#expr: (1+2)*3 ^ 2}}": "27", "{{#expr: 7 mod 4}}": "3", "{{#expr: 10 / 4 round 0}}": "3", "{{#expr: 1/3}}": "0.33333333333333", "{{#expr: 2 > 1 and not 0}}": "1", "{{#expr: -1.5e3}}": "-1500",
		"{{#expr: 1 / 0}}": "", "{{#expr: 1 +}}": "", "{{#expr: " + strings.Repeat("(", 900) + "}}": "",
		"{{#ifexpr: 1 < 2 | s | n}}": "s", "{{#ifexist: P | s | n}}": "s", "{{#iferror: x | a | b}}": "b",
		"{{lc:ABC}}{{uc:é}}{{ucfirst:água}}{{lcfirst:ABC}}":             "abcÉÁguaaBC",
		"{{formatnum:1234567.8}} {{formatnum:1.5|R}} {{formatnum:-42}}": "1.234.567,8 1.5 -42",
		"{{PAGENAME}} {{SUBPAGENAME}}":                                  "A/b b", "{{CURRENTYEAR}}{{#invoke:a|b}}{{DEFAULTSORT:x}}": "", "{{subst:lc:A}}": "a",
	} {
		x := New(in)
		x.Title = "A/b"
		x.Templates(func(c *Call) Expansion {
			if e, ok := x.Function(c); ok {
				return e
			}
			return Expansion{Cut: true, Why: c.Name}
		})
		if got := strings.TrimSpace(x.Plain()); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestGaps(t *testing.T) {
	x := New("a\x01b\x05")
	if x.S != "ab" {
		t.Errorf("control characters stay: %q", x.S)
	}
	s := "de " + x.Gap("info") + " " + x.Gap("") + ", fim"
	trimmed, cause := x.TrimRight(s[:strings.IndexByte(s, ',')])
	if trimmed != "de" || cause != "info" {
		t.Errorf("%q %q", trimmed, cause)
	}
	if rest, cause := x.TrimLeft(s[3:]); rest != ", fim" || cause != "info" {
		t.Errorf("%q %q", rest, cause)
	}
	if trimmed, _ := x.TrimRight("a " + x.hold("b")); trimmed != "a "+x.hold("b")[:1]+"0\x02" {
		t.Errorf("held text was trimmed: %q", trimmed)
	}
	if got := withoutGaps(s); got != "de  , fim" {
		t.Errorf("%q", got)
	}
}

// everything applies all methods.
func everything(s string) string {
	x := New(s)
	x.Comments()
	x.Hold(func(_, _, c string) string { return c })
	x.Refs()
	x.Inclusion()
	x.DroppedElements()
	x.DropSections(map[string]bool{"a": true})
	x.Templates(func(c *Call) Expansion {
		if e, ok := x.Function(c); ok {
			return e
		}
		if strings.HasPrefix(c.Name, "a") {
			return Expansion{Cut: true, Why: c.Name}
		}
		return Expansion{Text: c.Arg(1)}
	})
	x.Tables(len(s)%2 == 0)
	x.Links(func(l Link) (Expansion, bool) { return Expansion{Text: l.Text}, l.Target != "a" })
	x.ExternalLinks()
	x.Quotes()
	x.Tags()
	x.MagicWords(map[string]bool{"__NOTOC__": true})
	x.EmptySections()
	x.Headings()
	x.Lists()
	x.Entities()
	return x.Plain()
}

// hostile texts that would take hours if any method looked for the same end twice.
var hostile = []string{"{{", "[[", "{{a|", "[[a|", "{{a|b}}", "{{{", "{{{a|", "{|\n", "{{b|", "<ref>", "<ref", "<math>", "<nowiki>", "<gallery>", "<!--", "<!-- -->", "[http://a ", "[http://", "''", "'''a", "<div>", "<table>", "</table>",
	"<table ", "&", "&amp;", "&#", "__", "__A", "=", "==a==\n", "= =\n", "*", "#", "#a\n", "\n\n", "<", "</", "</ref", "<a b=\"", "{{a|[[", "[[a|{{", "]]", "}}", "[[]]{{}}", "{{#if:", "{{#switch:a|", "<poem>", "<sup>", "|}\n", "{|\n|}\n", "(", "( ,", "{{x\n\n", "- ", "<includeonly>", "__NOTOC__"}

func TestHostile(t *testing.T) {
	const size = 1 << 20
	for _, s := range hostile {
		everything(strings.Repeat(s, size/len(s)))
	}
	for _, pair := range [][2]string{{"{{b|", "}}"}, {"[[b|", "]]"}, {"{{{a|", "}}}"}, {"<div>", "</div>"}, {"<ref>", "</ref>"}, {"{|\n|", "\n|}\n"}, {"{{#if:x|", "}}"}} {
		n := size / (len(pair[0]) + len(pair[1]))
		everything(strings.Repeat(pair[0], n) + strings.Repeat(pair[1], n))
	}
}

func BenchmarkHostile(b *testing.B) {
	for _, s := range []string{"{{", "[[", "{{a|", "<ref>"} {
		b.Run(s, func(b *testing.B) {
			in := strings.Repeat(s, 1<<20/len(s))
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				everything(in)
			}
		})
	}
}

func FuzzEverything(f *testing.F) {
	for _, c := range peerCases(f) {
		f.Add(c.input)
	}
	for _, s := range hostile {
		f.Add(strings.Repeat(s, 3))
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := everything(s)
		for i := range len(out) {
			if c := out[i]; c > 0 && c <= markEqual {
				t.Fatalf("mark %#x is left in %q", c, out)
			}
		}
	})
}

func ExampleText() {
	t := New("A '''[[cidade]]''' tem {{fmtn|90000}} [[habitante]]s.<ref>x</ref>")
	t.Refs()
	t.Templates(func(c *Call) Expansion { return Expansion{Text: GroupDigits(c.Arg(1))} })
	t.Links(func(l Link) (Expansion, bool) { return Expansion{Text: l.Target}, true })
	t.Quotes()
	fmt.Println(t.Plain())
	// Output: A cidade tem 90.000 habitantes.
}
