package dedup

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/droplist"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
)

func TestGolden(t *testing.T) {
	var list bytes.Buffer
	if err := droplist.Write(&list, []droplist.Entry{
		{ID: "1", Source: "wiki", Cluster: "wiki:1", Keep: true, Reason: droplist.Kept, Jaccard: 1},
		{ID: "2", Source: "wiki", Cluster: "wiki:1", Reason: droplist.Exact, Jaccard: 1},
		{ID: "1", Source: "rede", Cluster: "wiki:1", Reason: droplist.Near, Jaccard: 0.9},
	}); err != nil {
		t.Fatal(err)
	}
	doc := func(source, id string) corpus.Document {
		return corpus.Document{ID: id, Source: source, Text: "Texto de " + id, Meta: map[string]any{"m": id}}
	}
	r := stagetest.Run(t, Kind, Config{}, map[string][]stagetest.Input{
		"docs": {stagetest.Shard(t, doc("wiki", "1"), doc("wiki", "2"), doc("wiki", "3")), stagetest.Shard(t, doc("rede", "1"))},
		"drop": {{Data: list.Bytes()}},
	})
	stagetest.Golden(t, Kind, r)
	var got []string
	for _, d := range r.Docs(t, "docs") {
		got = append(got, d.Source+d.ID+d.Meta["m"].(string))
	}
	if strings.Join(got, " ") != "wiki11 wiki33" {
		t.Errorf("left: %q", got)
	}
	if r.Counts["wiki/exact"] != 1 || r.Counts["rede/near"] != 1 || len(r.Parts) != 2 {
		t.Errorf("counts %v in %d parts", r.Counts, len(r.Parts))
	}
}

func TestBrokenList(t *testing.T) {
	_, err := stagetest.Try(t, Kind, Config{}, map[string][]stagetest.Input{
		"docs": {stagetest.Shard(t, corpus.Document{ID: "1"})}, "drop": {{Data: []byte(`{"id":"a"}{`)}}}, 1, false)
	if err == nil || !strings.Contains(err.Error(), "drop list, entry 2") {
		t.Error(err)
	}
}
