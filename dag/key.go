package dag

// # Why content digests feed keys
//
// A part is a pure function of the files it reads, its stage's config and the seed, so
// a part with the same key need not run again: its outputs are known. The key must
// hold all that determines the outputs, or a stale result is served; and nothing else,
// or work is repeated for no reason.
//
// All that determines them: the engine's format, the stage kind and its version, the
// config with every default filled in, the arguments that cut the part, the digests of
// just the files the part reads (with their names or origins where the kind says it
// looks at them), the seed, the environment variables the pipeline file declares, and the
// class of processors where the bits depend on it (training in bf16).
//
// Never in a key: absolute paths, the stage's name, the pipeline's name, worker count,
// host, time, attempt, where outputs are published, resources, retries, timeouts, and the
// settings that a kind says do not change its output (how often it saves a checkpoint).
//
// Inputs enter by the digest of their content and not by the key of the part that made
// them. So when an upstream part runs again and gives the same bytes, everything
// below it is a hit: the change is cut off there, early. The price is that a plan
// cannot know the keys below a part that has yet to run; it says "may be cut off".

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// EngineFormat is raised when what the engine makes of a part's outputs changes.
const EngineFormat = 1

// listInline is how many files of one port a key spells out. Beyond that it holds the
// digest of the list, and the list itself is kept once in the ledger.
const listInline = 16

// Components is what a part's key is the digest of.
type Components struct {
	Engine  int                `json:"engine"`
	Kind    string             `json:"kind"`
	Version int                `json:"version"`
	Config  string             `json:"config"` // digest of the canonical config
	Args    json.RawMessage    `json:"args,omitempty"`
	Join    bool               `json:"join,omitempty"`
	Inputs  map[string]Listing `json:"inputs"`
	Seed    uint64             `json:"seed"`
	Env     map[string]string  `json:"env,omitempty"`
	Machine string             `json:"machine,omitempty"` // see stage.Kind
}

// Listing is the files of one input port, in order: spelled out, or by digest.
type Listing struct {
	Files  []FileKey `json:"files,omitempty"`
	Count  int       `json:"count,omitempty"`
	Digest string    `json:"list,omitempty"` // of the JSON array of FileKeys
}

// FileKey is what a key holds of a file: digest, then name and origin where the stage
// kind looks at them.
type FileKey [3]string

// MarshalJSON leaves out trailing empty strings.
func (f FileKey) MarshalJSON() ([]byte, error) {
	n := 3
	for n > 1 && f[n-1] == "" {
		n--
	}
	return json.Marshal(f[:n])
}

func fileKey(f stage.File) FileKey { return FileKey{f.Digest, f.Name, f.Origin} }

// canonical encodes v as JSON with sorted map keys and no HTML escapes.
func canonical(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("dag: key component without JSON form: " + err.Error()) // components are plain structs
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func digestOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// Key is the part's name in the cache.
func (c *Components) Key() string { return digestOf(canonical(c)) }

// environment is what a key holds of the variables that a stage declares: those that
// are set. One that is set to nothing is another than one that is not set.
func environment(names []string) (env map[string]string) {
	for _, v := range names {
		if x, ok := os.LookupEnv(v); ok {
			if env == nil {
				env = map[string]string{}
			}
			env[v] = x
		}
	}
	return env
}

// list makes the Listing of some files, and says what to keep under its digest when it
// is not spelled out.
func list(files []file) (l Listing, keep []byte) {
	keys := make([]FileKey, len(files))
	for i, f := range files {
		keys[i] = fileKey(f.File)
	}
	if len(keys) <= listInline {
		return Listing{Files: keys}, nil
	}
	b := canonical(keys)
	return Listing{Count: len(keys), Digest: digestOf(b)}, b
}
