package audit

import (
	"slices"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/langid"
)

func TestLineScore(t *testing.T) {
	for _, c := range []struct {
		line  string
		score int64
		why   []string
	}{
		{"A cidade de São Paulo é a capital do estado.", 0, nil},
		{"— “Ah!” — disse ela.", 0, nil},
		{"{{{}}} ab", 2000, []string{"symbols"}}, // 6 of 9
		{"a = b", 600, []string{"symbols"}},      // 1 of 5
		{"x: y", 750, []string{"symbols"}},
		{"日本", 9000, []string{"symbols"}}, // each counts as three
		{"O PRESIDENTE DA REPUBLICA FEDERATIVA DO BRASIL DECRETA", 500, []string{"capitals"}},
		{"O PRESIDENTE DA REPUBLICA", 0, nil}, // not above 50 bytes
		{"uma linha qualquer com um \ufffd no meio", 1000, []string{"encoding"}},
		{`o texto \x41 e o texto \u0041 escapados no meio`, 400, []string{"escapes"}},
		{"a angstschweiss no meio", 800, []string{"consonants"}},
		{"os abstratos e os transportes", 0, nil},
	} {
		score, why := lineScore(c.line)
		if score != c.score || !slices.Equal(names(LineReasons, uint16(why)), c.why) {
			t.Errorf("%q: %d %v, want %d %v", c.line, score, names(LineReasons, uint16(why)), c.score, c.why)
		}
	}
}

func TestDocumentScore(t *testing.T) {
	plain := "A cidade de São Paulo é a capital do estado e o centro da região em que vivem milhões. "
	distinct := strings.Repeat("Zyx wvu tsr qpo nml kji hgf edc baz yxw. ", 20)
	for _, c := range []struct {
		name, text string
		score      int
		issues     []string
	}{
		{"plain", strings.Repeat(plain, 3) + strings.Repeat("Lisboa fica longe de Belém do Pará. ", 10), 100, nil},
		{"short", plain, 0, []string{"short"}},
		{"mojibake", strings.Repeat(plain, 9) + "SÃ£o", 0, []string{"mojibake"}},
		{"repeated", strings.Repeat(plain, 40), 70, []string{"poor-vocabulary"}},
		{"no stop words", distinct, 60, []string{"few-stop-words"}},
		{"only stop words", strings.Repeat("o a de que e do da em um para. ", 30), 40, []string{"too-many-stop-words", "poor-vocabulary"}},
		{"fragments", strings.Repeat("O a. ", 10) + strings.Repeat("De lá para cá. ", 40), 50, []string{"poor-vocabulary", "fragments"}},
		{"no full stop", strings.ReplaceAll(strings.Repeat(plain, 12), ".", ""), 80, []string{"long-sentences"}},
		{"markup", strings.Repeat(plain, 3) + strings.Repeat("a=b|c ", 60), 70, []string{"markup"}},
		{"english", strings.Repeat("the house is on the hill and the river runs for miles with ease. ", 10), 0, []string{"few-stop-words", "english"}},
		{"spanish", strings.Repeat("el niño y la niña en los campos y las casas una vez. ", 12), 0, []string{"few-stop-words", "spanish"}},
	} {
		score, issues := documentScore(c.text, map[string]struct{}{})
		got := names(Issues, issues)
		if score != c.score || !slices.Equal(got, c.issues) {
			t.Errorf("%s: %d %v, want %d %v", c.name, score, got, c.score, c.issues)
		}
	}
}

func TestLanguagesAreThoseOfLangid(t *testing.T) {
	want := append(slices.Clone(langid.Default().Languages), langid.Unknown)
	got := slices.Clone(Languages)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestVariant(t *testing.T) {
	for text, want := range map[string]string{
		"O ônibus do time chegou com dezesseis usuários": "pt-BR", "O autocarro da equipa chegou com dezasseis utilizadores": "pt-PT",
		"um autocarro e um ônibus": "mixed", "a casa": "neutral",
	} {
		s := New(0, nil, 0)
		s.Add(&corpus.Document{Source: "x", Text: text}, 0)
		if s.Sources["x"].Variants[want].Documents != 1 {
			t.Errorf("%q is %v, want %s", text, s.Sources["x"].Variants, want)
		}
	}
	for w, br := range markers {
		if br != (MarkerVariant(w) == "pt-BR") {
			t.Errorf("%s speaks for %s", w, MarkerVariant(w))
		}
	}
}

func TestWords(t *testing.T) {
	var w words
	w.split("— Disse-lhe: “Guarda-Chuva d'Água” em 2024, não? ---a- 'b'")
	var got []string
	for i := range w.len() {
		got = append(got, string(w.word(i)))
	}
	want := []string{"disse-lhe", "guarda-chuva", "d'água", "em", "2024", "não", "a", "b"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if g := string(w.gram(1, 3)); g != "guarda-chuva d'água em" {
		t.Errorf("gram %q", g)
	}
	if w.runes[2] != 6 {
		t.Errorf("d'água has %d characters, want 6", w.runes[2])
	}
}
