// Package remote shares what parts made with other machines, through a bucket: S3 and
// what speaks like it, or a directory on a shared disk.
//
// The layout is that of the store, plus what the ledger knows:
//
//	objects/ab/cdef…   files by the sha256 of their content
//	actions/ab/cdef…   by key: an entry, what the ledger knows of the key
//	damaged/…          names of the above that a reader found to be wrong
//
// Objects are written before the entry that names them, and every byte that is read is
// hashed, so whatever happens to a push, or to the bucket, the worst is that a reader
// finds less than it could. Objects and entries are never changed, so any number of
// machines may push at once.
//
// What is not proven: that the part with a key makes what the entry says. Whoever may
// write to the bucket is believed, as whoever may write to the store is.
// docs/formats/remote.md describes the format for other programs.
package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ptbr-slm/pipeline/artifacts"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://
	_ "gocloud.dev/blob/s3blob"   // s3://
	"gocloud.dev/gcerrors"
)

// Options say how a Remote does its work. Zero means the default.
type Options struct {
	Parallel int // requests under way at a time; 32
	Attempts int // at a request that fails in a way that may pass; 5

	// Progress is told, by one goroutine at a time, how many bytes of objects have been
	// moved, and of how many; the latter grows as entries are read. It may be nil.
	Progress func(done, total int64)
}

// Remote is a bucket and the store that shares through it.
type Remote struct {
	bucket   *blob.Bucket
	store    *artifacts.Store
	name     string // of the bucket, for messages
	slots    chan struct{}
	parallel int
	attempts int

	progress    func(done, total int64)
	mu          sync.Mutex
	done, total int64 // bytes of objects

	there  sync.Once
	absent error // why the bucket cannot be used
}

// URLError says what is wrong with the URL of a bucket.
type URLError struct {
	URL, Problem string
}

func (e *URLError) Error() string { return fmt.Sprintf("remote %q: %s", e.URL, e.Problem) }

// Open names a bucket. It asks nothing of it yet: an error is one of the URL, a *URLError.
//
//	s3://BUCKET/FOLDER?region=R&endpoint=URL   credentials as AWS programs find them
//	file:///DIRECTORY
//
// Other parameters are those of gocloud.dev/blob/s3blob. With an endpoint the bucket is a
// part of the path and not of the host, unless use_path_style=false: so do MinIO and most
// servers that are not Amazon's.
func Open(ctx context.Context, address string, store *artifacts.Store, o Options) (*Remote, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, &URLError{address, "it is no URL: s3://BUCKET or file:///DIRECTORY is expected"}
	}
	if _, secret := u.User.Password(); secret {
		return nil, &URLError{u.Redacted(), "it has a password in it, which would end up in logs: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"}
	}
	bad := func(format string, args ...any) (*Remote, error) {
		return nil, &URLError{address, fmt.Sprintf(format, args...)}
	}
	folder := ""
	switch u.Scheme {
	case "s3":
		if u.Host == "" {
			return bad("it names no bucket: s3://BUCKET is expected")
		}
		folder = strings.Trim(u.Path, "/")
		q := u.Query()
		if e := q.Get("endpoint"); e != "" {
			if p, err := url.Parse(e); err != nil || p.Host == "" || p.Scheme != "http" && p.Scheme != "https" {
				return bad("endpoint=%s is no http or https URL", e)
			}
			if q.Get("use_path_style") == "" && q.Get("s3ForcePathStyle") == "" {
				q.Set("use_path_style", "true")
			}
			if q.Get("region") == "" && os.Getenv("AWS_REGION") == "" && os.Getenv("AWS_DEFAULT_REGION") == "" {
				q.Set("region", "us-east-1") // the one of servers that have no regions
			}
		}
		// We hash what arrives ourselves, and want to know what it was instead.
		if q.Get("response_checksum_validation") == "" {
			q.Set("response_checksum_validation", "when_required")
		}
		u.RawQuery = q.Encode()
	case "file":
		if u.Host != "" || !filepath.IsAbs(u.Path) {
			return bad("it must be file:// and an absolute path, so three slashes: file:///DIRECTORY")
		}
		// Files are written beside where they go, for a rename cannot leave a disk, and
		// without the side files in which gocloud keeps what we do not need.
		q := u.Query()
		q.Set("create_dir", "true")
		q.Set("no_tmp_dir", "true")
		q.Set("metadata", "skip")
		u.RawQuery = q.Encode()
	default:
		return bad("buckets are s3://BUCKET and file:///DIRECTORY")
	}
	bucket, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return bad("%v", err)
	}
	if folder != "" {
		bucket = blob.PrefixedBucket(bucket, folder+"/")
	}
	name, _, _ := strings.Cut(address, "?")
	return over(bucket, name, store, o), nil
}

func over(bucket *blob.Bucket, name string, store *artifacts.Store, o Options) *Remote {
	r := &Remote{bucket: bucket, store: store, name: name, parallel: o.Parallel, attempts: o.Attempts, progress: o.Progress}
	if r.parallel <= 0 {
		r.parallel = 32
	}
	if r.attempts <= 0 {
		r.attempts = 5
	}
	r.slots = make(chan struct{}, r.parallel)
	return r
}

// moved tells that there are expected more bytes to move, and that some were moved.
func (r *Remote) moved(expected, done int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total += expected
	r.done += done
	if r.progress != nil {
		r.progress(r.done, r.total)
	}
}

// Close ends the use of the bucket.
func (r *Remote) Close() error { return r.bucket.Close() }

// check finds out, once, whether the bucket is there. Without it a missing bucket would
// look like an empty one.
func (r *Remote) check(ctx context.Context) error {
	r.there.Do(func() {
		r.absent = r.attempt(ctx, 0, func(ctx context.Context) error {
			ok, err := r.bucket.IsAccessible(ctx)
			if err == nil && !ok {
				err = errNoBucket
			}
			return err
		})
		r.absent = r.advise("look for the bucket", r.absent)
	})
	return r.absent
}

var errNoBucket = final{errors.New("there is no such bucket: make it first, or correct the URL")}

// advise says what was being asked of which bucket, what came of it in a line, and for
// what a user can mend how.
func (r *Remote) advise(doing string, err error) error {
	if err == nil {
		return nil
	}
	remedy := ""
	switch text := err.Error(); {
	case gcerrors.Code(err) == gcerrors.PermissionDenied, status(err) == 401, status(err) == 403, strings.Contains(text, "get credentials"):
		remedy = ": check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE) and what they may do there"
	case strings.Contains(text, "Missing Region"), strings.Contains(text, "AuthorizationHeaderMalformed"), status(err) == 301:
		remedy = ": name the region: add region=REGION to the URL's parameters, or set AWS_REGION"
	}
	return &requestError{fmt.Sprintf("remote %s: %s: %s%s", r.name, doing, brief(err), remedy), err}
}

// requestError is an error of the bucket, in fewer words than its client makes of it.
type requestError struct {
	text string
	err  error
}

func (e *requestError) Error() string { return e.text }
func (e *requestError) Unwrap() error { return e.err }

// brief is what an error comes down to: what the server answered, or why nobody did.
func brief(err error) string {
	var answer interface {
		ErrorCode() string
		ErrorMessage() string
	}
	if errors.As(err, &answer) {
		return strings.TrimSuffix(strings.TrimSuffix(answer.ErrorCode()+": "+answer.ErrorMessage(), "."), ": ")
	}
	var refused *net.OpError
	if errors.As(err, &refused) {
		return refused.Error()
	}
	var f final
	if errors.As(err, &f) {
		return f.Error()
	}
	return strings.TrimPrefix(err.Error(), "blob (code=Unknown): ")
}

// Where things are. A digest and a key are 64 hex digits.
func objectName(digest string) string { return "objects/" + digest[:2] + "/" + digest[2:] }
func actionName(key string) string    { return "actions/" + key[:2] + "/" + key[2:] }
func damagedName(name string) string  { return damagedDir + name }

const damagedDir = "damaged/"
