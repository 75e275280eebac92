package artifacts

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
)

// PartRecord is what became of one part in a run. For each part the last record counts.
type PartRecord struct {
	Run     int64
	Stage   string
	Kind    string
	Part    string // its name
	Index   int    // its place among the stage's parts; any number that is unique there
	Key     string // empty as long as it is not known
	State   string // waiting, running, ran, cached, failed, …
	Attempt int
	Started time.Time
	Seconds float64
	Error   string

	// Metrics belong to the key rather than to the run: a run that finds the part made
	// has them too. Those of a part without a key are not kept.
	Metrics []Metric
}

// Metric is one value of a series that a part reported.
type Metric struct {
	Stage string // as the part's record has it; need not be set to record one
	Name  string
	Step  int64
	Value float64
}

// RecordPart records a part and, when action is not nil, what it made, in one
// transaction that is durable on return. The action's objects must have been published.
func (l *Ledger) RecordPart(p PartRecord, action *Action) error {
	return l.transact("record a part", action != nil, func(t *tx) error {
		if action != nil {
			if err := t.putAction(action); err != nil {
				return err
			}
		}
		return t.putPart(&p)
	})
}

// RecordParts records many parts in one transaction. Parts in state cached that follow
// each other, in one stage and by index, take one row together: see hits.go.
func (l *Ledger) RecordParts(parts []PartRecord) error {
	return l.transact("record parts", false, func(t *tx) error {
		for len(parts) > 0 {
			n := hitsAhead(parts)
			if n == 0 {
				if err := t.putPart(&parts[0]); err != nil {
					return err
				}
				parts = parts[1:]
				continue
			}
			if err := t.putHits(parts[:n]); err != nil {
				return err
			}
			parts = parts[n:]
		}
		return nil
	})
}

// RecordUnderWay records parts that wait or run, in one transaction. The last word on a
// part stands: a record that comes after it changes nothing but the metrics, unless it is
// of a later attempt.
func (l *Ledger) RecordUnderWay(parts []PartRecord) error {
	const insert = `INSERT INTO part_rows (run, stage, idx, kind, part, key, state, attempt, started, seconds, error)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET state = excluded.state, attempt = excluded.attempt, started = excluded.started,
			seconds = excluded.seconds, error = excluded.error
		WHERE part_rows.state IN ('waiting', 'running') OR excluded.attempt > part_rows.attempt`
	return l.transact("record parts under way", false, func(t *tx) error {
		for i := range parts {
			if err := t.putPartBy(insert, &parts[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) putPart(p *PartRecord) error {
	return t.putPartBy(`INSERT OR REPLACE INTO part_rows (run, stage, idx, kind, part, key, state, attempt, started, seconds, error)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, p)
}

func (t *tx) putPartBy(insert string, p *PartRecord) error {
	started := int64(0)
	if !p.Started.IsZero() {
		started = p.Started.UnixNano()
	}
	if err := t.exec(insert, p.Run, p.Stage, p.Index, p.Kind, p.Part, p.Key, p.State, p.Attempt, started, p.Seconds, p.Error); err != nil {
		return err
	}
	if p.Key == "" {
		return nil
	}
	return t.putMetrics(p.Key, p.Metrics)
}

func (t *tx) putMetrics(key string, metrics []Metric) error {
	for _, m := range metrics {
		if err := t.exec("INSERT OR REPLACE INTO metrics (key, name, step, value) VALUES (?, ?, ?, ?)", key, m.Name, m.Step, m.Value); err != nil {
			return err
		}
	}
	return nil
}

// Parts gives the parts of one stage of a run, or of all stages when stage is empty, by
// stage and index and without their metrics.
func (l *Ledger) Parts(run int64, stage string) (parts []PartRecord, err error) {
	const query = `SELECT run, stage, kind, part, idx, key, state, attempt, started, seconds, error
		FROM part_rows WHERE run = ? AND (? = '' OR stage = ?) ORDER BY stage, idx`
	err = l.each("look up parts", query, []any{run, stage, stage}, func(r *sql.Rows) error {
		var p PartRecord
		var started int64
		if err := r.Scan(&p.Run, &p.Stage, &p.Kind, &p.Part, &p.Index, &p.Key, &p.State, &p.Attempt, &started, &p.Seconds, &p.Error); err != nil {
			return err
		}
		if started != 0 {
			p.Started = time.Unix(0, started)
		}
		parts = append(parts, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	n := len(parts)
	if parts, err = l.hits(parts, run, stage); err == nil && n > 0 && len(parts) > n {
		slices.SortFunc(parts, func(a, b PartRecord) int {
			return cmp.Or(strings.Compare(a.Stage, b.Stage), cmp.Compare(a.Index, b.Index))
		})
	}
	return parts, err
}

// LastParts gives the parts of a stage in the last run of a pipeline that completed the
// stage: RecordStage was called for it, and all its parts ran or were cached. There are
// none if no run did.
func (l *Ledger) LastParts(pipeline, stage string) ([]PartRecord, error) {
	const query = `SELECT r.id FROM runs r JOIN stages s ON s.run = r.id AND s.stage = ?
		WHERE r.pipeline = ?
		AND (EXISTS (SELECT 1 FROM part_rows p WHERE p.run = r.id AND p.stage = s.stage)
			OR EXISTS (SELECT 1 FROM hits h WHERE h.run = r.id AND h.stage = s.stage))
		AND NOT EXISTS (SELECT 1 FROM part_rows p WHERE p.run = r.id AND p.stage = s.stage AND (p.key = '' OR p.state NOT IN ('ran', 'cached')))
		ORDER BY r.id DESC LIMIT 1`
	run := int64(0)
	err := l.each("look up the last parts", query, []any{stage, pipeline}, func(r *sql.Rows) error { return r.Scan(&run) })
	if err != nil || run == 0 {
		return nil, err
	}
	return l.Parts(run, stage)
}

// Metrics gives what the parts of one stage of a run reported, or those of all stages
// when stage is empty, by stage, part, name and step. Cached parts have the metrics of
// the run that made them.
func (l *Ledger) Metrics(run int64, stage string) (metrics []Metric, err error) {
	const query = `SELECT p.stage, m.name, m.step, m.value FROM parts p JOIN metrics m ON m.key = p.key
		WHERE p.run = ? AND (? = '' OR p.stage = ?) AND p.key <> '' ORDER BY p.stage, p.idx, m.name, m.step`
	err = l.each("look up metrics", query, []any{run, stage, stage}, func(r *sql.Rows) error {
		var m Metric
		var value sql.NullFloat64
		if err := r.Scan(&m.Stage, &m.Name, &m.Step, &value); err != nil {
			return err
		}
		m.Value = math.NaN() // SQLite keeps it as NULL
		if value.Valid {
			m.Value = value.Float64
		}
		metrics = append(metrics, m)
		return nil
	})
	return metrics, err
}

// StageRecord is what a run did for a stage that it completed.
type StageRecord struct {
	Run         int64
	Stage, Kind string
	Parts       int
	Ran, Cached int
	Seconds     float64
	Outputs     json.RawMessage // opaque here
}

// RecordStage records that a run completed a stage.
func (l *Ledger) RecordStage(s StageRecord) error {
	return l.transact("record a stage", false, func(t *tx) error {
		return t.exec(`INSERT INTO stages (run, stage, kind, parts, ran, cached, seconds, outputs) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (run, stage) DO UPDATE SET kind = excluded.kind, parts = excluded.parts, ran = excluded.ran,
			cached = excluded.cached, seconds = excluded.seconds, outputs = excluded.outputs`,
			s.Run, s.Stage, s.Kind, s.Parts, s.Ran, s.Cached, s.Seconds, string(s.Outputs))
	})
}

// Stages gives the stages that a run completed, in the order in which it did.
func (l *Ledger) Stages(run int64) (stages []StageRecord, err error) {
	const query = "SELECT run, stage, kind, parts, ran, cached, seconds, outputs FROM stages WHERE run = ? ORDER BY rowid"
	err = l.each("look up stages", query, []any{run}, func(r *sql.Rows) error {
		var s StageRecord
		var outputs string
		if err := r.Scan(&s.Run, &s.Stage, &s.Kind, &s.Parts, &s.Ran, &s.Cached, &s.Seconds, &outputs); err != nil {
			return err
		}
		s.Outputs = raw(outputs)
		stages = append(stages, s)
		return nil
	})
	return stages, err
}
