// Package pipelinefile reads a pipeline file (YAML) and resolves it: profiles merged,
// variables substituted, matrices expanded, references bound to ports, every config
// filled in and checked against its stage kind. What comes out holds no expression,
// no default and no doubt; what is wrong comes out all at once, each problem with the
// place in the file that says so.
//
//	read     bytes → syntax tree with positions            read.go
//	merge    the profile over the file                     load.go, tree.go
//	replace  ${{ … }} by values, matrices by expansions    expr.go, matrix.go
//	check    against the shapes that keys have             shape.go, check.go
//	decode   sources, stages, what is published            section.go
//	fill in  configs, held against their kind's schema     config.go
//	bind     references → ports, cycles, order             bind.go
//
// Every value keeps its position through all of that, so that `explain` can name
// file and line for a setting long after.
package pipelinefile

import (
	"encoding/json"
	"time"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// Pos is a place in a file. Line and Col count from 1; Col counts characters.
type Pos struct {
	File      string
	Line, Col int
}

// Pipeline is a pipeline file with one profile applied, resolved.
type Pipeline struct {
	Name     string
	Path     string   // of the file, as it was given to Load
	Dir      string   // absolute: the directory that relative paths in the file start from
	Profile  string   // the one applied, or empty
	Profiles []string // all that the file has, in its order
	Seed     uint64
	Sources  []Source
	Stages   []Stage // matrices expanded; topological order, ties by file order
	Publish  []Publish
}

// Source is a named set of files from outside.
type Source struct {
	Name    string
	Files   []SourceFile
	License string
	Pos     Pos
}

// SourceFile is one entry of a source: a file, a directory (all regular files in it)
// or a glob.
type SourceFile struct {
	Path   string // as written
	Abs    string // absolute
	URL    string // where to fetch it when it is not there; may be empty
	SHA256 string // hex, lower case; may be empty
	SHA1   string // hex, lower case; may be empty

	MaxSize int64 // bytes that a fetch may bring; 0: no bound
	Trust   bool  // the URL is believed without a digest
	Pos     Pos
}

// Stage is a configured node of the pipeline.
type Stage struct {
	Name   string // "clean[wiki]" when it comes from a matrix, else "clean"
	Base   string // "clean"
	Kind   *stage.Kind
	Config json.RawMessage  // canonical JSON, defaults filled in
	Where  map[string]Pos   // config path "rules[0].match" → what says so; defaults have no entry
	From   map[string][]Ref // input port → what it is wired to, in order

	CPUs   int           // 0: not said
	Memory int64         // bytes; 0: not said
	GPUs   int           //
	Time   time.Duration // what to ask of a cluster; 0: not said

	Timeout         time.Duration // of one part; 0: none
	Retries         int
	ContinueOnError bool
	Env             []string // names of the environment variables declared to matter
	Pos             Pos
}

// Ref names what an input is wired to: a source, or an output port of a stage.
type Ref struct {
	Source      string // not empty: sources.<Source>
	Stage, Port string // otherwise: <Stage>.<Port>, Stage being a Stage.Name
	Pos         Pos
}

// Publish asks for an output to be placed in a directory as plain files.
type Publish struct {
	Dir  string // absolute
	From Ref
	Pos  Pos
}

// String gives the reference as the pipeline file writes it.
func (r Ref) String() string {
	if r.Source != "" {
		return "sources." + r.Source
	}
	return r.Stage + "." + r.Port
}

// Options say how to read a pipeline file.
type Options struct {
	Kinds   []stage.Kind
	Profile string // empty: the file as it is
}
