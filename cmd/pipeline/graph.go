package main

import (
	"github.com/ptbr-slm/pipeline/dag/draw"
	"github.com/spf13/cobra"
)

func graphCommand() *cobra.Command {
	var profile, format string
	c := &cobra.Command{
		Use:   "graph FILE",
		Short: "Draw the pipeline as text, DOT, Mermaid or SVG",
		Example: `  pipeline graph pipelines/v16.yaml --profile sample
  pipeline graph pipelines/v16.yaml --format svg > v16.svg
  pipeline graph pipelines/v16.yaml --format dot | dot -Tpng > v16.png`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := loadPipeline(args[0], profile)
			if err != nil {
				return err
			}
			if err := draw.Draw(c.OutOrStdout(), p, draw.Format(format)); err != nil {
				return usage{err}
			}
			return nil
		},
	}
	addProfileFlag(c, &profile)
	c.Flags().StringVar(&format, "format", "text", "text, dot, mermaid or svg")
	c.RegisterFlagCompletionFunc("format", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, f := range draw.Formats {
			names = append(names, string(f))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	return c
}
