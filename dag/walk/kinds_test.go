package walk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// pipelineYAML has a stage of every shape: a map over sources that makes several files, a
// splitter, maps in a chain, a map that joins and has a gate, a whole that checkpoints,
// and a command that leaves files in a directory; a source that is fetched, and views.
const pipelineYAML = `pipeline: %s
seed: 7
sources:
  text: {path: text.txt}
  more: {path: data/more.txt, url: "%s/more.txt", sha256: %s}
stages:
  parse: {uses: paragraphs, from: {files: sources.text}}
  cut: {uses: halves, from: {files: sources.more}}
  clean: {uses: replace, from: {docs: parse.docs}, with: {from: a, to: %s}}
  total: {uses: count, from: {docs: clean.docs}, with: {gate: 1000}}
  train: {uses: steps, from: {total: total.total}, with: {steps: %d, stuck: %v}}
  tree: {uses: tree, from: {docs: cut.docs}}
publish:
  out/%s/total: total.total
  out/%s/tree: tree.files
`

const (
	text = "um dois tres para a casa\n\nquatro cinco da mala"
	more = "seis sete oito nove dez onze doze"
)

// kinds are the stage kinds of the pipeline.
func kinds() []stage.Kind {
	file := func(name string) stage.Port { return stage.Port{Name: name, Type: stage.Any} }
	many := func(name string) stage.Port { return stage.Port{Name: name, Type: stage.Any, Many: true} }
	return []stage.Kind{
		{Name: "paragraphs", Version: 1, Map: "files", In: []stage.Port{many("files")}, Out: []stage.Port{file("docs")},
			Config: paragraphs{}, New: stage.Build(func(c paragraphs) (stage.Stage, error) { return c, nil })},
		{Name: "halves", Version: 1, In: []stage.Port{file("files")}, Out: []stage.Port{file("docs")},
			Config: halves{}, New: stage.Build(func(c halves) (stage.Stage, error) { return c, nil })},
		{Name: "replace", Version: 1, Map: "docs", In: []stage.Port{many("docs")}, Out: []stage.Port{file("docs")},
			Config: replace{From: "a", To: "A"}, New: stage.Build(func(c replace) (stage.Stage, error) { return c, nil })},
		{Name: "count", Version: 1, Map: "docs", In: []stage.Port{many("docs")}, Mid: []stage.Port{file("counts")}, Out: []stage.Port{file("total")},
			Config: count{Gate: 1 << 30}, JoinConfig: []string{"gate"}, New: stage.Build(func(c count) (stage.Stage, error) { return c, nil })},
		{Name: "steps", Version: 1, Threads: true, In: []stage.Port{file("total")}, Out: []stage.Port{file("model")},
			Config: steps{Steps: 3}, Unkeyed: []string{"stuck"}, New: stage.Build(func(c steps) (stage.Stage, error) { return c, nil })},
		{Name: "tree", Version: 1, In: []stage.Port{many("docs")}, Out: []stage.Port{file("files")},
			Config: tree{}, New: stage.Build(func(c tree) (stage.Stage, error) { return c, nil })},
	}
}

// paragraphs makes a file of each paragraph.
type paragraphs struct{}

func (paragraphs) Run(ctx context.Context, t stage.Task) error {
	text, err := slurp(t, t.Inputs("files"))
	if err != nil {
		return err
	}
	for i, p := range strings.Split(text, "\n\n") {
		if err := spill(t, "docs", fmt.Sprintf("%04d.txt", i), p); err != nil {
			return err
		}
	}
	return nil
}

// halves cuts a file into two byte ranges.
type halves struct{}

func (halves) Split(in stage.Inputs) (parts []stage.Part, err error) {
	size := in["files"][0].Size
	for _, r := range [][2]int64{{0, size / 2}, {size / 2, size}} {
		parts = append(parts, stage.Part{Name: fmt.Sprintf("bytes %d-%d", r[0], r[1]-1), Args: r})
	}
	return parts, nil
}

func (halves) Run(ctx context.Context, t stage.Task) error {
	var r [2]int64
	if err := t.Args(&r); err != nil {
		return err
	}
	text, err := slurp(t, t.Inputs("files"))
	if err != nil {
		return err
	}
	return spill(t, "docs", "half.txt", text[r[0]:r[1]])
}

// replace is a map that counts what it touches.
type replace struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func (c replace) Run(ctx context.Context, t stage.Task) error {
	text, err := slurp(t, t.Inputs("docs"))
	if err != nil {
		return err
	}
	t.Count("walk", "replaced", int64(strings.Count(text, c.From)))
	return spill(t, "docs", "out.txt", strings.ReplaceAll(text, c.From, c.To))
}

// count sums words and has a gate.
type count struct {
	Gate int `json:"gate"`
}

func (c count) Run(ctx context.Context, t stage.Task) error {
	text, err := slurp(t, t.Inputs("docs"))
	if err != nil {
		return err
	}
	return spill(t, "counts", "n", fmt.Sprint(len(strings.Fields(text))))
}

func (c count) Join(ctx context.Context, t stage.Task) error {
	sum := 0
	for _, f := range t.Inputs("counts") {
		text, err := slurp(t, []stage.File{f})
		if err != nil {
			return err
		}
		n := 0
		if _, err := fmt.Sscan(text, &n); err != nil {
			return err
		}
		sum += n
	}
	if sum > c.Gate {
		t.Refuse(fmt.Sprintf("%d words, %d over the gate", sum, sum-c.Gate))
	}
	return spill(t, "total", "total.txt", fmt.Sprint(sum))
}

// steps is what training is to the engine: each step depends on the last, and a
// checkpoint follows each.
type steps struct {
	Steps int  `json:"steps"`
	Stuck bool `json:"stuck"` // after the first step it does not listen any more
}

func (c steps) Run(ctx context.Context, t stage.Task) error {
	dir, err := t.Partial()
	if err != nil {
		return err
	}
	text, err := slurp(t, t.Inputs("total"))
	if err != nil {
		return err
	}
	var at struct {
		Step int
		X    uint64
	}
	at.X = uint64(len(text)) + t.Seed()
	path := filepath.Join(dir, "checkpoint.json")
	switch b, err := os.ReadFile(path); {
	case err == nil:
		if err := json.Unmarshal(b, &at); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		t.Logf("resumed at step %d", at.Step)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for at.Step < c.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		at.Step++
		at.X = at.X*6364136223846793005 + 1442695040888963407
		b, err := json.Marshal(at)
		if err != nil {
			return err
		}
		if err := checkpoint(path, b); err != nil {
			return err
		}
		if c.Stuck {
			t.Metric("stuck", 0, 0)
			time.Sleep(time.Minute)
		}
		t.Metric("x", int64(at.Step), float64(at.X%1000))
		t.Progress(int64(at.Step), int64(c.Steps), "steps")
	}
	return spill(t, "model", "model.txt", fmt.Sprint(at.X))
}

// checkpoint writes, syncs and renames, as the contract asks.
func checkpoint(path string, b []byte) error {
	f, err := disk.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return disk.Rename(path+".tmp", path)
}

// tree is a command: it works in the checkpoint directory, leaves directories there that
// cannot be written to, and outputs in directories below, unsynced and of odd modes.
type tree struct{}

func (tree) Run(ctx context.Context, t stage.Task) error {
	partial, err := t.Partial()
	if err != nil {
		return err
	}
	in, err := t.InputDir("docs")
	if err != nil {
		return err
	}
	out, err := t.OutputDir("files")
	if err != nil {
		return err
	}
	script := `chmod -R u+w scratch 2>/dev/null || :
rm -rf scratch; mkdir -p scratch/closed; echo x > scratch/closed/x; chmod 555 scratch/closed
mkdir -p "$2/sub/deep"; cat "$1"/* > "$2/sub/deep/all.txt"; echo '#!/bin/sh' > "$2/run.sh"; chmod 755 "$2/run.sh"
cp "$2/run.sh" "$2/secret"; chmod 000 "$2/secret"; chmod 555 "$2/sub/deep"; chmod 300 "$2/sub"`
	cmd := exec.CommandContext(ctx, "/bin/sh", "-ec", script, "tree", in, out)
	cmd.Dir = partial
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return disk.WriteFile(filepath.Join(out, "plain.txt"), bytes.Repeat([]byte("plain "), 100))
}

func slurp(t stage.Task, files []stage.File) (string, error) {
	var b strings.Builder
	for _, f := range files {
		h, err := t.Open(f)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(&b, h)
		h.Close()
		if err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func spill(t stage.Task, port, name, text string) error {
	w, err := t.Create(port, name)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	return w.Close()
}
