// Package wikiparse is the stage kind wiki-parse: MediaWiki dumps to documents that
// hold wikitext, which the kind clean turns into plain text.
package wikiparse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/mediawiki"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is what `with:` sets.
type Config struct {
	Source         string   `json:"source" jsonschema:"minLength=1" jsonschema_description:"name of the source that documents carry: ptwiki"`
	License        string   `json:"license" jsonschema_description:"licence that documents carry, as an SPDX identifier where there is one"`
	Language       string   `json:"language" jsonschema_description:"language that documents carry in meta.language; empty: none"`
	Namespaces     []int    `json:"namespaces" jsonschema_description:"numbers of the namespaces whose pages become documents; 0 is articles"`
	Disambiguation []string `json:"disambiguation" jsonschema_description:"templates that mark a disambiguation page, which is dropped"`
	MinChars       int      `json:"min-chars" jsonschema:"minimum=0" jsonschema_description:"pages with fewer characters of wikitext are dropped"`
	OnCorrupt      string   `json:"on-corrupt" jsonschema:"enum=error,enum=skip" jsonschema_description:"what to do with pages that cannot be read: stop, or count them and go on"`
	PartSize       int64    `json:"part-size" jsonschema:"minimum=1" jsonschema_description:"bytes of the dump, as it is compressed, that make one part"`
	ShardSize      int64    `json:"shard-size" jsonschema:"minimum=1" jsonschema_description:"bytes of wikitext that a shard of documents aims at"`
}

// Kind is wiki-parse.
var Kind = stage.Kind{
	Name:    "wiki-parse",
	Version: 2,
	Doc:     "Reads MediaWiki XML dumps (plain, .bz2, .gz, .zst) and writes a document of wikitext for each article.",
	In:      []stage.Port{{Name: "dump", Type: stage.Source, Many: true, Doc: "MediaWiki XML dumps (pages-articles)"}},
	Out:     []stage.Port{{Name: "docs", Type: stage.Documents, Doc: "articles as wikitext, in the order of the dump"}, docs.ReportPort},
	Config: Config{Source: "wiki", Language: "pt", Namespaces: []int{mediawiki.NSMain}, OnCorrupt: "error", PartSize: 32 << 20, ShardSize: 64 << 20,
		Disambiguation: []string{"desambiguação", "desambig", "desambiguação-nome", "disambig", "disambiguation", "dab", "des"}},
	New: stage.Build(New),
}

// Parse is the stage.
type Parse struct {
	cfg        Config
	disambig   map[string]bool
	namespaces []int
}

// New checks a config.
func New(c Config) (stage.Stage, error) {
	var errs []error
	if strings.TrimSpace(c.Source) == "" {
		errs = append(errs, errors.New("source is empty; name the wiki, as in source: ptwiki"))
	}
	if len(c.Namespaces) == 0 {
		errs = append(errs, errors.New("namespaces is empty, so that no page could become a document; articles are namespace 0"))
	}
	if c.OnCorrupt != "error" && c.OnCorrupt != "skip" {
		errs = append(errs, fmt.Errorf("on-corrupt is %q; it can be error or skip", c.OnCorrupt))
	}
	if c.PartSize < 1 || c.ShardSize < 1 || c.MinChars < 0 {
		errs = append(errs, fmt.Errorf("part-size %d, shard-size %d and min-chars %d: sizes are at least 1, min-chars at least 0", c.PartSize, c.ShardSize, c.MinChars))
	}
	p := &Parse{cfg: c, disambig: map[string]bool{}, namespaces: c.Namespaces}
	for _, name := range c.Disambiguation {
		p.disambig[strings.ToLower(name)] = true
	}
	return p, errors.Join(errs...)
}

// span is the range of bytes of its file that a part has.
type span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Split cuts each file into ranges of bytes. Whether a file can be entered in the
// middle shows when it is read: of one that cannot, the first part has all pages.
func (p *Parse) Split(in stage.Inputs) ([]stage.Part, error) {
	var parts []stage.Part
	for i, f := range in["dump"] {
		for from := int64(0); from == 0 || from < f.Size; from += p.cfg.PartSize {
			to := min(from+p.cfg.PartSize, f.Size)
			parts = append(parts, stage.Part{Name: fmt.Sprintf("dump %d bytes %d-%d", i, from, to-1),
				Args: span{from, to}, Files: map[string][]int{"dump": {i}}})
		}
	}
	return parts, nil
}

// Run reads the pages of one range.
func (p *Parse) Run(ctx context.Context, t stage.Task) error {
	var s span
	if err := t.Args(&s); err != nil {
		return err
	}
	file := t.Inputs("dump")[0]
	h, err := t.Open(file)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := p.parse(ctx, t, h, file.Size, s); err != nil {
		var d *mediawiki.Damage
		if errors.As(err, &d) {
			return fmt.Errorf("dump %.12s: %w; fetch the file again (compare its checksum), or set on-corrupt: skip to go on without what is lost", file.Digest, err)
		}
		return fmt.Errorf("dump %.12s: %w", file.Digest, err)
	}
	return nil
}

func (p *Parse) parse(ctx context.Context, t stage.Task, h io.ReaderAt, size int64, s span) error {
	report := corpus.NewReport(Kind.Name)
	w := docs.NewWriter(t, "docs", p.cfg.ShardSize)
	r, err := mediawiki.Open(h, size, s.From, s.To, t.CPUs())
	if err != nil {
		return err
	}
	defer r.Close()
	var pages int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var d *mediawiki.Damage
		switch {
		case errors.As(err, &d) && p.cfg.OnCorrupt == "skip":
			report.Touch(d.Kind, p.cfg.Source, 1, d.Bytes)
			t.Logf("skipped: %v", d)
			continue
		case err != nil:
			return err
		}
		if pages++; pages%1000 == 0 {
			t.Progress(pages, 0, "pages")
		}
		doc := p.document(r.Site(), page)
		report.Enter(doc)
		if rule := p.drops(r.Site(), page); rule != "" {
			report.Touch(rule, p.cfg.Source, 1, int64(len(page.Text)))
			report.Sample(t.Seed(), rule, doc, page.Title+"\n"+page.Text)
			continue
		}
		p.describe(doc, r.Site(), page)
		report.Leave(doc)
		if err := w.Write(doc); err != nil {
			return err
		}
	}
	t.Progress(pages, pages, "pages")
	if err := w.Close(); err != nil {
		return err
	}
	return docs.WriteReport(t, report)
}

// drops names the rule by which a page does not become a document; "" when it does.
func (p *Parse) drops(site *mediawiki.Site, page *mediawiki.Page) string {
	switch {
	case !site.InNamespaces(page, p.namespaces):
		return "namespace"
	case page.Redirect != "":
		return "redirect-tag"
	case mediawiki.IsRedirect(page.Text):
		return "redirect-keyword"
	case page.Deleted:
		return "deleted-text"
	case page.Model != "" && page.Model != "wikitext":
		return "not-wikitext"
	case strings.TrimSpace(page.Text) == "":
		return "empty"
	case mediawiki.HasTemplate(page.Text, p.disambig) || strings.Contains(page.Text, "__DISAMBIG__"):
		return "disambiguation"
	case utf8.RuneCountInString(page.Text) < p.cfg.MinChars:
		return "too-short"
	}
	return ""
}

// document makes the document of a page. Its id names the revision too, because a
// pipeline may read several revisions of a page, and the wiki, because two wikis of
// one source number their pages alike.
func (p *Parse) document(site *mediawiki.Site, page *mediawiki.Page) *corpus.Document {
	id := p.cfg.Source
	if site.DBName != "" {
		id += "-" + site.DBName
	}
	return &corpus.Document{ID: fmt.Sprintf("%s-%d-%d", id, page.ID, page.RevID), Source: p.cfg.Source, Title: page.Title,
		Date: page.Timestamp, License: p.cfg.License, Text: page.Text}
}

// describe adds what only documents that are kept need.
func (p *Parse) describe(d *corpus.Document, site *mediawiki.Site, page *mediawiki.Page) {
	d.URL = site.URL(page.Title)
	sum := sha256.Sum256([]byte(page.Text))
	d.SetMeta("format", "wikitext")
	d.SetMeta("pageid", page.ID)
	d.SetMeta("revid", page.RevID)
	d.SetMeta("sha256", hex.EncodeToString(sum[:]))
	if site.DBName != "" {
		d.SetMeta("wiki", site.DBName)
	}
	if p.cfg.Language != "" {
		d.SetMeta("language", p.cfg.Language)
	}
	if page.NS != mediawiki.NSMain {
		d.SetMeta("namespace", page.NS)
	}
	if c := site.Categories(page.Text); len(c) > 0 {
		d.SetMeta("categories", c)
	}
}
