package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/source"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// quiet is how often a run that is not on a terminal says where a stage stands.
const quiet = 10 * time.Second

// barSteps is how finely a bar moves.
const barSteps = 1000

// screen shows how a run goes: on a terminal a bar for each stage that runs, with the
// finished ones as lines above; elsewhere plain lines.
//
// The bars draw themselves in goroutines of their own and ask for their words while they
// do. So no lock is held while a bar is told anything, or both would wait for ever.
type screen struct {
	out  io.Writer
	term io.Writer     // what the bars draw on
	bars *mpb.Progress // nil: plain lines

	said   time.Time // of the last line about sources
	stages map[string]*shownStage

	mu      sync.Mutex // guards what bars read: the time left, and each stage's status and metrics
	runLeft *dag.Span  // of the whole run; nil: unknown
	total   *mpb.Bar   // shows it
}

type shownStage struct {
	dag.StageStatus
	toldAt  time.Time // when that was told
	bar     *mpb.Bar
	metrics string
	said    time.Time
	over    bool
}

func newScreen(out *os.File) *screen {
	s := &screen{out: out, term: out, stages: map[string]*shownStage{}}
	if isTerminal(out) && os.Getenv("TERM") != "dumb" {
		s.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(28), mpb.WithRefreshRate(150*time.Millisecond))
		s.out = s.bars
	}
	return s
}

// source shows how a source is fetched or hashed.
func (s *screen) source(e source.Event) {
	now := time.Now()
	if s.said.IsZero() {
		s.said = now // nothing to say about what is over in a moment
	}
	every := quiet
	if s.bars != nil {
		every = 2 * time.Second
	}
	if now.Sub(s.said) >= every {
		s.said = now
		fmt.Fprintln(s.out, sourceProgress(e))
	}
}

// Stage implements dag.Observer.
func (s *screen) Stage(st dag.StageStatus) {
	v := s.stages[st.Name]
	if v == nil {
		v = &shownStage{}
		s.stages[st.Name] = v
	}
	s.mu.Lock()
	v.StageStatus, v.toldAt = st, time.Now()
	s.runLeft = st.RunLeft
	s.mu.Unlock()
	switch st.State {
	case "waiting", "unfinished":
		return
	case "running":
		if s.bars == nil {
			if now := time.Now(); v.said.IsZero() || now.Sub(v.said) >= quiet {
				v.said = now
				fmt.Fprintf(s.out, "%-24s %s%s\n", st.Name, s.words(v), s.allLeft("; the run: "))
			}
			return
		}
		if v.bar == nil {
			v.bar = s.newBar(v)
			if s.total == nil {
				s.total = s.bars.New(0, mpb.NopStyle(), mpb.BarPriority(1<<20), mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return s.allLeft("the run: ") })))
			}
		}
		v.bar.SetCurrent(int64(barSteps * min(fraction(&v.StageStatus), 0.999)))
		return
	}
	if v.over {
		return
	}
	v.over = true
	if v.bar != nil {
		v.bar.Abort(true)
	}
	fmt.Fprintln(s.out, s.lastLine(v))
}

// allLeft words how long the whole run still takes; "" when that is unknown.
func (s *screen) allLeft(before string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runLeft == nil {
		return ""
	}
	return before + remaining(*s.runLeft) + " left"
}

func (s *screen) lastLine(v *shownStage) string {
	line := fmt.Sprintf("%-24s %s", v.Name, stateWord(v.State))
	switch {
	case v.State == "skipped", v.State == "failed":
		return line
	case v.Ran == 0:
		return line + paint(dim, "  "+parts(v.Cached)+", all cached")
	case v.Cached > 0:
		line += fmt.Sprintf("  %s, %d cached", parts(v.Ran+v.Cached), v.Cached)
	default:
		line += "  " + parts(v.Ran)
	}
	line += fmt.Sprintf(" in %s", duration(v.Seconds))
	if v.metrics != "" {
		line += paint(dim, "  "+v.metrics)
	}
	return line
}

func (s *screen) newBar(v *shownStage) *mpb.Bar {
	return s.bars.New(barSteps, mpb.BarStyle().Lbound("").Filler("━").Tip("━").Padding("─").Rbound(""),
		mpb.PrependDecorators(decor.Name(v.Name, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return s.words(v) })))
}

// words says where a running stage stands: parts, rate, time left.
func (s *screen) words(v *shownStage) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := fmt.Sprint(v.Parts)
	if v.Open {
		parts += "+"
	}
	words := []string{fmt.Sprintf("%d/%s parts", v.Done, parts)}
	elapsed := v.Seconds
	if len(v.Running) > 0 {
		elapsed += time.Since(v.toldAt).Seconds()
	}
	if len(v.Running) == 1 && v.Parts == 1 && v.Running[0].Progress.Total > 0 {
		p, rate := v.Running[0].Progress, pace(v.Running[0])
		if p.Unit != "B" {
			words = append(words, fmt.Sprintf("%s of %s %s", count(p.Done), count(p.Total), p.Unit))
		}
		switch {
		case rate > 0 && p.Unit == "B":
			words = append(words, size(int64(rate))+"/s")
		case rate > 0:
			words = append(words, count(int64(rate))+"/s")
		}
	} else if n := handled(&v.StageStatus); n > 0 && elapsed > 0.2 {
		words = append(words, size(int64(n/elapsed))+"/s")
	}
	if left := v.Left; left != nil && v.State == "running" {
		words = append(words, remaining(*left)+" left")
	} else if left, ok := ownPace(&v.StageStatus, elapsed); ok {
		words = append(words, "about "+duration(left)+" left")
	}
	if v.metrics != "" { // last: the line may be cut at the edge
		words = append(words, v.metrics)
	}
	return strings.Join(words, ", ")
}

// ownPace is what a stage that the ledger cannot tell of still takes, in seconds, by how
// far it is. Unknown while parts may come.
func ownPace(v *dag.StageStatus, elapsed float64) (float64, bool) {
	if v.Open || v.State != "running" {
		return 0, false
	}
	if len(v.Running) == 1 && v.Parts == 1 {
		if rate := pace(v.Running[0]); rate > 0 {
			p := v.Running[0].Progress
			return float64(p.Total-p.Done) / rate, true
		}
	}
	f := fraction(v)
	return elapsed * (1 - f) / max(f, 0.05), f > 0.05
}

// remaining shows how long something still takes, with its interval.
func remaining(left dag.Span) string {
	if left.High < 1 {
		return "under 1 s"
	}
	return fmt.Sprintf("%s (%s–%s)", duration(left.Seconds), brief(left.Low), brief(left.High))
}

// brief shows seconds in as few characters as will do: "45s", "12m", "3h".
func brief(s float64) string {
	switch {
	case s < 99.5:
		return fmt.Sprintf("%.0fs", s)
	case s < 99.5*60:
		return fmt.Sprintf("%.0fm", s/60)
	}
	return fmt.Sprintf("%.0fh", s/3600)
}

// pace is how much a part does in a second, since it first said how far it is: a part that
// resumed did not do in this attempt what it began with. 0 while that is not known.
func pace(p dag.PartStatus) float64 {
	t := time.Since(p.Heard).Seconds()
	if p.Heard.IsZero() || t < 0.5 || p.Progress.Total == 0 {
		return 0
	}
	return float64(p.Progress.Done-p.From) / t
}

// handled is how many bytes of input are done, those of running parts in proportion.
func handled(v *dag.StageStatus) float64 {
	n := float64(v.Handled)
	for _, p := range v.Running {
		if p.Progress.Total > 0 {
			n += float64(p.Bytes) * min(float64(p.Progress.Done)/float64(p.Progress.Total), 1)
		}
	}
	return n
}

// fraction is how much of a stage's work is done, of what is known of it.
func fraction(v *dag.StageStatus) float64 {
	if v.Bytes > 0 {
		return handled(v) / float64(v.Bytes)
	}
	if v.Parts == 0 {
		return 0
	}
	return float64(v.Done) / float64(v.Parts)
}

// shownMetrics are the metrics of a running stage that fit on its line.
var shownMetrics = []string{"loss", "val-loss", "bits-per-byte"}

// Metric implements dag.Observer.
func (s *screen) Metric(stage string, m executor.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range shownMetrics {
		if v := s.stages[stage]; v != nil && m.Name == name {
			v.metrics = fmt.Sprintf("%s %.4g", name, m.Value)
		}
	}
}

// Notice implements dag.Observer.
func (s *screen) Notice(text string) {
	if s.bars != nil {
		// Whoever pressed Ctrl-C has ^C on the line below the bars; drawing starts at
		// the left again.
		fmt.Fprint(s.term, "\r")
	}
	fmt.Fprintln(s.out, text)
}

// close ends the bars, leaving the lines above them.
func (s *screen) close() {
	if s.bars == nil {
		return
	}
	for _, v := range s.stages {
		if v.bar != nil {
			v.bar.Abort(true)
		}
	}
	if s.total != nil {
		s.total.Abort(true)
	}
	s.bars.Wait()
}
