package eval

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
	"github.com/ptbr-slm/pipeline/model/infer"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/stages/page/pagetest"
)

// config is the defaults in small.
func config() Config {
	c := Kind.Config.(Config)
	c.MaxTokens, c.MaxDocumentBytes, c.Bootstrap, c.SampleTokens = 4000, 1000, 200, 16
	c.Baselines.TrainBytes = 64 << 10
	return c
}

func report(t testing.TB, r *stagetest.Result) (j Report, page string) {
	t.Helper()
	for _, o := range r.Out["report"] {
		switch o.Name {
		case "report.json":
			d := json.NewDecoder(bytes.NewReader(o.Data))
			d.DisallowUnknownFields()
			if err := d.Decode(&j); err != nil {
				t.Fatal(err)
			}
		case "report.html":
			page = string(o.Data)
		default:
			t.Fatalf("unexpected output %s", o.Name)
		}
	}
	return j, page
}

func TestGolden(t *testing.T) {
	r := stagetest.Run(t, Kind, config(), inputs(t, 3))
	stagetest.Golden(t, Kind, r)
}

// The figures of the report against the model stepped through token by token and the
// standard library's logarithm.
func TestFigures(t *testing.T) {
	r, err := stagetest.Try(t, Kind, config(), inputs(t, 3), 2, false)
	if err != nil {
		t.Fatal(err)
	}
	j, page := report(t, r)
	pagetest.Check(t, page)
	m, err := infer.Load("testdata/model", kernel.FP32)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := m.Tokenizer.Special(tokenizer.End)
	text := map[string]string{}
	for _, d := range documents(t, "val.jsonl") {
		text[d.ID] = d.Text
	}
	var nats float64
	var size, count, right int64
	sources := map[string][2]float64{}
	for _, d := range j.Documents {
		piece := text[d.ID][:d.Bytes]
		s, last := m.NewState(), end
		before := nats
		for _, id := range m.Tokenizer.Encode(nil, piece) {
			logits := m.Step(s, last)
			z, top := 0.0, 0
			for i, l := range logits {
				z += math.Exp(float64(l))
				if l > logits[top] {
					top = i
				}
			}
			nats += math.Log(z) - float64(logits[id])
			count++
			if top == int(id) {
				right++
			}
			last = id
		}
		size += d.Bytes
		x := sources[d.Source]
		sources[d.Source] = [2]float64{x[0] + nats - before, x[1] + float64(d.Bytes)}
	}
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-5*want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	near("bits per byte", j.BitsPerByte, nats/math.Ln2/float64(size))
	near("token perplexity", j.TokenPerplexity, math.Exp(nats/float64(count)))
	near("top-1", j.Top1, float64(right)/float64(count))
	near("the metric", r.Metrics["bits-per-byte"][0], j.BitsPerByte)
	for _, s := range j.Sources {
		x := sources[s.Name]
		near(s.Name, s.BitsPerByte, x[0]/math.Ln2/x[1])
		if s.Interval == nil || s.Interval.Low > s.BitsPerByte || s.Interval.High < s.BitsPerByte {
			t.Errorf("%s: %v is outside %+v", s.Name, s.BitsPerByte, s.Interval)
		}
	}
	if j.BitsPerByte > 4 || j.BitsPerByte < 1 {
		t.Errorf("%v bits per byte is not what a small trained model has", j.BitsPerByte)
	}
	if j.Evaluated.Of != 8 || j.Evaluated.Documents != int64(len(j.Documents)) || j.Evaluated.Tokens != count || count > 4000 || count < 3000 {
		t.Errorf("evaluated %+v, %d tokens of %d documents", j.Evaluated, count, len(j.Documents))
	}
	b := j.Baselines
	if b.NGram == nil || b.NGram.BitsPerByte > 4 || b.NGram.BitsPerByte < 1.5 || len(b.NGram.BySource) != 2 {
		t.Errorf("n-gram baseline %+v", b.NGram)
	}
	if b.Zstd == nil || b.Zstd.BitsPerByte >= b.Zstd.AloneBitsPerByte || b.Zstd.BitsPerByte < b.NGram.BitsPerByte {
		t.Errorf("zstd baseline %+v", b.Zstd)
	}
	if len(j.Samples) != 5 || j.Samples[0].Prompt != "O Brasil é" || j.Samples[0].Text == "" || j.Samples[0].Text == j.Samples[3].Text {
		t.Errorf("samples %+v", j.Samples)
	}
	if len(j.Curve) == 0 || !strings.Contains(page, "<polyline") {
		t.Error("the training curve is not drawn")
	}
	var n int64
	for _, p := range j.Positions {
		n += p.Tokens
	}
	if n != count {
		t.Errorf("positions hold %d tokens of %d", n, count)
	}
}

func TestShardsDoNotMatter(t *testing.T) {
	var first string
	for _, n := range []int{1, 5, 100} {
		r, err := stagetest.Try(t, Kind, config(), inputs(t, n), 1, false)
		if err != nil {
			t.Fatal(err)
		}
		s := ""
		for _, o := range r.Out["report"] {
			s += o.Digest
		}
		if first == "" {
			first = s
		}
		if s != first {
			t.Fatalf("%d documents a shard give another report", n)
		}
	}
}

func TestContext(t *testing.T) {
	in := inputs(t, 3)
	delete(in, "train")
	delete(in, "log")
	c := config()
	c.Prompts = nil
	var bits []float64
	for _, c.Context = range []int{0, 64, 2} {
		r, err := stagetest.Try(t, Kind, c, in, 1, false)
		if err != nil {
			t.Fatal(err)
		}
		j, page := report(t, r)
		pagetest.Check(t, page)
		if j.Baselines.NGram != nil || j.Baselines.Zstd != nil || len(j.Samples) != 0 {
			t.Error("baselines or samples out of nothing")
		}
		if c.Context == 2 && len(j.Positions) != 2 {
			t.Errorf("with a context of 2 there are %d buckets of positions", len(j.Positions))
		}
		bits = append(bits, j.BitsPerByte)
	}
	if !(bits[0] < bits[1] && bits[1] < bits[2]) {
		t.Errorf("bits per byte %v do not grow as context shrinks", bits)
	}
}

func TestCaps(t *testing.T) {
	in := inputs(t, 3)
	c := config()
	c.Prompts, c.Baselines.TrainBytes = nil, 5000
	for _, x := range []struct{ tokens, each, documents int64 }{{1, 1500, 1}, {40, 1500, 1}, {1000, 300, 7}} {
		c.MaxTokens, c.MaxDocumentBytes = x.tokens, x.each
		r, err := stagetest.Try(t, Kind, c, in, 1, false)
		if err != nil {
			t.Fatal(err)
		}
		j, _ := report(t, r)
		if j.Evaluated.Tokens > x.tokens || j.Evaluated.Tokens == 0 || j.Evaluated.Documents < min(x.documents, 2) && x.documents > 1 {
			t.Errorf("max-tokens %d, max-document-bytes %d: %+v", x.tokens, x.each, j.Evaluated)
		}
		for _, d := range j.Documents {
			if d.Bytes > x.each || d.Whole {
				t.Errorf("%s has %d bytes, whole %v", d.ID, d.Bytes, d.Whole)
			}
		}
		if b := j.Baselines.TrainBytes; b > 5000 || b < 4000 {
			t.Errorf("baselines learnt from %d bytes, of at most 5000", b)
		}
	}
}

func TestLossyIsFlagged(t *testing.T) {
	b, err := os.ReadFile("testdata/model/" + tokenizer.FileName)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	file["normalizer"] = map[string]any{"type": "Sequence", "normalizers": []any{map[string]any{"type": "NFC"}, map[string]any{"type": "Lowercase"}}}
	if b, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	in := inputs(t, 3)
	for i := range in["model"] {
		if in["model"][i].Name == tokenizer.FileName {
			in["model"][i].Data = b
		}
	}
	r, err := stagetest.Try(t, Kind, config(), in, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	if j, page := report(t, r); !j.Lossy || !strings.Contains(page, "Lossy tokenizer") || !strings.Contains(page, "does not compare") {
		t.Error("a lossy tokenizer is not flagged")
	}
}

func TestBadInput(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(map[string][]stagetest.Input)
		want string
	}{
		{"no documents", func(in map[string][]stagetest.Input) { delete(in, "val") }, "port val has no document"},
		{"blank documents", func(in map[string][]stagetest.Input) {
			in["val"] = []stagetest.Input{stagetest.Shard(t, corpus.Document{ID: "a", Text: " \n"})}
		}, "port val has no document"},
		{"no shard", func(in map[string][]stagetest.Input) { in["val"] = []stagetest.Input{{Data: []byte("x")}} }, "documents"},
		{"no weights", func(in map[string][]stagetest.Input) { in["model"] = in["model"][:1] }, "model: "},
		{"cut weights", func(in map[string][]stagetest.Input) { in["model"][1].Data = in["model"][1].Data[:5000] }, "model: "},
		{"cut log", func(in map[string][]stagetest.Input) {
			in["log"] = []stagetest.Input{{Data: []byte("{\"step\":1}\n{\"st")}}
		}, "training log"},
	} {
		in := inputs(t, 3)
		c.edit(in)
		if _, err := stagetest.Try(t, Kind, config(), in, 1, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want it to say %q", c.name, err, c.want)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"max-tokens is 0":             func(c *Config) { c.MaxTokens = 0 },
		"cannot be below 0":           func(c *Config) { c.Context = -1 },
		"baselines.order is 9":        func(c *Config) { c.Baselines.Order = 9 },
		"samples: the temperature is": func(c *Config) { c.Temperature = -1 },
	} {
		c := config()
		edit(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int64
		want string
	}{
		{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"um dois três", 9, "um dois"}, {"ação", 2, "a"}, {"ação", 3, "aç"}, {"é", 1, ""}, {"a bcdefgh", 6, "a bcde"},
		{"日本語", 5, "日"}, {"日本語", 6, "日本"},
	} {
		if got := cut(c.s, c.n); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.s, c.n, got, c.want)
		}
	}
}
