package artifacts

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
)

// rows lists the rows that go beside those of results: the parts of runs that are not
// kept, which say of each what became of it, and configs and lists that no key is made
// from any more. What a run was, its stages and its summary stay for ever.
func (m *marking) rows(ctx context.Context) error {
	l := m.s.ledger
	const parts = `SELECT run, sum(n) FROM (SELECT run, count(*) AS n FROM part_rows GROUP BY run
		UNION ALL SELECT run, sum(count) FROM hits GROUP BY run) GROUP BY run`
	err := l.each("count parts", parts, nil, func(rows *sql.Rows) error {
		var run int64
		var n int
		if err := rows.Scan(&run, &n); err != nil {
			return err
		}
		if r := m.runs[run]; r == nil || !r.keep && !r.maker {
			m.plan.runs = append(m.plan.runs, run)
			m.plan.add("rows of parts", whyRun, n, 0, 0)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	configs := map[string]bool{} // digest → needed
	err = l.each("list configs", "SELECT digest FROM configs", nil, func(rows *sql.Rows) error {
		var digest string
		err := rows.Scan(&digest)
		configs[digest] = false
		return err
	})
	if err != nil || len(configs) == 0 {
		return err
	}
	gone := make(map[string]bool, len(m.plan.keys))
	for _, k := range m.plan.keys {
		gone[k] = true
	}
	const texts = "SELECT key, config || ' ' || components FROM actions UNION ALL SELECT '', graph FROM runs"
	err = l.each("look for configs in use", texts, nil, func(rows *sql.Rows) error {
		var key, text string
		if err := rows.Scan(&key, &text); err != nil || gone[key] {
			return err
		}
		eachDigest(text, func(d string) {
			if _, ok := configs[d]; ok {
				configs[d] = true
			}
		})
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for digest, needed := range configs {
		if !needed {
			m.plan.configs = append(m.plan.configs, digest)
		}
	}
	slices.Sort(m.plan.configs)
	m.plan.add("rows of configs", whyNameless, len(m.plan.configs), 0, 0)
	return nil
}

// eachDigest finds the digests in a text: 64 hex digits with none before or after.
func eachDigest(text string, visit func(string)) {
	for i := 0; i < len(text); i++ {
		n := 0
		for i+n < len(text) && isHex[text[i+n]] {
			n++
		}
		if n == 64 {
			visit(text[i : i+n])
		}
		i += n
	}
}

// sweep removes what a plan lists: rows in one transaction, then files.
func (s *Store) sweep(ctx context.Context, p *GCPlan, progress func(done, total int)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(p.keys)+len(p.runs)+len(p.configs) > 0 {
		err := s.ledger.transact("collect garbage", true, func(t *tx) error { return t.forget(p) })
		if err != nil {
			return err
		}
	}
	var first error
	work := filepath.Join(s.dir, workDir)
	for i, path := range p.files {
		if err := ctx.Err(); err != nil {
			p.Left = len(p.files) - i
			return err
		}
		if progress != nil {
			progress(i, len(p.files))
		}
		if dir, name := filepath.Split(path); filepath.Clean(dir) == work {
			if _, err := strconv.ParseInt(name, 10, 64); err == nil {
				continue // clearUp takes it, holding the run's lock
			}
		}
		err := os.ErrNotExist
		if info, e := os.Lstat(path); e == nil && info.IsDir() {
			err = disk.RemoveAll(path)
		} else if e == nil {
			err = disk.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.Left++
			if first == nil {
				first = advise("collect garbage", path, err)
			}
		}
	}
	if err := errors.Join(s.ledger.markDied(), s.clearUp()); err != nil {
		return errors.Join(first, err)
	}
	if first != nil {
		return fmt.Errorf("%d files could not be removed; the first: %w", p.Left, first)
	}
	return nil
}

// forget removes rows, and with them the metrics of keys that nothing names any more.
func (t *tx) forget(p *GCPlan) error {
	const together = 4096
	for keys := range slices.Chunk(p.keys, together) {
		if err := t.execList("DELETE FROM actions WHERE key IN (SELECT value FROM json_each(?))", keys); err != nil {
			return err
		}
	}
	for _, table := range []string{"part_rows", "hits"} {
		if err := t.execList("DELETE FROM "+table+" WHERE run IN (SELECT value FROM json_each(?))", p.runs); err != nil {
			return err
		}
	}
	for configs := range slices.Chunk(p.configs, together) {
		if err := t.execList("DELETE FROM configs WHERE digest IN (SELECT value FROM json_each(?))", configs); err != nil {
			return err
		}
	}
	if err := t.exec("DELETE FROM lists WHERE digest NOT IN (SELECT list FROM hits UNION SELECT list FROM completions)"); err != nil {
		return err
	}
	return t.exec(`DELETE FROM metrics WHERE key NOT IN (SELECT key FROM actions UNION SELECT key FROM part_rows
		UNION SELECT e.value ->> 1 FROM lists, json_each(lists.parts) e)`)
}

func (t *tx) execList(query string, list any) error {
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return t.exec(query, string(b))
}
