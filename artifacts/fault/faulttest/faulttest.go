// Package faulttest makes the events of package fault go wrong in tests: one chosen event
// of one process fails, is torn, kills the process or takes the power away. What a loss
// of power undoes is worked out afterwards from a journal; see Journal.
//
// A test first lets a process run undisturbed with a Trace, which lists its events, and
// then once more for each event and each fault. Events are named by what they are (the
// second write to store/ledger.db) rather than numbered, so that it does not matter in
// which order goroutines come to theirs.
package faulttest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
)

// Fault is what goes wrong.
type Fault string

// The faults.
const (
	EIO        Fault = "EIO"         // not done, input/output error
	Late       Fault = "late EIO"    // done, and then the same error all the same
	Full       Fault = "ENOSPC"      // not done, and from then on nothing that needs room is, in this process
	TornEIO    Fault = "torn EIO"    // half of the bytes are written, then an error
	TornKill   Fault = "torn kill"   // half of the bytes are written, then SIGKILL
	KillBefore Fault = "kill before" // SIGKILL in its place
	KillAfter  Fault = "kill after"  // SIGKILL right after it
	LossAll    Fault = "power loss"  // in its place; all that was not durable is undone
	LossZeros  Fault = "power loss, zeros"
	LossSome   Fault = "power loss, some" // by the seed some of what was not durable is undone
)

// Loses says whether the power goes.
func (f Fault) Loses() bool { return strings.HasPrefix(string(f), "power loss") }

// Faults lists those that an event can suffer; the first ones tell the most.
func Faults(op fault.Op) []Fault {
	all := []Fault{EIO, KillBefore}
	if needsRoom[op] {
		all = append(all, Full)
	}
	if op == fault.Write || op == fault.Send {
		all = append(all, TornEIO, TornKill)
	}
	if !looks[op] {
		all = append(all, LossAll, LossZeros, LossSome)
	}
	return append(all, Late, KillAfter)
}

// needsRoom are events that a full disk refuses. (A sync may: the blocks of a file are
// found no earlier on some file systems.)
var needsRoom = map[fault.Op]bool{fault.Create: true, fault.Write: true, fault.Mkdir: true, fault.Link: true, fault.Rename: true,
	fault.Sync: true, fault.Commit: true, fault.Durable: true}

// looks are events that change nothing, so that a loss of power is the same before and
// after them.
var looks = map[fault.Op]bool{fault.Open: true, fault.Read: true, fault.Receive: true, fault.Lock: true, fault.Begin: true, fault.Close: true}

// Place names an event of a process: the Nth (from 1) of an operation on a path, or of all
// its events where neither is given.
type Place struct {
	Process string   `json:"process"`
	Op      fault.Op `json:"op"`
	Path    string   `json:"path"` // as the Injector's name gives it
	Nth     int      `json:"nth"`
}

func (p Place) String() string { return fmt.Sprintf("%s: %s %s #%d", p.Process, p.Op, p.Path, p.Nth) }

// Case is what an Injector is to do. It travels to a process as JSON.
type Case struct {
	Place `json:"place"`
	Fault Fault  `json:"fault"` // empty: nothing goes wrong
	Seed  uint64 `json:"seed"`
	Root  string `json:"root"` // directory; paths are named relative to it
	Dir   string `json:"dir"`  // outside of Root, on its file system: for what is kept of the case itself

	Ledger string `json:"ledger"` // the file

	// Trace lists the events as they come, for Places.
	Trace bool `json:"trace,omitempty"`
}

// Encode is the text of a case for an environment variable.
func (c Case) Encode() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // a struct of strings and numbers
	}
	return string(b)
}

// Inject makes an injector of an encoded case, for the process of that name, and sets it.
func Inject(encoded, process string) error {
	i, err := newInjector(encoded, process)
	if err == nil {
		fault.Inject(i)
	}
	return err
}

func newInjector(encoded, process string) (*injector, error) {
	i := &injector{process: process, seen: map[string]int{}}
	if err := json.Unmarshal([]byte(encoded), &i.Case); err != nil {
		return nil, err
	}
	var err error
	if i.Fault.Loses() {
		if i.journal, err = openJournal(i.Case); err != nil {
			return nil, err
		}
	}
	if i.Trace {
		if i.trace, err = os.OpenFile(filepath.Join(i.Dir, "trace"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// Places lists the events of a traced run, in the order in which they came.
func Places(dir string) (places []Place, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "trace"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		var p Place
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	return places, nil
}

// Hit says whether the fault of a case has struck.
func (c Case) Hit() bool {
	_, err := os.Stat(filepath.Join(c.Dir, "hit"))
	return err == nil
}

// injector is the fault.Injector of one process.
type injector struct {
	Case
	process string
	journal *Journal
	trace   *os.File

	mu   sync.Mutex
	seen map[string]int
	all  int
	full bool
}

// A path that differs from run to run is named by a pattern.
var (
	temporary = regexp.MustCompile(`(manifest-|\.new)\d+`)
	address   = regexp.MustCompile(`^http://[^/]*/`)
)

// name is what a path is called in every run.
func (i *injector) name(e fault.Event) string {
	if e.Op == fault.Spawn {
		return "worker"
	}
	path := e.Path
	if rel, err := filepath.Rel(i.Root, path); err == nil && !strings.HasPrefix(rel, "..") {
		path = rel
	}
	return address.ReplaceAllString(temporary.ReplaceAllString(path, "$1*"), "http:/")
}

// strikes counts an event and says which fault it meets. A fault strikes once in all
// processes of a case, except that a full disk stays full for the process.
func (i *injector) strikes(e fault.Event) Fault {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := Place{Process: i.process, Op: e.Op, Path: i.name(e)}
	p.Nth = i.seen[string(p.Op)+p.Path] + 1
	i.seen[string(p.Op)+p.Path] = p.Nth
	if i.trace != nil {
		b, _ := json.Marshal(p)
		i.trace.Write(append(b, '\n'))
	}
	i.all++
	if i.full && needsRoom[e.Op] {
		return Full
	}
	if i.Op == "" && i.Path == "" {
		p = Place{Process: i.process, Nth: i.all}
	}
	if i.Fault == "" || p != i.Place {
		return ""
	}
	h, err := os.OpenFile(filepath.Join(i.Dir, "hit"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return ""
	}
	h.Close()
	if i.full = i.Fault == Full; i.full && !needsRoom[e.Op] {
		return ""
	}
	return i.Fault
}

// Do implements fault.Injector.
func (i *injector) Do(e fault.Event, do func() error) error {
	f := i.strikes(e)
	switch {
	case f == EIO || f == TornEIO:
		return failed(e, syscall.EIO)
	case f == Full:
		return failed(e, syscall.ENOSPC)
	case f == KillBefore || f == TornKill:
		die()
	case f.Loses():
		i.powerOff()
	}
	err := i.done(e, do)
	switch f {
	case Late:
		return failed(e, syscall.EIO)
	case KillAfter:
		die()
	}
	return err
}

// Write implements fault.Injector.
func (i *injector) Write(e fault.Event, p []byte, do func([]byte) (int, error)) (int, error) {
	f := i.strikes(e)
	n := 0
	write := func(p []byte) (err error) {
		return i.done(e, func() error {
			n, err = do(p)
			return err
		})
	}
	switch {
	case f == EIO:
		return 0, failed(e, syscall.EIO)
	case f == Full:
		return 0, failed(e, syscall.ENOSPC)
	case f == TornEIO || f == TornKill:
		if err := write(p[:len(p)/2]); err != nil {
			return n, err
		}
		if f == TornKill {
			die()
		}
		return n, failed(e, syscall.EIO)
	case f == KillBefore:
		die()
	case f.Loses():
		i.powerOff()
	}
	err := write(p)
	switch f {
	case Late:
		return n, failed(e, syscall.EIO)
	case KillAfter:
		die()
	}
	return n, err
}

func (i *injector) done(e fault.Event, do func() error) error {
	if i.journal == nil {
		return do()
	}
	return i.journal.do(e, do)
}

// failed is the error that the operating system would give.
func failed(e fault.Event, errno syscall.Errno) error {
	return &os.PathError{Op: string(e.Op), Path: e.Path, Err: errno}
}

// die is SIGKILL, to this process.
func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// powerOff kills the coordinator and its workers: they die with it.
func (i *injector) powerOff() {
	if i.process == "worker" {
		syscall.Kill(os.Getppid(), syscall.SIGKILL)
	}
	die()
}
