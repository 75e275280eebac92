package wikitext

import (
	"bytes"
	"strconv"
	"strings"
)

// Call is a template call, {{name|argument|name=argument}}. The calls inside its
// arguments were expanded before.
type Call struct {
	Name string // as written, trimmed
	Args []Arg
}

// Arg is an argument of a call. The name of one that is not named is its number among
// those, from 1.
type Arg struct {
	Name, Value string
	raw         string // as a parser function sees it
}

// Get returns the value of the last argument of a name, trimmed.
func (c *Call) Get(name string) (string, bool) {
	for i := len(c.Args) - 1; i >= 0; i-- {
		if c.Args[i].Name == name {
			return strings.TrimSpace(c.Args[i].Value), true
		}
	}
	return "", false
}

// Arg returns the n-th unnamed argument, trimmed, or "".
func (c *Call) Arg(n int) string {
	v, _ := c.Get(strconv.Itoa(n))
	return v
}

// Unnamed lists the unnamed arguments, trimmed, in order.
func (c *Call) Unnamed() (list []string) {
	for _, a := range c.Args {
		if _, err := strconv.Atoi(a.Name); err == nil {
			list = append(list, strings.TrimSpace(a.Value))
		}
	}
	return list
}

// Expansion is what stands in place of a call.
type Expansion struct {
	Text string
	Cut  bool   // the call is taken out and leaves a gap (after Text)
	Why  string // the gap's cause, when it may damage the text around it
}

// brace is a run of { that waits for its }.
type brace struct {
	at int // in the output
	n  int // braces left
}

// Templates expands all calls, the innermost first, and removes {{{parameters}}} but
// for their defaults. Calls nested deeper than MaxDepth are dropped. A {{ without an
// end takes its paragraph with it.
func (t *Text) Templates(expand func(*Call) Expansion) (c Count) {
	s := t.S
	if !strings.Contains(s, "{{") {
		return c
	}
	out := make([]byte, 0, len(s))
	var stack []brace
	escaped := false
	done := 0 // s before it is in out
	for i := 0; i < len(s); {
		if len(stack) == 0 { // nothing but a { matters
			n := strings.IndexByte(s[i:], '{')
			if n < 0 {
				break
			}
			i += n
		}
		switch s[i] {
		case '{':
			n := run(s, i, '{')
			if n >= 2 {
				out = append(out, s[done:i+n]...)
				done = i + n
				stack = append(stack, brace{len(out) - n, n})
			}
			i += n
		case '}':
			m := run(s, i, '}')
			if len(stack) == 0 || m < 2 {
				i += m
				continue
			}
			out = append(out, s[done:i]...)
			for m >= 2 && len(stack) > 0 {
				top := &stack[len(stack)-1]
				k := min(m, top.n, 3)
				start := top.at + top.n - k
				inner := string(out[start+k:])
				out = out[:start]
				var x string
				switch {
				case len(stack) > MaxDepth:
					x = t.Gap("nested too deep")
				case k == 3:
					if _, dflt, ok := strings.Cut(inner, "|"); ok {
						x = dflt
					}
				default:
					e := expand(parseCall(inner))
					x = e.Text
					if e.Cut {
						x += t.Gap(e.Why)
					}
				}
				c.add(len(inner) + 2*k - len(x))
				top.n -= k
				m -= k
				i += k
				if top.n < 2 {
					stack = stack[:len(stack)-1]
				}
				if len(stack) > 0 && strings.ContainsAny(x, "|=") {
					x = escaper.Replace(x)
				}
				escaped = escaped || strings.ContainsAny(x, "\x04\x05")
				out = append(out, x...)
			}
			done = i
			i += m
		default:
			i++
		}
	}
	out = append(out, s[done:]...)
	if len(stack) > 0 {
		out = t.unclosed(out, stack, &c)
	}
	t.S = string(out)
	if escaped {
		t.S = unescaper.Replace(t.S)
	}
	return c
}

var (
	escaper   = strings.NewReplacer("|", string(markPipe), "=", string(markEqual))
	unescaper = strings.NewReplacer(string(markPipe), "|", string(markEqual), "=")
)

// maxUnclosed bounds what a {{ without an end takes with it, in bytes.
const maxUnclosed = 1 << 14

// unclosed cuts from each {{ that has no end to the end of its paragraph; where that is
// far, only the braces go.
func (t *Text) unclosed(out []byte, stack []brace, c *Count) []byte {
	var b []byte
	done, blank := 0, -1 // blank: where the next empty line is
	for _, o := range stack {
		if o.at < done {
			continue
		}
		if blank < o.at {
			if n := bytes.Index(out[o.at:], []byte("\n\n")); n >= 0 {
				blank = o.at + n
			} else {
				blank = len(out)
			}
		}
		end := blank
		if end-o.at > maxUnclosed {
			end = o.at + o.n
		}
		b = append(b, out[done:o.at]...)
		b = append(b, t.Gap("{{ without }}")...)
		c.add(end - o.at)
		done = end
	}
	return append(b, out[done:]...)
}

func run(s string, i int, c byte) int {
	n := 1
	for i+n < len(s) && s[i+n] == c {
		n++
	}
	return n
}

// parseCall cuts the inside of {{…}} at the pipes that no link holds.
func parseCall(s string) *Call {
	c := &Call{}
	number := 0
	for first := true; ; first = false {
		n, eq := argEnd(s)
		raw := s[:n]
		if first {
			c.Name = unescape(strings.TrimSpace(withoutGaps(raw)))
		} else {
			a := Arg{raw: unescape(raw)}
			if eq >= 0 {
				a.Name, a.Value = unescape(strings.TrimSpace(raw[:eq])), unescape(strings.TrimSpace(raw[eq+1:]))
			} else {
				number++
				a.Name, a.Value = strconv.Itoa(number), a.raw
			}
			c.Args = append(c.Args, a)
		}
		if n == len(s) {
			return c
		}
		s = s[n+1:]
	}
}

// argEnd returns where the argument that s begins with ends, and where its first =
// stands (-1: nowhere); neither is looked for inside [[links]].
func argEnd(s string) (n, eq int) {
	eq = -1
	links := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '[':
			if i+1 < len(s) && s[i+1] == '[' {
				links++
				i++
			}
		case ']':
			if i+1 < len(s) && s[i+1] == ']' && links > 0 {
				links--
				i++
			}
		case '|':
			if links == 0 {
				return i, eq
			}
		case '=':
			if links == 0 && eq < 0 {
				eq = i
			}
		}
	}
	return len(s), eq
}

func unescape(s string) string {
	if strings.ContainsAny(s, "\x04\x05") {
		return unescaper.Replace(s)
	}
	return s
}
