package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/model/benchmark"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/spf13/cobra"
)

func benchmarkCommand() *cobra.Command {
	var presets, paths, weights, only []string
	var text, tokenizerDir string
	var threads []int
	var custom rwkv.Preset
	var batch, seq, accum, vocab, measured int
	var least time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "benchmark",
		Short: "Measure kernels, training, generation and encoding on this machine",
		Long: `Measure products of matrices, a training step and generation, for networks of the presets
named, as a share of what this machine can do at most: multiply-adds on registers alone, and
reading memory. Each figure is the median of --runs runs. For figures to compare, let nothing
else run.

A training step is a whole one: forward, loss and backward of --grad-accum micro-batches of
--batch-size sequences of --seq-len tokens, the sum of their gradients, its norm, and AdamW. Threads
are shared out among micro-batches first. --n-embd, --n-layer and --n-ffn, given together, measure a
network of that shape ("custom") in place of presets.

Generation reads all weights for every token, so it is told as a share of the speed of reading
memory, which is measured in turn with it. More than all of it means that caches hold weights.

Encoding is measured on a text of yours, --text, with the tokenizer.json of a directory, --tokenizer: the
text is cut after the first line end past each 16 KiB, and --threads goroutines share out the documents.

With --json: {"cpus", "peaks": [{"path", "threads", "gflops"}], "reads": [{"threads",
"gigabytes-per-second"}], "gemms": [{"path", "form", "m", "n", "k", "threads", "gflops",
"share-of-peak"}], "steps": [{"path", "preset", "threads", "batch-size", "seq-len",
"grad-accum", "tokens", "tokens-per-second", "gflops", "share-of-peak", "bytes", "allocations",
"allocated-bytes"}], "decodes": [{"preset", "weights", "threads", "tokens-per-second",
"gigabytes-per-second", "share-of-read", "token-bytes", "bytes", "allocations"}], "encodes": [{"tokenizer",
"vocab", "threads", "documents", "bytes", "tokens", "megabytes-per-second", "ids"}]}, which
docs/formats/json.md explains.`,
		Example: `  pipeline benchmark
  pipeline benchmark --preset 85m --threads 1 --path avx512 --json
  pipeline benchmark --only generation --preset micro,85m --vocab 32000 --weights bf16,int8
  pipeline benchmark --only tokenizer --text corpus.txt --tokenizer out/sample/tokenizer
  pipeline benchmark --only training --n-embd 256 --n-layer 6 --n-ffn 1024 --batch-size 4 --grad-accum 2`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o := benchmark.Options{Vocab: vocab, Threads: threads, Paths: paths, Time: least, Runs: measured, Batch: batch, Seq: seq, Accum: accum, Only: only}
			if custom != (rwkv.Preset{}) {
				if custom.Embd < 1 || custom.Layers < 1 || custom.FFN < 1 || c.Flags().Changed("preset") {
					return usage{errors.New("--n-embd, --n-layer and --n-ffn belong together, each at least 1, without --preset")}
				}
				custom.Name = "custom"
				presets, o.Presets = nil, []rwkv.Preset{custom}
			}
			for _, name := range presets {
				p, err := rwkv.Named(name)
				if err != nil {
					return usage{fmt.Errorf("--preset: %w", err)}
				}
				o.Presets = append(o.Presets, p)
			}
			if len(threads) == 0 {
				o.Threads = slices.Compact([]int{1, runtime.NumCPU()})
			}
			for _, n := range o.Threads {
				if n < 1 {
					return usage{fmt.Errorf("--threads %d: there must be at least one", n)}
				}
			}
			if min(batch, seq, accum, measured) < 1 || vocab < 2 {
				return usage{errors.New("--batch-size, --seq-len, --grad-accum and --runs must be at least 1, --vocab at least 2")}
			}
			for _, name := range weights {
				kind, err := kernel.ParseWeights(name)
				if err != nil {
					return usage{fmt.Errorf("--weights: %w", err)}
				}
				o.Weights = append(o.Weights, kind)
			}
			for _, part := range only {
				if !slices.Contains(benchmark.Parts, part) {
					return usage{fmt.Errorf("--only %s: there are %s", part, strings.Join(benchmark.Parts, ", "))}
				}
			}
			if (text == "") != (tokenizerDir == "") || text == "" && slices.Contains(only, benchmark.Encoding) {
				return usage{errors.New("to measure the tokenizer, --text names a file of text and --tokenizer a directory that has tokenizer.json")}
			}
			if text != "" {
				b, err := os.ReadFile(text)
				if err != nil {
					return err
				}
				o.Text = string(b)
				if o.Tokenizer, err = tokenizer.Load(tokenizerDir); err != nil {
					return err
				}
			}
			if len(paths) == 0 {
				o.Paths = kernel.Paths()
				if len(o.Paths) > 1 { // plain Go is for machines that have nothing else
					o.Paths = o.Paths[:len(o.Paths)-1]
				}
			}
			for _, p := range o.Paths {
				if _, err := kernel.NewCPUOn(p, 1); err != nil {
					return usage{fmt.Errorf("--path: %w", err)}
				}
			}
			if isTerminal(os.Stderr) {
				begun := time.Now()
				o.Done = func(what string) {
					fmt.Fprintf(os.Stderr, "%s measured, %s so far\n", what, duration(time.Since(begun).Seconds()))
				}
			}
			r, err := benchmark.Run(c.Context(), o)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), r)
			}
			printBenchmark(c.OutOrStdout(), r)
			return nil
		},
	}
	c.Flags().StringSliceVar(&presets, "preset", []string{"nano", "micro"}, "networks to measure")
	c.Flags().StringSliceVar(&paths, "path", nil, "kernels to measure (default all that this processor has but plain Go)")
	c.Flags().IntSliceVar(&threads, "threads", nil, "numbers of threads to measure (default 1 and the number of CPUs)")
	c.Flags().StringSliceVar(&only, "only", nil, "parts to measure, of "+strings.Join(benchmark.Parts, ", ")+" (default all)")
	c.Flags().StringVar(&text, "text", "", "file of text to encode")
	c.Flags().StringVar(&tokenizerDir, "tokenizer", "", "directory of the tokenizer.json to encode it with")
	c.Flags().IntVar(&batch, "batch-size", 1, "sequences of a micro-batch; times --seq-len, rows of the products")
	c.Flags().IntVar(&seq, "seq-len", 512, "tokens of a sequence")
	c.Flags().IntVar(&accum, "grad-accum", 1, "micro-batches of a training step")
	c.Flags().IntVar(&custom.Embd, "n-embd", 0, "width of a network that is no preset")
	c.Flags().IntVar(&custom.Layers, "n-layer", 0, "its blocks")
	c.Flags().IntVar(&custom.FFN, "n-ffn", 0, "width of its channel mix")
	c.Flags().StringSliceVar(&weights, "weights", []string{string(kernel.FP32), string(kernel.BF16), string(kernel.Int8)}, "weights to generate with")
	c.Flags().IntVar(&vocab, "vocab", 8192, "vocabulary of the networks")
	c.Flags().IntVar(&measured, "runs", 5, "runs of which each figure is the median")
	c.Flags().DurationVar(&least, "time", time.Second, "time that each figure takes, at least")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return c
}

func printBenchmark(w io.Writer, r *benchmark.Report) {
	percent := func(x float64) string {
		if x == 0 {
			return "–"
		}
		return fmt.Sprintf("%.0f %%", 100*x)
	}
	t := newTable("what", "threads", "speed").right(1, 2)
	if len(r.Reads) > 0 {
		fmt.Fprintln(w, paint(bold, "at most"))
	}
	for _, p := range r.Peaks {
		t.row("multiply-adds, "+p.Path, fmt.Sprint(p.Threads), fmt.Sprintf("%.0f GFLOP/s", p.GFLOPS))
	}
	for _, p := range r.Reads {
		t.row("reading memory", fmt.Sprint(p.Threads), fmt.Sprintf("%.1f GB/s", p.GBs))
	}
	if len(r.Reads) > 0 {
		t.print(w)
	}
	if len(r.Gemms) > 0 {
		heading(w, "products")
		t = newTable("form", "m", "n", "k", "kernels", "threads", "GFLOP/s", "of peak").right(1, 2, 3, 5, 6, 7)
		for _, g := range r.Gemms {
			t.row(g.Form, fmt.Sprint(g.M), fmt.Sprint(g.N), fmt.Sprint(g.K), g.Path, fmt.Sprint(g.Threads), fmt.Sprintf("%.1f", g.GFLOPS), percent(g.Share))
		}
		t.print(w)
	}
	if len(r.Steps) > 0 {
		heading(w, "training, whole steps")
		t = newTable("preset", "kernels", "threads", "tokens", "tokens/s", "GFLOP/s", "of peak", "memory", "allocates").right(2, 3, 4, 5, 6, 7, 8)
		for _, s := range r.Steps {
			t.row(s.Preset, s.Path, fmt.Sprint(s.Threads), fmt.Sprintf("%d × %d × %d", s.Accum, s.Batch, s.Seq), count(int64(s.Speed)), fmt.Sprintf("%.1f", s.GFLOPS), percent(s.Share), size(s.Memory),
				fmt.Sprintf("%s, %s", count(int64(s.Allocs)), size(int64(s.Garbage))))
		}
		t.print(w)
	}
	if len(r.Decodes) > 0 {
		heading(w, "generation, a token at a time")
		t = newTable("preset", "weights", "threads", "tokens/s", "GB/s", "of reading", "memory", "allocates").right(2, 3, 4, 5, 6, 7)
		for _, d := range r.Decodes {
			t.row(d.Preset, string(d.Weights), fmt.Sprint(d.Threads), count(int64(d.Speed)), fmt.Sprintf("%.1f", d.GBs), percent(d.Share), size(d.Memory), fmt.Sprintf("%.0f", d.Allocs))
		}
		t.print(w)
	}
	if len(r.Encodes) > 0 {
		heading(w, "encoding")
		t = newTable("vocabulary", "threads", "text", "documents", "tokens", "MB/s").right(0, 1, 2, 3, 4, 5)
		for _, e := range r.Encodes {
			t.row(count(int64(e.Vocab)), fmt.Sprint(e.Threads), size(int64(e.Bytes)), count(int64(e.Documents)), count(int64(e.Tokens)), fmt.Sprintf("%.1f", e.Speed))
		}
		t.print(w)
	}
}
