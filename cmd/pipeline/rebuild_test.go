package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/artifacts"
)

const rebuildPipeline = `
pipeline: texts
sources:
  texts: {path: in}
stages:
  parse:
    uses: text-parse
    from: {files: sources.texts}
    with: {source: texts}
  clean:
    uses: clean
    from: {docs: parse.docs}
`

// However the ledger was hurt, it comes back and a run has nothing to do.
func TestRebuildLedgerCommand(t *testing.T) {
	s := newSandbox(t)
	for i := range 8 {
		s.write(fmt.Sprintf("in/%d.txt", i), fmt.Sprintf("Este é o texto de número %d.\n", i))
	}
	s.write("p.yaml", rebuildPipeline)
	want := digests(s.run("p.yaml"))
	ledger := filepath.Join(s.dir, ".pipeline", "ledger.db")
	for name, hurt := range map[string]func(b []byte) []byte{
		"truncated":    func(b []byte) []byte { return b[:len(b)/3] },
		"zeroed":       func(b []byte) []byte { return make([]byte, len(b)) },
		"bits flipped": func(b []byte) []byte { b[100] ^= 0xff; b[4096] ^= 0xff; b[len(b)/2] ^= 1; return b },
	} {
		b, err := os.ReadFile(ledger)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(ledger, hurt(b), 0o644); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := s.pipeline("run", "p.yaml")
		if code != 1 || !strings.Contains(stderr, "`pipeline doctor --rebuild-ledger`") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: run says, code %d:\n%s", name, code, stderr)
		}
		code, stdout, stderr := s.pipeline("doctor", "--rebuild-ledger", "--verify", "--json")
		var r artifacts.Rebuilt
		if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil || r.Results != 16 || r.Missing != 0 || r.Corrupt != 0 {
			t.Fatalf("%s: code %d, %v\n%s%s", name, code, err, stdout, stderr)
		}
		if _, err := os.Stat(r.Kept); err != nil {
			t.Errorf("%s: the damaged ledger is gone: %v", name, err)
		}
		d := s.run("p.yaml")
		if ran := ranParts(d); len(ran) != 0 || digests(d) != want {
			t.Errorf("%s: after the rebuild %v ran; %s, want %s", name, ran, digests(d), want)
		}
	}
	if err := os.Remove(ledger); err != nil {
		t.Fatal(err)
	}
	if ran := ranParts(s.run("p.yaml")); len(ran) != 0 {
		t.Errorf("after the loss of the ledger %v ran", ran)
	}
	if code, _, stderr := s.pipeline("doctor", "--verify"); code != 2 || !strings.Contains(stderr, "--rebuild-ledger") {
		t.Error(code, stderr)
	}
}
