package artifacts

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"
)

func TestPins(tt *testing.T) {
	t := newPast(tt)
	run := t.run("p", "done", "clean a b", "train x")
	clean, train := t.output(run, "clean"), t.output(run, "train")
	pinned := func() (names []string) {
		pins, err := t.Ledger().Pins()
		t.ok(err)
		for _, p := range pins {
			names = append(names, p.Artifact[:6]+" "+p.Name)
		}
		return names
	}
	t.ok(t.Pin(Pin{Artifact: clean, Name: "first"}))
	t.ok(t.Pin(Pin{Artifact: train}))
	t.want("pins", pinned(), []string{clean[:6] + " first", train[:6] + " "})
	t.ok(t.Pin(Pin{Artifact: clean, Name: "renamed"}))
	t.want("pins", pinned(), []string{clean[:6] + " renamed", train[:6] + " "})

	for words, err := range map[string]error{
		"read a manifest":  t.Pin(Pin{Artifact: digest("none")}),
		"is not pinned":    t.Unpin(clean, digest("none")),
		"manifest: ":       t.Pin(Pin{Artifact: digest("a")}),
		"its file 0: run ": t.incomplete(train),
	} {
		wantError(tt, err, words)
		if words != "manifest: " && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v does not wrap fs.ErrNotExist", err)
		}
	}
	t.want("pins after errors", pinned(), []string{clean[:6] + " renamed", train[:6] + " "})
	t.ok(t.Unpin(clean, train))
	t.want("pins", pinned(), nil)

	known, err := t.Ledger().Artifacts(context.Background(), clean[:12])
	t.ok(err)
	t.want("artifacts", known, []string{clean})
}

// incomplete pins an artifact that has lost a file.
func (t *past) incomplete(artifact string) error {
	t.Helper()
	t.ok(os.Remove(t.ObjectPath(digest("x"))))
	return t.Pin(Pin{Artifact: artifact})
}
