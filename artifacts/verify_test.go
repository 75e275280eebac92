package artifacts

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"golang.org/x/sys/unix"
)

func (t *past) verify(o VerifyOptions) *VerifyReport {
	t.Helper()
	r, err := t.Verify(context.Background(), o)
	t.ok(err)
	return r
}

// overwrite writes into an object, as nobody should.
func (t *past) overwrite(digest, content string) {
	t.Helper()
	path := t.ObjectPath(digest)
	t.ok(os.Chmod(path, 0o644))
	t.ok(os.WriteFile(path, []byte(content), 0o644))
	t.ok(os.Chmod(path, 0o444))
}

func TestVerifyFinds(t *testing.T) {
	for _, f := range []struct {
		fact    string
		harm    func(t *past)
		options VerifyOptions
		want    string // the report, what is 0 or empty left out
		hits    []string
		after   string // the report of another verification
	}{
		{"nothing", func(t *past) {}, VerifyOptions{}, "objects 10, manifests 6, results 3", []string{"clean a b", "clean c", "train x"},
			"objects 10, manifests 6, results 3"},
		{"a changed byte", func(t *past) { t.overwrite(digest("a"), "A") }, VerifyOptions{Jobs: 4},
			"objects 10, corrupt a moved (clean, out/0), manifests 6, results 3, incomplete 1, missing 1", []string{"clean c", "train x"},
			"objects 9, manifests 6, results 3, incomplete 1, missing 1"},
		{"a torn object", func(t *past) { t.overwrite(digest("a"), "") }, VerifyOptions{},
			"objects 10, corrupt a moved (clean, out/0), manifests 6, results 3, incomplete 1, missing 1", []string{"clean c", "train x"},
			"objects 9, manifests 6, results 3, incomplete 1, missing 1"},
		{"but moves nothing in a dry run", func(t *past) { t.overwrite(digest("a"), "A") }, VerifyOptions{DryRun: true},
			"objects 10, corrupt a (clean, out/0), manifests 6, results 3, incomplete 1, missing 1", []string{"clean a b", "clean c", "train x"},
			"objects 10, corrupt a moved (clean, out/0), manifests 6, results 3, incomplete 1, missing 1"},
		{"a directory in an object's place", func(t *past) {
			t.ok(os.Remove(t.ObjectPath(digest("a"))))
			t.ok(os.Mkdir(t.ObjectPath(digest("a")), 0o755))
		}, VerifyOptions{}, "objects 10, corrupt a moved (clean, out/0), manifests 6, results 3, incomplete 1, missing 1", []string{"clean c", "train x"},
			"objects 9, manifests 6, results 3, incomplete 1, missing 1"},
		{"a missing object, which is nothing wrong", func(t *past) { t.ok(os.Remove(t.ObjectPath(digest("b")))) }, VerifyOptions{},
			"objects 9, manifests 6, results 3, incomplete 1, missing 1", []string{"clean c", "train x"},
			"objects 9, manifests 6, results 3, incomplete 1, missing 1"},
		{"wrong permissions", func(t *past) { t.ok(os.Chmod(t.ObjectPath(digest("a")), 0o666)) }, VerifyOptions{},
			"objects 10, modes 1 mended, manifests 6, results 3", []string{"clean a b", "clean c", "train x"}, "objects 10, manifests 6, results 3"},
		{"files among the objects that are none", func(t *past) { t.file(objectsDir, "ab", "README") }, VerifyOptions{},
			"objects 10, manifests 6, strangers README, results 3", []string{"clean a b", "clean c", "train x"},
			"objects 10, manifests 6, strangers README, results 3"},
		{"what should be a manifest and is none", func(t *past) {
			t.ok(t.ledger.transact("test", false, func(x *tx) error {
				return x.exec("UPDATE actions SET artifact = ? WHERE key = ?", digest("x"), key("train x"))
			}))
		}, VerifyOptions{}, "objects 10, manifests 6, damaged 1, results 3", []string{"clean a b", "clean c", "train x"},
			"objects 10, manifests 6, damaged 1, results 3"},
		{"a damaged row", func(t *past) {
			t.ok(t.ledger.transact("test", false, func(x *tx) error {
				return x.exec(`UPDATE actions SET outputs = '{"files":[' WHERE key = ?`, key("train x"))
			}))
		}, VerifyOptions{}, "objects 10, manifests 6, damaged 1, results 3", nil, "objects 10, manifests 6, damaged 1, results 3"},
		{"only what a run used", func(t *past) {
			t.overwrite(digest("a"), "A")
			t.overwrite(digest("c"), "C")
		}, VerifyOptions{Run: 2}, "objects 3, corrupt c moved (clean, out/0), manifests 2, results 1, incomplete 1, missing 1", []string{"clean a b", "train x"},
			"objects 2, manifests 2, results 1, incomplete 1, missing 1"},
		{"only what a stage made", func(t *past) {
			t.overwrite(digest("a"), "A")
			t.overwrite(digest("x"), "X")
		}, VerifyOptions{Stage: "train"}, "objects 3, corrupt x moved (train, out/0), manifests 2, results 1, incomplete 1, missing 1", []string{"clean a b", "clean c"},
			"objects 2, manifests 2, results 1, incomplete 1, missing 1"},
		{"only what is pinned", func(t *past) {
			t.overwrite(digest("a"), "A")
			t.overwrite(digest("x"), "X")
			t.ok(t.Pin(Pin{Artifact: t.output(1, "train")}))
		}, VerifyOptions{Pinned: true}, "objects 2, corrupt x moved, manifests 1", []string{"clean a b", "clean c"}, "objects 1, manifests 1"},
	} {
		t.Run(f.fact, func(tt *testing.T) {
			t := newPast(tt)
			t.run("p", "done", "clean a b", "train x")
			t.run("p", "done", "clean c")
			f.harm(t)
			if got := t.report(t.verify(f.options)); got != f.want {
				t.Errorf("found\n%s, want\n%s", got, f.want)
			}
			if f.hits != nil {
				t.want("hits", t.whole("clean a b", "clean c", "train x"), f.hits)
			}
			f.options.DryRun = false
			if got := t.report(t.verify(f.options)); got != f.after {
				t.Errorf("found the second time\n%s, want\n%s", got, f.after)
			}
		})
	}
}

// whole lists the parts whose result is known and there, as a run sees it.
func (t *past) whole(parts ...string) (hits []string) {
	t.Helper()
	for _, p := range parts {
		known, err := t.Ledger().Actions([]string{key(p)})
		t.ok(err)
		there := known[key(p)] != nil
		for _, f := range known[key(p)].Outputs.Files {
			there = there && t.Has(f.Digest, f.Size)
		}
		if there {
			hits = append(hits, p)
		}
	}
	return hits
}

// report writes down what a report says.
func (t *past) report(r *VerifyReport) string {
	t.Helper()
	var words []string
	add := func(name string, n int, more ...string) {
		if n > 0 {
			words = append(words, strings.TrimSpace(name+" "+itoa(n)+" "+strings.Join(more, " ")))
		}
	}
	add("objects", r.Objects)
	for _, c := range r.Corrupt {
		name := "?"
		for _, known := range []string{"a", "b", "c", "x"} {
			if c.Digest == digest(known) {
				name = known
			}
		}
		line := "corrupt " + name
		if c.Kept != "" {
			if line += " moved"; !exists(c.Kept) || !r.Moved || exists(t.ObjectPath(c.Digest)) {
				t.Errorf("%s was not moved to %s", c.Digest, c.Kept)
			}
		}
		if c.Use != "" {
			line += " (" + c.Use + ")"
		}
		words = append(words, line)
	}
	mended := ""
	if r.Mended {
		mended = "mended"
	}
	add("modes", r.Modes, mended)
	add("manifests", r.Manifests)
	add("damaged", len(r.Damaged))
	for _, s := range r.Strangers {
		words = append(words, "strangers "+filepath.Base(s))
	}
	add("results", r.Results)
	add("incomplete", r.Incomplete)
	add("missing", r.Missing)
	add("ledger", len(r.Ledger))
	if clean := len(r.Corrupt)+len(r.Damaged)+len(r.Ledger) == 0; r.Clean() != clean {
		t.Errorf("clean: %v", r.Clean())
	}
	return strings.Join(words, ", ")
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func TestVerifyReadOnlyMovesNothing(tt *testing.T) {
	t := newPast(tt)
	t.run("p", "done", "clean a")
	t.overwrite(digest("a"), "A")
	t.ok(os.Chmod(t.ObjectPath(digest("a")), 0o644))
	s, err := Open(t.dir, Options{ReadOnly: true})
	t.ok(err)
	defer s.Close()
	r, err := s.Verify(context.Background(), VerifyOptions{})
	t.ok(err)
	if len(r.Corrupt) != 1 || r.Moved || r.Mended || r.Modes != 1 || !exists(t.ObjectPath(digest("a"))) {
		t.Errorf("%+v", r)
	}
}

func TestVerifyNamesTheUnknown(tt *testing.T) {
	t := newPast(tt)
	t.run("p", "done", "clean a")
	for words, o := range map[string]VerifyOptions{
		"run 7 has no parts":                   {Run: 7},
		`no run had parts of a stage "clan"`:   {Stage: "clan"},
		`run 1 has no parts of a stage "clan"`: {Stage: "clan", Run: 1},
	} {
		_, err := t.Verify(context.Background(), o)
		wantError(tt, err, words, "pipeline history")
	}
}

func TestVerifyIsInterrupted(tt *testing.T) {
	t := newPast(tt)
	t.run("p", "done", "clean a b c d e f", "train x")
	ctx, cancel := context.WithCancel(context.Background())
	last := int64(0)
	_, err := t.Verify(ctx, VerifyOptions{Progress: func(done, total int64) {
		if done <= last || done > total {
			t.Errorf("%d of %d bytes after %d", done, total, last)
		}
		last = done
		cancel()
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if q := t.files(quarantineDir); len(q) > 0 {
		t.Errorf("an interrupted verification moved %v", q)
	}
}

// failing is a disk that cannot open one file.
type failing struct {
	path string
	err  error
}

func (f failing) Do(e fault.Event, do func() error) error {
	if e.Op == fault.Open && e.Path == f.path {
		return f.err
	}
	return do()
}

func (f failing) Write(_ fault.Event, p []byte, do func([]byte) (int, error)) (int, error) {
	return do(p)
}

// An object that the disk has lost is moved; one that this process could not open for
// reasons of its own is not.
func TestVerifyTellsLossFromTrouble(tt *testing.T) {
	t := newPast(tt)
	t.run("p", "done", "clean a b")
	defer fault.Inject(nil)
	fault.Inject(failing{t.ObjectPath(digest("a")), unix.EMFILE})
	_, err := t.Verify(context.Background(), VerifyOptions{})
	wantError(tt, err, "hash an object", "too many open files")
	fault.Inject(failing{t.ObjectPath(digest("a")), unix.EACCES})
	if got := t.report(t.verify(VerifyOptions{})); got != "objects 3, manifests 2, damaged 1, results 1" {
		t.Error(got)
	}
	fault.Inject(failing{t.ObjectPath(digest("a")), unix.EIO})
	if got := t.report(t.verify(VerifyOptions{})); !strings.Contains(got, "corrupt a moved (clean, out/0)") {
		t.Error(got)
	}
}

func TestVerifyChecksTheLedger(tt *testing.T) {
	t := newPast(tt)
	for i := range 40 {
		t.ok(t.Ledger().PutConfig(digest(itoa(i)), []byte(`"`+strings.Repeat("x", 3000)+`"`)))
	}
	t.run("p", "done", "clean a")
	t.ok(t.Close())
	path := t.ledger.path
	b, err := os.ReadFile(path)
	t.ok(err)
	page := b[len(b)-4096:]
	for i := range page {
		page[i] ^= 0xff
	}
	t.ok(os.WriteFile(path, b, 0o644))
	s, err := Open(t.dir, Options{ReadOnly: true})
	t.ok(err)
	*t.Store = *s // which the test closes at its end
	if r := t.verify(VerifyOptions{}); len(r.Ledger) == 0 || r.Clean() {
		t.Errorf("%+v", r)
	}
}
