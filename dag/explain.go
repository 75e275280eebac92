package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
)

// Reason is one difference between a stage as it is now and as it was when it last ran
// in this pipeline: a component of the key, old → new.
type Reason struct {
	// Component is "config.<path>", "input.<port>", "kind", "version", "seed",
	// "env.<NAME>", "cut", "output", "engine" or "history".
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
	parts  []Components // of those parts whose actions are still known
	joins  []Components
	config map[string]json.RawMessage    // flattened
	inputs map[string]map[string]FileKey // port → digest → key
}

func newPast(l *artifacts.Ledger, pipeline, stage string) (*past, error) {
	rec, err := l.LastParts(pipeline, stage)
	if err != nil {
		return nil, err
	}
	p := &past{ledger: l, keys: map[string]bool{}, inputs: map[string]map[string]FileKey{}}
	var keys []string
	for _, r := range rec {
		p.keys[r.Key] = true
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
			p.joins = append(p.joins, c)
		} else {
			p.parts = append(p.parts, c)
		}
		for port, l := range c.Inputs {
			files, err := p.files(l)
			if err != nil {
				return nil, err
			}
			if p.inputs[port] == nil {
				p.inputs[port] = map[string]FileKey{}
			}
			for _, f := range files {
				p.inputs[port][f[0]] = f
			}
		}
	}
	if c := p.any(); c != nil {
		b, err := l.Config(c.Config)
		if err != nil {
			return nil, err
		}
		p.config = map[string]json.RawMessage{}
		flatten("", b, p.config)
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

func (p *past) files(l Listing) ([]FileKey, error) {
	if l.Digest == "" {
		return l.Files, nil
	}
	b, err := p.ledger.Config(l.Digest)
	if err != nil {
		return nil, err
	}
	var files []FileKey
	if err := json.Unmarshal(b, &files); err != nil {
		return nil, fmt.Errorf("ledger: list %s: %w", l.Digest, err)
	}
	return files, nil
}

// UnmarshalJSON takes what MarshalJSON wrote.
func (f *FileKey) UnmarshalJSON(b []byte) error {
	var s []string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*f = FileKey{}
	copy(f[:], s)
	return nil
}

// own lists what differs in a stage's own settings: kind, version, config, seed,
// environment. Any of these reruns the whole stage, whatever its inputs.
func (p *past) own(g *graph, n *node) (rs []Reason) {
	c := p.any()
	if c == nil {
		return nil
	}
	if c.Engine != EngineFormat {
		rs = append(rs, reason("engine", strconv.Itoa(c.Engine), strconv.Itoa(EngineFormat), "", "the engine's format"))
	}
	if c.Kind != n.Kind.Name {
		rs = append(rs, reason("kind", c.Kind, n.Kind.Name, n.Pos.String(), "uses"))
		return rs
	}
	if c.Version != n.Kind.Version {
		rs = append(rs, reason("version", strconv.Itoa(c.Version), strconv.Itoa(n.Kind.Version), "", "the version of stage kind "+n.Kind.Name))
	}
	if c.Config != n.config.digest {
		now := map[string]json.RawMessage{}
		flatten("", n.config.keyed, now)
		for _, path := range unionKeys(p.config, now) {
			was, is := p.config[path], now[path]
			if bytes.Equal(was, is) {
				continue
			}
			rs = append(rs, reason("config."+path, shown(was), shown(is), where(n, path), "with."+path))
		}
	}
	if c.Seed != g.pipeline.Seed {
		rs = append(rs, reason("seed", strconv.FormatUint(c.Seed, 10), strconv.FormatUint(g.pipeline.Seed, 10), "", "seed"))
	}
	now := map[string]string{}
	for _, v := range n.Env {
		now[v] = os.Getenv(v)
	}
	for _, v := range unionKeys(c.Env, now) {
		was, had := c.Env[v]
		is, has := now[v]
		if was != is || had != has {
			rs = append(rs, reason("env."+v, was, is, n.Pos.String(), "the environment variable "+v))
		}
	}
	return rs
}

// parted lists why parts that have to run differ from those of the last run, given
// that the stage's own settings do not.
func (p *past) parted(n *node, parts []*part) (rs []Reason) {
	for _, q := range parts {
		if q.gone != "" {
			return append(rs, Reason{Component: "output", Old: q.gone, Text: fmt.Sprintf("output %s of part %s is not in the store any more", q.gone, q.name)})
		}
	}
	for _, port := range append(n.Kind.In, n.Kind.Mid...) {
		was := p.inputs[port.Name]
		now := map[string]bool{}
		var added []file
		all := append(append([]*part(nil), n.parts...), joinOf(n)...)
		for _, q := range all {
			for _, f := range q.reads[port.Name] {
				if now[f.Digest] {
					continue
				}
				now[f.Digest] = true
				if k, ok := was[f.Digest]; !ok || k != fileKey(f.File) {
					added = append(added, f)
				}
			}
		}
		var removed []FileKey
		for d, k := range was {
			if !now[d] {
				removed = append(removed, k)
			}
		}
		sort.Slice(removed, func(i, j int) bool { return removed[i][0] < removed[j][0] })
		if len(added)+len(removed) > 0 {
			rs = append(rs, n.inputReason(port.Name, len(now), added, removed))
		}
	}
	if len(rs) > 0 {
		return rs
	}
	for _, q := range parts {
		if p.keys[q.key] {
			return []Reason{{Component: "history", Text: "its last attempt left no result: it failed, was stopped, or its record was removed"}}
		}
	}
	return []Reason{{Component: "cut", Text: "its inputs are cut into other parts than in the last run"}}
}

func joinOf(n *node) []*part {
	if n.join == nil {
		return nil
	}
	return []*part{n.join}
}

// inputReason words a change of an input port's files.
func (n *node) inputReason(port string, total int, added []file, removed []FileKey) Reason {
	r := Reason{Component: "input." + port}
	var from []string
	for _, f := range n.feeds[port] {
		from = append(from, f.ref.String())
		if r.Where == "" {
			r.Where = f.ref.Pos.String()
		}
	}
	// Old and new belong together when they have the same name, or when one file only
	// took the place of one.
	paired := len(added) == 1 && len(removed) == 1
	for i := 0; i < len(added) && !paired; i++ {
		j := slices.IndexFunc(removed, func(k FileKey) bool { return k[1] != "" && k[1] == added[i].Name })
		if j >= 0 {
			added[0], added[i], removed[0], removed[j] = added[i], added[0], removed[j], removed[0]
			paired = true
		}
	}
	name := ""
	switch {
	case len(added) > 0 && added[0].path != "":
		name, r.New = added[0].path, added[0].Digest
	case len(added) > 0:
		name, r.New = mapName(added[0]), added[0].Digest
	case removed[0][1] != "":
		name = removed[0][1]
	}
	if paired || len(added) == 0 {
		r.Old = removed[0][0]
	}
	what := fmt.Sprintf("input %s", port)
	if len(from) > 0 {
		what += " from " + strings.Join(from, ", ")
	}
	switch {
	case len(removed) == 0:
		r.Text = fmt.Sprintf("%s: %d of %d files are new, the first is %s (%.12s)", what, len(added), total, name, r.New)
	case len(added) == 0:
		r.Text = fmt.Sprintf("%s: %d files are gone, the first was %s (%.12s)", what, len(removed), name, r.Old)
	case !paired:
		r.Text = fmt.Sprintf("%s: %d of %d files are new and %d are gone, the first new one is %s (%.12s)", what, len(added), total, len(removed), name, r.New)
	default:
		r.Text = fmt.Sprintf("%s: %d of %d files changed, the first is %s (%.12s → %.12s)", what, len(added), total, name, r.Old, r.New)
	}
	return r
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

// where finds what in the file sets a config path: the path itself, or the closest
// thing above it; a default has the place of the stage.
func where(n *node, path string) string {
	for p := path; p != ""; {
		if pos, ok := n.Where[p]; ok {
			return pos.String()
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			break
		}
		p = p[:i]
	}
	return n.Pos.String()
}

// flatten lists the leaves of a JSON value by path: "rules.mojibake", "gates[0].max".
func flatten(path string, b json.RawMessage, into map[string]json.RawMessage) {
	var m map[string]json.RawMessage
	var l []json.RawMessage
	switch {
	case json.Unmarshal(b, &m) == nil: // an empty one has no leaves
		for k, v := range m {
			p := k
			if path != "" {
				p = path + "." + k
			}
			flatten(p, v, into)
		}
	case json.Unmarshal(b, &l) == nil:
		for i, v := range l {
			flatten(fmt.Sprintf("%s[%d]", path, i), v, into)
		}
	default:
		into[path] = b
	}
}

func shown(b json.RawMessage) string {
	var s string
	if json.Unmarshal(b, &s) == nil {
		return strconv.Quote(s)
	}
	return string(b)
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
