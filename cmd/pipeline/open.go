package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/source"
	"github.com/ptbr-slm/pipeline/stages"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// storeFlags are the flags that say where the store is.
type storeFlags struct{ store, ledger string }

func (f *storeFlags) add(s *pflag.FlagSet) {
	s.StringVar(&f.store, "store", "", "directory of the store (default $PIPELINE_STORE, or .pipeline)")
	s.StringVar(&f.ledger, "ledger", "", "path of the ledger, when the store is on a network file system (default ledger.db in the store)")
}

func (f *storeFlags) dir() string {
	if f.store != "" {
		return f.store
	}
	if d := os.Getenv("PIPELINE_STORE"); d != "" {
		return d
	}
	return ".pipeline"
}

// forWriting opens the store, making it if need be.
func (f *storeFlags) forWriting() (*artifacts.Store, error) {
	return artifacts.Open(f.dir(), artifacts.Options{LedgerPath: f.ledger, CreateIfMissing: true})
}

// forReading opens a store that must exist, and changes nothing in it.
func (f *storeFlags) forReading() (*artifacts.Store, error) {
	return artifacts.Open(f.dir(), artifacts.Options{LedgerPath: f.ledger, ReadOnly: true})
}

// forPlanning opens the store for reading; one that is not there is empty.
func (f *storeFlags) forPlanning() (*artifacts.Store, error) {
	return artifacts.Open(f.dir(), artifacts.Options{LedgerPath: f.ledger, ReadOnly: true, CreateIfMissing: true})
}

// loadPipeline reads a pipeline file with all stage kinds.
func loadPipeline(path, profile string) (*pipelinefile.Pipeline, error) {
	return pipelinefile.Load(path, pipelinefile.Options{Kinds: stages.Kinds(), Profile: profile})
}

func addProfileFlag(c *cobra.Command, profile *string) {
	c.Flags().StringVar(profile, "profile", "", "profile of the pipeline file to apply")
}

// memo keeps source digests in the ledger.
type memo struct{ l *artifacts.Ledger }

func ledgerIDs(ids []source.FileID) []artifacts.FileID {
	r := make([]artifacts.FileID, len(ids))
	for i, id := range ids {
		r[i] = artifacts.FileID{Dev: id.Device, Ino: id.Inode, Size: id.Size, MtimeNS: id.ModifiedNS, CtimeNS: id.ChangeNS}
	}
	return r
}

// SourceDigests implements source.Memo. A ledger that cannot be read knows nothing.
func (m memo) SourceDigests(ids []source.FileID) []string {
	d, err := m.l.SourceDigests(ledgerIDs(ids))
	if err != nil {
		return make([]string, len(ids))
	}
	return d
}

// RememberSources implements source.Memo.
func (m memo) RememberSources(ids []source.FileID, digests []string) error {
	return m.l.PutSourceDigests(ledgerIDs(ids), digests, time.Now())
}

// resolveSources finds, fetches and hashes the sources that the target stages and those
// above them read. What is wrong with them is the user's to mend: a usage error.
func resolveSources(ctx context.Context, p *pipelinefile.Pipeline, targets []string, s *artifacts.Store, offline bool, progress func(source.Event)) (map[string][]source.Resolved, error) {
	want, err := dag.Closure(p, targets)
	if err != nil {
		return nil, err
	}
	r, err := source.Resolve(ctx, usedSources(p, want), memo{s.Ledger()}, source.Options{Offline: offline, Progress: progress})
	if err != nil && ctx.Err() == nil {
		err = usage{err}
	}
	return r, err
}

func usedSources(p *pipelinefile.Pipeline, want map[string]bool) (used []pipelinefile.Source) {
	wired := map[string]bool{}
	for i := range p.Stages {
		if !want[p.Stages[i].Name] {
			continue
		}
		for _, refs := range p.Stages[i].From {
			for _, r := range refs {
				wired[r.Source] = true
			}
		}
	}
	for _, s := range p.Sources {
		if wired[s.Name] {
			used = append(used, s)
		}
	}
	return used
}

// printJSON writes one JSON document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the JSON document: %w", err)
	}
	return nil
}
