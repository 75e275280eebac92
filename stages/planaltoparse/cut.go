package planaltoparse

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// headings opens a division of a law; the deeper, the higher its level.
var headings = regexp.MustCompile(`^(?i:(ato das disposições constitucionais transitórias$|anexos?\b|parte)|(livro)|(t[íi]tulo)|(subt[íi]tulo)|(cap[íi]tulo)|(se[çc][ãa]o)|(subse[çc][ãa]o))` +
	`(?:\s+(?i:[ivxlcdm]+(?:-[a-z]{1,2})?|[úu]nic[oa]|geral|especial|complementar|primeir[oa]|segund[oa]|terceir[oa]|quart[oa]|quint[oa]|preliminar)(?:$|[\s.:–—-]))?`)

// level is that of the division that a line opens, from 1; 0 if it opens none.
func level(line string) int {
	if len(line) > 160 {
		return 0
	}
	m := headings.FindStringSubmatch(line)
	if m == nil {
		return 0
	}
	for i, group := range m[1:] {
		// A word such as Parte or Título is a heading only with its number; those of the
		// Constitution's transitory act and of annexes have none.
		low := strings.ToLower(group)
		if group != "" && (len(m[0]) > len(group) || strings.HasPrefix(low, "ato ") || strings.HasPrefix(low, "anexo") && len(line) < 40) {
			return i + 1
		}
	}
	return 0
}

const (
	deepest  = 7 // subseção
	articles = deepest + 1
	anywhere = articles + 1
)

// piece is consecutive lines of a law under the headings that it stands below.
type piece struct {
	lines []string
	above []string // headings of the divisions that its first line stands in
	first string   // heading that it begins with, or its first article; "" for a law's opening
}

func (p *piece) size() int {
	n := 0
	for _, l := range p.lines {
		n += len(l) + 1
	}
	return n
}

// title names a piece: TÍTULO II – Capítulo I.
func (p *piece) title() string {
	t := append([]string{}, p.above...)
	if p.first != "" {
		t = append(t, p.first)
	}
	if len(t) == 0 {
		return "abertura"
	}
	return strings.Join(t, ", ")
}

// slug makes the title fit for an id: titulo-ii-capitulo-i.
func (p *piece) slug() string {
	var b strings.Builder
	dash := false
	for _, r := range norm.NFD.String(strings.ToLower(p.title())) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			if dash && b.Len() > 0 {
				b.WriteByte('-')
			}
			dash = false
			b.WriteRune(r)
		default:
			dash = true
		}
	}
	return b.String()
}

// cut splits a law of more than most bytes at its highest divisions, those that are
// still longer at the next, and so on to articles and single lines; neighbours that fit
// together under one heading stay together. With most 0 the law stays whole.
func cut(lines []string, most int) []piece {
	whole := piece{lines: lines}
	if most == 0 || whole.size() <= most {
		return []piece{whole}
	}
	var out []piece
	for _, p := range split(whole, 1, most) {
		// A heading that only opens the division below it goes with that.
		if n := len(out); n > 0 && out[n-1].size() < scrap {
			p.lines = append(out[n-1].lines, p.lines...)
			out = out[:n-1]
		}
		out = append(out, p)
	}
	return out
}

// scrap is the size in bytes below which a piece is no document.
const scrap = 512

func split(p piece, at, most int) []piece {
	if p.size() <= most || at > anywhere {
		return []piece{p}
	}
	var parts []piece
	for i, l := range p.lines {
		opens := at == anywhere || at == articles && article.MatchString(l) || at <= deepest && level(l) == at
		if i == 0 || opens {
			part := piece{above: p.above, first: p.first}
			switch {
			case opens && at <= deepest && !(i == 0 && p.first != ""):
				if p.first != "" {
					part.above = append(append([]string{}, p.above...), p.first)
				}
				part.first = name(l)
			case opens && at == articles:
				if p.first != "" {
					part.above = append(append([]string{}, p.above...), p.first)
				}
				part.first = article.FindString(l)
			}
			parts = append(parts, part)
		}
		last := &parts[len(parts)-1]
		last.lines = append(last.lines, l)
	}
	if len(parts) == 1 {
		return split(p, at+1, most)
	}
	var out []piece
	open := false // the last of out may take more
	for _, x := range parts {
		n := x.size()
		switch {
		case open && out[len(out)-1].size()+n <= most:
			last := &out[len(out)-1]
			last.lines = append(last.lines, x.lines...)
		case n <= most:
			out = append(out, x)
			open = true
		default:
			out = append(out, split(x, at+1, most)...)
			open = false
		}
	}
	return out
}

var article = regexp.MustCompile(`^Art\. [\d.]*\d`)

// name is a heading without what follows its number.
func name(line string) string {
	m := strings.TrimRight(headings.FindString(line), " .:–—-")
	if m == "" {
		return line
	}
	return strings.ToUpper(m)
}
