package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
	"golang.org/x/sync/errgroup"
)

// Push is what there is to push, as far as the bucket lacks it.
type Push struct {
	Entries int   `json:"entries"` // keys with all they made, to be found in the bucket afterwards
	Objects int   `json:"objects"` // files that they made, each content once
	Bytes   int64 `json:"bytes"`   // of the objects

	NewEntries int   `json:"new_entries"` // those that are not there yet, or damaged
	NewObjects int   `json:"new_objects"`
	NewBytes   int64 `json:"new_bytes"`

	// LeftOut is the keys that were asked for and cannot be shared: the ledger or the
	// store has lost what they made. Running the pipeline makes it again.
	LeftOut int `json:"left_out"`

	r       *Remote
	actions map[string]*artifacts.Action
	sizes   map[string]int64 // of objects, manifests too, by digest

	damaged    map[string]bool // names that a reader found wrong, or that have the wrong size
	newObjects []string        // digests
	newEntries []string        // keys
}

// Compare finds out what the bucket lacks of what the parts with these keys made, and of
// the artifacts with these digests, whose files must be among that. It changes nothing.
func (r *Remote) Compare(ctx context.Context, keys, manifests []string) (*Push, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	p := &Push{r: r, sizes: map[string]int64{}, damaged: map[string]bool{}}
	if err := p.gather(keys, manifests); err != nil {
		return nil, err
	}
	if err := p.compare(ctx); err != nil {
		return nil, r.advise("look what is there", err)
	}
	return p, nil
}

// gather finds out what there is to share, and leaves out what is not whole.
func (p *Push) gather(keys, manifests []string) error {
	actions, err := p.r.store.Ledger().Actions(keys)
	if err != nil {
		return err
	}
	p.actions = actions
	for key, a := range actions {
		whole := true
		for _, f := range a.Outputs.Files {
			whole = whole && p.r.store.Has(f.Digest, f.Size)
		}
		if !whole {
			delete(actions, key)
			continue
		}
		for _, f := range a.Outputs.Files {
			p.sizes[f.Digest] = f.Size
		}
	}
	asked := slices.Compact(slices.Sorted(slices.Values(keys)))
	p.Entries, p.LeftOut = len(actions), len(asked)-len(actions)
	for _, digest := range manifests {
		info, err := os.Stat(p.r.store.ObjectPath(digest))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a later run lists it again
		}
		if err != nil {
			return err
		}
		p.sizes[digest] = info.Size()
	}
	p.Objects = len(p.sizes)
	for _, size := range p.sizes {
		p.Bytes += size
	}
	return nil
}

// compare finds out what of it the bucket lacks.
func (p *Push) compare(ctx context.Context) error {
	err := p.r.list(ctx, damagedDir, func(name string, _ int64) { p.damaged[strings.TrimPrefix(name, damagedDir)] = true })
	if err != nil {
		return err
	}
	var names []string
	for digest := range p.sizes {
		names = append(names, objectName(digest))
	}
	for key := range p.actions {
		names = append(names, actionName(key))
	}
	there, err := p.r.sizes(ctx, names)
	if err != nil {
		return err
	}
	for _, digest := range slices.Sorted(maps.Keys(p.sizes)) {
		name := objectName(digest)
		if size, ok := there[name]; ok && size != p.sizes[digest] {
			p.damaged[name] = true
		} else if ok && !p.damaged[name] {
			continue
		}
		p.newObjects = append(p.newObjects, digest)
		p.NewBytes += p.sizes[digest]
	}
	for _, key := range slices.Sorted(maps.Keys(p.actions)) {
		if _, ok := there[actionName(key)]; !ok || p.damaged[actionName(key)] {
			p.newEntries = append(p.newEntries, key)
		}
	}
	p.NewObjects, p.NewEntries = len(p.newObjects), len(p.newEntries)
	return nil
}

// Send sends what the bucket lacks: objects, then entries. Stopped at any point, another
// push goes on where it was. Objects are hashed on their way: one that is not what its
// name says never gets a name in the bucket.
func (p *Push) Send(ctx context.Context) error {
	p.r.moved(p.NewBytes, 0)
	var mu sync.Mutex
	var rotten []string
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.r.parallel)
	for _, digest := range p.newObjects {
		g.Go(func() error {
			err := p.object(gctx, digest)
			if errors.Is(err, errRotten) {
				mu.Lock()
				rotten = append(rotten, digest)
				mu.Unlock()
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return p.r.advise("push", err)
	}
	bad := map[string]bool{}
	for _, digest := range rotten {
		bad[digest] = true
	}
	g, gctx = errgroup.WithContext(ctx)
	g.SetLimit(p.r.parallel)
	for together := range slices.Chunk(p.newEntries, 256) {
		entries, err := p.whole(together)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		for _, e := range entries {
			if slices.ContainsFunc(e.Action.Outputs.Files, func(f artifacts.ManifestFile) bool { return bad[f.Digest] }) {
				continue
			}
			g.Go(func() error {
				text, err := encode(e)
				if err != nil {
					return fmt.Errorf("entry of key %s: %w", e.Action.Key, err)
				}
				return p.put(gctx, actionName(e.Action.Key), text)
			})
		}
	}
	if err := g.Wait(); err != nil {
		return p.r.advise("push", err)
	}
	if len(rotten) > 0 {
		return fmt.Errorf("objects of this store are not what their names say, and were not pushed, nor what needs them: %d, the first is %s; `pipeline verify` moves them aside, `pipeline run` makes them again",
			len(rotten), rotten[0])
	}
	return nil
}

// whole adds to actions what else the ledger knows of their keys.
func (p *Push) whole(keys []string) ([]*artifacts.Entry, error) {
	metrics, err := p.r.store.Ledger().KeyMetrics(keys)
	if err != nil {
		return nil, err
	}
	entries := make([]*artifacts.Entry, len(keys))
	for i, key := range keys {
		a := p.actions[key]
		e := &artifacts.Entry{Action: a, Metrics: metrics[key], Texts: map[string][]byte{}}
		c, err := parseComponents(string(a.Components))
		if err != nil {
			return nil, fmt.Errorf("ledger: key %s: %w", key, err)
		}
		for _, digest := range c.texts() {
			if e.Texts[digest], err = p.r.store.Ledger().Config(digest); err != nil {
				return nil, err
			}
		}
		entries[i] = e
	}
	return entries, nil
}

// errRotten is an object of the own store that does not hash to its name.
var errRotten = errors.New("it does not hash to its name")

// object sends one object.
func (p *Push) object(ctx context.Context, digest string) error {
	f, err := disk.Open(p.r.store.ObjectPath(digest))
	if err != nil {
		return err
	}
	defer f.Close()
	name, size := objectName(digest), p.sizes[digest]
	err = p.create(ctx, name, size, func(w io.Writer) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return final{err}
		}
		h := sha256.New()
		if _, err := io.Copy(w, io.TeeReader(f, h)); err != nil {
			return err
		}
		if hex.EncodeToString(h.Sum(nil)) != digest {
			return final{errRotten}
		}
		return nil
	})
	if err == nil {
		p.r.moved(0, size)
	}
	return err
}

// put writes a small thing.
func (p *Push) put(ctx context.Context, name string, text []byte) error {
	return p.create(ctx, name, int64(len(text)), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// create writes what is not there yet, or what is there and damaged.
func (p *Push) create(ctx context.Context, name string, size int64, fill func(io.Writer) error) error {
	mend := p.damaged[name]
	if err := p.r.fill(ctx, name, size, !mend, fill); err != nil || !mend {
		return err
	}
	// It is whole again, whether or not the mark can be taken away.
	_ = p.r.attempt(ctx, 0, func(ctx context.Context) error { return p.r.bucket.Delete(ctx, damagedName(name)) })
	return nil
}

// partBytes is the size of the pieces in which large objects are sent, two at a time.
const partBytes = 8 << 20

// maxParts is how many pieces S3 allows, with some room.
const maxParts = 9000

// mark tells whoever pushes next that what has this name is damaged. It may fail, where
// we may only read.
func (r *Remote) mark(ctx context.Context, name string) {
	_ = r.fill(ctx, damagedName(name), 0, false, func(io.Writer) error { return nil })
}

// fill writes something under a name, whole or not at all. ifAbsent leaves alone what is
// there already, which another machine has just put there: the same.
func (r *Remote) fill(ctx context.Context, name string, size int64, ifAbsent bool, fill func(io.Writer) error) error {
	return r.attempt(ctx, size, func(ctx context.Context) error {
		err := r.fillOnce(ctx, name, size, ifAbsent, fill)
		if ifAbsent && (gcerrors.Code(err) == gcerrors.Unimplemented || status(err) == 501) {
			err = r.fillOnce(ctx, name, size, false, fill) // a server that knows no conditions
		}
		if ifAbsent && gcerrors.Code(err) == gcerrors.FailedPrecondition {
			return nil
		}
		return err
	})
}

func (r *Remote) fillOnce(ctx context.Context, name string, size int64, ifAbsent bool, fill func(io.Writer) error) error {
	ctx, abandon := context.WithCancel(ctx)
	defer abandon()
	var file *os.File // where the bucket is a directory
	w, err := r.bucket.NewWriter(ctx, name, &blob.WriterOptions{ContentType: "application/octet-stream", DisableContentTypeDetection: true,
		BufferSize: max(partBytes, int(size/maxParts)), MaxConcurrency: 2, IfNotExist: ifAbsent,
		BeforeWrite: func(as func(any) bool) error { as(&file); return nil }})
	if err != nil {
		return err
	}
	err = fill(w)
	if err == nil && file != nil {
		err = file.Sync()
	}
	if err != nil {
		abandon() // or Close would make it visible
		w.Close()
		return err
	}
	return w.Close()
}
