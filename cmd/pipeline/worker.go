package main

import (
	"os"

	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/stages"
	"github.com/spf13/cobra"
)

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Short:  "Do parts for a coordinator, over stdin and stdout",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return executor.Work(os.Stdin, os.Stdout, stages.Kinds())
		},
	}
}
