package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
	"github.com/ptbr-slm/pipeline/model/train"
)

// words is data in memory: a fixed walk over a small vocabulary.
type words []uint32

func (w words) Chunks(seqLen int) int64 { return int64((len(w) - 1) / seqLen) }
func (w words) Sample(seed uint64, epoch, index int64, seqLen int, dst []uint32) error {
	copy(dst, w[int(index)*seqLen:])
	return nil
}
func (w words) Stream(uint64, int64, int64, int64, []uint32) error { panic("not asked for") }
func (w words) End() uint32                                        { return 0 }
func (w words) Tokens(string) int64                                { return int64(len(w)) }
func (w words) Read(_ string, at int64, dst []uint32) error {
	copy(dst, w[at:])
	return nil
}

// trainBits trains the nano preset for 50 steps and returns the sha256 of its weights.
func trainBits(threads int, precision string) (string, error) {
	const vocab = 256
	preset, err := rwkv.Named("nano")
	if err != nil {
		return "", err
	}
	data := make(words, 4097)
	x := uint32(1)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = (data[max(i-1, 0)]*5 + x>>30) % vocab
	}
	c := rwkv.Config{Vocab: vocab, Embd: preset.Embd, Layers: preset.Layers, FFN: preset.FFN}
	p, _, err := train.Run(context.Background(), c, train.Recipe{SeqLen: 11, Batch: 1, Accum: 8, Steps: 50, Rate: 2e-3, MinRatio: 0.1, Warmup: 5,
		Decay: 0.1, Beta1: 0.9, Beta2: 0.99, Clip: 1, LogEvery: 50, Seed: 1, Precision: precision, Schedule: train.Cosine, Optimizer: train.AdamW, EmbRate: 1, HeadRate: 1}, data, train.Options{Threads: threads})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, v := range p.Flat {
		h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// TestMain makes the test binary a program that trains, for TestBits.
func TestMain(m *testing.M) {
	if threads := os.Getenv("TRAIN_BITS_THREADS"); threads != "" {
		var n int
		fmt.Sscan(threads, &n)
		digest, err := trainBits(n, os.Getenv("TRAIN_BITS_PRECISION"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(digest)
		return
	}
	os.Exit(m.Run())
}

// Fifty steps of the nano preset end in one set of weights, on every instruction set that
// this machine has and for any number of threads and workers (which are as many as threads,
// up to the micro-batches of a step). The digest is recorded for the version of the kind:
// other bits are another version.
func TestBits(t *testing.T) {
	var recorded struct {
		Version int    `json:"version"`
		Weights string `json:"weights"`
	}
	b, err := os.ReadFile("testdata/bits.json")
	if err != nil || json.Unmarshal(b, &recorded) != nil {
		t.Fatalf("testdata/bits.json: %v", err)
	}
	if recorded.Version != Kind.Version {
		t.Errorf("the digest is recorded for version %d, the kind is version %d: put the new one into testdata/bits.json", recorded.Version, Kind.Version)
	}
	if underRace {
		t.Skip("held by the plain suite")
	}
	ran := 0
	for _, c := range []struct {
		path    string
		threads []int
	}{{"avx512", []int{1, 2, 3, 4, 8}}, {"avx2", []int{1, 4}}, {"go", []int{2}}} {
		for _, threads := range c.threads {
			digest := trained(t, c.path, threads, train.FP32)
			ran++
			if digest != recorded.Weights {
				t.Errorf("%s, %d threads: weights %s, recorded are %s", c.path, threads, digest, recorded.Weights)
			}
		}
	}
	t.Logf("%d trainings", ran)
}

// trained is the digest of trainBits in a process of its own.
func trained(t *testing.T, path string, threads int, precision string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PIPELINE_CPU="+path, fmt.Sprint("TRAIN_BITS_THREADS=", threads), "TRAIN_BITS_PRECISION="+precision)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s, %d threads: %v\n%s", path, threads, err, out)
	}
	return strings.TrimSpace(string(out))
}

// In bf16 there is one set of weights for processors that multiply it themselves, and one for all
// others.
func TestBitsBF16(t *testing.T) {
	if underRace {
		t.Skip("held by the plain suite")
	}
	digests := map[string]string{}
	for _, path := range kernel.Paths() {
		class := "bf16"
		if path == "avx512bf16" {
			class = path
		}
		for _, threads := range []int{1, 4} {
			if path == "go" && threads == 1 {
				continue // slow, and held for the others
			}
			digest := trained(t, path, threads, train.BF16)
			if digests[class] == "" {
				digests[class] = digest
			}
			if digest != digests[class] {
				t.Errorf("%s, %d threads: weights %s, others of the class %s have %s", path, threads, digest, class, digests[class])
			}
		}
	}
	if a, b := digests["avx512bf16"], digests["bf16"]; a == b {
		t.Errorf("both classes end in %s: they need not be apart", a)
	}
}

// What is trained in bf16 is kept for the class of processors that this process is of.
func TestMachine(t *testing.T) {
	for precision, want := range map[string]string{train.FP32: "", train.BF16: kernel.ClassBF16()} {
		if got, err := machine([]byte(`{"precision": "` + precision + `"}`)); err != nil || got != want {
			t.Errorf("%s: machine %q, %v; want %q", precision, got, err, want)
		}
	}
}
