package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// mutation is one change of one place of a config. Of its variants the first that the
// kind takes counts.
type mutation struct {
	must     bool // of a leaf: there has to be a variant that is taken
	variants []variant
}

// variant is a whole config, and what explain must call the place that changed.
type variant struct {
	path   string
	config any
}

// words are values that some setting of some kind takes, whatever its enum.
var words = strings.Fields(`drop keep tag mask off latex rows auto utf-8 windows-1252 error replace skip line document txt jsonl
	nfc nfd lowercase never always pt es micro mini verse law poetry book [SEP] [UNK] Zê __ZZ__ en links newlines-per-word alphabetic-words warn /usr/zz bf16 wsd muon balanced megatron gpt2`)

// mutations lists single changes of every place of a config: each leaf set to something
// else, each list with an entry more or fewer at its ends, each map with a key more or
// fewer. Some changes no kind takes; whoever loads them finds out.
func mutations(config any) []mutation { return mutationsAt("", config, func(v any) any { return v }) }

func mutationsAt(path string, v any, put func(any) any) (ms []mutation) {
	add := func(must bool, path string, values []any, put func(any) any) {
		m := mutation{must: must}
		for _, x := range values {
			m.variants = append(m.variants, variant{path, put(x)})
		}
		ms = append(ms, m)
	}
	switch v := v.(type) {
	case map[string]any:
		at := func(k string) string { return strings.TrimPrefix(path+"."+k, ".") }
		set := func(k string) func(any) any {
			return func(x any) any {
				m := maps.Clone(v)
				m[k] = x
				return put(m)
			}
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			ms = append(ms, mutationsAt(at(k), v[k], set(k))...)
			add(false, at(k), []any{nil}, func(any) any {
				m := maps.Clone(v)
				delete(m, k)
				return put(m)
			})
		}
		more := mutation{}
		for _, k := range mapKeys {
			if _, ok := v[k]; !ok && path != "" {
				for _, x := range likely(v) {
					more.variants = append(more.variants, variant{at(k), set(k)(x)})
				}
			}
		}
		ms = append(ms, more)
	case []any:
		at := func(i int) string { return fmt.Sprintf("%s[%d]", path, i) }
		for i := range v {
			ms = append(ms, mutationsAt(at(i), v[i], func(x any) any {
				l := slices.Clone(v)
				l[i] = x
				return put(l)
			})...)
			add(false, at(i), []any{nil}, func(any) any { return put(slices.Delete(slices.Clone(v), i, i+1)) })
		}
		for _, i := range []int{0, len(v) / 2, len(v)} {
			add(false, at(i), likelyEntries(v), func(x any) any { return put(slices.Insert(slices.Clone(v), i, x)) })
		}
	default:
		add(true, path, others(v), put)
	}
	return ms
}

// mapKeys are keys that some map of some kind takes.
var mapKeys = []string{"zz", "Z", "comments", "tables", "documents", "letters", "wiki", "machado", "duplicate-5-gram", "max-words"}

// likely are values for a new key of a map: like those that it has, else a few.
func likely(m map[string]any) []any {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		return append([]any{m[k]}, others(m[k])...)
	}
	return []any{true, json.Number("1"), "law", "x", map[string]any{"min": nil, "max": json.Number("9")}}
}

// likelyEntries are values for a new entry of a list.
func likelyEntries(l []any) (values []any) {
	if len(l) == 0 {
		return []any{"zz", json.Number("2"), "[SEP]"}
	}
	if m, ok := l[0].(map[string]any); ok {
		for _, x := range others(m["name"]) {
			e := maps.Clone(m)
			e["name"] = x
			values = append(values, e)
		}
		return values
	}
	return others(l[0])
}

// others are values that may stand in place of a leaf.
func others(v any) (values []any) {
	switch v := v.(type) {
	case bool:
		return []any{!v}
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return nil
		}
		for _, x := range []float64{f + 1, f * 2, f - 1, f / 2, 0, 1, 64, 3000} {
			if x != f {
				values = append(values, json.Number(strconv.FormatFloat(x, 'f', -1, 64)))
			}
		}
	case string:
		for _, x := range append([]string{v + "x", "x" + v, v + " #"}, words...) {
			if x != v {
				values = append(values, x)
			}
		}
	case nil:
		return []any{json.Number("9"), "x"}
	}
	return values
}

// decode reads JSON, numbers as they are written.
func decode(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// over lays one JSON value over another, maps key by key.
func over(base, top any) any {
	b, ok := base.(map[string]any)
	t, also := top.(map[string]any)
	if !ok || !also {
		return top
	}
	m := maps.Clone(b)
	for k, v := range t {
		m[k] = over(b[k], v)
	}
	return m
}
