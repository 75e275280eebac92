package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sort"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
)

// Resolved is a pipeline as a run resolved it. The ledger keeps it with the run, so that
// provenance and differences can be told long after the pipeline file has changed.
type Resolved struct {
	Engine  int              `json:"engine"`
	Targets []string         `json:"targets,omitempty"` // stages that the run was asked for; none: all
	Seed    uint64           `json:"seed"`
	Sources []ResolvedSource `json:"sources"`
	Stages  []ResolvedStage  `json:"stages"` // topological
}

// ResolvedSource is a source that the run's stages read.
type ResolvedSource struct {
	Name    string `json:"name"`
	License string `json:"license,omitempty"`
	Count   int    `json:"count"` // files
	Bytes   int64  `json:"bytes"`
	Files   string `json:"files"` // digest of the list, JSON of SourceFiles, which the ledger keeps
}

// SourceFile is one file of a source.
type SourceFile struct {
	Name   string `json:"name"`          // in the source
	Path   string `json:"path"`          // relative to the pipeline file's directory where it is below it
	URL    string `json:"url,omitempty"` // where the pipeline file says it is from
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// ResolvedStage is one stage.
type ResolvedStage struct {
	Name    string              `json:"name"`
	Kind    string              `json:"kind"`
	Version int                 `json:"version"`
	Config  string              `json:"config"` // digest of the canonical config that enters keys; the ledger keeps it
	From    map[string][]string `json:"from"`   // input port → "stage.port", "sources.name"
}

// resolved describes the graph, and gives the texts that the description names by digest.
func (g *graph) resolved() (*Resolved, map[string][]byte) {
	r := &Resolved{Engine: EngineFormat, Seed: g.pipeline.Seed}
	texts := map[string][]byte{}
	licenses, urls := map[string]string{}, map[string]string{}
	for _, s := range g.pipeline.Sources {
		licenses[s.Name] = s.License
		for _, f := range s.Files {
			urls[f.Abs] = f.URL
		}
	}
	used := map[string][]file{}
	for _, n := range g.nodes {
		st := ResolvedStage{Name: n.Name, Kind: n.Kind.Name, Version: n.Kind.Version, Config: n.config.digest, From: map[string][]string{}}
		texts[n.config.digest] = n.config.keyed
		for _, port := range n.Kind.In {
			for _, f := range n.feeds[port.Name] {
				st.From[port.Name] = append(st.From[port.Name], f.ref.String())
				if f.ref.Source != "" {
					used[f.ref.Source] = g.sources[f.ref.Source]
				}
			}
		}
		r.Stages = append(r.Stages, st)
	}
	for name, files := range used {
		src := ResolvedSource{Name: name, License: licenses[name], Count: len(files)}
		b := canonicalFiles(len(files), func(i int) SourceFile {
			f := &files[i]
			src.Bytes += f.Size
			return SourceFile{Name: f.Name, Path: below(g.pipeline, f.path), URL: urls[f.path], SHA256: f.Digest, Size: f.Size}
		})
		src.Files = digestOf(b)
		texts[src.Files] = b
		r.Sources = append(r.Sources, src)
	}
	sort.Slice(r.Sources, func(i, j int) bool { return r.Sources[i].Name < r.Sources[j].Name })
	return r, texts
}

// canonicalFiles is canonical of a list of SourceFiles, encoded one by one: of ten thousand
// files the list and what an encoder needs for all of it at once are megabytes.
func canonicalFiles(count int, file func(int) SourceFile) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('[')
	var f SourceFile
	for i := range count {
		f = file(i)
		if err := enc.Encode(&f); err != nil {
			panic("dag: a source file without JSON form: " + err.Error()) // it is a plain struct
		}
		b.Truncate(b.Len() - 1) // the newline that Encode adds
		if i == 0 {
			b.Grow((count - 1) * (b.Len() + 8)) // the others are about as long
		}
		if i < count-1 {
			b.WriteByte(',')
		}
	}
	b.WriteByte(']')
	return b.Bytes()
}

// below is a path relative to the pipeline file's directory, if it is inside.
func below(p *pipelinefile.Pipeline, path string) string {
	if r, err := filepath.Rel(p.Dir, path); err == nil && filepath.IsLocal(r) {
		return r
	}
	return path
}

// ResolvedBy reads back what a run resolved. It is nil, without an error, for a run of a
// program that did not record it yet.
func ResolvedBy(l *artifacts.Ledger, run int64) (*Resolved, error) {
	b, err := l.Graph(run)
	if err != nil || b == nil {
		return nil, err
	}
	var r Resolved
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("ledger: graph of run %d: %w", run, err)
	}
	return &r, nil
}

// FilesOf lists the files of a source.
func (s *ResolvedSource) FilesOf(l *artifacts.Ledger) ([]SourceFile, error) {
	b, err := l.Config(s.Files)
	if err != nil {
		return nil, err
	}
	var files []SourceFile
	if err := json.Unmarshal(b, &files); err != nil {
		return nil, fmt.Errorf("ledger: files of source %s: %w", s.Name, err)
	}
	return files, nil
}
