package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manyTexts is a pipeline that makes n shards of a document each, and as many parts.
func manyTexts(t *testing.T, n int) *sandbox {
	s := newSandbox(t)
	s.write("texts.jsonl", smallTexts(n))
	s.write("many.yaml", `pipeline: many
sources:
  texts: {path: texts.jsonl}
stages:
  texts: {uses: text-parse, from: {files: sources.texts}, with: {source: texts, shard-size: 1}}
  clean: {uses: clean, from: {docs: texts.docs}, with: {rules: {}}}
`)
	return s
}

// again is another machine with the same sources and nothing else.
func (s *sandbox) again(t *testing.T) *sandbox {
	t.Helper()
	o := newSandbox(t)
	o.env = s.env
	for _, f := range []string{"texts.jsonl", "many.yaml"} {
		b, err := os.ReadFile(filepath.Join(s.dir, f))
		if err != nil {
			t.Fatal(err)
		}
		o.write(f, string(b))
	}
	return o
}

// do runs a command that must come to a good end and gives its document.
func do[D any](t *testing.T, s *sandbox, args ...string) (d D, stderr string) {
	t.Helper()
	code, out, stderr := s.pipeline(args...)
	if code != 0 {
		t.Fatalf("%v: exit code %d\n%s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return d, stderr
}

// pushed and pulled are what is looked at of the documents of push and pull.
type pushed struct {
	Entries    int   `json:"entries"`
	Objects    int   `json:"objects"`
	NewEntries int   `json:"new_entries"`
	NewObjects int   `json:"new_objects"`
	NewBytes   int64 `json:"new_bytes"`
	LeftOut    int   `json:"left_out"`
}

type pulled struct {
	Complete bool  `json:"complete"`
	Fetched  int   `json:"fetched"`
	Cached   int   `json:"cached"`
	Bytes    int64 `json:"bytes"`
}

// TestShare walks what one does with a shared disk: push, push again, pull elsewhere, a
// run there that has nothing to do and outputs that can be had without it, a run that
// asks as it goes, and one that pushes what it made.
func TestShare(t *testing.T) {
	a := manyTexts(t, 12)
	url := "file://" + filepath.Join(t.TempDir(), "shared")
	made := a.run("many.yaml")

	if d, _ := do[pushed](t, a, "push", url, "many.yaml", "--dry-run", "--json"); d.NewEntries != 13 || d.NewObjects == 0 {
		t.Errorf("dry run: %+v", d)
	}
	if d, _ := do[pushed](t, a, "push", url, "many.yaml", "texts", "--json"); d.NewEntries != 1 || d.NewObjects < 12 {
		t.Errorf("push of one stage: %+v", d)
	}
	if d, _ := do[pushed](t, a, "push", url, "--json"); d.Entries != 13 || d.NewEntries != 12 {
		t.Errorf("push of the rest: %+v", d)
	}
	if _, out, _ := a.pipeline("push", url); !strings.Contains(out, "are all there") {
		t.Errorf("push again: %s", out)
	}

	b := a.again(t)
	if d, _ := do[pulled](t, b, "pull", url, "many.yaml", "--json"); !d.Complete || d.Fetched != 13 || d.Cached != 0 || d.Bytes == 0 {
		t.Errorf("pull: %+v", d)
	}
	if code, _, stderr := b.pipeline("get", "clean.docs", "view"); code != 0 {
		t.Errorf("get after pull: %s", stderr)
	}
	if d, _ := do[pulled](t, b, "pull", url, "many.yaml", "--json"); !d.Complete || d.Fetched != 0 || d.Cached != 13 || d.Bytes != 0 {
		t.Errorf("pull again: %+v", d)
	}
	second := b.run("many.yaml")
	if ran := ranParts(second); len(ran) > 0 || digests(second) != digests(made) {
		t.Errorf("after pull the run did %v", ran)
	}

	b.edit("many.yaml", "with: {rules: {}}", "with: {rules: {links: false}}")
	if code, out, stderr := b.pipeline("explain", "many.yaml", "clean"); code != 0 || !strings.Contains(out, "with.rules.links") {
		t.Errorf("explain of what was pulled: exit code %d\n%s%s", code, out, stderr)
	}

	// A machine with a document more finds what it has in common, and shares the rest.
	c := a.again(t)
	c.write("texts.jsonl", smallTexts(13))
	d, _ := do[pulled](t, c, "pull", url, "many.yaml", "--json")
	if d.Complete || d.Fetched != 0 {
		t.Errorf("pull of a changed source: %+v", d)
	}
	third := c.run("many.yaml", "--remote", url, "--push")
	if ran := ranParts(third); ran["texts"] != 1 || ran["clean"] != 1 || third.Stages[1].Fetched != 12 {
		t.Errorf("run --remote: ran %v, fetched %d", ran, third.Stages[1].Fetched)
	}
	e := c.again(t)
	if fourth := e.run("many.yaml", "--remote", url); len(ranParts(fourth)) > 0 || digests(fourth) != digests(third) {
		t.Errorf("after --push another machine ran %v", ranParts(fourth))
	}
}

// TestShareRefusals holds what is said when sharing cannot be.
func TestShareRefusals(t *testing.T) {
	s := manyTexts(t, 3)
	s.env = []string{"AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y"}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down := "s3://b?endpoint=http://" + dead.Addr().String()
	dead.Close()

	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"push", "file:///tmp/x"}, 1, "no store at"},
		{[]string{"pull", "gs://bucket", "many.yaml"}, 2, "s3://BUCKET and file:///DIRECTORY"},
		{[]string{"pull", down, "many.yaml", "--attempts", "1"}, 1, "connection refused"},
		{[]string{"pull", down, "many.yaml", "--attempts", "0"}, 2, "at least one"},
		{[]string{"run", "many.yaml", "--push"}, 2, "--remote URL"},
		{[]string{"run", "many.yaml", "--remote", "s3://"}, 2, "names no bucket"},
	} {
		if code, _, stderr := s.pipeline(c.args...); code != c.code || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") > 1 {
			t.Errorf("%v: exit code %d, expected %d with %q in one line:\n%s", c.args, code, c.code, c.says, stderr)
		}
	}

	// A run goes on without its remote, after one notice.
	code, _, stderr := s.pipeline("run", "many.yaml", "--remote", down, "--json")
	if code != 0 || strings.Count(stderr, "going on without it") != 1 {
		t.Errorf("run with a remote that is down: exit code %d\n%s", code, stderr)
	}
	if code, _, stderr := s.pipeline("push", "file:///tmp/x", "--run", "99"); code != 2 || !strings.Contains(stderr, "99") {
		t.Errorf("push of no run: exit code %d\n%s", code, stderr)
	}
	if code, _, stderr := s.pipeline("push", down, "--attempts", "1"); code != 1 || !strings.Contains(stderr, "connection refused") {
		t.Errorf("push to a remote that is down: exit code %d\n%s", code, stderr)
	}
}

// TestPushKilled kills a push with SIGKILL in the middle: the next one completes it.
func TestPushKilled(t *testing.T) {
	a := manyTexts(t, 150)
	shared := filepath.Join(t.TempDir(), "shared")
	url := "file://" + shared
	made := a.run("many.yaml", "texts")
	push := a.command("push", url, "--jobs", "1")
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return len(filesBelow(filepath.Join(shared, "objects"))) > 20 })
	push.Process.Kill()
	push.Wait()
	if n := len(filesBelow(filepath.Join(shared, "actions"))); n > 0 {
		t.Fatal("the push was over before it was killed")
	}
	if d, _ := do[pushed](t, a, "push", url, "--json"); d.NewEntries != 1 || d.NewObjects == 0 || d.NewObjects > d.Objects-20 {
		t.Errorf("push after the kill: %+v", d)
	}
	b := a.again(t)
	if s := b.run("many.yaml", "texts", "--remote", url); len(ranParts(s)) > 0 || digests(s) != digests(made) {
		t.Errorf("elsewhere a run did %v", ranParts(s))
	}
}

// s3Server is a real S3 server, Versity's gateway, over a directory.
type s3Server struct {
	t       *testing.T
	program string
	root    string
	args    []string
	address string
	cmd     *exec.Cmd
}

const s3Bucket = "corpus"

func newS3(t *testing.T) *s3Server {
	t.Helper()
	program, err := filepath.Abs(filepath.Join("..", "..", "bin", "versitygw"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath("versitygw"); err != nil {
			t.Skip("no S3 server on this machine: `make s3-server` builds one")
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	s := &s3Server{t: t, program: program, root: t.TempDir(), address: free.Addr().String()}
	if err := os.Mkdir(filepath.Join(s.root, s3Bucket), 0o755); err != nil {
		t.Fatal(err)
	}
	s.args = []string{"--port", s.address, "--access", "tester", "--secret", "test-secret", "--quiet", "posix"}
	if err := unix.Setxattr(s.root, "user.test", []byte("1"), 0); err != nil { // where else it keeps what it knows of a file
		s.args = append(s.args, "--sidecar", t.TempDir())
	}
	s.args = append(s.args, s.root)
	t.Cleanup(s.kill)
	return s
}

func (s *s3Server) start() {
	s.t.Helper()
	var log bytes.Buffer
	s.cmd = exec.Command(s.program, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = &log, &log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", s.address); err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			s.kill()
			s.t.Fatalf("the S3 server does not answer:\n%s", log.String())
		}
	}
}

func (s *s3Server) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *s3Server) url() string {
	return "s3://" + s3Bucket + "/team/many?endpoint=http://" + s.address + "&region=us-east-1"
}

// waitFor waits until something has come about.
func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited for five minutes in vain")
		}
	}
}

// objects lists the files of objects that the server has.
func (s *s3Server) objects() []string {
	return filesBelow(filepath.Join(s.root, s3Bucket, "team", "many", "objects"))
}

func filesBelow(dir string) (paths []string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			paths = append(paths, path)
		}
		return nil
	})
	return paths
}

// TestS3 shares 1,000 objects through a real S3 server that is killed in the middle of the
// push: the next push completes it, and on an empty machine a run after a pull executes no
// part. Then a bit flips on the server, which costs a part a rerun and is mended by the
// next push from there.
func TestS3(t *testing.T) {
	server := newS3(t)
	if underRace {
		t.Skip("walked by the plain suite; package remote is raced on directories")
	}
	server.start()
	const docs = 1000
	a := manyTexts(t, docs)
	a.env = []string{"AWS_ACCESS_KEY_ID=tester", "AWS_SECRET_ACCESS_KEY=test-secret", "AWS_EC2_METADATA_DISABLED=true"}
	made := a.run("many.yaml", "texts")

	push := a.command("push", server.url(), "--jobs", "2", "--attempts", "1")
	var stderr bytes.Buffer
	push.Stderr = &stderr
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return len(server.objects()) >= docs/4 })
	server.kill()
	if err := push.Wait(); !errors.As(err, new(*exec.ExitError)) || push.ProcessState.ExitCode() != 1 {
		t.Fatalf("the push ended with %v although its server died", err)
	}
	there := len(server.objects())
	t.Logf("killed with %d objects on the server; the push said: %s", there, stderr.String())
	if there >= docs {
		t.Fatal("the server died too late to prove anything")
	}
	server.start()
	d, _ := do[pushed](t, a, "push", server.url(), "--json")
	if d.NewEntries != 1 || d.Objects < docs || d.NewObjects == 0 || d.NewObjects > d.Objects-docs/4 {
		t.Errorf("push after the server's death: %+v", d)
	}
	if d, _ := do[pushed](t, a, "push", server.url(), "--json"); d.NewEntries != 0 || d.NewObjects != 0 {
		t.Errorf("push again: %+v", d)
	}

	b := a.again(t)
	if d, _ := do[pulled](t, b, "pull", server.url(), "many.yaml", "texts", "--json"); !d.Complete || d.Fetched != 1 {
		t.Errorf("pull: %+v", d)
	}
	second := b.run("many.yaml", "texts")
	if ran := ranParts(second); len(ran) > 0 || digests(second) != digests(made) {
		t.Errorf("after pull the run did %v", ran)
	}

	// One that is sent in pieces.
	for _, s := range []*sandbox{a, b} {
		s.write("large.yaml", "pipeline: large\nstages:\n  large: {uses: command, with: {run: \"head -c 40000000 /dev/zero > {out.out}/zeros\"}}\n")
	}
	large := a.run("large.yaml")
	if d, _ := do[pushed](t, a, "push", server.url(), "large.yaml", "--json"); d.NewBytes < 40e6 {
		t.Errorf("push of a large file: %+v", d)
	}
	if s := b.run("large.yaml", "--remote", server.url()); len(ranParts(s)) > 0 || digests(s) != digests(large) {
		t.Errorf("a large file came from the server, and yet a run did %v", ranParts(s))
	}

	var victim string
	var text []byte
	for _, path := range server.objects() {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}) { // zstd: a shard
			victim, text = path, b
		}
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(victim, text, 0o644); err != nil {
		t.Fatal(err)
	}
	c := a.again(t)
	code, _, said := c.pipeline("run", "--json", "--remote", server.url(), "many.yaml", "texts")
	if code != 0 || !strings.Contains(said, "is not used") || !strings.Contains(said, "hash to") {
		t.Errorf("run on a damaged bucket: exit code %d\n%s", code, said)
	}
	if third := c.run("many.yaml", "texts"); digests(third) != digests(made) {
		t.Error("a damaged bucket changed what came out")
	}
	if d, _ := do[pushed](t, c, "push", server.url(), "--json"); d.NewObjects != 1 || d.NewEntries != 0 {
		t.Errorf("the push that mends sent %+v", d)
	}
	e := a.again(t)
	if fourth := e.run("many.yaml", "texts", "--remote", server.url()); len(ranParts(fourth)) > 0 || digests(fourth) != digests(made) {
		t.Errorf("after mending another machine ran %v", ranParts(fourth))
	}
}
