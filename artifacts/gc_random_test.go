package artifacts

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// recalled is a run as the test remembers it.
type recalled struct {
	id       int64
	pipeline string
	done     bool
	whole    bool
	stages   []string
	parts    []string
	outputs  map[string]string // stage → artifact, of stages that it completed
}

// completed says whether a run completed a stage.
func (r *recalled) completed(stage string) bool { return r.done && slices.Contains(r.stages, stage) }

// model is the rule of what stays, written a second time, without haste: from the list of
// all runs, and what is pinned.
type model struct {
	runs []*recalled // oldest first
	pins map[string]bool
}

// maker is the last run that gave out an artifact, and the stage that did.
func (m *model) maker(artifact string) (r *recalled, stage string) {
	for _, o := range m.runs {
		for _, s := range o.stages {
			if o.outputs[s] == artifact {
				r, stage = o, s
			}
		}
	}
	return r, stage
}

func (m *model) kept(r *recalled, keep int) bool {
	doneSince, completedSince, now := 0, map[string]int{}, []string(nil)
	wholeSince := false
	for _, o := range m.runs {
		if o.pipeline != r.pipeline {
			continue
		}
		if o.whole {
			now = o.stages // of the last whole run
		}
		if o.id <= r.id {
			continue
		}
		wholeSince = wholeSince || o.whole
		if o.done {
			doneSince++
		}
		for _, s := range o.stages {
			if o.completed(s) {
				completedSince[s]++
			}
		}
	}
	if doneSince < keep {
		return true
	}
	for _, s := range r.stages {
		current := !wholeSince || slices.Contains(now, s)
		if r.completed(s) && current && completedSince[s] < keep {
			return true
		}
	}
	return false
}

// stays lists parts and outputs that must be there after a collection.
func (m *model) stays(keep int) (parts map[string]bool, outputs map[string]bool) {
	parts, outputs = map[string]bool{}, map[string]bool{}
	for _, r := range m.runs {
		if !m.kept(r, keep) {
			continue
		}
		for _, p := range r.parts {
			parts[p] = true
		}
		for _, artifact := range r.outputs {
			outputs[artifact] = true
		}
	}
	for artifact := range m.pins {
		outputs[artifact] = true
		r, stage := m.maker(artifact)
		for _, p := range r.parts {
			if strings.HasPrefix(p, stage+" ") {
				parts[p] = true
			}
		}
	}
	return parts, outputs
}

// Runs, pins and collections in any order: afterwards all that must stay is a hit with
// all its bytes, and nothing else is left.
func TestCollectAtRandom(tt *testing.T) {
	histories := 12
	if testing.Short() {
		histories = 5
	}
	for seed := range histories {
		tt.Run(fmt.Sprint(seed), func(tt *testing.T) {
			t, rnd, m := newPast(tt), rand.New(rand.NewPCG(uint64(seed), 3)), &model{pins: map[string]bool{}}
			for range 24 {
				switch n := rnd.IntN(10); {
				case n < 6:
					t.randomRun(rnd, m)
				case n < 8:
					t.randomPin(rnd, m)
				case n < 9:
					t.litter()
				default:
					t.randomCollect(rnd, m)
				}
			}
			t.randomCollect(rnd, m)
		})
	}
}

func (t *past) randomRun(rnd *rand.Rand, m *model) {
	r := &recalled{pipeline: []string{"p", "q"}[rnd.IntN(2)], done: rnd.IntN(4) > 0, whole: rnd.IntN(3) > 0}
	all := []string{"a", "b", "c"}
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	r.stages = all[:1+rnd.IntN(3)]
	for _, s := range r.stages {
		for range 1 + rnd.IntN(3) {
			part := s
			for range 1 + rnd.IntN(2) {
				part += fmt.Sprintf(" %d", rnd.IntN(12))
			}
			if !slices.Contains(r.parts, part) {
				r.parts = append(r.parts, part)
			}
		}
	}
	state, pipeline := "done", r.pipeline
	if !r.done {
		state = []string{"failed", "interrupted", "refused"}[rnd.IntN(3)]
	}
	if !r.whole {
		pipeline += " " + r.stages[0]
	}
	r.id, r.outputs = t.run(pipeline, state, r.parts...), map[string]string{}
	for _, s := range r.stages {
		if r.done {
			r.outputs[s] = t.output(r.id, s)
		}
	}
	m.runs = append(m.runs, r)
}

func (t *past) randomPin(rnd *rand.Rand, m *model) {
	if len(m.pins) > 0 && rnd.IntN(2) == 0 {
		pinned := slices.Sorted(maps.Keys(m.pins))
		artifact := pinned[rnd.IntN(len(pinned))]
		t.ok(t.Unpin(artifact))
		delete(m.pins, artifact)
		return
	}
	for _, i := range rnd.Perm(len(m.runs)) {
		r := m.runs[i]
		s := r.stages[rnd.IntN(len(r.stages))]
		artifact := r.outputs[s]
		if artifact == "" || !exists(t.ObjectPath(artifact)) {
			continue
		}
		if list := t.peek(artifact); slices.ContainsFunc(list.Files, func(f ManifestFile) bool { return !t.Has(f.Digest, f.Size) }) {
			continue
		}
		t.ok(t.Pin(Pin{Artifact: artifact}))
		m.pins[artifact] = true
		return
	}
}

func (t *past) randomCollect(rnd *rand.Rand, m *model) {
	t.Helper()
	keep := rnd.IntN(4)
	parts, outputs := m.stays(keep)
	hits := t.hits(slices.Sorted(maps.Keys(parts))...)
	needed := map[string]bool{}
	add := func(artifact string, list *Manifest) {
		needed[artifact] = true
		if list != nil {
			for _, f := range list.Files {
				needed[f.Digest] = true
			}
		}
	}
	for _, p := range hits {
		known, err := t.Ledger().Actions([]string{key(p)})
		t.ok(err)
		add(known[key(p)].Artifact, known[key(p)].Outputs)
	}
	for artifact := range outputs {
		add(artifact, t.peek(artifact))
	}
	before := t.files(objectsDir)
	t.collect(GCOptions{KeepRuns: keep})

	t.want("hits", t.hits(slices.Sorted(maps.Keys(parts))...), hits)
	if n := t.rows("actions"); n != len(hits) {
		t.Errorf("%d results are known, want %d", n, len(hits))
	}
	// What an earlier collection took is not there to be kept.
	want := slices.DeleteFunc(before, func(o string) bool { return !needed[o] })
	t.want("objects", t.files(objectsDir), want)
	t.want("quarantine", t.files(quarantineDir), nil)
	for _, r := range m.runs {
		makes := false
		for artifact := range m.pins {
			maker, _ := m.maker(artifact)
			makes = makes || maker == r
		}
		if !m.kept(r, keep) && !makes {
			r.parts = nil // the ledger has forgotten them
		}
	}
}

var digestInText = regexp.MustCompile(`[0-9a-f]+`)

// eachDigest finds what a regular expression finds.
func FuzzEachDigest(f *testing.F) {
	d := digest("x")
	for _, s := range []string{"", d, d + d, `{"list":"` + d + `"}`, d[1:], "x" + d + "-" + digest("y") + " 0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got, want []string
		eachDigest(s, func(d string) { got = append(got, d) })
		for _, run := range digestInText.FindAllString(s, -1) {
			if len(run) == 64 {
				want = append(want, run)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q: %q, want %q", s, got, want)
		}
	})
}
