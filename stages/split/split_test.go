package split

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/droplist"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
)

func documents(n int) (d []corpus.Document) {
	for i := range n {
		d = append(d, corpus.Document{ID: fmt.Sprint("doc-", i), Source: []string{"wiki", "lei"}[i%2], Text: "Texto."})
	}
	return d
}

func list(t testing.TB, e ...droplist.Entry) stagetest.Input {
	var b bytes.Buffer
	if err := droplist.Write(&b, e); err != nil {
		t.Fatal(err)
	}
	return stagetest.Input{Data: b.Bytes()}
}

func ids(t testing.TB, r *stagetest.Result, port string) map[string]bool {
	m := map[string]bool{}
	for _, d := range r.Docs(t, port) {
		m[d.ID] = true
	}
	return m
}

func TestGolden(t *testing.T) {
	d := documents(60)
	r := stagetest.Run(t, Kind, Config{ValPercent: 10}, map[string][]stagetest.Input{
		"docs": {stagetest.Shard(t, d[:20]...), stagetest.Shard(t, d[20:]...)},
		"drop": {list(t, droplist.Entry{ID: "doc-3", Source: "lei", Cluster: "wiki:doc-2"}, droplist.Entry{ID: "doc-2", Source: "wiki", Cluster: "wiki:doc-2", Keep: true})},
	})
	stagetest.Golden(t, Kind, r)
	if n, m := len(ids(t, r, "train")), len(ids(t, r, "val")); n+m != 60 || m == 0 {
		t.Errorf("%d train and %d validate, of 60", n, m)
	}
}

func TestShare(t *testing.T) {
	const n = 8_000
	in := stagetest.Shard(t, documents(n)...)
	for _, percent := range []float64{0, 0.5, 5, 50, 100} {
		r, err := stagetest.Try(t, Kind, Config{ValPercent: percent}, map[string][]stagetest.Input{"docs": {in}}, 1, false)
		if err != nil {
			t.Fatal(err)
		}
		val := r.Counts["wiki/val"] + r.Counts["lei/val"]
		p := percent / 100
		// Four standard deviations of a binomial; none at the ends.
		if d := float64(val) - p*n; d*d > 16*n*p*(1-p) {
			t.Errorf("%v %%: %d of %d validate", percent, val, n)
		}
	}
}

func TestShardsDoNotMatter(t *testing.T) {
	d := documents(400)
	c := Config{ValPercent: 20, Salt: "s"}
	one := stagetest.Run(t, Kind, c, map[string][]stagetest.Input{"docs": {stagetest.Shard(t, d...)}})
	var back []stagetest.Input
	for i := 399; i >= 0; i -= 100 {
		back = append(back, stagetest.Shard(t, d[i-99:i+1]...))
	}
	four := stagetest.Run(t, Kind, c, map[string][]stagetest.Input{"docs": back})
	if a, b := fmt.Sprint(ids(t, one, "val")), fmt.Sprint(ids(t, four, "val")); a != b {
		t.Errorf("one shard: %s; four: %s", a, b)
	}
	other := stagetest.Run(t, Kind, Config{ValPercent: 20}, map[string][]stagetest.Input{"docs": {stagetest.Shard(t, d...)}})
	if fmt.Sprint(ids(t, one, "val")) == fmt.Sprint(ids(t, other, "val")) {
		t.Error("another salt draws the same documents")
	}
}

func TestClustersStayTogether(t *testing.T) {
	d := documents(300)
	var e []droplist.Entry
	for i := 0; i < 300; i += 3 {
		for j := range 3 {
			e = append(e, droplist.Entry{ID: d[i+j].ID, Source: d[i+j].Source, Cluster: droplist.Key(d[i].Source, d[i].ID), Keep: j == 0})
		}
	}
	r := stagetest.Run(t, Kind, Config{ValPercent: 30}, map[string][]stagetest.Input{"docs": {stagetest.Shard(t, d...)}, "drop": {list(t, e...)}})
	val := ids(t, r, "val")
	if len(val) == 0 || len(val) == 300 {
		t.Fatalf("%d validate", len(val))
	}
	for i := 0; i < 300; i += 3 {
		if a, b, c := val[d[i].ID], val[d[i+1].ID], val[d[i+2].ID]; a != b || b != c {
			t.Fatalf("cluster of %s is torn", d[i].ID)
		}
	}
}

func TestBadInput(t *testing.T) {
	if _, err := New(Config{ValPercent: 101}); err == nil || !strings.Contains(err.Error(), "0 to 100") {
		t.Errorf("101 %%: %v", err)
	}
	_, err := stagetest.Try(t, Kind, Config{ValPercent: 1}, map[string][]stagetest.Input{
		"docs": {stagetest.Shard(t, documents(1)...)}, "drop": {{Data: []byte("{")}}}, 1, false)
	if err == nil || !strings.Contains(err.Error(), "drop list") {
		t.Errorf("broken drop list: %v", err)
	}
}
