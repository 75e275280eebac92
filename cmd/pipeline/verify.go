package main

import (
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// verifyFlags are the flags of `pipeline verify`.
type verifyFlags struct {
	storeFlags
	run    string
	stage  string
	pinned bool
	jobs   int
	dryRun bool
	json   bool
}

func verifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify",
		Short: "Rehash what the store holds and set aside what is damaged",
		Long: `Rehash the objects of the store, or those of a run, a stage or the pins. What does not
hash to its name is moved to quarantine/: it counts as missing then, and the next run
that needs it makes it again. Permissions other than 0444 are mended, manifests are
parsed, the ledger's file is checked, and results that miss an object are counted; a
missing object is nothing wrong. A store that this user may not write, or --dry-run, is
only reported on. Runs may be under way meanwhile.

Exit codes: 0 nothing is wrong, 1 something is damaged.

With --json: {"objects", "bytes", "corrupt": [{"digest", "size", "found", "linked", "use",
"kept"}], "moved", "modes", "mended", "manifests", "damaged": [text], "strangers": [path],
"results", "incomplete", "missing", "ledger": [text]}, where "found" is what the object
hashes to or why it cannot be read, "modes" the objects with other permissions,
"damaged" manifests and rows that do not parse, "incomplete" the results that miss an
object, and "ledger" what SQLite's check complains of.`,
		Example: "  pipeline verify\n  pipeline verify --run 12 --stage clean\n  pipeline verify --pinned --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.jobs < 1 {
				return usage{fmt.Errorf("--jobs %d: there must be at least one", f.jobs)}
			}
			return f.rehash(c)
		},
	}
	f.add(c.Flags())
	c.Flags().StringVar(&f.run, "run", "", "only what the run of this number made or found made")
	c.Flags().StringVar(&f.stage, "stage", "", "only what this stage made")
	c.Flags().BoolVar(&f.pinned, "pinned", false, "only what is pinned")
	c.Flags().IntVarP(&f.jobs, "jobs", "j", max(runtime.NumCPU(), 2), "objects to hash at a time")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "report only: move and mend nothing")
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON document")
	return c
}

// rehash verifies the store as it lies on the disk.
func (f *verifyFlags) rehash(c *cobra.Command) error {
	s, err := f.forMending(f.dryRun)
	if err != nil {
		return err
	}
	defer s.Close()
	o := artifacts.VerifyOptions{Stage: f.stage, Pinned: f.pinned, DryRun: f.dryRun, Jobs: f.jobs}
	if f.run != "" {
		r, err := pickRun(s.Ledger(), []string{f.run})
		if err != nil {
			return err
		}
		o.Run = r.ID
	}
	m := newMeter("hashing", size)
	o.Progress = m.at
	r, err := s.Verify(c.Context(), o)
	m.close()
	if err != nil {
		if len(r.Corrupt) > 0 {
			printVerified(os.Stderr, r)
		}
		return err
	}
	if f.json {
		err = printJSON(c.OutOrStdout(), r)
	} else {
		printVerified(c.OutOrStdout(), r)
	}
	if err == nil && !r.Clean() {
		return reported{fmt.Errorf("the store is damaged")}
	}
	return err
}

// forMending opens a store that must exist, for reading only if nothing is to be changed
// or nothing can be.
func (f *storeFlags) forMending(dryRun bool) (*artifacts.Store, error) {
	if dryRun || unix.Access(f.dir(), unix.W_OK) != nil {
		return f.forReading()
	}
	return artifacts.Open(f.dir(), artifacts.Options{LedgerPath: f.ledger})
}

func printVerified(w io.Writer, r *artifacts.VerifyReport) {
	for _, o := range r.Corrupt {
		fmt.Fprintf(w, "%s %s\n", paint(red, "corrupt"), o.Digest)
		if o.Use != "" {
			fmt.Fprintf(w, "  of %s\n", o.Use)
		}
		fmt.Fprintf(w, "  found: %s, %s\n", o.Found, size(o.Size))
		if o.Linked {
			fmt.Fprintln(w, "  it has another name too: it may have been written through a view that is a hard link")
		}
		if o.Kept != "" {
			fmt.Fprintf(w, "  moved to %s\n", shortPath(o.Kept))
		}
	}
	for _, d := range r.Damaged {
		fmt.Fprintf(w, "%s %s\n", paint(red, "damaged"), d)
	}
	for _, l := range r.Ledger {
		fmt.Fprintf(w, "%s ledger: %s\n", paint(red, "damaged"), l)
	}
	for _, p := range r.Strangers {
		fmt.Fprintf(w, "%s %s is no object, and stays\n", paint(yellow, "note"), shortPath(p))
	}
	if r.Modes > 0 {
		did := "not mended"
		if r.Mended {
			did = "mended"
		}
		fmt.Fprintf(w, "%s %s had permissions other than 0444 (%s)\n", paint(yellow, "note"), things(r.Modes, "object"), did)
	}
	if r.Missing > 0 {
		fmt.Fprintf(w, "%s %s of %s missing; a run that needs them makes them again\n", paint(yellow, "note"), things(r.Missing, "object"), things(r.Incomplete, "result"))
	}
	word := paint(green, "clean")
	if !r.Clean() {
		word = paint(red, "damaged")
	}
	fmt.Fprintf(w, "%s: %s, %s; %s, %s\n", word, things(r.Objects, "object"), size(r.Bytes), things(r.Results, "result"), things(r.Manifests, "manifest"))
}

// things counts in words: "1 object", "12 objects".
func things(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return count(int64(n)) + " " + what + "s"
}
