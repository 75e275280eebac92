// Package fault is the seam between the engine and the world: every change that the
// engine makes outside its own memory, and every look that its promises rest on, passes
// through Do or Bytes with a name. A program never sets an Injector; then each call
// costs one atomic load. Tests set one that fails, tears, forgets or kills at the n-th
// event, and then look whether the promises hold.
package fault

import "sync/atomic"

// Op names what is about to happen.
type Op string

// The boundaries. Path of the Event is the file, or what the comment says.
const (
	Open    Op = "open"    // of a file that exists, for reading or locking
	Create  Op = "create"  // of a file
	Read    Op = "read"    // of a whole file, or a directory's names
	Write   Op = "write"   // of some bytes; see the function Bytes
	Sync    Op = "sync"    // of a file's content
	SyncDir Op = "syncdir" // of a directory's names
	Close   Op = "close"   // of a file that was written
	Rename  Op = "rename"  // To is the new name
	Link    Op = "link"    // To is the new name
	Remove  Op = "remove"  // of a file or a tree
	Mkdir   Op = "mkdir"
	Chmod   Op = "chmod"
	Lock    Op = "lock"    // flock
	Begin   Op = "begin"   // of a ledger transaction; Path is the ledger
	Commit  Op = "commit"  // of a ledger transaction that need not outlive a power loss
	Durable Op = "durable" // of a ledger transaction that must
	Spawn   Op = "spawn"   // of a worker; Path is the program
	Send    Op = "send"    // of a message to a worker or from one, or a request to a server; see the function Bytes
	Receive Op = "receive"
	Signal  Op = "signal" // to a worker
)

// Event is one crossing of the boundary.
type Event struct {
	Op       Op
	Path, To string
}

// An Injector decides the fate of events. Its methods are called from any goroutine.
type Injector interface {
	// Do does the event by calling do, once, or does not and returns an error.
	Do(e Event, do func() error) error
	// Write does an event of writing p: all of it, a part, or nothing.
	Write(e Event, p []byte, do func([]byte) (int, error)) (int, error)
}

var injector atomic.Pointer[Injector]

// Inject sets the injector of this process; nil removes it. It is for tests.
func Inject(i Injector) {
	if i == nil {
		injector.Store(nil)
		return
	}
	injector.Store(&i)
}

// Do does an event.
func Do(op Op, path, to string, do func() error) error {
	i := injector.Load()
	if i == nil {
		return do()
	}
	return (*i).Do(Event{op, path, to}, do)
}

// Bytes does an event of writing p to a file (Write) or a pipe (Send).
func Bytes(op Op, path string, p []byte, do func([]byte) (int, error)) (int, error) {
	i := injector.Load()
	if i == nil {
		return do(p)
	}
	return (*i).Write(Event{Op: op, Path: path}, p, do)
}
