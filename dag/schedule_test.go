package dag

import (
	"strings"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
)

// TestWhatStartsNext holds that a part that takes the whole machine lets smaller ones go
// first, and that it does so for a bounded time.
func TestWhatStartsNext(t *testing.T) {
	const jobs = 4
	begin := time.Unix(1000, 0)
	for _, c := range []struct {
		name   string
		queue  string // "a1 b4": parts and their CPUs; -: of a skipped stage
		busy   int    // CPUs
		waited time.Duration
		want   string
		left   string
	}{
		{"in order", "a1 b1 c1", 0, 0, "a b c", ""},
		{"as many as fit", "a1 b1 c1", 2, 0, "a b", "c"},
		{"past one that does not fit", "a3 b1", 2, 0, "b", "a"},
		{"nothing fits", "a1", 4, 0, "", "a"},
		{"the whole machine, alone", "a4", 0, 0, "a", ""},
		{"the whole machine, busy", "a4", 1, 0, "", "a"},
		{"small ones first", "a4 b1 c1", 0, 0, "b c", "a"},
		{"and then the whole", "a4 b1", 0, longestWait, "b", "a"},
		{"but not for ever", "a4 b1 c1", 0, longestWait + 1, "a", "b c"},
		{"the machine is cleared", "a4 b1 c1", 1, longestWait + 1, "", "a b c"},
		{"two whole", "a4 b4", 0, 0, "a", "b"},
		{"skipped", "a-1 b1 c-4", 0, 0, "b", ""},
		{"skipped alone", "a-1", 0, 0, "", ""},
		{"skipped before the whole", "a-4 b4", 0, 0, "b", ""},
	} {
		var q queue
		for _, s := range strings.Fields(c.queue) {
			n := &node{Stage: &pipelinefile.Stage{}, skipped: strings.Contains(s, "-")}
			q.add(&work{part: &part{name: s[:1], node: n}, cpus: int(s[len(s)-1] - '0')}, jobs, begin)
		}
		names := func(ws []*work) string {
			var s []string
			for _, w := range ws {
				s = append(s, w.name)
			}
			return strings.Join(s, " ")
		}
		got := names(q.next(room{cpus: jobs - c.busy}, begin.Add(c.waited)))
		left := names(append(append([]*work{}, q.whole...), q.small...))
		if got != c.want || left != c.left {
			t.Errorf("%s: %q start and %q are left; want %q and %q", c.name, got, left, c.want, c.left)
		}
	}
}

// TestMemoryOfAQueue holds that memory counts where it is bounded.
func TestMemoryOfAQueue(t *testing.T) {
	for _, c := range []struct {
		bounded bool
		want    int
	}{{true, 2}, {false, 3}} {
		var q queue
		for range 3 {
			q.add(&work{part: &part{node: &node{Stage: &pipelinefile.Stage{}}}, cpus: 1, memory: 40}, 8, time.Unix(0, 0))
		}
		if got := q.next(room{cpus: 8, memory: 100, bounded: c.bounded}, time.Unix(0, 0)); len(got) != c.want {
			t.Errorf("bounded %v: %d parts start, want %d", c.bounded, len(got), c.want)
		}
	}
}

// TestSecondsOfAStage holds what is counted as a stage's time.
func TestSecondsOfAStage(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	type step struct{ at, busy int }
	for _, c := range []struct {
		name  string
		steps []step
		now   int
		want  int
	}{
		{"nothing ran", nil, 50, 0},
		{"at work", []step{{10, 1}}, 50, 40},
		{"done", []step{{10, 1}, {20, -1}}, 50, 10},
		{"two parts, one after the other, a pause between", []step{{10, 1}, {20, -1}, {30, 1}, {40, -1}}, 99, 20},
		{"two parts beside each other", []step{{10, 1}, {15, 1}, {20, -1}, {30, -1}}, 99, 20},
		{"at work again after a pause", []step{{10, 1}, {20, -1}, {80, 1}}, 85, 15},
	} {
		var y tally
		for _, s := range c.steps {
			y.shift(s.busy, at(s.at))
		}
		if got := y.took(at(c.now)); got != time.Duration(c.want)*time.Second {
			t.Errorf("%s: %s, want %d s", c.name, got, c.want)
		}
	}
}
