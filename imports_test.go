package pipeline_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ptbr-slm/pipeline/"

// mayImport says which packages of this module the packages below a folder may import.
// The first folder that fits counts.
var mayImport = []struct {
	under string
	only  []string
}{
	{"cmd", []string{"stages", "dag", "remote", "artifacts", "corpus", "model"}},
	{"stages", []string{"stages", "corpus", "model", "dag/stage"}},
	{"dag/stage/stagetest", []string{"dag/stage", "dag/executor/task", "artifacts", "corpus"}},
	{"dag/stage", nil},
	{"dag", []string{"dag", "artifacts"}},
	{"remote", []string{"artifacts"}},
	{"artifacts", []string{"artifacts"}},
	{"corpus", []string{"corpus"}},
	{"model", []string{"model"}},
}

// TestImportsRunOneWay holds the floors apart: cmd → stages → {corpus, model, dag/stage},
// cmd → dag → {dag/stage, artifacts}, and nothing back up.
func TestImportsRunOneWay(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		for _, im := range f.Imports {
			p, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				return err
			}
			to, ours := strings.CutPrefix(p, module)
			if ours && !allowed(dir, to, strings.HasSuffix(path, "_test.go")) {
				t.Errorf("%s imports %s", path, to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("only %d Go files seen: is this the module's root?", files)
	}
}

func allowed(from, to string, test bool) bool {
	if from == to {
		return true // an external test package
	}
	if test && to == "dag/stage/stagetest" && strings.HasPrefix(from, "stages") {
		return true
	}
	for _, r := range mayImport {
		if from != r.under && !strings.HasPrefix(from, r.under+"/") {
			continue
		}
		for _, o := range r.only {
			if to == o || strings.HasPrefix(to, o+"/") {
				return true
			}
		}
		return false
	}
	return false
}

// TestTheRuleCatches makes sure that the rule above can fail.
func TestTheRuleCatches(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"model/train", "dag/stage", false}, {"corpus", "artifacts", false}, {"stages/clean", "dag", false},
		{"stages/clean", "dag/stage", true}, {"dag", "stages", false}, {"artifacts", "dag", false},
		{"dag/stage", "dag", false}, {"dag", "remote", false}, {"cmd/pipeline", "stages/clean", true}, {"unheard/of", "dag", false},
	} {
		if allowed(c.from, c.to, false) != c.ok {
			t.Errorf("%s → %s: want %v", c.from, c.to, c.ok)
		}
	}
}
