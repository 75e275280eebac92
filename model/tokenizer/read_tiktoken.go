package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxToken bounds the tokens of a .tiktoken, in bytes: each is looked at in all its cuts.
const maxToken = 4096

// tiktokenLine takes a line apart: a token's bytes in base64, a space, its id.
func tiktokenLine(line string) (token, id string, ok bool) {
	text, id, ok := strings.Cut(line, " ")
	b, err := base64.StdEncoding.DecodeString(text)
	return string(b), id, ok && err == nil && len(b) > 0
}

// looksTiktoken says that a file that begins so may be a .tiktoken by its first line.
func looksTiktoken(head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	_, id, ok := tiktokenLine(strings.TrimRight(string(line), "\r"))
	_, err := strconv.ParseUint(id, 10, 31)
	return ok && err == nil
}

// openTiktoken reads tiktoken's mergeable ranks. The splitter must be given: the file
// does not name it. So must special tokens, or there are none.
//
// The file has no merges. In tiktoken any two neighbours merge that together are a
// token, the token of lowest id first, and a piece that is a token is that token
// whatever its neighbours. The merges are therefore all pairs of tokens that make
// a token, in the order of the ids they make. As in Hugging Face's conversions, of pairs that
// make the same token that of the lower ids comes first; where two such pairs overlap,
// tiktoken merges the left one. Tokens like that repeat themselves (aba of ab, a, ba).
func openTiktoken(path string, b []byte, g Given) (*Tokenizer, error) {
	if g.Splitter == "" {
		return nil, fmt.Errorf("%s: a .tiktoken file does not say how text is split; name the splitter, which is one of %s", path, strings.Join(Splitters(), ", "))
	}
	f := &file{vocabName: path}
	v := &vocabulary{ids: map[string]uint32{}}
	ranks := map[string]uint32{}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			continue
		}
		token, number, ok := tiktokenLine(line)
		if !ok {
			return nil, fmt.Errorf("%s:%d: must be a token in base64, a space and its id, is %.40q; is the file whole?", path, n, line)
		}
		id, err := strconv.ParseUint(number, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: the id must be a whole number from 0 to 2³¹-1, is %.40q", path, n, number)
		}
		if len(token) > maxToken {
			return nil, fmt.Errorf("%s:%d: the token has %d bytes; at most %d are read", path, n, len(token), maxToken)
		}
		if was, ok := ranks[token]; ok {
			return nil, fmt.Errorf("%s:%d: the token %q stands there twice, as %d and as %d", path, n, token, was, id)
		}
		ranks[token] = uint32(id)
		text := spell(token)
		v.ids[text] = uint32(id)
		v.entries = append(v.entries, entry{text, uint32(id)})
	}
	if len(v.entries) == 0 {
		return nil, fmt.Errorf("%s: %w", path, errEmpty)
	}
	f.Model.Vocab, f.Model.IgnoreMerges = v, true
	f.Model.Merges = mergesOf(ranks)
	for _, name := range slices.Sorted(maps.Keys(g.Specials)) {
		f.AddedTokens = append(f.AddedTokens, addedToken{ID: g.Specials[name], Content: name, Special: true})
	}
	slices.SortStableFunc(f.AddedTokens, func(a, b addedToken) int { return cmp.Compare(a.ID, b.ID) })
	return f.made(g)
}

// mergesOf lists the pairs of tokens that together are a token, by its id, then by theirs.
func mergesOf(ranks map[string]uint32) mergeList {
	type found struct{ id, left, right uint32 }
	var all []found
	texts := make(map[uint32]string, len(ranks))
	for token, id := range ranks {
		texts[id] = spell(token)
		for i := 1; i < len(token); i++ {
			left, ok := ranks[token[:i]]
			if !ok {
				continue
			}
			if right, ok := ranks[token[i:]]; ok {
				all = append(all, found{id, left, right})
			}
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.left, b.left), cmp.Compare(a.right, b.right))
	})
	list := make(mergeList, 0, len(all))
	for _, m := range all {
		list = append(list, [2]string{texts[m.left], texts[m.right]})
	}
	return list
}
