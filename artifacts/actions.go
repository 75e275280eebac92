package artifacts

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"time"
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
		return t.exec("INSERT INTO configs (digest, json) VALUES (?, ?) ON CONFLICT DO NOTHING", digest, string(config))
	})
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
func (l *Ledger) Actions(keys []string) (map[string]*Action, error) {
	found := make(map[string]*Action, len(keys))
	const query = `SELECT a.key, a.kind, a.version, a.components, a.config, a.outputs, a.artifact, a.seconds,
		a.input_bytes, a.refusal, a.counts, a.created
		FROM json_each(?) k CROSS JOIN actions a ON a.key = k.value`
	list, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	err = l.each("look up keys", query, []any{string(list)}, func(r *sql.Rows) error {
		a := new(Action)
		var components, outputs, counts string
		var created int64
		if err := r.Scan(&a.Key, &a.Kind, &a.Version, &components, &a.Config, &outputs, &a.Artifact, &a.Seconds,
			&a.InputBytes, &a.Refusal, &counts, &created); err != nil {
			return err
		}
		a.Components, a.Counts = raw(components), raw(counts)
		a.Created = time.Unix(0, created)
		if a.Outputs, err = decodeManifest([]byte(outputs)); err != nil {
			return fmt.Errorf("outputs of %s: %w", a.Key, err)
		}
		found[strings.Clone(a.Key)] = a
		return nil
	})
	return found, err
}

func (t *tx) putAction(a *Action) error {
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
}

// History gives the durations of the last parts made by a kind, the newest first.
func (l *Ledger) History(kind string, limit int) (d []Duration, err error) {
	const query = "SELECT input_bytes, seconds FROM actions WHERE kind = ? ORDER BY created DESC LIMIT ?"
	err = l.each("look up durations", query, []any{kind, limit}, func(r *sql.Rows) error {
		d = append(d, Duration{})
		return r.Scan(&d[len(d)-1].InputBytes, &d[len(d)-1].Seconds)
	})
	return d, err
}
