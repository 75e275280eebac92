package executor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
)

// StopGrace is how long a worker that was asked to stop may take to reach a checkpoint.
const StopGrace = 30 * time.Second

// longestLine bounds a message: the outputs of a part with a million files fit.
const longestLine = 256 << 20

// Client is the coordinator's end of one worker.
//
// A worker may be stuck in any place: it does not read, it does not write, its stdout is
// held open by a process that it started. Nothing here waits for it longer than Do's
// context and grace allow.
type Client struct {
	stdin    io.WriteCloser
	requests chan request
	replies  chan reply
	sendErr  chan error // at most one
	closing  sync.Once
	closed   chan struct{}
	broken   error // why replies is closed, if not because stdout ended
}

// NewClient speaks to a worker over its stdin, which Close closes, and its stdout, which
// is closed when nothing more comes from it.
func NewClient(stdin io.WriteCloser, stdout io.ReadCloser) *Client {
	c := &Client{stdin: stdin, requests: make(chan request, 4), replies: make(chan reply, 16), sendErr: make(chan error, 1), closed: make(chan struct{})}
	go c.write()
	go c.read(stdout)
	return c
}

// write sends requests on. A pipe that the worker does not empty blocks this goroutine
// alone, and until Close at the longest.
func (c *Client) write() {
	for {
		select {
		case r := <-c.requests:
			if err := send("worker", c.stdin, r); err != nil {
				c.sendErr <- err
				return
			}
		case <-c.closed:
			return
		}
	}
}

func (c *Client) read(stdout io.ReadCloser) {
	defer stdout.Close()
	defer close(c.replies)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(make([]byte, 64<<10), longestLine)
	for {
		var r reply
		err := fault.Do(fault.Receive, "worker", "", func() error {
			if !lines.Scan() {
				return errors.Join(lines.Err(), io.EOF)
			}
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				c.broken = fmt.Errorf("it wrote %.80q where a message belongs (%w)", lines.Bytes(), ErrGone)
				return c.broken
			}
			return nil
		})
		if err != nil {
			return
		}
		select {
		case c.replies <- r:
		case <-c.closed:
			return
		}
	}
}

// Close closes the worker's stdin, which ends a worker that is well.
func (c *Client) Close() error {
	err := error(nil)
	c.closing.Do(func() {
		close(c.closed)
		err = c.stdin.Close()
	})
	return err
}

// ErrGone says that the worker closed its stdout, or wrote there what no worker writes.
var ErrGone = errors.New("the worker is gone")

// errStuck says that a worker did not stop when asked to.
var errStuck = errors.New("the worker did not stop in time")

// Do sends a job and waits for its end. When ctx ends it asks the worker to stop, and
// waits for grace.
func (c *Client) Do(ctx context.Context, j Job, grace time.Duration, l Listener) (*Result, error) {
	c.requests <- request{Do: &j} // there is room: no more than this and a stop are under way
	stop := ctx.Done()
	var late <-chan time.Time
	for {
		select {
		case r, ok := <-c.replies:
			switch {
			case !ok && c.broken != nil:
				return nil, c.broken
			case !ok:
				return nil, ErrGone
			case r.Progress != nil:
				l.Progress(*r.Progress)
			case r.Metric != nil:
				l.Metric(*r.Metric)
			case r.Done != nil:
				return r.Done, nil
			case r.Stopped:
				return nil, ErrStopped
			case r.Error != "":
				return nil, &PartError{Message: r.Error, Tail: r.Tail}
			default:
				return nil, fmt.Errorf("it wrote a message that says nothing (%w)", ErrGone)
			}
		case <-c.sendErr:
			return nil, ErrGone
		case <-stop:
			stop = nil
			c.requests <- request{Stop: true}
			t := time.NewTimer(grace)
			defer t.Stop()
			late = t.C
		case <-late:
			return nil, fmt.Errorf("%w (%s)", errStuck, grace)
		}
	}
}
