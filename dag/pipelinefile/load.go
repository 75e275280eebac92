package pipelinefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"sync"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// Load reads and resolves a pipeline file. The error, if any, is a *Problems that
// holds all that is wrong.
func Load(path string, o Options) (*Pipeline, error) {
	c := &collector{file: path}
	src, err := os.ReadFile(path)
	if err != nil {
		why := err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			why = "no such pipeline file"
		} else if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			why = "cannot read the pipeline file: " + pe.Err.Error()
		}
		c.add(Pos{File: path}, "", "%s", why)
		return nil, c.err()
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		c.add(Pos{File: path}, "", "cannot tell in which directory the file is: %v", err)
		return nil, c.err()
	}
	return load(src, path, dir, o)
}

// loader holds what is known while one file is resolved.
type loader struct {
	*collector
	*scope
	p     *Pipeline
	kinds []stage.Kind
	root  *node

	configurers map[string]*configurer
	stageShape  *checker

	drafts  []*draft            // every expansion, in file order
	byBase  map[string][]*draft // also of stages whose matrix is broken: none
	byName  map[string]*draft
	sources map[string]bool
}

func load(src []byte, path, dir string, o Options) (*Pipeline, error) {
	c := &collector{file: path}
	l := &loader{
		collector:   c,
		p:           &Pipeline{Path: path, Dir: dir, Profile: o.Profile},
		kinds:       o.Kinds,
		configurers: map[string]*configurer{},
		byBase:      map[string][]*draft{},
		byName:      map[string]*draft{},
		sources:     map[string]bool{},
	}
	root := read(src, c)
	if root == nil {
		return nil, c.err()
	}
	if root.kind != mapping {
		if !root.hole {
			c.add(root.pos, "", "the file must be a mapping with `pipeline` and `stages`, not %s", root.describe())
		}
		return nil, c.err()
	}
	if root = l.profile(root, o); root == nil {
		return nil, c.err()
	}
	l.root = root.dropEmpty("vars", "sources", "stages", "publish", "profiles")
	if err := l.resolve(); err != nil {
		c.add(Pos{File: path}, "", "%v", err)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return l.p, nil
}

// resolve goes through the file section by section. Its error is a defect of a stage
// kind or of this package, not of the file.
func (l *loader) resolve() error {
	l.scope = newScope(l.collector, l.root)
	header := l.root.without("vars", "sources", "stages", "publish", "profiles")
	header = l.substitute(header)
	whole := *l.root
	whole.fields = append([]field(nil), header.fields...)
	for _, f := range l.root.fields {
		if header.get(f.name) == nil {
			whole.fields = append(whole.fields, f)
		}
	}
	top, err := shapeChecker(reflect.TypeFor[fileShape]())
	if err != nil {
		return err
	}
	l.report(top, &whole, whole.plain(), "", "")
	l.names(&whole)
	if n := header.get("pipeline"); n != nil && n.kind == text {
		l.p.Name = n.text
	}
	if n := header.get("seed"); n != nil && n.kind == number {
		fmt.Sscan(n.number.String(), &l.p.Seed)
	}
	for _, name := range l.vars.names() {
		l.variable(Pos{}, name)
	}
	if err := l.readSources(); err != nil {
		return err
	}
	if l.stageShape, err = shapeChecker(reflect.TypeFor[stageShape]()); err != nil {
		return err
	}
	if stages := l.root.get("stages"); stages != nil {
		if stages.kind == mapping && len(stages.fields) == 0 {
			l.add(stages.key, "", "the file has no stages")
		}
		for _, f := range stages.fields {
			l.readStage(f)
		}
	}
	l.bind()
	l.readPublish()
	return nil
}

func shapeChecker(t reflect.Type) (*checker, error) {
	if c, ok := shapeCheckers.Load(t); ok {
		return c.(*checker), nil
	}
	doc, err := reflectSchema(t)
	if err != nil {
		return nil, err
	}
	c, err := newChecker(doc)
	if err == nil {
		shapeCheckers.Store(t, c)
	}
	return c, err
}

// shapeCheckers holds the checkers made: the shapes of a file never change.
var shapeCheckers sync.Map // reflect.Type → *checker

var goodName = regexp.MustCompile(namePattern)

// names checks the keys that are names: references and expressions must be able to
// hold them.
func (l *loader) names(file *node) {
	for _, section := range []string{"vars", "sources", "stages", "profiles"} {
		n := file.get(section)
		if n == nil {
			continue
		}
		for _, f := range n.fields {
			if !goodName.MatchString(f.name) {
				l.add(f.pos, "", "`%s` cannot be a name: it %s", f.name, patternText(namePattern))
			}
		}
	}
}

// profile merges the chosen profile over the file, and checks the others as far as
// that can be done without merging them.
func (l *loader) profile(root *node, o Options) *node {
	profiles := root.get("profiles")
	base := root.without("profiles")
	if profiles != nil && profiles.kind == mapping {
		l.p.Profiles = profiles.names()
	}
	if o.Profile == "" {
		l.checkProfiles(profiles, "")
		return root
	}
	chosen := profiles.get(o.Profile)
	if chosen == nil {
		pos := Pos{File: l.file}
		if profiles != nil {
			pos = profiles.key
		}
		l.add(pos, suggest(o.Profile, l.p.Profiles, "there are"), "unknown profile `%s`", o.Profile)
		return nil
	}
	l.checkProfiles(profiles, o.Profile)
	if chosen.kind == null || chosen.hole {
		return root
	}
	if chosen.kind != mapping {
		return root // reported with the shape of the file
	}
	if nested := chosen.get("profiles"); nested != nil {
		l.add(nested.key, "", "a profile cannot have profiles of its own")
		chosen = chosen.without("profiles")
	}
	for _, section := range []string{"stages", "sources"} {
		l.strangers(base.get(section), chosen.get(section), section, o.Profile)
	}
	merged := merge(base, chosen)
	merged.fields = append(merged.fields, field{"profiles", profiles.key, profiles})
	return merged
}

// strangers reports entries of a profile that change something the file does not
// have. New entries are fine; they are whole.
func (l *loader) strangers(base, over *node, section, profile string) {
	if over == nil || over.kind != mapping {
		return
	}
	one, whole := "stage", []string{"uses"}
	if section == "sources" {
		one, whole = "source", []string{"path", "files"}
	}
next:
	for i, f := range over.fields {
		if base.get(f.name) != nil || f.value.kind != mapping && f.value.kind != null {
			continue
		}
		for _, key := range whole {
			if f.value.get(key) != nil {
				continue next
			}
		}
		l.add(f.pos, suggest(f.name, base.names(), "it has"), "profile `%s` changes %s `%s`, which the file does not have", profile, one, f.name)
		over.fields[i].value = &node{kind: null, pos: f.value.pos, key: f.pos}
	}
}
