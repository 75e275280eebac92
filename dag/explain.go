package dag

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
)

// Reason is one difference between a stage as it is now and as it was when it last ran
// in this pipeline: a component of the key, old → new.
type Reason struct {
	// Component is "engine", "kind", "version", "config.<path>", "seed", "env.<NAME>";
	// "input.<port>" (content), "input.<port>.name", ".origin" or ".order"; "cut"; and,
	// where the key is the same, "output", "undeclared" or "history".
	Component string `json:"component"`
	Old       string `json:"old,omitempty"`
	New       string `json:"new,omitempty"`
	Where     string `json:"where,omitempty"` // file:line:column of what says so now
	Text      string `json:"text"`            // the whole of it, as a sentence
}

// past is what the ledger knows of a stage's last run.
type past struct {
	ledger *artifacts.Ledger
	keys   map[string]bool
	names  map[string]bool // of its parts
	parts  []Components    // of those parts whose actions are still known
	joins  []Components
	lists  map[string][]FileKey // by digest, once looked up

	sizes     []int64 // bytes of input of each part
	joinBytes int64   // of the join
}

func newPast(l *artifacts.Ledger, pipeline, stage string) (*past, error) {
	rec, err := l.LastParts(pipeline, stage)
	if err != nil {
		return nil, err
	}
	p := &past{ledger: l, keys: map[string]bool{}, names: map[string]bool{}}
	var keys []string
	for _, r := range rec {
		p.keys[r.Key], p.names[r.Part] = true, true
		keys = append(keys, r.Key)
	}
	actions, err := l.Actions(keys)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		a := actions[k]
		if a == nil {
			continue
		}
		var c Components
		if err := json.Unmarshal(a.Components, &c); err != nil {
			return nil, fmt.Errorf("ledger: components of %s: %w", k, err)
		}
		if c.Join {
			p.joins, p.joinBytes = append(p.joins, c), a.InputBytes
		} else {
			p.parts, p.sizes = append(p.parts, c), append(p.sizes, a.InputBytes)
		}
	}
	return p, nil
}

// any gives what stands for the stage: its join, which has the whole config, or a part.
func (p *past) any() *Components {
	if len(p.joins) > 0 {
		return &p.joins[0]
	}
	if len(p.parts) > 0 {
		return &p.parts[0]
	}
	return nil
}

// own lists what differs in a stage's own settings: kind, version, config, seed,
// environment. Any of these reruns the whole stage, whatever its inputs.
func (p *past) own(g *graph, n *node) (rs []Reason, err error) {
	c := p.any()
	if c == nil {
		return nil, nil
	}
	if c.Engine != EngineFormat {
		rs = append(rs, reason("engine", strconv.Itoa(c.Engine), strconv.Itoa(EngineFormat), "", "the engine's format"))
	}
	if c.Kind != n.Kind.Name {
		return append(rs, reason("kind", c.Kind, n.Kind.Name, place(n.Pos), "uses")), nil
	}
	if c.Version != n.Kind.Version {
		rs = append(rs, reason("version", strconv.Itoa(c.Version), strconv.Itoa(n.Kind.Version), "", "the version of stage kind "+n.Kind.Name))
	}
	now := n.parted
	if c.Join {
		now = n.config
	}
	if c.Config != now.digest {
		was, err := p.ledger.Config(c.Config)
		if err != nil {
			return nil, err
		}
		changes, err := configChanges(was, now.keyed)
		if err != nil {
			return nil, fmt.Errorf("ledger: config %s: %w", c.Config, err)
		}
		for _, ch := range changes {
			at := ch.path
			if ch.is == "" { // what is gone has no place; what it was in has
				at = at[:max(strings.LastIndexAny(at, ".["), 0)]
			}
			rs = append(rs, reason("config."+ch.path, ch.was, ch.is, where(n, at), "with."+ch.path))
		}
	}
	if c.Machine != n.config.machine && len(rs) == 0 { // else the setting that asks for it changed
		rs = append(rs, reason("machine", c.Machine, n.config.machine, "", "the class of processors"))
	}
	if c.Seed != g.pipeline.Seed {
		rs = append(rs, reason("seed", strconv.FormatUint(c.Seed, 10), strconv.FormatUint(g.pipeline.Seed, 10), "", "seed"))
	}
	env := environment(n.Env)
	for _, v := range unionKeys(c.Env, env) {
		was, had := c.Env[v]
		is, has := env[v]
		if was != is || had != has {
			rs = append(rs, reason("env."+v, variable(was, had), variable(is, has), place(n.Pos), "the environment variable "+v))
		}
	}
	return rs, nil
}

// variable shows the value of an environment variable; "" where it is not set.
func variable(value string, set bool) string {
	if set && value == "" {
		return `""`
	}
	return value
}

// parted lists why parts that have to run differ from those of the last run, given
// that the stage's own settings do not.
func (p *past) parted(n *node, missed []*part) (rs []Reason, err error) {
	var other []*part
	for _, q := range missed {
		switch {
		case q.gone != "":
			return []Reason{{Component: "output", Old: q.gone, Text: fmt.Sprintf("output %s of part %s is not in the store any more", q.gone, q.name)}}, nil
		case q.moved != nil:
			return []Reason{q.moved.reason()}, nil
		case !p.keys[q.key]:
			other = append(other, q)
		}
	}
	if len(other) == 0 {
		return []Reason{{Component: "history", Text: "its last attempt left no result: it failed, was stopped, or its record was removed"}}, nil
	}
	for _, port := range n.Kind.In {
		if rs, err = p.input(n, port, rs); err != nil {
			return nil, err
		}
	}
	if len(rs) > 0 {
		return rs, nil
	}
	for _, port := range n.Kind.Mid { // what parts wrote differs although what they read does not
		if rs, err = p.input(n, port, rs); err != nil {
			return nil, err
		}
	}
	if len(rs) > 0 {
		return rs, nil
	}
	r := Reason{Component: "cut", New: other[0].name, Text: "its inputs are cut into other parts than in the last run: part " + other[0].name + " is new"}
	for _, q := range n.parts {
		delete(p.names, q.name)
	}
	for _, old := range unionKeys(p.names, nil) {
		if old != joinName {
			r.Old = old
			break
		}
	}
	return []Reason{r}, nil
}

// joinName is what messages and the ledger call a join.
const joinName = "join"

func joinOf(n *node) []*part {
	if n.join == nil {
		return nil
	}
	return []*part{n.join}
}

func reason(component, was, is, where, what string) Reason {
	r := Reason{Component: component, Old: was, New: is, Where: where}
	show := func(s string) string {
		if s == "" {
			return "(not set)"
		}
		return s
	}
	r.Text = fmt.Sprintf("%s: %s → %s", what, show(was), show(is))
	if where != "" {
		r.Text += " (" + where + ")"
	}
	return r
}

// place is a place in the pipeline file, its path from the working directory on.
func place(pos pipelinefile.Pos) string {
	pos.File = fromHere(pos.File)
	return pos.String()
}

// where finds what in the file sets a config path: the path itself, or the closest
// thing above it; a default has the place of the stage.
func where(n *node, path string) string {
	for p := path; p != ""; {
		if pos, ok := n.Where[p]; ok {
			return place(pos)
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			break
		}
		p = p[:i]
	}
	return place(n.Pos)
}

func unionKeys[V any](a, b map[string]V) []string {
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	return keys
}

// ID is how the ledger names a pipeline: runs of different profiles are not compared
// with each other.
func ID(p *pipelinefile.Pipeline) string {
	if p.Profile == "" {
		return p.Name
	}
	return p.Name + "@" + p.Profile
}
