package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/artifacts/fault"
	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
)

// fetcher downloads files so that no interruption costs more than a few megabytes.
// What has come in stands in PATH.part; PATH.part.json says which version of the file
// that is and how much of it is safe on the disk. The name PATH itself appears when
// the file is whole, checked and flushed.
type fetcher struct {
	client *http.Client
	pause  func(failures int) time.Duration // before another attempt
	stall  time.Duration                    // without a byte: the connection is given up
}

const (
	userAgent   = "ptbr-slm-pipeline/1 (+https://github.com/ptbr-slm/pipeline)"
	maxFailures = 4        // in a row, without a byte gained
	maxAttempts = 200      // in all
	syncEvery   = 16 << 20 // bytes

	maxRedirects = 10
)

func newFetcher() *fetcher {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = time.Minute
	return &fetcher{
		client: &http.Client{Transport: t},
		pause:  func(failures int) time.Duration { return time.Second << failures },
		stall:  time.Minute,
	}
}

// partial is what PATH.part.json says of PATH.part.
type partial struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last-modified,omitempty"`
	Bytes        int64  `json:"bytes"` // flushed to the disk
}

// passing is an error that another attempt may not meet.
type passing struct{ error }

func (p passing) Unwrap() error { return p.error }

// fetch downloads a file to file.Abs and gives its sha256, which is empty when another
// run has brought the file meanwhile.
func (f *fetcher) fetch(ctx context.Context, file pipelinefile.SourceFile, progress func(done, total int64)) (digest string, err error) {
	u, err := url.Parse(file.URL)
	if err != nil {
		return "", err
	}
	if err := safe(u, nil); err != nil {
		return "", err
	}
	if file.SHA256 == "" && file.SHA1 == "" && !file.Trust {
		return "", fmt.Errorf("%s has no digest to be held against; declare its sha256, or `trust: true`", shown(u))
	}
	if err := disk.MkdirAll(filepath.Dir(file.Abs), 0o755); err != nil {
		return "", err
	}
	// Where PATH.part is a link it is somebody else's, and leads anywhere.
	part, err := disk.OpenFile(file.Abs+".part", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return "", err
	}
	defer part.Close()
	if err := lock(ctx, part); err != nil {
		return "", err
	}
	if _, err := os.Stat(file.Abs); err == nil { // another run was faster
		if still, e := sameFile(part, file.Abs+".part"); e == nil && still {
			disk.Remove(file.Abs + ".part")
		}
		return "", nil
	}
	if still, err := sameFile(part, file.Abs+".part"); err != nil || !still {
		return "", fmt.Errorf("another run took %s.part away; run again", file.Abs)
	}

	client := *f.client
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return refuse("more than %d redirects", maxRedirects)
		}
		return safe(req.URL, via[len(via)-1].URL)
	}
	failures := 0
	for attempt := 1; ; attempt++ {
		before, _ := part.Seek(0, io.SeekEnd)
		err := f.attempt(ctx, &client, file, part, progress)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		after, _ := part.Seek(0, io.SeekEnd)
		if failures++; after > before {
			failures = 0
		}
		offline := attempt == 1 && unreachable(err)
		if offline || !errors.As(err, new(passing)) || failures >= maxFailures || attempt >= maxAttempts {
			return "", explain(file, u, after, err)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(f.pause(failures)):
		}
	}
	return accept(ctx, file, part)
}

// safe refuses addresses whose answer anyone on the way could read or change: all that
// are not https, but for plain http from this machine itself. from is the address that
// a redirect came from, nil without one: https never leads back to http.
func safe(u, from *url.URL) error {
	switch {
	case u.User != nil:
		return refuse("%s: an address with a user or password is not fetched: it would stand in logs", shown(u))
	case u.Scheme == "https" && u.Host != "":
		return nil
	case u.Scheme == "http" && pipelinefile.Loopback(u.Hostname()) && (from == nil || from.Scheme == "http"):
		return nil
	case from != nil:
		return refuse("%s sends on to %s, which is not https; refused", shown(from), shown(u))
	}
	return refuse("%s: files are fetched over https", shown(u))
}

// refusal is an error that no other attempt will mend.
type refusal struct{ error }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// shown is an address as messages may hold it: signatures and passwords that servers
// put into the addresses they send on to are secrets.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// attempt goes on with a download where it stopped. The connection is given up when
// nothing comes for the time of f.stall.
func (f *fetcher) attempt(ctx context.Context, client *http.Client, file pipelinefile.SourceFile, part *disk.File, progress func(done, total int64)) error {
	had := resumable(file, part)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, file.URL, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept-Encoding", "identity")
	if had.Bytes > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", had.Bytes))
		req.Header.Set("If-Range", had.validator())
	}
	var res *http.Response
	err = fault.Do(fault.Send, file.URL, "", func() (err error) {
		res, err = client.Do(req)
		return err
	})
	if res != nil {
		defer res.Body.Close()
	}
	if err != nil {
		return passing{err}
	}

	now := partial{URL: file.URL, ETag: res.Header.Get("ETag"), LastModified: res.Header.Get("Last-Modified")}
	total := int64(-1)
	switch res.StatusCode {
	case http.StatusOK:
		if err := part.Truncate(0); err != nil {
			return err
		}
		if err := keep(file, part, now); err != nil {
			return err
		}
		total = res.ContentLength
	case http.StatusPartialContent:
		start, size, ok := contentRange(res.Header.Get("Content-Range"))
		if !ok || start != had.Bytes {
			forget(file, part)
			return passing{fmt.Errorf("the server sent %q when asked for byte %d on", res.Header.Get("Content-Range"), had.Bytes)}
		}
		now.Bytes, total = had.Bytes, size
	case http.StatusRequestedRangeNotSatisfiable:
		if _, size, _ := contentRange(res.Header.Get("Content-Range")); size == had.Bytes && size > 0 {
			return nil // all of it is here; the last run ended before it could say so
		}
		forget(file, part)
		return passing{errors.New("the server has fewer bytes than before")}
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return passing{status(res.StatusCode)}
	default:
		return status(res.StatusCode)
	}
	if file.MaxSize > 0 && total > file.MaxSize {
		return tooLarge(file, fmt.Sprintf("the server announces %d bytes", total))
	}
	if total >= 0 {
		if err := room(file.Abs, total-now.Bytes); err != nil {
			return err
		}
	}
	return f.receive(ctx, cancel, res.Body, file, part, now, total, progress)
}

// receive writes what comes in behind what is there.
func (f *fetcher) receive(ctx context.Context, cancel context.CancelCauseFunc, body io.Reader, file pipelinefile.SourceFile, part *disk.File, now partial, total int64, progress func(done, total int64)) error {
	stalled := time.AfterFunc(f.stall, func() { cancel(fmt.Errorf("nothing came for %s", f.stall)) })
	defer stalled.Stop()
	if _, err := part.Seek(now.Bytes, io.SeekStart); err != nil {
		return err
	}
	progress(now.Bytes, total)
	size := now.Bytes
	buf := make([]byte, 256<<10)
	for {
		n := 0
		err := fault.Do(fault.Receive, file.URL, "", func() (err error) {
			n, err = body.Read(buf)
			return err
		})
		if n > 0 {
			stalled.Reset(f.stall)
			if file.MaxSize > 0 && size+int64(n) > file.MaxSize {
				forget(file, part)
				return tooLarge(file, "the server goes on sending")
			}
			if _, err := part.Write(buf[:n]); err != nil {
				part.Truncate(now.Bytes)
				return err
			}
			size += int64(n)
			progress(size, total)
		}
		if n > 0 && size-now.Bytes >= syncEvery || err != nil {
			now.Bytes = size
			if err := keep(file, part, now); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && total >= 0 && size < total:
			return passing{fmt.Errorf("%w after %d of %d bytes", io.ErrUnexpectedEOF, size, total)}
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return passing{fmt.Errorf("%w, after %d bytes", err, size)}
		}
	}
}

func tooLarge(file pipelinefile.SourceFile, what string) error {
	return fmt.Errorf("%s, but `max-size` allows %d; raise it if that is right", what, file.MaxSize)
}

// resumable is what is there to go on from, PATH.part cut to it. Without a validator
// nothing is: the server could not say whether it still has the same file.
func resumable(file pipelinefile.SourceFile, part *disk.File) partial {
	var p partial
	b, err := disk.ReadFile(file.Abs + ".part.json")
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	info, statErr := part.Stat()
	if err != nil || statErr != nil || p.URL != file.URL || p.Bytes < 0 || p.Bytes > info.Size() || p.validator() == "" {
		return partial{URL: file.URL}
	}
	if err := part.Truncate(p.Bytes); err != nil {
		return partial{URL: file.URL}
	}
	return p
}

// validator is what If-Range takes: a strong ETag or a date.
func (p partial) validator() string {
	if p.ETag != "" && !strings.HasPrefix(p.ETag, "W/") {
		return p.ETag
	}
	return p.LastModified
}

// keep flushes PATH.part and then says so, in this order: PATH.part.json never
// promises a byte that a power cut could take.
func keep(file pipelinefile.SourceFile, part *disk.File, p partial) error {
	if err := part.Sync(); err != nil {
		return err
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	name := file.Abs + ".part.json"
	if err := disk.WriteFile(name+".new", b); err != nil {
		return err
	}
	return disk.Rename(name+".new", name)
}

func forget(file pipelinefile.SourceFile, part *disk.File) {
	disk.Remove(file.Abs + ".part.json")
	part.Truncate(0)
}

// accept holds a finished download against the declared digests and gives it its name.
func accept(ctx context.Context, file pipelinefile.SourceFile, part *disk.File) (string, error) {
	name := file.Abs + ".part"
	s, _, err := hashFile(ctx, name, func(int64, int64) {})
	if err != nil {
		return "", err
	}
	for _, d := range []struct{ kind, got, want string }{{"sha256", s.sha256, file.SHA256}, {"sha1", s.sha1, file.SHA1}} {
		if d.want == "" || d.got == d.want {
			continue
		}
		bad := file.Abs + ".bad"
		disk.Remove(file.Abs + ".part.json")
		if err := disk.Rename(name, bad); err != nil {
			return "", err
		}
		return "", fmt.Errorf("%s gave a file with %s %s, but the pipeline file declares %s; it is kept as %s; if the source has a new version, declare its digest",
			file.URL, d.kind, d.got, d.want, bad)
	}
	if err := part.Sync(); err != nil {
		return "", err
	}
	if err := disk.Rename(name, file.Abs); err != nil {
		return "", err
	}
	disk.Remove(file.Abs + ".part.json")
	return s.sha256, disk.SyncDir(filepath.Dir(file.Abs))
}

// tidy removes what a fetch left beside its file when it died with the file in place, or
// found that another run had placed it. While a run fetches, it leaves all as it is.
func tidy(path string) {
	if part, err := disk.Open(path + ".part"); err == nil {
		defer part.Close()
		if disk.Flock(part, unix.LOCK_EX|unix.LOCK_NB) != nil {
			return
		}
	}
	for _, name := range []string{path + ".part", path + ".part.json", path + ".part.json.new"} {
		if _, err := os.Lstat(name); err == nil {
			disk.Remove(name) // what cannot be removed now can the next time
		}
	}
}

type status int

func (s status) Error() string {
	return fmt.Sprintf("the server answered %d %s", int(s), http.StatusText(int(s)))
}

// unreachable says whether no connection came about at all.
func unreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, new(*net.DNSError)) || errors.As(err, &op) && op.Op == "dial"
}

// explain says what a failed download means to the user.
func explain(file pipelinefile.SourceFile, u *url.URL, kept int64, err error) error {
	byHand := fmt.Sprintf("the file can also be placed by hand at %s", file.Abs)
	resume := ""
	if kept > 0 {
		resume = fmt.Sprintf("; %d bytes are kept, run again to go on from there", kept)
	}
	var s status
	var dns *net.DNSError
	var op *net.OpError
	var addr *url.Error
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("fetch %s: no space left for %s: %w%s", file.URL, file.Abs, err, resume)
	case errors.As(err, &s) && (s == http.StatusNotFound || s == http.StatusGone):
		return fmt.Errorf("fetch %s: %w: there is no such file; correct the `url`, or place the file by hand at %s", file.URL, err, file.Abs)
	case errors.As(err, &s):
		return fmt.Errorf("fetch %s: %w%s; %s", file.URL, err, resume, byHand)
	case errors.As(err, &dns):
		return fmt.Errorf("fetch %s: host %s is not known here: is this machine offline?%s; %s", file.URL, u.Host, resume, byHand)
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("fetch %s: cannot reach %s (%w): is this machine offline?%s; %s", file.URL, u.Host, op.Err, resume, byHand)
	case errors.As(err, &addr):
		return fmt.Errorf("fetch %s: %w%s; %s", file.URL, addr.Err, resume, byHand)
	}
	return fmt.Errorf("fetch %s: %w%s; %s", file.URL, err, resume, byHand)
}

// room makes sure beforehand that a file of known size will fit.
func room(path string, need int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &st); err != nil {
		return nil // some file systems do not say; then writing will
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < need {
		return fmt.Errorf("%d more bytes are to come, but %s has %d free: %w", need, filepath.Dir(path), free, syscall.ENOSPC)
	}
	return nil
}

var rangeText = regexp.MustCompile(`^bytes (?:(\d+)-\d+|\*)/(\d+|\*)$`)

// contentRange reads a Content-Range; size is -1 when the server does not say.
func contentRange(s string) (start, size int64, ok bool) {
	m := rangeText.FindStringSubmatch(s)
	if m == nil {
		return 0, -1, false
	}
	start, _ = strconv.ParseInt(m[1], 10, 64)
	size = -1
	if m[2] != "*" {
		if size, _ = strconv.ParseInt(m[2], 10, 64); size == 0 {
			size = -1
		}
	}
	return start, size, true
}

// lock waits until no other run is fetching the same file.
func lock(ctx context.Context, part *disk.File) error {
	for {
		err := disk.Flock(part.File, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func sameFile(f *disk.File, path string) (bool, error) {
	a, err := f.Stat()
	if err != nil {
		return false, err
	}
	b, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(a, b), err
}
