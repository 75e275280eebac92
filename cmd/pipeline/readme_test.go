package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeExamples runs the pipeline that the README writes and builds the stage kind
// that it adds; and the Portuguese README shows the same code.
func TestReadmeExamples(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	english, portuguese := readText(t, filepath.Join(root, "README.md")), readText(t, filepath.Join(root, "README.pt-BR.md"))
	if fenced(english, "go") == "" || fenced(english, "go") != fenced(portuguese, "go") {
		t.Error("the READMEs show different Go code")
	}

	s := newSandbox(t)
	s.write("mine.yaml", fenced(english, "yaml"))
	s.write("texts/um.txt", "O rio corre para o mar, e ninguém pergunta por quê.\n")
	s.write("texts/dois.txt", "A chuva chegou cedo naquele ano.\n")
	s.run("mine.yaml")
	if code, _, stderr := s.pipeline("get", "clean.docs", "corpus"); code != 0 {
		t.Error(stderr)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "out", "audit", "report.html")); err != nil {
		t.Error(err)
	}

	source := s.write("shout.go", fenced(english, "go"))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "stages", "shout", "shout.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", s.write("overlay.json", string(overlay)), "./stages/shout")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the README's stage kind does not build: %v\n%s", err, out)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fenced is the first code block of a language in a Markdown text.
func fenced(text, language string) string {
	_, rest, ok := strings.Cut(text, "```"+language+"\n")
	if !ok {
		return ""
	}
	block, _, _ := strings.Cut(rest, "```")
	return block
}
