package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/remote"
	"github.com/spf13/cobra"
)

// sharing is how a run shares with other machines.
type sharing struct {
	url  string
	push bool
}

func (f *sharing) add(c *cobra.Command) {
	c.Flags().StringVar(&f.url, "remote", "", "URL of a bucket or shared disk to look for parts in before running them (see pipeline help push)")
	c.Flags().BoolVar(&f.push, "push", false, "afterwards share what the run made through --remote, also when it failed")
}

// open opens the remote, nil where none is named.
func (f *sharing) open(ctx context.Context, store *artifacts.Store, progress func(done, total int64)) (*remote.Remote, error) {
	if f.url == "" {
		if f.push {
			return nil, usage{errors.New("--push needs to know where: name it with --remote URL")}
		}
		return nil, nil
	}
	r := remoteFlags{jobs: 32, attempts: 2}
	return r.open(ctx, f.url, store, progress)
}

// share pushes what a run made, if that was asked for.
func (f *sharing) share(ctx context.Context, r *remote.Remote, store *artifacts.Store, s *dag.Summary, show *transfer, w io.Writer) error {
	if !f.push || ctx.Err() != nil {
		return nil
	}
	show.alone("pushing")
	p, err := pushRun(ctx, r, store.Ledger(), s.Run, nil, false)
	show.close()
	if err != nil {
		return interrupted(ctx, fmt.Errorf("what run %d made is here, but could not be shared: %w", s.Run, err), "what was sent stays; `pipeline push` goes on")
	}
	fmt.Fprint(w, "shared: ")
	printPush(w, p, false)
	return nil
}
