package main

import (
	"slices"
	"strings"
	"testing"
)

// TestCompletion holds what the shell offers for each word of a command line.
func TestCompletion(t *testing.T) {
	s := newSandbox(t)
	s.write("texts/um.txt", "O rio corre para o mar, e ninguém pergunta por quê.\n")
	s.write("p.yaml", `pipeline: words
sources:
  texts: {path: texts}
stages:
  texts: {uses: text-parse, from: {files: sources.texts}}
  clean: {uses: clean, matrix: {math: [latex, drop]}, from: {docs: texts.docs}, with: {math: "${{ matrix.math }}"}}
  size: {uses: command, from: {in: clean.docs}, with: {run: "cat {in.in}/*/* {in.in}/* | wc -c > {out.out}/size || true"}}
profiles:
  small: {seed: 2}
  large: {seed: 3}
`)
	s.run("p.yaml")
	stageNames := []string{"texts", "clean", "clean[latex]", "clean[drop]", "size"}
	for _, c := range []struct {
		line string
		want []string
	}{
		{"plan p.yaml", stageNames},
		{"run p.yaml", stageNames},
		{"run p.yaml --profile small", stageNames},
		{"run p.yaml texts", []string{"clean", "clean[latex]", "clean[drop]", "size"}},
		{"explain p.yaml", stageNames},
		{"explain p.yaml size", nil},
		{"plan p.yaml --profile", []string{"small", "large"}},
		{"status", []string{"1"}},
		{"log", []string{"texts", "clean[latex]", "clean[drop]", "size"}},
		{"log size --run", []string{"1"}},
		{"log texts --part", []string{"um.txt"}},
		{"get", []string{"texts.docs", "texts.report", "clean[latex].docs", "clean[latex].report", "clean[drop].docs", "clean[drop].report", "size.out"}},
		{"get size.out --run", []string{"1"}},
		{"history", []string{"words"}},
		{"plan nowhere.yaml", nil},
		{"status --store nowhere", nil},
	} {
		code, out, stderr := s.pipeline(append(append([]string{"__complete"}, strings.Fields(c.line)...), "")...)
		var got []string
		for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
			if name, _, _ := strings.Cut(l, "\t"); name != "" && !strings.HasPrefix(name, ":") {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		want := slices.Sorted(slices.Values(c.want))
		if code != 0 || !slices.Equal(got, want) {
			t.Errorf("pipeline %s <TAB>: %q, want %q\n%s", c.line, got, want, stderr)
		}
	}
	// The first word is a file, which the shell completes.
	if _, out, _ := s.pipeline("__complete", "run", ""); !strings.Contains(out, "yaml") || !strings.Contains(out, ":8") {
		t.Errorf("pipeline run <TAB>: %s", out)
	}
	if code, out, stderr := s.pipeline("completion", "bash"); code != 0 || !strings.Contains(out, "__start_pipeline") {
		t.Errorf("completion bash: exit code %d, %d bytes\n%s", code, len(out), stderr)
	}
	for _, c := range []struct{ line, says string }{
		{"status 99", "there is no run 99 in this store; the last is 1, and `pipeline history` lists them"},
		{"get clean.docs x", "stage clean has a matrix, and each of its stages an output of its own; name one of 'clean[drop].docs', 'clean[latex].docs'"},
		{"get nothing.docs x", `no run completed a stage "nothing"; there are clean[drop], clean[latex], size, texts`},
	} {
		if code, _, stderr := s.pipeline(strings.Fields(c.line)...); code != 2 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, %s", c.line, code, stderr)
		}
	}
	if _, out, _ := s.pipeline("status"); strings.Index(out, "\ntexts ") > strings.Index(out, "\nclean[") || strings.Index(out, "\nclean[drop]") > strings.Index(out, "\nsize ") {
		t.Errorf("status does not list stages in the order of the pipeline:\n%s", out)
	}
}
