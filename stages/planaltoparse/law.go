package planaltoparse

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/htmltext"
)

// law cleans the lines of one page.
type law struct {
	c      Config
	report *corpus.Report
	seed   uint64
	id     string
}

// furniture is what Planalto's pages have around every law, in lower case.
var furniture = set(`presidência da república|casa civil|secretaria-geral|secretaria geral|subchefia para assuntos jurídicos|
secretaria especial para assuntos jurídicos|centro de estudos jurídicos da presidência|texto compilado|texto original|texto para impressão|
texto atualizado|vigência|vigência encerrada|mensagem de veto|regulamento|regulamentação|regulamento vigência|produção de efeito|produção de efeitos|
promulgação partes vetadas|partes mantidas pelo congresso nacional|download para anexo|exposição de motivos|índice temático|índice|conversão da medida provisória|
emendas constitucionais|emendas constitucionais de revisão|atos decorrentes do disposto no § 3º do art. 5º|vide alterações|(vide)|()|*|.|,`)

func set(names string) map[string]bool {
	m := map[string]bool{}
	for n := range strings.SplitSeq(strings.ReplaceAll(names, "\n", ""), "|") {
		m[n] = true
	}
	return m
}

var (
	footer = regexp.MustCompile(`^(?i:este texto não substitui (o|a) (original )?publicad)`)
	// pageName is what pages call themselves: L8078, DEL5452, LEI Nº 11.101.
	pageName = regexp.MustCompile(`^(?i:[a-z]{1,4}\d+\w*|constituição|lei nº [\d.]+)$`)
	opening  = regexp.MustCompile(`^(?i:(?:o|a) (?:vice-)?president[ea] |preâmbulo|art\. |faço saber)`)
	vide     = regexp.MustCompile(`^(?i:\(?vide |ato das disposições constitucionais transitórias$)`)
)

// noteWords begin a remark on the history of a line; those of the second group may be
// all that is left of it.
const (
	noteWords = `reda[çc][ãa]o|inclu[íi]d|acrescid|acrescentad|renumerad|vide|vig[êe]ncia|regulamento|produ[çc][ãa]o de efeito|promulgad|express[ãa]o|` +
		`promulga[çc]|suprimid|alterad|transformad|restabelecid|restaurad|primitivo|antigo|artigo renumerado|par[áa]grafo (?:[úu]nico )?renumerado|par[áa]grafo (?:[úu]nico )?transformado|mantid|convertid|rejeitad|execu[çc][ãa]o suspensa|retificad`
	fateWords = `revogad|vetad|declarad`
)

var (
	note = regexp.MustCompile(`\s*\((?i:` + noteWords + `)[^()]*(?:\([^()]*\)[^()]*)*(?:\)+|$)(?:\s+(?:Vigência|Regulamento|Produção de efeitos?)\b\.?)*`)
	fate = regexp.MustCompile(`\s*\((?i:` + fateWords + `)[^()]*(?:\([^()]*\)[^()]*)*\)`)
	// trailing is a remark at the end of a line that lost its parentheses.
	trailing = regexp.MustCompile(`([.;:,”"]| ou| e)\s+(?:(?:Incluíd[oa]|Redação dada|Acrescid[oa]) pel[oa] (?:Lei|Decreto|Medida|Emenda)[^();:]{4,60}?)?(?:\s*(?:Vigência(?: encerrada)?|Produção de efeitos?))*$`)
	// label is a line that says where it stands and nothing else.
	label = regexp.MustCompile(`^(?:Art\. [\d.]+º?(?:-[A-Z]+)?\.?|§ \d+º?(?:-[A-Z]+)?\.?|Parágrafo único\.?|[IVXLCDM]+(?:-[A-Z]+)? ?-?|[a-z](?:-[A-Z])?\)|[\PLºª]*)[\s.;,]*(?:e|ou)?$`)
	// history is what links beside a struck line say of it.
	history   = regexp.MustCompile(`(?:^|\s+)\(?(?:Vigência(?: encerrada)?|Regulamento|Produção de efeitos?)\)?\.?$`)
	suspended = regexp.MustCompile(`^\W*com vigência suspensa`)
)

func (l *law) touch(rule string, bytes int64) { l.report.Touch(rule, l.c.Source, 1, bytes) }

// clean returns the lines of the law.
func (l *law) clean(in []htmltext.Line) []string {
	revoked, kept := l.revoked(in)
	if revoked > 0 {
		l.report.Number("revoked bytes", l.c.Source, float64(revoked))
	}
	var out []string
	head := true // before the law speaks
	for i, line := range kept {
		line = canonical(line, l.touch)
		if opening.MatchString(line) || level(line) > 0 && !vide.MatchString(line) {
			head = false
		}
		low := strings.ToLower(line)
		switch {
		case furniture[low], footer.MatchString(line), head && vide.MatchString(line),
			i == 0 && len(kept) > 1 && pageName.MatchString(line) && furniture[strings.ToLower(kept[1])]:
			l.touch("furniture", int64(len(line)))
			continue
		}
		if l.c.Notes == "drop" {
			if line = l.notes(line); line == "" {
				continue
			}
		}
		if one := single(line); one != line {
			l.touch("double-separator", int64(len(line)-len(one)))
			line = one
		}
		// A provision that is given twice, for two versions of the law, in the same words.
		if len(out) > 0 && len(line) >= minRepeated && line == out[len(out)-1] {
			l.touch("repeated-line", int64(len(line)))
			continue
		}
		out = append(out, line)
	}
	return out
}

// revoked takes struck text out, and lines of which then nothing but a remark or a
// label is left.
func (l *law) revoked(in []htmltext.Line) (bytes int64, out []string) {
	for _, x := range in {
		if x.Text == x.All {
			out = append(out, x.All)
			continue
		}
		struck := int64(len(x.All) - len(x.Text))
		l.touch("revoked", struck)
		l.report.Sample(l.seed, "revoked", &corpus.Document{ID: fmt.Sprintf("%s#%d", l.id, len(out)), Source: l.c.Source}, x.All)
		if l.c.Revoked == "keep" {
			out = append(out, x.All)
			continue
		}
		bytes += struck
		rest := strings.TrimSpace(fate.ReplaceAllString(note.ReplaceAllString(x.Text, ""), ""))
		rest = history.ReplaceAllString(canonical(rest, func(string, int64) {}), "")
		if startOf(x.All, rest) || label.MatchString(rest) || suspended.MatchString(rest) || furniture[strings.ToLower(rest)] {
			continue
		}
		out = append(out, x.Text)
	}
	return bytes, out
}

// minRepeated is the length in bytes from which a line that repeats the one before is a
// mistake: rows of dots and headings may follow each other.
const minRepeated = 20

// startOf says whether rest is no more than the first letters of a word or label that
// the line begins with: a page struck out "rt. 28." and left the A, or ") os" and the c.
func startOf(line, rest string) bool {
	word := strings.TrimRight(rest, " .")
	if n := utf8.RuneCountInString(word); n == 0 || n > 3 || !strings.HasPrefix(line, word) {
		return false
	}
	line = line[len(word):]
	next, _ := utf8.DecodeRuneInString(line)
	line = strings.TrimLeft(line, " ")
	return unicode.IsLetter(next) || strings.HasPrefix(word+line, "Art.") || strings.HasPrefix(line, ")")
}

// notes takes remarks on amendments out of a line. "" says that it held nothing else;
// that an article is revoked or vetoed is said where there is no more to say of it.
func (l *law) notes(line string) string {
	bare := trailing.ReplaceAllString(note.ReplaceAllString(line, ""), "$1")
	if !label.MatchString(strings.TrimSpace(fate.ReplaceAllString(bare, ""))) {
		bare = fate.ReplaceAllStringFunc(bare, func(s string) string {
			if strings.Contains(strings.ToLower(s), "vetad") {
				return s
			}
			return ""
		})
	}
	bare = strings.TrimSpace(bare)
	if bare == line {
		return line
	}
	l.touch("amendment-note", int64(len(line)-len(bare)))
	l.report.Sample(l.seed, "amendment-note", &corpus.Document{ID: l.id + "#" + line, Source: l.c.Source}, line)
	if bare == "." || bare == ";" || bare == "," {
		return ""
	}
	return bare
}

var act = regexp.MustCompile(`^(?i:(?:lei|decreto|emenda|medida provisória|constituição|ato)\b.{4,120})$`)

// heading is the first line that names an act: LEI Nº 8.078, DE 11 DE SETEMBRO DE 1990.
func (l *law) heading(lines []string) string {
	for _, s := range lines[:min(len(lines), 12)] {
		if act.MatchString(s) {
			return strings.TrimSuffix(s, ".")
		}
	}
	return ""
}

var (
	dated  = regexp.MustCompile(`(?i)\bde (\d{1,2})[ºo°]? de (janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro) de (\d{4})`)
	signed = regexp.MustCompile(`(?i)^(?:brasília|rio de janeiro),? (?:em )?(\d{1,2})[ºo°]? de (janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro) de (\d{4})`)
	months = strings.Fields("janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro")
)

// dateOf is the day of the act, from its heading or the place where it was signed.
func dateOf(lines []string) string {
	day := func(m []string) string {
		for i, name := range months {
			if m != nil && strings.EqualFold(m[2], name) {
				return fmt.Sprintf("%s-%02d-%02s", m[3], i+1, m[1])
			}
		}
		return ""
	}
	for _, s := range lines[:min(len(lines), 12)] {
		if act.MatchString(s) {
			if d := day(dated.FindStringSubmatch(s)); d != "" {
				return d
			}
		}
	}
	for _, s := range lines {
		if d := day(signed.FindStringSubmatch(s)); d != "" {
			return d
		}
	}
	return ""
}
