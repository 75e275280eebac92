package artifacts

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
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
//
// A run asks for all its parts at once, so this is made to be fast: one query for many
// keys, several at a time, and the text of a row in one column.
func (l *Ledger) Actions(keys []string) (map[string]*Action, error) {
	const fewest = 1000 // keys that are worth a query of their own
	found := make(map[string]*Action, len(keys))
	var mu sync.Mutex
	var g errgroup.Group
	n := max(1, min(readers, runtime.GOMAXPROCS(0), len(keys)/fewest))
	for chunk := range slices.Chunk(keys, max(1, (len(keys)+n-1)/n)) {
		g.Go(func() error {
			actions, err := l.actions(chunk)
			mu.Lock()
			defer mu.Unlock()
			for _, a := range actions {
				found[a.Key] = a
			}
			return err
		})
	}
	return found, g.Wait()
}

// actions joins the text columns of a row with a control character that JSON has no
// place for, and no digest or name of a kind either. The refusal, which people write,
// comes last.
func (l *Ledger) actions(keys []string) (found []*Action, err error) {
	const query = `SELECT concat_ws(char(31), a.key, kind, config, artifact, components, outputs, counts, refusal),
		version, seconds, input_bytes, created
		FROM json_each(?) k CROSS JOIN actions a ON a.key = k.value`
	list, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	err = l.each("look up keys", query, []any{string(list)}, func(r *sql.Rows) error {
		var row string
		var created int64
		a := new(Action)
		if err := r.Scan(&row, &a.Version, &a.Seconds, &a.InputBytes, &created); err != nil {
			return err
		}
		text := strings.SplitN(row, "\x1f", 8)
		if len(text) != 8 {
			return fmt.Errorf("the row of key %.64q is damaged", row)
		}
		a.Key, a.Kind, a.Config, a.Artifact = text[0], text[1], text[2], text[3]
		a.Components, a.Counts, a.Refusal = raw(text[4]), raw(text[6]), text[7]
		a.Created = time.Unix(0, created)
		if a.Outputs, err = decodeManifest(text[5]); err != nil {
			return fmt.Errorf("outputs of key %s: %w", a.Key, err)
		}
		found = append(found, a)
		return nil
	})
	return found, err
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
