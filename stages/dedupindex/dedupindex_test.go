package dedupindex

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/droplist"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
)

func config(f func(*Config)) Config {
	c := Kind.Config.(Config)
	if f != nil {
		f(&c)
	}
	return c
}

// paragraphs are 26 of Portuguese prose, about 1,000 words.
func paragraphs(t testing.TB) []string {
	b, err := os.ReadFile("../../corpus/langid/text/pt.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func run(t testing.TB, c Config, shards ...[]corpus.Document) (*stagetest.Result, droplist.List) {
	t.Helper()
	var in []stagetest.Input
	for _, s := range shards {
		in = append(in, stagetest.Shard(t, s...))
	}
	r := stagetest.Run(t, Kind, c, map[string][]stagetest.Input{"docs": in})
	l := droplist.List{}
	if err := l.Read(bytes.NewReader(r.Out["drop"][0].Data)); err != nil {
		t.Fatal(err)
	}
	return r, l
}

func doc(source, id, text string) corpus.Document {
	return corpus.Document{ID: id, Source: source, Text: text}
}

func TestGolden(t *testing.T) {
	p := paragraphs(t)
	whole := strings.Join(p, "\n")
	edited := strings.Replace(whole, "duzentos mil habitantes", "trezentos mil moradores", 1)
	r, l := run(t, config(func(c *Config) { c.Priority = []string{"lei", "wiki"} }),
		[]corpus.Document{doc("rede", "a", whole), doc("wiki", "z", edited), doc("rede", "half", strings.Join(p[:13], "\n"))},
		[]corpus.Document{doc("wiki", "y", strings.ToUpper(whole)+"!"), doc("rede", "other", p[3]), doc("lei", "n", p[20]), doc("rede", "b", p[20]), doc("rede", "vazio", "..."), doc("rede", "oco", "!")},
	)
	stagetest.Golden(t, Kind, r)
	for _, w := range []droplist.Entry{
		{ID: "y", Source: "wiki", Cluster: "wiki:y", Keep: true, Reason: droplist.Kept, Jaccard: 1},
		{ID: "a", Source: "rede", Cluster: "wiki:y", Reason: droplist.Exact, Jaccard: 1},
		{ID: "n", Source: "lei", Cluster: "lei:n", Keep: true, Reason: droplist.Kept, Jaccard: 1},
		{ID: "b", Source: "rede", Cluster: "lei:n", Reason: droplist.Exact, Jaccard: 1},
	} {
		if e, ok := l.Find(w.Source, w.ID); !ok || e != w {
			t.Errorf("got %+v, want %+v", e, w)
		}
	}
	if e, ok := l.Find("wiki", "z"); !ok || e.Keep || e.Reason != droplist.Near || e.Cluster != "wiki:y" || e.Jaccard < 0.95 || e.Jaccard >= 1 {
		t.Errorf("the edited copy: %+v", e)
	}
	if len(l) != 5 {
		t.Errorf("%d entries: %v", len(l), l)
	}
	if r.Counts["rede/exact"] != 2 || r.Counts["wiki/near"] != 1 {
		t.Errorf("counts %v", r.Counts)
	}
	rep, err := corpus.ReadReport(bytes.NewReader(r.Out["report"][0].Data))
	if err != nil || rep.Numbers["clusters of 3"]["wiki"] != 1 || rep.Numbers["clusters of 2"]["lei"] != 1 ||
		rep.In["rede"].Documents != 6 || rep.Out["rede"].Documents != 4 || len(rep.Samples["near"]) != 1 {
		t.Errorf("report: %v %+v", err, rep)
	}
}

// words gives n different words from the k-th on.
func words(k, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "w%c%c%c ", 'a'+(k+i)/676%26, 'a'+(k+i)/26%26, 'a'+(k+i)%26)
	}
	return b.String()
}

// Two texts that share 0.7 of their shingles share a band more often than not, and are
// no duplicates. Without the measurement they would be.
func TestCandidatesAreMeasured(t *testing.T) {
	var d []corpus.Document
	for i := range 40 {
		base := words(i*400, 340)
		d = append(d, doc("s", fmt.Sprintf("%02d-a", i), base+words(16000, 30)), doc("s", fmt.Sprintf("%02d-b", i), base+words(16100+i, 75)))
	}
	r, l := run(t, config(nil), d)
	if len(l) != 0 {
		t.Errorf("%d of %d are taken for duplicates", len(l), len(d))
	}
	if log := strings.Join(r.Log, "\n"); !strings.Contains(log, "pairs of them measure below 0.8") || strings.Contains(log, "; 0 pairs") {
		t.Errorf("no candidate was measured and refused: %s", log)
	}
	if _, l = run(t, config(func(c *Config) { c.Threshold = 0.6 }), d); len(l) < 40 {
		t.Errorf("at 0.6 only %d are", len(l))
	}
}

func TestThresholdIsJaccard(t *testing.T) {
	// 96 shingles of 100 words; n words more at the end add n.
	for n, want := range map[int]bool{20: true, 30: false} {
		_, l := run(t, config(func(c *Config) { c.Bands, c.Rows = 64, 2 }), []corpus.Document{doc("s", "a", words(0, 100)), doc("s", "b", words(0, 100+n))})
		if got := len(l) == 2; got != want {
			t.Errorf("96 of %d shingles in common: duplicate %v, want %v", 96+n, got, want)
		}
		if e, ok := l.Find("s", "b"); ok && e.Jaccard != 96.0/float64(96+n) {
			t.Errorf("jaccard %v", e.Jaccard)
		}
	}
}

// Neither shards nor their order change what is dropped.
func TestShardsDoNotMatter(t *testing.T) {
	p := paragraphs(t)
	var d []corpus.Document
	for i, s := range p {
		d = append(d, doc("s", fmt.Sprintf("%02d", i), s), doc("s", fmt.Sprintf("%02d-copy", i), s+" Fim."))
	}
	one, _ := run(t, config(nil), d)
	var many [][]corpus.Document
	for i := len(d) - 1; i >= 0; i-- {
		many = append(many, d[i:i+1])
	}
	other, l := run(t, config(nil), many...)
	if string(one.Out["drop"][0].Data) != string(other.Out["drop"][0].Data) {
		t.Error("the drop list differs")
	}
	if len(l) != len(d) {
		t.Errorf("%d of %d are in clusters", len(l), len(d))
	}
}

func TestBadInput(t *testing.T) {
	d := stagetest.Shard(t, doc("s", "a", "um"))
	_, err := stagetest.Try(t, Kind, config(nil), map[string][]stagetest.Input{"docs": {d, d}}, 1, false)
	if err == nil || !strings.Contains(err.Error(), `two documents of the source "s" have the id "a"`) {
		t.Errorf("the same document twice: %v", err)
	}
	_, err = New(Config{Priority: []string{"a", "a"}, Threshold: 2})
	for _, w := range []string{"threshold is 2", "shingle is 0", "bands is 0", "rows is 0", `priority[1]: source "a" is listed twice`} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%v does not say %q", err, w)
		}
	}
	if r, l := run(t, config(nil)); len(l) != 0 || len(r.Out["report"]) != 1 {
		t.Errorf("no documents: %v", l)
	}
}
