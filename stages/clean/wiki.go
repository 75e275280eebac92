package clean

import (
	"regexp"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus/mediawiki"
	"github.com/ptbr-slm/pipeline/corpus/wikitext"
)

func (p *page) comments() wikitext.Count         { return p.Comments() }
func (p *page) refs() wikitext.Count             { return p.Refs() }
func (p *page) inclusion() wikitext.Count        { return p.Inclusion() }
func (p *page) droppedElements() wikitext.Count  { return p.DroppedElements() }
func (p *page) dropSections() wikitext.Count     { return p.DropSections(p.c.sections) }
func (p *page) dropTables() wikitext.Count       { return p.Tables(p.c.cfg.Tables == "rows") }
func (p *page) externalLinks() wikitext.Count    { return p.ExternalLinks() }
func (p *page) quotes() wikitext.Count           { return p.Quotes() }
func (p *page) tags() wikitext.Count             { return p.Tags() }
func (p *page) removeMagicWords() wikitext.Count { return p.MagicWords(p.c.magicWords) }
func (p *page) emptySections() wikitext.Count    { return p.EmptySections() }
func (p *page) headings() wikitext.Count         { return p.Headings() }
func (p *page) lists() wikitext.Count            { return p.Lists() }
func (p *page) entities() wikitext.Count         { return p.Entities() }

func (p *page) rawElements() wikitext.Count {
	return p.Hold(func(name, attrs, content string) string {
		switch name {
		case "nowiki":
			s, _ := wikitext.DecodeEntities(content)
			return s
		case "math", "chem", "ce":
			if s := strings.Join(strings.Fields(content), " "); s != "" && p.c.cfg.Math == "latex" {
				return "$" + s + "$"
			}
			return ""
		case "pre", "source", "syntaxhighlight":
			if p.c.cfg.Code == "keep" {
				s, _ := wikitext.DecodeEntities(content)
				return s
			}
		}
		return "" // scores and hieroglyphs
	})
}

// names knows the namespaces as Portuguese and English wikis call them.
var names = &mediawiki.Site{}

func inNamespace(l wikitext.Link, numbers ...int) bool {
	ns, ok := names.Namespace(l.Target)
	if !ok || l.Colon {
		return false
	}
	for _, n := range numbers {
		if ns == n {
			return true
		}
	}
	return false
}

func (p *page) files() wikitext.Count {
	return p.Links(func(l wikitext.Link) (wikitext.Expansion, bool) {
		return wikitext.Expansion{Cut: true}, inNamespace(l, mediawiki.NSFile) || inNamespace(l, mediawiki.NSMedia) && !l.Piped
	})
}

func (p *page) categories() wikitext.Count {
	return p.Links(func(l wikitext.Link) (wikitext.Expansion, bool) {
		return wikitext.Expansion{Cut: true}, inNamespace(l, mediawiki.NSCategory)
	})
}

// languageCode is what the prefix of an interlanguage link looks like; the projects
// whose prefixes look alike are no languages.
var languageCode = regexp.MustCompile(`^(?:[a-z]{2,3}|simple|zh-[a-z-]+|roa-rup|roa-tara|be-x-old|be-tarask|bat-smg|map-bms|fiu-vro|nds-nl|cbk-zam|pt-br)$`)

func (p *page) interwiki() wikitext.Count {
	return p.Links(func(l wikitext.Link) (wikitext.Expansion, bool) {
		prefix, _, ok := strings.Cut(l.Target, ":")
		return wikitext.Expansion{Cut: true}, ok && !l.Colon && !l.Piped && prefix != "w" && prefix != "doi" && languageCode.MatchString(prefix)
	})
}

// projects are prefixes of other wikis, which a link without text does not show here.
var projects = map[string]bool{"w": true, "wikipedia": true, "wikt": true, "wiktionary": true, "s": true, "wikisource": true, "b": true, "wikibooks": true, "q": true, "wikiquote": true,
	"n": true, "wikinews": true, "v": true, "wikiversity": true, "c": true, "commons": true, "d": true, "wikidata": true, "m": true, "meta": true, "species": true, "voy": true, "wikivoyage": true}

func (p *page) links() wikitext.Count {
	return p.Links(func(l wikitext.Link) (wikitext.Expansion, bool) {
		if l.Piped && strings.TrimSpace(l.Text) != "" {
			return wikitext.Expansion{Text: l.Text}, true
		}
		text := l.Target
		if strings.Contains(text, "://") { // [[http://… text]]
			_, text, _ = strings.Cut(text, " ")
			return wikitext.Expansion{Text: text, Cut: text == ""}, true
		}
		for {
			prefix, rest, ok := strings.Cut(text, ":")
			if k := strings.ToLower(prefix); !ok || !projects[k] && !(l.Colon && languageCode.MatchString(k)) {
				break
			}
			text = strings.TrimSpace(rest)
		}
		if l.Piped { // [[Lua (satélite)|]] is short for Lua
			if i := strings.Index(text, " ("); i > 0 {
				text = text[:i]
			}
		}
		return wikitext.Expansion{Text: strings.TrimPrefix(text, "#")}, true
	})
}

// A line, or the start of one, that is nothing but attributes of a table or a tag whose
// frame is gone: align="center" style="…" | text.
var attributes = regexp.MustCompile(`^[ \t|!]*(?:(?i:style|class|align|valign|width|height|bgcolor|colspan|rowspan|border|cellpadding|cellspacing|scope|id|nowrap)\s*=\s*(?:"[^"\n]*"|'[^'\n]*'|[^\s|"']+)[ \t;]*)+(?:\|[ \t]*|$)`)

func (p *page) attributeDebris() (c wikitext.Count) {
	if !strings.Contains(p.S, "=") {
		return c
	}
	return p.eachLine(func(line string) string {
		if !strings.Contains(line, "=") {
			return line
		}
		body := strings.TrimRight(line, "\r\n")
		if m := attributes.FindStringIndex(body); m != nil {
			c.Matches++
			c.Bytes += int64(m[1])
			return body[m[1]:] + line[len(body):]
		}
		return line
	}, &c)
}

var signature = regexp.MustCompile(`\d{1,2}h\d{2}min(?: de| \([A-Z]+\)|,)? .*\(UTC\)|\d{1,2}:\d{2},? .{5,30}\(UTC\)`)

func (p *page) talkLines() (c wikitext.Count) {
	if !strings.Contains(p.S, "(UTC)") {
		return c
	}
	return p.eachLine(func(line string) string {
		if strings.Contains(line, "(UTC)") && signature.MatchString(line) {
			c.Matches++
			c.Bytes += int64(len(line))
			return ""
		}
		return line
	}, &c)
}

// eachLine rewrites the text line by line; line ends included.
func (p *page) eachLine(f func(string) string, c *wikitext.Count) wikitext.Count {
	var b strings.Builder
	b.Grow(len(p.S))
	for line := range strings.Lines(p.S) {
		b.WriteString(f(line))
	}
	if c.Matches > 0 {
		p.S = b.String()
	}
	return *c
}

var stray = strings.NewReplacer("[[", "", "]]", "", "{{", "", "}}", "", "{|", "", "|}", "")

func (p *page) strayMarkup() (c wikitext.Count) {
	for _, m := range []string{"[[", "]]", "{{", "}}", "{|", "|}"} {
		c.Matches += int64(strings.Count(p.S, m))
	}
	for n := c.Matches; n > 0; { // [[[[ leaves nothing, but {[[{ leaves {{
		s := stray.Replace(p.S)
		if s == p.S {
			break
		}
		c.Bytes += int64(len(p.S) - len(s))
		p.S = s
	}
	return c
}
