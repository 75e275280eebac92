package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Given is what the files of older formats leave unsaid. A tokenizer.json says all of it
// itself.
type Given struct {
	Splitter   string            // "": gpt2 for a pair of vocab.json and merges.txt; must be named for a .tiktoken
	Normalizer []string          // empty: none
	Specials   map[string]uint32 // special tokens and their ids
}

// Splitters are the names that Given.Splitter and Options.Splitter take.
func Splitters() (names []string) {
	for _, s := range splitters {
		names = append(names, s.name)
	}
	return names
}

// Normalizers are the names that Given.Normalizer and Options.Normalizer take.
func Normalizers() []string { return slices.Sorted(maps.Keys(normalizers)) }

// pairNames are the endings of the names under which GPT-2's two files go around, its
// own last.
var pairNames = [][2]string{{"vocab.json", "merges.txt"}, {"encoder.json", "vocab.bpe"}}

// Open reads a tokenizer of any format read here, and finds out which: a tokenizer.json;
// a vocab.json with its merges.txt, or encoder.json with vocab.bpe, either of them named
// and the other beside it; a .tiktoken; or a directory with one of these, a
// tokenizer.json before the others. Errors name the file and, in it, the field or line.
func Open(path string, g Given) (*Tokenizer, error) {
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file or directory; must be one of: %s", path, formats)
	} else if err != nil {
		return nil, err
	} else if info.IsDir() {
		if path, err = inDirectory(path); err != nil {
			return nil, err
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for _, n := range pairNames {
		for i := range n {
			if stem, ok := strings.CutSuffix(filepath.Base(path), n[i]); ok {
				dir := filepath.Dir(path)
				return openPair(filepath.Join(dir, stem+n[0]), filepath.Join(dir, stem+n[1]), g)
			}
		}
	}
	head := bytes.TrimLeft(b[:min(len(b), 4096)], " \t\r\n")
	switch {
	case strings.HasSuffix(path, ".tiktoken"), looksTiktoken(head):
		return openTiktoken(path, b, g)
	case strings.HasSuffix(path, ".json"), bytes.HasPrefix(head, []byte("{")):
		if g.Splitter != "" || len(g.Normalizer) > 0 || len(g.Specials) > 0 {
			return nil, fmt.Errorf("%s: a tokenizer.json says itself what splitter, normal form and special tokens it has; none may be named beside it", path)
		}
		t, err := Read(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return t, nil
	}
	return nil, fmt.Errorf("%s: is no tokenizer known here, which are: %s", path, formats)
}

const formats = "tokenizer.json, vocab.json with merges.txt, encoder.json with vocab.bpe, .tiktoken"

// inDirectory finds the file that Open is to read.
func inDirectory(dir string) (string, error) {
	patterns := []string{FileName}
	for _, n := range pairNames {
		patterns = append(patterns, n[0])
	}
	for _, n := range pairNames {
		patterns = append(patterns, "*"+n[0])
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, p := range append(patterns, "*.tiktoken") {
		var found []string
		for _, e := range entries {
			if ok, _ := filepath.Match(p, e.Name()); ok {
				found = append(found, e.Name())
			}
		}
		switch {
		case len(found) > 1:
			return "", fmt.Errorf("%s: has several tokenizers, %s; name one of them", dir, strings.Join(found, ", "))
		case len(found) == 1:
			return filepath.Join(dir, found[0]), nil
		}
	}
	return "", fmt.Errorf("%s: has no tokenizer; looked for %s", dir, formats)
}

// made is the end of reading a format that is not tokenizer.json: the tokenizer that f
// and g describe, with the tokenizer.json that says the same.
func (f *file) made(g Given) (*Tokenizer, error) {
	t := &Tokenizer{}
	var err error
	if t.splitter, err = findSplitter(g.Splitter); err != nil {
		return nil, err
	}
	if t.normalizer, err = findNormalizer(g.Normalizer); err != nil {
		return nil, err
	}
	if err := f.fill(t); err != nil {
		return nil, err
	}
	t.setFile(t.marshal())
	return t, nil
}

// errEmpty is said of a file without a line.
var errEmpty = errors.New("is empty; is the file whole?")
