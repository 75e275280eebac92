package corpus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestCutterKeepsOtherShards inserts, changes and removes one document of a thousand
// shards, at the start, at the end and anywhere: two shards at most are new, for short
// documents and for such as fill a shard.
func TestCutterKeepsOtherShards(t *testing.T) {
	const target = 400
	for _, mean := range []int{10, 60, 200, 400} {
		r := rand.New(rand.NewPCG(1, uint64(mean)))
		made := 0
		document := func() Document {
			made++
			return Document{ID: fmt.Sprint(made), Text: strings.Repeat("a", 1+r.IntN(2*mean))}
		}
		var docs []Document
		for size := 0; size < 1200*target; size += len(docs[len(docs)-1].Text) {
			docs = append(docs, document())
		}
		was := cutAll(docs, target)
		if mean < target && len(was) < 1000 {
			t.Errorf("documents of %d bytes: %d shards", mean, len(was))
		}
		for i := range 120 {
			at := []int{0, len(docs) - 1, r.IntN(len(docs))}[min(i/3, 2)]
			var now []Document
			switch i % 3 {
			case 0:
				now = slices.Insert(slices.Clone(docs), at, document())
			case 1:
				now = slices.Clone(docs)
				now[at] = document()
			case 2:
				now = slices.Delete(slices.Clone(docs), at, at+1)
			}
			fresh := 0
			for s := range cutAll(now, target) {
				if !was[s] {
					fresh++
				}
			}
			if fresh > 2 {
				t.Errorf("documents of %d bytes, change %d at %d: %d shards are new", mean, i, at, fresh)
			}
		}
	}
}

// cutAll cuts documents into shards; a shard is the list of its ids.
func cutAll(docs []Document, target int64) map[string]bool {
	c := NewCutter(target)
	shards := map[string]bool{}
	var b strings.Builder
	for i := range docs {
		b.WriteString(docs[i].ID + " ")
		if c.After(&docs[i]) || i == len(docs)-1 {
			shards[b.String()] = true
			b.Reset()
		}
	}
	return shards
}

// TestCutterBounds holds that no shard grows beyond its bound, and that the mean is about
// the target.
func TestCutterBounds(t *testing.T) {
	const target = 1000
	r := rand.New(rand.NewPCG(3, 4))
	c := NewCutter(target)
	size, total, shards := 0, 0, 0
	for i := range 100_000 {
		d := Document{ID: fmt.Sprint(i), Text: strings.Repeat("a", 1+r.IntN(100))}
		size += len(d.Text)
		total += len(d.Text)
		if size > 8*target+100 {
			t.Fatalf("a shard of %d bytes", size)
		}
		if c.After(&d) {
			size = 0
			shards++
		}
	}
	if mean := total / shards; mean < target*9/10 || mean > target*11/10 {
		t.Errorf("%d shards of %d bytes in the mean; the target is %d", shards, mean, target)
	}
}
