package tokenizer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// openPair reads the two files of GPT-2: a JSON object of token → id, and the merges, a
// line each, in the order they were learnt.
// Source: openai/gpt-2, src/encoder.py.
//
// The files do not say which tokens are special. Those that are given are; and of the
// others that no merge makes, those in <angle> or [square] brackets. Any other such
// token means that the merges are not all there.
func openPair(vocabPath, mergesPath string, g Given) (*Tokenizer, error) {
	f := &file{vocabName: vocabPath}
	b, err := os.ReadFile(vocabPath)
	if err != nil {
		return nil, fmt.Errorf("%w; %s goes with it", err, mergesPath)
	}
	var raw json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", vocabPath, jsonError(b, err))
	}
	f.Model.Vocab = &vocabulary{}
	if err := f.Model.Vocab.read(raw, vocabPath); err != nil {
		return nil, err
	}
	if b, err = os.ReadFile(mergesPath); err != nil {
		return nil, fmt.Errorf("%w; %s goes with it", err, vocabPath)
	}
	if err := f.readMergeLines(string(b), mergesPath); err != nil {
		return nil, err
	}
	if err := f.findSpecials(g.Specials, mergesPath); err != nil {
		return nil, err
	}
	g.Splitter = cmp.Or(g.Splitter, "gpt2")
	return f.made(g)
}

func (f *file) readMergeLines(text, path string) error {
	var lines []int // of each merge
	f.mergeName = func(i int) string { return fmt.Sprintf("%s:%d", path, lines[i]) }
	n := 0
	for line := range strings.Lines(text) {
		n++
		whole := strings.HasSuffix(line, "\n")
		line = strings.TrimRight(line, "\r\n")
		if line == "" || n == 1 && strings.HasPrefix(line, "#version") {
			continue
		}
		left, right, ok := strings.Cut(line, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			err := fmt.Errorf("%s:%d: must be two tokens with a space between them, is %.40q", path, n, line)
			if !whole {
				err = fmt.Errorf("%w; is the file whole?", err)
			}
			return err
		}
		f.Model.Merges = append(f.Model.Merges, [2]string{left, right})
		lines = append(lines, n)
	}
	if n == 0 {
		return fmt.Errorf("%s: %w", path, errEmpty)
	}
	return nil
}

func (f *file) findSpecials(given map[string]uint32, mergesPath string) error {
	made := map[string]bool{}
	for _, m := range f.Model.Merges {
		made[m[0]+m[1]] = true
	}
	add := func(name string, id uint32) {
		f.AddedTokens = append(f.AddedTokens, addedToken{ID: id, Content: name, Special: true})
	}
	for _, e := range f.Model.Vocab.entries {
		if _, ok := given[e.token]; ok || made[e.token] {
			continue
		}
		if tok, _, ok := unspell(e.token); ok && len(tok) == 1 {
			continue
		}
		n := len(e.token)
		bracketed := n > 2 && (e.token[0] == '<' && e.token[n-1] == '>' || e.token[0] == '[' && e.token[n-1] == ']')
		if !bracketed {
			return fmt.Errorf("%s[%q]: no merge in %s makes this token of id %d; are the two files of one tokenizer, and whole? If it is a special token, name it as one",
				f.vocab(), e.token, mergesPath, e.id)
		}
		add(e.token, e.id)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		add(name, given[name])
	}
	slices.SortStableFunc(f.AddedTokens, func(a, b addedToken) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}
