package artifacts

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// fit lets results go, those first that runs have not used for longest, until what stays
// of the store has at most MaxSize bytes. Pins and what a run under way uses stay.
//
// An object goes with the last result that needs it. A stage's output, which is a list of
// objects, goes as soon as one of them does: a run that finds the rest makes it again.
func (m *marking) fit(ctx context.Context) error {
	if m.o.MaxSize == 0 {
		return nil
	}
	f := &fitting{marking: m, results: make([]int32, len(m.objects)), outputs: make([]int32, len(m.objects)), lists: map[int32][]int32{}}
	for i := range m.objects {
		if o := &m.objects[i]; m.stays(o) {
			f.size += o.size
		}
	}
	f.size += m.other
	for _, t := range m.trees {
		if t.keep {
			f.size += t.size
		}
	}
	if f.size <= m.o.MaxSize {
		return nil
	}
	var all []unit
	for i := range m.results {
		if r := &m.results[i]; !r.gone {
			for _, n := range r.needs {
				f.results[n]++
			}
			if r.marks&(byPin|byFlight) == 0 {
				all = append(all, unit{r.used, r.created, int32(i), false})
			}
		}
	}
	for i := range m.outputs {
		if o := &m.outputs[i]; !o.gone {
			for _, n := range o.needs {
				f.outputs[n]++
				f.lists[n] = append(f.lists[n], int32(i))
			}
			if o.marks&(byPin|byFlight) == 0 {
				all = append(all, unit{o.used, math.MaxInt64, int32(i), true})
			}
		}
	}
	// What was made first goes first among what was used at the same time: what was made
	// last is what a pipeline is for. Rows come by key, so the order is always the same.
	slices.SortStableFunc(all, func(a, b unit) int {
		return cmp.Or(cmp.Compare(a.used, b.used), cmp.Compare(a.created, b.created))
	})
	for _, u := range all {
		if f.size <= m.o.MaxSize || ctx.Err() != nil {
			break
		}
		if u.output {
			f.dropOutput(u.at)
			continue
		}
		r := &m.results[u.at]
		m.drop(r, whyOver)
		for _, n := range r.needs {
			if f.results[n]--; f.results[n] > 0 {
				continue
			}
			for _, o := range f.lists[n] {
				f.dropOutput(o)
			}
			f.free(n)
		}
	}
	return ctx.Err()
}

// unit is what goes or stays as one: a result, or the output of a stage.
type unit struct {
	used, created int64
	at            int32
	output        bool
}

// fitting counts, for each object, what needs it.
type fitting struct {
	*marking
	results, outputs []int32
	lists            map[int32][]int32 // object → outputs that list it
	size             int64             // of what stays
}

func (f *fitting) dropOutput(i int32) {
	o := &f.marking.outputs[i]
	if o.gone || o.marks&(byPin|byFlight) != 0 {
		return
	}
	o.gone = true
	for _, n := range o.needs {
		f.outputs[n]--
		f.free(n)
	}
}

// free lets an object go if nothing needs it.
func (f *fitting) free(n int32) {
	o := &f.objects[n]
	if o.freed || f.results[n] > 0 || f.outputs[n] > 0 || o.marks&(byPin|byFlight) != 0 {
		return
	}
	o.freed = true
	o.why = whyOver
	f.size -= o.size
}
