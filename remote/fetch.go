package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"gocloud.dev/gcerrors"
	"golang.org/x/sync/errgroup"
)

// wrong is what was found at a name that should hold something else. The name is marked
// in the bucket, for a push to mend it.
type wrong struct {
	name string
	err  error
}

func (w *wrong) Error() string { return w.name + ": " + w.err.Error() }
func (w *wrong) Unwrap() error { return w.err }

// missing is an object that an entry names and the bucket does not have.
type missing struct{ name string }

func (m *missing) Error() string { return m.name + " is not there" }

// Fetch asks the bucket for keys and brings what their parts made into the store. It
// calls take once for each key that the bucket has an answer for, from several goroutines
// at once: with the entry when all its objects are in the store, durable; with neither
// when the bucket does not know the key; with a problem when what the bucket has cannot
// be used, which counts as not knowing it. An error that take returns says that the entry
// is not sound after all.
//
// Files on their way are in dir, which Fetch makes and removes. An error of Fetch itself
// is of the bucket, of the store, or ctx's: the keys that take was not called for are open.
func (r *Remote) Fetch(ctx context.Context, dir string, keys []string, take func(key string, e *artifacts.Entry, problem error) error) (err error) {
	if err := r.check(ctx); err != nil {
		return err
	}
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make room for what is fetched: %w", err)
	}
	defer func() { err = errors.Join(err, disk.RemoveAll(dir)) }()
	if keys, err = r.known(ctx, keys, take); err != nil {
		return r.advise("look up keys", err)
	}
	in := &inbox{Remote: r, dir: dir}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.parallel)
	for _, key := range keys {
		g.Go(func() error {
			e, err := in.entry(ctx, key)
			if gcerrors.Code(err) == gcerrors.NotFound {
				return take(key, nil, nil)
			}
			if err == nil {
				if err = take(key, e, nil); err == nil {
					return nil
				}
				err = &wrong{actionName(key), err}
			}
			var w *wrong
			switch {
			case errors.As(err, &w):
				r.mark(ctx, w.name)
			case errors.As(err, new(*missing)), errors.Is(err, errNewer):
			default:
				return r.advise("fetch", err)
			}
			return take(key, nil, fmt.Errorf("remote %s: what it has of key %.12s is not used: %w", r.name, key, err))
		})
	}
	return g.Wait()
}

// known leaves of the keys those that the bucket may know, and tells take of the others.
func (r *Remote) known(ctx context.Context, keys []string, take func(string, *artifacts.Entry, error) error) (rest []string, err error) {
	if len(keys) <= fewAsked {
		return keys, nil // asking for the entries themselves says as much
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = actionName(k)
	}
	there, err := r.sizes(ctx, names)
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		if _, ok := there[names[i]]; ok {
			rest = append(rest, k)
		} else if err := take(k, nil, nil); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// inbox is the directory of one Fetch.
type inbox struct {
	*Remote
	dir string
	n   atomic.Int64 // files made in it
}

// entry brings the entry of a key, and its objects into the store.
func (in *inbox) entry(ctx context.Context, key string) (*artifacts.Entry, error) {
	var text []byte
	name := actionName(key)
	err := in.attempt(ctx, 0, func(ctx context.Context) error {
		f, err := in.bucket.NewReader(ctx, name, nil)
		if err != nil {
			return err
		}
		defer f.Close()
		text, err = io.ReadAll(io.LimitReader(f, maxEntry+1))
		return err
	})
	if err != nil {
		return nil, err
	}
	e, err := decode(key, text)
	switch {
	case errors.Is(err, errNewer):
		return nil, err
	case err != nil:
		return nil, &wrong{name, err}
	}
	files := map[string]int64{}
	for _, f := range e.Action.Outputs.Files {
		if size, twice := files[f.Digest]; twice && size != f.Size {
			return nil, &wrong{name, fmt.Errorf("it gives object %s two sizes", f.Digest)}
		}
		files[f.Digest] = f.Size
	}
	var staged []artifacts.Staged
	for digest, size := range files {
		if !in.store.Has(digest, size) {
			staged = append(staged, artifacts.Staged{Digest: digest, Size: size})
			in.moved(size, 0)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(in.parallel)
	for i := range staged {
		g.Go(func() error { return in.object(gctx, &staged[i]) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := in.store.Publish(staged); err != nil {
		return nil, final{err}
	}
	if _, err := in.store.PutManifest(e.Action.Outputs); err != nil {
		return nil, final{err}
	}
	return e, nil
}

// object brings one object into the inbox, hashed and flushed.
func (in *inbox) object(ctx context.Context, s *artifacts.Staged) error {
	name := objectName(s.Digest)
	return in.attempt(ctx, s.Size, func(ctx context.Context) error {
		f, err := in.bucket.NewReader(ctx, name, nil)
		if gcerrors.Code(err) == gcerrors.NotFound {
			return final{&missing{name}}
		}
		if err != nil {
			return err
		}
		defer f.Close()
		path := filepath.Join(in.dir, strconv.FormatInt(in.n.Add(1), 10))
		w, err := artifacts.NewWriter(path)
		if err != nil {
			return final{err}
		}
		// No more than was announced: a bucket cannot fill this disk.
		_, err = io.Copy(w, io.LimitReader(f, s.Size+1))
		if e := w.Close(); e != nil {
			return final{e}
		}
		if err == nil && (w.Size() != s.Size || w.Digest() != s.Digest) {
			err = final{&wrong{name, fmt.Errorf("found %d bytes that hash to %s, expected %d bytes", w.Size(), w.Digest(), s.Size)}}
		}
		if err != nil {
			_ = disk.Remove(path) // else it goes with the directory
			return err
		}
		s.Path = path
		in.moved(0, s.Size)
		return nil
	})
}
