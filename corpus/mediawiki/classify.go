package mediawiki

import (
	"strings"
)

// IsRedirect says whether a wikitext is a redirect: the keyword, in English or
// Portuguese and in any case, and a link.
func IsRedirect(text string) bool {
	text = strings.TrimLeft(text, " \t\r\n\uFEFF")
	if len(text) == 0 || text[0] != '#' {
		return false
	}
	text = text[1:]
	for _, word := range []string{"REDIRECIONAMENTO", "REDIRECT"} {
		if len(text) > len(word) && strings.EqualFold(text[:len(word)], word) {
			text = strings.TrimLeft(text[len(word):], " \t\r\n")
			text = strings.TrimLeft(strings.TrimPrefix(text, ":"), " \t\r\n")
			return strings.HasPrefix(text, "[[")
		}
	}
	return false
}

// HasTemplate says whether a wikitext calls one of the templates, named in lower case,
// to mark the page. A call whose arguments hold a link does not: {{Desambiguação|Este
// artigo fala do mundo. Para o reino, ver [[Reino]].}} is a notice above an article.
func HasTemplate(text string, names map[string]bool) bool {
	for {
		_, rest, ok := strings.Cut(text, "{{")
		if !ok {
			return false
		}
		text = rest
		end := strings.IndexAny(rest, "|}{\n<")
		if end < 0 {
			return false
		}
		if rest[end] == '\n' { // {{name⏎|argument…}}
			if after := strings.TrimLeft(rest[end:], " \t\r\n"); after == "" || after[0] != '|' && after[0] != '}' {
				continue
			}
		}
		if names[strings.ToLower(strings.TrimSpace(strings.ReplaceAll(rest[:end], "_", " ")))] {
			arguments, _, _ := strings.Cut(rest[end:], "}}")
			if !strings.Contains(arguments, "[[") {
				return true
			}
		}
	}
}

// Categories lists the categories that a wikitext puts its page in, each once, in order.
func (s *Site) Categories(text string) []string {
	var list []string
	seen := map[string]bool{}
	for {
		_, rest, ok := strings.Cut(text, "[[")
		if !ok {
			return list
		}
		text = rest
		end := strings.IndexAny(rest, "|][\n")
		if end < 0 || rest[end] == '[' || rest[end] == '\n' {
			continue
		}
		link := rest[:end]
		if ns, _ := s.Namespace(link); ns != NSCategory {
			continue
		}
		_, name, _ := strings.Cut(link, ":")
		name = strings.Join(strings.Fields(strings.ReplaceAll(name, "_", " ")), " ")
		if name != "" && !seen[name] {
			seen[name] = true
			list = append(list, name)
		}
	}
}
