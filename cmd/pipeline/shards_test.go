package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/dag/executor/task"
	"github.com/ptbr-slm/pipeline/dag/source"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages"
)

// here is an executor that runs the stage kinds in this process.
type here struct{}

func (here) Kill()        {}
func (here) Close() error { return nil }

func (here) Run(ctx context.Context, j executor.Job, _ executor.Listener) (*executor.Result, error) {
	kinds := stages.Kinds()
	i := slices.IndexFunc(kinds, func(k stage.Kind) bool { return k.Name == j.Kind })
	s, err := kinds[i].New(j.Spec.Config)
	if err != nil {
		return nil, err
	}
	t := task.New(j.Spec, silent{})
	defer t.Close()
	if j.Spec.Join {
		err = s.(stage.Joiner).Join(ctx, t)
	} else {
		err = s.Run(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	outs, err := t.Finish()
	return &executor.Result{Outputs: outs}, err
}

// silent hears what a stage says and keeps nothing of it.
type silent struct{}

func (silent) Progress(int64, int64, string) {}
func (silent) Metric(string, int64, float64) {}
func (silent) Count(string, string, int64)   {}
func (silent) Log(string)                    {}
func (silent) Refuse(string)                 {}
func (silent) Notice(string)                 {}
func (silent) Dependence(task.Dependence)    {}

const shardedYAML = `pipeline: sharded
sources:
  texts: {path: texts.jsonl}
stages:
  texts: {uses: text-parse, from: {files: sources.texts}, with: {source: texts, shard-size: 400}}
  clean: {uses: clean, from: {docs: texts.docs}}
  filter: {uses: filter, from: {docs: clean.docs}, with: {action: tag}}
  dedup-index: {uses: dedup-index, from: {docs: filter.docs}}
`

// TestOneDocumentOfAThousandShards inserts, edits and deletes one document at the start,
// in the middle and at the end of a source of more than a thousand shards. Of every map
// stage two parts run at most, every join runs, and what comes out is what a clean build
// gives.
func TestOneDocumentOfAThousandShards(t *testing.T) {
	if underRace {
		t.Skip("walked by the plain suite")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	texts := shortTexts(2160)
	docs, fresh := texts[:2060], texts[2060:]
	docs = slices.Insert(slices.Clone(docs), 900, strings.Replace(docs[30], "curto", "outro", 1)) // one to drop
	s := newSharded(t)
	first := s.build(docs)
	maps := []string{"clean", "filter", "dedup-index"}
	for _, name := range maps {
		if n := partsOf(first, name); n < 1000 {
			t.Fatalf("%s has %d parts only", name, n)
		}
	}
	var last *dag.Summary
	for _, c := range []struct {
		name   string
		change func(at int) []string
	}{
		{"insert", func(at int) []string { return slices.Insert(slices.Clone(docs), at, fresh[at%len(fresh)]) }},
		{"edit", func(at int) []string {
			d := slices.Clone(docs)
			d[at] = strings.Replace(d[at], `"text": "`, `"text": "Uma frase que não estava aqui antes. `, 1)
			return d
		}},
		{"delete", func(at int) []string { return slices.Delete(slices.Clone(docs), at, at+1) }},
	} {
		for j, place := range []string{"start", "middle", "end"} {
			what := c.name + " at the " + place
			docs = c.change([]int{0, len(docs) / 2, len(docs) - 1}[j])
			last = s.build(docs)
			ran := ranParts(last)
			for _, name := range maps {
				n := ran[name]
				if name == "dedup-index" {
					n-- // its join
				}
				if n > 2 || n < 0 || c.name != "delete" && n < 1 {
					t.Errorf("%s: %d of %d parts of %s ran", what, n, partsOf(last, name), name)
				}
			}
			t.Logf("%s: ran %v of %d shards", what, ran, partsOf(last, "clean"))
		}
	}
	if clean := newSharded(t).build(docs); digests(last) != digests(clean) {
		t.Errorf("after nine changes:\n%s\na clean build:\n%s", digests(last), digests(clean))
	}
}

// inMemory moves the sandbox to where fsync is free, if there is such a place.
func (s *sandbox) inMemory() {
	if dir, err := os.MkdirTemp("/dev/shm", "sandbox"); err == nil {
		s.dir = dir
		s.t.Cleanup(func() { os.RemoveAll(dir) })
	}
}

// sharded is the pipeline above with a store, in a directory of its own.
type sharded struct{ *sandbox }

func newSharded(t *testing.T) sharded {
	s := sharded{newSandbox(t)}
	s.inMemory()
	s.write("p.yaml", shardedYAML)
	return s
}

func (s sharded) build(docs []string) *dag.Summary {
	s.t.Helper()
	s.write("texts.jsonl", strings.Join(docs, "\n")+"\n")
	p, err := loadPipeline(filepath.Join(s.dir, "p.yaml"), "")
	if err != nil {
		s.t.Fatal(err)
	}
	st, err := artifacts.Open(filepath.Join(s.dir, "store"), artifacts.Options{CreateIfMissing: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer st.Close()
	src, err := source.Resolve(s.t.Context(), p.Sources, memo{st.Ledger()}, source.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := dag.Run(s.t.Context(), p, st, src, dag.Options{Jobs: 4, Executor: here{}})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// shortTexts makes n documents of some 200 bytes, a line each, that have few words in
// common.
func shortTexts(n int) []string {
	lines := make([]string, n)
	x := uint64(1)
	for i := range lines {
		var text strings.Builder
		for range 22 {
			x = x*6364136223846793005 + 1442695040888963407
			word := x >> 33
			for range 2 + word%4 {
				text.WriteString(syllables[word%uint64(len(syllables))])
				word /= uint64(len(syllables))
			}
			text.WriteByte(' ')
		}
		lines[i] = fmt.Sprintf(`{"id": "curto-%04d", "text": "%s."}`, i, strings.TrimSpace(text.String()))
	}
	return lines
}

var syllables = strings.Fields("ca sa me ni no do lu ra vi to pe ra go mi la que ção dor ma ri bo tu gá fé")
