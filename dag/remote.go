package dag

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag/stage"
)

// Remote is where other machines keep what they made.
type Remote interface {
	// Fetch looks for keys and brings the outputs of those it finds into the store, by way
	// of dir. It calls take, from any goroutine, once for each key it has an answer for:
	// with the entry; with neither, when nobody has made it; with a problem, when what
	// there is cannot be used. An error that take returns says that the entry is not sound.
	Fetch(ctx context.Context, dir string, keys []string, take func(key string, e *artifacts.Entry, problem error) error) error
}

// ask looks for missed parts elsewhere, beside the goroutine that owns the run. Those
// that are found are looked up again and are hits then; the others have to run.
func (c *coordinator) ask(parts []*part) {
	byKey := map[string][]*part{}
	var keys []string
	for _, p := range parts {
		p.asked = true
		if byKey[p.key] == nil {
			keys = append(keys, p.key)
		}
		byKey[p.key] = append(byKey[p.key], p)
	}
	c.asks++
	dir := c.store.WorkDir(c.run, fmt.Sprintf("remote-%d", c.asks))
	c.spawn(func() func() error {
		var mu sync.Mutex
		answered := map[string]bool{}
		err := c.o.Remote.Fetch(c.waits, dir, keys, func(key string, e *artifacts.Entry, problem error) error {
			if e != nil {
				if err := sound(byKey[key][0], e.Action); err != nil {
					return err
				}
				problem = c.store.Ledger().PutEntry(e)
			}
			mu.Lock()
			answered[key] = true
			mu.Unlock()
			c.events <- func() error {
				c.answer(byKey[key], e != nil && problem == nil, problem)
				return nil
			}
			return nil
		})
		return func() error {
			if err != nil && c.waits.Err() != nil {
				return nil // given up: nothing more is started
			}
			if err != nil && !c.alone {
				c.alone = true
				c.notice("%v; going on without it", err)
			}
			for _, key := range keys {
				if !answered[key] {
					c.answer(byKey[key], false, nil)
				}
			}
			return nil
		}
	})
}

// answer takes what became of equal parts that were asked for elsewhere.
func (c *coordinator) answer(parts []*part, found bool, problem error) {
	if problem != nil {
		c.notice("%s, part %s: %v", parts[0].node.Name, parts[0].name, problem)
	}
	for _, p := range parts {
		if found {
			p.fetched = true
			p.state = partNew
			p.node.missedBytes -= p.bytes
			c.fresh = append(c.fresh, p)
		} else {
			c.enqueue(p)
		}
	}
}

// sound makes sure that what was made elsewhere looks as what this program would have
// made: it becomes a row of the ledger, which later runs read without doubt.
func sound(p *part, a *artifacts.Action) error {
	var d Detail
	if len(a.Counts) > 0 {
		if err := json.Unmarshal(a.Counts, &d); err != nil {
			return fmt.Errorf("its counts: %w", err)
		}
	}
	ports := p.node.Kind.Out
	if len(p.node.Kind.Mid) > 0 && !p.join {
		ports = p.node.Kind.Mid
	}
	for _, f := range a.Outputs.Files {
		port, _, ok := strings.Cut(f.Path, "/")
		if !ok || !slices.ContainsFunc(ports, func(q stage.Port) bool { return q.Name == port }) {
			return fmt.Errorf("its output %s is of no port of the stage kind %s", f.Path, p.node.Kind.Name)
		}
		var s stage.Stats
		if len(f.Stats) > 0 {
			if err := json.Unmarshal(f.Stats, &s); err != nil {
				return fmt.Errorf("statistics of its output %s: %w", f.Path, err)
			}
		}
	}
	return nil
}
