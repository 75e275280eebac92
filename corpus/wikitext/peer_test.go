package wikitext

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// peerCase is a parsing case of mwparserfromhell (testdata/mwparserfromhell, MIT licence,
// github.com/earwig/mwparserfromhell): wikitext, and the tokens it consists of.
type peerCase struct{ name, input, tokens string }

func peerCases(t testing.TB) (cases []peerCase) {
	t.Helper()
	files, err := filepath.Glob("testdata/mwparserfromhell/*.mwtest")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range strings.Split(string(b), "\n---\n") {
			var c peerCase
			for line := range strings.Lines(section) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
				switch value = strings.TrimSpace(value); key {
				case "name":
					c.name = filepath.Base(f) + "/" + value
				case "input":
					inner := strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
					inner = strings.ReplaceAll(strings.ReplaceAll(inner, `\"`, `"`), `"`, `\"`)
					if c.input, err = strconv.Unquote(`"` + inner + `"`); err != nil {
						c.input = inner // one case ends in a backslash and a quote
					}
				case "output":
					c.tokens = value
				}
			}
			if c.name != "" {
				cases = append(cases, c)
			}
		}
	}
	return cases
}

// differs lists the cases where this package means to see other templates or links.
var differs = map[string]string{
	"external_links.mwtest/brackets_recursive_2":              "[[http://…]] is taken for a link, since people write it for one",
	"integration.mwtest/wikilink_to_external_link_fallback":   "as above",
	"integration.mwtest/wikilink_to_external_link_fallback_2": "as above",
	"integration.mwtest/link_in_template_name":                "what is no template's name is taken out as if it were, with the link in it",
	"wikilinks.mwtest/invalid_left_brace":                     "as above",
	"integration.mwtest/wildcard_redux":                       "the peer counts a link in the argument of a template, which is gone here",
	"integration.mwtest/bracketed_link_inside_template":       "}} ends a template even inside [ ]",
	"integration.mwtest/nested_templates_and_style_tags":      "the peer gives up at some depth of styles; calls are calls here",
	"integration.mwtest/template_argument_mix":                "a call named by {{{a parameter}}} has no name left",
	"tags.mwtest/unparsable_attributed":                       "nowiki holds its attributes too",
	"tags_wikimarkup.mwtest/italics_start_inside_end_outside": "quotes that cross the end of a link do not break it",
	"tags_wikimarkup.mwtest/bold_start_inside_end_outside":    "as above",
	"wikilinks.mwtest/blank":                                  "[[]] is no link",
	"wikilinks.mwtest/invalid_nested_title":                   "a link whose target was a link is mended",
	"wikilinks.mwtest/invalid_nested_title_and_text":          "as above",
	"wikilinks.mwtest/invalid_newline_at_start":               "white space around a target is forgiven, newlines too",
	"wikilinks.mwtest/invalid_newline_at_end":                 "as above",
}

func TestPeer(t *testing.T) {
	cases := peerCases(t)
	if len(cases) != 573 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		x := New(c.input)
		calls, links := 0, 0
		x.Comments()
		x.Hold(func(_, _, content string) string { return content })
		x.Templates(func(c *Call) Expansion {
			if c.Name != "" && !strings.ContainsAny(c.Name, "[]{}<>\n") { // the peer leaves others as text
				calls++
			}
			return Expansion{Text: "T"}
		})
		x.Links(func(Link) (Expansion, bool) { links++; return Expansion{Text: "L"}, true })
		wantCalls, wantLinks := strings.Count(c.tokens, "TemplateOpen("), strings.Count(c.tokens, "WikilinkOpen(")
		same := calls == wantCalls && links == wantLinks
		if why := differs[c.name]; !same && why == "" || same && why != "" {
			t.Errorf("%s: %q: %d templates and %d links, want %d and %d (%s)", c.name, c.input, calls, links, wantCalls, wantLinks, why)
		}
	}
}
