package pipelinefile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// Schema gives the JSON Schema (draft 2020-12) of pipeline files, for editors: the
// same shapes and configs that Load checks against, with an expression allowed
// wherever a value is, since editors see the file before anything is replaced.
func Schema(kinds []stage.Kind) ([]byte, error) {
	defs, err := fileDefs()
	if err != nil {
		return nil, err
	}
	if err := kindDefs(defs, kinds); err != nil {
		return nil, err
	}
	doc := defs["file"].(document)
	delete(defs, "file")
	for _, d := range []any{doc, defs["profile"]} {
		props := d.(document)["properties"].(document)
		for _, section := range []string{"vars", "sources", "stages", "profiles"} {
			if s, ok := props[section].(document); ok {
				s["propertyNames"] = document{"pattern": namePattern}
			}
		}
	}
	doc["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	doc["title"] = "pipeline file"
	doc["$defs"] = defs
	if _, err := newChecker(plainDocument(doc)); err != nil {
		return nil, fmt.Errorf("schema of pipeline files: %w", err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(doc); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// fileDefs gives the definitions that do not depend on stage kinds: "file", "source",
// "stage", and those of profileDefs.
func fileDefs() (document, error) {
	defs, err := profileDefs()
	if err != nil {
		return nil, err
	}
	for name, t := range shapes {
		if defs[name], err = reflectSchema(t); err != nil {
			return nil, err
		}
	}
	source, one, file := defs["source"].(document), defs["stage"].(document), defs["file"].(document)
	loosen(source, false)
	source["oneOf"] = []any{document{"required": []any{"path"}}, document{"required": []any{"files"}}}
	source["dependentSchemas"] = document{"url": document{"anyOf": []any{
		document{"required": []any{"sha256"}}, document{"required": []any{"sha1"}}, document{"required": []any{"trust"}}}}}

	loosen(one, false)
	props := one["properties"].(document)
	for _, name := range emptyStageKeys {
		p := props[name].(document)
		p["anyOf"] = append(p["anyOf"].([]any), document{"type": "null"})
	}

	props = file["properties"].(document)
	for _, name := range []string{"pipeline", "seed"} {
		props[name] = alternatives(props[name].(document), false)
	}
	sections(props, "", false)
	props["profiles"] = document{
		"type":                 []any{"object", "null"},
		"description":          props["profiles"].(document)["description"],
		"additionalProperties": document{"anyOf": []any{ref("profile"), document{"type": "null"}}},
	}
	return defs, nil
}

var shapes = map[string]reflect.Type{
	"file":   reflect.TypeFor[fileShape](),
	"source": reflect.TypeFor[sourceShape](),
	"stage":  reflect.TypeFor[stageShape](),
}

// profileDefs gives the definition "profile", and what it is made of.
func profileDefs() (document, error) {
	defs := document{
		"expression": document{
			"type":        "string",
			"pattern":     `\$\{\{`,
			"description": "${{ vars.NAME }}, ${{ matrix.NAME }} or ${{ sources.NAME.license }}",
		},
	}
	for name, t := range shapes {
		part, err := reflectSchema(t)
		if err != nil {
			return nil, err
		}
		loosen(part, true)
		if name != "file" {
			defs["profile-"+name] = part
			continue
		}
		props := part["properties"].(document)
		delete(props, "profiles")
		sections(props, "profile-", true)
		defs["profile"] = part
	}
	return defs, nil
}

// sections describes what the entries of the top-level mappings are.
func sections(props document, prefix string, removable bool) {
	entry := func(name string) any {
		if removable {
			return document{"anyOf": []any{ref(prefix + name), document{"type": "null"}}}
		}
		return ref(prefix + name)
	}
	describe := func(name string) any {
		return props[name].(document)["description"]
	}
	for name, of := range map[string]any{
		"vars":    document{},
		"sources": entry("source"),
		"stages":  entry("stage"),
		"publish": document{"type": []any{"string", "null"}},
	} {
		props[name] = document{
			"type":                 []any{"object", "null"},
			"description":          describe(name),
			"additionalProperties": of,
		}
	}
	if !removable {
		props["stages"].(document)["type"] = "object"
		props["stages"].(document)["minProperties"] = 1
	}
}

// kindDefs adds what depends on the stage kind that a stage uses: the settings in
// `with`, the ports in `from`.
func kindDefs(defs document, kinds []stage.Kind) error {
	one := defs["stage"].(document)
	var uses, rules []any
	for i := range kinds {
		k := &kinds[i]
		c, err := newConfigurer(k)
		if err != nil {
			return err
		}
		uses = append(uses, document{"const": k.Name, "description": k.Doc})

		with := c.checker.doc
		loosen(with, false)
		with["description"] = "Settings of " + k.Name + ". " + k.Doc
		from := document{"type": "object", "additionalProperties": false, "description": "Input ports of " + k.Name + "."}
		ports, wired := document{}, []any{}
		for _, p := range k.In {
			ports[p.Name] = portSchema(p)
			if !p.Optional {
				wired = append(wired, p.Name)
			}
		}
		from["properties"] = ports

		needs := []any{}
		if len(wired) > 0 {
			from["required"] = wired
			needs = append(needs, "from")
		}
		if with["required"] != nil {
			needs = append(needs, "with")
		}
		then := document{"properties": document{
			"with": orEmpty(ref("with-"+k.Name), with["required"] == nil),
			"from": orEmpty(ref("from-"+k.Name), len(wired) == 0),
		}}
		if len(needs) > 0 {
			then["required"] = needs
		}
		defs["with-"+k.Name], defs["from-"+k.Name] = with, from
		rules = append(rules, document{
			"if":   document{"properties": document{"uses": document{"const": k.Name}}, "required": []any{"uses"}},
			"then": then,
		})
	}
	if len(rules) > 0 {
		one["allOf"] = rules
	}
	for _, name := range []string{"stage", "profile-stage"} {
		props := defs[name].(document)["properties"].(document)
		choices := append(append([]any{}, uses...), ref("expression"))
		if name != "stage" {
			choices = append(choices, document{"type": "null"})
		}
		props["uses"] = document{"description": "The stage kind.", "anyOf": choices}
	}
	return nil
}

func portSchema(p stage.Port) document {
	var doc strings.Builder
	doc.WriteString(p.Doc)
	if p.Doc != "" {
		doc.WriteString(" ")
	}
	fmt.Fprintf(&doc, "Takes %s", typeName(p.Type))
	if p.Many {
		doc.WriteString(", from one output or several")
	}
	doc.WriteString(".")
	d := refs{}.JSONSchema().Extras
	list := document{"type": "array", "items": d["items"], "minItems": 1}
	if !p.Many {
		list["maxItems"] = 1
	}
	return document{"description": doc.String(), "anyOf": []any{document{"type": "string"}, list}}
}

// loosen allows an expression for every value in an object's properties; in a
// profile also null, which takes a key away, and asks for no key.
func loosen(doc document, profile bool) {
	if profile {
		delete(doc, "required")
	}
	props, _ := doc["properties"].(document)
	for name, p := range props {
		props[name] = alternatives(p.(document), profile)
	}
}

func alternatives(p document, profile bool) document {
	loosen(p, profile)
	for _, key := range []string{"items", "additionalProperties"} {
		if sub, ok := p[key].(document); ok {
			p[key] = alternatives(sub, false)
		}
	}
	constrained := p["pattern"] != nil || p["enum"] != nil || p["maxLength"] != nil || p["format"] != nil
	if p["type"] == nil || p["type"] == "string" && !constrained && !profile {
		return p
	}
	out := document{}
	for _, key := range []string{"description", "default"} {
		if v, ok := p[key]; ok {
			out[key] = v
			delete(p, key)
		}
	}
	choices := []any{p, ref("expression")}
	if profile {
		choices = append(choices, document{"type": "null"})
	}
	out["anyOf"] = choices
	return out
}

func orEmpty(d document, empty bool) document {
	choices := []any{d, ref("expression")}
	if empty {
		choices = append(choices, document{"type": "null"})
	}
	return document{"anyOf": choices}
}

func ref(name string) document { return document{"$ref": "#/$defs/" + name} }

// checkProfiles checks the profiles that are not merged: which keys they have and
// what type the values are of, but not what they would mean.
func (l *loader) checkProfiles(profiles *node, chosen string) {
	if profiles == nil || profiles.kind != mapping {
		return
	}
	others := profiles.without(chosen)
	if len(others.fields) == 0 {
		return
	}
	defs, err := profileDefs()
	if err != nil {
		l.add(Pos{File: l.file}, "", "%v", err)
		return
	}
	doc := document{"$defs": defs, "$ref": "#/$defs/profile"}
	c, err := newChecker(plainDocument(doc))
	if err != nil {
		l.add(Pos{File: l.file}, "", "%v", err)
		return
	}
	for _, f := range others.fields {
		if f.value.kind != null {
			l.report(c, f.value, f.value.plain(), "profile `"+f.name+"`", "")
			l.names(f.value)
		}
	}
}

// plainDocument gives a schema the form that the compiler takes: what JSON decodes to.
func plainDocument(doc document) document {
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err) // made of maps, lists and strings here
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		panic(err)
	}
	return v.(document)
}
