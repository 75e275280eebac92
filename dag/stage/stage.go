// Package stage is the contract between the engine and the stage kinds: the only
// package of the engine that a stage imports, and all that the engine knows of one.
//
// Every stage is split → run → join. Split cuts the inputs into parts, from their
// listings alone. Run does one part: a pure function of the files it reads, the
// config and the seed. Join makes the stage's outputs out of the parts' outputs;
// without one the outputs are the parts' files, listed in part order.
//
// A stage sees the world through its Task only. It never learns where the store
// is, which run it belongs to, what time it is or how many workers there are, so
// the engine may cache a part, resume it, move it or do it twice.
//
// To add a kind: write a package under stages/ with a Config struct (json and
// jsonschema tags, defaults in a value), a New function and a Kind value; list the
// Kind in stages/registry.go; give it a golden test (package stagetest) and a page
// in docs/stages/.
package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

// Kind is what a stage kind tells the engine about itself, before any config is read.
type Kind struct {
	Name    string // as `uses:` names it: "wiki-parse"
	Version int    // raised whenever the output for the same input and config changes
	Doc     string // one sentence, for the schema and the help
	In, Out []Port

	// Mid lists the ports that parts write and only Join reads. A kind with Mid
	// ports makes its outputs in Join; the parts of any other kind write to Out.
	Mid []Port

	// Map names the In port whose files are the parts, one each. Such parts start
	// as soon as their file is published. The files of all other ports are read by
	// every part. With neither Map nor a Splitter, the whole stage is one part.
	Map string

	// Threads says that one part can use several CPUs (training, for one): unless
	// the pipeline file says otherwise it is given all that the run has.
	Threads bool

	// Config is a struct holding the defaults. Its type gives the JSON Schema.
	Config any

	// JoinConfig names the top-level keys of the config that only Join reads. Parts are
	// given the defaults in their place, so changing one reruns the join alone.
	JoinConfig []string

	// Unkeyed names the top-level keys of the config that change how the work is done
	// and never what comes out (how often a checkpoint is saved). They stay out of keys.
	Unkeyed []string

	// Machine names what of this machine the outputs for a config depend on: the class of
	// processors whose bits they are, or nothing. It is part of the key. nil: nothing, ever.
	Machine func(config []byte) (string, error)

	// New decodes a config (canonical JSON: every field present) and checks what
	// the schema cannot say. Use Build.
	New func(config []byte) (Stage, error)
}

// Port is a named input or output.
type Port struct {
	Name string
	Doc  string
	Type Type

	Many     bool // input: may be wired to several outputs, whose files follow each other in that order
	Optional bool // input: may be left unwired

	// Names and Origins say that the stage looks at File.Name or File.Origin of this
	// input. Only then are they filled in, and only then are they part of the key.
	Names, Origins bool

	// Join says that of this input only Join reads: parts do not see it, and a change
	// in it reruns no part.
	Join bool
}

// Type says what an artifact holds, so that a wrong wire is an error before anything runs.
type Type string

// The types of artifacts. An input of type Any takes all of them, and so does an
// input wired to an output of type Any.
const (
	Any       Type = "any"
	Source    Type = "source"    // files from outside
	Documents Type = "documents" // shards of documents, .jsonl.zst (package corpus)
	Reports   Type = "reports"   // corpus.Report, one JSON file a part
	Droplist  Type = "droplist"  // which documents dedup drops, and why
	Tokenizer Type = "tokenizer" // tokenizer.json and its siblings
	Tokens    Type = "tokens"    // token files, index, manifest
	Model     Type = "model"     // weights, config, tokenizer: one directory that `generate` opens
	Page      Type = "page"      // report.json and a self-contained report.html
)

// File is one file of an input or output.
type File struct {
	Name   string `json:"name,omitempty"`   // slash-separated path inside its artifact; see Port.Names
	Origin string `json:"origin,omitempty"` // "clean.docs", "sources.ptwiki"; see Port.Origins
	Digest string `json:"digest"`           // sha256, hex
	Size   int64  `json:"size"`             // bytes
	Stats  Stats  `json:"stats,omitzero"`
}

// Stats is what a manifest says about a shard besides its digest and size.
type Stats struct {
	Documents int64  `json:"documents,omitempty"`
	Bytes     int64  `json:"bytes,omitempty"` // of text, before compression
	Tokens    int64  `json:"tokens,omitempty"`
	First     string `json:"first,omitempty"` // id of the first document
	Last      string `json:"last,omitempty"`  // id of the last document
}

// Inputs lists the files of each input port, in order.
type Inputs map[string][]File

// Part is one cut of a stage's inputs.
type Part struct {
	Name string // what messages call it: "bytes 0-67108863"; unique in its stage

	// Args is handed to Run through Task.Args and enters the key: a byte range, say.
	Args any

	// Files lists, by input port, the indices of the files the part reads. A port
	// that is absent means all of its files.
	Files map[string][]int

	// Whole says that this is the stage's only part, however many files it reads: its
	// outputs keep their names. Those of other parts are numbered, since two parts may
	// give one name.
	Whole bool
}

// Stage is a configured stage kind.
type Stage interface {
	// Run does one part. It returns ctx.Err() soon after ctx ends, leaving in
	// Task.Partial what a later attempt at the same part can go on from.
	Run(ctx context.Context, t Task) error
}

// Splitter is a Stage that cuts its inputs itself. Split opens no file.
type Splitter interface {
	Split(in Inputs) ([]Part, error)
}

// Joiner is a Stage that reduces: Join reads the parts' outputs (Kind.Mid ports, in
// part order) and, where it needs to, the stage's inputs, and writes the Out ports.
type Joiner interface {
	Join(ctx context.Context, t Task) error
}

// Task is everything that reaches a stage at work.
type Task interface {
	// Inputs lists the files of an input port that this part reads, in order. In
	// Join it also lists Mid ports. An unwired optional port has none.
	Inputs(port string) []File
	// Open opens a listed file for reading. The caller closes it and never writes.
	Open(f File) (*os.File, error)
	// InputDir gives a directory that holds the files of a port under their names
	// (or 00000, 00001, … where the port does not ask for names). Read-only.
	InputDir(port string) (string, error)
	// Args decodes Part.Args into v.
	Args(v any) error

	// Create begins an output file; name is slash-separated and unique in its port.
	// Listing order is by name within a part.
	Create(port, name string) (Writer, error)
	// OutputDir gives a directory whose regular files become outputs of the port
	// when Run or Join returns, for work that only knows paths.
	OutputDir(port string) (string, error)
	// Partial gives a directory that outlives this attempt until a part with this
	// very key succeeds: the place for checkpoints. Write, fsync, rename.
	Partial() (string, error)

	Seed() uint64 // of the pipeline; in the key
	CPUs() int    // how many goroutines may be busy; never changes the output

	Progress(done, total int64, unit string)   // total 0: not known
	Metric(name string, step int64, x float64) // to the ledger: "train.loss"
	Count(source, rule string, n int64)        // what a rule touched, to the ledger
	Logf(format string, args ...any)           // a line in the part's log
	Notice(text string)                        // to the user, in the summary of each run that uses the part
	// Depends makes the part a hit only as long as a path outside its inputs (a file, the
	// names in a directory, the absence of both) is what it is now.
	Depends(path string) error
	// Refuse lets the part end well and its outputs be published, but stops the run
	// with exit code 3: a gate is broken. The reason says by how much.
	Refuse(reason string)
}

// Writer writes one output file, hashing as it goes. Close it, or the part fails.
type Writer interface {
	Write(p []byte) (int, error)
	// SetStats records what the manifest shall say about the file.
	SetStats(Stats)
	Close() error
}

// Build makes Kind.New out of a constructor that takes the decoded config.
func Build[C any](make func(C) (Stage, error)) func([]byte) (Stage, error) {
	return func(config []byte) (Stage, error) {
		var c C
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, fmt.Errorf("config does not fit %T: %w", c, err)
		}
		return make(c)
	}
}

// PartConfig is the config that parts are given: the defaults stand in place of what
// only Join reads. Both are canonical JSON.
func (k *Kind) PartConfig(whole []byte) ([]byte, error) { return k.withDefaults(whole, k.JoinConfig) }

// KeyConfig is what a config adds to a key: the defaults stand in place of what does not
// change the outputs.
func (k *Kind) KeyConfig(config []byte) ([]byte, error) { return k.withDefaults(config, k.Unkeyed) }

func (k *Kind) withDefaults(config []byte, names []string) ([]byte, error) {
	if len(names) == 0 {
		return config, nil
	}
	var now, defaults map[string]json.RawMessage
	if err := json.Unmarshal(config, &now); err != nil {
		return nil, fmt.Errorf("config of stage kind %s: %w", k.Name, err)
	}
	b, err := json.Marshal(k.Config)
	if err != nil {
		return nil, fmt.Errorf("defaults of stage kind %s: %w", k.Name, err)
	}
	if err := json.Unmarshal(b, &defaults); err != nil {
		return nil, fmt.Errorf("defaults of stage kind %s: %w", k.Name, err)
	}
	for _, name := range names {
		d, ok := defaults[name]
		if !ok {
			return nil, fmt.Errorf("stage kind %s: its config has no %q, which JoinConfig or Unkeyed names", k.Name, name)
		}
		now[name] = d
	}
	return json.Marshal(now)
}

// Input returns the named input port.
func (k *Kind) Input(name string) (Port, bool) { return find(k.In, name) }

// Output returns the named output port.
func (k *Kind) Output(name string) (Port, bool) { return find(k.Out, name) }

func find(ports []Port, name string) (Port, bool) {
	for _, p := range ports {
		if p.Name == name {
			return p, true
		}
	}
	return Port{}, false
}
