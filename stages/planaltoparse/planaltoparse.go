// Package planaltoparse is the stage kind planalto-parse: pages of Brazilian laws, as
// planalto.gov.br serves them, become documents.
package planaltoparse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/htmltext"
	"github.com/ptbr-slm/pipeline/corpus/textenc"
	"github.com/ptbr-slm/pipeline/corpus/unpack"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is the `with:` of a planalto-parse stage.
type Config struct {
	Source    string `json:"source" jsonschema_description:"source of the documents"`
	License   string `json:"license" jsonschema_description:"license of the documents"`
	Revoked   string `json:"revoked" jsonschema:"enum=drop,enum=keep" jsonschema_description:"text that is struck out: left out, or kept"`
	Notes     string `json:"notes" jsonschema:"enum=drop,enum=keep" jsonschema_description:"remarks on amendments, (Redação dada pela Lei …): left out, or kept"`
	Encoding  string `json:"encoding" jsonschema:"enum=auto,enum=utf-8,enum=windows-1252,enum=iso-8859-1" jsonschema_description:"auto: as a page declares, unless its bytes prove another"`
	OnInvalid string `json:"on-invalid" jsonschema:"enum=error,enum=replace" jsonschema_description:"bytes that the encoding does not have: stop, or put U+FFFD and count"`
	MaxSize   int    `json:"max-size" jsonschema:"minimum=0" jsonschema_description:"bytes of text above which a law is split at its headings; 0 never"`
	ShardSize int64  `json:"shard-size" jsonschema:"minimum=1" jsonschema_description:"bytes of text in a shard, about"`
	MaxPage   int64  `json:"max-page" jsonschema:"minimum=1" jsonschema_description:"bytes of the largest page"`
	MaxRatio  int64  `json:"max-ratio" jsonschema:"minimum=1" jsonschema_description:"times that a packed file may grow (64 MiB are free)"`
}

// Kind is planalto-parse.
var Kind = stage.Kind{
	Name:    "planalto-parse",
	Version: 2,
	Doc:     "reads laws as planalto.gov.br serves them, without revoked text, as documents",
	In: []stage.Port{
		{Name: "pages", Doc: "pages, or archives of pages; each file is a part", Type: stage.Source, Many: true, Names: true},
		{Name: "index", Doc: "tab-separated file, name, url: titles and addresses of the laws", Type: stage.Source, Optional: true},
	},
	Out: []stage.Port{{Name: "docs", Doc: "laws, or parts of laws", Type: stage.Documents}, docs.ReportPort},
	Map: "pages",
	Config: Config{
		Source: "planalto", License: "public domain (Lei 9.610/1998, art. 8º, IV)",
		Revoked: "drop", Notes: "drop", Encoding: textenc.Auto, OnInvalid: "error",
		MaxSize: 64 << 10, ShardSize: 64 << 20, MaxPage: 64 << 20, MaxRatio: 1000,
	},
	New: stage.Build(New),
}

// Parser is a configured planalto-parse stage.
type Parser struct{ c Config }

// New checks what the schema cannot say.
func New(c Config) (stage.Stage, error) {
	var errs []error
	for _, v := range []struct {
		name, got string
		of        []string
	}{
		{"revoked", c.Revoked, []string{"drop", "keep"}},
		{"notes", c.Notes, []string{"drop", "keep"}},
		{"encoding", c.Encoding, []string{textenc.Auto, textenc.UTF8, textenc.Windows1252, textenc.ISO88591}},
		{"on-invalid", c.OnInvalid, []string{"error", "replace"}},
	} {
		if !slices.Contains(v.of, v.got) {
			errs = append(errs, fmt.Errorf("%s is %q; it can be %s", v.name, v.got, strings.Join(v.of, ", ")))
		}
	}
	if c.Source == "" {
		errs = append(errs, errors.New("source is empty; documents need one"))
	}
	if c.MaxSize < 0 || c.ShardSize < 1 || c.MaxPage < 1 || c.MaxRatio < 1 {
		errs = append(errs, errors.New("shard-size, max-page and max-ratio must be above 0, max-size not below"))
	}
	return &Parser{c}, errors.Join(errs...)
}

// run is the state of one part.
type run struct {
	ctx    context.Context
	t      stage.Task
	c      Config
	w      *docs.Writer
	report *corpus.Report
	index  index
	seen   map[string]bool
}

// Run reads the pages of one part.
func (p *Parser) Run(ctx context.Context, t stage.Task) error {
	r := &run{ctx: ctx, t: t, c: p.c, w: docs.NewWriter(t, "docs", p.c.ShardSize), report: corpus.NewReport(Kind.Name), seen: map[string]bool{}}
	if err := r.readIndex(); err != nil {
		return err
	}
	for _, f := range t.Inputs("pages") {
		if err := r.file(f); err != nil {
			return err
		}
	}
	if err := r.w.Close(); err != nil {
		return err
	}
	return docs.WriteReport(t, r.report)
}

func (r *run) readIndex() error {
	for _, f := range r.t.Inputs("index") {
		h, err := r.t.Open(f)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(io.LimitReader(h, 16<<20))
		h.Close()
		if err != nil {
			return err
		}
		if r.index, err = readIndex(string(b)); err != nil {
			return fmt.Errorf("index: %w", err)
		}
	}
	return nil
}

func (r *run) file(f stage.File) error {
	h, err := r.t.Open(f)
	if err != nil {
		return err
	}
	defer h.Close()
	pages := int64(0)
	return unpack.Walk(path.Base(f.Name), h, f.Size, unpack.Limits{Ratio: r.c.MaxRatio, Member: r.c.MaxPage}, func(m unpack.File) error {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if e := strings.ToLower(path.Ext(m.Name)); m.Inner && e != ".html" && e != ".htm" {
			r.report.Touch("file-passed-over", r.c.Source, 1, 0)
			r.t.Logf("%s: passed over, not an .html file", m.Name)
			return nil
		}
		if err := r.page(m); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		pages++
		r.t.Progress(pages, 0, "pages")
		return nil
	})
}

func (r *run) page(m unpack.File) error {
	b, err := unpack.ReadAll(m, r.c.MaxPage)
	if err != nil {
		return err
	}
	s, encoding, invalid, first := textenc.DecodeHTML(b, r.c.Encoding)
	r.report.Touch("encoding-"+encoding, r.c.Source, 1, 0)
	if invalid > 0 {
		if r.c.OnInvalid == "error" {
			return fmt.Errorf("%w, and %d in all; set encoding if it is another, or on-invalid: replace", first, invalid)
		}
		r.report.Touch("invalid-byte", r.c.Source, invalid, invalid)
	}
	s, controls := withoutC1(s)
	if controls > 0 {
		r.report.Touch("c1-control", r.c.Source, controls, 2*controls)
	}
	page, err := htmltext.Read(s)
	if err != nil {
		return err
	}
	name := strings.ToValidUTF8(stem(m.Name), "\ufffd")
	l := &law{c: r.c, report: r.report, seed: r.t.Seed(), id: r.c.Source + "/" + name}
	lines := l.clean(page.Lines)
	e, known := r.index.find(m.Name)
	if !known {
		e.name = l.heading(lines)
		if r.index != nil {
			r.report.Touch("not-in-index", r.c.Source, 1, 0)
			r.t.Logf("%s: not in the index; its title is that of the page", m.Name)
		}
	}
	if e.name == "" {
		e.name = name
	}
	if len(lines) == 0 {
		r.report.Touch("empty-page", r.c.Source, 1, int64(len(b)))
		return nil
	}
	pieces := cut(lines, r.c.MaxSize)
	if len(pieces) > 1 {
		r.report.Touch("split", r.c.Source, int64(len(pieces)), 0)
	}
	date := dateOf(lines)
	for _, p := range pieces {
		d := &corpus.Document{ID: l.id, Source: r.c.Source, Title: e.name, URL: e.url, Date: date, License: r.c.License, Text: strings.Join(p.lines, "\n")}
		d.SetMeta("law", name)
		if len(pieces) > 1 {
			d.ID += "/" + p.slug()
			d.SetMeta("part", p.title())
			d.Title += " – " + p.title()
		}
		for id, n := d.ID, 2; r.seen[d.ID]; n++ {
			d.ID = fmt.Sprintf("%s~%d", id, n)
		}
		r.seen[d.ID] = true
		r.report.Enter(d)
		r.report.Leave(d)
		if err := r.w.Write(d); err != nil {
			return err
		}
	}
	return nil
}

// stem is a page's file name without folder and ending.
func stem(name string) string {
	name = path.Base(name)
	return strings.TrimSuffix(name, path.Ext(name))
}
