package walk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/artifacts/fault/faulttest"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/executor/local"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/source"
	"golang.org/x/sys/unix"
)

// This test binary is also the coordinator that things happen to, and the worker.
const (
	roleVariable = "WALK_ROLE"
	caseVariable = "WALK_CASE"
	homeVariable = "WALK_HOME"
	fileVariable = "WALK_FILE" // pipeline file
	jobsVariable = "WALK_JOBS"
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		bePlain()
		os.Exit(m.Run())
	}
	err := func() error {
		if c := os.Getenv(caseVariable); c != "" {
			if err := faulttest.Inject(c, role); err != nil {
				return err
			}
		}
		switch role {
		case "worker":
			return executor.Work(os.Stdin, os.Stdout, kinds())
		case "collector":
			return collect(context.Background(), os.Getenv(homeVariable))
		}
		return coordinate()
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// coordinate is the process of `pipeline run`. It prints the digests of a run that ends
// well.
func coordinate() error {
	jobs, err := strconv.Atoi(os.Getenv(jobsVariable))
	if err != nil {
		return err
	}
	pool := newPool()
	o := dag.Options{Jobs: jobs, Executor: pool, Force: make(chan struct{})}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	o.Observer = &impatient{cancel: cancel, force: o.Force}
	s, err := run(ctx, os.Getenv(homeVariable), os.Getenv(fileVariable), o)
	if err == nil {
		fmt.Println(digests(s))
	}
	return errors.Join(err, pool.Close())
}

// collect is `pipeline gc --keep-runs 1`.
func collect(ctx context.Context, home string) error {
	store, err := artifacts.Open(filepath.Join(home, "store"), artifacts.Options{LeaveLitter: true})
	if err != nil {
		return err
	}
	_, err = store.Collect(ctx, artifacts.GCOptions{KeepRuns: 1}, func([]string) {}, nil)
	return errors.Join(err, store.Close())
}

// bePlain starts this program again without the right of root to pass by permissions, so
// that files which a command closed are closed here too.
func bePlain() {
	const marker = "WALK_PLAIN"
	if os.Geteuid() != 0 || os.Getenv(marker) != "" {
		return
	}
	runtime.LockOSThread()
	for _, c := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			fmt.Println("walk: root, and cannot be less:", err)
			return
		}
	}
	err := syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), marker+"=1"))
	fmt.Println("walk: start again without the rights of root:", err)
	os.Exit(1)
}

// impatient interrupts a run when a part says that it is stuck, and then once more.
type impatient struct {
	cancel func()
	force  chan struct{}
	once   sync.Once
}

func (*impatient) Stage(dag.StageStatus) {}
func (*impatient) Notice(string)         {}
func (i *impatient) Metric(_ string, m executor.Metric) {
	if m.Name == "stuck" {
		i.once.Do(func() {
			i.cancel()
			time.AfterFunc(50*time.Millisecond, func() { close(i.force) })
		})
	}
}

// newPool makes workers of this binary; they get the case of this process.
func newPool() *local.Pool {
	return local.New([]string{os.Args[0]}, []string{roleVariable + "=worker"})
}

// run is `pipeline run`: sources, parts, views.
func run(ctx context.Context, home, file string, o dag.Options) (s *dag.Summary, err error) {
	p, err := pipelinefile.Load(filepath.Join(home, file), pipelinefile.Options{Kinds: kinds()})
	if err != nil {
		return nil, err
	}
	store, err := artifacts.Open(filepath.Join(home, "store"), artifacts.Options{CreateIfMissing: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	sources, err := source.Resolve(ctx, p.Sources, memo{store.Ledger()}, source.Options{Jobs: 1})
	if err != nil {
		return nil, err
	}
	s, err = dag.Run(ctx, p, store, sources, o)
	if s == nil {
		return nil, err
	}
	for _, pub := range p.Publish {
		for _, st := range s.Stages {
			o, ok := st.Outputs[pub.From.Port]
			if st.Name != pub.From.Stage || !ok {
				continue
			}
			m, e := store.Manifest(o.Digest)
			if e == nil {
				e = store.Place(m, pub.Dir)
			}
			err = errors.Join(err, e)
		}
	}
	return s, err
}

// memo keeps source digests in the ledger.
type memo struct{ l *artifacts.Ledger }

func ledgerIDs(ids []source.FileID) []artifacts.FileID {
	r := make([]artifacts.FileID, len(ids))
	for i, id := range ids {
		r[i] = artifacts.FileID{Dev: id.Device, Ino: id.Inode, Size: id.Size, MtimeNS: id.ModifiedNS, CtimeNS: id.ChangeNS}
	}
	return r
}

func (m memo) SourceDigests(ids []source.FileID) []string {
	d, err := m.l.SourceDigests(ledgerIDs(ids))
	if err != nil {
		return make([]string, len(ids))
	}
	return d
}

func (m memo) RememberSources(ids []source.FileID, digests []string) error {
	return m.l.PutSourceDigests(ledgerIDs(ids), digests, time.Now())
}

// digests lists every output of a run.
func digests(s *dag.Summary) string {
	var r []string
	for _, st := range s.Stages {
		for port, o := range st.Outputs {
			r = append(r, fmt.Sprintf("%s.%s %s %d", st.Name, port, o.Digest, o.Files))
		}
	}
	slices.Sort(r)
	return strings.Join(r, "\n")
}

// partsRun counts the parts that a run did.
func partsRun(s *dag.Summary) (n int) {
	for _, st := range s.Stages {
		n += st.Ran
	}
	return n
}
