package textparse

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/htmltext"
	"github.com/ptbr-slm/pipeline/corpus/textenc"
	"github.com/ptbr-slm/pipeline/corpus/unpack"
	"github.com/ptbr-slm/pipeline/corpus/unwrap"
)

// id names a document after its source and its file: the path in the archive, or the
// source alone for a file of the same name.
func (r *run) id(f unpack.File) string {
	name := f.Name
	if e := path.Ext(name); r.format(name) != "" && len(e) < len(name) {
		name = strings.TrimSuffix(name, e)
	}
	if !f.Inner {
		name = stem(name)
		if name == r.source {
			return name
		}
	}
	name = strings.TrimPrefix(name, r.source+"/")
	return strings.ToValidUTF8(r.source+"/"+name, "\ufffd")
}

// text reads a plain text file as one document.
func (r *run) text(f unpack.File) error {
	b, err := unpack.ReadAll(f, r.c.MaxDocument)
	if err != nil {
		return err
	}
	s, err := r.decoded(textenc.Decode(b, r.c.Encoding))
	if err != nil {
		return err
	}
	d := &corpus.Document{ID: r.id(f), Source: r.source, Title: strings.ToValidUTF8(title(f.Name), "\ufffd"), Text: s}
	r.lines(d)
	return r.write(d)
}

// html reads a page as one document.
func (r *run) html(f unpack.File) error {
	b, err := unpack.ReadAll(f, r.c.MaxDocument)
	if err != nil {
		return err
	}
	s, err := r.decoded(textenc.DecodeHTML(b, r.c.Encoding))
	if err != nil {
		return err
	}
	page, err := htmltext.Read(s)
	if err != nil {
		return err
	}
	d := &corpus.Document{ID: r.id(f), Source: r.source, Title: page.Title}
	if d.Title == "" {
		d.Title = strings.ToValidUTF8(title(f.Name), "\ufffd")
	}
	var lines []string
	for _, l := range page.Lines {
		lines = append(lines, l.All)
	}
	d.Text = strings.Join(lines, "\n")
	return r.write(d)
}

// decoded counts what decoding found, and refuses invalid bytes where config says so.
func (r *run) decoded(s, encoding string, invalid int64, first *textenc.Invalid) (string, error) {
	r.report.Touch("encoding-"+encoding, r.source, 1, 0)
	if invalid == 0 {
		return s, nil
	}
	if r.c.OnInvalid == "error" {
		return "", fmt.Errorf("%w, and %d in all; set encoding if it is another, or on-invalid: replace", first, invalid)
	}
	r.report.Touch("invalid-byte", r.source, invalid, invalid)
	return s, nil
}

// lines gives a text its line ends: \n whatever the system, paragraphs in one line
// where they were wrapped.
func (r *run) lines(d *corpus.Document) {
	if n := strings.Count(d.Text, "\r"); n > 0 {
		d.Text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(d.Text)
		r.report.Touch("carriage-return", d.Source, int64(n), int64(n))
	}
	if n := strings.Count(d.Text, "\f"); n > 0 {
		d.Text = strings.ReplaceAll(d.Text, "\f", "\n\n")
		r.report.Touch("form-feed", d.Source, int64(n), int64(n))
	}
	if r.c.Unwrap == "never" {
		return
	}
	before := d.Text
	text, c := unwrap.Text(before, r.c.Unwrap == "always")
	if c.Joined == 0 {
		return
	}
	d.Text = text
	r.report.Touch("unwrap", d.Source, c.Joined, int64(len(before)-len(text))+c.Joined-c.Hyphens)
	if c.Hyphens > 0 {
		r.report.Touch("unwrap-hyphen", d.Source, c.Hyphens, c.Hyphens)
	}
	r.report.Sample(r.t.Seed(), "unwrap", d, firstJoined(before, text))
}

// firstJoined is the text after from the first line on that differs.
func firstJoined(before, after string) string {
	i := 0
	for i < min(len(before), len(after)) && before[i] == after[i] {
		i++
	}
	i = strings.LastIndexByte(after[:i], '\n') + 1
	for i < len(after) && !utf8.RuneStart(after[i]) {
		i++
	}
	return after[i:]
}
