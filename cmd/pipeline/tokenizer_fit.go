package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

// fit is how a tokenizer fits the texts of one source.
type fit struct {
	Source    string `json:"source"`
	Documents int64  `json:"documents"`
	Bytes     int64  `json:"bytes"`
	Words     int64  `json:"words"`
	tokens
	Against *tokens `json:"against,omitempty"`
}

// tokens is how many tokens texts take.
type tokens struct {
	Tokens        int64   `json:"tokens"`
	Fertility     float64 `json:"fertility"`       // tokens a word; 0 without words
	BytesPerToken float64 `json:"bytes-per-token"` // 0 without tokens
}

func (t *tokens) ratios(f *fit) {
	if f.Words > 0 {
		t.Fertility = float64(t.Tokens) / float64(f.Words)
	}
	if t.Tokens > 0 {
		t.BytesPerToken = float64(f.Bytes) / float64(t.Tokens)
	}
}

// measureFit encodes the texts of files and directories, and sums by source, in the
// order of their names; where there are several, all together come last. other may be nil.
func measureFit(ctx context.Context, paths []string, tok, other *tokenizer.Tokenizer) ([]*fit, error) {
	sources := map[string]*fit{}
	all := &fit{Source: "all"}
	if other != nil {
		all.Against = &tokens{}
	}
	var ids []uint32
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return usage{err}
			}
			if name != path && strings.HasPrefix(d.Name(), ".") { // such as the mark of what get placed
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if d.IsDir() {
				return nil
			}
			return eachText(name, func(source, text string) error {
				f := sources[source]
				if f == nil {
					f = &fit{Source: source}
					if other != nil {
						f.Against = &tokens{}
					}
					sources[source] = f
				}
				words := int64(corpus.CountWords(text))
				ids = tok.Encode(ids[:0], text)
				n := int64(len(ids))
				for _, f := range []*fit{f, all} {
					f.Documents++
					f.Bytes += int64(len(text))
					f.Words += words
					f.Tokens += n
				}
				if other != nil {
					ids = other.Encode(ids[:0], text)
					f.Against.Tokens += int64(len(ids))
					all.Against.Tokens += int64(len(ids))
				}
				return ctx.Err()
			})
		})
		if err != nil {
			return nil, err
		}
	}
	if len(sources) == 0 {
		return nil, usage{fmt.Errorf("there is no text in %s", strings.Join(paths, ", "))}
	}
	var list []*fit
	for _, source := range slices.Sorted(maps.Keys(sources)) {
		list = append(list, sources[source])
	}
	if len(list) > 1 {
		list = append(list, all)
	}
	for _, f := range list {
		f.ratios(f)
		if f.Against != nil {
			f.Against.ratios(f)
		}
	}
	return list, nil
}

// eachText calls f for the texts of a file: its documents, or all of it as one.
func eachText(path string, f func(source, text string) error) error {
	base := filepath.Base(path)
	if !strings.HasSuffix(base, ".jsonl") && !strings.HasSuffix(base, ".jsonl.zst") {
		b, err := os.ReadFile(path)
		if err != nil {
			return usage{err}
		}
		return f(base, string(b))
	}
	file, err := os.Open(path)
	if err != nil {
		return usage{err}
	}
	defer file.Close()
	next, end, err := documentsOf(file, strings.HasSuffix(base, ".zst"))
	if err != nil {
		return usage{fmt.Errorf("%s: %w", path, err)}
	}
	defer end()
	for {
		var d corpus.Document
		switch err := next(&d); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return usage{fmt.Errorf("%s: %w", path, err)}
		}
		source := d.Source
		if source == "" {
			source = base
		}
		if err := f(source, d.Text); err != nil {
			return err
		}
	}
}

// documentsOf reads documents, a line of JSON each.
func documentsOf(r io.Reader, compressed bool) (next func(*corpus.Document) error, end func(), err error) {
	if compressed {
		shard, err := corpus.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		return shard.Next, shard.Close, nil
	}
	lines, n := bufio.NewReaderSize(r, 1<<20), 0
	return func(d *corpus.Document) error {
		for {
			line, err := lines.ReadBytes('\n')
			if n++; len(bytes.TrimSpace(line)) == 0 {
				if err != nil {
					return err
				}
				continue
			}
			if err := json.Unmarshal(line, d); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			return nil
		}
	}, func() {}, nil
}

func printFit(w io.Writer, list []*fit) {
	head := []string{"source", "documents", "bytes", "words", "tokens", "tokens per word", "bytes per token"}
	right := []int{1, 2, 3, 4, 5, 6}
	if list[0].Against != nil {
		head = append(head, "against: tokens", "per word", "bytes per token")
		right = append(right, 7, 8, 9)
	}
	t := newTable(head...).right(right...)
	for _, f := range list {
		cells := append([]string{f.Source, count(f.Documents), size(f.Bytes), count(f.Words)}, f.cells()...)
		if f.Against != nil {
			cells = append(cells, f.Against.cells()...)
		}
		t.row(cells...)
	}
	t.print(w)
}

func (t *tokens) cells() []string {
	return []string{count(t.Tokens), fmt.Sprintf("%.3f", t.Fertility), fmt.Sprintf("%.2f", t.BytesPerToken)}
}
