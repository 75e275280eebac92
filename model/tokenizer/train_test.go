package tokenizer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// learnNaive is the definition of training: count all pairs afresh before every merge.
func learnNaive(words []Word, o Options) (merges []string) {
	type word struct {
		tokens []string
		n      uint64
	}
	id := map[string]int{}
	for i, b := range byteOrder {
		id[string([]byte{b})] = len(o.Specials) + i
	}
	var all []word
	for _, w := range words {
		all = append(all, word{strings.Split(w.Text, ""), w.Count})
	}
	for size := len(o.Specials) + 256; size < o.VocabSize; {
		count := map[[2]string]uint64{}
		for _, w := range all {
			for i := 0; i+1 < len(w.tokens); i++ {
				count[[2]string{w.tokens[i], w.tokens[i+1]}] += w.n
			}
		}
		var best [2]string
		for p, n := range count {
			b := count[best]
			if n > b || n == b && (id[p[0]] < id[best[0]] || id[p[0]] == id[best[0]] && id[p[1]] < id[best[1]]) {
				best = p
			}
		}
		if count[best] < o.MinFrequency {
			break
		}
		merges = append(merges, best[0]+" "+best[1])
		tok := best[0] + best[1]
		if _, ok := id[tok]; !ok {
			id[tok] = size
			size++
		}
		for k := range all {
			t := all[k].tokens
			for i := 0; i+1 < len(t); i++ {
				if t[i] == best[0] && t[i+1] == best[1] {
					t = slices.Replace(t, i, i+2, tok)
				}
			}
			all[k].tokens = t
		}
	}
	return merges
}

func mergeNames(t *Tokenizer) (s []string) {
	for _, m := range t.merges {
		s = append(s, t.tokens[m.left]+" "+t.tokens[m.right])
	}
	return s
}

// Small alphabets make ties, overlaps (aaa) and words that shrink to one token.
func TestTrainFollowsTheDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 60 {
		var words []Word
		for range 1 + r.IntN(40) {
			var b strings.Builder
			for range 1 + r.IntN(12) {
				b.WriteByte("abcd"[r.IntN(1+round%4)])
			}
			words = append(words, Word{b.String(), uint64(1 + r.IntN(5))})
		}
		o := options()
		o.VocabSize, o.MinFrequency = 261+r.IntN(60), uint64(1+r.IntN(3))
		tok, err := Train(context.Background(), words, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := mergeNames(tok), learnNaive(words, o); !slices.Equal(got, want) {
			t.Fatalf("round %d: %v\nmerges %q\nmust be %q", round, words, got, want)
		}
	}
}

func TestTrainIgnoresOrder(t *testing.T) {
	o := options()
	want := trained(t, o)
	c, err := NewCounter(o.Splitter, o.Normalizer)
	if err != nil {
		t.Fatal(err)
	}
	texts := excerpts(t)
	slices.Reverse(texts)
	for _, text := range texts {
		c.Add(text)
	}
	words := c.Words()
	rand.New(rand.NewPCG(7, 8)).Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	got, err := Train(context.Background(), words, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.file, want.file) {
		t.Error("the order of words changes the tokenizer")
	}
}

// A pair that spells a special is left alone, so that no text can become one.
func TestTrainNeverSpellsASpecial(t *testing.T) {
	o := options()
	o.Specials, o.VocabSize, o.MinFrequency = []string{"ab", "abc"}, 400, 1
	tok, err := Train(context.Background(), []Word{{"abcd", 100}, {"xab", 50}}, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	ids := tok.Encode(nil, "abcd xab abc ab")
	for _, id := range ids {
		if tok.special[id] {
			t.Errorf("%q became the special %q", tok.Decode(ids), tok.Token(id))
		}
	}
	if got := tok.Decode(ids); got != "abcd xab abc ab" {
		t.Errorf("came back as %q", got)
	}
}

func TestTrainRefuses(t *testing.T) {
	o := options()
	long := []Word{{strings.Repeat("x", MaxWord+1), 1}}
	if _, err := Train(context.Background(), long, o, nil); err == nil || !strings.Contains(err.Error(), "too long to learn from") {
		t.Errorf("a long word: %v", err)
	}
	huge := []Word{{"ab", 1 << 61}, {"abc", 1 << 61}}
	if _, err := Train(context.Background(), huge, o, nil); err == nil || !strings.Contains(err.Error(), "2⁶²") {
		t.Errorf("huge counts: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Train(ctx, []Word{{"abab", 9}}, o, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestCounterLeavesLongPieces(t *testing.T) {
	c, err := NewCounter("ptbr", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Add("um um " + strings.Repeat("x", MaxWord+1))
	if got := fmt.Sprint(c.Words()); c.Long != 1 || got != "[{ um 1} {um 1}]" {
		t.Errorf("%d long, words %s", c.Long, got)
	}
}

func BenchmarkTrain(b *testing.B) {
	o := options()
	c, err := NewCounter(o.Splitter, o.Normalizer)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, text := range excerpts(b) {
		c.Add(text)
		n += len(text)
	}
	words := c.Words()
	b.SetBytes(int64(n))
	for b.Loop() {
		if _, err := Train(context.Background(), words, o, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	text := strings.Join(excerpts(b), "")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		c, err := NewCounter("ptbr", []string{"nfc"})
		if err != nil {
			b.Fatal(err)
		}
		c.Add(text)
	}
}
