package wikitext

import (
	"strings"
)

// Link is [[target|text]]; the links inside its text were rendered before.
type Link struct {
	Target string // trimmed, without a leading colon
	Colon  bool   // it had one: [[:Categoria:X]] is a link, not a membership
	Text   string // what follows the first pipe
	Piped  bool
}

// Links replaces [[links]], the innermost first, by what render returns: their text, or
// a gap. The letters that follow a link and belong to its word (linktrail) stand where
// they stood, next to its text. What cannot be a link stays, and so does one for which
// render returns false.
func (t *Text) Links(render func(Link) (Expansion, bool)) (c Count) {
	s := t.S
	if !strings.Contains(s, "[[") {
		return c
	}
	out := make([]byte, 0, len(s))
	var stack []int // offsets in out of the [[ that wait for their ]]
	done := 0
	for i := 0; i < len(s); {
		if len(stack) == 0 { // nothing but a [ matters
			n := strings.IndexByte(s[i:], '[')
			if n < 0 {
				break
			}
			i += n
		}
		switch s[i] {
		case '[':
			n := run(s, i, '[')
			if n >= 2 {
				out = append(out, s[done:i+n]...)
				done = i + n
				stack = append(stack, len(out)-2)
			}
			i += n
		case ']':
			n := run(s, i, ']')
			if n >= 2 && len(stack) > 0 {
				out = append(out, s[done:i]...)
				for ; n >= 2 && len(stack) > 0; n -= 2 {
					start := stack[len(stack)-1]
					depth := len(stack)
					stack = stack[:depth-1]
					inner := string(out[start+2:])
					i += 2
					e := Expansion{Cut: true, Why: "nested too deep"}
					if depth <= MaxDepth {
						l, ok := parseLink(inner)
						if ok {
							e, ok = render(l)
						}
						if !ok {
							out = append(out, "]]"...)
							continue
						}
					}
					x := e.Text
					if e.Cut {
						x += t.Gap(e.Why)
					}
					c.add(len(inner) + 4 - len(x))
					out = append(out[:start], x...)
				}
				done = i
			}
			i += n
		default:
			i++
		}
	}
	if c.Matches > 0 {
		t.S = string(append(out, s[done:]...))
	}
	return c
}

func parseLink(inner string) (l Link, ok bool) {
	target, text, piped := strings.Cut(inner, "|")
	target = strings.TrimSpace(withoutGaps(target))
	if strings.ContainsAny(target, "[]{}<>\n") || target == "" && !piped {
		return l, false
	}
	if rest, colon := strings.CutPrefix(target, ":"); colon {
		l.Colon, target = true, strings.TrimSpace(rest)
	}
	l.Target, l.Text, l.Piped = strings.ReplaceAll(target, "_", " "), text, piped
	return l, true
}

var schemes = []string{"http://", "https://", "//", "mailto:", "ftp://", "ftps://", "irc://", "ircs://", "news:", "gopher://", "telnet://", "tel:", "sftp://", "svn://", "git://", "magnet:", "urn:", "geo:"}

// ExternalLinks replaces [http://… text] by its text, and one without text by a gap.
func (t *Text) ExternalLinks() (c Count) {
	s := t.S
	i := strings.IndexByte(s, '[')
	if i < 0 {
		return c
	}
	var b strings.Builder
	b.Grow(len(s))
	done := 0
	bracket, newline := -1, -1 // the next ] and line end at or after i
	for i < len(s) {
		n := strings.IndexByte(s[i:], '[')
		if n < 0 {
			break
		}
		i += n
		if !hasScheme(s[i+1:]) {
			i++
			continue
		}
		bracket, newline = nextByte(s, ']', i, bracket), nextByte(s, '\n', i, newline)
		if bracket > newline || bracket == len(s) {
			i++
			continue
		}
		inner := s[i+1 : bracket]
		out := t.Gap("")
		if sp := strings.IndexAny(inner, " \t"); sp >= 0 {
			if text := strings.TrimSpace(inner[sp:]); text != "" {
				out = text
			}
		}
		c.add(bracket + 1 - i - len(out))
		b.WriteString(s[done:i])
		b.WriteString(out)
		i = bracket + 1
		done = i
	}
	if c.Matches > 0 {
		b.WriteString(s[done:])
		t.S = b.String()
	}
	return c
}

func hasScheme(s string) bool {
	for _, p := range schemes {
		if len(s) > len(p) && strings.EqualFold(s[:len(p)], p) {
			return true
		}
	}
	return false
}

// nextByte returns where the first c at or after i stands (len(s): nowhere), given
// where the one before was found.
func nextByte(s string, c byte, i, last int) int {
	if last >= i {
		return last
	}
	if n := strings.IndexByte(s[i:], c); n >= 0 {
		return i + n
	}
	return len(s)
}
