package audit

// Languages names the languages that documents are sorted into; "und" is for those
// that show too few function words, or as many of one language as of another.
var Languages = []string{"pt", "gl", "es", "en", "fr", "it", "und"}

// functionWords are frequent words of one of the languages and hardly of the others.
var functionWords = func() map[string]uint8 {
	m := map[string]uint8{}
	for i, words := range []string{
		"não uma são com em dos das ao à às pelo pela você ele ela seu sua isso também mais foi pode ser há num numa",
		"unha dunha nunha non polo pola coa máis tamén ata foi das súa seu ten pero onde ao xa",
		"el los las una y del con es su fue pero más muy también como por lo este desde hasta",
		"the of and to is was with for that by from are which be this have not his her",
		"le les des et est dans une du pour qui avec sur pas au par ce sont cette",
		"il di che della gli nel è sono alla anche dei delle per con un più dal nella",
	} {
		for w := range set(words) {
			m[w] |= 1 << i
		}
	}
	return m
}()

// ballot counts a document's function words by language.
type ballot [6]int

func (b *ballot) add(word []byte) {
	if mask := functionWords[string(word)]; mask != 0 {
		for i := range b {
			b[i] += int(mask >> i & 1)
		}
	}
}

// language is the one with the most function words, at least three.
func (b *ballot) language() string {
	best, second := 0, 0
	winner := len(Languages) - 1
	for i, n := range b {
		switch {
		case n > best:
			best, second, winner = n, best, i
		case n > second:
			second = n
		}
	}
	if best < 3 || best == second {
		winner = len(Languages) - 1
	}
	return Languages[winner]
}

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
