package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Nothing that a run leaves can be written by anyone but its owner, and objects not even
// by him, whatever the umask; and a strict umask keeps all of it from others.
func TestFileModes(t *testing.T) {
	for _, umask := range []string{"0", "022", "077"} {
		s := newSandbox(t)
		s.write("a.txt", "a")
		s.write("p.yaml", `pipeline: p
sources: {a: {path: a.txt}}
stages:
  c: {uses: command, from: {in: sources.a}, with: {run: "cp {in}/a.txt {out}/x; chmod 4777 {out}/x; mkdir -m 777 {out}/d; echo > {out}/d/y"}}
publish: {out: c.out}
`)
		plain := s.command("run", "p.yaml")
		cmd := exec.Command("/bin/sh", append([]string{"-c", "umask " + umask + `; exec "$0" "$@"`}, plain.Args...)...)
		cmd.Dir, cmd.Env = plain.Dir, plain.Env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("umask %s: %v\n%s", umask, err, out)
		}
		store, objects := filepath.Join(s.dir, ".pipeline"), 0
		for _, root := range []string{store, filepath.Join(s.dir, "out")} {
			err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := d.Info()
				if err != nil {
					return err
				}
				m := info.Mode()
				if m&(os.ModeSetuid|os.ModeSetgid) != 0 || m.Perm()&0o022 != 0 && m&os.ModeSymlink == 0 {
					t.Errorf("umask %s: %s has mode %v", umask, path, m)
				}
				if rel, _ := filepath.Rel(store, path); m.IsRegular() && (strings.HasPrefix(rel, "objects/") || root != store) {
					if objects++; m.Perm()&0o222 != 0 {
						t.Errorf("umask %s: %s has mode %v, want it read-only", umask, path, m)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(root); umask == "077" && (err != nil || info.Mode().Perm()&0o077 != 0) {
				t.Errorf("umask 077: %s is open to others: %v %v", root, info.Mode(), err)
			}
		}
		if objects < 4 {
			t.Errorf("umask %s: only %d objects seen", umask, objects)
		}
		if left, _ := filepath.Glob(filepath.Join(store, "work", "*", "*")); len(left) > 0 {
			t.Errorf("umask %s: work directories are left: %v", umask, left)
		}
	}
}
