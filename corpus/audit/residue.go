package audit

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// pattern is a kind of trace that markup leaves in text when cleaning misses it.
type pattern struct {
	name  string
	shows string // what it looks like, for the reader
	count func(string) int64
}

// residues are counted in every document and given per million characters. New ones
// go at the end: their order is that of the report.
var residues = []pattern{
	{"braces", "{{ }}", literal("{{", "}}")},
	{"brackets", "[[ ]]", literal("[[", "]]")},
	{"tables", "{| |}", literal("{|", "|}")},
	{"bold", "'''", literal("'''")},
	{"tag", "<tag", countTags},
	{"nbsp-entity", "&nbsp;", literal("&nbsp;", "&#160;")},
	{"entity", "&amp; &#8212; …", countEntities},
	{"file-link", "Ficheiro: Imagem: Arquivo:", literal("Ficheiro:", "Imagem:", "Arquivo:")},
	{"thumb", "thumb|", literal("thumb|", "|thumb")},
	{"miniaturadaimagem", "miniaturadaimagem", literal("miniaturadaimagem")},
	{"magic-word", "__X__", countMagicWords},
	{"empty-parentheses", "()", countEmptyParentheses},
}

// Residues lists the names of the residue patterns, in the report's order, and what
// each looks like.
func Residues() (names []string, shows map[string]string) { return list(residues) }

func list(p []pattern) (names []string, shows map[string]string) {
	shows = map[string]string{}
	for _, x := range p {
		names = append(names, x.name)
		shows[x.name] = x.shows
	}
	return names, shows
}

func literal(any ...string) func(string) int64 {
	return func(s string) (n int64) {
		for _, x := range any {
			n += int64(strings.Count(s, x))
		}
		return n
	}
}

// countTags counts "<" followed by a letter or "/" and a letter: "a < b" is not one.
func countTags(s string) (n int64) {
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			return n
		}
		s = s[i+1:]
		t := strings.TrimPrefix(s, "/")
		if t != "" && (t[0]|0x20 >= 'a' && t[0]|0x20 <= 'z') || strings.HasPrefix(t, "!--") {
			n++
		}
	}
}

// countEntities counts &name; and &#123; and &#x1f;: an ampersand of a company's name
// has no semicolon near.
func countEntities(s string) (n int64) {
	for {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			return n
		}
		s = s[i+1:]
		j := 0
		for j < len(s) && j < 32 && (s[j] == '#' && j == 0 || s[j] >= '0' && s[j] <= '9' || s[j]|0x20 >= 'a' && s[j]|0x20 <= 'z') {
			j++
		}
		if j > 1 && j < len(s) && s[j] == ';' {
			n++
		}
	}
}

// countMagicWords counts __NAME__ of upper-case letters, at least two of them.
func countMagicWords(s string) (n int64) {
	for {
		i := strings.Index(s, "__")
		if i < 0 {
			return n
		}
		s = s[i+2:]
		j, letters := 0, 0
		for j < len(s) {
			r, k := utf8.DecodeRuneInString(s[j:])
			if !unicode.IsUpper(r) {
				break
			}
			j += k
			letters++
		}
		if letters >= 2 && strings.HasPrefix(s[j:], "__") {
			n++
			s = s[j+2:]
		}
	}
}

// countEmptyParentheses counts parentheses that hold nothing but spaces and
// punctuation: what the removal of a template leaves behind.
func countEmptyParentheses(s string) (n int64) {
	for {
		i := strings.IndexByte(s, '(')
		if i < 0 {
			return n
		}
		s = s[i+1:]
		if j := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(" \u00a0,;:", r) }); j >= 0 && s[j] == ')' {
			n++
		}
	}
}
