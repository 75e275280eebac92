package clean

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus/wikitext"
)

// template says what a call becomes.
type template func(p *page, c *wikitext.Call) string

// templates is what is known of templates: by name, and by the beginning of a name.
// A nil template is one to drop.
type templates struct {
	exact  map[string]template
	prefix map[string]template // longest first wins
}

// newTemplates puts what the config says over the built-in tables.
func newTemplates(config map[string]string) (templates, error) {
	t := templates{map[string]template{}, map[string]template{}}
	for name, f := range rendered {
		t.exact[name] = f
	}
	for name, text := range patterns {
		f, err := pattern(text)
		if err != nil {
			return t, fmt.Errorf("built-in template %q: %w", name, err)
		}
		t.exact[name] = f
	}
	for _, name := range dropped {
		t.put(name, nil)
	}
	var errs []error
	for _, name := range sortedKeys(config) {
		key := templateKey(name)
		if key == "" || key == "*" {
			errs = append(errs, fmt.Errorf("templates: %q is no name of a template", name))
			continue
		}
		var f template
		if config[name] != "" {
			var err error
			if f, err = pattern(config[name]); err != nil {
				errs = append(errs, fmt.Errorf("templates: %s: %w", name, err))
				continue
			}
		}
		t.put(key, f)
	}
	return t, errors.Join(errs...)
}

func (t *templates) put(name string, f template) {
	if p, ok := strings.CutSuffix(name, "*"); ok {
		t.prefix[p] = f
		return
	}
	t.exact[name] = f
}

// find looks a template up; the longest prefix counts.
func (t *templates) find(key string) (f template, ok bool) {
	if f, ok = t.exact[key]; ok {
		return f, true
	}
	for n := min(len(key), 40); n > 0; n-- {
		if f, ok = t.prefix[key[:n]]; ok {
			return f, true
		}
	}
	return nil, false
}

// templateKey is the form in which names are compared. (MediaWiki ignores the case of
// the first letter alone; no two templates differ in the case of others only.)
func templateKey(name string) string {
	return strings.Join(strings.Fields(strings.ToLower(strings.ReplaceAll(name, "_", " "))), " ")
}

// expandTemplates also counts, beside its own rule, how many calls were rendered,
// dropped, unknown, or of parser functions; the unknown by name.
func (p *page) expandTemplates() wikitext.Count {
	var counts [4]wikitext.Count
	const rendered, dropped, unknown, function = 0, 1, 2, 3
	n := p.Templates(func(c *wikitext.Call) wikitext.Expansion {
		if e, ok := p.Function(c); ok {
			counts[function].Matches++
			return e
		}
		key := templateKey(c.Name)
		f, ok := p.c.templates.find(key)
		switch {
		case f != nil:
			counts[rendered].Matches++
			return wikitext.Expansion{Text: f(p, c)}
		case ok:
			counts[dropped].Matches++
		default:
			counts[unknown].Matches++
			p.report.Number("unknown template "+short(key), p.doc.Source, 1)
		}
		return wikitext.Expansion{Cut: true, Why: short(key)}
	})
	for i, name := range []string{"templates-rendered", "templates-dropped", "templates-unknown", "parser-functions"} {
		if counts[i].Matches > 0 {
			p.report.Touch(name, p.doc.Source, counts[i].Matches, 0)
		}
	}
	return n
}

// short keeps what is no name of a template from filling the report.
func short(key string) string {
	if len(key) > 60 || strings.ContainsAny(key, "\n[]{}<>\x01\x02\x03") {
		return "(not a name)"
	}
	return key
}

// piece is a stretch of a pattern: text, or an argument with its default.
type piece struct {
	text, name string
	dflt       []piece
}

// pattern reads text with {{{1}}}, {{{name}}} and {{{name|default}}} for arguments; a
// default can hold arguments again.
func pattern(s string) (template, error) {
	pieces, rest, err := parsePattern(s, false, 0)
	if err != nil {
		return nil, err
	}
	if rest != "" {
		return nil, fmt.Errorf("%q has a }}} without {{{", s)
	}
	return func(_ *page, c *wikitext.Call) string {
		var b strings.Builder
		fill(&b, pieces, c)
		return b.String()
	}, nil
}

func fill(b *strings.Builder, pieces []piece, c *wikitext.Call) {
	for _, p := range pieces {
		b.WriteString(p.text)
		if p.name == "" {
			continue
		}
		if v, ok := c.Get(p.name); ok && v != "" {
			b.WriteString(v)
		} else {
			fill(b, p.dflt, c)
		}
	}
}

func parsePattern(s string, inside bool, depth int) (pieces []piece, rest string, err error) {
	if depth > 10 {
		return nil, "", errors.New("arguments nested deeper than 10")
	}
	for s != "" {
		i := strings.Index(s, "{{{")
		end := -1
		if inside {
			end = strings.Index(s, "}}}")
		}
		if end >= 0 && (i < 0 || end < i) {
			return append(pieces, piece{text: s[:end]}), s[end:], nil
		}
		if i < 0 {
			return append(pieces, piece{text: s}), "", nil
		}
		p := piece{text: s[:i]}
		s = s[i+3:]
		n := strings.IndexAny(s, "|}")
		if n < 0 {
			return nil, "", fmt.Errorf("{{{%s does not end", s)
		}
		p.name = strings.TrimSpace(s[:n])
		if p.name == "" {
			return nil, "", errors.New("{{{}}} names no argument")
		}
		s = s[n:]
		if s[0] == '|' {
			if p.dflt, s, err = parsePattern(s[1:], true, depth+1); err != nil {
				return nil, "", err
			}
		}
		if !strings.HasPrefix(s, "}}}") {
			return nil, "", fmt.Errorf("{{{%s has no }}}", p.name)
		}
		s = s[3:]
		pieces = append(pieces, p)
	}
	return pieces, "", nil
}

// patterns are the templates whose text is some of their arguments.
var patterns = map[string]string{
	"lang": "{{{2|{{{texto|{{{1}}}}}}}}}", "língua": "{{{2}}}", "transl": "{{{3|{{{2}}}}}}", "transliteração": "{{{2}}}", "script": "{{{2|{{{1}}}}}}",
	"abbr": "{{{1}}}", "abrev": "{{{1}}}", "abreviatura": "{{{1}}}", "tooltip": "{{{1}}}", "dica": "{{{1}}}", "title": "{{{1}}}",
	"w": "{{{2|{{{1}}}}}}", "wikt": "{{{2|{{{1}}}}}}", "ill": "{{{lt|{{{1}}}}}}", "ilc": "{{{1}}}", "ligação interlíngua": "{{{1}}}", "link-interwiki": "{{{pt|{{{1}}}}}}", "red link": "{{{1}}}",
	"pbpe": "{{{1}}}", "ptbr": "{{{1}}}", "pepb": "{{{2}}}", "pbptpe": "{{{1}}}", "pept": "{{{2|{{{1}}}}}}",
	"nowrap": "{{{1}}}", "nobr": "{{{1}}}", "nbsp": " ", "spaces": " ", "espaço": " ", "sp": " ", "0": "",
	"small": "{{{1}}}", "smaller": "{{{1}}}", "pequeno": "{{{1}}}", "big": "{{{1}}}", "larger": "{{{1}}}", "sc": "{{{1}}}", "smallcaps": "{{{1}}}", "small caps": "{{{1}}}", "versalete": "{{{1}}}",
	"bold": "{{{1}}}", "negrito": "{{{1}}}", "italic": "{{{1}}}", "itálico": "{{{1}}}", "i": "{{{1}}}", "em": "{{{1}}}", "strong": "{{{1}}}", "u": "{{{1}}}", "mono": "{{{1}}}", "code": "{{{1}}}", "tt": "{{{1}}}", "kbd": "{{{1}}}", "s": "{{{1}}}", "riscado": "{{{1}}}",
	"cor": "{{{2}}}", "color": "{{{2}}}", "font color": "{{{2|{{{text}}}}}}", "fundo": "{{{2}}}", "background color": "{{{2}}}", "destaque": "{{{1}}}",
	"center": "\n{{{1}}}\n", "centro": "\n{{{1}}}\n", "centralizar": "\n{{{1}}}\n", "c": "{{{1}}}", "block indent": "\n{{{1}}}\n", "bloco": "\n{{{1}}}\n", "pre": "{{{1}}}",
	"poem": "\n{{{1}}}\n", "poema": "\n{{{1|{{{texto}}}}}}\n", "verse": "\n{{{1}}}\n", "verso": "\n{{{1}}}\n", "versos": "\n{{{1}}}\n", "ppoem": "\n{{{1}}}\n",
	"ndash": "–", "mdash": "—", "–": "–", "—": "—", "spaced ndash": " – ", "snd": " – ", "·": " · ", "•": " • ", "bullet": " • ", "dot": " · ", "'": "'", "''": "\"", "aspas": "“{{{1}}}”", "asterisco": "*", "*": "*", "#": "#", "pipe": "|", "~": "~",
	"sic": "{{{1|[sic]}}}", "link": "{{{3|}}}", "url": "{{{2|}}}", "sítio oficial": "", "flag": "{{{1}}}", "flagcountry": "{{{1}}}", "bandeira": "{{{1}}}", "flagu": "{{{1}}}", "país": "{{{1}}}", "bandeira2": "{{{2|{{{1}}}}}}",
	"frac": "{{{1}}}/{{{2}}}", "fração": "{{{1}}}/{{{2}}}", "sfrac": "{{{1}}}/{{{2}}}", "r$": "R$ {{{1}}}", "brl": "R$ {{{1}}}", "us$": "US$ {{{1}}}", "usd": "US$ {{{1}}}", "eur": "€ {{{1}}}", "km2": "{{{1}}} km²", "m2": "{{{1}}} m²",
	"dtlink": "{{{1}}} de {{{2}}} de {{{3}}}", "circa": "c. {{{1}}}", "c.": "c. {{{1}}}", "floruit": "fl. {{{1}}}", "reinado": "r. {{{1}}}–{{{2}}}", "nota de rodapé": "",
	"isbn": "ISBN {{{1}}}", "tradução": "{{{1}}}", "trad": "{{{1}}}", "lit": "lit. “{{{1}}}”", "tlit": "{{{1}}}", "zh": "{{{1|{{{c|{{{t|{{{s}}}}}}}}}}}}", "plainlist": "\n{{{1}}}\n", "lista simples": "\n{{{1}}}\n", "lista": "\n{{{1}}}\n",
	"âncora": "{{{2|}}}", "visible anchor": "{{{1}}}", "col-begin": "", "exemplo": "\n{{{1}}}\n", "text": "{{{1}}}", "not a typo": "{{{1}}}", "as written": "{{{1}}}", "rtl-lang": "{{{2}}}", "unicode": "{{{1}}}", "ipa": "[{{{1}}}]",
}

// dropped are the templates whose text is none of the article's: boxes, sources,
// navigation, notices, icons, pictures, coordinates. A * stands for any ending.
var dropped = []string{"info/*", "info *", "infobox*", "taxobox*", "caixa *", "citar*", "cite*", "citation*", "cita *", "ref*", "harv*", "sfn*", "efn*", "refn*", "rp", "nota", "notas", "nota *", "notelist*", "r", "isbnt",
	"navbox*", "nav*", "tópicos*", "portal*", "bloco de navegação", "bloco *", "sucessão*", "caixa de sucessão*", "s-*", "esboço*", "stub*", "mínimo*", "em construção*",
	"coor*", "coord*", "geobox*", "mapa *", "location map*", "mapa de localização*", "panorama*", "imagem*", "image*", "multiple image*", "gallery*", "galeria*", "vertical images list", "double image",
	"ver desambiguação*", "ver também*", "ver artigo*", "artigo principal*", "artigos principais*", "ap", "main*", "veja*", "see also*", "desambiguação*", "desambig*", "não confundir*", "outros usos*", "outrosusos*", "sobre", "about*", "hatnote*", "redirect*", "redirecionamento*", "distinguir*", "expandir*", "aviso*",
	"controle de autoridade*", "controlo de autoria*", "authority control*", "commons*", "wikiquote*", "wikisource*", "wikivoyage*", "wikcionário*", "wikilivros*", "wikispecies*", "wikinotícias*", "correlatos*", "sister*", "projetos irmãos*", "dmoz", "imdb*", "official*", "oficial*", "link fa", "link ga", "good article", "artigo bom*", "artigo destacado*", "ab", "ad", "proteção*", "semi*", "pp-*",
	"carece de fontes*", "sem-fontes*", "sem fontes*", "mais fontes*", "mais notas*", "fontes*", "citation needed*", "cn", "fact", "quando*", "quem*", "onde*", "por quem*", "de quem*", "dubious*", "duvidoso*", "failed verification*", "falhou verificação*", "wayback*", "ligação inativa*", "dead link*", "arquivo*", "parcial*", "reciclagem*", "wikificação*", "wikificar*", "revisão*", "tradução automática*", "global*", "formatar*", "manutenção*", "multiple issues*", "artigo sem*", "biografia sem*", "revisar*", "spoiler*",
	"flagicon*", "flag icon*", "bandeiraicone*", "icone*", "ícone*", "icon*", "de icon", "en icon", "es icon", "fr icon", "it icon", "en", "es", "fr", "it", "de", "pt", "ja", "ru", "la", "nl", "ca", "gl", "pl", "zh-icon", "link en", "inglês", "espanhol", "afi*", "ipac-*", "ipa-*", "áudio*", "audio*", "ouça*", "listen*", "ouvir*", "pronúncia*",
	"clear*", "clr", "-", "limpar", "quebra*", "br", "break", "col-*", "colunas*", "fim colunas*", "multicol*", "div col*", "div end", "início*", "fim*", "toc*", "tdc*", "sumário*", "índice*", "anchor*", "hr", "top bar", "colorbox*", "legenda*", "legend*", "gráfico*", "graph*", "bar box*", "chart*", "barra*", "familytree*", "árvore*", "cladograma*", "clade*", "tabela*", "table*", "elenco*", "lista de episódios*", "episode list*", "football*", "futebol*", "fb*", "dablink", "rodapé*", "bots", "nobots", "dr", "categoria*", "cat*", "defaultsort*"}
