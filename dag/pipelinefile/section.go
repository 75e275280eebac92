package pipelinefile

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// readSources reads `sources:`.
func (l *loader) readSources() error {
	sources := l.root.get("sources")
	if sources == nil || sources.kind != mapping {
		return nil
	}
	shape, err := shapeChecker(reflect.TypeFor[sourceShape]())
	if err != nil {
		return err
	}
	for _, f := range sources.fields {
		l.sources[f.name] = true
		owner := "source `" + f.name + "`"
		n := l.substitute(f.value)
		if n.hole || !l.report(shape, n, n.plain(), owner, "") {
			continue
		}
		src := Source{Name: f.name, License: n.string("license"), Pos: f.pos}
		files, path := n.get("files"), n.get("path")
		switch {
		case files != nil && path != nil:
			l.add(path.key, "to replace one by the other in a profile, set the one to null", "%s has both `path` and `files`", owner)
			continue
		case files != nil:
			for _, key := range []string{"url", "sha256", "sha1", "max-size"} {
				if v := n.get(key); v != nil {
					l.add(v.key, "", "`%s` of %s belongs to an entry of `files`", key, owner)
				}
			}
			for i, e := range files.items {
				if !e.hole {
					src.Files = append(src.Files, l.sourceFile(e, n.get("trust"), fmt.Sprintf("`files[%d]` of %s", i, owner)))
				}
			}
			if t := n.get("trust"); t.on() && !slices.ContainsFunc(src.Files, func(f SourceFile) bool { return f.URL != "" }) {
				l.add(t.key, "", "`trust` of %s means nothing: none of its files has a `url`", owner)
			}
		case path != nil:
			if !path.hole {
				src.Files = []SourceFile{l.sourceFile(n, nil, owner)}
			}
		default:
			l.add(f.pos, "", "%s has neither `path` nor `files`", owner)
		}
		l.p.Sources = append(l.p.Sources, src)
	}
	return nil
}

// sourceFile reads one file of a source; trusted is the `trust` of the source around it.
func (l *loader) sourceFile(n, trusted *node, owner string) SourceFile {
	f := SourceFile{
		Path:    n.string("path"),
		URL:     n.string("url"),
		SHA256:  strings.ToLower(n.string("sha256")),
		SHA1:    strings.ToLower(n.string("sha1")),
		MaxSize: l.bytes(owner, "max-size", n.get("max-size")),
		Pos:     n.get("path").pos,
	}
	f.Abs = l.abs(f.Path)
	trust, pinned := n.get("trust"), f.SHA256 != "" || f.SHA1 != ""
	f.Trust = !pinned && f.URL != "" && (trust.on() || trust == nil && trusted.on())
	if f.URL != "" {
		l.checkURL(n.get("url"), f, owner)
	}
	switch {
	case !trust.on():
	case f.URL == "":
		l.add(trust.key, "", "`trust` of %s means nothing without a `url`", owner)
	case pinned:
		l.add(trust.key, "", "`trust` of %s means nothing beside a digest, which says what the file must be", owner)
	}
	if v := n.get("max-size"); v != nil && f.URL == "" {
		l.add(v.key, "", "`max-size` of %s means nothing without a `url`", owner)
	}
	// A pattern is many files; one digest or address cannot stand for them.
	if strings.ContainsAny(f.Path, "*?[") {
		if _, err := filepath.Match(f.Path, ""); err != nil {
			l.add(f.Pos, "", "`path` of %s is no valid pattern: %q", owner, f.Path)
		}
		for _, key := range []string{"url", "sha256", "sha1"} {
			if v := n.get(key); v != nil {
				l.add(v.key, "", "`%s` of %s is of one file, but `path` is a pattern", key, owner)
			}
		}
	}
	return f
}

// checkURL holds an address against what fetches are bound to (package dag/source does
// so again, also where a server sends them on).
func (l *loader) checkURL(n *node, f SourceFile, owner string) {
	u, err := url.Parse(f.URL)
	switch {
	case err != nil || u.Host == "":
		l.add(n.pos, "", "`url` of %s is no address: %q", owner, f.URL)
	case u.User != nil:
		l.add(n.pos, "place the file at `path` by hand instead", "`url` of %s holds a user or password, which would stand in logs and in the ledger", owner)
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		l.add(n.pos, "use https, or place the file at `path` by hand", "`url` of %s is plain http, which anyone on the way can change and read", owner)
	case f.SHA256 == "" && f.SHA1 == "" && !f.Trust:
		l.add(n.pos, "add `sha256:` (or `sha1:`) as its publisher lists it, or as sha256sum gives it for a copy that you have checked; or `trust: true` to take whatever comes",
			"`url` of %s has no digest, so that nobody could tell another file from the right one", owner)
	}
}

// Loopback says whether a host is this machine: localhost, 127.0.0.0/8 or ::1. Only from
// there are files fetched over plain http.
func Loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// on says whether a key is there and true.
func (n *node) on() bool { return n != nil && n.kind == boolean && n.yes }

func (l *loader) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(l.p.Dir, filepath.FromSlash(path))
}

// string is the text of a key, empty when it has none.
func (n *node) string(name string) string {
	if v := n.get(name); v != nil && v.kind == text {
		return v.text
	}
	return ""
}

// emptyStageKeys may have no value, as when all that stood under them is commented out.
var emptyStageKeys = []string{"from", "with", "matrix", "resources", "env"}

// readStage reads one entry of `stages:`, once for each combination of its matrix.
func (l *loader) readStage(f field) {
	base := f.name
	l.byBase[base] = nil
	if base == "sources" {
		l.add(f.pos, "", "a stage cannot be called `sources`: references to sources begin with it")
		return
	}
	n := f.value
	if n.kind != mapping {
		if n.kind == null {
			n = &node{kind: mapping, pos: f.pos, key: f.pos}
		} else if !n.hole {
			l.add(n.pos, "", "stage `%s` must be a mapping, not %s", base, n.describe())
			return
		}
	}
	n = n.dropEmpty(emptyStageKeys...)
	all := []combination{{}}
	if m := n.get("matrix"); m != nil {
		m = l.substitute(m)
		if m.kind != mapping {
			if !m.hole {
				l.add(m.pos, "", "`matrix` of stage `%s` must be a mapping, not %s", base, m.describe())
			}
			return
		}
		var ok bool
		if all, ok = l.combinations(base, m); !ok {
			return
		}
		n = n.without("matrix")
	}
	for _, c := range all {
		d := l.readExpansion(f, n, c)
		d.index = len(l.drafts)
		l.drafts = append(l.drafts, d)
		l.byBase[base] = append(l.byBase[base], d)
		l.byName[d.Name] = d
	}
}

func (l *loader) readExpansion(f field, n *node, c combination) *draft {
	d := &draft{Stage: Stage{Name: f.name, Base: f.name, Pos: f.pos}}
	if c.label != "" {
		d.Name = f.name + "[" + c.label + "]"
	}
	n = l.in(c.values).substitute(n)
	shape := n.without("with")
	if with := n.get("with"); with != nil && with.kind != mapping {
		shape = n // for its type to be reported
	}
	d.lost = !l.report(l.stageShape, shape, shape.plain(), d.owner(), "")
	d.from = n.get("from")
	if when := n.get("when"); when != nil && when.kind == boolean {
		d.off = !when.yes
	}
	l.limits(d, n)

	uses := n.get("uses")
	if uses == nil || uses.kind != text {
		return d
	}
	i := slices.IndexFunc(l.kinds, func(k stage.Kind) bool { return k.Name == uses.text })
	if i < 0 {
		var names []string
		for _, k := range l.kinds {
			names = append(names, k.Name)
		}
		l.add(uses.pos, suggest(uses.text, names, "there are"), "unknown stage kind `%s` of %s", uses.text, d.owner())
		return d
	}
	d.Kind = &l.kinds[i]
	conf := l.configurers[d.Kind.Name]
	if conf == nil {
		var err error
		if conf, err = newConfigurer(d.Kind); err != nil {
			l.add(uses.pos, "", "%v", err)
			return d
		}
		l.configurers[d.Kind.Name] = conf
	}
	with := n.get("with")
	if with == nil {
		with = &node{kind: mapping, pos: f.pos, key: f.pos}
	}
	if with.kind == mapping {
		d.Where = places(with)
		d.Config = conf.fill(with, l.collector, d.owner())
	}
	return d
}

// limits reads what a stage says of resources, retries and time.
func (l *loader) limits(d *draft, n *node) {
	res := n.get("resources")
	d.CPUs = res.int("cpus")
	d.GPUs = res.int("gpus")
	d.Retries = n.int("retries")
	d.Time = l.duration(d, res.get("time"), "resources.time")
	d.Timeout = l.duration(d, n.get("timeout"), "timeout")
	d.Memory = l.bytes(d.owner(), "resources.memory", res.get("memory"))
	if v := n.get("continue-on-error"); v != nil {
		d.ContinueOnError = v.yes
	}
	if v := n.get("env"); v != nil {
		for _, e := range v.items {
			if e.kind == text {
				d.Env = append(d.Env, e.text)
			}
		}
	}
}

// int is the whole number of a key, 0 when it has none.
func (n *node) int(name string) int {
	v := n.get(name)
	if v == nil || v.kind != number {
		return 0
	}
	i, _ := strconv.Atoi(v.number.String())
	return i
}

func (l *loader) duration(d *draft, n *node, key string) time.Duration {
	if n == nil || n.kind != text {
		return 0
	}
	t, err := time.ParseDuration(n.text)
	if err == nil && t == 0 {
		l.add(n.pos, "", "`%s` of %s must be more than 0", key, d.owner())
	}
	return t // what does not parse breaks the shape, and was reported there
}

var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// ParseBytes reads a size such as 512MiB, 1.5 GB or 1024, in bytes.
func ParseBytes(s string) (int64, error) {
	if f, ok := parseBytes(s); ok && f >= 1 && f < math.MaxInt64 {
		return int64(f), nil
	}
	return 0, fmt.Errorf("%q is no size: write 512MiB, 20GiB or a number of bytes", s)
}

func parseBytes(s string) (n float64, ok bool) {
	for _, u := range sizeUnits {
		if digits, ok := strings.CutSuffix(s, u.suffix); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
			return f * u.bytes, err == nil
		}
	}
	return 0, false
}

func (l *loader) bytes(owner, key string, n *node) int64 {
	if n == nil || n.kind != text && n.kind != number {
		return 0
	}
	s := n.text
	if n.kind == number {
		s = n.number.String()
	}
	f, ok := parseBytes(s)
	if !ok {
		return 0 // breaks the shape
	}
	if f >= 1 && f < math.MaxInt64 {
		return int64(f)
	}
	l.add(n.pos, "", "`%s` of %s cannot be %s", key, owner, s)
	return 0
}

// readPublish reads `publish:`. The output of a stage with a matrix goes into one
// directory for each expansion.
func (l *loader) readPublish() {
	publish := l.root.get("publish")
	if publish == nil || publish.kind != mapping {
		return
	}
	taken := map[string]Pos{}
	for _, f := range publish.fields {
		n := l.substitute(f.value)
		if n.hole {
			continue
		}
		if n.kind != text {
			l.add(n.pos, "", "`publish.%s` must be a reference to an output, STAGE.PORT, not %s", f.name, n.describe())
			continue
		}
		refs, _, _ := l.refs(n)
		matrix := !strings.Contains(n.text, "[")
		for _, r := range refs {
			if r.Source != "" {
				l.add(n.pos, "", "`%s` is a source; only outputs of stages are published", n.text)
				break
			}
			dir := l.abs(f.name)
			if _, label, ok := strings.Cut(r.Stage, "["); ok && matrix {
				dir = filepath.Join(dir, strings.TrimSuffix(label, "]"))
			}
			if first, twice := taken[dir]; twice {
				l.add(f.pos, "", "%s is published to twice; first in line %d", f.name, first.Line)
				continue
			}
			taken[dir] = f.pos
			l.p.Publish = append(l.p.Publish, Publish{Dir: dir, From: r, Pos: f.pos})
		}
	}
}
