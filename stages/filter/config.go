package filter

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/langid"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is the `with:` of a filter stage.
type Config struct {
	Action    string             `json:"action" jsonschema:"enum=drop,enum=tag" jsonschema_description:"what becomes of a document that breaks a rule: dropped, or kept with the rules in its meta"`
	Tag       bool               `json:"tag" jsonschema_description:"write all measures into the documents' meta"`
	Language  string             `json:"language" jsonschema:"enum=pt,enum=gl,enum=es,enum=en,enum=fr,enum=it" jsonschema_description:"the language wanted"`
	StopWords []string           `json:"stop-words" jsonschema_description:"words of which a text has some, in lower case"`
	PII       string             `json:"pii" jsonschema:"enum=off,enum=tag,enum=mask" jsonschema_description:"CPF, CNPJ, CEP, telephone, e-mail, IPv4: left alone, counted in meta, or also masked"`
	Rules     map[string]float64 `json:"rules" jsonschema_description:"limit of each rule"`
	Profiles  map[string]Profile `json:"profiles" jsonschema_description:"what differs for some texts"`
	Sources   map[string]string  `json:"sources" jsonschema_description:"profile by source, or by a pattern of document ids (machado/poesia-*)"`
}

// Profile is what differs for some sources.
type Profile struct {
	Off   []string           `json:"off" jsonschema_description:"rules that do not apply"`
	Rules map[string]float64 `json:"rules" jsonschema_description:"other limits"`
	PII   string             `json:"pii" jsonschema_description:"off, tag or mask; empty: as for all"`
}

// Kind is filter.
var Kind = stage.Kind{
	Name:    "filter",
	Version: 1,
	Doc:     "measures documents, tags them and drops those that break a rule of their profile",
	In:      []stage.Port{{Name: "docs", Doc: "the documents", Type: stage.Documents, Many: true}},
	Out: []stage.Port{
		{Name: "docs", Doc: "the documents that stay", Type: stage.Documents},
		{Name: "dropped", Doc: "those that do not, with the rules they break in meta.dropped", Type: stage.Documents},
		docs.ReportPort,
	},
	Map: "docs",
	Config: Config{
		Action: "drop", Tag: true, Language: "pt", PII: "tag",
		StopWords: strings.Fields("de a e o em do da que um no uma com para na é foi"),
		Rules:     defaults(),
		Profiles: map[string]Profile{
			// Verse and plays: short lines that end in commas, refrains, names of speakers.
			"poetry": {Off: []string{"line-ends", "newlines-per-word", "duplicate-lines", "duplicate-line-characters"}, Rules: map[string]float64{}},
			// Law: items end in semicolons, numbers and signs abound, formulas come again and again.
			"law": {Off: []string{"alphabetic-words", "line-ends", "duplicate-lines", "duplicate-line-characters", "duplicate-5-gram", "duplicate-6-gram",
				"duplicate-7-gram", "duplicate-8-gram", "duplicate-9-gram", "duplicate-10-gram"}, Rules: map[string]float64{}, PII: "off"},
			// Books and minutes: one document may be long, and the longer it is the more of
			// its short phrases have come before.
			"book": {Off: []string{"max-words"}, Rules: map[string]float64{"duplicate-5-gram": 0.25, "duplicate-6-gram": 0.2}},
		},
		Sources: map[string]string{},
	},
	New: stage.Build(New),
}

// plan is what applies to one profile: a limit for each rule, those that are off left out.
type plan struct {
	name   string
	limits []float64 // by index in rules
	on     []bool
	pii    string
}

// match sends documents to a plan.
type match struct {
	pattern string
	plan    *plan
}

// Filter is a configured filter stage.
type Filter struct {
	c      Config
	stop   map[string]bool
	all    *plan
	source map[string]*plan
	ids    []match // longest pattern first
}

// New checks what the schema cannot say, and works out the limits of every profile.
func New(c Config) (stage.Stage, error) {
	f := &Filter{c: c, stop: map[string]bool{}, source: map[string]*plan{}}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Action != "drop" && c.Action != "tag" {
		bad("action is %q; it can be drop or tag", c.Action)
	}
	if !slices.Contains(langid.Default().Languages, c.Language) {
		bad("language is %q; it can be %s", c.Language, strings.Join(langid.Default().Languages, ", "))
	}
	if !modes[c.PII] {
		bad("pii is %q; it can be off, tag or mask", c.PII)
	}
	for _, w := range c.StopWords {
		f.stop[w] = true
	}
	f.all = &plan{name: "default", limits: make([]float64, len(rules)), on: make([]bool, len(rules)), pii: c.PII}
	for i, r := range rules {
		f.all.limits[i], f.all.on[i] = r.limit, true
	}
	f.all.set(c.Rules, "rules", bad)
	plans := map[string]*plan{"default": f.all}
	for _, name := range slices.Sorted(maps.Keys(c.Profiles)) {
		p := c.Profiles[name]
		x := &plan{name: name, limits: slices.Clone(f.all.limits), on: slices.Clone(f.all.on), pii: cmp.Or(p.PII, c.PII)}
		x.set(p.Rules, "profiles."+name+".rules", bad)
		for i, off := range p.Off {
			k := index(off)
			if k < 0 {
				bad("profiles.%s.off[%d]: no rule %q; there are %s", name, i, off, names())
				continue
			}
			x.on[k] = false
		}
		if !modes[x.pii] {
			bad("profiles.%s.pii is %q; it can be off, tag or mask", name, p.PII)
		}
		plans[name] = x
	}
	for _, s := range slices.Sorted(maps.Keys(c.Sources)) {
		p := plans[c.Sources[s]]
		if p == nil {
			bad("sources.%s: no profile %q; there are %s", s, c.Sources[s], strings.Join(slices.Sorted(maps.Keys(plans)), ", "))
			continue
		}
		if _, err := path.Match(s, ""); err != nil {
			bad("sources.%s is no pattern: %v", s, err)
		}
		f.source[s] = p
		if strings.ContainsAny(s, "*?[/") {
			f.ids = append(f.ids, match{s, p})
		}
	}
	slices.SortStableFunc(f.ids, func(a, b match) int { return len(b.pattern) - len(a.pattern) })
	return f, errors.Join(errs...)
}

var modes = map[string]bool{"off": true, "tag": true, "mask": true}

func (p *plan) set(limits map[string]float64, where string, bad func(string, ...any)) {
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		k := index(name)
		if k < 0 {
			bad("%s.%s: no such rule; there are %s", where, name, names())
			continue
		}
		p.limits[k] = limits[name]
	}
}

func index(name string) int {
	return slices.IndexFunc(rules, func(r rule) bool { return r.name == name })
}

func names() string {
	var s []string
	for _, r := range rules {
		s = append(s, r.name)
	}
	return strings.Join(s, ", ")
}

// plan finds what applies to a document: the longest pattern that its id matches, else
// what its source says, else what holds for all.
func (f *Filter) plan(d *corpus.Document) *plan {
	for _, m := range f.ids {
		if ok, _ := path.Match(m.pattern, d.ID); ok {
			return m.plan
		}
	}
	if p := f.source[d.Source]; p != nil {
		return p
	}
	return f.all
}
