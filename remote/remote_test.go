package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

func newStore(t *testing.T) *artifacts.Store {
	t.Helper()
	s, err := artifacts.Open(filepath.Join(t.TempDir(), "store"), artifacts.Options{CreateIfMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// make records n parts in a store, of which the i-th made two files, one of them its own
// and one that every third part makes too. It returns their keys.
func makeParts(t *testing.T, s *artifacts.Store, n int) (keys []string) {
	t.Helper()
	dir := t.TempDir()
	object := func(text string) artifacts.ManifestFile {
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		digest, size, err := artifacts.HashFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Publish([]artifacts.Staged{{Path: path, Digest: digest, Size: size}}); err != nil {
			t.Fatal(err)
		}
		return artifacts.ManifestFile{Digest: digest, Size: size}
	}
	for i := range n {
		config, list := `{"rule":"<a> & b"}`, fmt.Sprintf(`[["%064d"]]`, i)
		own, shared := object(fmt.Sprintf("part %d\n", i)), object(fmt.Sprintf("shared %d\n", i%3))
		own.Path, shared.Path = "docs/000000.txt", "docs/000001.txt"
		own.Stats = json.RawMessage(`{"documents":3}`)
		comps := fmt.Sprintf(`{"engine":1,"kind":"clean","version":2,"config":"%s","inputs":{"docs":{"count":17,"list":"%s"}},"seed":1}`,
			digestOf([]byte(config)), digestOf([]byte(list)))
		m := &artifacts.Manifest{Files: []artifacts.ManifestFile{own, shared}}
		artifact, err := s.PutManifest(m)
		if err != nil {
			t.Fatal(err)
		}
		key := digestOf([]byte(comps))
		err = s.Ledger().PutEntry(&artifacts.Entry{
			Action: &artifacts.Action{Key: key, Kind: "clean", Version: 2, Components: json.RawMessage(comps), Config: digestOf([]byte(config)),
				Outputs: m, Artifact: artifact, Seconds: 0.25, InputBytes: int64(i), Refusal: "too \"many\"\nwords", Counts: json.RawMessage(`{"counts":{}}`)},
			Texts:   map[string][]byte{digestOf([]byte(config)): []byte(config), digestOf([]byte(list)): []byte(list)},
			Metrics: []artifacts.Metric{{Name: "loss", Step: 1, Value: 0.1}, {Name: "loss", Step: 2, Value: math.NaN()}},
		})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func push(t *testing.T, r *Remote, keys []string) *Push {
	t.Helper()
	p, err := r.Compare(context.Background(), keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(context.Background()); err != nil {
		t.Fatal(err)
	}
	return p
}

// fetched is what Fetch said of keys.
type fetched struct {
	entries  map[string]*artifacts.Entry
	problems map[string]error
	unknown  []string
}

// fetch brings keys into the store of r and records them there, as a run does.
func fetch(t *testing.T, r *Remote, keys []string) fetched {
	t.Helper()
	f := fetched{entries: map[string]*artifacts.Entry{}, problems: map[string]error{}}
	var mu sync.Mutex
	dir := filepath.Join(t.TempDir(), "inbox")
	err := r.Fetch(context.Background(), dir, keys, func(key string, e *artifacts.Entry, problem error) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case e != nil:
			f.entries[key] = e
			return r.store.Ledger().PutEntry(e)
		case problem != nil:
			f.problems[key] = problem
		default:
			f.unknown = append(f.unknown, key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was fetched is still in %s", dir)
	}
	return f
}

// whole makes sure that a store has all that the keys made, byte for byte.
func whole(t *testing.T, s *artifacts.Store, keys []string) {
	t.Helper()
	actions, err := s.Ledger().Actions(keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		a := actions[k]
		if a == nil {
			t.Fatalf("key %.12s is not known", k)
		}
		if _, err := s.Manifest(a.Artifact); err != nil {
			t.Error(err)
		}
		for _, f := range a.Outputs.Files {
			if d, _, err := artifacts.HashFile(s.ObjectPath(f.Digest)); err != nil || d != f.Digest {
				t.Errorf("object %s: %s, %v", f.Digest, d, err)
			}
		}
	}
}

// buckets are the kinds of bucket that are here without a server.
func buckets(t *testing.T) map[string]func(*artifacts.Store) *Remote {
	mem := memblob.OpenBucket(nil)
	dir := t.TempDir()
	return map[string]func(*artifacts.Store) *Remote{
		"memory": func(s *artifacts.Store) *Remote { return over(mem, "mem://", s, Options{}) },
		"directory": func(s *artifacts.Store) *Remote {
			r, err := Open(context.Background(), "file://"+filepath.Join(dir, "not", "there yet"), s, Options{})
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
	}
}

// TestSharing holds that what one store pushed another can fetch, that nothing is sent
// twice, and that everything the ledger knew arrives.
func TestSharing(t *testing.T) {
	for name, open := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			from, to := newStore(t), newStore(t)
			keys := makeParts(t, from, 12)
			p := push(t, open(from), keys)
			if p.Entries != 12 || p.NewEntries != 12 || p.Objects != 15 || p.NewObjects != 15 || p.LeftOut != 0 || p.NewBytes != p.Bytes || p.Bytes == 0 {
				t.Errorf("first push: %+v", p)
			}
			if p := push(t, open(from), append(keys, keys[0], strings.Repeat("0", 64))); p.NewEntries != 0 || p.NewObjects != 0 || p.NewBytes != 0 || p.LeftOut != 1 {
				t.Errorf("second push: %+v", p)
			}
			unknown := strings.Repeat("f", 64)
			for _, ask := range [][]string{{keys[0], unknown}, append(keys, unknown)} { // one by one, then by listing
				f := fetch(t, open(to), ask)
				if len(f.entries) != len(ask)-1 || len(f.problems) != 0 || !slices.Equal(f.unknown, []string{unknown}) {
					t.Fatalf("fetched %d of %d, problems %v, unknown %v", len(f.entries), len(ask), f.problems, f.unknown)
				}
			}
			whole(t, to, keys)
			a, _ := from.Ledger().Actions(keys)
			b, _ := to.Ledger().Actions(keys)
			ma, _ := from.Ledger().KeyMetrics(keys)
			mb, err := to.Ledger().KeyMetrics(keys)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range keys {
				a[k].Created, b[k].Created = time.Time{}, time.Time{}
				if !reflect.DeepEqual(a[k], b[k]) {
					t.Errorf("sent\n%+v\narrived\n%+v", a[k], b[k])
				}
				if fmt.Sprint(ma[k]) != fmt.Sprint(mb[k]) {
					t.Errorf("sent metrics %v, arrived %v", ma[k], mb[k])
				}
				if len(mb[k]) != 2 || !math.IsNaN(mb[k][1].Value) {
					t.Errorf("metrics %v", mb[k])
				}
				if text, err := to.Ledger().Config(a[k].Config); err != nil || string(text) != `{"rule":"<a> & b"}` {
					t.Errorf("config %s, %v", text, err)
				}
			}
		})
	}
}

// TestDamage holds what becomes of everything that can be wrong with a bucket: it is a
// miss, said, and a push by who has it right mends it.
func TestDamage(t *testing.T) {
	ctx := context.Background()
	from := newStore(t)
	keys := makeParts(t, from, 3)
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, r *Remote, key string, a *artifacts.Action) (name string, text []byte) // nil: removed
		says   string
		marked bool
	}{
		{"a bit of an object flips", func(t *testing.T, r *Remote, key string, a *artifacts.Action) (string, []byte) {
			b, _ := os.ReadFile(r.store.ObjectPath(a.Outputs.Files[0].Digest))
			b[0] ^= 1
			return objectName(a.Outputs.Files[0].Digest), b
		}, "expected 7 bytes", true},
		{"an object is cut", func(t *testing.T, r *Remote, key string, a *artifacts.Action) (string, []byte) {
			return objectName(a.Outputs.Files[0].Digest), []byte("par")
		}, "found 3 bytes", true},
		{"an object grows", func(t *testing.T, r *Remote, key string, a *artifacts.Action) (string, []byte) {
			return objectName(a.Outputs.Files[0].Digest), make([]byte, 1<<20)
		}, "found 8 bytes", true}, // no more than one too many is read
		{"an object is lost", func(t *testing.T, r *Remote, key string, a *artifacts.Action) (string, []byte) {
			return objectName(a.Outputs.Files[0].Digest), nil
		}, "is not there", false},
		{"an entry is cut", func(t *testing.T, r *Remote, key string, a *artifacts.Action) (string, []byte) {
			b, _ := r.bucket.ReadAll(ctx, actionName(key))
			return actionName(key), b[:len(b)/2]
		}, "unexpected end", true},
		{"an entry is empty", func(t *testing.T, r *Remote, key string, a *artifacts.Action) (string, []byte) {
			return actionName(key), []byte{}
		}, "unexpected end", true},
		{"an entry is lost", func(t *testing.T, r *Remote, key string, a *artifacts.Action) (string, []byte) {
			return actionName(key), nil
		}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := newStore(t)
			mem := memblob.OpenBucket(nil)
			r, reader := over(mem, "mem://", from, Options{}), over(mem, "mem://", to, Options{})
			push(t, r, keys)
			actions, err := from.Ledger().Actions(keys)
			if err != nil {
				t.Fatal(err)
			}
			name, text := c.damage(t, r, keys[1], actions[keys[1]])
			if text == nil {
				err = mem.Delete(ctx, name)
			} else {
				err = mem.WriteAll(ctx, name, text, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			f := fetch(t, reader, keys)
			if len(f.entries) != 2 || f.entries[keys[1]] != nil {
				t.Errorf("fetched %d entries", len(f.entries))
			}
			if p := f.problems[keys[1]]; c.says == "" && p != nil || c.says != "" && (p == nil || !strings.Contains(p.Error(), c.says)) {
				t.Errorf("said %v, expected %q", p, c.says)
			}
			if known, _ := to.Ledger().Actions(keys[1:2]); len(known) > 0 {
				t.Error("the ledger knows the key all the same")
			}
			if marked, _ := mem.Exists(ctx, damagedName(name)); marked != c.marked {
				t.Errorf("marked as damaged: %v", marked)
			}
			if p := push(t, r, keys); p.NewObjects+p.NewEntries != 1 {
				t.Errorf("the push that mends sent %+v", p)
			}
			if marked, _ := mem.Exists(ctx, damagedName(name)); marked {
				t.Error("still marked as damaged")
			}
			if f := fetch(t, reader, keys); len(f.entries) != 3 {
				t.Errorf("after mending: %v", f.problems)
			}
			whole(t, to, keys)
		})
	}
}

// TestNewerFormat holds that an entry of a program to come is left alone: a miss, said,
// not taken for damage and not written over.
func TestNewerFormat(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	keys := makeParts(t, s, 2)
	r := over(memblob.OpenBucket(nil), "mem://", s, Options{})
	push(t, r, keys)
	newer := []byte(`{"format":2,"key":{"of":"another shape"}}`)
	if err := r.bucket.WriteAll(ctx, actionName(keys[0]), newer, nil); err != nil {
		t.Fatal(err)
	}
	f := fetch(t, over(r.bucket, "mem://", newStore(t), Options{}), keys)
	if p := f.problems[keys[0]]; len(f.entries) != 1 || !errors.Is(p, errNewer) {
		t.Errorf("fetched %d entries, problems %v", len(f.entries), f.problems)
	}
	if p := push(t, r, keys); p.NewEntries != 0 {
		t.Errorf("the next push sent %+v", p)
	}
	if b, err := r.bucket.ReadAll(ctx, actionName(keys[0])); err != nil || string(b) != string(newer) {
		t.Errorf("the entry is now %s, %v", b, err)
	}
}

// TestManyPushers holds that several machines may push the same and other things at once,
// while others fetch: nobody fails, and what is there in the end is whole.
func TestManyPushers(t *testing.T) {
	for name, open := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			const pushers, parts = 3, 15
			var g sync.WaitGroup
			var keys []string
			for i := range pushers {
				s := newStore(t)
				keys = makeParts(t, s, parts+i) // the first are the same in all
				g.Go(func() {
					p, err := open(s).Compare(context.Background(), keys, nil)
					if err == nil {
						err = p.Send(context.Background())
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			early := newStore(t)
			g.Go(func() { fetch(t, open(early), keys) })
			g.Wait()
			late := newStore(t)
			if f := fetch(t, open(late), keys); len(f.entries) != len(keys) {
				t.Errorf("fetched %d of %d: %v", len(f.entries), len(keys), f.problems)
			}
			whole(t, late, keys)
		})
	}
}

// TestOwnRot holds that a push never spreads an object that has gone bad in the own store.
func TestOwnRot(t *testing.T) {
	for name, open := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			keys := makeParts(t, s, 5)
			actions, _ := s.Ledger().Actions(keys)
			bad := actions[keys[2]].Outputs.Files[0].Digest
			if err := os.Chmod(s.ObjectPath(bad), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.ObjectPath(bad), []byte("PART 2\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			r := open(s)
			p, err := r.Compare(context.Background(), keys, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err = p.Send(context.Background()); err == nil || !strings.Contains(err.Error(), bad) {
				t.Errorf("pushed a bad object: %v", err)
			}
			f := fetch(t, open(newStore(t)), keys)
			if len(f.entries) != 4 || len(f.unknown) != 1 || f.unknown[0] != keys[2] {
				t.Errorf("%d entries, unknown %v", len(f.entries), f.unknown)
			}
			if there, _ := r.bucket.Exists(context.Background(), objectName(bad)); there {
				t.Error("the bad object is in the bucket")
			}
		})
	}
}

// TestDirectory holds that files on a shared disk are where other programs look for them,
// with nothing beside them, and readable by all whom the umask does not keep out.
func TestDirectory(t *testing.T) {
	s := newStore(t)
	keys := makeParts(t, s, 2)
	dir := filepath.Join(t.TempDir(), "shared disk")
	r, err := Open(context.Background(), "file://"+dir, s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	push(t, r, keys)
	n := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		rel, _ := filepath.Rel(dir, path)
		digest := strings.ReplaceAll(strings.TrimPrefix(rel, "objects/"), "/", "")
		if strings.HasPrefix(rel, "objects/") {
			if got, _, _ := artifacts.HashFile(path); got != digest {
				t.Errorf("%s hashes to %s", rel, got)
			}
		} else if !strings.HasPrefix(rel, "actions/") {
			t.Errorf("%s is in the way", rel)
		}
		return nil
	})
	if err != nil || n != 6 {
		t.Errorf("%d files, %v", n, err)
	}
}

func TestOpen(t *testing.T) {
	for _, c := range []struct{ url, says string }{
		{"/srv/shared", "s3://BUCKET and file:///DIRECTORY"},
		{"https://example.org/b", "s3://BUCKET and file:///DIRECTORY"},
		{"gs://bucket", "s3://BUCKET and file:///DIRECTORY"},
		{"mem://", "s3://BUCKET and file:///DIRECTORY"},
		{"file://shared/disk", "three slashes"},
		{"s3://", "names no bucket"},
		{"s3://b?endpoint=localhost:9000", "no http or https URL"},
		{"s3://b?regoin=x", "regoin"},
		{"s3://key:secret@b", "password"},
		{"%", "no URL"},
	} {
		_, err := Open(context.Background(), c.url, nil, Options{})
		var u *URLError
		if !errors.As(err, &u) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected a URLError with %q", c.url, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}

// TestAttempts holds that only what may pass is tried again, and not for ever.
func TestAttempts(t *testing.T) {
	r := over(nil, "", nil, Options{Attempts: 3})
	mem := memblob.OpenBucket(nil)
	_, notFound := mem.ReadAll(context.Background(), "x")
	for _, c := range []struct {
		name string
		err  error
		n    int
	}{
		{"unknown", errors.New("connection reset"), 3},
		{"overload", httpError(503), 3},
		{"too many requests", httpError(429), 3},
		{"a race of two writers", httpError(409), 3},
		{"forbidden", httpError(403), 1},
		{"not implemented", httpError(501), 1},
		{"not found", notFound, 1},
		{"not permitted on a shared disk", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}, 1},
		{"final", final{errors.New("wrong bytes")}, 1},
	} {
		n := 0
		err := r.attempt(context.Background(), 0, func(context.Context) error { n++; return c.err })
		if n != c.n || err != c.err {
			t.Errorf("%s: %d attempts, expected %d; %v", c.name, n, c.n, err)
		}
	}
	n := 0
	err := r.attempt(context.Background(), 0, func(context.Context) error {
		if n++; n < 3 {
			return httpError(500)
		}
		return nil
	})
	if err != nil || n != 3 {
		t.Errorf("one that passes: %d attempts, %v", n, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n = 0
	err = r.attempt(ctx, 0, func(context.Context) error { n++; cancel(); return httpError(500) })
	if err == nil || n != 1 {
		t.Errorf("interrupted: %d attempts, %v", n, err)
	}
}

type httpError int

func (e httpError) Error() string       { return fmt.Sprintf("status %d", int(e)) }
func (e httpError) HTTPStatusCode() int { return int(e) }

// TestAbandonedUpload holds that an upload that fails halfway leaves nothing under its name.
func TestAbandonedUpload(t *testing.T) {
	s := newStore(t)
	for name, open := range buckets(t) {
		r := open(s)
		r.attempts = 1
		halfway := errors.New("halfway")
		err := r.fill(context.Background(), "objects/aa/bb", 10, true, func(w io.Writer) error {
			w.Write([]byte("12345"))
			return halfway
		})
		if !errors.Is(err, halfway) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.bucket.Attributes(context.Background(), "objects/aa/bb"); gcerrors.Code(err) != gcerrors.NotFound {
			t.Errorf("%s: half an upload has its name: %v", name, err)
		}
		it := r.bucket.List(&blob.ListOptions{Prefix: "objects/aa"})
		if o, err := it.Next(context.Background()); err == nil {
			t.Errorf("%s: %s was left", name, o.Key)
		}
	}
}
