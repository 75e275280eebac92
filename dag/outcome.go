package dag

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// outcome is what doing a part gave: recorded once, or now.
type outcome struct {
	failure string // the part failed
	files   map[string]made
	counts  executor.Counts
	verdict string // reasons of the gates that broke
	metrics map[string]float64

	dir      string // directory of the rerun; empty: recorded
	pid      int    // of the worker; 0: not known
	lastPID  int    // the last process that was started before it ended; 0: not known
	from, to time.Time
}

// made is a file that a part made, by port/name.
type made struct {
	digest string
	stats  stage.Stats
	path   string
}

// recorded is the outcome that the ledger has of a part.
func recorded(s *artifacts.Store, p *part) (*outcome, error) {
	a := p.hit
	var d Detail
	if len(a.Counts) > 0 {
		if err := json.Unmarshal(a.Counts, &d); err != nil {
			return nil, fmt.Errorf("ledger: detail of action %s: %w", a.Key, err)
		}
	}
	o := &outcome{files: map[string]made{}, counts: d.Counts, verdict: a.Refusal, metrics: d.Metrics,
		from: a.Created.Add(-time.Duration(a.Seconds * float64(time.Second))), to: a.Created}
	return o, o.take(a.Outputs, func(f artifacts.ManifestFile) string { return s.ObjectPath(f.Digest) })
}

// take lists the files of a manifest.
func (o *outcome) take(m *artifacts.Manifest, path func(artifacts.ManifestFile) string) error {
	for _, f := range m.Files {
		x := made{digest: f.Digest, path: path(f)}
		if len(f.Stats) > 0 {
			if err := json.Unmarshal(f.Stats, &x.stats); err != nil {
				return fmt.Errorf("statistics of %s: %w", f.Path, err)
			}
		}
		o.files[f.Path] = x
	}
	return nil
}

// same says whether two outcomes agree in all that a run keeps and acts on. Metrics may
// measure time; see metricsDiffer.
func same(a, b *outcome) bool {
	if a.failure != "" || b.failure != "" {
		return a.failure != "" && b.failure != "" // the words may hold paths
	}
	return a.verdict == b.verdict && maps.EqualFunc(a.files, b.files, func(x, y made) bool { return x.digest == y.digest && x.stats == y.stats }) &&
		maps.EqualFunc(a.counts, b.counts, maps.Equal[map[string]int64, map[string]int64])
}

// metricsDiffer names the metrics whose last value is not the same.
func metricsDiffer(a, b *outcome) (names []string) {
	if b.failure != "" {
		return nil
	}
	all := maps.Clone(b.metrics)
	maps.Copy(all, a.metrics)
	for _, n := range slices.Sorted(maps.Keys(all)) {
		x, okX := a.metrics[n]
		y, okY := b.metrics[n]
		if okX != okY || x != y {
			names = append(names, n)
		}
	}
	return names
}
