package artifacts

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Most parts of most runs are hits, and always the same ones. A row for each would make a
// run of which nothing changed the costliest thing that the ledger does, and its rows the
// most of what it holds. So hits are recorded as a list of names and keys, under the
// list's digest, and a run that meets the same hits in the same order names the list.

// hitsAhead is how many of the parts, from the first on, can be recorded as one list.
func hitsAhead(parts []PartRecord) int {
	first := &parts[0]
	for i := range parts {
		p := &parts[i]
		if p.State != "cached" || p.Key == "" || p.Attempt != 0 || p.Error != "" || len(p.Metrics) > 0 ||
			p.Run != first.Run || p.Stage != first.Stage || p.Kind != first.Kind || p.Index != first.Index+i {
			return i
		}
	}
	return len(parts)
}

func (t *tx) putHits(parts []PartRecord) error {
	pairs := make([][2]string, len(parts))
	for i := range parts {
		pairs[i] = [2]string{parts[i].Part, parts[i].Key}
	}
	list, err := t.putList(pairs)
	if err != nil {
		return err
	}
	return t.putListed(&parts[0], len(parts), list)
}

// putListed records that as many parts as a list has were hits: first is the first.
func (t *tx) putListed(first *PartRecord, count int, list string) error {
	started := int64(0)
	if !first.Started.IsZero() {
		started = first.Started.UnixNano()
	}
	return t.exec("INSERT OR REPLACE INTO hits (run, stage, idx, kind, count, list, started) VALUES (?, ?, ?, ?, ?, ?, ?)",
		first.Run, first.Stage, first.Index, first.Kind, count, list, started)
}

// putList keeps a list of names and keys and gives its digest.
func (t *tx) putList(pairs [][2]string) (digest string, err error) {
	b, err := json.Marshal(pairs)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	digest = hex.EncodeToString(sum[:])
	// The run after one of which nothing changed has the same list: do not hand SQLite a
	// megabyte for nothing.
	if known, err := t.has("SELECT 1 FROM lists WHERE digest = ?", digest); known || err != nil {
		return digest, err
	}
	return digest, t.exec("INSERT INTO lists (digest, parts) VALUES (?, ?) ON CONFLICT DO NOTHING", digest, string(b))
}

// hits adds the listed parts of a run to those given, by stage and index.
func (l *Ledger) hits(parts []PartRecord, run int64, stage string) ([]PartRecord, error) {
	const query = `SELECT h.stage, h.idx, h.kind, h.started, l.parts FROM hits h JOIN lists l ON l.digest = h.list
		WHERE h.run = ? AND (? = '' OR h.stage = ?) ORDER BY h.stage, h.idx`
	err := l.each("look up parts", query, []any{run, stage, stage}, func(r *sql.Rows) error {
		p := PartRecord{Run: run, State: "cached"}
		var started int64
		var list sql.RawBytes
		if err := r.Scan(&p.Stage, &p.Index, &p.Kind, &started, &list); err != nil {
			return err
		}
		if started != 0 {
			p.Started = time.Unix(0, started)
		}
		var pairs [][2]string
		if err := json.Unmarshal(list, &pairs); err != nil {
			return fmt.Errorf("the parts of stage %s in run %d: %w", p.Stage, run, err)
		}
		for _, q := range pairs {
			p.Part, p.Key = q[0], q[1]
			parts = append(parts, p)
			p.Index++
		}
		return nil
	})
	return parts, err
}
