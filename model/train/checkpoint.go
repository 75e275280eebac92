package train

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/ptbr-slm/pipeline/model/format/hf"
	"github.com/ptbr-slm/pipeline/model/format/safetensors"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// A checkpoint is a directory step-00000100 with parameters, both moments, what the streams
// carry, and the rest of the state, and a manifest of their digests. It is written under another name,
// flushed, and renamed: what has the name is whole, unless the disk lost something, and
// then the digests tell and the one before is taken.
const (
	checkpointFormat = "ptbr-checkpoint-2"
	stepPrefix       = "step-"
	scratchPrefix    = "unfinished-"
	manifestName     = "manifest.json"
	stateName        = "state.json"
	carriedName      = "carried.safetensors" // where there are streams
)

var moments = []string{"params.safetensors", "m.safetensors", "v.safetensors"}

// state is what a checkpoint holds besides parameters and moments. The place in the
// data and in the schedule follows from Step.
type state struct {
	Format   string      `json:"format"`
	Identity string      `json:"identity"`
	Network  rwkv.Config `json:"network"`
	Recipe   Recipe      `json:"recipe"`
	Step     int         `json:"step"`
	LossSum  float64     `json:"loss-sum"`
	LossN    int         `json:"loss-steps"`
	Log      []Record    `json:"log"`
}

// begin takes the newest whole checkpoint, or the initial weights.
func (t *trainer) begin() error {
	t.params = rwkv.NewParams[float32](t.config)
	t.m, t.v = rwkv.NewParams[float32](t.config), rwkv.NewParams[float32](t.config)
	if t.recipe.Streams > 0 {
		for range t.recipe.Streams / t.recipe.Batch {
			t.states = append(t.states, rwkv.NewState[float32](t.config, t.recipe.Batch))
		}
		for range t.recipe.Accum {
			t.next = append(t.next, rwkv.NewState[float32](t.config, t.recipe.Batch))
		}
	}
	if t.o.Dir != "" {
		steps, err := checkpoints(t.o.Dir)
		if err != nil {
			return err
		}
		for i := len(steps) - 1; i >= 0; i-- {
			err := t.resume(filepath.Join(t.o.Dir, steps[i]))
			if err == nil {
				t.logf("going on from checkpoint %s", steps[i])
				return nil
			}
			if errors.Is(err, errOther) {
				return err
			}
			t.logf("checkpoint %s cannot be used, trying the one before: %v", steps[i], err)
		}
	}
	t.step, t.saved, t.log, t.lossSum, t.lossN = 0, 0, nil, 0, 0
	clear(t.m.Flat)
	clear(t.v.Flat)
	for _, s := range t.states {
		s.Reset()
	}
	if t.params = t.o.Start; t.params == nil {
		t.params = rwkv.Init(t.config, t.recipe.Seed, t.o.Threads)
	}
	return nil
}

func (t *trainer) logf(format string, args ...any) {
	if t.o.Logf != nil {
		t.o.Logf(format, args...)
	}
}

// checkpoints lists the checkpoints of a directory, oldest first, and clears away what
// a killed run left half-written.
func checkpoints(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	var steps []string
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), scratchPrefix):
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("checkpoints: %w", err)
			}
		case strings.HasPrefix(e.Name(), stepPrefix) && e.IsDir():
			steps = append(steps, e.Name())
		}
	}
	sort.Strings(steps)
	return steps, nil
}

var errOther = errors.New("it is of another run")

// resume takes a checkpoint. It fails with errOther when it is whole but not of this run.
func (t *trainer) resume(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return err
	}
	var digests map[string]string
	if err := json.Unmarshal(b, &digests); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	names := append(moments[:3:3], stateName)
	if t.recipe.Streams > 0 {
		names = append(names, carriedName)
	}
	for _, name := range names {
		got, err := digest(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if got != digests[name] {
			return fmt.Errorf("%s has sha256 %.12s, its manifest says %.12s", name, got, digests[name])
		}
	}
	b, err = os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s: %w", stateName, err)
	}
	if s.Format != checkpointFormat || s.Identity != t.o.Identity || s.Network != t.config || !s.Recipe.equal(t.recipe) {
		return fmt.Errorf("checkpoint %s: %w: network, recipe, data or tokenizer differ; remove it to begin anew", dir, errOther)
	}
	for i, p := range []*rwkv.Params[float32]{t.params, t.m, t.v} {
		if err := hf.ReadWeights(filepath.Join(dir, moments[i]), p); err != nil {
			return err
		}
	}
	if err := t.readCarried(dir); err != nil {
		return err
	}
	t.step, t.saved, t.lossSum, t.lossN, t.log = s.Step, s.Step, s.LossSum, s.LossN, s.Log
	return nil
}

// carried names what the streams go on from: a tensor [B,d] for each part of a group's state.
func (t *trainer) carried() (all []safetensors.Tensor) {
	for i, s := range t.states {
		for l, layer := range s {
			for _, part := range []struct {
				name string
				data []float32
			}{{"att", layer.Att}, {"ffn", layer.FFN}, {"a", layer.WKV.A}, {"b", layer.WKV.B}, {"p", layer.WKV.P}} {
				all = append(all, safetensors.Tensor{Name: fmt.Sprintf("group.%d.block.%d.%s", i, l, part.name),
					Shape: []int{t.recipe.Batch, t.config.Embd}, Data: part.data})
			}
		}
	}
	return all
}

func (t *trainer) readCarried(dir string) error {
	if t.recipe.Streams == 0 {
		return nil
	}
	f, err := safetensors.Open(filepath.Join(dir, carriedName))
	if err != nil {
		return err
	}
	defer f.Close()
	for _, x := range t.carried() {
		if err := f.Read(x.Name, x.Shape, x.Data); err != nil {
			return err
		}
	}
	return nil
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// save writes a checkpoint and removes those beyond the last Keep.
func (t *trainer) save() error {
	if t.step == t.saved {
		return nil
	}
	name := fmt.Sprintf("%s%08d", stepPrefix, t.step)
	if err := t.write(filepath.Join(t.o.Dir, scratchPrefix+name), filepath.Join(t.o.Dir, name)); err != nil {
		return fmt.Errorf("checkpoint of step %d: %w", t.step, err)
	}
	t.saved = t.step
	steps, err := checkpoints(t.o.Dir)
	if err != nil {
		return err
	}
	for _, old := range steps[:max(0, len(steps)-max(1, t.o.Keep))] {
		// Under the other name first: half-removed, it must not look like one.
		gone := filepath.Join(t.o.Dir, scratchPrefix+old)
		if err := os.Rename(filepath.Join(t.o.Dir, old), gone); err != nil {
			return fmt.Errorf("old checkpoint: %w", err)
		}
		if err := os.RemoveAll(gone); err != nil {
			return fmt.Errorf("old checkpoint: %w", err)
		}
	}
	return nil
}

func (t *trainer) write(scratch, final string) error {
	for _, dir := range []string{scratch, final} { // final: one that could not be used
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	digests := map[string]string{}
	put := func(name string, content func(w io.Writer) error) error {
		f, err := os.Create(filepath.Join(scratch, name))
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		b := bufio.NewWriterSize(io.MultiWriter(f, h), 1<<16)
		if err := content(b); err != nil {
			return err
		}
		if err := b.Flush(); err != nil {
			return err
		}
		digests[name] = hex.EncodeToString(h.Sum(nil))
		if err := f.Sync(); err != nil {
			return err
		}
		return f.Close()
	}
	object := func(v any) func(io.Writer) error {
		return func(w io.Writer) error {
			b, err := json.MarshalIndent(v, "", " ")
			if err != nil {
				return err
			}
			_, err = io.Copy(w, bytes.NewReader(append(b, '\n')))
			return err
		}
	}
	for i, p := range []*rwkv.Params[float32]{t.params, t.m, t.v} {
		if err := put(moments[i], func(w io.Writer) error { return hf.WriteWeights(w, p) }); err != nil {
			return err
		}
	}
	if t.recipe.Streams > 0 {
		if err := put(carriedName, func(w io.Writer) error { return safetensors.Write(w, t.carried(), nil) }); err != nil {
			return err
		}
	}
	s := state{checkpointFormat, t.o.Identity, t.config, t.recipe, t.step, t.lossSum, t.lossN, t.log}
	if err := put(stateName, object(s)); err != nil {
		return err
	}
	if err := put(manifestName, object(digests)); err != nil {
		return err
	}
	if err := syncDir(scratch); err != nil {
		return err
	}
	if err := os.Rename(scratch, final); err != nil {
		return err
	}
	return syncDir(filepath.Dir(final))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
