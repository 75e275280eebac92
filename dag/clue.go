package dag

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/dag/firstdiff"
)

// clueFiles is how many files that differ are searched for a clue.
const clueFiles = 3

// clue finds in what differs between two outcomes the time at which, or the process in
// which, each was made.
func clue(a, b *outcome) (*Cause, error) {
	if a.failure != "" || b.failure != "" {
		return nil, nil
	}
	var onlyA, onlyB []string
	searched := 0
	for _, name := range both(a.files, b.files) {
		x, okX := a.files[name]
		y, okY := b.files[name]
		switch {
		case !okY:
			onlyA = append(onlyA, name)
		case !okX:
			onlyB = append(onlyB, name)
		case x.digest != y.digest && searched < clueFiles:
			searched++
			at, err := firstdiff.Find(x.path, y.path, name)
			if err != nil {
				return nil, fmt.Errorf("compare %s: %w", name, err)
			}
			if c := clueIn(at.Was, at.Is, a, b); c != nil {
				return c, nil
			}
		}
	}
	return clueIn(strings.Join(onlyA, "\n"), strings.Join(onlyB, "\n"), a, b), nil
}

func clueIn(was, is string, a, b *outcome) *Cause {
	switch {
	case was == is:
		return nil
	case a.tells(was) && b.tells(is), datesDiffer(was, is, a, b):
		return &Cause{Name: CauseTime, Text: fmt.Sprintf("the time: what differs holds the time at which the part ran (%s)", b.from.Local().Format("15:04:05"))}
	case a.numbered(was) && b.numbered(is):
		return &Cause{Name: CausePID, Text: fmt.Sprintf("the process id: what differs holds the number of the process in which the part ran (%d, then %d)", a.pid, b.pid)}
	}
	return nil
}

var (
	number = regexp.MustCompile(`[0-9]+`)
	clock  = regexp.MustCompile(`[0-9]{2}:([0-9]{2}):([0-9]{2})|20[0-9]{6}[T_-]?[0-9]{2}([0-9]{2})([0-9]{2})`)
	date   = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}`)
)

// slack is by how much a time may miss that of its rerun.
const slack = time.Second

// tells says whether a text holds the time at which the outcome came about: a clock in
// any time zone, or the seconds, milli-, micro- or nanoseconds since 1970.
func (o *outcome) tells(text string) bool {
	from, to := o.from.Add(-slack), o.to.Add(slack)
	for _, s := range number.FindAllString(text, -1) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			continue
		}
		unit := map[int]time.Duration{10: time.Second, 13: time.Millisecond, 16: time.Microsecond, 19: 1}[len(s)]
		if unit > 0 && n >= from.UnixNano()/int64(unit) && n <= to.UnixNano()/int64(unit) {
			return true
		}
	}
	// Time zones are whole quarters of an hour apart.
	const quarter = 15 * 60
	for _, m := range clock.FindAllStringSubmatch(text, -1) {
		minutes, _ := strconv.Atoi(m[1] + m[3])
		seconds, _ := strconv.Atoi(m[2] + m[4])
		since := ((minutes*60+seconds)%quarter - int(from.Unix()%quarter) + quarter) % quarter
		if took := to.Sub(from); took < quarter*time.Second && time.Duration(since)*time.Second <= took {
			return true
		}
	}
	return false
}

// datesDiffer says whether two texts hold dates that differ and are those, in some time
// zone, of the outcomes they are from.
func datesDiffer(was, is string, a, b *outcome) bool {
	x, y := date.FindString(was), date.FindString(is)
	fits := func(s string, o *outcome) bool {
		d, err := time.Parse(time.DateOnly, s)
		return err == nil && d.After(o.from.Add(-38*time.Hour)) && d.Before(o.to.Add(14*time.Hour))
	}
	return x != y && fits(x, a) && fits(y, b)
}

// numbered says whether a text holds the id of the outcome's worker process, or of one
// that was started while it worked.
func (o *outcome) numbered(text string) bool {
	if o.pid == 0 {
		return false
	}
	for _, s := range number.FindAllString(text, -1) {
		if n, err := strconv.Atoi(s); err == nil && n >= o.pid && n <= max(o.pid, o.lastPID) {
			return true
		}
	}
	return false
}
