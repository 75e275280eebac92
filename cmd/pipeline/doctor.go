package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/spf13/cobra"
	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// finding is one line of the doctor's report.
type finding struct {
	Subject string `json:"subject"`
	State   string `json:"state"` // "ok", "note", "missing"
	Found   string `json:"found"`
	Advice  string `json:"advice,omitempty"`
}

func doctorCommand() *cobra.Command {
	var f storeFlags
	var asJSON, rebuild, rehash bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine has and lacks, and how to get it",
		Long: `Look at the machine and the store: processors, memory, disk, what building the program
needs, whether the store can be written and its ledger read. Exit code 1 when something
that is needed is missing.

With --rebuild-ledger: make the ledger anew from the store's journal, for when it is
damaged. The former file stays beside it, as ledger.db.damaged-N. Results come back whose
files are all there with the right size; with --verify the files are read and compared
with their names as well, and those that do not match are set aside in quarantine/. The
next run does what did not come back. A ledger that is missing altogether comes back by
itself with the next run. With --json: {"ledger", "kept", "lines", "damaged", "results",
"missing", "corrupt", "runs"}.

With --json alone: an array of {"subject", "state": "ok"|"note"|"missing", "found", "advice"}.`,
		Example: "  pipeline doctor\n  pipeline doctor --store /data/store --json\n  pipeline doctor --rebuild-ledger --verify",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if rehash && !rebuild {
				return usage{errors.New("--verify belongs to --rebuild-ledger; `pipeline verify` rehashes a store")}
			}
			if rebuild {
				return rebuildLedger(c, &f, rehash, asJSON)
			}
			all := examine(&f)
			missing := 0
			for _, d := range all {
				if d.State == "missing" {
					missing++
				}
			}
			if asJSON {
				if err := printJSON(c.OutOrStdout(), all); err != nil {
					return err
				}
			} else {
				t := newTable("", "", "found", "what to do")
				for _, d := range all {
					t.row(d.Subject, map[string]string{"ok": paint(green, "ok"), "note": paint(yellow, "note"), "missing": paint(red, "missing")}[d.State], d.Found, d.Advice)
				}
				t.print(c.OutOrStdout())
			}
			if missing > 0 {
				return fmt.Errorf("%d things are missing", missing)
			}
			return nil
		},
	}
	f.add(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	c.Flags().BoolVar(&rebuild, "rebuild-ledger", false, "make the ledger anew from the store's journal")
	c.Flags().BoolVar(&rehash, "verify", false, "with --rebuild-ledger: read every file that a result names")
	return c
}

func rebuildLedger(c *cobra.Command, f *storeFlags, rehash, asJSON bool) error {
	r, err := artifacts.RebuildLedger(c.Context(), f.dir(), artifacts.Options{LedgerPath: f.ledger}, rehash)
	if err != nil {
		return err
	}
	w := c.OutOrStdout()
	if asJSON {
		return printJSON(w, r)
	}
	fmt.Fprintf(w, "rebuilt %s: results of %s, %d runs\n", r.Ledger, parts(r.Results), r.Runs)
	if r.Kept != "" {
		fmt.Fprintf(w, "the former ledger is %s\n", r.Kept)
	}
	if r.Corrupt > 0 {
		fmt.Fprintf(w, "%d files were not what their names say and were set aside\n", r.Corrupt)
	}
	if r.Missing > 0 {
		fmt.Fprintf(w, "%s have files missing and run again\n", parts(r.Missing))
	}
	if r.Damaged > 0 {
		fmt.Fprintf(w, "%d lines of the journal are damaged and were left out\n", r.Damaged)
	}
	return nil
}

// comfortable is the memory that the sample profile needs at most, with some to spare.
const comfortable = 3 << 30

func examine(f *storeFlags) []finding {
	v := versionInfo()
	all := []finding{{"program", "ok", fmt.Sprintf("%s %s, %s", v.Version, v.Revision, v.Go), ""},
		{"platform", "ok", v.Platform, ""}}
	if runtime.GOOS != "linux" {
		all[1].State, all[1].Advice = "note", "tested on Linux only"
	}
	all = append(all, finding{"processors", "ok", fmt.Sprintf("%d, %s", runtime.NumCPU(), strings.Join(features(), " ")), ""})
	path, _ := kernel.Path()
	all = append(all, finding{"kernels", "ok", path + " (PIPELINE_CPU chooses another; all give the same bits in fp32)", ""})
	mem := finding{"memory", "ok", size(memoryTotal()), ""}
	if m := memoryTotal(); m > 0 && m < comfortable {
		mem.State, mem.Advice = "note", "the sample profile wants up to "+size(comfortable)
	}
	all = append(all, mem)
	for _, tool := range []struct{ name, why, pkg string }{
		{"go", "to build the program", "golang (1.26 or later; https://go.dev/dl)"},
		{"gcc", "to build the ledger's SQLite", "gcc"},
		{"make", "for `make run` and `make test`", "make"},
		{"git", "to stamp builds with their revision", "git"},
		{"strace", "for `undeclared` of command stages", "strace"},
	} {
		d := finding{Subject: tool.name, State: "ok"}
		if path, err := exec.LookPath(tool.name); err == nil {
			d.Found = path
		} else {
			d.State, d.Found, d.Advice = "note", "not found", "only needed "+tool.why+": apt-get install "+tool.pkg
		}
		all = append(all, d)
	}
	return append(all, examineStore(f)...)
}

func examineStore(f *storeFlags) (all []finding) {
	dir := f.dir()
	at := dir
	for {
		if _, err := os.Stat(at); err == nil || filepath.Dir(at) == at {
			break
		}
		at = filepath.Dir(at)
	}
	disk := finding{Subject: "disk", State: "ok"}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		disk.State, disk.Found = "note", err.Error()
	} else {
		free := int64(st.Bavail) * st.Bsize
		disk.Found = size(free) + " free at " + at
		if free < 2<<30 {
			disk.State, disk.Advice = "note", "the full corpus wants 40 GiB, the sample 1 GiB; --store names another disk"
		}
	}
	all = append(all, disk)
	d := finding{Subject: "store", State: "ok", Found: dir}
	if _, err := os.Stat(dir); err != nil {
		d.Found = dir + ", to be made by the first run"
		if unix.Access(at, unix.W_OK) != nil {
			d.State, d.Advice = "missing", "no write permission in "+at+": choose another place with --store or PIPELINE_STORE"
		}
		return append(all, d)
	}
	s, err := artifacts.Open(dir, artifacts.Options{LedgerPath: f.ledger, ReadOnly: true})
	if err != nil {
		d.State, d.Advice = "missing", err.Error()
		return append(all, d)
	}
	defer s.Close()
	if unix.Access(dir, unix.W_OK) != nil {
		d.State, d.Advice = "missing", "no write permission: "+dir+" belongs to another user; choose another place with --store or PIPELINE_STORE"
	}
	return append(all, d)
}

// features lists what the processor has that kernels can use.
func features() (names []string) {
	for _, f := range []struct {
		name string
		has  bool
	}{{"avx2", cpu.X86.HasAVX2}, {"fma", cpu.X86.HasFMA}, {"avx512f", cpu.X86.HasAVX512F}, {"avx512bf16", cpu.X86.HasAVX512BF16}, {"asimd", cpu.ARM64.HasASIMD}} {
		if f.has {
			names = append(names, f.name)
		}
	}
	return names
}

// memoryTotal is the machine's memory in bytes, or 0 where it cannot be told.
func memoryTotal() int64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return int64(i.Totalram) * int64(i.Unit)
}
