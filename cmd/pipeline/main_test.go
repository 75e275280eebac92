package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ptbr-slm/pipeline/dag"
)

// The test binary is the program: with this variable set it runs main.
const asProgram = "PIPELINE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// sandbox is an empty directory with a store, in which the program runs.
type sandbox struct {
	t   *testing.T
	dir string
	env []string
	as  *syscall.SysProcAttr
}

func newSandbox(t *testing.T) *sandbox {
	return &sandbox{t: t, dir: t.TempDir()}
}

func (s *sandbox) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// copy copies a file of the sample corpus.
func (s *sandbox) copy(sample, name string) {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "pipelines", "sample", sample))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(name, string(b))
}

func (s *sandbox) edit(name, old, new string) {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		s.t.Fatalf("%s has no %q", name, old)
	}
	s.write(name, strings.Replace(string(b), old, new, 1))
}

func (s *sandbox) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), asProgram+"=1", "PIPELINE_STORE=", "NO_COLOR=1")
	cmd.Env = append(cmd.Env, s.env...)
	cmd.SysProcAttr = s.as
	return cmd
}

// pipeline runs the program and gives its exit code and what it printed.
func (s *sandbox) pipeline(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, err bytes.Buffer
	cmd := s.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); e != nil {
		if !errors.As(e, new(*exec.ExitError)) {
			s.t.Fatal(e)
		}
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// run runs a pipeline that must come to a good end.
func (s *sandbox) run(args ...string) *dag.Summary {
	s.t.Helper()
	code, out, err := s.pipeline(append([]string{"run", "--json"}, args...)...)
	if code != 0 {
		s.t.Fatalf("run %v: exit code %d\n%s", args, code, err)
	}
	var d dag.Summary
	if e := json.Unmarshal([]byte(out), &d); e != nil {
		s.t.Fatalf("stdout is not the document: %v\n%s", e, out)
	}
	return &d
}

// digests lists every output of a run, one a line.
func digests(d *dag.Summary) string {
	var lines []string
	for _, st := range d.Stages {
		for _, port := range keys(st.Outputs) {
			lines = append(lines, st.Name+"."+port+" "+st.Outputs[port].Digest)
		}
	}
	return strings.Join(lines, "\n")
}

// ranParts lists the stages of which parts ran, with how many.
func ranParts(d *dag.Summary) map[string]int {
	r := map[string]int{}
	for _, st := range d.Stages {
		if st.Ran > 0 {
			r[st.Name] = st.Ran
		}
	}
	return r
}
