package dag

import "time"

// tally is what a run did for a stage.
type tally struct {
	ran, cached int
	fetched     int // of cached
	bytesDone   int64
	cpu         *float64 // seconds of CPU of the parts that ran; nil when not known of all
	memory      int64    // the largest peak, in bytes
	queued      Span     // what parts that are queued or at work are expected to take
	unknown     int      // such parts of which that is not known
	fitted      float64  // seconds that parts which ran were expected to take
	spent       float64  // and did

	busy   int           // parts at work here
	since  time.Time     // of the last change of busy
	worked time.Duration // in which a part was at work, until then
}

// shift counts parts that began or ended to be at work.
func (t *tally) shift(busy int, now time.Time) {
	t.worked, t.since = t.took(now), now
	t.busy += busy
}

// took is the stage's time until now: in which a part of it was at work. That all wait, for
// processors, for another stage or for another coordinator, is not its doing.
func (t *tally) took(now time.Time) time.Duration {
	if t.busy > 0 {
		return t.worked + now.Sub(t.since)
	}
	return t.worked
}
