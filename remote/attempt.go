package remote

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"time"

	"gocloud.dev/gcerrors"
	"golang.org/x/sys/unix"
)

// final is an error that another attempt would not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// A request that moves n bytes may take patience + n/slowest. Without a bound a server
// that has stopped to answer would hold a run for ever.
const (
	patience = time.Minute
	slowest  = 128 << 10 // bytes a second
)

// attempt makes a request of about size bytes, when there is a slot for it, and makes it
// again, after pauses that grow, if it fails in a way that may pass.
func (r *Remote) attempt(ctx context.Context, size int64, request func(context.Context) error) error {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.slots }()
	pause := 200 * time.Millisecond
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, patience+time.Duration(size/slowest)*time.Second)
		err := request(bounded)
		cancel()
		if err == nil || n >= r.attempts || ctx.Err() != nil || !mayPass(err) {
			return err
		}
		// Some randomness, so that machines that failed together do not come back together.
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// mayPass says whether the same request may succeed later.
func mayPass(err error) bool {
	for _, e := range []error{fs.ErrPermission, unix.EROFS, unix.ENOSPC, unix.EDQUOT} {
		if errors.Is(err, e) {
			return false
		}
	}
	if errors.As(err, new(final)) {
		return false
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound, gcerrors.AlreadyExists, gcerrors.InvalidArgument, gcerrors.FailedPrecondition,
		gcerrors.PermissionDenied, gcerrors.Unimplemented:
		return false
	}
	switch code := status(err); code {
	case 0, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	default:
		return code >= 500 && code != http.StatusNotImplemented
	}
}

// status is the HTTP status that an error came with, or 0.
func status(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}
