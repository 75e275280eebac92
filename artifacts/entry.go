package artifacts

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Entry is all that the ledger knows of a key, in the form in which one ledger can tell
// another.
type Entry struct {
	Action  *Action
	Texts   map[string][]byte // the configs and lists that the components name, by digest
	Metrics []Metric
}

// PutEntry records what was made elsewhere, in one transaction that is durable on
// return. The objects of its outputs must have been published. The time of the action is
// now: what it tells is how long the key has been known here.
func (l *Ledger) PutEntry(e *Entry) error {
	if e.Action == nil {
		return errors.New("record an entry: it has no action")
	}
	for digest, text := range e.Texts {
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != digest {
			return fmt.Errorf("record the entry of key %s: a text hashes to %x, but is named %s", e.Action.Key, sum, digest)
		}
	}
	return l.transact("record an entry", true, func(t *tx) error {
		for digest, text := range e.Texts {
			if err := t.putConfig(digest, text); err != nil {
				return err
			}
		}
		if err := t.putAction(e.Action); err != nil {
			return err
		}
		return t.putMetrics(e.Action.Key, e.Metrics)
	})
}

// KeyMetrics gives what the parts with these keys reported, by key, then by name and step.
func (l *Ledger) KeyMetrics(keys []string) (map[string][]Metric, error) {
	const together = 256
	const query = `SELECT m.key, m.name, m.step, m.value FROM json_each(?) k CROSS JOIN metrics m ON m.key = k.value
		ORDER BY m.key, m.name, m.step`
	found := map[string][]Metric{}
	for chunk := range slices.Chunk(keys, together) {
		list, err := json.Marshal(chunk)
		if err != nil {
			return nil, err
		}
		err = l.each("look up metrics", query, []any{string(list)}, func(r *sql.Rows) error {
			var key string
			var m Metric
			var value sql.NullFloat64
			if err := r.Scan(&key, &m.Name, &m.Step, &value); err != nil {
				return err
			}
			m.Value = math.NaN() // SQLite keeps it as NULL
			if value.Valid {
				m.Value = value.Float64
			}
			found[key] = append(found[key], m)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
