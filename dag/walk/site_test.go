package walk_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/artifacts/fault/faulttest"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor/local"
	"github.com/ptbr-slm/pipeline/dag/executor/process"
)

// region is where sites are made, and what serves their source.
type region struct {
	dir    string
	server *httptest.Server
	pool   *local.Pool // of the runs in good conditions
}

// newRegion prefers a disk in memory: what is tested is the order of events, not a disk.
func newRegion(t *testing.T) *region {
	base := "/dev/shm"
	var fsys syscall.Statfs_t
	if err := syscall.Statfs(base, &fsys); err != nil || fsys.Bavail*uint64(fsys.Bsize) < 1<<30 || syscall.Access(base, 7) != nil {
		base = os.TempDir()
	}
	dir, err := os.MkdirTemp(base, "walk-")
	if err != nil {
		t.Fatal(err)
	}
	r := &region{dir: dir, pool: newPool()}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, q, "more.txt", time.Time{}, strings.NewReader(more))
	}))
	t.Cleanup(func() {
		r.pool.Close()
		r.server.Close()
		removeAll(dir)
	})
	return r
}

func removeAll(dir string) {
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(p, 0o755)
		}
		return nil
	})
	os.RemoveAll(dir)
}

// site is one store with its pipeline and sources.
type site struct {
	*region
	home, aux string
	role      string // of the processes that things happen to
	robbed    bool   // an object was taken away by hand
}

func (r *region) site(name string) (*site, error) {
	s := &site{region: r, home: filepath.Join(r.dir, name, "home"), aux: filepath.Join(r.dir, name, "aux"), role: "coordinator"}
	for _, d := range []string{s.home, s.aux} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	return s, errors.Join(s.write("text.txt", text), s.pipeline("p.yaml", plain))
}

// recipe is what differs between pipeline files.
type recipe struct {
	name  string // of the pipeline, and of the directory of its views
	to    string // what `clean` puts for a
	steps int
	stuck bool
}

var plain = recipe{name: "walk", to: "b", steps: 3}

// copy makes another site like this one.
func (s *site) copy(name string) (*site, error) {
	c := &site{region: s.region, home: filepath.Join(s.dir, name, "home"), aux: filepath.Join(s.dir, name, "aux"), role: s.role}
	if err := os.MkdirAll(c.aux, 0o755); err != nil {
		return nil, err
	}
	return c, copyTree(s.home, c.home)
}

func copyTree(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return errors.Join(os.WriteFile(to, b, 0o644), os.Chmod(to, info.Mode()))
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyTree(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return os.Chmod(to, info.Mode())
}

// pipeline writes a pipeline file.
func (s *site) pipeline(file string, r recipe) error {
	sum := sha256.Sum256([]byte(more))
	return s.write(file, fmt.Sprintf(pipelineYAML, r.name, s.server.URL, hex.EncodeToString(sum[:]), r.to, r.steps, r.stuck, r.name, r.name))
}

func (s *site) write(name, text string) error {
	return os.WriteFile(filepath.Join(s.home, name), []byte(text), 0o644)
}

func (s *site) remove() { removeAll(filepath.Dir(s.home)) }

// bury lays workers to rest whose coordinators were killed: they came to this process.
func bury() error {
	_, err := process.End(func(all []process.Process) (dead []process.Process) {
		i := slices.IndexFunc(all, func(p process.Process) bool { return p.PID == os.Getpid() })
		for _, p := range all {
			if p.Zombie && p.Parent == os.Getpid() && p.Session != all[i].Session {
				dead = append(dead, p)
			}
		}
		return dead
	})
	return err
}

// newCase is a case for this site.
func (s *site) newCase(p faulttest.Place, f faulttest.Fault, seed uint64) faulttest.Case {
	return faulttest.Case{Place: p, Fault: f, Seed: seed, Root: s.home, Dir: s.aux, Ledger: filepath.Join(s.home, "store", "ledger.db")}
}

// patience is how long a run that a fault struck may take before it counts as hung.
const patience = 3 * time.Minute

// coordinator is a run in a process of its own.
type coordinator struct {
	*exec.Cmd
	want      string
	out, errs bytes.Buffer
}

// begin starts a run under a case, which may be empty. When it ends well its digests must
// be those wanted, if any are.
func (s *site) begin(c faulttest.Case, file string, jobs int, want string) (*coordinator, error) {
	p := &coordinator{Cmd: exec.Command(os.Args[0])}
	if s.role == "coordinator" {
		p.want = want
	}
	p.Env = append(os.Environ(), "GOGC=off", roleVariable+"="+s.role, homeVariable+"="+s.home, fileVariable+"="+file, jobsVariable+"="+strconv.Itoa(jobs))
	if c.Dir != "" {
		p.Env = append(p.Env, caseVariable+"="+c.Encode())
	}
	p.Stdout, p.Stderr = &p.out, &p.errs
	return p, p.Start()
}

// end waits for a run and says what it printed. That the run fails is as it may be. That
// it hangs, panics, or ends well with other digests is not.
func (p *coordinator) end() (said string, err error) {
	hung := time.AfterFunc(patience, func() { p.Process.Signal(syscall.SIGQUIT) }) // its stacks come out
	err = p.Wait()
	said = p.errs.String()
	switch {
	case !hung.Stop():
		return "", fmt.Errorf("it hung:\n%s", said)
	case strings.Contains(said, "panic:") || strings.Contains(said, "goroutine "):
		return "", fmt.Errorf("it panicked:\n%s", said)
	case err == nil && p.want != "" && strings.TrimSpace(p.out.String()) != p.want:
		return "", fmt.Errorf("it ended well with\n%s\ninstead of\n%s", p.out.String(), p.want)
	}
	return said, nil
}

// suffer runs the pipeline under a case; a loss of power has undone what it could then.
func (s *site) suffer(c faulttest.Case, file string, jobs int, want string) (said string, err error) {
	p, err := s.begin(c, file, jobs, want)
	if err != nil {
		return "", err
	}
	if said, err = p.end(); err != nil {
		return "", err
	}
	if c.Fault.Loses() && c.Hit() {
		names, contents, err := faulttest.PowerLoss(c)
		return fmt.Sprintf("%s(the power went: %d names and %d contents are as before)", said, names, contents), err
	}
	return said, nil
}

// run runs the pipeline in good conditions.
func (s *site) run(ctx context.Context) (*dag.Summary, error) {
	return run(ctx, s.home, "p.yaml", dag.Options{Jobs: 1, Executor: s.pool})
}

// rebuild loses the ledger and has it made anew from its journal, which the fault may have
// struck too: a run then has nothing to do all the same.
func (s *site) rebuild(ctx context.Context, want string) error {
	store := filepath.Join(s.home, "store")
	if err := os.Remove(filepath.Join(store, "ledger.db")); err != nil {
		return err
	}
	_, err := artifacts.RebuildLedger(ctx, store, artifacts.Options{}, true)
	for range 20 { // a process that is just being forked here holds our locks until it is another program
		if err == nil || !strings.Contains(err.Error(), "another process") {
			break
		}
		time.Sleep(50 * time.Millisecond)
		_, err = artifacts.RebuildLedger(ctx, store, artifacts.Options{}, true)
	}
	if err != nil {
		return err
	}
	sum, err := s.run(ctx)
	if err != nil {
		return fmt.Errorf("the run with a rebuilt ledger: %w", err)
	}
	if n := partsRun(sum); n > 0 || digests(sum) != want {
		return fmt.Errorf("the run with a rebuilt ledger did %d parts", n)
	}
	return nil
}

// recover is what a user does after a fault: run again, and collect the garbage. It checks
// that nothing was lost, that the run ends with the wanted digests, that garbage
// collection takes all that is of no use and nothing else, and that a further run then
// has nothing to do. early looks at the store before the next run too, which opens it;
// most is how many parts the next run may do.
func (s *site) recover(ctx context.Context, want string, early bool, most int) error {
	if early {
		if err := s.sound(ctx); err != nil {
			return fmt.Errorf("before the next run: %w", err)
		}
	}
	sum, err := s.run(ctx)
	if err != nil {
		return fmt.Errorf("the next run: %w", err)
	}
	if n := partsRun(sum); n > most {
		return fmt.Errorf("the next run did %d parts, of which %d had been done", n, n-most)
	}
	if got := digests(sum); got != want {
		return fmt.Errorf("the next run made\n%s\nand an undisturbed one\n%s", got, want)
	}
	if err := s.collect(ctx, sum.Run); err != nil {
		return fmt.Errorf("garbage collection after the next run: %w", err)
	}
	sum, err = s.run(ctx)
	if err != nil {
		return fmt.Errorf("the run after the next: %w", err)
	}
	if n := partsRun(sum); n > 0 || digests(sum) != want {
		return fmt.Errorf("the run after the next did %d parts", n)
	}
	return s.tidy()
}
