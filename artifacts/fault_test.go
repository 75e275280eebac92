package artifacts

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unprivileged does f without the right to write below dir.
func unprivileged(t *testing.T, dir string, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the test's own, closed to others
			t.Fatal(err)
		}
		done := make(chan bool)
		go func() {
			defer close(done)
			runtime.LockOSThread() // for good: the thread ends here
			_, err := unix.SetfsuidRetUid(65534)
			if _, err2 := unix.SetfsgidRetGid(65534); err != nil || err2 != nil {
				t.Error(err, err2)
				return
			}
			f()
		}()
		<-done
		return
	}
	var dirs []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
			return nil
		}
		return errors.Join(err, os.Chmod(p, 0o444))
	})
	for _, d := range dirs {
		err = errors.Join(err, os.Chmod(d, 0o555))
	}
	if err != nil {
		t.Fatal(err)
	}
	f()
	for _, d := range dirs {
		_ = os.Chmod(d, 0o755)
	}
}

func TestWithoutPermission(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "store")
	s, err := Open(dir, Options{CreateIfMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	run := beginRun(t, s.Ledger(), "p")
	object := publish(t, s, "a", "x")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	unprivileged(t, base, func() {
		_, err := Open(dir, Options{})
		wantError(t, err, dir, "permission denied", "permission to write", "--store")
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v does not wrap fs.ErrPermission", err)
		}
		_, err = Open(filepath.Join(base, "new"), Options{CreateIfMissing: true})
		wantError(t, err, filepath.Join(base, "new"), "make the store", "permission denied", "--store")
		_, err = NewWriter(filepath.Join(dir, "x"))
		wantError(t, err, "create", filepath.Join(dir, "x"), "permission denied")

		r, err := Open(dir, Options{ReadOnly: true}) // reading needs none
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		if got, err := r.Ledger().Run(run); err != nil || got.State != "died" {
			t.Errorf("%+v %v", got, err)
		}
		if !r.Has(object.Digest, object.Size) {
			t.Error("object not seen")
		}
	})
}

// fillDisk runs in a mount namespace of its own, with a file system of 4 MiB.
func fillDisk(args []string) error {
	disk := args[0]
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		fmt.Println("skip: cannot mount a small file system:", err)
		return nil
	}
	ballast, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		return err
	}
	if _, err := io.CopyN(ballast, zeros{}, 1<<20); err != nil {
		return err
	}
	s, err := Open(filepath.Join(disk, "store"), Options{CreateIfMissing: true})
	if err != nil {
		return err
	}
	l := s.Ledger()
	run, err := l.BeginRun(RunInfo{Pipeline: "full"})
	if err != nil {
		return err
	}
	made, keys := 0, []string(nil)
	part := func(i int) error {
		dir := s.WorkDir(run, fmt.Sprint(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		w, err := NewWriter(filepath.Join(dir, "x"))
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte(strings.Repeat(fakeDigest(i), 1600))); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		if err := s.Publish([]Staged{{w.Path(), w.Digest(), w.Size()}}); err != nil {
			return err
		}
		a := testAction(i, w.Digest(), w.Size())
		if err := l.RecordPart(PartRecord{Run: run, Stage: "s", Index: i, Key: a.Key, State: "ran"}, a); err != nil {
			return err
		}
		made, keys = made+1, append(keys, a.Key)
		return nil
	}
	say := func(what string, err error) {
		fmt.Printf("%s: %t: %v\n", what, errors.Is(err, syscall.ENOSPC), err)
	}
	for i := 0; err == nil; i++ {
		err = part(i)
	}
	say("file", err)
	if _, err = io.Copy(ballast, zeros{}); err == nil {
		return errors.New("the disk does not fill")
	}
	for i := 1000; ; i++ {
		a := testAction(i, fakeDigest(i), 1)
		if err = l.RecordPart(PartRecord{Run: run, Stage: "t", Index: i, Key: a.Key, State: "ran", Started: time.Now()}, a); err != nil {
			break
		}
		keys = append(keys, a.Key)
	}
	say("ledger", err)
	_, err = Open(filepath.Join(disk, "another"), Options{CreateIfMissing: true})
	say("open", err)

	// Room again: it goes on, and has lost nothing.
	if err := os.Truncate(ballast.Name(), 0); err != nil {
		return err
	}
	before := made
	if err := errors.Join(s.RemoveWork(run), part(500)); err != nil {
		return err
	}
	found, err := l.Actions(keys)
	if err != nil || len(found) != len(keys) {
		return fmt.Errorf("%d of %d actions are left: %v", len(found), len(keys), err)
	}
	for _, a := range found {
		if f := a.Outputs.Files[0]; f.Size > 1 && !s.Has(f.Digest, f.Size) {
			return fmt.Errorf("object %s is gone", f.Digest)
		}
	}
	fmt.Println("parts:", before > 3 && made == before+1)
	return s.Close()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestFullDisk(t *testing.T) {
	p := command(t, "full", t.TempDir())
	p.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		p.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		p.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		p.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := p.Start(); err != nil {
		t.Skip("no mount namespace here: ", err)
	}
	for _, what := range []string{"file: true:", "ledger: true:", "open: true:"} {
		line := p.line(t)
		if strings.HasPrefix(line, "skip") {
			t.Skip(line)
		}
		wantError(t, errors.New(line), what, "/", "no space left on device", "make room", "run again")
		t.Log(line)
	}
	if line := p.line(t); line != "parts: true" {
		t.Error(line)
	}
}

// A locked ledger names the remedy too, though nobody should wait for it in a test.
func TestAdvice(t *testing.T) {
	for _, c := range []struct {
		err  error
		says []string
	}{
		{&fs.PathError{Op: "open", Path: "/s/x", Err: unix.ENOSPC}, []string{"do it: /s/x: no space left on device: make room on the file system of /s"}},
		{unix.EDQUOT, []string{"quota", "make room"}},
		{unix.EROFS, []string{"read-only", "--store"}},
		{&os.LinkError{Op: "rename", Old: "/a", New: "/b", Err: unix.EACCES}, []string{"do it: /s/x: rename /a /b", "permission to write"}},
		{unix.EMFILE, []string{"ulimit -n"}},
		{unix.EIO, []string{"do it: /s/x: input/output error"}},
	} {
		err := advise("do it", "/s/x", c.err)
		wantError(t, err, c.says...)
		cause := c.err
		for e := errors.Unwrap(cause); e != nil; e = errors.Unwrap(e) {
			cause = e
		}
		if !errors.Is(err, cause) {
			t.Errorf("%v lost its cause", err)
		}
	}
	if advise("do it", "x", nil) != nil || adviseLedger("do it", "x", nil) != nil {
		t.Error("advice without an error")
	}
}
