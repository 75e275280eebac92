package benchmark

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

// Every figure is there, positive and finite; how large it is says the machine.
func TestRun(t *testing.T) {
	paths := kernel.Paths()
	o := Options{Presets: []rwkv.Preset{{Name: "tiny", Embd: 16, Layers: 1, FFN: 32}}, Vocab: 40, Threads: []int{1, 2}, Paths: paths, Time: time.Millisecond, Runs: 3, Batch: 2, Seq: 12, Accum: 3,
		Weights: []kernel.Weights{kernel.FP32, kernel.BF16, kernel.Int8}}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	n := len(paths) * 2
	if len(r.Peaks) != n-2 || len(r.Reads) != 2 || len(r.Gemms) != 3*n || len(r.Steps) != n || len(r.Decodes) != 6 {
		t.Errorf("%d peaks, %d reads, %d products, %d steps, %d decodes", len(r.Peaks), len(r.Reads), len(r.Gemms), len(r.Steps), len(r.Decodes))
	}
	for _, g := range r.Gemms {
		if !(g.GFLOPS > 0) || (g.Share > 0) != (g.Path != "go") {
			t.Errorf("%+v", g)
		}
	}
	for _, s := range r.Steps {
		if !(s.Speed > 0) || !(s.GFLOPS > 0) || s.Memory <= 0 || s.Allocs < 1 || s.Garbage < s.Allocs || s.Tokens != 72 || (s.Share > 0) != (s.Path != "go") {
			t.Errorf("%+v", s)
		}
	}
	for _, d := range r.Decodes {
		if !(d.Speed > 0) || !(d.GBs > 0) || !(d.Share > 0) || d.Token <= 0 || d.Token >= d.Memory || d.Allocs != 0 {
			t.Errorf("%+v", d)
		}
	}
	o.Only = []string{Generation}
	if r, err := Run(t.Context(), o); err != nil || len(r.Peaks) == 0 || len(r.Gemms)+len(r.Steps) > 0 || len(r.Decodes) != 6 {
		t.Errorf("generation only: %+v %v", r, err)
	}
	if r.Encodes == nil || len(r.Encodes) > 0 {
		t.Errorf("no tokenizer was named: %+v", r.Encodes)
	}
	o.Only = []string{Encoding}
	o.Tokenizer, o.Text = trained(t), strings.Repeat("Não há, pois não?\n", 3000)
	r, err = Run(t.Context(), o)
	if err != nil || len(r.Peaks)+len(r.Reads)+len(r.Decodes) > 0 || len(r.Encodes) != 2 {
		t.Fatalf("encoding only: %+v %v", r, err)
	}
	for i, e := range r.Encodes {
		if !(e.Speed > 0) || e.Documents != 4 || e.Bytes != len(o.Text) || e.Tokens != len(o.Tokenizer.Encode(nil, o.Text)) || e.Threads != o.Threads[i] || e.IDs != r.Encodes[0].IDs || len(e.IDs) != 64 {
			t.Errorf("%+v", e)
		}
	}
	if got := strings.Join(documents(o.Text+"x"), ""); got != o.Text+"x" {
		t.Error("the documents are not the text")
	}
	o.Only = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	o.Paths = []string{"sse"}
	if _, err := Run(t.Context(), o); err == nil {
		t.Error("a path that is not there was measured")
	}
}

func trained(t *testing.T) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Train(t.Context(), []tokenizer.Word{{Text: " não", Count: 9}}, tokenizer.Options{VocabSize: 260, MinFrequency: 2,
		Splitter: "ptbr", Normalizer: []string{"nfc"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}
