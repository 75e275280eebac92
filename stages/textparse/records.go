package textparse

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/textenc"
	"github.com/ptbr-slm/pipeline/corpus/unpack"
)

// jsonl reads a document a line.
func (r *run) jsonl(f unpack.File) error {
	in := bufio.NewReaderSize(f, 1<<20)
	var offset int64
	for n := 1; ; n++ {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		line, err := readLine(in, r.c.MaxDocument)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		at := offset
		offset += int64(len(line))
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := r.line(line, at); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

func readLine(in *bufio.Reader, limit int64) ([]byte, error) {
	var long []byte
	for {
		b, err := in.ReadSlice('\n')
		if long == nil && err == nil {
			return b, nil
		}
		long = append(long, b...)
		switch {
		case int64(len(long)) > limit:
			return nil, fmt.Errorf("more than the %d bytes allowed for one document", limit)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(long) > 0:
			return long, nil
		default:
			return long, err
		}
	}
}

func (r *run) line(line []byte, offset int64) error {
	// Two encodings in one file would be an accident of lines that are all ASCII:
	// without a word from config, JSON is UTF-8, as its standard says.
	encoding := r.c.Encoding
	if encoding == textenc.Auto {
		encoding = textenc.UTF8
	}
	s, _, invalid, first := textenc.Decode(line, encoding)
	if invalid > 0 {
		first.Offset += offset
		if r.c.OnInvalid == "error" {
			return fmt.Errorf("%w; set encoding if it is another, or on-invalid: replace", first)
		}
		r.report.Touch("invalid-byte", r.source, invalid, invalid)
	}
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value on the line")
	}
	return r.record(func(field string) (any, bool) { return member(v, field) })
}

// member follows a dotted name; a name with dots that exists as it is comes first.
func member(v map[string]any, field string) (any, bool) {
	if x, ok := v[field]; ok {
		return x, x != nil
	}
	head, rest, ok := strings.Cut(field, ".")
	if !ok {
		return nil, false
	}
	m, ok := v[head].(map[string]any)
	if !ok {
		return nil, false
	}
	return member(m, rest)
}

// record makes a document of a record's fields.
func (r *run) record(get func(field string) (any, bool)) error {
	var errs []error
	str := func(field string) string {
		if field == "" {
			return ""
		}
		v, ok := get(field)
		if !ok {
			return ""
		}
		switch v := v.(type) {
		case string:
			return v
		case json.Number:
			return v.String()
		case int64, int32, float64, float32, bool, uint32, uint64:
			return fmt.Sprint(v)
		}
		errs = append(errs, fmt.Errorf("field %q holds no text or number", field))
		return ""
	}
	f := r.c.Fields
	text, ok := get(f.Text)
	s, isText := text.(string)
	switch {
	case !ok || !isText:
		return fmt.Errorf("no text in the field %q; name the right one in fields.text", f.Text)
	case int64(len(s)) > r.c.MaxDocument:
		return fmt.Errorf("%d bytes of text, more than the %d allowed for one document", len(s), r.c.MaxDocument)
	}
	d := &corpus.Document{ID: str(f.ID), Source: r.c.Source, Title: str(f.Title), URL: str(f.URL), Date: str(f.Date), License: str(f.License), Text: s}
	if d.Source == "" {
		d.Source = str(f.Source)
	}
	if d.Source == "" {
		d.Source = r.source
	}
	if d.ID == "" {
		// Not the line's number: what is inserted above must not rename what follows.
		h := sha256.Sum256([]byte(d.URL + "\x00" + d.Title + "\x00" + d.Text))
		d.ID = d.Source + "/" + hex.EncodeToString(h[:8])
	}
	for _, m := range f.Meta {
		if v, ok := get(m); ok {
			d.SetMeta(m, v)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	r.lines(d)
	return r.write(d)
}

// parquet reads a document a row. Columns of lists and maps are not fields.
func (r *run) parquet(name string, in io.ReaderAt, size int64) error {
	file, err := openParquet(in, size)
	if err != nil {
		return fmt.Errorf("%s: parquet: %w", name, err)
	}
	column := map[string]int{}
	text := map[int]bool{}
	for i, path := range file.Schema().Columns() {
		leaf, _ := file.Schema().Lookup(path...)
		if leaf.MaxRepetitionLevel > 0 {
			continue
		}
		column[strings.Join(path, ".")] = i
		k := leaf.Node.Type().Kind()
		text[i] = k == parquet.ByteArray || k == parquet.FixedLenByteArray
	}
	if i, ok := column[r.c.Fields.Text]; !ok || !text[i] {
		return fmt.Errorf("%s: parquet: no text column %q; name the right one in fields.text", name, r.c.Fields.Text)
	}
	n, left := 0, unpack.Free+size*r.c.MaxRatio
	for _, group := range file.RowGroups() {
		if err := r.rows(group, column, text, &n, &left); err != nil {
			return fmt.Errorf("%s: row %d: %w", name, n, err)
		}
	}
	return nil
}

func (r *run) rows(group parquet.RowGroup, column map[string]int, text map[int]bool, n *int, left *int64) error {
	rows := group.Rows()
	defer rows.Close()
	buf := make([]parquet.Row, 64)
	for {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		k, err := readRows(rows, buf)
		for _, row := range buf[:k] {
			*n++
			for _, v := range row {
				if text[v.Column()] {
					*left -= int64(len(v.ByteArray()))
				}
			}
			if *left < 0 {
				return fmt.Errorf("the file unpacks to more than %d times its size; refused: raise max-ratio if that is right", r.c.MaxRatio)
			}
			values := map[int]parquet.Value{}
			for _, v := range row {
				values[v.Column()] = v
			}
			e := r.record(func(field string) (any, bool) {
				i, ok := column[field]
				if !ok {
					return nil, false
				}
				v, ok := values[i]
				if !ok || v.IsNull() {
					return nil, false
				}
				return plain(v, text[i]), true
			})
			if e != nil {
				return e
			}
		}
		if errors.Is(err, io.EOF) || err == nil && k == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func plain(v parquet.Value, text bool) any {
	switch {
	case text:
		return strings.ToValidUTF8(string(v.ByteArray()), "\ufffd")
	case v.Kind() == parquet.Boolean:
		return v.Boolean()
	case v.Kind() == parquet.Int32:
		return int64(v.Int32())
	case v.Kind() == parquet.Int64:
		return v.Int64()
	case v.Kind() == parquet.Float:
		return v.Float()
	case v.Kind() == parquet.Double:
		return v.Double()
	}
	return v.String()
}

// openParquet turns the library's panics over damaged files into errors.
func openParquet(in io.ReaderAt, size int64) (f *parquet.File, err error) {
	defer recovered(&err)
	return parquet.OpenFile(in, size)
}

func readRows(rows parquet.Rows, buf []parquet.Row) (n int, err error) {
	defer recovered(&err)
	return rows.ReadRows(buf)
}

func recovered(err *error) {
	if x := recover(); x != nil {
		*err = fmt.Errorf("damaged file: %v", x)
	}
}
