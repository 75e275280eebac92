package process

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// Memory counts the bytes that a process and all below it hold: anonymous and shared
// memory, in RAM and in swap. Files that they map or that the kernel caches for them do
// not count, since those pages are given up when memory is short.
//
// Pages that processes have in common since a fork count once in each. Exact tells
// better, and takes longer.
func Memory(pid int) int64 { return sum(pid, resident) }

// Exact counts as Memory does, with pages that processes have in common shared out
// among them. It walks page tables: milliseconds for each GiB.
func Exact(pid int) int64 {
	return sum(pid, func(pid int) (int64, bool) {
		n, ok := kilobytes(pid, "smaps_rollup", "Pss_Anon:", "Pss_Shmem:", "SwapPss:")
		if !ok { // not ours to look into, or a kernel before 5.4
			n, ok = resident(pid)
		}
		return n, ok
	})
}

func resident(pid int) (int64, bool) {
	return kilobytes(pid, "status", "RssAnon:", "RssShmem:", "VmSwap:")
}

func sum(root int, of func(pid int) (kb int64, ok bool)) (total int64) {
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		kb, _ := of(queue[0]) // what is gone holds nothing
		total += kb << 10
		queue = append(queue, children(queue[0])...)
	}
	return total
}

// kilobytes adds up lines such as "RssAnon:     1234 kB"; false when there are none.
func kilobytes(pid int, file string, fields ...string) (kb int64, ok bool) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		w := bytes.Fields(s.Bytes())
		if len(w) > 1 && slices.Contains(fields, string(w[0])) {
			n, err := strconv.ParseInt(string(w[1]), 10, 64)
			kb, ok = kb+n, ok || err == nil
		}
	}
	return kb, ok
}

// children lists the children of a process as the kernel keeps them, thread by thread,
// which is much less work than to look at every process. A kernel that does not say has
// them looked for.
func children(pid int) (pids []int) {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(tasks)
	if err != nil {
		return nil
	}
	for _, t := range threads {
		b, err := os.ReadFile(tasks + "/" + t.Name() + "/children")
		if err != nil {
			if _, gone := os.Stat(tasks + "/" + t.Name()); gone != nil {
				continue
			}
			return searched(pid)
		}
		for _, w := range bytes.Fields(b) {
			if n, err := strconv.Atoi(string(w)); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

func searched(pid int) (pids []int) {
	all, _ := All()
	for _, p := range all {
		if p.Parent == pid {
			pids = append(pids, p.PID)
		}
	}
	return pids
}
