// Package gpt2 is the tokenizer of GPT-2, which reports hold others against: it is
// widely known, and was learnt from English.
package gpt2

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

// merges is vocab.bpe of github.com/openai/gpt-2; see LICENSE.
//
//go:embed merges.txt.zst
var merges []byte

// Splitter is how GPT-2 cuts text, as tokenizer.NewCounter names it. It takes text in
// whatever normal form it has.
const Splitter = "gpt2"

// End is GPT-2's only special token.
const End = "<|endoftext|>"

// Tokenizer returns it, made once.
func Tokenizer() (*tokenizer.Tokenizer, error) { return load() }

var load = sync.OnceValues(func() (*tokenizer.Tokenizer, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	text, err := z.DecodeAll(merges, nil)
	if err != nil {
		return nil, fmt.Errorf("merges of gpt2: %w", err)
	}
	b, err := json.Marshal(file(strings.Split(strings.TrimSpace(string(text)), "\n")[1:]))
	if err != nil {
		return nil, err
	}
	return tokenizer.Read(bytes.NewReader(b))
})

// file is GPT-2 as a tokenizer.json. The ids of its encoder.json follow from the
// merges: the bytes that print as they are, the others, one for each merge, and End.
func file(merges []string) map[string]any {
	vocab := map[string]int{}
	for _, printed := range []bool{true, false} {
		shift := rune(256) // what does not print stands for itself from U+0100 on
		for b := range rune(256) {
			switch prints := b > ' ' && b <= '~' || b >= 0xa1 && b != 0xad; {
			case prints && printed:
				vocab[string(b)] = len(vocab)
			case !prints && !printed:
				vocab[string(shift)] = len(vocab)
				shift++
			}
		}
	}
	for _, m := range merges {
		vocab[strings.Replace(m, " ", "", 1)] = len(vocab)
	}
	end := len(vocab)
	return map[string]any{
		"added_tokens":  []any{map[string]any{"id": end, "content": End, "special": true}},
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
		"decoder":       map[string]any{"type": "ByteLevel"},
		"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": merges},
	}
}
