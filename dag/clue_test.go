package dag

import (
	"testing"
	"time"
)

// TestClue holds what counts as a time or a process id in bytes that differ.
func TestClue(t *testing.T) {
	at := time.Date(2026, 11, 22, 15, 30, 59, 0, time.UTC)
	a := &outcome{from: at, to: at.Add(2 * time.Second), pid: 4000, lastPID: 4007}
	b := &outcome{from: at.Add(40 * time.Minute), to: at.Add(40*time.Minute + time.Second), pid: 5000, lastPID: 5001}
	day := &outcome{from: at.Add(24 * time.Hour), to: at.Add(24*time.Hour + time.Second)}
	long := &outcome{from: at, to: at.Add(time.Hour)}
	for _, c := range []struct {
		title, was, is string
		a, b           *outcome
		want           string
	}{
		{"seconds", "x=1795361460 y", "x=1795363860 y", a, b, CauseTime},
		{"seconds, one of another time", "x=1795361460 y", "x=1795361461 y", a, b, ""},
		{"nanoseconds", "1795361460000000000", "1795363859500000000", a, b, CauseTime},
		{"RFC 3339", "2026-11-22T15:31:00Z", "2026-11-22T16:10:59Z", a, b, CauseTime},
		{"a zone of half an hour", "12:01:00", "12:40:59", a, b, CauseTime},
		{"written together", "20261122T153100", "20261122161059", a, b, CauseTime},
		{"a date", "feito em 2026-11-22", "feito em 2026-11-23", a, day, CauseTime},
		{"a date of old", "1999-01-01 2001-02-03", "1999-01-01 2001-02-04", a, day, ""},
		{"any clock fits an hour", "12:01:00", "12:40:59", long, long, ""},
		{"worker", "tmp-4000", "tmp-5000", a, b, CausePID},
		{"its child", "tmp4003.x", "tmp5001.x", a, b, CausePID},
		{"only one", "4003", "17", a, b, ""},
		{"part of a number", "94003", "95001", a, b, ""},
		{"nothing", "um", "dois", a, b, ""},
		{"the same", "4003", "4003", a, a, ""},
	} {
		got := ""
		if x := clueIn(c.was, c.is, c.a, c.b); x != nil {
			got = x.Name
		}
		if got != c.want {
			t.Errorf("%s: %q and %q: %q, want %q", c.title, c.was, c.is, got, c.want)
		}
	}
}
