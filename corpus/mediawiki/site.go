package mediawiki

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Site is what the head of a dump says of its wiki.
type Site struct {
	DBName string // "ptwiki"; "" when the dump does not say
	Base   string // URL of the main page

	namespaces map[string]int // by lower-case name
	root       bool           // the file begins with <mediawiki
}

// Numbers of the namespaces that matter to readers of text.
const (
	NSMedia    = -2
	NSMain     = 0
	NSFile     = 6
	NSCategory = 14
)

// fallbackNames are the namespaces as Portuguese and English wikis name them, for dumps
// without siteinfo, and for links: every wiki takes the English names, and text that
// moved from one wiki to another brings its own.
var fallbackNames = map[string]int{
	"media": -2, "multimédia": -2, "mídia": -2, "multimídia": -2,
	"special": -1, "especial": -1,
	"talk": 1, "discussão": 1,
	"user": 2, "usuário": 2, "usuária": 2, "utilizador": 2, "utilizadora": 2, "usuário(a)": 2, "utilizador(a)": 2,
	"user talk": 3, "usuário discussão": 3, "usuária discussão": 3, "discussão de usuário": 3, "utilizador discussão": 3, "usuário(a) discussão": 3, "utilizador(a) discussão": 3,
	"project": 4, "wikipedia": 4, "wikipédia": 4, "wikilivros": 4, "wikisource": 4, "wikinotícias": 4,
	"project talk": 5, "wikipedia talk": 5, "wikipédia discussão": 5,
	"file": 6, "image": 6, "ficheiro": 6, "arquivo": 6, "imagem": 6,
	"file talk": 7, "image talk": 7, "ficheiro discussão": 7, "arquivo discussão": 7, "imagem discussão": 7,
	"mediawiki": 8, "mediawiki talk": 9, "mediawiki discussão": 9,
	"template": 10, "predefinição": 10, "template talk": 11, "predefinição discussão": 11,
	"help": 12, "ajuda": 12, "help talk": 13, "ajuda discussão": 13,
	"category": 14, "categoria": 14, "category talk": 15, "categoria discussão": 15,
	"portal": 100, "portal discussão": 101, "portal talk": 101, "anexo": 102, "anexo discussão": 103,
	"module": 828, "módulo": 828, "module talk": 829, "módulo discussão": 829,
}

// Namespace returns the number of the namespace that a title's prefix names; ok is
// false, and the number 0, for a title without one. (A colon alone is no prefix.)
func (s *Site) Namespace(title string) (ns int, ok bool) {
	prefix, _, colon := strings.Cut(title, ":")
	if !colon {
		return 0, false
	}
	prefix = strings.ToLower(strings.TrimSpace(strings.ReplaceAll(prefix, "_", " ")))
	if prefix == "" {
		return 0, false
	}
	if ns, ok = s.namespaces[prefix]; !ok {
		ns, ok = fallbackNames[prefix]
	}
	return ns, ok
}

// URL is the address of a page, as MediaWiki writes it.
func (s *Site) URL(title string) string {
	base := ""
	for _, mark := range []string{"/wiki/", "index.php/", "title="} {
		if i := strings.Index(s.Base, mark); i >= 0 {
			base = s.Base[:i+len(mark)]
			break
		}
	}
	if base == "" {
		i := strings.LastIndexByte(s.Base, '/')
		if i < 0 {
			return ""
		}
		base = s.Base[:i+1]
	}
	const hex = "0123456789ABCDEF"
	b := []byte(base)
	for i := range len(title) {
		switch c := title[i]; {
		case c == ' ':
			b = append(b, '_')
		case isNameByte(c) || strings.IndexByte("~!*(),;@$/", c) >= 0:
			b = append(b, c)
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// maxHead bounds how much XML is searched for the siteinfo.
const maxHead = 1 << 20

// readHead reads the start of the file up to the first page. Without a siteinfo, or
// where it cannot be decoded, the site is one that knows the fallback names.
func readHead(r io.ReaderAt, size int64) (*Site, *Damage, error) {
	src, err := open(r, size, 0, size, 1)
	if err != nil {
		return nil, nil, err
	}
	defer src.close()
	var head []byte
	for len(head) < maxHead && startOf(head, 0) < 0 && !bytes.Contains(head, []byte("</siteinfo>")) {
		c, err := src.next()
		var d *Damage
		if errors.Is(err, io.EOF) || errors.As(err, &d) {
			if d != nil && len(head) == 0 {
				return &Site{}, nil, nil // the range that begins here meets it again
			}
			break
		}
		if err != nil {
			return nil, nil, err
		}
		head = append(head, c.data...)
	}
	if i := startOf(head, 0); i >= 0 {
		head = head[:i]
	} else if !bytes.Contains(head, []byte("<mediawiki")) {
		return nil, nil, fmt.Errorf("this is no MediaWiki XML dump: it begins with %q; expected <mediawiki …> or <page>", clip(bytes.TrimSpace(head), 60))
	}
	s := &Site{root: bytes.Contains(head, []byte("<mediawiki"))}
	start := bytes.Index(head, []byte("<siteinfo"))
	if start < 0 {
		return s, nil, nil
	}
	var info struct {
		DBName     string `xml:"dbname"`
		Base       string `xml:"base"`
		Namespaces []struct {
			Key  int    `xml:"key,attr"`
			Name string `xml:",chardata"`
		} `xml:"namespaces>namespace"`
	}
	if err := xml.Unmarshal(head[start:], &info); err != nil {
		return s, &Damage{Kind: MalformedPage, Where: "the head of the file", Err: fmt.Errorf("malformed siteinfo: %w", err)}, nil
	}
	s.DBName, s.Base = info.DBName, info.Base
	s.namespaces = map[string]int{}
	for _, n := range info.Namespaces {
		if n.Name != "" {
			s.namespaces[strings.ToLower(n.Name)] = n.Key
		}
	}
	return s, nil, nil
}

// InNamespaces says whether a page lies in one of the namespaces: by its <ns>, and
// where the dump has none by its title.
func (s *Site) InNamespaces(p *Page, namespaces []int) bool {
	ns := p.NS
	if !p.HasNS {
		ns, _ = s.Namespace(p.Title)
	}
	return slices.Contains(namespaces, ns)
}
