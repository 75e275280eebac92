package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// change is a place in which two configs differ: JSON then and now, "" where the place
// was not there.
type change struct{ path, was, is string }

// configChanges lists where two configs differ, the outermost place that is in one only,
// else the leaf: "rules.mojibake", "gates[0].max". An entry put into a list, or taken out
// of it, is one change and not a change of all that stand behind it.
func configChanges(was, is []byte) ([]change, error) {
	var v [2]any
	for i, b := range [][]byte{was, is} {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&v[i]); err != nil {
			return nil, err
		}
	}
	return valueChanges("", v[0], v[1], nil), nil
}

func valueChanges(path string, was, is any, found []change) []change {
	switch w := was.(type) {
	case map[string]any:
		if m, ok := is.(map[string]any); ok {
			for _, k := range unionKeys(w, m) {
				p := k
				if path != "" {
					p = path + "." + k
				}
				a, had := w[k]
				b, has := m[k]
				switch {
				case !had:
					found = append(found, change{p, "", string(canonical(b))})
				case !has:
					found = append(found, change{p, string(canonical(a)), ""})
				default:
					found = valueChanges(p, a, b, found)
				}
			}
			return found
		}
	case []any:
		if l, ok := is.([]any); ok {
			return listChanges(path, w, l, found)
		}
	}
	if reflect.DeepEqual(was, is) {
		return found
	}
	return append(found, change{path, string(canonical(was)), string(canonical(is))})
}

// listChanges compares what lies between the entries that two lists begin with alike and
// those that they end with alike.
func listChanges(path string, was, is []any, found []change) []change {
	from, end := 0, 0
	for from < min(len(was), len(is)) && reflect.DeepEqual(was[from], is[from]) {
		from++
	}
	for end < min(len(was), len(is))-from && reflect.DeepEqual(was[len(was)-1-end], is[len(is)-1-end]) {
		end++
	}
	was, is = was[from:len(was)-end], is[from:len(is)-end]
	for i := range max(len(was), len(is)) {
		p := fmt.Sprintf("%s[%d]", path, from+i)
		switch {
		case i >= len(was):
			found = append(found, change{p, "", string(canonical(is[i]))})
		case i >= len(is):
			found = append(found, change{p, string(canonical(was[i])), ""})
		default:
			found = valueChanges(p, was[i], is[i], found)
		}
	}
	return found
}

// flatten lists the leaves of a JSON value by path: "rules.mojibake", "gates[0].max".
func flatten(path string, b json.RawMessage, into map[string]json.RawMessage) {
	var m map[string]json.RawMessage
	var l []json.RawMessage
	switch {
	case string(b) == "null":
		into[path] = b
	case json.Unmarshal(b, &m) == nil: // an empty one has no leaves
		for k, v := range m {
			p := k
			if path != "" {
				p = path + "." + k
			}
			flatten(p, v, into)
		}
	case json.Unmarshal(b, &l) == nil:
		for i, v := range l {
			flatten(fmt.Sprintf("%s[%d]", path, i), v, into)
		}
	default:
		into[path] = b
	}
}

func shown(b json.RawMessage) string {
	var s string
	if json.Unmarshal(b, &s) == nil {
		return strconv.Quote(s)
	}
	return string(b)
}
