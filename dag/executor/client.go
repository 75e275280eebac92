package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts/fault"
)

// StopGrace is how long a worker that was asked to stop may take to reach a checkpoint.
const StopGrace = 30 * time.Second

// Client is the coordinator's end of one worker.
type Client struct {
	stdin   io.Writer
	replies chan reply
}

// NewClient speaks to a worker over its stdin and stdout.
func NewClient(stdin io.Writer, stdout io.Reader) *Client {
	c := &Client{stdin: stdin, replies: make(chan reply, 16)}
	go func() {
		defer close(c.replies)
		dec := json.NewDecoder(stdout)
		for {
			var r reply
			if fault.Do(fault.Receive, "worker", "", func() error { return dec.Decode(&r) }) != nil {
				return
			}
			c.replies <- r
		}
	}()
	return c
}

func (c *Client) send(r request) error { return send("worker", c.stdin, r) }

// ErrGone says that the worker closed its stdout.
var ErrGone = errors.New("the worker is gone")

// errStuck says that a worker did not stop when asked to.
var errStuck = errors.New("the worker did not stop in time")

// Do sends a job and waits for its end.
func (c *Client) Do(ctx context.Context, j Job, l Listener) (*Result, error) {
	if err := c.send(request{Do: &j}); err != nil {
		return nil, ErrGone
	}
	stop := ctx.Done()
	var late <-chan time.Time
	for {
		select {
		case r, ok := <-c.replies:
			switch {
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
			default:
				return nil, &PartError{Message: r.Error, Tail: r.Tail}
			}
		case <-stop:
			stop = nil
			if err := c.send(request{Stop: true}); err != nil {
				return nil, ErrGone
			}
			t := time.NewTimer(StopGrace)
			defer t.Stop()
			late = t.C
		case <-late:
			return nil, fmt.Errorf("%w (%s)", errStuck, StopGrace)
		}
	}
}
