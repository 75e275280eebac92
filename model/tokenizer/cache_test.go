package tokenizer

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestKeysTellPiecesApart(t *testing.T) {
	text := "abcdefghijklmnopqrstuvwxyzabc" + strings.Repeat("\x00", 30) + "é"
	seen := map[cacheKey]string{}
	for i := range text {
		for n := 1; n <= cachePiece && i+n <= len(text); n++ {
			piece := text[i : i+n]
			k := keyOf(text, i, n)
			if k != keyOf(piece, 0, n) {
				t.Fatalf("%q has another key at the end of its text", piece)
			}
			if was, ok := seen[k]; ok && was != piece {
				t.Fatalf("%q and %q have the same key", was, piece)
			}
			seen[k] = piece
		}
	}
}

func TestPlaceHoldsWhatWasPutLast(t *testing.T) {
	var p place
	for n := range cacheIDs {
		text := strings.Repeat("x", n+1)
		k, ids := keyOf(text, 0, len(text)), []uint32{1 << 31, 5, 1, 1 << 20, 2, 3, 9, 8}[:n+1]
		if _, ok := p.get(&k, nil); ok {
			t.Errorf("%q is there before it was put", text)
		}
		p.put(&k, ids)
		if got, ok := p.get(&k, []uint32{7}); !ok || !slices.Equal(got[1:], ids) || got[0] != 7 {
			t.Errorf("%q gives %v, %v; must give %v", text, got, ok, ids)
		}
	}
}

// One place is written and read at once: what is read is always the ids of the piece
// asked for, never a mixture.
func TestPlaceIsNeverReadHalfWritten(t *testing.T) {
	var p place
	var keys [2]cacheKey
	var ids [2][]uint32
	for i := range keys {
		text := strings.Repeat(string(rune('a'+i)), 20)
		keys[i], ids[i] = keyOf(text, 0, len(text)), slices.Repeat([]uint32{uint32(i)}, cacheIDs)
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !done.Load(); i++ {
			p.put(&keys[i%2], ids[i%2])
		}
	})
	var dst [cacheIDs]uint32
	for i := range 2_000_000 {
		if got, ok := p.get(&keys[i%2], dst[:0]); ok && !slices.Equal(got, ids[i%2]) {
			t.Errorf("piece %d gives %v", i%2, got)
			break
		}
	}
	done.Store(true)
	wg.Wait()
}
