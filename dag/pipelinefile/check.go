package pipelinefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"reflect"
	"sort"
	"strconv"
	"strings"

	reflector "github.com/invopop/jsonschema"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// document is a JSON Schema as encoding/json decodes it.
type document = map[string]any

// reflectSchema makes the JSON Schema of a struct type, without references.
func reflectSchema(t reflect.Type) (document, error) {
	if err := describable(t, t.String(), nil); err != nil {
		return nil, err
	}
	r := reflector.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		RequiredFromJSONSchemaTags: true,
		Mapper:                     boundedInteger,
	}
	b, err := json.Marshal(r.ReflectFromType(t))
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", t, err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", t, err)
	}
	doc, ok := v.(document)
	if !ok {
		return nil, fmt.Errorf("schema of %s: it is %s", t, b)
	}
	delete(doc, "$schema")
	allowNull(t, doc)
	return doc, nil
}

// allowNull lets values behind pointers be null: absent.
func allowNull(t reflect.Type, doc document) {
	inner, _ := doc["items"].(document)
	switch t.Kind() {
	case reflect.Pointer:
		doc["type"] = []any{doc["type"], "null"}
	case reflect.Map:
		inner, _ = doc["additionalProperties"].(document)
		fallthrough
	case reflect.Slice, reflect.Array:
		if inner != nil {
			allowNull(t.Elem(), inner)
		}
	case reflect.Struct:
		props, _ := doc["properties"].(document)
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if p, ok := props[name].(document); ok {
				allowNull(f.Type, p)
			}
		}
	}
}

// describable refuses types that a schema cannot be made of: recursive ones, which
// would never end, and pointers to anything but a plain value, which stand for a value
// that may be absent.
func describable(t reflect.Type, path string, above []reflect.Type) error {
	for _, a := range above {
		if a == t {
			return fmt.Errorf("%s: type %s holds itself", path, t)
		}
	}
	switch t.Kind() {
	case reflect.Pointer:
		switch t.Elem().Kind() {
		case reflect.Bool, reflect.String, reflect.Float64, reflect.Int, reflect.Int64:
			return nil
		}
		return fmt.Errorf("%s: a config cannot hold a pointer to %s", path, t.Elem())
	case reflect.Func, reflect.Chan, reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("%s: a config cannot hold a %s", path, t.Kind())
	case reflect.Slice, reflect.Array, reflect.Map:
		return describable(t.Elem(), path, above)
	case reflect.Struct:
		above = append(above[:len(above):len(above)], t)
		for i := range t.NumField() {
			f := t.Field(i)
			tag := f.Tag.Get("json")
			if !f.IsExported() || tag == "-" {
				continue
			}
			if strings.Contains(tag, ",omit") {
				return fmt.Errorf("%s.%s: a config field is never omitted; its default is a value", path, f.Name)
			}
			if err := describable(f.Type, path+"."+f.Name, above); err != nil {
				return err
			}
		}
	}
	return nil
}

// boundedInteger gives small and unsigned integers the bounds of their Go type, so
// that a number that does not fit is refused where it stands.
func boundedInteger(t reflect.Type) *reflector.Schema {
	if reflect.PointerTo(t).Implements(schemer) {
		return nil
	}
	s := &reflector.Schema{Type: "integer"}
	switch t.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32:
		top := int64(1) << (t.Bits() - 1)
		s.Minimum, s.Maximum = json.Number(strconv.FormatInt(-top, 10)), json.Number(strconv.FormatInt(top-1, 10))
	case reflect.Int, reflect.Int64:
		if t.String() == "time.Duration" {
			return nil
		}
		s.Minimum, s.Maximum = json.Number(strconv.FormatInt(math.MinInt64, 10)), json.Number(strconv.FormatInt(math.MaxInt64, 10))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint, reflect.Uint64:
		s.Minimum, s.Maximum = "0", json.Number(strconv.FormatUint(math.MaxUint64>>(64-t.Bits()), 10))
	default:
		return nil
	}
	return s
}

var schemer = reflect.TypeFor[interface{ JSONSchema() *reflector.Schema }]()

// checker holds values against a schema and says what is wrong in our words.
type checker struct {
	doc    document
	schema *jsonschema.Schema
}

const schemaURL = "mem:///schema.json"

func newChecker(doc document) (*checker, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, err
	}
	s, err := c.Compile(schemaURL)
	if err != nil {
		return nil, err
	}
	return &checker{doc, s}, nil
}

// violation is one way in which a value breaks a schema.
type violation struct {
	path []string // of the value; of an unknown or missing key: of the mapping
	key  string   // the unknown or missing key
	miss bool     // it is missing
	what string   // "must be …": follows the name of the value
	hint string
}

// check lists what is wrong with v, in a stable order.
func (c *checker) check(v any) []violation {
	err := c.schema.Validate(v)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []violation{{what: err.Error()}}
	}
	var out []violation
	c.leaves(invalid, v, &out)
	sort.SliceStable(out, func(i, j int) bool {
		a, b := strings.Join(out[i].path, "\x00"), strings.Join(out[j].path, "\x00")
		return a < b || a == b && out[i].key < out[j].key
	})
	return out
}

func (c *checker) leaves(e *jsonschema.ValidationError, v any, out *[]violation) {
	at := violation{path: e.InstanceLocation}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		known := c.keys(e.SchemaURL)
		for _, name := range k.Properties {
			at := at
			at.key, at.hint = name, suggest(name, known, "it has")
			*out = append(*out, at)
		}
		return
	case *kind.Required:
		for _, name := range k.Missing {
			at := at
			at.key, at.miss = name, true
			*out = append(*out, at)
		}
		return
	case *kind.PropertyNames:
		at.path = nil // jsonschema v6.0.3 overwrites this location while it goes on
		at.what = fmt.Sprintf("has a key %q that is not allowed", k.Property)
		*out = append(*out, at)
		return
	case *kind.AnyOf:
		// In schemas made here the first alternative is the one users mean; the others
		// stand for an expression, or for taking a key away.
		if len(e.Causes) > 0 {
			c.leaves(e.Causes[0], v, out)
			return
		}
	}
	if len(e.Causes) > 0 {
		for _, cause := range e.Causes {
			c.leaves(cause, v, out)
		}
		return
	}
	at.what, at.hint = c.words(e, valueAt(v, e.InstanceLocation))
	*out = append(*out, at)
}

// words says what a value must be.
func (c *checker) words(e *jsonschema.ValidationError, got any) (what, hint string) {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		if pattern, ok := c.at(e.SchemaURL)["pattern"].(string); ok && patternWords[pattern] != "" {
			return fmt.Sprintf("%s, not %s", patternWords[pattern], describePlain(got)), ""
		}
		var names []string
		for _, t := range k.Want {
			names = append(names, typeWords[t])
		}
		return fmt.Sprintf("must be %s, not %s", strings.Join(names, " or "), describePlain(got)), ""
	case *kind.Enum:
		var names []string
		for _, w := range k.Want {
			names = append(names, fmt.Sprint(w))
		}
		if n := stage.Nearest(fmt.Sprint(got), names); n != "" {
			hint = fmt.Sprintf("did you mean `%s`?", n)
		}
		return fmt.Sprintf("must be %s, not %s", list(names, "or"), describePlain(got)), hint
	case *kind.Minimum:
		return fmt.Sprintf("must be at least %s, not %s", decimal(k.Want), decimal(k.Got)), ""
	case *kind.Maximum:
		return fmt.Sprintf("must be at most %s, not %s", decimal(k.Want), decimal(k.Got)), ""
	case *kind.ExclusiveMinimum:
		return fmt.Sprintf("must be more than %s, not %s", decimal(k.Want), decimal(k.Got)), ""
	case *kind.ExclusiveMaximum:
		return fmt.Sprintf("must be less than %s, not %s", decimal(k.Want), decimal(k.Got)), ""
	case *kind.MultipleOf:
		return fmt.Sprintf("must be a multiple of %s, not %s", decimal(k.Want), decimal(k.Got)), ""
	case *kind.MinLength:
		if k.Got == 0 {
			return "must not be empty", ""
		}
		return fmt.Sprintf("must have at least %d characters, not %d", k.Want, k.Got), ""
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters, not %d", k.Want, k.Got), ""
	case *kind.MinItems:
		if k.Got == 0 {
			return "must not be empty", ""
		}
		return fmt.Sprintf("must have at least %d entries, not %d", k.Want, k.Got), ""
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d entries, not %d", k.Want, k.Got), ""
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d keys, not %d", k.Want, k.Got), ""
	case *kind.UniqueItems:
		return fmt.Sprintf("has the same entry twice: number %d is number %d", k.Duplicates[1]+1, k.Duplicates[0]+1), ""
	case *kind.Pattern:
		return fmt.Sprintf("%s, not %q", patternText(k.Want), k.Got), ""
	}
	return "is wrong: " + e.ErrorKind.LocalizedString(message.NewPrinter(language.English)), ""
}

func patternText(pattern string) string {
	if w := patternWords[pattern]; w != "" {
		return w
	}
	return "must match " + pattern
}

var typeWords = map[string]string{
	"string": "a string", "integer": "a whole number", "number": "a number", "boolean": "true or false",
	"array": "a list", "object": "a mapping", "null": "empty",
}

func describePlain(v any) string {
	switch v := v.(type) {
	case nil:
		return "empty"
	case string:
		return "the string " + strconv.Quote(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a mapping"
	}
	return fmt.Sprint(v)
}

// decimal writes a number of a schema as people do, shortest first.
func decimal(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func valueAt(v any, path []string) any {
	for _, step := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(x) {
				return nil
			}
			v = x[i]
		}
	}
	return v
}

// at gives the part of the schema that a URL names.
func (c *checker) at(schema string) document {
	_, pointer, _ := strings.Cut(schema, "#")
	var v any = c.doc
	for _, step := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if step == "" {
			continue
		}
		if plain, err := url.PathUnescape(step); err == nil {
			step = plain
		}
		v = valueAt(v, []string{strings.NewReplacer("~1", "/", "~0", "~").Replace(step)})
	}
	doc, _ := v.(document)
	return doc
}

// keys lists the properties that the schema at a URL knows, sorted.
func (c *checker) keys(schema string) []string {
	props, _ := c.at(schema)["properties"].(document)
	var names []string
	for name := range props {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// report says what is wrong with v, the plain value of n, which is called owner
// ("stage `clean`"; empty: the file) or, where under is given, is that key of it.
func (c *collector) report(ck *checker, n *node, v any, owner, under string) (good bool) {
	good = true
	for _, x := range ck.check(v) {
		at, found := n.at(x.path)
		good = false
		if at.hole {
			continue
		}
		path := joinPath(x.path)
		switch {
		case under != "" && path != "":
			path = under + "." + path
		case under != "":
			path = under
		}
		name := owner
		switch {
		case path != "" && owner != "":
			name = "`" + path + "` of " + owner
		case path != "":
			name = "`" + path + "`"
		}
		switch {
		case x.miss && name == "":
			c.add(at.key, "", "the file has no `%s`", x.key)
		case x.miss:
			c.add(at.key, "", "%s has no `%s`", name, x.key)
		case x.key != "":
			pos := at.key
			for _, f := range at.fields {
				if f.name == x.key {
					pos = f.pos
				}
			}
			if name == "" {
				c.add(pos, x.hint, "unknown key `%s`", x.key)
			} else {
				c.add(pos, x.hint, "unknown key `%s` in %s", x.key, name)
			}
		case name == "":
			c.add(at.pos, x.hint, "the file %s", x.what)
		case found:
			c.add(at.pos, x.hint, "%s %s", name, x.what)
		default: // it was not given, and what stands in its place will not do
			what, _, _ := strings.Cut(x.what, ", not ")
			c.add(at.key, "", "%s is not given, and %s", name, what)
		}
	}
	return good
}
