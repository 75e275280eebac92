package pipeline_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayStart are the packages that start processes, and what for.
var mayStart = map[string]string{
	"dag/executor/local": "workers: this program's own file, without a shell",
	"stages/command":     "what a pipeline file's author wrote to be run",
	"cmd/pipeline":       "doctor looks for programs, and starts none",
}

// TestNobodyElseStartsProcesses holds that only the packages above import os/exec or fork
// by other means, that cmd/pipeline starts nothing, and that a shell is named in
// stages/command alone.
func TestNobodyElseStartsProcesses(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if strings.HasSuffix(dir, "test") { // helpers of tests: faulttest, stagetest
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, im := range f.Imports {
			if im.Path.Value == `"os/exec"` {
				if seen[dir] = true; mayStart[dir] == "" {
					t.Errorf("%s imports os/exec", path)
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				pkg, _ := n.X.(*ast.Ident)
				if pkg == nil {
					break
				}
				call := pkg.Name + "." + n.Sel.Name
				if slices.Contains([]string{"syscall.Exec", "syscall.ForkExec", "syscall.StartProcess", "os.StartProcess", "unix.Exec"}, call) ||
					dir == "cmd/pipeline" && (call == "exec.Command" || call == "exec.CommandContext") {
					t.Errorf("%s calls %s", path, call)
				}
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); err == nil && dir != "stages/command" &&
					slices.Contains([]string{"/bin/sh", "/bin/bash", "bash", "/usr/bin/env"}, s) {
					t.Errorf("%s names the shell %s", path, s)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir := range mayStart {
		if !seen[dir] {
			t.Errorf("%s does not import os/exec any more: take it from the list", dir)
		}
	}
}
