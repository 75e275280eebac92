package main

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/ptbr-slm/pipeline/model/infer"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/spf13/cobra"
)

// generation is the JSON document of `pipeline generate --json`.
type generation struct {
	Prompt string `json:"prompt"`
	Text   string `json:"text"` // what the model wrote after the prompt
	Seed   uint64 `json:"seed"`
}

func generateCommand() *cobra.Command {
	var dir, prompt, weights string
	var threads int
	var o infer.Options
	var asJSON bool
	c := &cobra.Command{
		Use:   "generate --model DIR --prompt TEXT",
		Short: "Write on from a prompt, token by token",
		Long: `Load a model (weights, config and tokenizer in one directory, as train wrote them),
read the prompt once, and write on from the recurrent state, printing each piece as
it is made. The same seed gives the same text, whatever the number of threads.

Writing is as fast as the weights can be read. --weights bf16 rounds them to half as many
bytes when the model is loaded, int8 to a quarter; both also read the prompt token by
token.`,
		Example: `  pipeline generate --model out/sample/model --prompt "O Brasil é" --max-tokens 60 --temperature 0.8 --top-k 40 --seed 1
  pipeline generate --model out/sample/model --prompt "Em 2024" --temperature 0 --json
  pipeline generate --model out/v16/model --prompt "A lei" --weights int8 --threads 1`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if dir == "" {
				return usage{errors.New("which model? --model DIR names the directory that train wrote")}
			}
			if err := o.Check(); err != nil {
				return usage{err}
			}
			kind, err := kernel.ParseWeights(weights)
			if err != nil {
				return usage{fmt.Errorf("--weights: %w", err)}
			}
			if threads < 1 {
				return usage{fmt.Errorf("--threads %d: there must be at least one", threads)}
			}
			m, err := infer.Load(dir, kind)
			if err != nil {
				return usage{fmt.Errorf("load the model in %s: %w", dir, err)}
			}
			m.SetThreads(threads)
			w := c.OutOrStdout()
			var text strings.Builder
			if !asJSON {
				fmt.Fprint(w, paint(dim, prompt))
			}
			err = m.Generate(c.Context(), prompt, o, func(piece string) error {
				if asJSON {
					text.WriteString(piece)
					return nil
				}
				_, err := fmt.Fprint(w, piece)
				return err
			})
			if !asJSON {
				fmt.Fprintln(w)
			}
			if err == nil && asJSON {
				err = printJSON(w, generation{prompt, text.String(), o.Seed})
			}
			return err
		},
	}
	c.Flags().StringVar(&dir, "model", "", "directory of the model")
	c.Flags().StringVar(&prompt, "prompt", "", "text to write on from")
	c.Flags().IntVar(&o.MaxTokens, "max-tokens", 100, "how many tokens to make at most")
	c.Flags().Float64Var(&o.Temperature, "temperature", 0.8, "0 takes the likeliest token each time; higher is freer")
	c.Flags().IntVar(&o.TopK, "top-k", 40, "draw among so many of the likeliest tokens; 0: all")
	c.Flags().Float64Var(&o.TopP, "top-p", 0, "draw among the likeliest tokens that together reach this probability; 0: all")
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "seed of the draw")
	c.Flags().StringVar(&weights, "weights", string(kernel.FP32), "round the weights to: fp32 (as they are), bf16, int8")
	c.Flags().IntVar(&threads, "threads", runtime.NumCPU(), "threads to use")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document when done")
	c.MarkFlagDirname("model")
	return c
}
