package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	again  rerunFlags
}

func verifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify [FILE [STAGE…]]",
		Short: "Rehash what the store holds; or do parts again and compare (--rerun)",
		Long: `Rehash the objects of the store, or those of a run, a stage or the pins. What does not
hash to its name is moved to quarantine/: it counts as missing then, and the next run
that needs it makes it again. Permissions other than 0444 are mended, manifests are
parsed, the ledger's file is checked, and results that miss an object are counted; a
missing object is nothing wrong. A store that this user may not write, or --dry-run, is
only reported on. Runs may be under way meanwhile.

With --rerun and a pipeline FILE nothing is rehashed. Instead a sample of the parts that are
known, of all stages or of those named, is done again in fresh worker processes: in another
working directory, with another TMPDIR, locale, time zone and number of CPUs, with its
input directories listed in another order. Files, counts and verdicts must come out the
same to the byte. Where they do not, the first file, document and field that differs is
shown, then the cause is looked for with one circumstance changed at a time, and both
outputs are kept. Metrics may measure time and are only noted. The same P picks the same
parts as long as they are the same. --dry-run says which, and how long they take. Nothing
is published or recorded.

Exit codes: 0 nothing is wrong, 1 something is damaged or cannot be done again, 3 a part
came out otherwise.

With --json: {"objects", "bytes", "corrupt": [{"digest", "size", "found", "linked", "use",
"kept"}], "moved", "modes", "mended", "manifests", "damaged": [text], "strangers": [path],
"results", "incomplete", "missing", "ledger": [text]}, where "found" is what the object
hashes to or why it cannot be read, "modes" the objects with other permissions,
"damaged" manifests and rows that do not parse, "incomplete" the results that miss an
object, and "ledger" what SQLite's check complains of.

With --rerun --json: {"pipeline", "profile", "known", "unknown", "sampled", "reruns", "differ",
"failed", "seconds", "estimate", "parts": [{"stage", "kind", "part", "key", "state":
"same"|"metrics"|"differs"|"failed"|"damaged", "reruns", "seconds", "metrics": [name],
"differences": [{"what": "file"|"statistics"|"count"|"verdict"|"error", "name", "was", "is",
"place": {"document", "line", "column", "path", "offset", "was", "is", "same"}}], "under",
"cause": {"name": "time"|"pid"|"threads"|"chance"|"circumstance"|"together"|"past",
"circumstances", "text", "reruns"}, "saved", "error"}]}.`,
		Example: "  pipeline verify\n  pipeline verify --run 12 --stage clean\n  pipeline verify --pinned --json\n" +
			"  pipeline verify pipelines/v16.yaml --profile sample --rerun 10%\n  pipeline verify pipelines/v16.yaml clean filter --profile sample --rerun 5 --seed 2",
		RunE: func(c *cobra.Command, args []string) error {
			stopsByItself.Store(true)
			if f.jobs < 1 {
				return usage{fmt.Errorf("--jobs %d: there must be at least one", f.jobs)}
			}
			if err := f.check(c, args); err != nil {
				return err
			}
			if f.again.sample != "" {
				return f.rerun(c, args)
			}
			return f.rehash(c)
		},
	}
	f.add(c.Flags())
	c.Flags().StringVar(&f.run, "run", "", "only what the run of this number made or found made")
	c.Flags().StringVar(&f.stage, "stage", "", "only what this stage made")
	c.Flags().BoolVar(&f.pinned, "pinned", false, "only what is pinned")
	c.Flags().IntVarP(&f.jobs, "jobs", "j", max(runtime.NumCPU(), 2), "objects to hash at a time; with --rerun, CPUs to keep busy")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "report only: move and mend nothing; with --rerun, say what would be done")
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON document")
	f.again.add(c)
	return c
}

// check refuses what belongs to the one way to verify and was given to the other.
func (f *verifyFlags) check(c *cobra.Command, args []string) error {
	if f.again.sample == "" {
		if len(args) > 0 {
			return usage{fmt.Errorf("verify %s: a pipeline file is for --rerun, which does its parts again; without it the store is rehashed", args[0])}
		}
		for _, name := range rerunOnly {
			if c.Flags().Changed(name) {
				return usage{fmt.Errorf("--%s means something with --rerun only", name)}
			}
		}
		return nil
	}
	if len(args) == 0 {
		return usage{fmt.Errorf("verify --rerun %s: name the pipeline file whose parts to do again", f.again.sample)}
	}
	for _, name := range []string{"run", "stage", "pinned"} {
		if c.Flags().Changed(name) {
			return usage{fmt.Errorf("--%s says what to rehash and means nothing with --rerun; stages are named after the file", name)}
		}
	}
	return nil
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
	m.first("looking through the store")
	o.Progress = m.at
	r, err := s.Verify(c.Context(), o)
	m.close()
	if err != nil {
		if len(r.Corrupt) > 0 {
			printVerified(os.Stderr, r)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = usage{err} // no such run or stage
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
