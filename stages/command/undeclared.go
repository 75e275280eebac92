package command

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// What a command stage does about files that its command reads and nothing declares.
const (
	undeclaredIgnore = "ignore" // not even looked for
	undeclaredWarn   = "warn"
	undeclaredFail   = "fail"
	undeclaredKey    = "key" // the part is made again when one of them changes
)

// system are the places that hold programs, their libraries and what they know of the
// machine, and no input: what stands there belongs to an installed version.
var system = []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/opt", "/etc", "/nix/store", "/gnu/store",
	"/proc", "/sys", "/dev", "/run", "/var/run", "/var/cache/fontconfig", "/var/cache/ldconfig"}

const (
	shownFiles = 10     // that an error or a notice names
	mostFiles  = 10_000 // that a part may depend on
)

// boundary is what a command may read without having it declared.
type boundary struct {
	roots []string        // directories, and all below them
	files map[string]bool // the declared inputs, where they really lie
	allow []*regexp.Regexp
}

// newBoundary takes the directories that are the part's own, and those of its inputs.
func newBoundary(own, inputs []string, allow []string) (*boundary, error) {
	b := &boundary{roots: slices.Clone(system), files: map[string]bool{}}
	for _, dir := range own {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return nil, err
		}
		b.roots = append(b.roots, dir, real)
	}
	for _, dir := range inputs {
		err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err != nil || info.IsDir() {
				return err
			}
			real, err := filepath.EvalSymlinks(path)
			b.files[real] = true
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, pattern := range allow {
		b.allow = append(b.allow, allowed(pattern))
	}
	return b, nil
}

func (b *boundary) outside(path string) bool {
	for _, root := range b.roots {
		if rest, ok := strings.CutPrefix(path, root); ok && (rest == "" || rest[0] == '/') {
			return false
		}
	}
	return path != "/" && !b.files[path] && !slices.ContainsFunc(b.allow, func(r *regexp.Regexp) bool { return r.MatchString(path) })
}

// allowed makes an expression of a pattern: * and ? stay within a name, ** does not, and
// all below what matches is meant too.
func allowed(pattern string) *regexp.Regexp {
	var b strings.Builder
	for rest := filepath.Clean(pattern); rest != ""; {
		switch {
		case strings.HasPrefix(rest, "**/"):
			b.WriteString("(.*/)?")
			rest = rest[2:]
		case strings.HasPrefix(rest, "**"):
			b.WriteString(".*")
			rest = rest[1:]
		case rest[0] == '*':
			b.WriteString("[^/]*")
		case rest[0] == '?':
			b.WriteString("[^/]")
		default:
			b.WriteString(regexp.QuoteMeta(rest[:1]))
		}
		rest = rest[1:]
	}
	return regexp.MustCompile("^" + b.String() + "(/.*)?$")
}

// undeclared lists what a traced command took from outside, sorted: files that it read or
// ran, directories that it listed, and, where missing says so, what it looked for in vain.
func undeclared(t *trace, missing bool) (paths []string) {
	found := map[string]bool{}
	for p := range t.reads {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			continue // of which no name was read
		}
		found[p] = true
	}
	maps.Copy(found, t.listed)
	if missing {
		for p := range t.missed {
			if _, err := os.Lstat(p); err != nil {
				found[p] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// judge does what the config says about undeclared inputs. The command began at began.
func (c *Command) judge(task stage.Task, t *trace, began time.Time) error {
	paths := undeclared(t, c.c.Undeclared == undeclaredKey)
	if len(paths) == 0 {
		return nil
	}
	for i, p := range paths {
		if i == mostFiles {
			break
		}
		task.Logf("undeclared input: %s", p)
	}
	what := fmt.Sprintf("the command read %s that nothing declares", files(len(paths)))
	const advice = "wire them to the port in or scripts as sources, or list them under allow if they do not matter"
	switch c.c.Undeclared {
	case undeclaredFail:
		return fmt.Errorf("%s; %s:\n%s", what, advice, shorten(paths, "\n"))
	case undeclaredWarn:
		task.Count("undeclared", "inputs", int64(len(paths)))
		task.Notice(fmt.Sprintf("%s: %s", what, shorten(paths, ", ")))
		return nil
	}
	if len(paths) > mostFiles {
		return fmt.Errorf("%s, more than the %d that a part may depend on; %s:\n%s", what, mostFiles, advice, shorten(paths, "\n"))
	}
	task.Count("undeclared", "inputs", int64(len(paths)))
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.ModTime().After(began) {
			return fmt.Errorf("the command read %s, which changed while it ran, so that nobody can tell what it read; declare it as a source or list it under allow", p)
		}
		if err := task.Depends(p); err != nil {
			return fmt.Errorf("the command read %s, which nothing declares: %w", p, err)
		}
	}
	return nil
}

func files(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

func shorten(paths []string, between string) string {
	if more := len(paths) - shownFiles; more > 0 {
		paths = append(slices.Clone(paths[:shownFiles]), fmt.Sprintf("and %d more (see the log)", more))
	}
	return strings.Join(paths, between)
}

// checkUndeclared checks the settings.
func checkUndeclared(c *Config) error {
	var errs []error
	for i, p := range c.Allow {
		if !filepath.IsAbs(p) {
			errs = append(errs, fmt.Errorf("allow[%d] %q is no absolute path: begin it with /", i, p))
		}
	}
	if len(c.Allow) > 0 && c.Undeclared == undeclaredIgnore {
		errs = append(errs, errors.New("allow means nothing with undeclared: ignore; set undeclared to warn, fail or key"))
	}
	return errors.Join(errs...)
}
