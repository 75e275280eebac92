package tokenizer

import (
	"os"
	"testing"
)

func TestStat(t *testing.T) {
	raw, _ := os.ReadFile(os.Getenv("TEXT"))
	tok, err := Load(os.Getenv("TOK"))
	if err != nil {
		t.Skip()
	}
	text := string(raw)
	var n, long, toks, w0, w1, miss, uncached int
	var lens [30]int
	distinct := map[string]int{}
	for i := 0; i < len(text); {
		j := ptbr(text, i)
		n++
		distinct[text[i:j]]++
		if j-i > cachePiece {
			long++
		} else {
			lens[(j-i)]++
			k := keyOf(text, i, j-i)
			p := tok.cache.places(&k)
			var b []uint32
			if _, ok := p[0].get(&k, b); ok {
				w0++
			} else if _, ok := p[1].get(&k, b); ok {
				w1++
			} else {
				miss++
				if ids := tok.mergePiece(nil, text[i:j]); len(ids) > cacheIDs {
					uncached++
				}
			}
		}
		toks += len(tok.Encode(nil, text[i:j]))
		i = j
	}
	t.Log("pieces", n, "distinct", len(distinct), "long", long, "tokens", toks, "way0", w0, "way1", w1, "miss", miss, "too many ids", uncached, lens)
}
