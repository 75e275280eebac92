// Package process looks after processes that a worker started and may have lost sight
// of: it lists them, ends them, and counts the memory they hold. It reads /proc.
//
// Who is whose is told by the parent alone. A process whose parent ended is given to the
// nearest ancestor that asked for such (Adopt): a worker does, so that a command which
// forks, leaves its process group or starts a session stays below the worker; and the
// coordinator does, so that what a killed worker leaves behind comes to it.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"golang.org/x/sys/unix"
)

// patience is how long processes that were killed may take to be gone. One that waits for
// a disk or a dead network file system cannot be killed.
const patience = 2 * time.Second

// Process is a line of the process table.
type Process struct {
	PID, Parent, Session int

	Zombie bool // it ended, and its parent has not asked how
}

// Adopt makes this process the parent of those descendants that lose theirs.
func Adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphaned processes: %w", err)
	}
	return nil
}

// Childless says that this process has no children at all, adopted or its own. It costs
// one system call.
func Childless() bool {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return errors.Is(err, unix.ECHILD)
}

// All lists the processes of this machine that can be seen.
func All() ([]Process, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	var all []Process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := read(pid); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

// read gives one process; false when it is gone.
func read(pid int) (Process, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, false
	}
	// pid (name) state parent group session …; the name may hold anything but ends at the last ).
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 4 {
		return Process{}, false
	}
	parent, err1 := strconv.Atoi(string(f[1]))
	session, err2 := strconv.Atoi(string(f[3]))
	return Process{PID: pid, Parent: parent, Session: session, Zombie: f[0][0] == 'Z'}, err1 == nil && err2 == nil
}

// Below picks from a list all that descends from the processes roots, without them.
func Below(all []Process, roots ...int) (below []Process) {
	children := map[int][]Process{}
	for _, p := range all {
		children[p.Parent] = append(children[p.Parent], p)
	}
	for queue := slices.Clone(roots); len(queue) > 0; queue = queue[1:] {
		for _, c := range children[queue[0]] {
			below = append(below, c)
			queue = append(queue, c.PID)
		}
	}
	return below
}

// End kills what pick chooses until it chooses nothing alive, twice in a row: one look is
// not enough, since a process can fork after the numbers were read and end before it
// is looked at. Children of this process are laid to rest as well, so nobody else may be
// waiting for those that pick chooses. It returns how many were alive at first; the error
// says what could not be killed.
func End(pick func(all []Process) []Process) (n int, err error) {
	quiet := 0
	return end(pick, func(alive int) bool {
		if quiet++; alive > 0 {
			quiet = 0
		}
		return quiet == 2
	})
}

// EndBelow kills all that descends from this process, which must have called Adopt. A
// process without children has no descendants either, and that the kernel tells for
// certain.
func EndBelow() (n int, err error) {
	return end(func(all []Process) []Process { return Below(all, os.Getpid()) }, func(int) bool { return Childless() })
}

func end(pick func(all []Process) []Process, over func(alive int) bool) (n int, err error) {
	var since time.Time
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		all, err := All()
		if err != nil {
			return n, err
		}
		alive := 0
		for _, p := range pick(all) {
			if p.Zombie {
				if p.Parent == os.Getpid() {
					unix.Wait4(p.PID, nil, unix.WNOHANG, nil)
				}
				continue
			}
			alive++
			fault.Do(fault.Signal, "descendant", "", func() error { return unix.Kill(p.PID, unix.SIGKILL) })
		}
		n = max(n, alive)
		switch {
		case over(alive):
			return n, nil
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > patience:
			return n, fmt.Errorf("%d processes are still there %s after they were killed", alive, patience)
		}
		time.Sleep(pause)
	}
}
