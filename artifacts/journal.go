package artifacts

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/artifacts/disk"
	"github.com/ptbr-slm/pipeline/artifacts/fault"
)

// A journal is the ledger as text: every statement that changed it, appended and flushed
// before the transaction that it is part of. A ledger that is lost or damaged is made
// anew from it (RebuildLedger), so that no result has to be computed twice because of a
// bad sector in one file.
//
// Each line is sixteen hex digits, the beginning of the sha256 of the rest, then a space
// and a JSON object: a head, a statement under a name, or a use of one with its values.
// A line that is torn or altered is recognised and left out; the others stand for
// themselves. Statements that were journalled for a transaction that then failed do no
// harm: what they say was true, since objects come before rows.
//
// What is not in it: the memo of source digests and whole stages, which the next run
// finds out again.
type journal struct {
	path    string
	f       *disk.File
	end     int64           // of the file, when we last wrote
	known   map[string]bool // statements that were written under their name
	pending []byte          // lines of the transaction in progress
}

// journalHead is the first line.
type journalHead struct {
	Journal int   `json:"journal"` // journalFormat
	Schema  int   `json:"schema"`  // of the statements
	Ledger  int64 `json:"ledger"`  // application_id of the ledger it belongs to
}

// journalLine is any other line.
type journalLine struct {
	Name string            `json:"s"`
	SQL  string            `json:"sql,omitempty"`
	Args []json.RawMessage `json:"a,omitempty"`
}

// journalFormat is raised when an older program could no longer read the lines.
const journalFormat = 1

// unjournalled are the tables whose rows the next run finds out again.
var unjournalled = []string{"sources", "source_lists", "completions"}

// journalPath is where the journal of a ledger is: in the store, also when the ledger is
// elsewhere. Ledgers of several machines on one store each have their own.
func (s *Store) journalPath(ledger string) string {
	if filepath.Dir(ledger) == s.dir {
		return filepath.Join(s.dir, strings.TrimSuffix(filepath.Base(ledger), ".db")+".journal")
	}
	host, _ := os.Hostname()
	sum := sha256.Sum256([]byte(host + "\x00" + ledger))
	return filepath.Join(s.dir, "ledger-"+hex.EncodeToString(sum[:4])+".journal")
}

// journalled says whether a statement belongs into the journal.
func journalled(query string) bool {
	verb, rest, _ := strings.Cut(query, " ")
	switch verb {
	case "INSERT", "UPDATE", "DELETE":
	default:
		return false
	}
	for _, t := range unjournalled {
		for _, word := range []string{"INTO ", "FROM ", ""} {
			if after, ok := strings.CutPrefix(rest[max(0, strings.Index(rest, word)):], word+t); ok && (after == "" || strings.ContainsRune(" (\n", rune(after[0]))) {
				return false
			}
		}
	}
	return true
}

// add takes a statement of the transaction in progress.
func (j *journal) add(query string, args []any) error {
	sum := sha256.Sum256([]byte(query))
	name := hex.EncodeToString(sum[:4])
	if !j.known[name] {
		if err := j.line(journalLine{Name: name, SQL: query}); err != nil {
			return err
		}
		j.known[name] = true
	}
	use := journalLine{Name: name, Args: make([]json.RawMessage, len(args))}
	for i, a := range args {
		b, err := encodeArg(a)
		if err != nil {
			return fmt.Errorf("journal: value %d of %.40q: %w", i, query, err)
		}
		use.Args[i] = b
	}
	return j.line(use)
}

func (j *journal) line(v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		j.pending = appendLine(j.pending, b)
	}
	return err
}

func appendLine(to, b []byte) []byte {
	sum := sha256.Sum256(b)
	to = hex.AppendEncode(to, sum[:8])
	to = append(to, ' ')
	return append(append(to, b...), '\n')
}

// back forgets what was added since the mark.
func (j *journal) back(mark int) {
	if mark < len(j.pending) {
		j.pending = j.pending[:mark]
		clear(j.known) // a statement's text may be among what is forgotten
	}
}

// write appends what the transaction added. The transaction holds the ledger, so no other
// process appends at the same time; one may have before, and may have died in the middle.
func (j *journal) write(durable bool) error {
	if len(j.pending) == 0 {
		return nil
	}
	info, err := j.f.Stat()
	if err != nil {
		return advise("write the journal", j.path, err)
	}
	start := info.Size()
	if start != j.end && start > 0 {
		var last [1]byte
		if _, err := j.f.ReadAt(last[:], start-1); err != nil {
			return advise("write the journal", j.path, err)
		}
		if last[0] != '\n' {
			j.pending = append([]byte{'\n'}, j.pending...)
		}
	}
	_, err = j.f.Write(j.pending)
	if err == nil && durable {
		err = j.f.Sync()
	}
	if err != nil {
		_ = j.f.Truncate(start) // a torn line does no harm, but why leave it
		j.back(0)
		return advise("write the journal", j.path, err)
	}
	j.end, j.pending = start+int64(len(j.pending)), j.pending[:0]
	return nil
}

// encodeArg writes a value so that decodeArg gives it back: text that is no UTF-8 and
// bytes in base64, numbers that JSON has not as text.
func encodeArg(a any) (json.RawMessage, error) {
	switch a := a.(type) {
	case string:
		if !utf8.ValidString(a) {
			return json.Marshal(map[string]string{"t": base64.StdEncoding.EncodeToString([]byte(a))})
		}
		return json.Marshal(a)
	case []byte:
		if a == nil {
			return json.RawMessage("null"), nil
		}
		return json.Marshal(map[string]string{"b": base64.StdEncoding.EncodeToString(a)})
	case float64:
		switch {
		case math.IsNaN(a):
			return json.RawMessage("null"), nil // as SQLite keeps it
		case math.IsInf(a, 0) || a == math.Trunc(a): // or it would come back as a whole number
			return json.Marshal(map[string]string{"f": strconv.FormatFloat(a, 'g', -1, 64)})
		}
		return json.Marshal(a)
	case nil, bool, int, int64:
		return json.Marshal(a)
	}
	return nil, fmt.Errorf("a %T has no place in the journal", a)
}

func decodeArg(b json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		return v.Float64()
	case map[string]any:
		if s, ok := v["f"].(string); ok {
			return strconv.ParseFloat(s, 64)
		}
		if s, ok := v["t"].(string); ok {
			b, err := base64.StdEncoding.DecodeString(s)
			return string(b), err
		}
		s, _ := v["b"].(string)
		return base64.StdEncoding.DecodeString(s)
	}
	return v, nil
}

// readJournal is readLines of a whole journal, whose lines may be long.
func readJournal(r io.Reader, visit func(line []byte) error) (damaged int, err error) {
	return readLines(bufio.NewReaderSize(r, 1<<20), visit)
}

// readLines gives each whole line to visit and counts the others.
func readLines(in *bufio.Reader, visit func(line []byte) error) (damaged int, err error) {
	for {
		line, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return damaged, err
		}
		if b := bytes.TrimSuffix(line, []byte("\n")); len(b) > 0 {
			sum := sha256.Sum256(b[min(17, len(b)):])
			if len(b) > 17 && b[16] == ' ' && string(b[:16]) == hex.EncodeToString(sum[:8]) {
				if err := visit(b[17:]); err != nil {
					return damaged, err
				}
			} else {
				damaged++
			}
		}
		if err != nil {
			return damaged, nil
		}
	}
}

// openJournal opens the journal of the ledger, and writes it anew where it is absent,
// belongs to another ledger or has statements of another schema.
func (l *Ledger) openJournal(ctx context.Context) error {
	var id int64
	if err := l.conn.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return adviseLedger("open", l.path, err)
	}
	path := l.journalPath
	f, err := disk.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err == nil {
		var head journalHead
		b := make([]byte, 256)
		n, _ := f.ReadAt(b, 0)
		b, _, _ = bytes.Cut(b[:n], []byte("\n"))
		_, _ = readLines(bufio.NewReader(bytes.NewReader(b)), func(line []byte) error { return json.Unmarshal(line, &head) })
		if id != 0 && head == (journalHead{journalFormat, len(migrations), id}) {
			l.journal = &journal{path: path, f: f, known: map[string]bool{}}
			return nil
		}
		f.Close()
		// Kept once: what a rebuilt ledger had to leave out may turn up again.
		if err := disk.Rename(path, path+".old"); err != nil {
			return advise("keep the former journal", path, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return advise("open the journal", path, err)
	}
	if id == 0 {
		sum := sha256.Sum256(fmt.Append(nil, l.path, os.Getpid(), time.Now().UnixNano()))
		id = int64(sum[0])<<16 | int64(sum[1])<<8 | int64(sum[2]) | 1<<24
		if _, err := l.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", id)); err != nil {
			return adviseLedger("open", l.path, err)
		}
	}
	return l.writeJournal(ctx, id)
}

// writeJournal writes the journal anew: a head, and a line for each row.
func (l *Ledger) writeJournal(ctx context.Context, id int64) (err error) {
	tmp := l.journalPath + ".new"
	f, err := disk.OpenFile(tmp, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return advise("write the journal", tmp, err)
	}
	j := &journal{path: l.journalPath, f: f, known: map[string]bool{}}
	// A transaction, so that other processes wait with what they want to append.
	if _, err = l.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err == nil {
		err = j.line(journalHead{journalFormat, len(migrations), id})
		if err == nil {
			err = l.dump(ctx, j)
		}
		if err == nil {
			err = j.write(true)
		}
		if err == nil {
			err = disk.Rename(tmp, l.journalPath)
		}
		if err == nil {
			err = disk.SyncDir(filepath.Dir(l.journalPath))
		}
		_, e := l.conn.ExecContext(ctx, "ROLLBACK") // it changed nothing
		err = errors.Join(err, e)
	}
	if err != nil {
		f.Close()
		_ = disk.Remove(tmp)
		return adviseLedger("write the journal", l.path, err)
	}
	if l.journal != nil {
		l.journal.f.Close()
	}
	l.journal = j
	return nil
}

// dump adds a line for each row of the tables that are journalled.
func (l *Ledger) dump(ctx context.Context, j *journal) error {
	const tables = `SELECT m.name, group_concat(c.name, ', '), count(*) FROM sqlite_schema m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT IN (SELECT value FROM json_each(?)) GROUP BY m.name`
	skip, err := json.Marshal(unjournalled)
	if err != nil {
		return err
	}
	type table struct {
		name, columns string
		n             int
	}
	var all []table
	rows, err := l.conn.QueryContext(ctx, tables, string(skip))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var t table
		if err := rows.Scan(&t.name, &t.columns, &t.n); err != nil {
			return err
		}
		all = append(all, t)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, t := range all {
		if err := l.dumpTable(ctx, j, t.name, t.columns, t.n); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) dumpTable(ctx context.Context, j *journal, name, columns string, n int) error {
	insert := fmt.Sprintf("INSERT OR REPLACE INTO %s (%s) VALUES (?%s)", name, columns, strings.Repeat(", ?", n-1))
	rows, err := l.conn.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s", columns, name))
	if err != nil {
		return err
	}
	defer rows.Close()
	values, into := make([]any, n), make([]any, n)
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := j.add(insert, values); err != nil {
			return err
		}
		if len(j.pending) > 1<<20 {
			if err := j.write(false); err != nil {
				return err
			}
		}
	}
	return rows.Err()
}

// Compact gives the space of removed rows back to the file system, where that is much, and
// writes the journal anew. No other process may have the store open meanwhile.
func (l *Ledger) Compact(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var free, pages, id int64
	var busy sql.NullInt64
	for query, to := range map[string]any{"PRAGMA freelist_count": &free, "PRAGMA page_count": &pages, "PRAGMA application_id": &id} {
		if err := l.conn.QueryRowContext(ctx, query).Scan(to); err != nil {
			return adviseLedger("compact", l.path, err)
		}
	}
	if free*4 < pages {
		return nil
	}
	if err := l.writeJournal(ctx, id); err != nil {
		return err
	}
	err := fault.Do(fault.Durable, l.path, "", func() error {
		_, err := l.conn.ExecContext(ctx, "VACUUM")
		return err
	})
	if err != nil {
		return adviseLedger("compact", l.path, err)
	}
	return adviseLedger("compact", l.path, l.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, new(any), new(any)))
}
