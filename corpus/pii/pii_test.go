package pii

import (
	"fmt"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		// Numbers whose check digits are right; 111.444.777-35 is the textbook's example.
		{"CPF 111.444.777-35.", "cpf:111.444.777-35"},
		{"CPF nº 11144477735", "cpf:11144477735"},
		{"111444777-35", "cpf:111444777-35"},
		{"número 11144477735", ""},
		{"111.444.777-36", ""},
		{"111.111.111-11", ""},
		{"x111.444.777-35", ""},
		{"CNPJ 11.222.333/0001-81,", "cnpj:11.222.333/0001-81"},
		{"CNPJ: 11222333000181", "cnpj:11222333000181"},
		{"11.222.333/0001-82", ""},
		{"CNPJ 12.ABC.345/01DE-35", "cnpj:12.ABC.345/01DE-35"},
		{"CEP 70160-900, Brasília", "cep:70160-900"},
		{"70.160-900", "cep:70.160-900"},
		{"CEP: 70160900", "cep:70160900"},
		{"entre 70160-900123", ""},
		{"ligue (61) 3303-4141", "phone:(61) 3303-4141"},
		{"+55 11 91234-5678", "phone:+55 11 91234-5678"},
		{"(011) 91234-5678", "phone:(011) 91234-5678"},
		{"(20) 3303-4141", ""},
		{"telefone 3303-4141", "phone:3303-4141"},
		{"no biênio 2019-2022", ""},
		{"no biênio 2019-20224", ""},
		{"0800 612 2211", "phone:0800 612 2211"},
		{"escreva a joao.silva@exemplo.com.br.", "email:joao.silva@exemplo.com.br"},
		{"a@b", ""},
		{"@usuario e fulano@x.y", ""},
		{"servidor 192.168.0.1", "ipv4:192.168.0.1"},
		{"versão 1.2.3.4", ""},
		{"192.168.0.256", ""},
		{"01.2.3.4", ""},
		{"R$ 1.234.567,89 em 12/10/2021, Lei nº 8.666, de 21.6.1993", ""},
		{"111.444.777-35 e a@b.org", "cpf:111.444.777-35 email:a@b.org"},
	} {
		var got []string
		for _, m := range Find(c.in) {
			got = append(got, fmt.Sprintf("%s:%s", m.Kind, c.in[m.Start:m.End]))
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%q: got %q, want %q", c.in, g, c.want)
		}
	}
}

func TestMask(t *testing.T) {
	s := "CPF 111.444.777-35, e-mail a@b.org"
	if got := Mask(s, Find(s)); got != "CPF [CPF], e-mail [EMAIL]" {
		t.Error(got)
	}
}

func FuzzFind(f *testing.F) {
	f.Add("CPF 111.444.777-35 (61) 3303-4141 a.b@c.com +55")
	f.Fuzz(func(t *testing.T, s string) {
		last := 0
		for _, m := range Find(s) {
			if m.Start < last || m.End <= m.Start || m.End > len(s) {
				t.Fatalf("%q: %v after %d", s, m, last)
			}
			last = m.End
		}
	})
}
