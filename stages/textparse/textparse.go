// Package textparse is the stage kind text-parse: plain text, JSON lines, HTML and
// Parquet, packed or not, become documents.
package textparse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/textenc"
	"github.com/ptbr-slm/pipeline/corpus/unpack"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// Config is the `with:` of a text-parse stage.
type Config struct {
	Source      string `json:"source" jsonschema_description:"source of the documents; empty: what a record says, else the file's name"`
	License     string `json:"license" jsonschema_description:"license of the documents, where a record does not say"`
	Format      string `json:"format" jsonschema:"enum=auto,enum=txt,enum=jsonl,enum=html,enum=parquet" jsonschema_description:"auto: by the ending of each file's name"`
	Encoding    string `json:"encoding" jsonschema:"enum=auto,enum=utf-8,enum=windows-1252,enum=iso-8859-1" jsonschema_description:"auto: found out for each file"`
	OnInvalid   string `json:"on-invalid" jsonschema:"enum=error,enum=replace" jsonschema_description:"bytes that the encoding does not have: stop, or put U+FFFD and count"`
	Unwrap      string `json:"unwrap" jsonschema:"enum=auto,enum=always,enum=never" jsonschema_description:"join hard-wrapped lines; auto: where a text proves to be wrapped, never in verse"`
	Fields      Fields `json:"fields" jsonschema_description:"which fields of JSON lines and Parquet hold what"`
	ShardSize   int64  `json:"shard-size" jsonschema:"minimum=1" jsonschema_description:"bytes of text in a shard, about"`
	MaxDocument int64  `json:"max-document" jsonschema:"minimum=1" jsonschema_description:"bytes of the largest file or record read as one document"`
	MaxRatio    int64  `json:"max-ratio" jsonschema:"minimum=1" jsonschema_description:"times that a packed file may grow (64 MiB are free)"`
}

// Fields names the fields of a record; a dot leads into a nested one.
type Fields struct {
	ID      string   `json:"id"`
	Source  string   `json:"source"`
	Title   string   `json:"title"`
	URL     string   `json:"url"`
	Date    string   `json:"date"`
	License string   `json:"license"`
	Text    string   `json:"text"`
	Meta    []string `json:"meta" jsonschema_description:"fields kept in the documents' meta"`
}

// Kind is text-parse.
var Kind = stage.Kind{
	Name:    "text-parse",
	Version: 2,
	Doc:     "reads .txt, .jsonl, .html and .parquet files, plain or in .tar, .gz, .zst, as documents",
	In:      []stage.Port{{Name: "files", Doc: "the files, each a part", Type: stage.Source, Many: true, Names: true}},
	Out:     []stage.Port{{Name: "docs", Doc: "the documents", Type: stage.Documents}, docs.ReportPort},
	Map:     "files",
	Config: Config{
		Format: "auto", Encoding: textenc.Auto, OnInvalid: "error", Unwrap: "auto",
		Fields:    Fields{"id", "source", "title", "url", "date", "license", "text", []string{}},
		ShardSize: 64 << 20, MaxDocument: 256 << 20, MaxRatio: 1000,
	},
	New: stage.Build(New),
}

// Parser is a configured text-parse stage.
type Parser struct{ c Config }

// New checks what the schema cannot say.
func New(c Config) (stage.Stage, error) {
	var errs []error
	if c.Fields.Text == "" {
		errs = append(errs, errors.New("fields.text is empty: name the field that holds the text"))
	}
	for _, v := range []struct {
		name, got string
		of        []string
	}{
		{"format", c.Format, []string{"auto", "txt", "jsonl", "html", "parquet"}},
		{"encoding", c.Encoding, []string{textenc.Auto, textenc.UTF8, textenc.Windows1252, textenc.ISO88591}},
		{"on-invalid", c.OnInvalid, []string{"error", "replace"}},
		{"unwrap", c.Unwrap, []string{"auto", "always", "never"}},
	} {
		if !slices.Contains(v.of, v.got) {
			errs = append(errs, fmt.Errorf("%s is %q; it can be %s", v.name, v.got, strings.Join(v.of, ", ")))
		}
	}
	if c.ShardSize < 1 || c.MaxDocument < 1 || c.MaxRatio < 1 {
		errs = append(errs, errors.New("shard-size, max-document and max-ratio must be above 0"))
	}
	return &Parser{c}, errors.Join(errs...)
}

// Run reads the files of one part.
func (p *Parser) Run(ctx context.Context, t stage.Task) error {
	r := &run{ctx: ctx, t: t, c: p.c, w: docs.NewWriter(t, "docs", p.c.ShardSize), report: corpus.NewReport(Kind.Name), seen: map[string]int{}}
	var total int64
	for _, f := range t.Inputs("files") {
		total += f.Size
	}
	for _, f := range t.Inputs("files") {
		if err := r.file(f, total); err != nil {
			return err
		}
	}
	if err := r.w.Close(); err != nil {
		return err
	}
	return docs.WriteReport(t, r.report)
}

// run is the state of one part.
type run struct {
	ctx    context.Context
	t      stage.Task
	c      Config
	w      *docs.Writer
	report *corpus.Report
	source string // of documents that do not say, from the file's name
	done   int64  // bytes of input read
	seen   map[string]int
}

func (r *run) file(f stage.File, total int64) error {
	h, err := r.t.Open(f)
	if err != nil {
		return err
	}
	defer h.Close()
	name := path.Base(f.Name)
	if name == "." || name == "/" {
		name = f.Digest
	}
	r.source = stem(name)
	if r.c.Source != "" {
		r.source = r.c.Source
	}
	// A Parquet file that stands by itself is read in place, not in memory.
	if r.format(name) == "parquet" {
		err := r.parquet(name, h, f.Size)
		r.done += f.Size
		r.t.Progress(r.done, total, "B")
		return err
	}
	in := &counted{r: h, more: func(n int) error {
		r.done += int64(n)
		r.t.Progress(r.done, total, "B")
		return r.ctx.Err()
	}}
	return unpack.Walk(name, in, f.Size, unpack.Limits{Ratio: r.c.MaxRatio, Member: r.c.MaxDocument}, r.member)
}

type counted struct {
	r    io.Reader
	more func(n int) error
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if e := c.more(n); e != nil {
		return n, e
	}
	return n, err
}

// format tells what a file is, by config or the ending of its name.
func (r *run) format(name string) string {
	if r.c.Format != "auto" {
		return r.c.Format
	}
	switch strings.ToLower(path.Ext(name)) {
	case ".txt", ".text":
		return "txt"
	case ".jsonl", ".ndjson", ".json":
		return "jsonl"
	case ".html", ".htm", ".xhtml":
		return "html"
	case ".parquet":
		return "parquet"
	}
	return ""
}

func (r *run) member(f unpack.File) (err error) {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	switch r.format(f.Name) {
	case "txt":
		err = r.text(f)
	case "jsonl":
		err = r.jsonl(f)
	case "html":
		err = r.html(f)
	case "parquet":
		var b []byte
		if b, err = unpack.ReadAll(f, r.c.MaxDocument); err == nil {
			return r.parquet(f.Name, bytes.NewReader(b), int64(len(b)))
		}
	default:
		if !f.Inner {
			return fmt.Errorf("%s: its name does not say what it is: end it in .txt, .jsonl, .html or .parquet, or set format", f.Name)
		}
		r.report.Touch("file-passed-over", r.source, 1, 0)
		r.t.Logf("%s: passed over, not a .txt, .jsonl, .html or .parquet file", f.Name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return nil
}

// write gives a document what it still lacks, and writes it unless it is empty.
func (r *run) write(d *corpus.Document) error {
	if d.License == "" {
		d.License = r.c.License
	}
	r.report.Enter(d)
	if strings.TrimFunc(d.Text, unicode.IsSpace) == "" {
		r.report.Touch("empty-document", d.Source, 1, int64(len(d.Text)))
		return nil
	}
	if n := r.seen[d.ID]; n > 0 {
		r.seen[d.ID]++
		r.report.Touch("repeated-id", d.Source, 1, 0)
		d.ID = fmt.Sprintf("%s~%d", d.ID, n+1)
	}
	r.seen[d.ID]++
	r.report.Leave(d)
	return r.w.Write(d)
}

// stem is a file's name without its endings.
func stem(name string) string {
	name = path.Base(name)
	for {
		switch e := strings.ToLower(path.Ext(name)); e {
		case ".gz", ".zst", ".tar", ".tgz", ".tzst", ".txt", ".text", ".jsonl", ".ndjson", ".json", ".html", ".htm", ".xhtml", ".parquet":
			if len(name) == len(e) {
				return name
			}
			name = name[:len(name)-len(e)]
		default:
			return name
		}
	}
}

// title makes a title of a file's name: marks become spaces, and words run together
// (domCasmurro) are parted.
func title(name string) string {
	var b strings.Builder
	var last rune
	for _, c := range stem(name) {
		switch {
		case c == '-' || c == '_' || c == '.' || unicode.IsSpace(c):
			c = ' '
		case unicode.IsUpper(c) && unicode.IsLower(last):
			b.WriteByte(' ')
		}
		if c != ' ' || last != ' ' {
			b.WriteRune(c)
		}
		last = c
	}
	return strings.TrimSpace(b.String())
}
