// Package source brings the sources of a pipeline to this machine and pins them: finds
// their files, fetches what is missing, and gives every file its digest.
package source

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// Memo remembers digests of files that have not changed since. The ledger is one.
type Memo interface {
	// SourceDigests gives the digests of files, in order; "" where it knows none.
	SourceDigests([]FileID) []string
	// RememberSources remembers digests that were taken just now.
	RememberSources(ids []FileID, digests []string) error
}

// Resolved is one file of a source.
type Resolved struct {
	stage.File        // Name, Origin "sources.NAME", Digest, Size
	Path       string // absolute
	ID         FileID

	// Absent, with Options.Offline only: the file is still to be fetched. Digest is
	// what the pipeline file declares, or empty; Size is -1.
	Absent bool
}

// Event is something to show while sources are resolved.
type Event struct {
	Source, Path string
	Fetching     bool  // else hashing
	Done, Total  int64 // bytes; Total is -1 when the server does not say
}

// Options say how sources are resolved.
type Options struct {
	Offline  bool        // fetch nothing: files to be fetched come out Absent
	Jobs     int         // files hashed at a time; 0: as many as CPUs
	Progress func(Event) // called from one goroutine at a time; may be nil
}

// fetches is how many files are fetched at a time: what the mirrors of Wikimedia's
// dumps ask of their users.
const fetches = 2

// entry is one file on its way to being resolved.
type entry struct {
	*Resolved // an element of the list that find gives
	source    string
	file      *pipelinefile.SourceFile
	fetched   string // its sha256 when it was just fetched, at the state Resolved.ID
	err       error
}

// Resolve gives the files of every source, by its name: the entries of the pipeline
// file in order, those of a directory or pattern sorted. The error joins everything
// that is wrong with any of them.
//
// Digests come from memo for files that look as they did when they were hashed. A
// file changed less than two seconds before it was hashed is not remembered, since a
// change within the same tick of the file system's clock would leave no trace.
func Resolve(ctx context.Context, srcs []pipelinefile.Source, memo Memo, o Options) (map[string][]Resolved, error) {
	return resolve(ctx, srcs, memo, o, newFetcher())
}

func resolve(ctx context.Context, srcs []pipelinefile.Source, memo Memo, o Options, f *fetcher) (map[string][]Resolved, error) {
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	if o.Progress != nil {
		var mu sync.Mutex
		show := o.Progress
		o.Progress = func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			show(e)
		}
	} else {
		o.Progress = func(Event) {}
	}

	var all []*entry
	out := map[string][]Resolved{}
	for _, src := range srcs {
		names := map[string]string{}
		for i := range src.Files {
			found, list := find(src.Name, &src.Files[i], o.Offline)
			if len(src.Files) == 1 { // names in one directory differ
				all, out[src.Name] = append(all, found...), list
				break
			}
			for _, e := range found {
				if first, twice := names[e.Name]; twice && e.err == nil {
					e.err = fmt.Errorf("%s and %s are both called %s in this source; name the directory above them, or a pattern, to tell them apart", first, e.Path, e.Name)
				}
				names[e.Name] = e.Path
				all = append(all, e)
			}
		}
	}
	fetchMissing(ctx, all, f, o)
	hashAll(ctx, all, memo, o)
	if err := ctx.Err(); err != nil {
		return nil, err
	}

	var problems []error
	for _, e := range all {
		if e.err != nil {
			problems = append(problems, fmt.Errorf("%s: source `%s`: %w", e.file.Pos, e.source, e.err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	for _, src := range srcs {
		if len(src.Files) > 1 {
			out[src.Name] = gather(src.Name, all)
		}
	}
	return out, nil
}

// fetchMissing downloads what find did not find. A file that several entries name is
// fetched once.
func fetchMissing(ctx context.Context, all []*entry, f *fetcher, o Options) {
	if o.Offline {
		return
	}
	byPath := map[string][]*entry{}
	var paths []string
	for _, e := range all {
		if e.err == nil && e.Absent {
			if byPath[e.Path] == nil {
				paths = append(paths, e.Path)
			}
			byPath[e.Path] = append(byPath[e.Path], e)
		}
	}
	var g errgroup.Group
	g.SetLimit(fetches)
	for _, path := range paths {
		same := byPath[path]
		g.Go(func() error {
			digest, err := f.fetch(ctx, *same[0].file, func(done, total int64) {
				o.Progress(Event{Source: same[0].source, Path: path, Fetching: true, Done: done, Total: total})
			})
			for _, e := range same {
				e.Absent, e.fetched, e.err = false, digest, err
				if err == nil {
					e.ID, e.err = Identify(path)
				}
			}
			return nil
		})
	}
	g.Wait()
}

// hashAll gives every entry its digest, and holds it against the declared ones.
func hashAll(ctx context.Context, all []*entry, memo Memo, o Options) {
	identifyAll(all, o.Jobs)
	here, ids := make([]*entry, 0, len(all)), make([]FileID, 0, len(all))
	for _, e := range all {
		if e.err == nil && !e.Absent && e.fetched == "" {
			here, ids = append(here, e), append(ids, e.ID)
		}
	}
	known := memo.SourceDigests(ids)
	var g errgroup.Group
	g.SetLimit(o.Jobs)
	l := &learned{memo: memo}
	for i, e := range here {
		if known[i] != "" {
			e.Digest = known[i]
			e.err = e.check("")
			continue
		}
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			began := time.Now()
			sums, id, err := hashFile(ctx, e.Path, func(done, total int64) {
				o.Progress(Event{Source: e.source, Path: e.Path, Done: done, Total: total})
			})
			if err != nil {
				e.err = err
				return nil
			}
			e.ID, e.Size, e.Digest = id, id.Size, sums.sha256
			if e.err = e.check(sums.sha1); e.err == nil && id.settled(began) {
				e.err = l.add(id, e.Digest)
			}
			return nil
		})
	}
	g.Wait()
	if err := l.flush(); err != nil && len(here) > 0 {
		here[0].err = errors.Join(here[0].err, err)
	}
}

// identifyAll looks at all files, and at those once more that were just fetched: they may
// have been replaced meanwhile.
func identifyAll(all []*entry, jobs int) {
	const together = 256
	var g errgroup.Group
	g.SetLimit(jobs)
	for chunk := range slices.Chunk(all, together) {
		g.Go(func() error {
			for _, e := range chunk {
				if e.err == nil && !e.Absent {
					e.err = e.identify()
				}
				if e.err == nil && e.fetched != "" {
					e.Digest = e.fetched
				}
			}
			return nil
		})
	}
	g.Wait()
}

// learned is digests on their way into the memo: some hundreds of small files at a time,
// one large file at once, so that little is hashed again after a kill.
type learned struct {
	memo    Memo
	mu      sync.Mutex
	ids     []FileID
	digests []string
	bytes   int64
}

func (l *learned) add(id FileID, digest string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids, l.digests = append(l.ids, id), append(l.digests, digest)
	if l.bytes += id.Size; len(l.ids) < 512 && l.bytes < 64<<20 {
		return nil
	}
	return l.put()
}

func (l *learned) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.put()
}

func (l *learned) put() error {
	if len(l.ids) == 0 {
		return nil
	}
	err := l.memo.RememberSources(l.ids, l.digests)
	l.ids, l.digests, l.bytes = nil, nil, 0
	if err != nil {
		return fmt.Errorf("remember the digests of sources: %w", err)
	}
	return nil
}

// identify looks at the file once more, unless it was just fetched: it may have been
// replaced meanwhile.
func (e *entry) identify() (err error) {
	id, err := Identify(e.Path)
	if err != nil {
		return err
	}
	if e.fetched != "" && id != e.ID {
		e.fetched = ""
	}
	e.ID, e.Size = id, id.Size
	return nil
}

// check holds the digests against the declared ones. sha1 is empty when the file was
// not read: it was held against the declared one when it was.
func (e *entry) check(sha1 string) error {
	advice := "put the right file there, or declare the digest it has"
	if e.file.URL != "" {
		advice = "delete it to have it fetched again, or declare the digest it has"
	}
	if want := e.file.SHA256; want != "" && e.Digest != want {
		return fmt.Errorf("%s has sha256 %s, but the pipeline file declares %s; %s", e.Path, e.Digest, want, advice)
	}
	if want := e.file.SHA1; want != "" && sha1 != "" && sha1 != want {
		return fmt.Errorf("%s has sha1 %s, but the pipeline file declares %s; %s", e.Path, sha1, want, advice)
	}
	return nil
}

// newEntries are entries for files, by their names below a directory that ends in a slash.
func newEntries(source string, file *pipelinefile.SourceFile, root string, names []string) ([]*entry, []Resolved) {
	all, entries, list := make([]*entry, len(names)), make([]entry, len(names)), make([]Resolved, len(names))
	origin := "sources." + source
	for i, name := range names {
		list[i].File = stage.File{Name: filepath.ToSlash(name), Origin: origin}
		list[i].Path = root + filepath.FromSlash(name)
		entries[i] = entry{Resolved: &list[i], source: source, file: file}
		all[i] = &entries[i]
	}
	return all, list
}

// gather lists the files of a source that has several entries in the pipeline file.
func gather(source string, all []*entry) (list []Resolved) {
	for _, e := range all {
		if e.source == source {
			list = append(list, *e.Resolved)
		}
	}
	return list
}
