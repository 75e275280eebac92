package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/executor/task"
)

// An input that nothing declares is in no key: it is not known before the part has run.
// What a part says that it read besides its inputs is kept with its outputs, and an
// action that holds such a list is a hit only as long as all of it is what it was.

// moved is something that a part depended on and that is no more what it was.
type moved struct {
	task.Dependence
	now string // its digest
}

var dependsField = []byte(`"depends":`)

// moved finds the first thing that an action depended on and that has changed; nil if
// there is none, as for nearly all actions, of which it only looks at the field's name.
func (g *graph) moved(a *artifacts.Action) (*moved, error) {
	if !bytes.Contains(a.Counts, dependsField) {
		return nil, nil
	}
	var d Detail
	if err := json.Unmarshal(a.Counts, &d); err != nil {
		return nil, fmt.Errorf("ledger: detail of action %s: %w", a.Key, err)
	}
	for _, dep := range d.Depends {
		now, err := task.Outside(dep.Path, g.hashOutside)
		if err != nil {
			now = err.Error() // what cannot be read now is not what was read then
		}
		if now != dep.Digest {
			return &moved{dep, now}, nil
		}
	}
	return nil, nil
}

// hashOutside hashes a file, unless the ledger remembers its digest.
func (g *graph) hashOutside(path string) (string, error) {
	began := time.Now()
	id, err := artifacts.FileIDOf(path)
	if err != nil {
		return "", err
	}
	if d, ok := g.outside[id]; ok {
		return d, nil
	}
	digest, known, err := g.store.Ledger().SourceDigest(id)
	if err != nil {
		return "", err
	}
	if !known {
		if digest, _, err = artifacts.HashFile(path); err != nil {
			return "", err
		}
		if after, err := artifacts.FileIDOf(path); err != nil || after != id {
			return "", fmt.Errorf("%s changes while it is read", path)
		}
		if err := g.store.Ledger().PutSourceDigest(id, digest, began); err != nil {
			return "", err
		}
	}
	if g.outside == nil {
		g.outside = map[artifacts.FileID]string{}
	}
	g.outside[id] = digest
	return digest, nil
}

func (m *moved) reason() Reason {
	r := Reason{Component: "undeclared", Old: m.Digest, New: m.now}
	switch {
	case m.Digest == task.Absent:
		r.Text = fmt.Sprintf("undeclared input %s was not there and is now", fromHere(m.Path))
	case m.now == task.Absent:
		r.Text = fmt.Sprintf("undeclared input %s is gone", fromHere(m.Path))
	default:
		r.Text = fmt.Sprintf("undeclared input %s changed (%.18s → %.18s)", fromHere(m.Path), m.Digest, m.now)
	}
	return r
}
