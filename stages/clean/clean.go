// Package clean is the stage kind clean: wikitext to plain text, and defects of any
// text mended, by a table of named rules.
package clean

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/wikitext"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is what `with:` sets.
type Config struct {
	Rules        map[string]bool   `json:"rules" jsonschema_description:"rules to switch off (false); the page of this kind lists them"`
	Sections     []string          `json:"sections" jsonschema_description:"titles of the sections that are dropped, with those below them"`
	Templates    map[string]string `json:"templates" jsonschema_description:"what a template becomes, by name (a trailing * stands for any ending): text with {{{1}}}, {{{name}}} or {{{1|default}}} for its arguments; empty: dropped"`
	MagicWords   []string          `json:"magic-words" jsonschema_description:"behaviour switches that are removed"`
	Tables       string            `json:"tables" jsonschema:"enum=drop,enum=rows" jsonschema_description:"drop tables, or keep a line of text for each row"`
	Math         string            `json:"math" jsonschema:"enum=latex,enum=drop" jsonschema_description:"keep formulas as LaTeX between dollar signs, or drop them"`
	Code         string            `json:"code" jsonschema:"enum=keep,enum=drop" jsonschema_description:"what becomes of pre, source and syntaxhighlight elements"`
	UserRules    []UserRule        `json:"user-rules" jsonschema_description:"your own rules, done after all others, in this order"`
	MatchTimeout int               `json:"match-timeout" jsonschema:"minimum=1" jsonschema_description:"milliseconds that a user rule may take for one text before it stops the run"`
	MinChars     int               `json:"min-chars" jsonschema:"minimum=0" jsonschema_description:"documents with fewer characters left are dropped; empty ones always are"`
}

// Kind is clean.
var Kind = stage.Kind{
	Name:    "clean",
	Version: 1,
	Doc:     "Turns wikitext into plain text, normalises and mends any text, by rules that can be switched off one by one.",
	In:      []stage.Port{{Name: "docs", Type: stage.Documents, Many: true, Doc: "documents; those whose meta.format is wikitext are parsed as such"}},
	Out:     []stage.Port{{Name: "docs", Type: stage.Documents, Doc: "the same documents as plain text"}, docs.ReportPort},
	Map:     "docs",
	Config: Config{Tables: "drop", Math: "latex", Code: "keep", MatchTimeout: 1000, Rules: map[string]bool{}, Templates: map[string]string{}, UserRules: []UserRule{},
		Sections: []string{"Referências", "Bibliografia", "Ligações externas", "Ver também", "Notas", "Notas e referências", "Notas de rodapé", "Referências bibliográficas",
			"Fontes", "Links externos", "Ligação externa", "Veja também", "Leitura adicional", "Galeria", "Galeria de imagens"},
		MagicWords: []string{"__NOTOC__", "__FORCETOC__", "__TOC__", "__NOEDITSECTION__", "__NOGALLERY__", "__NOINDEX__", "__INDEX__", "__NEWSECTIONLINK__", "__NONEWSECTIONLINK__",
			"__HIDDENCAT__", "__DISAMBIG__", "__STATICREDIRECT__", "__NOTITLECONVERT__", "__NOCONTENTCONVERT__", "__NOTC__", "__NOCC__", "__EXPECTUNUSEDCATEGORY__",
			"__SEMSUMÁRIO__", "__SEMTDC__", "__NÃOEDITARSEÇÃO__", "__NÃOEDITARSECÇÃO__", "__SEMEDITARSEÇÃO__", "__FORÇARSUMÁRIO__", "__FORÇARTDC__", "__SUMÁRIO__", "__TDC__",
			"__SEMGALERIA__", "__CATEGORIAOCULTA__", "__CATOCULTA__", "__LIGAÇÃONOVASEÇÃO__", "__SEMLIGAÇÃONOVASEÇÃO__", "__NÃOINDEXAR__", "__INDEXAR__",
			"__FORCARTDC__", "__FORCARSUMARIO__", "__SEMSUMARIO__", "__SUMARIO__", "__NAOEDITARSECAO__", "__NAOEDITARSECCAO__", "__SEMEDITARSECAO__", "__LIGACAONOVASECAO__", "__SEMLIGACAONOVASECAO__", "__NAOINDEXAR__"}},
	New: stage.Build(New),
}

// Cleaner is the stage.
type Cleaner struct {
	cfg        Config
	rules      []rule // that are on, in order
	user       []userRule
	sections   map[string]bool
	magicWords map[string]bool
	templates  templates
}

// New checks a config.
func New(cfg Config) (stage.Stage, error) {
	c, err := newCleaner(cfg)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func newCleaner(cfg Config) (*Cleaner, error) {
	c := &Cleaner{cfg: cfg, sections: map[string]bool{}, magicWords: map[string]bool{}}
	var errs []error
	for _, name := range sortedKeys(cfg.Rules) {
		if !known(name) {
			hint := "docs/stages/clean.md lists them"
			if n := nearest(name); n != "" {
				hint = fmt.Sprintf("did you mean %q?", n)
			}
			errs = append(errs, fmt.Errorf("rules: no rule is called %q; %s", name, hint))
		}
	}
	for _, r := range rules {
		if on, set := cfg.Rules[r.name]; on || !set {
			c.rules = append(c.rules, r)
		}
	}
	for _, s := range cfg.Sections {
		c.sections[strings.ToLower(s)] = true
	}
	for _, w := range cfg.MagicWords {
		c.magicWords[strings.ToUpper(w)] = true
	}
	check := func(what, value string, allowed ...string) {
		for _, a := range allowed {
			if value == a {
				return
			}
		}
		errs = append(errs, fmt.Errorf("%s is %q; it can be %s", what, value, strings.Join(allowed, " or ")))
	}
	check("tables", cfg.Tables, "drop", "rows")
	check("math", cfg.Math, "latex", "drop")
	check("code", cfg.Code, "keep", "drop")
	if cfg.MatchTimeout < 1 || cfg.MinChars < 0 {
		errs = append(errs, fmt.Errorf("match-timeout %d and min-chars %d: a timeout is at least 1 ms, min-chars at least 0", cfg.MatchTimeout, cfg.MinChars))
	}
	var err error
	if c.templates, err = newTemplates(cfg.Templates); err != nil {
		errs = append(errs, err)
	}
	if c.user, err = compile(cfg.UserRules, cfg.MatchTimeout); err != nil {
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

// Run cleans one shard.
func (c *Cleaner) Run(ctx context.Context, t stage.Task) error {
	report := corpus.NewReport(Kind.Name)
	w := docs.NewWriter(t, "docs", 0)
	err := docs.Each(ctx, t, t.Inputs("docs"), func(d *corpus.Document) error {
		report.Enter(d)
		before := d.Text
		if err := c.Clean(d, report, t.Seed()); err != nil {
			return err
		}
		rule := ""
		switch n := utf8.RuneCountInString(d.Text); {
		case n == 0:
			rule = "emptied"
		case n < c.cfg.MinChars:
			rule = "too-short"
		}
		if rule != "" {
			report.Touch(rule, d.Source, 1, int64(len(before)))
			report.Sample(t.Seed(), rule, d, before)
			return nil
		}
		report.Leave(d)
		return w.Write(d)
	})
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return docs.WriteReport(t, report)
}

// page is a document while the rules work on it; page.S is its text.
type page struct {
	*wikitext.Text
	c      *Cleaner
	doc    *corpus.Document
	report *corpus.Report
	lost   map[string]wikitext.Count // by cause
}

// Clean applies the rules to a document and reports what each touched. It fails only
// where a user rule runs out of time.
func (c *Cleaner) Clean(d *corpus.Document, report *corpus.Report, seed uint64) error {
	p := &page{Text: &wikitext.Text{S: d.Text}, c: c, doc: d, report: report}
	isWiki := d.Meta["format"] == "wikitext"
	if isWiki {
		p.Text = wikitext.New(d.Text)
		p.Title = d.Title
	}
	marked := isWiki
	for _, r := range c.rules {
		if r.wiki && !isWiki {
			continue
		}
		if !r.wiki && marked {
			p.S, marked = p.Plain(), false
		}
		before := p.S
		if n := r.apply(p); n.Matches > 0 {
			report.Touch(r.name, d.Source, n.Matches, n.Bytes)
			report.SampleFunc(seed, r.name, d, func() string { return difference(before, p.S) })
		}
	}
	if marked {
		p.S = p.Plain()
	}
	for cause, n := range p.lost {
		report.Lose(cause, d.Source, n.Matches, n.Bytes)
	}
	if len(c.user) > 0 {
		for i := range c.user {
			before := p.S
			n, err := c.user[i].apply(p)
			if err != nil {
				return fmt.Errorf("document %s: %w", d.ID, err)
			}
			if n.Matches > 0 {
				report.Touch("user:"+c.user[i].Name, d.Source, n.Matches, n.Bytes)
				report.SampleFunc(seed, "user:"+c.user[i].Name, d, func() string { return difference(before, p.S) })
			}
		}
		for _, r := range c.rules { // what they wrote gets its normal form too
			if r.form {
				r.apply(p)
			}
		}
	}
	d.Text = p.S
	if isWiki {
		d.SetMeta("format", "text")
	}
	return nil
}

// difference shows the first place where two texts differ, before → after.
func difference(a, b string) string {
	const around, length = 60, 130
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	start := max(0, i-around)
	window := func(s string) string {
		return strings.Map(printable, strings.ToValidUTF8(s[start:min(len(s), i+length)], ""))
	}
	return window(a) + " → " + window(b)
}

// printable shows the marks that a text holds while rules work on it.
func printable(r rune) rune {
	if r < ' ' && r != '\n' {
		return '·'
	}
	return r
}
