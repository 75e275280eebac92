package pipelinefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// configurer fills in and checks the configs of one stage kind.
type configurer struct {
	kind     *stage.Kind
	typ      reflect.Type
	checker  *checker
	defaults map[string]any // without the keys that must be given
}

func newConfigurer(k *stage.Kind) (*configurer, error) {
	config := k.Config
	if config == nil {
		config = struct{}{}
	}
	c := &configurer{kind: k, typ: reflect.TypeOf(config)}
	if c.typ.Kind() != reflect.Struct {
		return nil, fmt.Errorf("stage kind `%s`: its Config is a %s; it must be a struct", k.Name, c.typ.Kind())
	}
	doc, err := reflectSchema(c.typ)
	if err != nil {
		return nil, fmt.Errorf("stage kind `%s`: %w", k.Name, err)
	}
	full := reflect.New(c.typ).Elem()
	full.Set(reflect.ValueOf(config))
	v, err := canonical(full)
	if err != nil {
		return nil, fmt.Errorf("stage kind `%s`: defaults: %w", k.Name, err)
	}
	c.defaults = v.(map[string]any)
	addDefaults(doc, c.defaults)
	if c.checker, err = newChecker(doc); err != nil {
		return nil, fmt.Errorf("stage kind `%s`: schema of its Config: %w", k.Name, err)
	}
	return c, nil
}

// addDefaults writes default values into a schema, and takes out of them what has
// none because it must be given.
func addDefaults(doc document, values map[string]any) {
	required, _ := doc["required"].([]any)
	for _, name := range required {
		delete(values, fmt.Sprint(name))
	}
	props, _ := doc["properties"].(document)
	for name, v := range values {
		prop, ok := props[name].(document)
		if !ok {
			continue
		}
		if sub, ok := v.(map[string]any); ok && prop["properties"] != nil {
			addDefaults(prop, sub)
			continue
		}
		prop["default"] = v
	}
}

// fill gives the config that a `with` means, as canonical JSON; nil after a problem.
func (c *configurer) fill(with *node, col *collector, owner string) json.RawMessage {
	if with == nil {
		with = &node{kind: mapping}
	}
	if !c.accepts(with, overlay(c.defaults, with.plain()), col, owner) || with.holes() {
		return nil
	}
	given := overlay(c.defaults, with.plain())
	fillEntries(c.checker.doc, given)
	b, err := json.Marshal(given)
	if err != nil {
		col.add(with.key, "", "`with` of %s: %v", owner, err)
		return nil
	}
	config := reflect.New(c.typ)
	if err := json.Unmarshal(b, config.Interface()); err != nil {
		pos, what := with.key, err.Error()
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) {
			at, _ := with.at(strings.Split(t.Field, "."))
			pos, what = at.pos, fmt.Sprintf("`%s` cannot be %s", t.Field, t.Value)
		}
		col.add(pos, "", "`with` of %s: %s", owner, what)
		return nil
	}
	v, err := canonical(config.Elem())
	if err != nil {
		col.add(with.key, "", "`with` of %s: %v", owner, err)
		return nil
	}
	// Entries of lists and maps are whole only now: what was not given, and has no
	// default in its tag, is zero.
	if !c.accepts(with, v, col, owner) {
		return nil
	}
	if b, err = encode(v); err != nil {
		col.add(with.key, "", "`with` of %s: %v", owner, err)
		return nil
	}
	if _, err := c.kind.New(b); err != nil {
		for _, e := range each(err) {
			col.add(blamed(with, e.Error()), "", "%s: %v", owner, e)
		}
		return nil
	}
	return b
}

// fillEntries gives the entries of lists and maps the defaults that the tags of their
// fields name. (Those of all other fields are in the kind's Config.)
func fillEntries(doc document, v any) {
	switch v := v.(type) {
	case []any:
		if items, ok := doc["items"].(document); ok {
			for _, e := range v {
				fillEntry(items, e)
			}
		}
	case map[string]any:
		props, _ := doc["properties"].(document)
		rest, _ := doc["additionalProperties"].(document)
		for name, e := range v {
			if p, ok := props[name].(document); ok {
				fillEntries(p, e)
			} else if rest != nil {
				fillEntry(rest, e)
			}
		}
	}
}

func fillEntry(doc document, v any) {
	if m, ok := v.(map[string]any); ok {
		props, _ := doc["properties"].(document)
		for name, p := range props {
			p, _ := p.(document)
			if _, given := m[name]; !given && p["default"] != nil {
				m[name] = p["default"]
			}
		}
	}
	fillEntries(doc, v)
}

func (c *configurer) accepts(with *node, v any, col *collector, owner string) bool {
	return col.report(c.checker, with, v, owner, "with")
}

// overlay lays a value over another: mappings key by key, all else replaced.
func overlay(base, over any) any {
	b, ok := base.(map[string]any)
	o, also := over.(map[string]any)
	if !ok || !also {
		return over
	}
	out := make(map[string]any, len(b)+len(o))
	for k, v := range b {
		out[k] = v
	}
	for k, v := range o {
		if old, ok := b[k]; ok {
			v = overlay(old, v)
		}
		out[k] = v
	}
	return out
}

// canonical gives a config as plain JSON values, every field present: no list or map
// is null. It changes the config it is given.
func canonical(config reflect.Value) (any, error) {
	fillNil(config)
	b, err := encode(config.Interface())
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(b))
}

// encode is JSON with sorted keys, no spaces, and no characters escaped for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// fillNil replaces nil slices and maps by empty ones, at any depth.
func fillNil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillNil(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
			return
		}
		cp := reflect.MakeSlice(v.Type(), v.Len(), v.Len()) // the kind's own default may be shared
		reflect.Copy(cp, v)
		v.Set(cp)
		for i := range v.Len() {
			fillNil(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fillNil(v.Index(i))
		}
	case reflect.Map:
		cp := reflect.MakeMap(v.Type())
		for _, k := range v.MapKeys() {
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(k))
			fillNil(e)
			cp.SetMapIndex(k, e)
		}
		v.Set(cp)
	}
}

// each takes a joined error apart.
func each(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range j.Unwrap() {
			all = append(all, each(e)...)
		}
		return all
	}
	return []error{err}
}

// blamed is where the setting stands that a message of a stage kind begins with
// ("rules[2].match: …"), or else the whole config.
func blamed(with *node, message string) Pos {
	path, _, _ := strings.Cut(message, " ")
	path = strings.Trim(path, "`:,")
	if pos, ok := places(with)[path]; ok {
		return pos
	}
	return with.key
}

// places maps the path of every given setting to where it is given.
func places(with *node) map[string]Pos {
	m := map[string]Pos{}
	var walk func(n *node, path string)
	walk = func(n *node, path string) {
		if path != "" {
			m[path] = n.pos
			if n.said.Line > 0 {
				m[path] = n.said
			}
			path += "."
		}
		for _, f := range n.fields {
			walk(f.value, path+f.name)
		}
		for i, item := range n.items {
			walk(item, fmt.Sprintf("%s[%d]", strings.TrimSuffix(path, "."), i))
		}
	}
	if with != nil {
		walk(with, "")
	}
	return m
}
