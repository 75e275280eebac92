package dedupindex

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/droplist"
	"github.com/ptbr-slm/pipeline/corpus/minhash"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// sort puts the best documents first and refuses two of one name, since a drop list
// could not tell them apart.
func (x *Indexer) sort(all []minhash.Record) error {
	rank := func(source string) int {
		if r, ok := x.rank[source]; ok {
			return r
		}
		return len(x.rank)
	}
	slices.SortFunc(all, func(a, b minhash.Record) int {
		return cmp.Or(cmp.Compare(rank(a.Source), rank(b.Source)), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Source, b.Source))
	})
	for i := 1; i < len(all); i++ {
		if a, b := &all[i-1], &all[i]; a.ID == b.ID && a.Source == b.Source {
			return fmt.Errorf("two documents of the source %q have the id %q: ids must be unique within a source; is a file wired twice?", a.Source, a.ID)
		}
	}
	return nil
}

// clusters is a union-find over documents, best first, whose roots are the best of
// their cluster.
type clusters struct {
	all     []minhash.Record
	parent  []int
	reason  []string
	jaccard []float64 // highest measured with another of the cluster
}

func newClusters(all []minhash.Record) *clusters {
	c := &clusters{all: all, parent: make([]int, len(all)), reason: make([]string, len(all)), jaccard: make([]float64, len(all))}
	for i := range c.parent {
		c.parent[i] = i
	}
	return c
}

func (c *clusters) root(i int) int {
	for c.parent[i] != i {
		c.parent[i] = c.parent[c.parent[i]]
		i = c.parent[i]
	}
	return i
}

// union joins the clusters of a and b, which are as alike as jaccard says.
func (c *clusters) union(a, b int, jaccard float64) {
	c.jaccard[a], c.jaccard[b] = max(c.jaccard[a], jaccard), max(c.jaccard[b], jaccard)
	a, b = c.root(a), c.root(b)
	c.parent[max(a, b)] = min(a, b)
}

// exact joins documents of the same words. Those without words are left alone: that
// they hold none makes them no copies of each other.
func (c *clusters) exact() {
	first := map[[32]byte]int{}
	for i := range c.all {
		if c.all[i].Words == 0 {
			continue
		}
		if f, ok := first[c.all[i].Exact]; ok {
			c.reason[i] = droplist.Exact
			c.union(f, i, 1)
		} else {
			first[c.all[i].Exact] = i
		}
	}
}

// candidates returns the groups of documents that share a band, best first in each, the
// groups in the order of bands and of their first documents. Of exact copies only the
// first takes part.
func (c *clusters) candidates(bands int) [][]int {
	var groups [][]int
	for band := range bands {
		at := map[uint64]int{} // hash of the band → its group, or -1-i while i is alone
		for i := range c.all {
			if c.reason[i] != "" || len(c.all[i].Bands) == 0 {
				continue
			}
			h := c.all[i].Bands[band]
			switch g, ok := at[h]; {
			case !ok:
				at[h] = -1 - i
			case g < 0:
				at[h] = len(groups)
				groups = append(groups, []int{-1 - g, i})
			default:
				groups[g] = append(groups[g], i)
			}
		}
	}
	slices.SortStableFunc(groups, func(x, y []int) int { return slices.Compare(x, y) })
	return slices.CompactFunc(groups, slices.Equal)
}

// verify measures the pairs within the groups that are not in one cluster yet, on the
// words of the documents themselves, and joins those that are alike enough. It holds
// the shingles of all documents of the groups: 8 bytes a word.
func (c *clusters) verify(ctx context.Context, t stage.Task, groups [][]int, cfg Config) error {
	need := map[string]int{}
	for _, g := range groups {
		for _, i := range g {
			need[droplist.Key(c.all[i].Source, c.all[i].ID)] = i
		}
	}
	if len(need) == 0 {
		return nil
	}
	shingles := make(map[int][]uint64, len(need))
	err := docs.Each(ctx, t, t.Inputs("docs"), func(d *corpus.Document) error {
		if i, ok := need[droplist.Key(d.Source, d.ID)]; ok {
			shingles[i] = minhash.Shingles(minhash.Words(d.Text), cfg.Shingle)
		}
		return nil
	})
	if err != nil {
		return err
	}
	type pair struct{ a, b int }
	rejected := map[pair]bool{}
	for _, g := range groups {
		if err := ctx.Err(); err != nil {
			return err
		}
		for k, b := range g {
			for _, a := range g[:k] {
				if c.root(a) == c.root(b) || rejected[pair{a, b}] {
					continue
				}
				if j := minhash.Jaccard(shingles[a], shingles[b]); j >= cfg.Threshold {
					c.union(a, b, j)
				} else {
					rejected[pair{a, b}] = true
				}
			}
		}
	}
	t.Logf("%d documents share a band with another; %d pairs of them measure below %v", len(need), len(rejected), cfg.Threshold)
	return nil
}

// list makes the drop list, and counts and samples what it drops.
func (c *clusters) list(ctx context.Context, t stage.Task, report *corpus.Report) ([]droplist.Entry, error) {
	size := make([]int, len(c.all))
	for i := range c.all {
		size[c.root(i)]++
	}
	var entries []droplist.Entry
	list := droplist.List{}
	for i := range c.all {
		r := c.root(i)
		if size[r] == 1 {
			continue
		}
		e := droplist.Entry{ID: c.all[i].ID, Source: c.all[i].Source, Cluster: droplist.Key(c.all[r].Source, c.all[r].ID),
			Keep: i == r, Reason: c.reason[i], Jaccard: c.jaccard[i]}
		switch {
		case i == r:
			e.Reason = droplist.Kept
			report.Number(fmt.Sprintf("clusters of %d", size[r]), e.Source, 1)
		case e.Reason == "":
			e.Reason = droplist.Near
		}
		entries = append(entries, e)
		list[droplist.Key(e.Source, e.ID)] = e
	}
	err := docs.Each(ctx, t, t.Inputs("docs"), func(d *corpus.Document) error {
		report.Enter(d)
		e, ok := list.Find(d.Source, d.ID)
		if !ok || e.Keep {
			report.Leave(d)
			return nil
		}
		report.Touch(e.Reason, d.Source, 1, int64(len(d.Text)))
		report.Sample(t.Seed(), e.Reason, d, fmt.Sprintf("%.3f like %s: %s", e.Jaccard, e.Cluster, d.Text))
		return nil
	})
	return entries, err
}
