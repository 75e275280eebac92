package audit

import "testing"

func TestPatterns(t *testing.T) {
	count := map[string]func(string) int64{}
	for _, p := range append(append([]pattern{}, residues...), defects...) {
		count[p.name] = p.count
	}
	for _, c := range []struct {
		name, text string
		want       int64
	}{
		{"braces", "a {{b}} {{c", 3},
		{"brackets", "[[Brasil]] [x]", 2},
		{"tables", "{| a |}", 2},
		{"bold", "'''Brasil''' d'água", 2},
		{"tag", "a <br> </div> <!-- x --> 3 < 4 <3", 3},
		{"nbsp-entity", "1&nbsp;km 2&#160;km", 2},
		{"entity", "&amp; &#8212; &#x2014; A&M; R & B; &; &#;", 3},
		{"file-link", "Ficheiro:Berlim.jpg Imagem:a", 2},
		{"thumb", "[[x|thumb|220px]] thumbnail", 2},
		{"miniaturadaimagem", "miniaturadaimagem|direita", 1},
		{"magic-word", "__NOTOC__ __SEMSUMÁRIO__ ____ __a__ __X__", 2},
		{"empty-parentheses", "Berlim () e ( , ; ) mas (a) e (", 2},
		{"mojibake", "SÃ£o Paulo â€œ Âº", 3},
		{"mojibake", "NÃO, IRMÃ, MAÇÃ. “Ã” Â ângulo", 0},
		{"mojibake", "Ã", 0},
		{"latin2-mojibake", "ę vigęncia, art. 5ş", 3},
		{"latin2-mojibake", "São João, œuvre", 0},
		{"replacement", "a\ufffdb", 1},
		{"not-nfc", "Cafe\u0301 e a\u0303", 2},
		{"not-nfc", "Café, Å", 0},
		{"not-nfc", "\u212b", 1}, // the ångström sign composes to another letter
		{"control", "a\x00b\tc\n\x7f\u0085", 3},
		{"bom", "\ufeffa", 1},
		{"soft-hyphen", "cons\u00adtituição", 1},
		{"zero-width", "a\u200bb\u2060", 2},
		{"nbsp", "5\u00a0km", 1},
		{"carriage-return", "a\r\n", 1},
		{"private-use", "\ue000 \uf8ff \ufeff", 2},
	} {
		f := count[c.name]
		if f == nil {
			t.Fatalf("no pattern is named %s", c.name)
		}
		if n := f(c.text); n != c.want {
			t.Errorf("%s in %q: %d, want %d", c.name, c.text, n, c.want)
		}
	}
}

func FuzzPatterns(f *testing.F) {
	f.Add("a {{b}} <x &amp; __AB__ ( ) Ã£ \xff e\u0301")
	f.Add("\xc3\xe2\x82(")
	f.Fuzz(func(t *testing.T, s string) {
		for _, p := range append(append([]pattern{}, residues...), defects...) {
			one := p.count(s)
			if one < 0 || one > int64(len(s)) {
				t.Fatalf("%s found %d in %d bytes", p.name, one, len(s))
			}
			// What is found does not reach across a line: two copies hold twice as much.
			if two := p.count(s + "\n" + s); two != 2*one && p.name != "not-nfc" {
				t.Fatalf("%s: %d in %q, %d in two of it", p.name, one, s, two)
			}
		}
	})
}
