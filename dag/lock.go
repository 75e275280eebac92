package dag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/source"
)

// lockFormat is raised when an older program could no longer hold a pipeline to the file.
const lockFormat = 1

// LockFile is what stands beside a pipeline file, in <file>.lock: for each profile that
// was locked, what goes in and what must come out. It belongs into version control.
type LockFile struct {
	Format   int              `json:"format"`
	Profiles map[string]*Lock `json:"profiles"` // "" is the file without a profile
}

// Lock pins one pipeline: the digests of its sources, the settings of its stages, and
// the digests of all outputs.
type Lock struct {
	Engine  int                     `json:"engine"`
	Seed    uint64                  `json:"seed"`
	Sources map[string][]LockedFile `json:"sources"`
	Stages  map[string]*LockedStage `json:"stages"`
}

// LockedFile is one file of a source.
type LockedFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// LockedStage is one stage.
type LockedStage struct {
	Kind    string              `json:"kind"`
	Version int                 `json:"version"`
	Config  json.RawMessage     `json:"config"` // with every default, but for what changes no output
	From    map[string][]string `json:"from"`
	Outputs map[string]string   `json:"outputs"` // port → digest of the artifact
}

// NotDone says that a pipeline cannot be locked, since not all of it is made.
type NotDone struct{ Stages []string }

func (e *NotDone) Error() string {
	return fmt.Sprintf("there is nothing to lock yet of %s: run the pipeline to its end first", strings.Join(e.Stages, ", "))
}

// MakeLock pins a pipeline whose stages are all made, as they are in the store now. The
// error is a *NotDone when some are not.
func MakeLock(p *pipelinefile.Pipeline, store *artifacts.Store, sources map[string][]source.Resolved) (*Lock, error) {
	g, err := newGraph(p, store, sourceFiles(sources), nil)
	if err != nil {
		return nil, err
	}
	if err := g.start(); err != nil {
		return nil, err
	}
	if err := g.settle(); err != nil {
		return nil, err
	}
	l := g.lock()
	var open NotDone
	for _, n := range g.nodes {
		if !n.done {
			open.Stages = append(open.Stages, n.Name)
			continue
		}
		for _, port := range n.Kind.Out {
			m, _, err := n.outputManifest(port.Name)
			if err != nil {
				return nil, err
			}
			b, err := m.Encode()
			if err != nil {
				return nil, err
			}
			l.Stages[n.Name].Outputs[port.Name] = digestOf(b)
		}
	}
	if len(open.Stages) > 0 {
		return nil, &open
	}
	return l, nil
}

// lock describes the graph without its outputs.
func (g *graph) lock() *Lock {
	r, _ := g.resolved()
	l := &Lock{Engine: r.Engine, Seed: r.Seed, Sources: map[string][]LockedFile{}, Stages: map[string]*LockedStage{}}
	for _, s := range r.Sources {
		for _, f := range g.sources[s.Name] {
			l.Sources[s.Name] = append(l.Sources[s.Name], LockedFile{f.Name, f.Digest, f.Size})
		}
	}
	for i, n := range g.nodes {
		s := r.Stages[i]
		l.Stages[n.Name] = &LockedStage{s.Kind, s.Version, n.config.keyed, s.From, map[string]string{}}
	}
	return l
}

// against lists how the graph differs from what it is locked to, a difference a line.
func (g *graph) against(l *Lock) (diffs []string) {
	now := g.lock()
	say := func(format string, args ...any) { diffs = append(diffs, fmt.Sprintf(format, args...)) }
	if l.Engine != now.Engine {
		say("engine format: %d, locked to %d", now.Engine, l.Engine)
	}
	if l.Seed != now.Seed {
		say("seed: %d, locked to %d", now.Seed, l.Seed)
	}
	for _, name := range unionKeys(now.Sources, nil) {
		diffs = append(diffs, differingFiles("source "+name, now.Sources[name], l.Sources[name])...)
	}
	for _, n := range g.nodes {
		is, was := now.Stages[n.Name], l.Stages[n.Name]
		if was == nil {
			say("stage %s: it is not in the lock", n.Name)
			continue
		}
		if is.Kind != was.Kind || is.Version != was.Version {
			say("stage %s: kind %s version %d, locked to %s version %d", n.Name, is.Kind, is.Version, was.Kind, was.Version)
			continue
		}
		a, b := map[string]json.RawMessage{}, map[string]json.RawMessage{}
		flatten("", is.Config, a)
		flatten("", was.Config, b)
		for _, path := range unionKeys(a, b) {
			if !bytes.Equal(a[path], b[path]) {
				say("stage %s: with.%s: %s, locked to %s (%s)", n.Name, path, orNotSet(shown(a[path])), orNotSet(shown(b[path])), where(n, path))
			}
		}
		for _, port := range unionKeys(is.From, was.From) {
			if x, y := strings.Join(is.From[port], ", "), strings.Join(was.From[port], ", "); x != y {
				say("stage %s: input %s: %s, locked to %s", n.Name, port, orNotSet(x), orNotSet(y))
			}
		}
	}
	return diffs
}

// differingFiles words the differences of two lists of files.
func differingFiles(what string, is, was []LockedFile) (diffs []string) {
	locked, there := map[string]LockedFile{}, map[string]LockedFile{}
	for _, f := range was {
		locked[f.Name] = f
	}
	for _, f := range is {
		there[f.Name] = f
	}
	for _, name := range unionKeys(there, locked) {
		f, g := there[name], locked[name]
		switch {
		case f.SHA256 == g.SHA256:
		case g.SHA256 == "":
			diffs = append(diffs, fmt.Sprintf("%s: %s is not in the lock", what, name))
		case f.SHA256 == "":
			diffs = append(diffs, fmt.Sprintf("%s: %s is gone", what, name))
		default:
			diffs = append(diffs, fmt.Sprintf("%s: %s is %.12s (%d bytes), locked to %.12s (%d bytes)", what, name, f.SHA256, f.Size, g.SHA256, g.Size))
		}
	}
	if len(diffs) > 3 {
		diffs = append(diffs[:3], fmt.Sprintf("%s: and %d more files", what, len(diffs)-3))
	}
	return diffs
}

func orNotSet(s string) string {
	if s == "" {
		return "(not set)"
	}
	return s
}

// Unlocked says that a pipeline is not what it is locked to, before anything ran.
type Unlocked struct{ Differences []string }

func (e *Unlocked) Error() string {
	return "the pipeline is not what it is locked to:\n  " + strings.Join(e.Differences, "\n  ")
}

// locked says how the outputs of a finished node differ from the lock, or "".
func (l *Lock) broken(n *node) string {
	for _, port := range n.Kind.Out {
		if want, got := l.Stages[n.Name].Outputs[port.Name], n.outputs[port.Name].Digest; want != got {
			return fmt.Sprintf("output %s is %s, locked to %s: the stage is not deterministic here, or its kind changed without a new version", port.Name, got, want)
		}
	}
	return ""
}

// ReadLockFile reads a lock file. The error wraps fs.ErrNotExist when there is none.
func ReadLockFile(path string) (*LockFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var l LockFile
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&l); err != nil {
		return nil, fmt.Errorf("%s is no lock file: %w: `pipeline lock` writes it anew", path, err)
	}
	if l.Format != lockFormat {
		return nil, fmt.Errorf("%s has format %d, this program knows format %d", path, l.Format, lockFormat)
	}
	for name, p := range l.Profiles {
		if p == nil {
			return nil, fmt.Errorf("%s: profile %q is empty: `pipeline lock` writes it anew", path, name)
		}
		for st, s := range p.Stages {
			if s == nil || s.Config == nil {
				return nil, fmt.Errorf("%s: profile %q: stage %s has no config: `pipeline lock` writes it anew", path, name, st)
			}
		}
	}
	return &l, nil
}

// PutLock writes the lock of a profile into a lock file, whole or not at all, and leaves
// those of other profiles as they are.
func PutLock(path, profile string, l *Lock) error {
	f, err := ReadLockFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f = &LockFile{Format: lockFormat, Profiles: map[string]*Lock{}}
	case err != nil:
		return err
	case f.Profiles == nil:
		f.Profiles = map[string]*Lock{}
	}
	f.Profiles[profile] = l
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(f); err != nil {
		return err
	}
	if err := disk.WriteFile(path+".new", b.Bytes()); err != nil {
		return err
	}
	return disk.Rename(path+".new", path)
}
