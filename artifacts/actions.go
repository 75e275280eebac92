package artifacts

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Action is what the part with a key made, and what it took.
type Action struct {
	Key        string
	Kind       string
	Version    int             // of the kind
	Components json.RawMessage // what the key was computed from; the config by its digest
	Config     string          // digest; see Ledger.Config
	Outputs    *Manifest       // paths are port/name
	Artifact   string          // digest of a manifest in the store, where there is one
	Seconds    float64
	InputBytes int64
	Refusal    string          // the gate's reason; empty when nothing was refused
	Counts     json.RawMessage // what rules touched
	Created    time.Time       // zero: now
}

// PutConfig keeps the canonical JSON of a config under its digest.
func (l *Ledger) PutConfig(digest string, config []byte) error {
	return l.transact("keep a config", false, func(t *tx) error {
		return t.putConfig(digest, config)
	})
}

func (t *tx) putConfig(digest string, config []byte) error {
	if known, err := t.has("SELECT 1 FROM configs WHERE digest = ?", digest); known || err != nil {
		return err
	}
	return t.exec("INSERT INTO configs (digest, json) VALUES (?, ?) ON CONFLICT DO NOTHING", digest, string(config))
}

// Config gives the config with a digest. The error wraps fs.ErrNotExist if there is none.
func (l *Ledger) Config(digest string) (config []byte, err error) {
	found := false
	err = l.each("look up a config", "SELECT json FROM configs WHERE digest = ?", []any{digest}, func(r *sql.Rows) error {
		found = true
		return r.Scan(&config)
	})
	if err == nil && !found {
		err = fmt.Errorf("ledger %s: no config with digest %s: %w", l.path, digest, fs.ErrNotExist)
	}
	return config, err
}

// Actions looks up keys and returns those that it knows. That an action is known does
// not mean that its objects are still there.
//
// A run asks for all its parts at once, so this is made to be fast: several queries at a
// time, each for many keys.
func (l *Ledger) Actions(keys []string) (map[string]*Action, error) {
	const together = 256
	found := make(map[string]*Action, len(keys))
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(min(readers, runtime.GOMAXPROCS(0)))
	for chunk := range slices.Chunk(keys, together) {
		g.Go(func() error {
			actions, err := l.actions(chunk)
			mu.Lock()
			defer mu.Unlock()
			for i := range actions {
				found[actions[i].Key] = &actions[i]
			}
			return err
		})
	}
	return found, g.Wait()
}

// actions has SQLite join all columns of all rows into one text, since the way of a
// value from there to here costs more than the value. The separators are control
// characters, which JSON has no place for, nor have digests and the names of kinds.
func (l *Ledger) actions(keys []string) ([]Action, error) {
	const query = `SELECT group_concat(concat_ws(char(31), a.key, kind, config, artifact, components, outputs, counts,
		json_quote(refusal), version, format('%!.17g', seconds), input_bytes, created), char(30))
		FROM json_each(?) k CROSS JOIN actions a ON a.key = k.value`
	list, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	var rows sql.NullString
	err = l.each("look up keys", query, []any{string(list)}, func(r *sql.Rows) error { return r.Scan(&rows) })
	if err != nil || !rows.Valid {
		return nil, err
	}
	found := make([]Action, 0, len(keys))
	for row := range strings.SplitSeq(rows.String, "\x1e") {
		found = append(found, Action{})
		if err := found[len(found)-1].decode(row); err != nil {
			return nil, fmt.Errorf("ledger %s: the row of key %.64s is damaged: %w", l.path, row, err)
		}
	}
	return found, nil
}

func (a *Action) decode(row string) (err error) {
	next := func() (field string) {
		field, row, _ = strings.Cut(row, "\x1f")
		return field
	}
	a.Key, a.Kind, a.Config, a.Artifact = next(), next(), next(), next()
	a.Components = raw(next())
	if a.Outputs, err = decodeManifest(next()); err != nil {
		return err
	}
	a.Counts = raw(next())
	if refusal := next(); refusal != `""` {
		if err := json.Unmarshal([]byte(refusal), &a.Refusal); err != nil {
			return err
		}
	}
	if a.Version, err = strconv.Atoi(next()); err != nil {
		return err
	}
	if a.Seconds, err = strconv.ParseFloat(next(), 64); err != nil {
		return err
	}
	if a.InputBytes, err = strconv.ParseInt(next(), 10, 64); err != nil {
		return err
	}
	created, err := strconv.ParseInt(next(), 10, 64)
	a.Created = time.Unix(0, created)
	return err
}

func (t *tx) putAction(a *Action) error {
	if a.Key == "" || a.Outputs == nil {
		return errors.New("an action needs a key and outputs")
	}
	for _, j := range []json.RawMessage{a.Components, a.Counts} {
		if len(j) > 0 && !json.Valid(j) {
			return fmt.Errorf("action %s: components or counts are no JSON: %.100q", a.Key, j)
		}
	}
	outputs, err := a.Outputs.Encode()
	if err != nil {
		return err
	}
	created := a.Created
	if created.IsZero() {
		created = time.Now()
	}
	return t.exec(`INSERT OR REPLACE INTO actions (key, kind, version, components, config, outputs, artifact, seconds,
		input_bytes, refusal, counts, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		a.Key, a.Kind, a.Version, string(a.Components), a.Config, string(outputs), a.Artifact, a.Seconds,
		a.InputBytes, a.Refusal, string(a.Counts), created.UnixNano())
}

// raw is the JSON of a column, nil where it is empty.
func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// Duration is how long a part took for how much.
type Duration struct {
	InputBytes int64
	Seconds    float64
	Config     string          // its digest
	Components json.RawMessage // what the key was computed from
	Detail     json.RawMessage // Action.Counts
}

// History gives the durations of the last parts made by a kind, the newest first.
func (l *Ledger) History(kind string, limit int) (d []Duration, err error) {
	const query = "SELECT input_bytes, seconds, config, components, counts FROM actions WHERE kind = ? ORDER BY created DESC LIMIT ?"
	err = l.each("look up durations", query, []any{kind, limit}, func(r *sql.Rows) error {
		var x Duration
		var components, detail string
		if err := r.Scan(&x.InputBytes, &x.Seconds, &x.Config, &components, &detail); err != nil {
			return err
		}
		x.Components, x.Detail = raw(components), raw(detail)
		d = append(d, x)
		return nil
	})
	return d, err
}
