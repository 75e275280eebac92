package dag

import (
	"encoding/json"
	"slices"
	"sort"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// settings is a canonical config as a stage gets it, and as keys hold it.
type settings struct {
	json    []byte
	keyed   []byte
	digest  string // of keyed
	machine string // see stage.Kind.Machine
}

func newSettings(k *stage.Kind, config []byte) (*settings, error) {
	keyed, err := k.KeyConfig(config)
	if err != nil {
		return nil, err
	}
	s := &settings{json: config, keyed: keyed, digest: digestOf(keyed)}
	if k.Machine != nil {
		if s.machine, err = k.Machine(config); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// settings gives the config that a part, or a join, is handed.
func (p *part) settings() *settings {
	if p.join {
		return p.node.config
	}
	return p.node.parted
}

// file is an input or output file and, for a source, where it lies.
type file struct {
	stage.File
	path   string // of a source; an object of the store otherwise
	absent bool   // a source that is still to be fetched
}

// node is a stage at work: its parts as far as they are known.
type node struct {
	*pipelinefile.Stage
	impl   stage.Stage
	config *settings // of the stage, and of its join
	parted *settings // of its parts: without what only the join reads
	feeds  map[string][]*feed
	users  []*node // stages that read from this one, each once

	parts   []*part
	absent  []string // sources that are still to be fetched; in a plan only
	backlog []supply // of the Map port: what is there to be cut into parts
	undone  int      // parts that are not done
	missing int      // inputs that are not complete, Join ports not counted
	late    int      // the same, of Join ports alone
	closed  bool     // all parts are known
	join    *part
	done    bool
	out     map[string][]file // once done: the outputs, by port, in order

	tried bool   // to be found as a whole
	whole *whole // found as one: there are no parts, and out is filled in where it is read

	outputs     map[string]Output // once done and recorded, by port
	refusals    []string          // gates that broke
	notices     Notice            // what its parts had to say
	missedBytes int64             // input of the parts that were not known

	err     error // split failed
	failed  int   // parts that failed for good
	skipped bool  // something above it failed
}

// feed is one thing that an input port is wired to.
type feed struct {
	ref    pipelinefile.Ref
	source []file // of a source
	from   *node  // of a stage
}

// supply is files for a Map port: a source's, or what one part above has published.
type supply struct {
	feed  int
	rank  []int
	files []file
	all   bool // all that the feed gives, which is complete, instead of files
}

// part is one part of a node, or its join.
type part struct {
	node  *node
	name  string
	rank  []int // its place among the node's parts, compared element by element
	args  json.RawMessage
	reads map[string][]file
	join  bool
	whole bool // see stage.Part

	comps Components
	keep  map[string][]byte // lists named by digest in comps
	key   string
	bytes int64 // of its inputs
	takes *Span // what it is expected to take, from when it is queued to when it is done; nil when unknown

	asked   bool // the remote was asked for it
	fetched bool // and had it
	state   partState
	hit     *artifacts.Action // when done
	outputs map[string][]file // when done, by port
	gone    string            // why a hit was not taken: what is missing from the store,
	moved   *moved            // or is outside and not what it was
}

type partState int

const (
	partNew    partState = iota // its key is not looked up yet
	partMissed                  // it has to run
	partDone
	partFailed
)

// chains says whether the node's parts can start on single parts of what feeds port:
// it is the Map port, and the names of the files, which depend on how many stand
// before them, do not matter.
func (n *node) chains(p stage.Port) bool {
	return p.Name == n.Kind.Map && !p.Names
}

// asPort shows files as an input port sees them: names and origins only if it asks.
func asPort(p stage.Port, files []file, origin string) []file {
	r := make([]file, len(files))
	for i, f := range files {
		f.Origin = ""
		if p.Origins {
			f.Origin = origin
		}
		if !p.Names {
			f.Name = ""
		}
		r[i] = f
	}
	return r
}

// mapName is what messages call a part that is one file.
func mapName(f file) string {
	switch {
	case f.Name != "":
		return f.Name
	case f.Stats.First != "":
		return f.Stats.First
	}
	return f.Digest[:12]
}

// inputFiles lists an input port whose feeds are complete.
func (n *node) inputFiles(p stage.Port) []file {
	var r []file
	for _, f := range n.feeds[p.Name] {
		if f.from == nil {
			r = append(r, f.source...)
		} else {
			r = append(r, asPort(p, f.from.out[f.ref.Port], f.ref.String())...)
		}
	}
	return r
}

// ordered is the node's parts in the order of what they read.
func (n *node) ordered() []*part {
	parts := slices.Clone(n.parts)
	sort.SliceStable(parts, func(i, j int) bool { return slices.Compare(parts[i].rank, parts[j].rank) < 0 })
	return parts
}
