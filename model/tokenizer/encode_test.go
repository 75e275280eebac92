package tokenizer

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// mergeNaive is the definition: of all adjacent pairs merge the one of lowest rank, the
// leftmost of them, until none merges.
func mergeNaive(t *Tokenizer, piece string) []uint32 {
	var ids []uint32
	for i := range len(piece) {
		ids = append(ids, t.bytes[piece[i]])
	}
	rank := map[merge]int{}
	for r, m := range t.merges {
		rank[merge{m.left, m.right, 0}] = r
	}
	for {
		best, at := len(t.merges), 0
		for i := 0; i+1 < len(ids); i++ {
			if r, ok := rank[merge{ids[i], ids[i+1], 0}]; ok && r < best {
				best, at = r, i
			}
		}
		if best == len(t.merges) {
			return ids
		}
		ids = slices.Replace(ids, at, at+2, t.merges[best].id)
	}
}

func TestMergesFollowTheDefinition(t *testing.T) {
	tok := trained(t, options())
	r := rand.New(rand.NewPCG(1, 2))
	text := strings.Join(excerpts(t), "")
	for range 300 {
		at := r.IntN(len(text) - 200)
		piece := text[at : at+2+r.IntN(120)]
		want := mergeNaive(tok, piece)
		if got := tok.mergeLong(nil, piece); !slices.Equal(got, want) {
			t.Fatalf("long: %q gives %v; must give %v", piece, got, want)
		}
		if len(piece) <= shortPiece {
			if got := tok.mergeShort(nil, piece); !slices.Equal(got, want) {
				t.Fatalf("short: %q gives %v; must give %v", piece, got, want)
			}
		}
	}
}

// Merges in any order, also such as no training gives: of a token before those of its
// parts, of the same token twice, of runs.
func TestMergesInAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 200 {
		tok := &Tokenizer{splitter: splitters[0]}
		for b := range 256 {
			tok.tokens, tok.special = append(tok.tokens, string([]byte{byte(b)})), append(tok.special, false)
		}
		ids := []uint32{'a', 'b', 'c'}[:1+r.IntN(3)]
		known := map[string]uint32{}
		for range 1 + r.IntN(30) {
			m := merge{left: ids[r.IntN(len(ids))], right: ids[r.IntN(len(ids))]}
			text := tok.tokens[m.left] + tok.tokens[m.right]
			if slices.ContainsFunc(tok.merges, func(x merge) bool { return x.left == m.left && x.right == m.right }) {
				continue
			}
			id, ok := known[text]
			if !ok {
				id = uint32(len(tok.tokens))
				known[text], ids = id, append(ids, id)
				tok.tokens, tok.special = append(tok.tokens, text), append(tok.special, false)
			}
			m.id = id
			tok.merges = append(tok.merges, m)
		}
		r.Shuffle(len(tok.merges), func(i, j int) { tok.merges[i], tok.merges[j] = tok.merges[j], tok.merges[i] })
		if err := errors.Join(tok.indexTokens(), tok.indexMerges()); err != nil {
			t.Fatal(err)
		}
		piece := make([]byte, 1+r.IntN(200))
		for i := range piece {
			piece[i] = "abc"[r.IntN(1+r.IntN(3))]
		}
		want := mergeNaive(tok, string(piece))
		if got := tok.mergeLong(nil, string(piece)); !slices.Equal(got, want) {
			t.Fatalf("long: %q with %v gives %v; must give %v", piece, tok.merges, got, want)
		}
		if len(piece) <= shortPiece {
			if got := tok.mergeShort(nil, string(piece)); !slices.Equal(got, want) {
				t.Fatalf("short: %q with %v gives %v; must give %v", piece, tok.merges, got, want)
			}
		}
	}
}

func FuzzEncode(f *testing.F) {
	for _, s := range strange {
		f.Add(s)
	}
	tok := trained(f, options())
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.Encode([]uint32{7}, text)
		if len(ids) == 0 || ids[0] != 7 {
			t.Fatal("what stood in dst is gone")
		}
		ids = ids[1:]
		if got, want := tok.Decode(ids), norm.NFC.String(validUTF8(text)); got != want {
			t.Errorf("%+q came back as %+q", want, got)
		}
		for _, id := range ids {
			if tok.special[id] {
				t.Errorf("%q gives the special %s", text, tok.Token(id))
			}
		}
		if again := tok.Encode(nil, text); !slices.Equal(again, ids) {
			t.Errorf("%q gives other ids the second time", text)
		}
		for _, p := range pieces(tok.splitter, tok.normalizer.apply(text)) {
			long := tok.mergeLong(nil, p)
			if short := tok.encodeNormal(nil, p); !slices.Equal(short, long) {
				t.Errorf("%q gives %v, with the heap %v", p, short, long)
			}
		}
	})
}

func TestSpecialsOnlyWhenAllowed(t *testing.T) {
	o := options()
	o.Specials = append(o.Specials, "<|im_start|>", "<|im_start|>user")
	tok := trained(t, o)
	const text = "[BOS]oi<|im_start|>user[EOS] [EOS]x"
	for _, id := range tok.Encode(nil, text) {
		if tok.special[id] {
			t.Errorf("%s came from plain text", tok.Token(id))
		}
	}
	for want, allowed := range map[string][]string{
		"[EOS] [EOS]":                    {End},
		"<|im_start|>":                   {"<|im_start|>"},
		"<|im_start|>user":               {"<|im_start|>", "<|im_start|>user"},
		"[BOS] <|im_start|> [EOS] [EOS]": {Begin, "<|im_start|>", End},
		"":                               {"not special"},
	} {
		ids := tok.EncodeSpecials(nil, text, allowed)
		var got []string
		for _, id := range ids {
			if tok.special[id] {
				got = append(got, tok.Token(id))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q allowed: got %q; must be %q", allowed, got, want)
		}
		if tok.Decode(ids) != text {
			t.Errorf("%q allowed: decoded to %q", allowed, tok.Decode(ids))
		}
	}
	if id, ok := tok.Special(End); !ok || id != 3 {
		t.Errorf("%s is %d, %v", End, id, ok)
	}
	if _, ok := tok.Special("[NONE]"); ok {
		t.Error("there is a special [NONE]")
	}
}

// A tokenizer is shared: all goroutines see the same ids while the cache fills.
func TestConcurrentEncode(t *testing.T) {
	warm, cold := trained(t, options()), trained(t, options())
	texts := excerpts(t)
	var want [][]uint32
	for _, x := range texts {
		want = append(want, warm.Encode(nil, x))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, x := range texts {
				if !slices.Equal(cold.Encode(nil, x), want[i]) {
					t.Errorf("text %d differs in a goroutine", i)
				}
			}
		})
	}
	wg.Wait()
}

func TestBatchKeepsOrder(t *testing.T) {
	tok := trained(t, options())
	var texts []string
	for _, x := range excerpts(t) {
		texts = append(texts, strings.SplitAfter(x, "\n")...)
	}
	for _, workers := range []int{0, 1, 3, 100000} {
		got := tok.EncodeBatch(texts, workers)
		for i, x := range texts {
			if !slices.Equal(got[i], tok.Encode(nil, x)) {
				t.Fatalf("%d workers: text %d has other ids than alone", workers, i)
			}
		}
	}
	if got := tok.EncodeBatch(nil, 4); len(got) != 0 {
		t.Errorf("no texts give %v", got)
	}
}

func BenchmarkEncode(b *testing.B) {
	tok := trained(b, options())
	text := strings.Join(excerpts(b), "")
	dst := make([]uint32, 0, len(text))
	b.Run("text", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			dst = tok.Encode(dst[:0], text)
		}
	})
	random := make([]byte, 1<<20)
	r := rand.New(rand.NewPCG(15, 16))
	for i := range random {
		random[i] = byte('a' + r.IntN(26))
	}
	for name, long := range map[string]string{"words": strings.Repeat("abracadabra", 1<<20/11), "a": strings.Repeat("a", 1<<20),
		"ab": strings.Repeat("ab", 1<<19), "random": string(random)} {
		b.Run("no-space-"+name, func(b *testing.B) {
			b.SetBytes(int64(len(long)))
			for b.Loop() {
				dst = tok.Encode(dst[:0], long)
			}
		})
	}
}
