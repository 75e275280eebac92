package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
)

// mirror serves one file, with ranges as net/http does them, and misbehaves on demand.
type mirror struct {
	*httptest.Server
	mu       sync.Mutex
	content  string
	etag     string
	cut      []int // the n-th answer ends after so many bytes of its body; -1: it does not
	requests []string
	status   int
}

func newMirror(t *testing.T, content string) *mirror {
	m := &mirror{content: content, etag: `"v1"`}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	content, etag, status := m.content, m.etag, m.status
	n := len(m.requests)
	m.requests = append(m.requests, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
	cut := -1
	if n < len(m.cut) {
		cut = m.cut[n]
	}
	m.mu.Unlock()
	if status != 0 {
		http.Error(w, "no", status)
		return
	}
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	if cut >= 0 {
		w = &cutter{w, cut}
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
}

// cutter breaks the connection after so many bytes of the body.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) <= c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	c.ResponseWriter.Write(p[:c.left])
	c.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func quick() *fetcher {
	f := newFetcher()
	f.pause = func(int) time.Duration { return 0 }
	f.stall = time.Minute
	return f
}

func fetchOne(t *testing.T, f *fetcher, file pipelinefile.SourceFile, dir string) (*Resolved, error) {
	t.Helper()
	got, err := resolve(t.Context(), []pipelinefile.Source{src("dump", dir, file)}, &ledger{}, Options{}, f)
	if err != nil {
		return nil, err
	}
	return &got["dump"][0], nil
}

// left lists what is in a directory afterwards.
func left(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

var text = strings.Repeat("O Brasil é uma república federativa. ", 30000) // 1.1 MB

func TestFetch(t *testing.T) {
	m := newMirror(t, text)
	dir := t.TempDir()
	var events []Event
	got, err := resolve(t.Context(), []pipelinefile.Source{
		src("dump", dir, pipelinefile.SourceFile{Path: "sub/d.xml", URL: m.URL, SHA256: sha(text), SHA1: sha1s(text)}),
		src("same", dir, pipelinefile.SourceFile{Path: "sub/d.xml", URL: m.URL, Trust: true}),
	}, &ledger{}, Options{Progress: func(e Event) { events = append(events, e) }}, quick())
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "sub/d.xml"))
	if err != nil || string(b) != text {
		t.Fatalf("the file has %d bytes (%v), want %d", len(b), err, len(text))
	}
	r := got["dump"][0]
	if r.Digest != sha(text) || r.Size != int64(len(text)) || r.Absent || r.Name != "d.xml" || got["same"][0].Digest != r.Digest {
		t.Errorf("resolved %+v", r)
	}
	if id, _ := Identify(r.Path); id != r.ID {
		t.Errorf("ID %+v, file %+v", r.ID, id)
	}
	if len(m.requests) != 1 {
		t.Errorf("%d requests for one file that two sources name", len(m.requests))
	}
	if l := left(t, filepath.Join(dir, "sub")); l != "d.xml" {
		t.Errorf("left %s", l)
	}
	last := events[len(events)-1]
	if !last.Fetching || last.Done != int64(len(text)) || last.Total != last.Done || last.Source != "dump" {
		t.Errorf("last event %+v", last)
	}
}

func TestOfflineListsWhatIsToCome(t *testing.T) {
	m := newMirror(t, text)
	dir := t.TempDir()
	got, err := Resolve(t.Context(), []pipelinefile.Source{src("dump", dir,
		pipelinefile.SourceFile{Path: "a", URL: m.URL, SHA256: sha(text)}, pipelinefile.SourceFile{Path: "b", URL: m.URL, Trust: true})}, &ledger{}, Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	a, b := got["dump"][0], got["dump"][1]
	if !a.Absent || a.Digest != sha(text) || a.Size != -1 || !b.Absent || b.Digest != "" || len(m.requests) != 0 {
		t.Errorf("resolved %+v and %+v after %d requests", a, b, len(m.requests))
	}
}

func TestResumeAfterCutConnections(t *testing.T) {
	m := newMirror(t, text)
	m.cut = []int{300_000, 0, 0, 200_000}
	dir := t.TempDir()
	if _, err := fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: m.URL, SHA256: sha(text)}, dir); err != nil {
		t.Fatal(err)
	}
	want := []string{"", `bytes=300000- "v1"`, `bytes=300000- "v1"`, `bytes=300000- "v1"`, `bytes=500000- "v1"`}
	if fmt.Sprint(m.requests) != fmt.Sprint(want) {
		t.Errorf("requests %q, want %q", m.requests, want)
	}
}

func TestResumeInALaterRun(t *testing.T) {
	m := newMirror(t, text)
	m.cut = []int{400_000, 0, 0, 0, 0, 0}
	dir := t.TempDir()
	file := pipelinefile.SourceFile{Path: "d", URL: m.URL, Trust: true}
	_, err := fetchOne(t, quick(), file, dir)
	if err == nil || !strings.Contains(err.Error(), "400000 bytes are kept, run again to go on from there") {
		t.Fatalf("error is %v, want one that tells how to go on", err)
	}
	if l := left(t, dir); l != "d.part d.part.json" {
		t.Fatalf("left %s", l)
	}
	// What was written but not recorded as flushed may be anything after a power cut.
	appendTo(t, filepath.Join(dir, "d.part"), "\x00\x00\x00")
	m.cut, m.requests = nil, nil
	r, err := fetchOne(t, quick(), file, dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Digest != sha(text) || m.requests[0] != `bytes=400000- "v1"` {
		t.Errorf("digest %s, requests %q", r.Digest, m.requests)
	}
}

func appendTo(t *testing.T, path, s string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(s); err != nil {
		t.Fatal(err)
	}
}

func TestChangedFileStartsAnew(t *testing.T) {
	m := newMirror(t, text)
	m.cut = []int{400_000, 0, 0, 0, 0}
	dir := t.TempDir()
	file := pipelinefile.SourceFile{Path: "d", URL: m.URL, Trust: true}
	if _, err := fetchOne(t, quick(), file, dir); err == nil {
		t.Fatal("no error from a connection that is cut each time")
	}
	m.content, m.etag, m.cut = strings.ToUpper(text), `"v2"`, nil
	r, err := fetchOne(t, quick(), file, dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Digest != sha(m.content) {
		t.Error("the file is a mixture of two versions")
	}
}

func TestNoValidatorStartsAnew(t *testing.T) {
	m := newMirror(t, text)
	m.etag = `W/"weak"`
	m.cut = []int{400_000}
	dir := t.TempDir()
	r, err := fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: m.URL, Trust: true}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Digest != sha(text) || fmt.Sprint(m.requests) != "[ ]" {
		t.Errorf("digest %s, requests %q; want two from the start", r.Digest, m.requests)
	}
}

func TestWholePartIsTaken(t *testing.T) {
	m := newMirror(t, text)
	dir := t.TempDir()
	file := src("dump", dir, pipelinefile.SourceFile{Path: "d", URL: m.URL, Trust: true}).Files[0]
	if err := os.WriteFile(file.Abs+".part", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	state := fmt.Sprintf(`{"url":%q,"etag":"\"v1\"","bytes":%d}`, m.URL, len(text))
	if err := os.WriteFile(file.Abs+".part.json", []byte(state), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := fetchOne(t, quick(), file, dir)
	if err != nil || r.Digest != sha(text) {
		t.Fatalf("%+v %v", r, err)
	}
	if want := fmt.Sprintf(`bytes=%d- "v1"`, len(text)); len(m.requests) != 1 || m.requests[0] != want {
		t.Errorf("requests %q, want %q", m.requests, want)
	}
}

func TestWrongDigest(t *testing.T) {
	m := newMirror(t, "<html>moved</html>")
	for kind, file := range map[string]pipelinefile.SourceFile{
		"sha256": {Path: "d", URL: m.URL, SHA256: sha(text)},
		"sha1":   {Path: "d", URL: m.URL, SHA1: sha1s(text)},
	} {
		dir := t.TempDir()
		_, err := fetchOne(t, quick(), file, dir)
		got, want := sha(m.content), sha(text)
		if kind == "sha1" {
			got, want = sha1s(m.content), sha1s(text)
		}
		message := fmt.Sprintf("p.yaml:3:5: source `dump`: %s gave a file with %s %s, but the pipeline file declares %s; it is kept as %s/d.bad; if the source has a new version, declare its digest",
			m.URL, kind, got, want, dir)
		if err == nil || err.Error() != message {
			t.Errorf("error is\n%v\nwant\n%s", err, message)
		}
		if l := left(t, dir); l != "d.bad" {
			t.Errorf("left %s", l)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		status, requests int
		want             string
	}{
		{404, 1, "the server answered 404 Not Found: there is no such file; correct the `url`, or place the file by hand at DIR/d"},
		{403, 1, "the server answered 403 Forbidden; the file can also be placed by hand at DIR/d"},
		{503, maxFailures, "the server answered 503 Service Unavailable; the file can also be placed by hand at DIR/d"},
	} {
		m := newMirror(t, text)
		m.status = c.status
		dir := t.TempDir()
		_, err := fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: m.URL, Trust: true}, dir)
		want := "p.yaml:3:5: source `dump`: fetch " + m.URL + ": " + strings.ReplaceAll(c.want, "DIR", dir)
		if err == nil || err.Error() != want {
			t.Errorf("error is\n%v\nwant\n%s", err, want)
		}
		if len(m.requests) != c.requests {
			t.Errorf("%d requests after %d, want %d", len(m.requests), c.status, c.requests)
		}
	}
}

func TestNoServer(t *testing.T) {
	m := newMirror(t, text)
	url := m.URL
	m.Close()
	dir := t.TempDir()
	_, err := fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: url, Trust: true}, dir)
	host := strings.TrimPrefix(url, "http://")
	if err == nil || !strings.Contains(err.Error(), "cannot reach "+host) || !strings.Contains(err.Error(), "placed by hand at "+dir+"/d") {
		t.Errorf("error is %v, want one that names the host and the place", err)
	}
	_, err = fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: "https://dumps.invalid/x", Trust: true}, dir)
	if err == nil || !strings.Contains(err.Error(), "dumps.invalid") || !strings.Contains(err.Error(), "is this machine offline?") {
		t.Errorf("error is %v, want one that names the host", err)
	}
}

func TestStalledConnection(t *testing.T) {
	hang := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(hang)
	f := quick()
	f.stall = 20 * time.Millisecond
	_, err := fetchOne(t, f, pipelinefile.SourceFile{Path: "d", URL: s.URL, Trust: true}, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "nothing came for 20ms") {
		t.Errorf("error is %v", err)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Header().Set("ETag", `"v"`)
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	dir := t.TempDir()
	got := false
	_, err := resolve(ctx, []pipelinefile.Source{src("dump", dir, pipelinefile.SourceFile{Path: "d", URL: s.URL, Trust: true})}, &ledger{},
		Options{Progress: func(e Event) {
			if e.Done == 4 && !got {
				got = true
				cancel()
			}
		}}, quick())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "d.part.json"))
	if err != nil || !bytes.Contains(b, []byte(`"bytes":4`)) {
		t.Errorf("state is %s (%v), want 4 bytes kept", b, err)
	}
}

// Addresses that are refused, with nothing left behind; that a digest is declared does
// not help.
func TestRefusedAddresses(t *testing.T) {
	for _, url := range []string{
		"http://example.invalid/d", "http://127.0.0.1.example.invalid/d", "http://[fe80::1]/d", "http://0.0.0.0/d", "file:///etc/passwd", "ftp://example.invalid/d",
		"https://me:secret@example.invalid/d", "http://me@127.0.0.1/d", "https:///d",
	} {
		dir := t.TempDir()
		_, err := fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: url, SHA256: sha(text)}, dir)
		if err == nil || !strings.Contains(err.Error(), "files are fetched over https") && !strings.Contains(err.Error(), "user or password is not fetched") {
			t.Errorf("%s: error is %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the password stands in the error: %v", url, err)
		}
		if l := left(t, dir); l != "" {
			t.Errorf("%s left %s", url, l)
		}
	}
	if _, err := fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: "https://example.invalid/d"}, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no digest to be held against") {
		t.Errorf("neither digest nor trust: %v", err)
	}
}

// A server may send on, but not out of https, not to a file, and not for ever.
func TestRefusedRedirects(t *testing.T) {
	m := newMirror(t, text)
	tls := httptest.NewTLSServer(nil)
	defer tls.Close()
	to := ""
	tls.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.ReplaceAll(to, "SELF", tls.URL), http.StatusFound)
	})
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to, http.StatusFound)
	}))
	defer plain.Close()
	for _, c := range []struct{ from, to, want string }{
		{tls.URL, "http://example.invalid/d?sig=secret", "sends on to http://example.invalid/d, which is not https"},
		{tls.URL, m.URL, "which is not https"}, // nor into a service of this machine
		{tls.URL, "file:///etc/passwd", "which is not https"},
		{tls.URL, "https://me:secret@example.invalid/", "user or password"},
		{tls.URL, "SELF/again", "more than 10 redirects"},
		{plain.URL, "http://example.invalid/d", "which is not https"},
	} {
		to = c.to
		f := quick()
		f.client = tls.Client()
		dir := t.TempDir()
		_, err := fetchOne(t, f, pipelinefile.SourceFile{Path: "d", URL: c.from, SHA256: sha(text)}, dir)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s → %s: error is %v, want %q", c.from, c.to, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(dir, "d")); err == nil {
			t.Errorf("%s → %s: the file is there", c.from, c.to)
		}
	}
	if len(m.requests) != 0 {
		t.Errorf("%d requests reached a server over http", len(m.requests))
	}
}

func TestFetchOverTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/d", http.StatusFound)
			return
		}
		io.WriteString(w, text)
	}))
	defer s.Close()
	if _, err := fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: s.URL, Trust: true}, t.TempDir()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	f := quick()
	f.client = s.Client()
	dir := t.TempDir()
	r, err := fetchOne(t, f, pipelinefile.SourceFile{Path: "d", URL: s.URL, Trust: true}, dir)
	if err != nil || r.Digest != sha(text) {
		t.Fatalf("%+v %v", r, err)
	}
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	if info, err := os.Stat(filepath.Join(dir, "d")); err != nil || info.Mode() != 0o644&^os.FileMode(mask) {
		t.Errorf("mode %v %v, want 0644 less the umask %o", info.Mode(), err, mask)
	}
}

// Both a size that is announced and one that is not are held against max-size.
func TestMaxSize(t *testing.T) {
	for _, flush := range []bool{false, true} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if flush {
				w.(http.Flusher).Flush()
			} else {
				w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			}
			io.WriteString(w, text)
		}))
		defer s.Close()
		dir := t.TempDir()
		file := pipelinefile.SourceFile{Path: "d", URL: s.URL, Trust: true, MaxSize: int64(len(text)) - 1}
		_, err := fetchOne(t, quick(), file, dir)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("`max-size` allows %d", len(text)-1)) {
			t.Errorf("announced %v: %v", !flush, err)
		}
		if info, err := os.Stat(filepath.Join(dir, "d.part")); err == nil && info.Size() > 0 {
			t.Errorf("announced %v: %d bytes are kept", !flush, info.Size())
		}
		file.MaxSize++
		if r, err := fetchOne(t, quick(), file, dir); err != nil || r.Digest != sha(text) {
			t.Errorf("announced %v, at the limit: %v", !flush, err)
		}
	}
}

// A link that stands where the download would is not written through.
func TestPartIsNoLink(t *testing.T) {
	m := newMirror(t, text)
	dir := tree(t, map[string]string{"mine": "mine", "d.part": "-> mine"})
	_, err := fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: m.URL, SHA256: sha(text)}, dir)
	if b, _ := os.ReadFile(filepath.Join(dir, "mine")); err == nil || string(b) != "mine" {
		t.Errorf("error %v, the file holds %d bytes", err, len(b))
	}
}

func TestRedirect(t *testing.T) {
	m := newMirror(t, text)
	s := httptest.NewServer(http.RedirectHandler(m.URL, http.StatusMovedPermanently))
	defer s.Close()
	if r, err := fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: s.URL, Trust: true}, t.TempDir()); err != nil || r.Digest != sha(text) {
		t.Errorf("%+v %v", r, err)
	}
}

// TestNoRoom asks for more bytes than any disk has free.
func TestNoRoom(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "9000000000000000000")
		io.WriteString(w, "some")
	}))
	defer s.Close()
	dir := t.TempDir()
	_, err := fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: s.URL, Trust: true}, dir)
	if err == nil || !strings.Contains(err.Error(), "no space left for "+dir+"/d: 9000000000000000000 more bytes are to come") {
		t.Errorf("error is %v", err)
	}
}

// TestFullDisk fetches a file of unknown size onto a small file system.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small tmpfs can be mounted by root only: %v", err)
	}
	defer syscall.Unmount(dir, 0)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		io.WriteString(w, text)
	}))
	defer s.Close()
	_, err := fetchOne(t, quick(), pipelinefile.SourceFile{Path: "d", URL: s.URL, Trust: true}, dir)
	if err == nil || !strings.Contains(err.Error(), "no space left for "+dir+"/d") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "d")); err == nil {
		t.Error("half a file has the name of the whole")
	}
}

// Two runs that want the same file at once fetch it once.
func TestTwoRuns(t *testing.T) {
	m := newMirror(t, text)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			r, err := resolve(t.Context(), []pipelinefile.Source{src("dump", dir, pipelinefile.SourceFile{Path: "d", URL: m.URL, Trust: true})}, &ledger{}, Options{}, quick())
			if err != nil || r["dump"][0].Digest != sha(text) {
				t.Errorf("%v %v", r, err)
			}
		})
	}
	wg.Wait()
	if len(m.requests) != 1 {
		t.Errorf("%d requests, want 1", len(m.requests))
	}
	if l := left(t, dir); l != "d" {
		t.Errorf("left %s", l)
	}
}
