package executor

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// meter begins to count what a job takes of the machine and returns how to read it: the
// seconds of CPU of this process and of those it started and saw end, and the most memory
// that this process alone held, in bytes (0 where the system does not say).
func meter() func() (cpu *float64, memory int64) {
	before, err := cpuSeconds()
	// Sets the peak back to what is held now: proc(5), Linux 4.0.
	reset := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	return func() (*float64, int64) {
		var memory int64
		if reset == nil {
			memory = peak()
		}
		now, e := cpuSeconds()
		if err != nil || e != nil {
			return nil, memory
		}
		now -= before
		return &now, memory
	}
}

func cpuSeconds() (s float64, err error) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return 0, err
		}
		s += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return s, nil
}

// peak is VmHWM of this process, in bytes.
func peak() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(b, []byte("VmHWM:"))
	if !ok {
		return 0
	}
	fields := bytes.Fields(rest)
	kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
