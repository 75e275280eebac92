package clean

import (
	"sort"

	"github.com/ptbr-slm/pipeline/corpus/wikitext"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// rule is one thing that cleaning does. To add one: write its function, put it in the
// table where its turn is, give it a row in the tests' table and one in the page of
// this kind.
type rule struct {
	name  string
	doc   string
	wiki  bool // only for wikitext
	form  bool // belongs to the normal form, which user rules are followed by
	apply func(*page) wikitext.Count
}

// rules in the order in which they work. Those of wikitext come first and see gaps
// where something was taken out; the others see plain text.
var rules = []rule{
	{name: "comments", wiki: true, apply: (*page).comments, doc: "<!-- comments --> are removed"},
	{name: "raw-elements", wiki: true, apply: (*page).rawElements, doc: "the content of nowiki, math, pre, source, syntaxhighlight … is no wikitext: kept as it is, or dropped (math, code)"},
	{name: "refs", wiki: true, apply: (*page).refs, doc: "<ref>…</ref> and <references> are removed"},
	{name: "inclusion", wiki: true, apply: (*page).inclusion, doc: "noinclude and onlyinclude are unwrapped, includeonly is removed"},
	{name: "dropped-elements", wiki: true, apply: (*page).droppedElements, doc: "gallery, timeline, imagemap, mapframe, templatestyles … are removed with their content"},
	{name: "sections", wiki: true, apply: (*page).dropSections, doc: "sections of sources and links are dropped (setting sections)"},
	{name: "templates", wiki: true, apply: (*page).expandTemplates, doc: "templates are rendered or dropped, the innermost first; parser functions are evaluated"},
	{name: "tables", wiki: true, apply: (*page).dropTables, doc: "tables are dropped, or become a line for each row (setting tables)"},
	{name: "files", wiki: true, apply: (*page).files, doc: "[[Ficheiro:…]] is removed with its caption"},
	{name: "categories", wiki: true, apply: (*page).categories, doc: "[[Categoria:…]] is removed"},
	{name: "interwiki", wiki: true, apply: (*page).interwiki, doc: "[[en:…]], the same page in another language, is removed"},
	{name: "links", wiki: true, apply: (*page).links, doc: "[[target|text]] becomes its text"},
	{name: "external-links", wiki: true, apply: (*page).externalLinks, doc: "[http://… text] becomes its text, and goes without one"},
	{name: "quotes", wiki: true, apply: (*page).quotes, doc: "the apostrophes of bold and italics are removed"},
	{name: "tags", wiki: true, apply: (*page).tags, doc: "HTML tags are removed: those of blocks become newlines, br a space, sup and sub of digits ² and ₂"},
	{name: "magic-words", wiki: true, apply: (*page).removeMagicWords, doc: "__NOTOC__ and its like are removed (setting magic-words)"},
	{name: "empty-sections", wiki: true, apply: (*page).emptySections, doc: "headings with nothing below them are removed"},
	{name: "headings", wiki: true, apply: (*page).headings, doc: "== title == becomes a line of its own"},
	{name: "lists", wiki: true, apply: (*page).lists, doc: "bullets become hyphens, numbered items get their numbers, indentation and rules drawn with hyphens go"},
	{name: "entities", wiki: true, apply: (*page).entities, doc: "HTML entities are decoded, once"},
	{name: "attribute-debris", wiki: true, apply: (*page).attributeDebris, doc: "lines and cell starts made of HTML attributes (style=\"…\" |) are removed"},
	{name: "talk-lines", wiki: true, apply: (*page).talkLines, doc: "lines signed with a time in UTC, as on talk pages, are removed"},
	{name: "parentheses", wiki: true, apply: (*page).parentheses, doc: "parentheses left empty, (, ; ), are removed, and separators left at their ends"},
	{name: "empty-quotes", wiki: true, apply: (*page).emptyQuotes, doc: "quotation marks that a removal left empty (\"\") are removed"},
	{name: "dangling-words", wiki: true, apply: (*page).danglingWords, doc: "a preposition or article left before punctuation by a removal (de ,) is removed"},
	{name: "double-punctuation", wiki: true, apply: (*page).doublePunctuation, doc: "one of two separators that a removal brought together (, ,) is removed"},
	{name: "gaps", wiki: true, apply: (*page).closeGaps, doc: "the space around what was removed closes; where a preposition is left without its word, or an unknown template stood within a sentence, the text counts as lost"},
	{name: "stray-markup", wiki: true, apply: (*page).strayMarkup, doc: "brackets and braces of wikitext that were left over, [[ ]] {{ }} {| |}, are removed"},

	{name: "mojibake-utf8", apply: (*page).mojibakeUTF8, doc: "UTF-8 that was read as Latin-1 or windows-1252 is put right (Ã§Ã£o → ção)"},
	{name: "c1-controls", apply: (*page).c1Controls, doc: "control characters U+0080…U+009F become the characters that windows-1252 has there: quotes, dashes, …"},
	{name: "mojibake-latin2", apply: (*page).mojibakeLatin2, doc: "Latin-1 that was read as Latin-2 is put right (çăo → ção), in texts that show it at least three times"},
	{name: "invisible", form: true, apply: (*page).invisible, doc: "soft hyphens, zero-width spaces, byte order marks, direction marks and control characters are removed"},
	{name: "spaces", form: true, apply: (*page).spaces, doc: "tabs and all spaces of Unicode become the plain space, all line ends a newline"},
	{name: "nfc", form: true, apply: (*page).nfc, doc: "composed characters (Unicode NFC)"},
	{name: "double-spaces", form: true, apply: (*page).doubleSpaces, doc: "several spaces become one; those at the ends of a line go"},
	{name: "ocr-hyphens", apply: (*page).ocrHyphens, doc: "words cut by a hyphen and a space are joined (cons- tituição), with the hyphen where the rest of the text says that it is theirs (data- limite)"},
	{name: "glued-years", apply: (*page).gluedYears, doc: "a year glued to the preposition before it is set apart (de2010)"},
	{name: "space-before-punctuation", apply: (*page).spaceBeforePunctuation, doc: "a space before , . ; : ! ? ) or after ( is removed"},
	{name: "blank-lines", form: true, apply: (*page).blankLines, doc: "at most two newlines follow each other; none begin or end a text"},
}

func known(name string) bool {
	for _, r := range rules {
		if r.name == name {
			return true
		}
	}
	return false
}

// nearest returns the rule that a misspelt name may mean, or "".
func nearest(name string) string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.name
	}
	return stage.Nearest(name, names)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
