package wikitext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Function evaluates a call if it is one of a parser function or a variable: {{#if:…}},
// {{lc:…}}, {{PAGENAME}}. ok is false for calls of templates. What only a wiki could
// know (whether a page exists, the time, what a module returns) leaves a gap, or the
// text that is more likely.
func (t *Text) Function(c *Call) (e Expansion, ok bool) {
	name, first, colon := strings.Cut(c.Name, ":")
	name = strings.ToLower(strings.TrimSpace(name))
	if !colon {
		return t.variable(c)
	}
	first = strings.TrimSpace(first)
	arg := func(n int) string {
		if n < len(c.Args) {
			return strings.TrimSpace(c.Args[n].raw)
		}
		return ""
	}
	text := func(s string) (Expansion, bool) { return Expansion{Text: s}, true }
	choose := func(yes bool) (Expansion, bool) {
		if yes {
			return text(arg(0))
		}
		return text(arg(1))
	}
	switch name {
	case "#if":
		return choose(strings.TrimSpace(withoutGaps(first)) != "")
	case "#ifeq":
		if sameValue(first, arg(0)) {
			return text(arg(1))
		}
		return text(arg(2))
	case "#switch":
		return text(switchCase(first, c.Args))
	case "#expr":
		x, err := evaluate(withoutGaps(first))
		if err != nil {
			return Expansion{Cut: true, Why: "#expr"}, true
		}
		return text(formatNumber(x))
	case "#ifexpr":
		x, err := evaluate(withoutGaps(first))
		return choose(err == nil && x != 0)
	case "#iferror":
		if strings.Contains(first, `class="error"`) {
			return text(arg(0))
		}
		if len(c.Args) > 1 {
			return text(arg(1))
		}
		return text(first)
	case "#ifexist":
		return choose(true)
	case "#formatdate", "#dateformat":
		return text(first)
	case "#tag", "#invoke", "#time", "#timel", "#property", "#statements", "#coordinates", "#section", "#lst", "#lsth", "#lstx", "#babel", "#language", "#related", "#vardefine", "#var", "#arraymap":
		why := name
		if name == "#invoke" {
			why += ":" + first
		}
		if name == "#tag" && refTags[strings.ToLower(first)] || name == "#vardefine" || name == "#coordinates" || name == "#related" {
			why = ""
		}
		return Expansion{Cut: true, Why: why}, true
	case "lc":
		return text(strings.ToLower(first))
	case "uc":
		return text(strings.ToUpper(first))
	case "lcfirst":
		return text(mapFirst(first, unicode.ToLower))
	case "ucfirst":
		return text(mapFirst(first, unicode.ToUpper))
	case "formatnum":
		if strings.EqualFold(arg(0), "r") {
			return text(first)
		}
		return text(GroupDigits(first))
	case "padleft", "padright", "plural", "urlencode", "anchorencode", "fullurl", "localurl", "canonicalurl", "filepath", "ns", "int", "gender", "grammar":
		if name == "gender" || name == "plural" {
			return text(arg(0))
		}
		return Expansion{Cut: true, Why: name + ":"}, true
	case "defaultsort", "displaytitle", "ordenar", "ordenação", "ordenaçãopadrão", "ordenacaopadrao", "chave de ordenação padrão":
		return Expansion{Cut: true}, true
	case "subst", "safesubst", "msg", "msgnw", "raw", "predefinição", "template":
		// Prefixes of a template's name, which the caller looks up.
		c.Name = first
		return t.Function(c)
	}
	return Expansion{}, false
}

func (t *Text) variable(c *Call) (Expansion, bool) {
	switch c.Name {
	case "!":
		return Expansion{Text: "|"}, true
	case "=":
		return Expansion{Text: "="}, true
	case "!!":
		return Expansion{Text: "||"}, true
	case "!-":
		return Expansion{Text: "|-"}, true
	case "(":
		return Expansion{Text: "{"}, true
	case ")":
		return Expansion{Text: "}"}, true
	case "PAGENAME", "FULLPAGENAME", "BASEPAGENAME", "NOMEDAPAGINA", "NOMEDAPÁGINA":
		return Expansion{Text: t.Title}, true
	case "SUBPAGENAME":
		return Expansion{Text: t.Title[strings.LastIndexByte(t.Title, '/')+1:]}, true
	case "NAMESPACE", "":
		return Expansion{Cut: true}, true
	}
	for _, p := range []string{"CURRENT", "LOCAL", "NUMBEROF", "REVISION", "PAGESIN", "PAGESIZE", "SITENAME", "SERVER"} {
		if strings.HasPrefix(c.Name, p) {
			return Expansion{Cut: true, Why: c.Name}, true
		}
	}
	return Expansion{}, false
}

// sameValue compares as #ifeq does: as numbers if both are, else as text.
func sameValue(a, b string) bool {
	a, b = strings.TrimSpace(withoutGaps(a)), strings.TrimSpace(withoutGaps(b))
	if a == b {
		return true
	}
	x, errX := evaluate(a)
	y, errY := evaluate(b)
	return a != "" && b != "" && errX == nil && errY == nil && x == y && isNumber(a) && isNumber(b)
}

func isNumber(s string) bool {
	return strings.Trim(s, "0123456789.eE+-") == "" && strings.ContainsAny(s, "0123456789")
}

// switchCase picks the case of a #switch. A case without = falls through to the next
// that has one; #default, or a last case without =, is for what no case names.
func switchCase(value string, args []Arg) string {
	dflt, found := "", false
	for i, a := range args {
		name, out, eq := strings.Cut(a.raw, "=")
		name = strings.TrimSpace(name)
		if !eq {
			if i == len(args)-1 && !found {
				return name
			}
			found = found || sameValue(value, name)
			continue
		}
		if name == "#default" {
			dflt = strings.TrimSpace(out)
			if found {
				return dflt
			}
			continue
		}
		if found || sameValue(value, name) {
			return strings.TrimSpace(out)
		}
	}
	return dflt
}

func mapFirst(s string, f func(rune) rune) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(f(r)) + s[n:]
}

// GroupDigits writes a number as Brazil does: 1234567.8 → 1.234.567,8. Anything but a
// plain number stays as it is.
func GroupDigits(s string) string {
	sign := ""
	n := s
	if n != "" && (n[0] == '-' || n[0] == '+') {
		sign, n = n[:1], n[1:]
	}
	whole, frac, dot := strings.Cut(n, ".")
	if whole == "" || strings.Trim(whole, "0123456789") != "" || strings.Trim(frac, "0123456789") != "" {
		return s
	}
	var b strings.Builder
	b.WriteString(sign)
	for i := range len(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte('.')
		}
		b.WriteByte(whole[i])
	}
	if dot && frac != "" {
		b.WriteString("," + frac)
	}
	return b.String()
}
