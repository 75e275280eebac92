package pipelinefile

import (
	"github.com/invopop/jsonschema"
)

// The structs in this file are what a pipeline file looks like: the checks of Load and
// the schema for editors are both made from them.

type fileShape struct {
	Pipeline string         `json:"pipeline" jsonschema:"required,pattern=^[A-Za-z][A-Za-z0-9._-]*$" jsonschema_description:"Name of the pipeline; runs are listed by it."`
	Seed     uint64         `json:"seed" jsonschema_description:"Seed of everything random. It is part of the key of every part."`
	Vars     map[string]any `json:"vars" jsonschema_description:"Values to use elsewhere as ${{ vars.NAME }}."`
	Sources  map[string]any `json:"sources" jsonschema_description:"Files from outside, by name. An input names one as sources.NAME."`
	Stages   map[string]any `json:"stages" jsonschema:"required" jsonschema_description:"The work, by name. Order in the file is of no consequence."`
	Publish  map[string]any `json:"publish" jsonschema_description:"Outputs to place as plain files: DIRECTORY: STAGE.PORT."`
	Profiles map[string]any `json:"profiles" jsonschema_description:"What differs under --profile NAME. Merged over the file: mappings key by key, anything else replaced, null takes a key away."`
}

type sourceShape struct {
	Path    string       `json:"path" jsonschema:"minLength=1" jsonschema_description:"A file, a directory (all regular files in it, sorted) or a glob, from this file's directory on."`
	URL     string       `json:"url" jsonschema:"pattern=^https?://" jsonschema_description:"Where to fetch the file when it is not there: https, with a digest or trust: true."`
	SHA256  string       `json:"sha256" jsonschema:"pattern=^[0-9A-Fa-f]{64}$" jsonschema_description:"SHA-256 the file must have."`
	SHA1    string       `json:"sha1" jsonschema:"pattern=^[0-9A-Fa-f]{40}$" jsonschema_description:"SHA-1 a fetched file must have."`
	MaxSize bytesize     `json:"max-size" jsonschema_description:"Bytes beyond which a fetched file is refused: 3GiB, or a number."`
	Trust   bool         `json:"trust" jsonschema:"default=false" jsonschema_description:"true takes whatever the url gives, where there is no digest to hold it against."`
	Files   []entryShape `json:"files" jsonschema:"minItems=1" jsonschema_description:"Several files that make up the source, in order, instead of path."`
	License string       `json:"license" jsonschema_description:"Licence of the text, as an SPDX identifier where there is one."`
}

type entryShape struct {
	Path    string   `json:"path" jsonschema:"required,minLength=1" jsonschema_description:"A file, a directory or a glob, from this file's directory on."`
	URL     string   `json:"url" jsonschema:"pattern=^https?://" jsonschema_description:"Where to fetch the file when it is not there: https, with a digest or trust: true."`
	SHA256  string   `json:"sha256" jsonschema:"pattern=^[0-9A-Fa-f]{64}$" jsonschema_description:"SHA-256 the file must have."`
	SHA1    string   `json:"sha1" jsonschema:"pattern=^[0-9A-Fa-f]{40}$" jsonschema_description:"SHA-1 a fetched file must have."`
	MaxSize bytesize `json:"max-size" jsonschema_description:"Bytes beyond which a fetched file is refused: 3GiB, or a number."`
	Trust   bool     `json:"trust" jsonschema:"default=false" jsonschema_description:"true takes whatever the url gives, where there is no digest to hold it against."`
}

type stageShape struct {
	Uses            string          `json:"uses" jsonschema:"required" jsonschema_description:"The stage kind."`
	From            map[string]refs `json:"from" jsonschema_description:"What each input port is wired to: sources.NAME, STAGE.PORT, or a list of these."`
	With            map[string]any  `json:"with" jsonschema_description:"Settings of the stage kind; what is not given has its default."`
	Matrix          map[string]any  `json:"matrix" jsonschema_description:"Expands the stage over the product of lists of values, with include and exclude; ${{ matrix.NAME }} is the value."`
	When            bool            `json:"when" jsonschema:"default=true" jsonschema_description:"false leaves the stage out."`
	Resources       resourcesShape  `json:"resources" jsonschema_description:"What one part needs. Never changes the result."`
	Retries         int             `json:"retries" jsonschema:"minimum=0,maximum=100,default=0" jsonschema_description:"How often a part that failed is tried again."`
	Timeout         duration        `json:"timeout" jsonschema_description:"How long a part may take: 90s, 15m, 2h30m."`
	ContinueOnError bool            `json:"continue-on-error" jsonschema:"default=false" jsonschema_description:"Whether a failure of this stage leaves the run alive."`
	Env             []string        `json:"env" jsonschema:"uniqueItems=true,pattern=^[A-Za-z_][A-Za-z0-9_]*$" jsonschema_description:"Names of environment variables whose values are part of the stage's keys: another value reruns it."`
}

type resourcesShape struct {
	CPUs   int      `json:"cpus" jsonschema:"minimum=1,maximum=65536" jsonschema_description:"CPUs."`
	Memory bytesize `json:"memory" jsonschema_description:"Memory: 512MiB, 3GiB, or a number of bytes."`
	GPUs   int      `json:"gpus" jsonschema:"minimum=0,maximum=1024" jsonschema_description:"GPUs."`
	Time   duration `json:"time" jsonschema_description:"Time to ask of a cluster: 45m, 12h."`
}

const (
	durationPattern = `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	bytesizePattern = `^[0-9]+(\.[0-9]+)? ?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$`
	namePattern     = `^[A-Za-z][A-Za-z0-9_-]*$`
)

// patternWords says in words what the patterns of this package ask for.
var patternWords = map[string]string{
	`^[A-Za-z][A-Za-z0-9._-]*$`: "must be letters, digits, `.`, `_` and `-`, beginning with a letter",
	`^https?://`:                "must begin with https:// (or http://)",
	`^[0-9A-Fa-f]{64}$`:         "must be 64 hexadecimal digits",
	`^[0-9A-Fa-f]{40}$`:         "must be 40 hexadecimal digits",
	`^[A-Za-z_][A-Za-z0-9_]*$`:  "must be the name of an environment variable",
	durationPattern:             "must be a time such as 90s, 15m or 2h30m",
	bytesizePattern:             "must be a size such as 512MiB or 3GiB",
	namePattern:                 "must be letters, digits, `_` and `-`, beginning with a letter",
}

// refs is one reference or a list of them.
type refs struct{}

func (refs) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Extras: map[string]any{
		"type":  []any{"string", "array"},
		"items": map[string]any{"type": "string"},
	}}
}

type duration struct{}

func (duration) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: durationPattern}
}

type bytesize struct{}

func (bytesize) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Extras: map[string]any{
		"type":    []any{"string", "integer"},
		"pattern": bytesizePattern,
		"minimum": 0,
	}}
}
