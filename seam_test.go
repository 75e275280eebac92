package pipeline_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// seamed are the folders whose packages reach the disk through artifacts/disk alone, so that tests
// can let any of it fail.
var seamed = []string{"artifacts", "dag"}

// besideTheSeam says which of those files may call package os by themselves, and why.
var besideTheSeam = map[string]string{
	"artifacts/disk":        "it is the seam",
	"artifacts/fault":       "tests of the seam's users undo there what was not durable",
	"dag/executor/meter.go": "sets back a counter of the kernel's, in /proc",
	"dag/stage/stagetest":   "runs a stage kind in a test, without store or coordinator",
}

// changing are functions that change the disk, or hold it to a promise. Reading goes
// through package disk where a promise rests on what is read, which no test can tell.
var changing = map[string]bool{
	"os.Rename": true, "os.Remove": true, "os.RemoveAll": true, "os.Mkdir": true, "os.MkdirAll": true, "os.MkdirTemp": true,
	"os.Create": true, "os.CreateTemp": true, "os.OpenFile": true, "os.WriteFile": true, "os.Chmod": true, "os.Chtimes": true,
	"os.Chown": true, "os.Lchown": true, "os.Link": true, "os.Symlink": true, "os.Truncate": true, "os.CopyFS": true, "os.OpenRoot": true,
	"unix.Rename": true, "unix.Renameat": true, "unix.Renameat2": true, "unix.Unlink": true, "unix.Unlinkat": true, "unix.Mkdir": true,
	"unix.Link": true, "unix.Linkat": true, "unix.Symlink": true, "unix.Flock": true, "unix.Fsync": true,
	"unix.Ftruncate": true, "unix.Fallocate": true, "unix.IoctlFileClone": true, "unix.Write": true,
	"syscall.Rename": true, "syscall.Unlink": true, "syscall.Mkdir": true, "syscall.Link": true, "syscall.Flock": true,
	"syscall.Fsync": true, "syscall.Ftruncate": true, "syscall.Write": true,
}

// TestTheDiskIsReachedThroughTheSeam looks for calls that no fault could strike.
func TestTheDiskIsReachedThroughTheSeam(t *testing.T) {
	through := 0
	unused := map[string]bool{}
	for k := range besideTheSeam {
		unused[k] = true
	}
	for _, root := range seamed {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			calls, err := callsOf(path)
			if err != nil {
				return err
			}
			for _, c := range calls {
				switch {
				case strings.HasPrefix(c.name, "disk."):
					through++
				case changing[c.name]:
					why, ok := "", false
					for k, reason := range besideTheSeam {
						if path == k || strings.HasPrefix(path, k+"/") {
							why, ok = reason, true
							delete(unused, k)
						}
					}
					if !ok || why == "" {
						t.Errorf("%s: %s passes by package disk, so that no test can make it fail", c.at, c.name)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for k := range unused {
		t.Errorf("%s is excepted and need not be", k)
	}
	if through < 50 {
		t.Errorf("only %d calls of package disk seen: does this test look in the right place?", through)
	}
}

type call struct{ name, at string }

// callsOf lists what a file calls of other packages, as "package.Function".
func callsOf(path string) (calls []call, err error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	imported := map[string]string{}
	for _, im := range f.Imports {
		p, err := strconv.Unquote(im.Path.Value)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(p)
		if im.Name != nil {
			name = im.Name.Name
		}
		imported[name] = filepath.Base(p)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && imported[x.Name] != "" {
				calls = append(calls, call{imported[x.Name] + "." + s.Sel.Name, set.Position(s.Pos()).String()})
			}
		}
		return true
	})
	return calls, nil
}
