// Package command is the stage kind command: a shell command as a stage.
package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// Config is the `with:` of a command stage.
type Config struct {
	Run  string            `json:"run" jsonschema_description:"what /bin/sh runs; {in.in}, {in.scripts} and {out.out} are directories, {file} the one file of a part, {part} its name"`
	Each bool              `json:"each" jsonschema_description:"a part for each file of the port in, not one for all"`
	Env  map[string]string `json:"env" jsonschema_description:"environment variables; there are no others but PATH, LANG, HOME and TMPDIR"`

	Undeclared string   `json:"undeclared" jsonschema:"enum=ignore,enum=warn,enum=fail,enum=key" jsonschema_description:"files that the command reads and nothing declares, as strace sees them: ignore does not look; warn tells; fail fails; key makes the part again when one of them changes"`
	Allow      []string `json:"allow" jsonschema_description:"absolute paths or patterns (*, ?, **) of files that undeclared passes over, with all below them"`
}

// Kind is command.
var Kind = stage.Kind{
	Name:    "command",
	Version: 2,
	Doc:     "runs a shell command over files",
	In: []stage.Port{
		{Name: "in", Doc: "files for the command", Type: stage.Any, Many: true, Optional: true, Names: true},
		{Name: "scripts", Doc: "programs that the command runs, so that they enter the key", Type: stage.Any, Many: true, Optional: true, Names: true},
	},
	Out:    []stage.Port{{Name: "out", Doc: "the files that the command leaves in {out.out}", Type: stage.Any}},
	Config: Config{Env: map[string]string{}, Undeclared: undeclaredIgnore, Allow: []string{}},
	New:    stage.Build(New),
}

// Command is a configured command stage.
type Command struct{ c Config }

// holder is a placeholder. Braces after a $ are the shell's.
var holder = regexp.MustCompile(`\$?\{(in|out|scripts|part|file)(\.[\w-]*)?\}`)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// New checks the command's placeholders and environment.
func New(c Config) (stage.Stage, error) {
	var errs []error
	if strings.TrimSpace(c.Run) == "" {
		errs = append(errs, errors.New("run is empty: say what to run"))
	}
	for _, p := range placeholders(c.Run) {
		switch p {
		case "{in}", "{in.in}", "{scripts}", "{in.scripts}", "{out}", "{out.out}", "{part}":
		case "{file}":
			if !c.Each {
				errs = append(errs, errors.New("run has {file}, the one file of a part, without each: true"))
			}
		default:
			errs = append(errs, fmt.Errorf("run has %s, which means nothing; there are {in.in}, {in.scripts}, {out.out}, {part} and, with each: true, {file}", p))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		if !variable.MatchString(k) {
			errs = append(errs, fmt.Errorf("env.%s is no name for a variable: letters, figures and _ make one", k))
		}
		if strings.ContainsRune(c.Env[k], 0) {
			errs = append(errs, fmt.Errorf("env.%s holds a zero byte", k))
		}
	}
	errs = append(errs, checkUndeclared(&c))
	return &Command{c}, errors.Join(errs...)
}

// placeholders lists those of a command, each once, in order.
func placeholders(run string) (p []string) {
	for _, s := range holder.FindAllString(run, -1) {
		if !strings.HasPrefix(s, "$") && !slices.Contains(p, s) {
			p = append(p, s)
		}
	}
	return p
}

// Split makes one part, or one of each file.
func (c *Command) Split(in stage.Inputs) ([]stage.Part, error) {
	for _, p := range placeholders(c.c.Run) {
		if (p == "{scripts}" || p == "{in.scripts}") && len(in["scripts"]) == 0 {
			return nil, fmt.Errorf("run has %s, but nothing is wired to the port scripts", p)
		}
		if (p == "{in}" || p == "{in.in}") && len(in["in"]) == 0 {
			return nil, fmt.Errorf("run has %s, but nothing is wired to the port in", p)
		}
	}
	if !c.c.Each {
		return []stage.Part{{Name: "all", Whole: true}}, nil
	}
	if len(in["in"]) == 0 {
		return nil, errors.New("each: true makes a part for each file of the port in, but there are none")
	}
	var parts []stage.Part
	taken := map[string]bool{}
	for i, f := range in["in"] {
		name := f.Name
		if taken[name] {
			name = fmt.Sprintf("%s~%d", name, i)
		}
		taken[name] = true
		parts = append(parts, stage.Part{Name: name, Files: map[string][]int{"in": {i}}})
	}
	return parts, nil
}

// Run runs the command in a directory of its own, which holds in, scripts, out and tmp.
// It sees these by relative paths, so that where they are cannot enter what it writes.
func (c *Command) Run(ctx context.Context, t stage.Task) error {
	partial, err := t.Partial()
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(filepath.Join(partial, "command"))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil { // of an earlier attempt
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		return err
	}
	var inputs []string
	for _, port := range []struct {
		name string
		mode os.FileMode
	}{{"in", 0o644}, {"scripts", 0o755}} {
		from, err := t.InputDir(port.name)
		if err != nil {
			return err
		}
		inputs = append(inputs, from)
		if err := place(from, filepath.Join(dir, port.name), port.mode); err != nil {
			return fmt.Errorf("input %s: %w", port.name, err)
		}
	}
	out, err := t.OutputDir("out")
	if err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := os.Symlink(out, filepath.Join(dir, "out")); err != nil {
		return err
	}
	values := map[string]string{"{in}": "in", "{in.in}": "in", "{scripts}": "scripts", "{in.scripts}": "scripts", "{out}": "out", "{out.out}": "out", "{part}": "all"}
	if c.c.Each {
		f := t.Inputs("in")[0]
		name := f.Name
		if name == "" {
			name = "00000"
		}
		values["{file}"] = quote("in/" + name)
		values["{part}"] = quote(path.Base(name))
	}
	script := holder.ReplaceAllStringFunc(c.c.Run, func(s string) string {
		if v, ok := values[s]; ok {
			return v
		}
		return s
	})
	tr, err := c.tracer(t, dir, out, inputs)
	if err != nil {
		return err
	}
	began := time.Now()
	if err = run(ctx, script, dir, c.environment(dir), tr, t.Logf); err != nil {
		return err
	}
	if tr != nil {
		if err := c.judge(t, tr.trace, began); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// tracer is what looks at the files that the command opens; nil if nothing shall. Without
// strace a command that would only be warned of runs all the same.
func (c *Command) tracer(t stage.Task, dir, out string, inputs []string) (*tracer, error) {
	if c.c.Undeclared == undeclaredIgnore {
		return nil, nil
	}
	b, err := newBoundary([]string{dir, out}, inputs, c.c.Allow)
	if err != nil {
		return nil, err
	}
	tr, err := newTracer(dir, b.outside)
	switch {
	case err == nil:
		return tr, nil
	case c.c.Undeclared == undeclaredWarn:
		t.Notice("undeclared inputs are not looked for: " + err.Error())
		return nil, nil
	}
	return nil, fmt.Errorf("undeclared: %s needs to see which files the command opens: %w", c.c.Undeclared, err)
}

// environment is what config lists over the little that programs cannot do without.
func (c *Command) environment(dir string) []string {
	env := map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": dir, "TMPDIR": filepath.Join(dir, "tmp")}
	maps.Copy(env, c.c.Env)
	var list []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

var plain = regexp.MustCompile(`^[A-Za-z0-9._/+@%=:,-]+$`)

// quote makes one word of s for the shell.
func quote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
