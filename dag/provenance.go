package dag

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// Origin says where an artifact, or one file of it, comes from: what made it out of
// what, back to the sources. Origins form a graph without cycles: what two stages read is
// one Origin.
type Origin struct {
	Name      string // "clean.docs", "sources.ptwiki"
	Digest    string // of the artifact, or of the file; empty for a source of several files
	File      string // its name, when the origin is that of one file
	Files     int
	Bytes     int64
	Documents int64

	// Of a source.
	License string
	Sources []SourceFile

	// Of an output.
	By   *Making
	From []OriginEdge // what that read, by port
}

// ID tells origins of one trace apart.
func (o *Origin) ID() string {
	if o.File != "" {
		return o.Name + "/" + o.File
	}
	return o.Name
}

// OriginEdge is an input of what made something.
type OriginEdge struct {
	Port string
	*Origin
}

// Making is the work that made an output: a stage, or one part of it.
type Making struct {
	Stage, Kind string
	Version     int
	Config      string    // digest; the ledger has the text
	Part        string    // its name, when one part made it
	Keys        []string  // of the parts, and of the join
	Began, Done time.Time // of the first, of the last
	Seconds     float64   // of all parts together
}

// tracer follows outputs of one run back.
type tracer struct {
	store    *artifacts.Store
	run      int64
	resolved *Resolved
	records  map[string]artifacts.StageRecord
	seen     map[string]*Origin
	makings  map[string][]*artifacts.Action // stage → what its parts made
	names    map[string]string              // key → name of the part
}

// Trace follows an output of a run back to the sources; with file not empty, that file
// alone, through the parts that made it and what it is made of.
func Trace(s *artifacts.Store, run int64, stageName, port, file string) (*Origin, error) {
	t := &tracer{store: s, run: run, records: map[string]artifacts.StageRecord{}, seen: map[string]*Origin{},
		makings: map[string][]*artifacts.Action{}, names: map[string]string{}}
	var err error
	if t.resolved, err = ResolvedBy(s.Ledger(), run); err != nil {
		return nil, err
	}
	if t.resolved == nil {
		return nil, fmt.Errorf("run %d was made by an older program, which did not record its sources: run the pipeline again, which repeats no work", run)
	}
	stages, err := s.Ledger().Stages(run)
	if err != nil {
		return nil, err
	}
	for _, st := range stages {
		t.records[st.Stage] = st
	}
	if file == "" {
		return t.output(stageName, port)
	}
	m, err := t.manifest(stageName, port)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range m.Files {
		if f.Path == file {
			return t.file(stageName, port, f)
		}
		names = append(names, f.Path)
	}
	no := &NoSuchOutput{fmt.Sprintf("output %s.%s has no file %q", stageName, port, file)}
	if near := stage.Nearest(file, names); near != "" {
		no.text += "; is it " + near + "?"
	}
	return nil, no
}

// NoSuchOutput says that what a trace was asked for is not there.
type NoSuchOutput struct{ text string }

func (e *NoSuchOutput) Error() string { return e.text }

// output is the origin of a whole output.
func (t *tracer) output(stageName, port string) (*Origin, error) {
	name := stageName + "." + port
	if o := t.seen[name]; o != nil {
		return o, nil
	}
	rec, ok := t.records[stageName]
	if !ok {
		return nil, &NoSuchOutput{fmt.Sprintf("run %d did not complete stage %s", t.run, stageName)}
	}
	outs, err := outputsOf(rec)
	if err != nil {
		return nil, err
	}
	out, ok := outs[port]
	if !ok {
		return nil, &NoSuchOutput{fmt.Sprintf("stage %s has no output port %q; it has %s", stageName, port, strings.Join(unionKeys(outs, nil), ", "))}
	}
	o := &Origin{Name: name, Digest: out.Digest, Files: out.Files, Bytes: out.Bytes, Documents: max(documents(t.store, out.Digest), 0)}
	t.seen[name] = o
	actions, err := t.made(stageName)
	if err != nil {
		return nil, err
	}
	st := t.stage(stageName)
	o.By = making(st, actions)
	for _, p := range unionKeys(st.From, nil) {
		for _, ref := range st.From[p] {
			in, err := t.reference(ref)
			if err != nil {
				return nil, err
			}
			o.From = append(o.From, OriginEdge{p, in})
		}
	}
	return o, nil
}

func making(st *ResolvedStage, actions []*artifacts.Action) *Making {
	m := &Making{Stage: st.Name, Kind: st.Kind, Version: st.Version, Config: st.Config}
	for _, a := range actions {
		m.Keys = append(m.Keys, a.Key)
		m.Seconds += a.Seconds
		began := a.Created.Add(-time.Duration(a.Seconds * float64(time.Second)))
		if m.Began.IsZero() || began.Before(m.Began) {
			m.Began = began
		}
		if a.Created.After(m.Done) {
			m.Done = a.Created
		}
	}
	slices.Sort(m.Keys)
	return m
}

func (t *tracer) stage(name string) *ResolvedStage {
	for i := range t.resolved.Stages {
		if st := &t.resolved.Stages[i]; st.Name == name {
			return st
		}
	}
	return &ResolvedStage{Name: name}
}

// made gives what the parts of a stage made, as far as the ledger still knows.
func (t *tracer) made(stageName string) ([]*artifacts.Action, error) {
	if a, ok := t.makings[stageName]; ok {
		return a, nil
	}
	parts, err := t.store.Ledger().Parts(t.run, stageName)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, p := range parts {
		if t.names[p.Key] == "" {
			keys = append(keys, p.Key)
			t.names[p.Key] = p.Part
		}
	}
	known, err := t.store.Ledger().Actions(keys)
	if err != nil {
		return nil, err
	}
	actions := []*artifacts.Action{}
	for _, k := range keys {
		if a := known[k]; a != nil {
			actions = append(actions, a)
		}
	}
	t.makings[stageName] = actions
	return actions, nil
}

func (t *tracer) reference(ref string) (*Origin, error) {
	if name, ok := strings.CutPrefix(ref, "sources."); ok {
		return t.source(name, "")
	}
	i := strings.LastIndexByte(ref, '.')
	return t.output(ref[:i], ref[i+1:])
}

// source is the origin of a source, or of its file with a digest.
func (t *tracer) source(name, digest string) (*Origin, error) {
	id := "sources." + name + "/" + digest
	if o := t.seen[id]; o != nil {
		return o, nil
	}
	for i := range t.resolved.Sources {
		s := &t.resolved.Sources[i]
		if s.Name != name {
			continue
		}
		files, err := s.FilesOf(t.store.Ledger())
		if err != nil {
			return nil, err
		}
		o := &Origin{Name: "sources." + name, License: s.License}
		for _, f := range files {
			if digest == "" || f.SHA256 == digest {
				o.Sources = append(o.Sources, f)
				o.Files++
				o.Bytes += f.Size
			}
		}
		if o.Files == 1 {
			o.Digest, o.File = o.Sources[0].SHA256, o.Sources[0].Name
		}
		t.seen[id] = o
		return o, nil
	}
	return nil, fmt.Errorf("the ledger does not know the files of source %s in run %d", name, t.run)
}

func (t *tracer) manifest(stageName, port string) (*artifacts.Manifest, error) {
	o, err := t.output(stageName, port)
	if err != nil {
		return nil, err
	}
	return t.store.Manifest(o.Digest)
}

// file is the origin of one file of an output: the part that made it, and the files that
// this part read.
func (t *tracer) file(stageName, port string, f artifacts.ManifestFile) (*Origin, error) {
	id := stageName + "." + port + "/" + f.Digest
	if o := t.seen[id]; o != nil {
		return o, nil
	}
	o := &Origin{Name: stageName + "." + port, File: f.Path, Digest: f.Digest, Files: 1, Bytes: f.Size}
	var st stage.Stats
	if len(f.Stats) > 0 && json.Unmarshal(f.Stats, &st) == nil {
		o.Documents = st.Documents
	}
	t.seen[id] = o
	actions, err := t.made(stageName)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(actions, func(a *artifacts.Action) bool {
		return slices.ContainsFunc(a.Outputs.Files, func(g artifacts.ManifestFile) bool {
			return g.Digest == f.Digest && strings.HasPrefix(g.Path, port+"/")
		})
	})
	if i < 0 {
		return o, nil // its record was collected
	}
	a := actions[i]
	rs := t.stage(stageName)
	o.By = making(rs, actions[i:i+1])
	o.By.Part = t.names[a.Key]
	var c Components
	if err := json.Unmarshal(a.Components, &c); err != nil {
		return nil, fmt.Errorf("ledger: components of %s: %w", a.Key, err)
	}
	if c.Join { // it read what the stage's parts made of all inputs
		whole, err := t.output(stageName, port)
		if err != nil {
			return nil, err
		}
		o.From = whole.From
		return o, nil
	}
	for _, p := range unionKeys(c.Inputs, nil) {
		files, err := (&past{ledger: t.store.Ledger()}).files(c.Inputs[p])
		if err != nil {
			return nil, err
		}
		if err := t.inputs(o, rs, p, files); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// inputs adds the origins of files that a part read from a port. A port of which the part
// read all is one origin.
func (t *tracer) inputs(o *Origin, st *ResolvedStage, port string, files []FileKey) error {
	read := map[string]bool{}
	for _, f := range files {
		read[f[0]] = true
	}
	for _, ref := range st.From[port] {
		whole, err := t.reference(ref)
		if err != nil {
			return err
		}
		if whole.By == nil {
			all := true
			var some []SourceFile
			for _, f := range whole.Sources {
				all = all && read[f.SHA256]
				if read[f.SHA256] {
					some = append(some, f)
				}
			}
			if all {
				o.From = append(o.From, OriginEdge{port, whole})
				continue
			}
			for _, f := range some {
				one, err := t.source(strings.TrimPrefix(ref, "sources."), f.SHA256)
				if err != nil {
					return err
				}
				o.From = append(o.From, OriginEdge{port, one})
			}
			continue
		}
		i := strings.LastIndexByte(ref, '.')
		m, err := t.store.Manifest(whole.Digest)
		if err != nil {
			return err
		}
		var some []artifacts.ManifestFile
		for _, f := range m.Files {
			if read[f.Digest] {
				some = append(some, f)
			}
		}
		if len(some) == len(m.Files) && len(some) > 1 {
			o.From = append(o.From, OriginEdge{port, whole})
			continue
		}
		for _, f := range some {
			one, err := t.file(ref[:i], ref[i+1:], f)
			if err != nil {
				return err
			}
			o.From = append(o.From, OriginEdge{port, one})
		}
	}
	return nil
}

// Walk calls visit for every origin once, what something is made of before it.
func (o *Origin) Walk(visit func(*Origin)) { o.walk(visit, map[*Origin]bool{}) }

func (o *Origin) walk(visit func(*Origin), seen map[*Origin]bool) {
	if seen[o] {
		return
	}
	seen[o] = true
	for _, e := range o.From {
		e.Origin.walk(visit, seen)
	}
	visit(o)
}
