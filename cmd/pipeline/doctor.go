package main

import (
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
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine has and lacks, and how to get it",
		Long: `Look at the machine and the store: processors, memory, disk, what building the program
needs, whether the store can be written and its ledger read. Exit code 1 when something
that is needed is missing.

With --json: an array of {"subject", "state": "ok"|"note"|"missing", "found", "advice"}.`,
		Example: "  pipeline doctor\n  pipeline doctor --store /data/store --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
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
	return c
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
	all = append(all, finding{"kernels", "ok", path + " (PIPELINE_CPU chooses another; all give the same bits)", ""})
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
