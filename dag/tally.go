package dag

import "time"

// tally is what a run did for a stage.
type tally struct {
	ran, cached  int
	fetched      int       // of cached
	started, end time.Time // of the first part at work here, and of the last to end
	bytesDone    int64
	cpu          *float64 // seconds of CPU of the parts that ran; nil when not known of all
	memory       int64    // the largest peak, in bytes
	queued       Span     // what parts that are queued or at work are expected to take
	unknown      int      // such parts of which that is not known
	fitted       float64  // seconds that parts which ran were expected to take
	spent        float64  // and did

	// Time in which parts waited for another coordinator and none was at work here is not
	// the stage's.
	busy, waiting int
	since         time.Time // of the last change of these two
	idle          time.Duration
	idleAtEnd     time.Duration // what of idle was before end
}

// shift counts parts that began or ended to be at work, or to wait.
func (t *tally) shift(busy, waiting int, now time.Time) {
	t.idle = t.idleAt(now)
	t.since = now
	t.busy += busy
	t.waiting += waiting
	if busy > 0 && t.started.IsZero() {
		t.started, t.idle = now, 0
	}
}

func (t *tally) idleAt(now time.Time) time.Duration {
	if t.busy == 0 && t.waiting > 0 && !t.started.IsZero() {
		return t.idle + now.Sub(t.since)
	}
	return t.idle
}

// ended notes that a part ran to its end.
func (t *tally) ended(now time.Time) { t.end, t.idleAtEnd = now, t.idleAt(now) }

// took is the stage's time: from the start of its first part to the end of its last, or
// to now, without idle time.
func (t *tally) took(now time.Time) time.Duration {
	switch {
	case t.started.IsZero():
		return 0
	case t.end.IsZero():
		return now.Sub(t.started) - t.idleAt(now)
	}
	return t.end.Sub(t.started) - t.idleAtEnd
}
