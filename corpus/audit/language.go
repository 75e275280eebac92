package audit

import "github.com/ptbr-slm/pipeline/corpus/langid"

// Languages names the languages that documents are sorted into, by that which most of a
// document is in: those of package langid and its "und".
var Languages = []string{"pt", "gl", "es", "en", "fr", "it", langid.Unknown}

// Variants names the written standards of Portuguese that documents are sorted into:
// that of most of their markers, "mixed" for as many of both, "neutral" for none.
var Variants = []string{"pt-BR", "pt-PT", "mixed", "neutral"}

// markers are words that one standard writes or chooses and the other does not: the
// pairs that the agreement of 1990 left (econômico, económico), words of daily life
// (ônibus, autocarro), and what only pt-PT wrote until that agreement (acção, facto).
// Text from before 1943 writes the last of these in Brazil as well: read the figures of
// old books with that in mind.
var markers = func() map[string]bool { // true: pt-BR
	m := map[string]bool{}
	for w := range set(`ônibus trem trens usuário usuários registro registros equipe equipes banheiro banheiros
econômico econômica econômicos econômicas acadêmico acadêmica acadêmicos antônio gênero gêneros prêmio prêmios bebê bebês
quilômetro quilômetros planejamento esporte esportes esportivo esportiva gerenciamento aluguel mídia mídias contato contatos
seção seções dezesseis dezessete dezenove fato fatos eletrônico eletrônica eletrônicos caminhão caminhões xícara polonês
polônia tcheco moscou amsterdã câncer fenômeno fenômenos polêmica tênis patrimônio anistia umidade úmido úmida bilhão bilhões`) {
		m[w] = true
	}
	for w := range set(`autocarro autocarros comboio comboios utilizador utilizadores registo registos equipa equipas telemóvel
telemóveis económico económica económicos económicas académico académica académicos antónio género géneros prémio prémios bebé
bebés quilómetro quilómetros planeamento desporto desportos desportivo desportiva aluguer contacto contactos secção secções
dezasseis dezassete dezanove facto factos electrónico electrónica electrónicos acção acções óptimo óptima direcção director
directora projecto projectos actual actualmente eléctrico objectivo objectivos camião camiões chávena polaco polónia checo
moscovo amesterdão fenómeno fenómenos polémica ténis património amnistia humidade húmido húmida pequeno-almoço`) {
		m[w] = false
	}
	return m
}()

// MarkerVariant gives the variant that a marker word speaks for.
func MarkerVariant(word string) string {
	if markers[word] {
		return "pt-BR"
	}
	return "pt-PT"
}

func variant(br, pt int64) string {
	switch {
	case br > pt:
		return "pt-BR"
	case pt > br:
		return "pt-PT"
	case br > 0:
		return "mixed"
	}
	return "neutral"
}
