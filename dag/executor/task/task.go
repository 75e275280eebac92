// Package task is the stage.Task of a worker process: input files at the paths the
// coordinator names, output files in a private work directory, everything said on
// the way handed to a Listener.
package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"golang.org/x/sys/unix"
)

// Spec says what to do and where its files are. It travels from the coordinator to a
// worker as JSON.
type Spec struct {
	Config  json.RawMessage    `json:"config"`
	Args    json.RawMessage    `json:"args,omitempty"`
	Join    bool               `json:"join,omitempty"`
	Inputs  map[string][]Input `json:"inputs"`
	Outputs []string           `json:"outputs"` // ports that may be written
	Work    string             `json:"work"`    // private directory, exists and is empty
	Partial string             `json:"partial"` // checkpoint directory, made on demand
	Seed    uint64             `json:"seed"`
	CPUs    int                `json:"cpus"`

	// Reverse makes the links of InputDir from the last to the first: a directory may list
	// its names in the order in which they came, and that order must not matter.
	Reverse bool `json:"reverse,omitempty"`
}

// Input is a file with the path to read it from.
type Input struct {
	stage.File
	Path string `json:"path"`
}

// Output is a file that a part made, closed and flushed, at Path in the work directory.
type Output struct {
	stage.File
	Port string `json:"port"`
	Path string `json:"path"`
}

// Listener hears what a stage says while it works. Its methods may be called from
// several goroutines.
type Listener interface {
	Progress(done, total int64, unit string)
	Metric(name string, step int64, x float64)
	Count(source, rule string, n int64)
	Log(line string)
	Notice(text string)
	Dependence(Dependence)
	Refuse(reason string)
}

// Task implements stage.Task.
type Task struct {
	Listener
	spec Spec

	mu      sync.Mutex
	files   map[string]*file // by port + "/" + name
	dirs    map[string]string
	inDirs  map[string]string
	partial *os.File // the checkpoint directory, locked; see Partial
}

type file struct {
	*artifacts.Writer
	port, name string
	stats      stage.Stats
}

func (f *file) SetStats(s stage.Stats) { f.stats = s }

// New makes the Task of a spec.
func New(spec Spec, l Listener) *Task {
	return &Task{Listener: l, spec: spec, files: map[string]*file{}, dirs: map[string]string{}, inDirs: map[string]string{}}
}

// Inputs implements stage.Task.
func (t *Task) Inputs(port string) []stage.File {
	in := t.spec.Inputs[port]
	r := make([]stage.File, len(in))
	for i := range in {
		r[i] = in[i].File
	}
	return r
}

// Open implements stage.Task.
func (t *Task) Open(f stage.File) (*os.File, error) {
	for _, in := range t.spec.Inputs {
		for i := range in {
			if in[i].Digest == f.Digest {
				return disk.Open(in[i].Path)
			}
		}
	}
	return nil, fmt.Errorf("file %s (%s) is not an input of this part", f.Name, f.Digest)
}

// link is a name in an input directory.
type link struct{ target, path string }

// InputDir implements stage.Task.
func (t *Task) InputDir(port string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d, ok := t.inDirs[port]; ok {
		return d, nil
	}
	dir := filepath.Join(t.spec.Work, "in", port)
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	links := make([]link, 0, len(t.spec.Inputs[port]))
	taken := map[string]bool{}
	for i, in := range t.spec.Inputs[port] {
		name := in.Name
		if name == "" {
			name = fmt.Sprintf("%05d", i)
		}
		name = filepath.FromSlash(name)
		// Outputs of several stages may bear one name: later ones get a directory each.
		if taken[name] {
			name = filepath.Join(fmt.Sprintf("%05d", i), name)
		}
		for n := name; n != "."; n = filepath.Dir(n) {
			taken[n] = true
		}
		target, err := filepath.Abs(in.Path)
		if err != nil {
			return "", err
		}
		links = append(links, link{target, filepath.Join(dir, name)})
	}
	if t.spec.Reverse {
		slices.Reverse(links)
	}
	for _, l := range links {
		if err := disk.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
			return "", err
		}
		if err := disk.Symlink(l.target, l.path); err != nil {
			return "", err
		}
	}
	t.inDirs[port] = dir
	return dir, nil
}

// Args implements stage.Task.
func (t *Task) Args(v any) error {
	if len(t.spec.Args) == 0 {
		return errors.New("this part has no arguments")
	}
	return json.Unmarshal(t.spec.Args, v)
}

func (t *Task) mayWrite(port string) error {
	for _, p := range t.spec.Outputs {
		if p == port {
			return nil
		}
	}
	return fmt.Errorf("no output port %q here; there are %s", port, strings.Join(t.spec.Outputs, ", "))
}

// Create implements stage.Task.
func (t *Task) Create(port, name string) (stage.Writer, error) {
	if err := t.mayWrite(port); err != nil {
		return nil, err
	}
	if !fs.ValidPath(name) || name == "." {
		return nil, fmt.Errorf("output name %q is not a plain relative path", name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	id := port + "/" + name
	if t.files[id] != nil {
		return nil, fmt.Errorf("output %s was created twice", id)
	}
	// Numbered, in one directory: making directories would be the most of what it takes to
	// write a small output.
	w, err := artifacts.NewWriter(filepath.Join(t.spec.Work, fmt.Sprintf("out-%d", len(t.files))))
	if err != nil {
		return nil, err
	}
	f := &file{Writer: w, port: port, name: name}
	t.files[id] = f
	return f, nil
}

// OutputDir implements stage.Task.
func (t *Task) OutputDir(port string) (string, error) {
	if err := t.mayWrite(port); err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if d, ok := t.dirs[port]; ok {
		return d, nil
	}
	d, err := filepath.Abs(filepath.Join(t.spec.Work, "dir", port))
	if err != nil {
		return "", err
	}
	if err := disk.MkdirAll(d, 0o755); err != nil {
		return "", err
	}
	t.dirs[port] = d
	return d, nil
}

// Partial implements stage.Task. The directory is locked until Close: a worker that
// lost its coordinator a moment ago may still be at the same part.
func (t *Task) Partial() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.partial != nil {
		return t.spec.Partial, nil
	}
	if err := disk.MkdirAll(t.spec.Partial, 0o755); err != nil {
		return "", err
	}
	f, err := disk.Open(t.spec.Partial)
	if err != nil {
		return "", err
	}
	if err := disk.Flock(f, unix.LOCK_EX); err != nil {
		f.Close()
		return "", fmt.Errorf("lock checkpoints %s: %w", t.spec.Partial, err)
	}
	t.partial = f
	return t.spec.Partial, nil
}

// Close lets go of the checkpoints.
func (t *Task) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.partial == nil {
		return nil
	}
	return t.partial.Close()
}

// Seed implements stage.Task.
func (t *Task) Seed() uint64 { return t.spec.Seed }

// CPUs implements stage.Task.
func (t *Task) CPUs() int { return max(1, t.spec.CPUs) }

// Logf implements stage.Task.
func (t *Task) Logf(format string, args ...any) { t.Log(fmt.Sprintf(format, args...)) }

// open gives back to their owner the permissions that the engine needs: to read a file,
// and to move it out of its directory. A command may have taken them away.
func open(path string, d fs.DirEntry) error {
	need := fs.FileMode(0o400)
	switch {
	case d.IsDir():
		need = 0o700
	case !d.Type().IsRegular():
		return nil
	}
	info, err := d.Info()
	if err != nil || info.Mode()&need == need {
		return err
	}
	return disk.Chmod(path, info.Mode().Perm()|need)
}

// Finish lists what the part wrote, by port and name, after hashing what was left in
// output directories. A file left open is an error: nobody knows whether it is whole.
func (t *Task) Finish() ([]Output, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var r []Output
	for id, f := range t.files {
		if !f.Closed() {
			return nil, fmt.Errorf("output %s was not closed", id)
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		r = append(r, Output{Port: f.port, Path: f.Path(),
			File: stage.File{Name: f.name, Digest: f.Digest(), Size: f.Size(), Stats: f.stats}})
	}
	for port, dir := range t.dirs {
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if err := open(p, d); err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			name = filepath.ToSlash(name)
			if !d.Type().IsRegular() {
				return fmt.Errorf("output %s is not a regular file", path.Join(port, name))
			}
			if t.files[port+"/"+name] != nil {
				return fmt.Errorf("output %s/%s was made twice", port, name)
			}
			digest, size, err := artifacts.HashFile(p)
			if err != nil {
				return err
			}
			r = append(r, Output{Port: port, Path: p, File: stage.File{Name: name, Digest: digest, Size: size}})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	sort.Slice(r, func(i, j int) bool {
		if r[i].Port != r[j].Port {
			return r[i].Port < r[j].Port
		}
		return r[i].Name < r[j].Name
	})
	return r, nil
}
