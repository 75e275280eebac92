package artifacts

import (
	"context"
	"database/sql"
	"encoding/json"
)

// pastRun is a run as a collection sees it.
type pastRun struct {
	id             int64
	pipeline       string
	state          string
	started, ended int64 // Unix time, ns; 0: it has not ended or died
	whole          bool  // it was asked for all stages of its pipeline
	live           bool
	keep           bool
	maker          bool // of something pinned: the rows that tell of its parts stay
}

func (r *pastRun) used() int64 { return max(r.started, r.ended) }

func (r *pastRun) mark() mark {
	if r.live {
		return byRun | byFlight
	}
	return byRun
}

// byRuns decides which runs keep what they made, and notes the keys of their parts.
//
// Of each pipeline these are the last KeepRuns that were done and all since the first of
// those; and the last that completed a stage which the pipeline still has, since a run
// of some stages only must not cost the results of the others.
func (m *marking) byRuns(ctx context.Context) error {
	l := m.s.ledger
	m.runs = map[int64]*pastRun{}
	var runs []*pastRun // newest first
	const query = `SELECT id, pipeline, state, lock, started, coalesce(ended, 0), CASE WHEN json_valid(graph) THEN json_type(graph, '$.targets') IS NULL ELSE 0 END
		FROM runs ORDER BY id DESC`
	err := l.each("look up runs", query, nil, func(rows *sql.Rows) error {
		r := &pastRun{}
		var lock string
		if err := rows.Scan(&r.id, &r.pipeline, &r.state, &lock, &r.started, &r.ended, &r.whole); err != nil {
			return err
		}
		if r.state == "running" {
			r.live = isLocked(lock)
			switch {
			case !r.live:
				r.state = "died"
			case m.flight == 0 || r.started < m.flight:
				m.flight = r.started
			}
		}
		runs = append(runs, r)
		m.runs[r.id] = r
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	completed := map[int64][]string{}
	err = l.each("look up stages", "SELECT run, stage FROM stages", nil, func(rows *sql.Rows) error {
		var run int64
		var stage string
		err := rows.Scan(&run, &stage)
		completed[run] = append(completed[run], stage)
		return err
	})
	if err != nil {
		return err
	}
	now := map[string]map[string]bool{} // pipeline → its stages in the last whole run
	for _, r := range runs {
		if r.whole && now[r.pipeline] == nil {
			if now[r.pipeline], err = l.stagesOf(r.id); err != nil {
				return err
			}
		}
	}
	m.keepRuns(runs, completed, now)
	return m.keysOfRuns(ctx)
}

// keepRuns is the rule of byRuns. runs are newest first.
func (m *marking) keepRuns(runs []*pastRun, completed map[int64][]string, now map[string]map[string]bool) {
	type tally struct {
		done   int
		whole  bool // the run that now tells of was passed
		stages map[string]int
	}
	seen := map[string]*tally{}
	for _, r := range runs {
		t := seen[r.pipeline]
		if t == nil {
			t = &tally{stages: map[string]int{}}
			seen[r.pipeline] = t
		}
		r.keep = r.live || m.young(r.used()) || t.done < m.o.KeepRuns
		t.whole = t.whole || r.whole
		for _, stage := range completed[r.id] {
			if t.whole && !now[r.pipeline][stage] {
				continue // the pipeline has it no more
			}
			r.keep = r.keep || t.stages[stage] < m.o.KeepRuns
			t.stages[stage]++
		}
		if r.keep && r.state == "died" && t.done == 0 && (m.unsure == 0 || r.started < m.unsure) {
			m.unsure = r.started
		}
		if r.state == "done" {
			t.done++
		}
		if r.keep {
			m.plan.Runs++
		}
	}
}

// stagesOf names the stages of the pipeline as a run resolved it.
func (l *Ledger) stagesOf(run int64) (map[string]bool, error) {
	b, err := l.Graph(run)
	if err != nil {
		return nil, err
	}
	var g struct {
		Stages []struct {
			Name string `json:"name"`
		} `json:"stages"`
	}
	if err := json.Unmarshal(b, &g); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, s := range g.Stages {
		names[s.Name] = true
	}
	return names, nil
}

// keysOfRuns notes the keys of the parts of kept runs.
func (m *marking) keysOfRuns(ctx context.Context) error {
	m.keys = map[string]use{}
	return m.s.ledger.eachKey(ctx, 0, func(run int64, _, key string) error {
		if r := m.runs[run]; r != nil && r.keep {
			u := m.keys[key]
			m.keys[key] = use{max(u.last, r.used()), u.mark | r.mark()}
		}
		return nil
	})
}
