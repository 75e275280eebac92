package source

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
)

func sha(s string) string   { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
func sha1s(s string) string { h := sha1.Sum([]byte(s)); return hex.EncodeToString(h[:]) }

// ledger is a Memo in memory that counts.
type ledger struct {
	mu      sync.Mutex
	digests map[FileID]string
	hits    int
}

func (l *ledger) SourceDigests(ids []FileID) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	digests := make([]string, len(ids))
	for i, id := range ids {
		d, ok := l.digests[id]
		if ok {
			l.hits++
		}
		digests[i] = d
	}
	return digests
}

func (l *ledger) RememberSources(ids []FileID, digests []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.digests == nil {
		l.digests = map[FileID]string{}
	}
	for i, id := range ids {
		l.digests[id] = digests[i]
	}
	return nil
}

// tree writes files below a new directory: path → content; "-> target" makes a link,
// a path that ends in a slash a directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func src(name, dir string, files ...pipelinefile.SourceFile) pipelinefile.Source {
	for i := range files {
		f := &files[i]
		f.Abs = filepath.Join(dir, f.Path)
		f.Pos = pipelinefile.Pos{File: "p.yaml", Line: 3 + i, Col: 5}
	}
	return pipelinefile.Source{Name: name, Files: files}
}

func file(path string) pipelinefile.SourceFile { return pipelinefile.SourceFile{Path: path} }

func listing(files []Resolved) string {
	var b strings.Builder
	for _, f := range files {
		b.WriteString(f.Name + " ")
	}
	return strings.TrimSpace(b.String())
}

func TestListing(t *testing.T) {
	dir := tree(t, map[string]string{
		"b.txt": "b", "a.txt": "a", ".hidden.txt": "h",
		"law/z.html": "z", "law/a-b.html": "1", "law/a/b.html": "2", "law/.git/x": "x", "law/.DS_Store": "d",
		"law/link.html": "-> ../a.txt", "law/up": "-> ..",
		"odd[1]/x.txt": "o",
		"linked":       "-> law",
	})
	for _, c := range []struct{ path, want string }{
		{"a.txt", "a.txt"},
		{"law", "a-b.html a/b.html link.html z.html"},
		{"linked", "a-b.html a/b.html link.html z.html"},
		{"*.txt", "a.txt b.txt"},
		{"law/*.html", "a-b.html link.html z.html"},
		{"l*/*.html", "law/a-b.html law/link.html law/z.html linked/a-b.html linked/link.html linked/z.html"},
		{"./law/../[ab].txt", "a.txt b.txt"},
	} {
		got, err := Resolve(t.Context(), []pipelinefile.Source{src("s", dir, file(c.path))}, &ledger{}, Options{})
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if l := listing(got["s"]); l != c.want {
			t.Errorf("%s lists %q, want %q", c.path, l, c.want)
		}
	}

	got, err := Resolve(t.Context(), []pipelinefile.Source{src("s", filepath.Join(dir, "odd[1]"), file("*.txt"))}, &ledger{}, Options{})
	if err != nil || listing(got["s"]) != "x.txt" {
		t.Errorf("a pattern below a directory with brackets: %v %v", got, err)
	}
	f := got["s"][0]
	if f.Digest != sha("o") || f.Size != 1 || f.Origin != "sources.s" || f.Path != filepath.Join(dir, "odd[1]", "x.txt") || f.Absent {
		t.Errorf("resolved %+v", f)
	}
	if id, err := Identify(f.Path); err != nil || id != f.ID {
		t.Errorf("ID is %+v, the file is %+v (%v)", f.ID, id, err)
	}
}

func TestEverythingWrongAtOnce(t *testing.T) {
	dir := tree(t, map[string]string{
		"x/a.txt": "a", "y/a.txt": "a", "empty/": "", "dead": "-> nowhere", "d/dead": "-> nowhere", "good": "g",
	})
	withSum := func(path, sum string) pipelinefile.SourceFile {
		return pipelinefile.SourceFile{Path: path, SHA256: sum}
	}
	_, err := Resolve(t.Context(), []pipelinefile.Source{
		src("one", dir, file("missing.txt"), file("none*.txt"), file("empty"), file("dead"), file("d")),
		src("two", dir, withSum("good", sha("other")), withSum("x", sha("a"))),
		src("three", dir, file("x/a.txt"), file("y/a.txt")),
		src("four", dir, pipelinefile.SourceFile{Path: "good", SHA1: sha1s("other")}),
		src("five", dir, pipelinefile.SourceFile{Path: "good", SHA1: sha1s("g"), SHA256: sha("g")}),
	}, &ledger{}, Options{})
	if err == nil {
		t.Fatal("no error")
	}
	want := strings.ReplaceAll(`p.yaml:3:5: source `+"`one`"+`: DIR/missing.txt does not exist; put the file there, or give it a `+"`url`"+` to be fetched from
p.yaml:4:5: source `+"`one`"+`: DIR/none*.txt matches no file
p.yaml:5:5: source `+"`one`"+`: there are no files in DIR/empty
p.yaml:6:5: source `+"`one`"+`: DIR/dead does not exist; put the file there, or give it a `+"`url`"+` to be fetched from
p.yaml:7:5: source `+"`one`"+`: DIR/d/dead is a link that leads nowhere
p.yaml:3:5: source `+"`two`"+`: DIR/good has sha256 `+sha("g")+`, but the pipeline file declares `+sha("other")+`; put the right file there, or declare the digest it has
p.yaml:4:5: source `+"`two`"+`: DIR/x is a directory, but a `+"`url`"+` or digest is of one file
p.yaml:4:5: source `+"`three`"+`: DIR/x/a.txt and DIR/y/a.txt are both called a.txt in this source; name the directory above them, or a pattern, to tell them apart
p.yaml:3:5: source `+"`four`"+`: DIR/good has sha1 `+sha1s("g")+`, but the pipeline file declares `+sha1s("other")+`; put the right file there, or declare the digest it has`, "DIR", dir)
	if err.Error() != want {
		t.Errorf("said\n%v\nwant\n%s", err, want)
	}
}

func TestMemo(t *testing.T) {
	dir := tree(t, map[string]string{"a": "one", "b": "two"})
	path := filepath.Join(dir, "a")
	sources := []pipelinefile.Source{src("s", dir, file("a"))}
	m := &ledger{}
	read := 0
	resolve := func() string {
		t.Helper()
		read = 0
		got, err := Resolve(t.Context(), sources, m, Options{Progress: func(Event) { read++ }})
		if err != nil {
			t.Fatal(err)
		}
		return got["s"][0].Digest
	}

	// Just written: hashed each time, never remembered.
	if d := resolve(); d != sha("one") || len(m.digests) != 0 || read == 0 {
		t.Fatalf("digest %s, %d remembered, %d reads; want it hashed and not remembered", d, len(m.digests), read)
	}
	// A remembered digest is taken on trust, which shows only when it is wrong.
	id, err := Identify(path)
	if err != nil {
		t.Fatal(err)
	}
	m.RememberSources([]FileID{id}, []string{sha("remembered")})
	if d := resolve(); d != sha("remembered") || read != 0 {
		t.Fatalf("digest %s after %d reads, want the remembered one without reading", d, read)
	}
	// Anything that changes the state asks for hashing again.
	if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if d := resolve(); d != sha("one") || read == 0 {
		t.Fatalf("digest %s after touch and %d reads, want it hashed", d, read)
	}
	// A declared digest is held against a remembered one, too.
	id, _ = Identify(path)
	m.RememberSources([]FileID{id}, []string{sha("remembered")})
	sources[0].Files[0].SHA256 = sha("one")
	if _, err := Resolve(t.Context(), sources, m, Options{}); err == nil || !strings.Contains(err.Error(), sha("remembered")) {
		t.Fatalf("error is %v, want one that names the digest of the file", err)
	}
}

func TestSettled(t *testing.T) {
	began := time.Unix(1000, 0)
	at := func(mod, change time.Duration) FileID {
		return FileID{ModifiedNS: began.Add(mod).UnixNano(), ChangeNS: began.Add(change).UnixNano()}
	}
	for _, c := range []struct {
		id   FileID
		want bool
	}{
		{at(-time.Hour, -time.Hour), true},
		{at(-3*time.Second, -3*time.Second), true},
		{at(-2*time.Second, -time.Hour), false},
		{at(-time.Hour, -time.Second), false},
		{at(time.Hour, -time.Hour), false},
	} {
		if got := c.id.settled(began); got != c.want {
			t.Errorf("settled(%+v) = %v, want %v", c.id, got, c.want)
		}
	}
}

func TestManyFilesInParallel(t *testing.T) {
	files := map[string]string{}
	for i := range 200 {
		name := "f" + strings.Repeat("x", i)
		if len(name) > 200 {
			break
		}
		files["d/"+name] = name
	}
	dir := tree(t, files)
	var last Event
	got, err := Resolve(t.Context(), []pipelinefile.Source{src("s", dir, file("d"))}, &ledger{}, Options{Jobs: 8, Progress: func(e Event) { last = e }})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range got["s"] {
		if f.Digest != sha(f.Name) {
			t.Fatalf("%s has digest %s, want %s", f.Name, f.Digest, sha(f.Name))
		}
	}
	if len(got["s"]) != len(files) || last.Source != "s" || last.Fetching || last.Done != last.Total {
		t.Errorf("%d files, last event %+v", len(got["s"]), last)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := tree(t, map[string]string{"a": "one"})
	if _, err := Resolve(ctx, []pipelinefile.Source{src("s", dir, file("a"))}, &ledger{}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
}
