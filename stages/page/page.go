// Package page writes a report as one HTML file that needs nothing but a browser: no
// scripts, no fonts, no images, no network. It reads in light and in dark, on paper,
// on a narrow screen and through a screen reader: every table has a caption and
// headers, every drawing a title and a description in words.
//
// A Page is sections of blocks: Text, Table, Bars, Curves, Excerpts, Fold. The same
// page always gives the same bytes.
package page

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

// Page is a report.
type Page struct {
	Title    string
	Lead     string // one or two sentences: what this is about and what came out
	Facts    []Fact // the figures a reader wants first
	Sections []Section
	Foot     string
}

// Fact is a headline figure.
type Fact struct {
	Name, Value string
	Note        string  // what it means, or its interval
	Verdict     Verdict // colours the value
}

// Section is a part of the page with its own entry in the list of contents.
type Section struct {
	ID, Title string // ID is the anchor: lower case, hyphens
	Note      string // what the reader sees here and how to read it
	Blocks    []Block
}

// Block is anything that a section or a fold holds.
type Block interface {
	html() (template.HTML, error)
}

// Verdict says whether a figure is good, for colour and for words.
type Verdict string

// Verdicts. None leaves a figure plain.
const (
	None Verdict = ""
	Good Verdict = "good"
	Warn Verdict = "warn"
	Bad  Verdict = "bad"
)

// Text is a paragraph.
type Text string

func (t Text) html() (template.HTML, error) {
	return template.HTML("<p>" + template.HTMLEscapeString(string(t)) + "</p>"), nil
}

// Excerpt is a piece of a document, shown as it stands.
type Excerpt struct {
	Label string // where it comes from
	Text  string
}

// Excerpts is a list of pieces of Portuguese text.
type Excerpts []Excerpt

func (e Excerpts) html() (template.HTML, error) { return execute("excerpts", e) }

// Fold is blocks behind a line that opens them. It prints as it stands: what is long
// (samples, lists of lines) goes into one, so that paper gets the report and not the corpus.
type Fold struct {
	Summary string
	Open    bool
	Blocks  []Block
}

func (f Fold) html() (template.HTML, error) { return execute("fold", f) }

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var templates = template.Must(template.New("page").Funcs(template.FuncMap{
	"render": func(b Block) (template.HTML, error) { return b.html() },
	"css":    func() template.CSS { return template.CSS(pageCSS) },
	"width":  func(x float64) template.CSS { return template.CSS("width:" + fixed(100*min(max(x, 0), 1), 1) + "%") },
}).Parse(pageHTML))

func execute(name string, data any) (template.HTML, error) {
	var b strings.Builder
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		return "", err
	}
	return template.HTML(b.String()), nil
}

// WriteTo writes the page as a whole HTML document.
func (p *Page) WriteTo(w io.Writer) (int64, error) {
	h, err := execute("page", p)
	if err != nil {
		return 0, fmt.Errorf("page %q: %w", p.Title, err)
	}
	n, err := io.WriteString(w, string(h))
	return int64(n), err
}
