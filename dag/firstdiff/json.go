package firstdiff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// jsonDiffer finds the first path at which two JSON documents differ: members by name,
// elements in order. nil: one of them is no JSON, or too large.
func jsonDiffer(was, is string, unpack bool) (*Place, error) {
	a, b, done, err := pair(was, is, unpack)
	if err != nil {
		return nil, err
	}
	defer done()
	var v [2]any
	for i, r := range []io.Reader{a, b} {
		x, err := io.ReadAll(io.LimitReader(r, jsonMost+1))
		if err != nil {
			return nil, err
		}
		var ok bool
		if v[i], ok = decode(x); !ok || len(x) > jsonMost {
			return nil, nil
		}
	}
	if d := valueDiffers("$", v[0], v[1]); d != nil {
		return d, nil
	}
	text, err := linesDiffer(was, is, unpack, false)
	if text != nil {
		text.Same = "content"
	}
	return text, err
}

// decode reads one JSON value, numbers as they are written.
func decode(b []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, false
	}
	return v, errors.Is(d.Decode(new(any)), io.EOF)
}

// id is the id of a document, or "".
func id(v any) string {
	if m, ok := v.(map[string]any); ok {
		s, _ := m["id"].(string)
		return s
	}
	return ""
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// valueDiffers finds the first place at which two JSON values differ.
func valueDiffers(path string, v, w any) *Place {
	switch v := v.(type) {
	case map[string]any:
		w, ok := w.(map[string]any)
		if !ok {
			break
		}
		names := map[string]bool{}
		for n := range v {
			names[n] = true
		}
		for n := range w {
			names[n] = true
		}
		for _, n := range slices.Sorted(maps.Keys(names)) {
			p := path + "." + n
			if !plainName.MatchString(n) {
				p = fmt.Sprintf("%s[%s]", path, quote(n))
			}
			x, okX := v[n]
			y, okY := w[n]
			switch {
			case !okX:
				return &Place{Path: p, Was: "(absent)", Is: show(y)}
			case !okY:
				return &Place{Path: p, Was: show(x), Is: "(absent)"}
			}
			if d := valueDiffers(p, x, y); d != nil {
				return d
			}
		}
		return nil
	case []any:
		w, ok := w.([]any)
		if !ok {
			break
		}
		for i := range max(len(v), len(w)) {
			p := fmt.Sprintf("%s[%d]", path, i)
			switch {
			case i >= len(v):
				return &Place{Path: p, Was: "(end)", Is: show(w[i])}
			case i >= len(w):
				return &Place{Path: p, Was: show(v[i]), Is: "(end)"}
			}
			if d := valueDiffers(p, v[i], w[i]); d != nil {
				if sameElements(v, w) {
					d.Same = "elements"
				}
				return d
			}
		}
		return nil
	case string:
		if w, ok := w.(string); ok {
			if v == w {
				return nil
			}
			d := textDiffers(v, w)
			d.Path = path
			if sameLines(v, w) {
				d.Same = "lines"
			}
			return d
		}
	default:
		if v == w {
			return nil
		}
	}
	return &Place{Path: path, Was: show(v), Is: show(w)}
}

// sameElements says whether two arrays hold the same in another order.
func sameElements(v, w []any) bool {
	if len(v) != len(w) {
		return false
	}
	sorted := func(a []any) []string {
		s := make([]string, len(a))
		for i := range a {
			s[i] = form(a[i])
		}
		slices.Sort(s)
		return s
	}
	return slices.Equal(sorted(v), sorted(w))
}

func sameLines(v, w string) bool {
	a, b := strings.Split(v, "\n"), strings.Split(w, "\n")
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// form is a value as JSON, without HTML escapes.
func form(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func quote(s string) string { return form(s) }

func show(v any) string {
	s := form(v)
	if r := []rune(s); len(r) > shownBefore+shownAfter {
		return string(r[:shownBefore+shownAfter]) + "…"
	}
	return s
}
