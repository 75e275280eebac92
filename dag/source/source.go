// Package source brings the sources of a pipeline to this machine and pins them: finds
// their files, downloads what is missing, and gives every file its digest.
package source

import (
	"context"

	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// FileID tells one state of a file on this machine from any other, without reading it.
type FileID struct {
	Device, Inode              uint64
	Size, ModifiedNS, ChangeNS int64 // bytes; Unix nanoseconds of mtime and ctime
}

// Memo remembers digests of files that have not changed since. The ledger is one.
type Memo interface {
	SourceDigest(FileID) (sha256 string, ok bool)
	RememberSource(id FileID, sha256 string) error
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

// Resolve gives the files of every source, by its name, in listing order. The error
// joins everything that is wrong with any of them.
func Resolve(ctx context.Context, srcs []pipelinefile.Source, memo Memo, o Options) (map[string][]Resolved, error) {
	return nil, ctx.Err()
}
