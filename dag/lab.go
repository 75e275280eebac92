package dag

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"golang.org/x/sys/unix"
)

// lab does one part again, under circumstances that its user chooses, in directories of
// its own. Equal circumstances have equal paths.
type lab struct {
	*rerunner
	p     *part
	index int
	was   *outcome
	kept  int
	doing float64 // CPU-seconds of the rerun at work that the progress counts already
	near  bool    // stay on the store's file system
	why   bool    // the cause is looked for: reruns that the progress does not count
}

// long is a name as long as names get in practice; paths that are cut off show.
var long = strings.Repeat("a-rather-long-name-", 5)

// dir is where a rerun works.
func (l *lab) dir(c circumstances) string {
	root := l.o.Scratch
	if c.has(inOrder) && l.away() {
		root = l.o.Away
	}
	name := "home"
	if c.has(inDirectory) {
		name = fmt.Sprintf("elsewhere-%d-%s", c.variant, long[:60+17*(c.variant%3)])
	}
	return filepath.Join(root, strconv.Itoa(l.index), name)
}

// roomForAway is how much more free space than its outputs a part must find on the other
// file system, in bytes.
const roomForAway = 256 << 20

// away says whether the part fits on the other file system.
func (l *lab) away() bool {
	if l.o.Away == "" || l.near {
		return false
	}
	var s unix.Statfs_t
	if err := unix.Statfs(l.o.Away, &s); err != nil {
		return false
	}
	out := int64(0)
	for _, f := range l.p.hit.Outputs.Files {
		out += f.Size
	}
	// Checkpoints may hold more than the outputs, inputs may be copied, and as many parts
	// as there are jobs work beside each other.
	return int64(s.Bavail)*s.Bsize > int64(l.o.Jobs)*(4*out+l.p.bytes+roomForAway)
}

// do does the part once in fresh worker processes. An error is the engine's own; that
// the part failed is an outcome.
func (l *lab) do(ctx context.Context, c circumstances) (*outcome, error) {
	free, err := l.reserve(ctx, c)
	if err != nil {
		return nil, err
	}
	defer free()
	n := l.p.node
	o := &outcome{files: map[string]made{}, dir: l.dir(c)}
	if err := disk.RemoveAll(o.dir); err != nil {
		return nil, err
	}
	cwd, tmp := "", filepath.Join(o.dir, "diretório temporário, com espaços e acentuação", long)
	dirs := []string{filepath.Join(o.dir, "work"), tmp}
	if c.has(inDirectory) {
		cwd = filepath.Join(o.dir, "working directory")
		dirs = append(dirs, cwd)
	}
	for _, d := range dirs {
		if err := disk.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make a directory for a rerun: %w", err)
		}
	}
	job, err := l.job(l.p, site{work: dirs[0], partial: filepath.Join(o.dir, "partial"), log: filepath.Join(o.dir, "log"), cpus: c.cpus})
	if err != nil {
		return nil, err
	}
	// On some file systems the order of a directory is that in which its names came, on
	// others it hangs on the file system alone.
	job.Spec.Reverse = c.has(inOrder) && (!l.away() || c.variant%2 == 0)
	if c.has(inDirectory) {
		if err := linkInputs(&job, filepath.Join(o.dir, "inputs")); err != nil {
			return nil, err
		}
	}
	workers := l.o.Start(cwd, c.env(n.Env, cwd, tmp))
	defer workers.Close()
	defer context.AfterFunc(ctx, workers.Kill)() // nothing a rerun makes is worth waiting for
	pctx := ctx
	if limit := n.limit(); limit > 0 {
		var cancel context.CancelFunc
		pctx, cancel = context.WithTimeout(ctx, patience*limit)
		defer cancel()
	}
	hear := &labHearing{lab: l, last: map[string]float64{}}
	o.from = time.Now()
	res, err := workers.Run(pctx, job, hear)
	o.to, o.lastPID = time.Now(), lastPID()
	if pids := workers.PIDs(); len(pids) > 0 {
		o.pid = pids[0]
	}
	hear.over()
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, executor.ErrStopped):
		o.failure = fmt.Sprintf("it took longer than %d times its timeout of %s", patience, n.limit())
	default:
		o.failure = err.Error()
	}
	if err := unchanged(l.p, l.ids); err != nil {
		return nil, err
	}
	if o.failure != "" {
		return o, nil
	}
	m, err := manifestOf(res.Outputs)
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for _, x := range res.Outputs {
		paths[x.Port+"/"+x.Name] = x.Path
	}
	o.counts, o.verdict, o.metrics = res.Counts, strings.Join(res.Refused, "\n"), hear.last
	return o, o.take(m, func(f artifacts.ManifestFile) string { return paths[f.Path] })
}

// patience is how many times its timeout a rerun may take: it may have fewer CPUs.
const patience = 4

// reserve takes a rerun's share of the machine.
func (l *lab) reserve(ctx context.Context, c circumstances) (free func(), err error) {
	cpus := int64(l.weight(c))
	if err := l.cpus.Acquire(ctx, cpus); err != nil {
		return nil, err
	}
	if l.memory == nil {
		return func() { l.cpus.Release(cpus) }, nil
	}
	_, memory := l.needs(l.p.node)
	if err := l.memory.Acquire(ctx, memory); err != nil {
		l.cpus.Release(cpus)
		return nil, err
	}
	return func() { l.memory.Release(memory); l.cpus.Release(cpus) }, nil
}

// linkInputs gives a job's inputs other paths.
func linkInputs(j *executor.Job, dir string) error {
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a directory for a rerun: %w", err)
	}
	for port, files := range j.Spec.Inputs {
		for i := range files {
			link := filepath.Join(dir, fmt.Sprintf("%s-%06d", port, i))
			if err := disk.Symlink(files[i].Path, link); err != nil {
				return fmt.Errorf("link an input of a rerun: %w", err)
			}
			files[i].Path = link
		}
	}
	return nil
}

// lastPID is the process that was started last on this machine; 0 where that cannot be
// told. Linux says it at the end of /proc/loadavg.
func lastPID() int {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(f[len(f)-1])
	return n
}

// drop removes what a rerun left.
func (l *lab) drop(o *outcome) { _ = disk.RemoveAll(o.dir) } // what stays goes with the scratch directory

// keep moves what a rerun left out of the way of the next under the same circumstances.
func (l *lab) keep(o *outcome) error {
	l.kept++
	to := fmt.Sprintf("%s-kept-%d", filepath.Join(filepath.Dir(o.dir), "x"), l.kept)
	if err := disk.Rename(o.dir, to); err != nil {
		return fmt.Errorf("keep what a rerun made: %w", err)
	}
	for name, f := range o.files {
		f.path = to + strings.TrimPrefix(f.path, o.dir)
		o.files[name] = f
	}
	o.dir = to
	return nil
}

// clear removes all that the part's reruns left.
func (l *lab) clear() {
	for _, root := range []string{l.o.Scratch, l.o.Away} {
		if root != "" {
			_ = disk.RemoveAll(filepath.Join(root, strconv.Itoa(l.index)))
		}
	}
}

var notInNames = regexp.MustCompile(`[^\pL\pN._-]+`)

// save keeps the recorded and the other outputs of a part, and the log of the rerun, in a
// new directory and names it.
func (l *lab) save(o *outcome) (string, error) {
	base := notInNames.ReplaceAllString(l.p.node.Name+"-"+l.p.name, "_")
	if len(base) > 100 {
		base = base[:100]
	}
	base = filepath.Join(l.o.Save, strings.ToValidUTF8(base, "")+"-"+l.p.key[:8])
	dir := base
	for i := 2; ; i++ {
		if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
			break
		}
		dir = fmt.Sprintf("%s-%d", base, i)
	}
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("keep the outputs that differ: %w", err)
	}
	if err := l.store.Place(l.p.hit.Outputs, filepath.Join(dir, "recorded")); err != nil {
		return "", err
	}
	files := map[string]string{"rerun.log": filepath.Join(o.dir, "log")}
	for name, f := range o.files {
		files[filepath.Join("rerun", filepath.FromSlash(name))] = f.path
	}
	for name, from := range files {
		if err := copyFile(from, filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("keep the outputs that differ: %w", err)
		}
	}
	return dir, nil
}

func copyFile(from, to string) error {
	if err := disk.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := disk.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := disk.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// damaged names an object of the store that the part reads or made and that is not what
// its digest says; "" when there is none. Its rerun then proves nothing.
func (l *lab) damaged() (string, error) {
	var digests []string
	for _, files := range l.p.reads {
		for _, f := range files {
			if f.path == "" {
				digests = append(digests, f.Digest)
			}
		}
	}
	for _, f := range l.p.hit.Outputs.Files {
		digests = append(digests, f.Digest)
	}
	for _, d := range digests {
		is, _, err := artifacts.HashFile(l.store.ObjectPath(d))
		if err != nil {
			return "", err
		}
		if is != d {
			return d, nil
		}
	}
	return "", nil
}

// labHearing hears a rerun: the last value of each metric, and how far it is.
type labHearing struct {
	*lab
	mu   sync.Mutex
	last map[string]float64
}

// Progress implements executor.Listener.
func (h *labHearing) Progress(p executor.Progress) {
	if !h.why && p.Total > 0 {
		h.count(h.cost(h.p) * min(float64(p.Done)/float64(p.Total), 1))
	}
}

// Metric implements executor.Listener.
func (h *labHearing) Metric(m executor.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last[m.Name] = m.Value
}

func (h *labHearing) count(x float64) {
	h.tell(func(t *RerunProgress) {
		t.Handled += x - h.doing
		h.doing = x
	})
}

// over takes back what the progress counted: whole reruns are counted when they are over.
func (h *labHearing) over() {
	if h.doing != 0 {
		h.count(0)
	}
}
