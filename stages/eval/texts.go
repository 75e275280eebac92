package eval

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/ptbr-slm/pipeline/stages/docs"
)

// text is a document, or the beginning of one, that is evaluated or learnt from.
type text struct {
	hash   uint64
	id     string
	source string
	text   string
	whole  bool
	tokens []uint32
}

// hashOf orders documents. It looks at nothing but their ids, so that two evaluations
// of one corpus take the same documents, whatever the seed and the shards.
func hashOf(d *corpus.Document) uint64 {
	h := fnv.New64a()
	io.WriteString(h, "eval\x00"+d.Source+"\x00"+d.ID)
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func order(a, b text) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), strings.Compare(a.source, b.source), strings.Compare(a.id, b.id), strings.Compare(a.text, b.text))
}

// lowest is a heap of texts with the highest hash on top.
type lowest []text

func (l lowest) Len() int           { return len(l) }
func (l lowest) Less(i, j int) bool { return order(l[i], l[j]) > 0 }
func (l lowest) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *lowest) Push(x any)        { *l = append(*l, x.(text)) }
func (l *lowest) Pop() any {
	last := (*l)[len(*l)-1]
	*l = (*l)[:len(*l)-1]
	return last
}

// readLowest reads a port and keeps the documents of lowest hash that together reach so
// many bytes, each cut to at most each bytes, in the order of their hashes. It also
// counts all documents. Memory is bounded by bytes and one document.
func readLowest(ctx context.Context, t stage.Task, port string, bytes, each int64) (texts []text, all int64, err error) {
	var kept lowest
	var size int64
	err = docs.Each(ctx, t, t.Inputs(port), func(d *corpus.Document) error {
		all++
		x := text{hash: hashOf(d), id: d.ID, source: d.Source, text: cut(d.Text, each)}
		if strings.TrimSpace(x.text) == "" {
			return nil
		}
		x.whole = len(x.text) == len(d.Text)
		x.text = strings.Clone(x.text) // not all of a long document
		heap.Push(&kept, x)
		size += int64(len(x.text))
		for size-int64(len(kept[0].text)) >= bytes {
			size -= int64(len(heap.Pop(&kept).(text).text))
		}
		return nil
	})
	slices.SortFunc(kept, order)
	return kept, all, err
}

// cut takes at most n bytes of s, up to white space where there is some in the second
// half, and never parts a character.
func cut(s string, n int64) string {
	if int64(len(s)) <= n {
		return s
	}
	s = s[:n]
	for i := 0; i < utf8.UTFMax && len(s) > 0; i++ {
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	if i := strings.LastIndexFunc(s, unicode.IsSpace); i > len(s)/2 {
		return s[:i]
	}
	return s
}

// bytesPerToken bounds the text that is held while it is not yet known how many tokens
// it makes.
const bytesPerToken = 16

// pick takes the validation texts: documents in the order of their hashes while they fit
// into max-tokens, at least one.
func (e *Evaluator) pick(ctx context.Context, t stage.Task, tok *tokenizer.Tokenizer, r *Report) ([]text, error) {
	candidates, all, err := readLowest(ctx, t, "val", bytesPerToken*e.c.MaxTokens, e.c.MaxDocumentBytes)
	if err != nil {
		return nil, err
	}
	var texts []text
	var tokens int64
	for i, x := range candidates {
		x.tokens = tok.Encode(nil, x.text)
		for i == 0 && int64(len(x.tokens)) > e.c.MaxTokens && len(x.text) > 1 { // something is always evaluated
			x.text, x.whole = cut(x.text, int64(len(x.text)/2)), false
			x.tokens = tok.Encode(x.tokens[:0], x.text)
		}
		if tokens += int64(len(x.tokens)); tokens > e.c.MaxTokens {
			break
		}
		texts = append(texts, x)
	}
	if len(texts) == 0 {
		return nil, errors.New("port val has no document with text: there is nothing to evaluate on; raise val-percent of the split, or wire other documents")
	}
	r.Evaluated.Of = all
	for _, x := range texts {
		r.Evaluated.Documents++
		if !x.whole {
			r.Evaluated.Cut++
		}
	}
	return texts, nil
}
