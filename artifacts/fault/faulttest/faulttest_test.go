package faulttest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/artifacts/fault"
)

// put writes a file, synced or not.
func put(t *testing.T, path, text string, sync bool) {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if sync && err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree lists the files below a directory as name=content, and empty directories.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, p)
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			all = append(all, name+"/")
			return nil
		}
		b, err := os.ReadFile(p)
		all = append(all, name+"="+strings.ReplaceAll(string(b), "\x00", "0"))
		return err
	}))
	sort.Strings(all)
	return strings.Join(all, " ")
}

// TestPowerLoss is what survives a loss of power: with LossAll nothing but what must, with
// LossZeros all names, and zeros in place of what was not synced.
func TestPowerLoss(t *testing.T) {
	for _, c := range []struct {
		name          string
		do            func(t *testing.T, d string)
		least, zeroed string
	}{
		{"nothing", func(*testing.T, string) {}, "old=old sub/", "old=old sub/"},
		{"a file", func(t *testing.T, d string) { put(t, d+"/a", "aa", false) }, "old=old sub/", "a=00 old=old sub/"},
		{"a synced file", func(t *testing.T, d string) { put(t, d+"/a", "aa", true) }, "old=old sub/", "a=aa old=old sub/"},
		{"a synced file in a synced directory", func(t *testing.T, d string) {
			put(t, d+"/a", "aa", true)
			must(t, disk.SyncDir(d))
		}, "a=aa old=old sub/", "a=aa old=old sub/"},
		{"a file that is not synced in a directory that is", func(t *testing.T, d string) {
			put(t, d+"/a", "aa", false)
			must(t, disk.SyncDir(d))
		}, "a= old=old sub/", "a=00 old=old sub/"},
		{"more in an old file", func(t *testing.T, d string) { put(t, d+"/old", "er", false) }, "old=old sub/", "old=old00 sub/"},
		{"a rename", func(t *testing.T, d string) { must(t, disk.Rename(d+"/old", d+"/new")) }, "old=old sub/", "new=old sub/"},
		{"a rename in a synced directory", func(t *testing.T, d string) {
			must(t, disk.Rename(d+"/old", d+"/new"))
			must(t, disk.SyncDir(d))
		}, "new=old sub/", "new=old sub/"},
		{"a rename into another directory, which is synced", func(t *testing.T, d string) {
			put(t, d+"/a", "aa", true)
			must(t, disk.Rename(d+"/a", d+"/sub/a"))
			must(t, disk.SyncDir(d+"/sub"))
		}, "old=old sub/ sub/a=aa", "old=old sub/ sub/a=aa"},
		{"a rename over a file", func(t *testing.T, d string) {
			put(t, d+"/a", "aa", true)
			must(t, disk.SyncDir(d))
			must(t, disk.Rename(d+"/a", d+"/old"))
		}, "a=aa old=old sub/", "old=aa sub/"},
		{"more in an open file that was renamed", func(t *testing.T, d string) {
			f, err := disk.OpenFile(d+"/a.new", os.O_WRONLY|os.O_CREATE, 0o644)
			must(t, err)
			_, err = f.WriteString("aa")
			must(t, errors.Join(err, f.Sync(), disk.Rename(d+"/a.new", d+"/a"), disk.SyncDir(d)))
			_, err = f.WriteString("bb")
			must(t, errors.Join(err, f.Close()))
		}, "a=aa old=old sub/", "a=aa00 old=old sub/"},
		{"an exchange", func(t *testing.T, d string) {
			put(t, d+"/a", "aa", true)
			must(t, disk.SyncDir(d))
			must(t, disk.Exchange(d+"/a", d+"/old"))
		}, "a=aa old=old sub/", "a=old old=aa sub/"},
		{"a removal", func(t *testing.T, d string) { must(t, disk.Remove(d+"/old")) }, "old=old sub/", "sub/"},
		{"a removed tree", func(t *testing.T, d string) {
			put(t, d+"/sub/x", "xx", true)
			must(t, disk.SyncDir(d+"/sub"))
			must(t, disk.RemoveAll(d+"/sub"))
		}, "old=old sub/ sub/x=xx", "old=old"},
		{"a link", func(t *testing.T, d string) { must(t, disk.Link(d+"/old", d+"/l")) }, "old=old sub/", "l=old old=old sub/"},
		{"directories", func(t *testing.T, d string) {
			must(t, disk.MkdirAll(d+"/x/y", 0o755))
			put(t, d+"/x/y/z", "z", true)
			must(t, disk.SyncDir(d+"/x/y"))
		}, "old=old sub/", "old=old sub/ x/ x/y/ x/y/z=z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for how, want := range map[Fault]string{LossAll: c.least, LossZeros: c.zeroed} {
				base := t.TempDir()
				home := filepath.Join(base, "home")
				one := Case{Fault: how, Root: home, Dir: filepath.Join(base, "aux"), Ledger: filepath.Join(home, "ledger.db")}
				must(t, errors.Join(os.MkdirAll(home+"/sub", 0o755), os.Mkdir(one.Dir, 0o755), os.WriteFile(home+"/old", []byte("old"), 0o644)))
				i, err := newInjector(one.Encode(), "test")
				must(t, err)
				fault.Inject(i)
				c.do(t, home)
				fault.Inject(nil)
				must(t, i.journal.f.Close()) // the process is gone
				if _, _, err := PowerLoss(one); err != nil {
					t.Fatal(err)
				}
				if got := tree(t, home); got != want {
					t.Errorf("%s: found %s, want %s", how, got, want)
				}
			}
		})
	}
}

// TestFaults is what the faults that leave the process alive do to one write.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		fault Fault
		nth   int
		err   error
		left  string
	}{
		{EIO, 1, syscall.EIO, ""}, {Late, 1, syscall.EIO, "abcd"}, {Full, 1, syscall.ENOSPC, ""}, {TornEIO, 1, syscall.EIO, "ab"},
		{EIO, 2, nil, "abcd"}, {"", 1, nil, "abcd"},
	} {
		base := t.TempDir()
		one := Case{Place: Place{"test", fault.Write, "a", c.nth}, Fault: c.fault, Root: base, Dir: base}
		must(t, Inject(one.Encode(), "test"))
		f, err := disk.OpenFile(filepath.Join(base, "a"), os.O_WRONLY|os.O_CREATE, 0o644)
		must(t, err)
		_, err = f.WriteString("abcd")
		f.Close()
		_, err2 := disk.CreateTemp(base, "b")
		fault.Inject(nil)
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v, want %v", c.fault, err, c.err)
		}
		if full := c.fault == Full; errors.Is(err2, syscall.ENOSPC) != full {
			t.Errorf("%s: the next file: %v", c.fault, err2)
		}
		if b, _ := os.ReadFile(filepath.Join(base, "a")); string(b) != c.left {
			t.Errorf("%s: left %q, want %q", c.fault, b, c.left)
		}
		if one.Hit() != (c.err != nil) {
			t.Errorf("%s at write %d: hit %v", c.fault, c.nth, one.Hit())
		}
	}
}
