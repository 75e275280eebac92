// Package corpus is documents and the shards they live in: reading, writing, cutting
// and counting. It knows nothing of pipelines.
package corpus

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Document is one text with what is known of it. A shard holds one a line, as JSON;
// readers of Hugging Face's {id, url, title, text} and of datatrove's {id, text}
// open it, since both take the fields they know.
type Document struct {
	ID      string         `json:"id"`
	Source  string         `json:"source"`
	Title   string         `json:"title,omitempty"`
	URL     string         `json:"url,omitempty"`
	Date    string         `json:"date,omitempty"` // RFC 3339, or as much of it as is known
	License string         `json:"license,omitempty"`
	Text    string         `json:"text"`
	Meta    map[string]any `json:"meta,omitempty"`
}

// AppendJSON appends the document as one line: fields in the order above, keys of
// Meta sorted, no HTML escapes.
func (d *Document) AppendJSON(b []byte) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil {
		return b, fmt.Errorf("document %s: %w", d.ID, err)
	}
	return buf.Bytes(), nil
}

// SetMeta sets one entry of Meta.
func (d *Document) SetMeta(key string, value any) {
	if d.Meta == nil {
		d.Meta = map[string]any{}
	}
	d.Meta[key] = value
}
