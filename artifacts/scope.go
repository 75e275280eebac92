package artifacts

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
)

// scope is the part of a store that a run, a stage or the pins are about.
type scope struct {
	keys      map[string]bool // of parts
	artifacts map[string]bool // manifests
	objects   map[string]bool // manifests and the files they and the keys' outputs list
}

// scope finds what is to be verified; nil is everything.
func (s *Store) scope(ctx context.Context, o VerifyOptions) (*scope, error) {
	if o.Run == 0 && o.Stage == "" && !o.Pinned {
		return nil, nil
	}
	c := &scope{keys: map[string]bool{}, artifacts: map[string]bool{}, objects: map[string]bool{}}
	if o.Pinned {
		pins, err := s.ledger.Pins()
		if err != nil {
			return nil, err
		}
		for _, p := range pins {
			c.artifacts[p.Artifact] = true
		}
	}
	if o.Run != 0 || o.Stage != "" {
		if err := s.ledger.within(ctx, o, c); err != nil {
			return nil, err
		}
		if len(c.keys) == 0 && len(c.artifacts) == 0 {
			return nil, fmt.Errorf("%s: `pipeline history` lists the runs, `pipeline status RUN` the stages of one: %w", nothingOf(o), fs.ErrNotExist)
		}
	}
	err := s.ledger.eachAction(ctx, func(m made) error {
		if !c.keys[m.key] && !(o.Pinned && c.artifacts[m.artifact]) {
			return nil
		}
		c.keys[m.key] = true
		if m.artifact != "" {
			c.artifacts[m.artifact] = true
		}
		if m.err == nil {
			for _, f := range m.outputs.Files {
				c.objects[f.Digest] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for digest := range c.artifacts {
		c.objects[digest] = true
		if m := s.peek(digest); m != nil {
			for _, f := range m.Files {
				c.objects[f.Digest] = true
			}
		}
	}
	return c, nil
}

func nothingOf(o VerifyOptions) string {
	switch {
	case o.Run == 0:
		return fmt.Sprintf("no run had parts of a stage %q", o.Stage)
	case o.Stage == "":
		return fmt.Sprintf("run %d has no parts", o.Run)
	}
	return fmt.Sprintf("run %d has no parts of a stage %q", o.Run, o.Stage)
}

// within collects the keys and outputs of a run, a stage or both.
func (l *Ledger) within(ctx context.Context, o VerifyOptions, c *scope) error {
	err := l.eachKey(ctx, o.Run, func(_ int64, stage, key string) error {
		if ofStage(stage, o.Stage) {
			c.keys[key] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.eachOutput(func(out stageOutput) error {
		if (o.Run == 0 || out.run == o.Run) && ofStage(out.stage, o.Stage) {
			c.artifacts[out.artifact] = true
		}
		return nil
	})
}

// ofStage says whether a stage is the one asked for, or a cell of that matrix.
func ofStage(stage, want string) bool {
	return want == "" || stage == want || strings.HasPrefix(stage, want+"[")
}
