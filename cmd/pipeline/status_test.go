package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
)

// TestStatusOfARunUnderWay holds that status shows, while a run lives, which parts are
// under way and which stages wait, and once it was killed that it died.
func TestStatusOfARunUnderWay(t *testing.T) {
	s := newSandbox(t)
	s.write("p.yaml", `pipeline: slow
stages:
  waits: {uses: command, with: {run: "while ! [ -e `+s.dir+`/go ]; do sleep 0.1; done; echo x > {out.out}/x"}}
  after: {uses: command, from: {in: waits.out}, with: {run: "cp {in.in}/* {out.out}"}}
`)
	cmd := s.command("run", "p.yaml")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer s.write("go", "")
	var d runDocument
	for range 200 { // each a process of its own: time enough for the run to begin
		if _, out, _ := s.pipeline("status", "--json"); out != "" {
			if err := json.Unmarshal([]byte(out), &d); err != nil {
				t.Fatal(err)
			}
		}
		if len(d.Stages) == 2 && len(d.Stages[0].Running) == 1 {
			break
		}
	}
	if len(d.Stages) != 2 || d.State != "running" || len(d.Stages[0].Running) != 1 || d.Stages[0].Running[0].Part != "all" ||
		d.Stages[0].State != "running" || d.Stages[1].State != "waiting" {
		t.Fatalf("status of a run under way: %+v", d)
	}
	_, out, _ := s.pipeline("status")
	if !strings.Contains(out, "waits, part all: running for ") || !strings.Contains(out, "  log: ") {
		t.Errorf("status of a run under way:\n%s", out)
	}
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	if _, out, _ = s.pipeline("status"); !strings.Contains(out, ", died, ") || strings.Contains(out, "running for") {
		t.Errorf("status of a run that died:\n%s", out)
	}
}
