package unwrap

import (
	"os"
	"strings"
	"testing"
	"unicode"
)

// The novel, the verse, the play and the chronicle of two widths are excerpts of Machado de Assis as the sample
// corpus has them.
func TestProseJoinsVerseStands(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, name := range []string{"novel", "verse", "play", "preface-and-verse", "two-widths"} {
		got, _ := Text(read(name+".txt"), false)
		if want := read(name + ".want"); got != want {
			t.Errorf("%s:\n%s", name, firstDifference(got, want))
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "got  " + g[i] + "\nwant " + w[i]
		}
	}
	return "one is the beginning of the other"
}

func TestForce(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a b\nc d", "a b c d"},
		{"um\n\ndois", "um\n\ndois"},
		{"Disse ele.\n— Não.", "Disse ele.\n— Não."},
		{"Veio,\n— disse ela, —\ne foi.", "Veio, — disse ela, — e foi."},
		{"CAPÍTULO II\nUm dia", "CAPÍTULO II\nUm dia"},
		{"fim\n    Outro parágrafo", "fim\n    Outro parágrafo"},
		{"lista:\n* um\n* dois", "lista:\n* um\n* dois"},
		{"consti-\ntuição", "constituição"},
		{"dizer-\nlhe", "dizer-lhe"},
		{"Mato-\nGrosso", "Mato-Grosso"},
		{"a lua-de-\nmel", "a lua-de-mel"},
		{"de-\npois", "depois"},
		{"bem-\naventurança", "bem-aventurança"},
		{"dois padre-\nnossos; os padre-nossos", "dois padre-nossos; os padre-nossos"},
		{"dois contra-\nsensos; contrassensos, contra-senso, contrasensos", "dois contrasensos; contrassensos, contra-senso, contrasensos"},
		{"de 1808 -\ndata", "de 1808 - data"},
		{"Sim.\nTITO — Não.", "Sim.\nTITO — Não."},
		{"Quê?\nD. HELENA (baixo) — Nada.", "Quê?\nD. HELENA (baixo) — Nada."},
	} {
		if got, _ := Text(c.in, true); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

// What unwrapping may change is line breaks, white space and hyphens.
func FuzzText(f *testing.F) {
	f.Add("uma linha\noutra linha", true)
	f.Add("consti-\ntuição\n\n  - a", false)
	f.Fuzz(func(t *testing.T, s string, force bool) {
		got, c := Text(s, force)
		letters := func(s string) string {
			return strings.Map(func(r rune) rune {
				if unicode.IsSpace(r) || r == '-' {
					return -1
				}
				return r
			}, s)
		}
		if letters(got) != letters(s) {
			t.Fatalf("%q became %q", s, got)
		}
		if n := int64(strings.Count(s, "\n") - strings.Count(got, "\n")); n != c.Joined {
			t.Fatalf("%q: %d breaks went, %d counted", s, n, c.Joined)
		}
	})
}
