package main

import (
	"os"
	"runtime"

	"github.com/ptbr-slm/pipeline/dag/executor"
	"github.com/ptbr-slm/pipeline/stages"
	"github.com/spf13/cobra"
)

// idleHeap is memory that a worker asks for and never touches, which takes none of the
// machine: the garbage collector lets the heap grow by as much before it runs. A worker may
// do thousands of parts of a few milliseconds, each of which makes megabytes of garbage (the
// tables of a compressor) and keeps nothing.
const idleHeap = 64 << 20

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Short:  "Do parts for a coordinator, over stdin and stdout",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			idle := make([]byte, idleHeap)
			defer runtime.KeepAlive(idle)
			return executor.Work(os.Stdin, os.Stdout, stages.Kinds())
		},
	}
}
