package langid

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func texts(t testing.TB) map[string]string {
	m := map[string]string{}
	files, err := filepath.Glob("text/*.txt")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d texts (%v)", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m[strings.TrimSuffix(filepath.Base(f), ".txt")] = string(b)
	}
	return m
}

func TestModelIsCurrent(t *testing.T) {
	want, err := Train(texts(t)).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Default().AppendBinary(nil)
	if err != nil || string(got) != string(want) {
		t.Errorf("model.bin.zst is not what the texts give (%v): run go generate", err)
	}
}

// Every passage is judged by a model that never saw it, nor its translations.
func TestHeldOut(t *testing.T) {
	all := texts(t)
	right, wrong := 0, 0
	for fold := range 3 {
		train, held := map[string]string{}, map[string][]string{}
		for l, s := range all {
			for i, p := range strings.Split(strings.TrimSpace(s), "\n") {
				if i%3 == fold {
					held[l] = append(held[l], p)
				} else {
					train[l] += p + "\n"
				}
			}
		}
		m := Train(train)
		for l, ps := range held {
			for _, p := range ps {
				if got := m.Detect(p); got != l {
					wrong++
					t.Logf("%s as %s: %s", l, got, p)
				} else {
					right++
				}
			}
		}
	}
	if wrong > 1 {
		t.Errorf("%d of %d passages are taken for another language", wrong, right+wrong)
	}
}

func TestDetect(t *testing.T) {
	for _, c := range []struct{ want, s string }{
		{"pt", "A Constituição da República Federativa do Brasil foi promulgada em 5 de outubro de 1988."},
		{"pt", "Uma noite destas, vindo da cidade para o Engenho Novo, encontrei no trem da Central um rapaz aqui do bairro."},
		{"pt", "o gato subiu no telhado e ninguem conseguiu tirar ele de la ate o dia seguinte, nao e mesmo?"},
		{"pt", "Os Lusíadas é uma obra de poesia épica do escritor português Luís Vaz de Camões."},
		{"gl", "A lingua galega fálase na comunidade autónoma de Galicia e nalgunhas zonas limítrofes de Asturias."},
		{"gl", "O parlamento aprobou unha lei que protexe os montes e as ribeiras do país."},
		{"es", "En un lugar de la Mancha, de cuyo nombre no quiero acordarme, no ha mucho tiempo que vivía un hidalgo."},
		{"en", "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife."},
		{"fr", "Longtemps, je me suis couché de bonne heure. Parfois, à peine ma bougie éteinte, mes yeux se fermaient si vite."},
		{"it", "Nel mezzo del cammin di nostra vita mi ritrovai per una selva oscura, ché la diritta via era smarrita."},
		{Unknown, "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem a svědomím."},
		{Unknown, "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему."},
		{Unknown, "我能吞下玻璃而不傷身體。我能吞下玻璃而不傷身體。"},
		{Unknown, "xkcd qwrt zzyx 0x7f kjhg mnbv plokm wsxqaz edcrfv tgbyhn ujmik"},
		{Unknown, "12 34 56 | 78,90"},
		{Unknown, ""},
	} {
		if got := Default().Detect(c.s); got != c.want {
			t.Errorf("%s for %s (%v): %s", got, c.want, Default().Shares(c.s), c.s)
		}
	}
}

func TestShares(t *testing.T) {
	all := texts(t)
	s := strings.Repeat(all["pt"], 3) + all["es"]
	sum := 0.0
	for _, x := range Default().Shares(s) {
		sum += x.Share
		if x.Language == "pt" && (x.Share < 0.7 || x.Share > 0.8) {
			t.Errorf("three parts Portuguese and one Spanish are %.2f Portuguese", x.Share)
		}
	}
	if sum < 0.999 || sum > 1.001 {
		t.Errorf("shares add up to %v", sum)
	}
}

func FuzzShares(f *testing.F) {
	f.Add("Os homens \xff'ção")
	f.Add(strings.Repeat("é", 50_000))
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		for _, w := range cut(s) {
			n += len(w)
		}
		if n > len(s) || n < len(s) && len(s) <= window*windows {
			t.Fatalf("%d of %d bytes in windows", n, len(s))
		}
		Default().Shares(s)
	})
}

func FuzzUnmarshal(f *testing.F) {
	b, _ := Train(map[string]string{"a": "abc", "b": "bcd"}).AppendBinary(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Model
		if m.UnmarshalBinary(b) == nil {
			m.Shares("abc abc abc abc")
		}
	})
}

func BenchmarkShares(b *testing.B) {
	s := strings.Repeat(texts(b)["pt"], 100)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		Default().Shares(s)
	}
}
