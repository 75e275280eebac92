package rwkvcpp

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

const model = "testdata/tiny-rwkv-4v0-660K-FP32.bin"

// The model gives the logits that rwkv.cpp gives, a token at a time and all at once.
func TestGolden(t *testing.T) {
	f, err := os.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := (rwkv.Config{Vocab: 256, Embd: 128, Layers: 4, FFN: 256}); p.Config != want {
		t.Fatalf("%+v, want %+v", p.Config, want)
	}
	b, err := os.ReadFile("testdata/expected-logits-4v0-660K.bin")
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float32, 256)
	if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, want); err != nil {
		t.Fatal(err)
	}
	check := func(name string, got []float32) {
		worst := 0.0
		for i := range want {
			worst = max(worst, math.Abs(float64(got[i]-want[i])))
		}
		t.Logf("%s: off by at most %.2g", name, worst)
		if !(worst < 1e-5) {
			t.Errorf("%s: off by %g", name, worst)
		}
	}
	tokens := []uint32{'"', 'i', 'n'}
	cpu := kernel.NewCPU[float32](1)
	step, s := rwkv.NewStepper(cpu, p, kernel.FP32), rwkv.NewState[float32](p.Config, 1)
	var got []float32
	for _, id := range tokens {
		got = step.Step(s, id)
	}
	check("token by token", got)
	n := rwkv.NewNetwork(cpu, p, 1, 3)
	n.Forward(tokens, nil, nil)
	n.Logits(2, 3, func(_ int, logits []float32) { check("at once", logits) })
}

func TestRefuses(t *testing.T) {
	whole, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	with := func(at int, v uint32) []byte {
		b := bytes.Clone(whole)
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	for _, q := range []struct {
		name, want string
		b          []byte
	}{
		{"empty", "header is cut short", nil},
		{"magic", "magic 0x1", with(0, 1)},
		{"version", "version 99", with(4, 99)},
		{"FP16", "data type 1", with(20, 1)},
		{"cut in a tensor", "tensor 73: blocks.3.", whole[:len(whole)*9/10]},
		{"cut in a header", "header is cut short", whole[:24+5]},
		{"cut between tensors", "has 73 tensors, 4 layers need 78", with(16, 4)[:bytes.Index(whole, []byte("blocks.3.ffn.value.weight"))-20]},
		{"layers", "need 96", with(16, 5)},
		{"vocabulary", "emb.weight has shape [256 128], must have [255 128]", with(8, 255)},
		{"dimensions", "tensor 0: 9 dimensions", with(24, 9)},
		{"RWKV-5", "RWKV-5", bytes.Replace(whole, []byte("blocks.0.ln1.weight"), []byte("blocks.0.att.ln_x.weight")[:19], 1)},
	} {
		if q.name == "RWKV-5" { // its key is longer
			i := bytes.Index(whole, []byte("blocks.0.ln1.weight"))
			b := append(bytes.Clone(whole[:i]), "blocks.0.att.ln_x.weight"...)
			b = append(b, whole[i+len("blocks.0.ln1.weight"):]...)
			binary.LittleEndian.PutUint32(b[i-12:], uint32(len("blocks.0.att.ln_x.weight")))
			q.b = b
		}
		if _, err := Read(bytes.NewReader(q.b)); err == nil || !strings.Contains(err.Error(), q.want) {
			t.Errorf("%s: %v, want %q", q.name, err, q.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, []int32{magic, 101, 2, 2, 1, 0, 2, 10, 0, 2, 2})
	b.WriteString("emb.weight")
	b.Write(make([]byte, 16))
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Read(bytes.NewReader(b))
		if err == nil && 4*len(p.Flat) > len(b) {
			t.Fatalf("%d parameters out of %d bytes", len(p.Flat), len(b))
		}
	})
}
