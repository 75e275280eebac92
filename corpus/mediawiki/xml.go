package mediawiki

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// xmlScanner walks over the XML of one page. It knows what a dump uses: elements,
// attributes, character data, CDATA, comments, and the five named and the numeric
// entities. (encoding/xml is the oracle of its tests, and four times as slow.)
type xmlScanner struct {
	b   []byte
	pos int

	// Of the last element begun:
	name  []byte
	attrs []byte // as written
	empty bool   // <name/>
}

type xmlKind int

const (
	xmlEnd   xmlKind = iota // of the input
	xmlOpen                 // <name …> or <name …/>
	xmlClose                // </name>
	xmlText                 // character data, raw
	xmlRaw                  // the inside of a CDATA section
)

// next returns the kind of the next token and, for text, its bytes.
func (x *xmlScanner) next() (xmlKind, []byte, error) {
	for x.pos < len(x.b) {
		rest := x.b[x.pos:]
		if rest[0] != '<' {
			n := bytes.IndexByte(rest, '<')
			if n < 0 {
				n = len(rest)
			}
			x.pos += n
			return xmlText, rest[:n], nil
		}
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			n := bytes.Index(rest[4:], []byte("-->"))
			if n < 0 {
				return 0, nil, errors.New("a comment that does not end")
			}
			x.pos += n + 7
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			n := bytes.Index(rest[9:], []byte("]]>"))
			if n < 0 {
				return 0, nil, errors.New("a CDATA section that does not end")
			}
			x.pos += n + 12
			return xmlRaw, rest[9 : 9+n], nil
		case bytes.HasPrefix(rest, []byte("<?")):
			n := bytes.Index(rest, []byte("?>"))
			if n < 0 {
				return 0, nil, errors.New("a processing instruction that does not end")
			}
			x.pos += n + 2
		default:
			return x.tag(rest)
		}
	}
	return xmlEnd, nil, nil
}

func (x *xmlScanner) tag(rest []byte) (xmlKind, []byte, error) {
	i, kind := 1, xmlOpen
	if i < len(rest) && rest[i] == '/' {
		i, kind = 2, xmlClose
	}
	start := i
	for i < len(rest) && isNameByte(rest[i]) {
		i++
	}
	x.name = rest[start:i]
	if i == start {
		return 0, nil, fmt.Errorf("%q is no tag, and a < in text is written &lt;", clip(rest, 20))
	}
	start = i
	for quote := byte(0); ; i++ {
		if i == len(rest) {
			return 0, nil, fmt.Errorf("tag <%s does not end", x.name)
		}
		switch c := rest[i]; {
		case c == '<':
			return 0, nil, fmt.Errorf("a < inside tag <%s", x.name)
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			x.attrs, x.empty = rest[start:i], false
			if n := len(x.attrs); n > 0 && x.attrs[n-1] == '/' {
				x.attrs, x.empty = x.attrs[:n-1], true
			}
			if kind == xmlClose && len(bytes.TrimSpace(x.attrs)) > 0 {
				return 0, nil, fmt.Errorf("attributes in </%s>", x.name)
			}
			x.pos += i + 1
			return kind, nil, nil
		}
	}
}

func isNameByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == ':' || c == '.'
}

// attr returns an attribute of the last element begun.
func (x *xmlScanner) attr(name string) (string, bool, error) {
	a := x.attrs
	for {
		a = bytes.TrimLeft(a, " \t\r\n")
		eq := bytes.IndexByte(a, '=')
		if eq < 0 {
			return "", false, nil
		}
		key := bytes.TrimRight(a[:eq], " \t\r\n")
		a = bytes.TrimLeft(a[eq+1:], " \t\r\n")
		if len(a) < 2 || a[0] != '"' && a[0] != '\'' {
			return "", false, fmt.Errorf("attribute %s of <%s> has no quotes", key, x.name)
		}
		end := bytes.IndexByte(a[1:], a[0])
		if end < 0 {
			return "", false, fmt.Errorf("attribute %s of <%s> does not end", key, x.name)
		}
		if string(key) == name {
			v, err := appendText(nil, a[1:1+end])
			return string(v), true, err
		}
		a = a[end+2:]
	}
}

// appendText appends character data to b, entities decoded and line ends as \n.
func appendText(b, raw []byte) ([]byte, error) {
	for {
		i := bytes.IndexAny(raw, "&\r")
		if i < 0 {
			return append(b, raw...), nil
		}
		b = append(b, raw[:i]...)
		raw = raw[i:]
		if raw[0] == '\r' {
			b = append(b, '\n')
			raw = raw[1:]
			if len(raw) > 0 && raw[0] == '\n' {
				raw = raw[1:]
			}
			continue
		}
		end := bytes.IndexByte(raw[:min(len(raw), 12)], ';')
		if end < 0 {
			return nil, fmt.Errorf("%q is no entity, and & is written &amp;", clip(raw, 12))
		}
		var r rune
		switch name := string(raw[1:end]); name {
		case "lt":
			r = '<'
		case "gt":
			r = '>'
		case "amp":
			r = '&'
		case "quot":
			r = '"'
		case "apos":
			r = '\''
		default:
			digits, base := strings.TrimPrefix(name, "#"), 10
			if hex := strings.TrimPrefix(digits, "x"); hex != digits {
				digits, base = hex, 16
			}
			n, err := strconv.ParseUint(digits, base, 21)
			if r = rune(n); err != nil || name[:min(1, len(name))] != "#" || !isXMLChar(r) {
				return nil, fmt.Errorf("&%s; is no entity of XML", name)
			}
		}
		b = utf8.AppendRune(b, r)
		raw = raw[end+1:]
	}
}

// isXMLChar is XML 1.0's production Char.
func isXMLChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000 && r <= 0x10ffff
}

func clip(b []byte, n int) []byte { return b[:min(n, len(b))] }
