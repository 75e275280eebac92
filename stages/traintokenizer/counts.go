package traintokenizer

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

// sourceCounts is what a shard holds of one source.
type sourceCounts struct {
	source                        string
	documents, bytes, words, long uint64
	pieces                        []tokenizer.Word // sorted by text
}

// A counts file is one zstd frame: the magic; then for each source, by name, the name,
// the four sums, the number of pieces, and the pieces by text, each as the length it
// shares with the one before, the length of the rest, the rest, and the count. All
// numbers are unsigned varints, strings have their length before them.
const countsMagic = "ptbr-counts-1\n"

func writeCounts(w io.Writer, all []*sourceCounts) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	b := []byte(countsMagic)
	for _, c := range all {
		b = binary.AppendUvarint(b, uint64(len(c.source)))
		b = append(b, c.source...)
		for _, n := range []uint64{c.documents, c.bytes, c.words, c.long, uint64(len(c.pieces))} {
			b = binary.AppendUvarint(b, n)
		}
		last := ""
		for _, p := range c.pieces {
			k := 0
			for k < len(last) && k < len(p.Text) && last[k] == p.Text[k] {
				k++
			}
			b = binary.AppendUvarint(b, uint64(k))
			b = binary.AppendUvarint(b, uint64(len(p.Text)-k))
			b = append(b, p.Text[k:]...)
			b = binary.AppendUvarint(b, p.Count)
			last = p.Text
			if len(b) >= 1<<16 {
				if _, err := z.Write(b); err != nil {
					return err
				}
				b = b[:0]
			}
		}
	}
	if _, err := z.Write(b); err != nil {
		return err
	}
	return z.Close()
}

// readCounts calls f for each source of a counts file.
func readCounts(r io.Reader, f func(*sourceCounts) error) error {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	in := &countsReader{r: bufio.NewReaderSize(z, 1<<16)}
	if magic := in.text(nil, uint64(len(countsMagic))); in.err == nil && string(magic) != countsMagic {
		return fmt.Errorf("begins with %q; a counts file begins with %q", magic, countsMagic)
	}
	for {
		if _, err := in.r.Peek(1); errors.Is(err, io.EOF) && in.err == nil {
			return nil
		}
		c := &sourceCounts{source: string(in.text(nil, in.number()))}
		c.documents, c.bytes, c.words, c.long = in.number(), in.number(), in.number(), in.number()
		var texts []byte // of all pieces, so that they share one string
		last := 0        // where the one before begins
		var ends []int
		for n := in.number(); n > 0 && in.err == nil; n-- {
			shared, rest := in.number(), in.number()
			if shared > uint64(len(texts)-last) {
				return fmt.Errorf("a piece shares %d bytes with one of %d", shared, len(texts)-last)
			}
			begin := len(texts)
			texts = in.text(append(texts, texts[last:last+int(shared)]...), rest)
			last, ends = begin, append(ends, len(texts))
			c.pieces = append(c.pieces, tokenizer.Word{Count: in.number()})
		}
		if in.err != nil {
			return in.err
		}
		all, begin := string(texts), 0
		for i, end := range ends {
			c.pieces[i].Text = all[begin:end]
			begin = end
		}
		if err := f(c); err != nil {
			return err
		}
	}
}

// countsReader reads the parts of a counts file and keeps the first error.
type countsReader struct {
	r   *bufio.Reader
	err error
}

func (c *countsReader) number() uint64 {
	if c.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(c.r)
	if c.err = err; errors.Is(err, io.EOF) {
		c.err = io.ErrUnexpectedEOF
	}
	return n
}

// text appends n bytes to b. No string in a counts file is longer than a source's name
// or a piece may be.
func (c *countsReader) text(b []byte, n uint64) []byte {
	if c.err == nil && n > 1<<16 {
		c.err = fmt.Errorf("a string of %d bytes is too long", n)
	}
	if c.err != nil {
		return nil
	}
	k := len(b)
	b = slices.Grow(b, int(n))[:k+int(n)]
	if _, err := io.ReadFull(c.r, b[k:]); err != nil {
		c.err = io.ErrUnexpectedEOF
	}
	return b
}

// eachCounts reads the counts of all parts, in order.
func eachCounts(ctx context.Context, t stage.Task, f func(*sourceCounts) error) error {
	for _, file := range t.Inputs("counts") {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Open(file)
		if err != nil {
			return err
		}
		err = readCounts(h, f)
		h.Close()
		if err != nil {
			return fmt.Errorf("counts %.12s: %w", file.Digest, err)
		}
	}
	return nil
}

// sumCounts adds up the counts of all parts, each source by its weight. Of more words than
// max-words, unless that is 0, those seen most often are returned; of words seen equally
// often, the first by text. distinct is how many words there are in all.
//
// With max-words memory is bounded by it, whatever the parts hold: when four times as many
// words are at hand, those in the upper half of the hash values are put off, to be summed
// in another reading of the counts. What is returned does not depend on how they hash.
func (s *Trainer) sumCounts(ctx context.Context, t stage.Task) (words []tokenizer.Word, distinct int, err error) {
	seed := maphash.MakeSeed()
	for ranges := []hashRange{{}}; len(ranges) > 0; {
		last := len(ranges) - 1
		in := ranges[last]
		ranges = ranges[:last]
		tally := &tokenizer.Tally{}
		err := eachCounts(ctx, t, func(c *sourceCounts) error {
			weight := uint64(1)
			if w, ok := s.c.SourceWeights[c.source]; ok {
				weight = uint64(w)
			}
			if weight == 0 {
				return nil
			}
			for _, p := range c.pieces {
				if p.Count > math.MaxUint64/2/weight {
					return fmt.Errorf("the count of %q in %s times its weight %d is too large: lower the weight", p.Text, c.source, weight)
				}
				if !in.has(seed, p.Text) {
					continue
				}
				tally.Add(p.Text, p.Count*weight)
				for s.c.MaxWords > 0 && tally.Len() > 4*s.c.MaxWords && in.bits < 32 {
					in.bits++
					ranges = append(ranges, hashRange{in.bits, in.first | 1<<(64-in.bits)})
					all := tally.Words()
					tally = &tokenizer.Tally{}
					for _, w := range all {
						if in.has(seed, w.Text) {
							tally.Add(w.Text, w.Count)
						}
					}
				}
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
		distinct += tally.Len()
		words = mostFrequent(append(words, tally.Words()...), s.c.MaxWords)
	}
	return words, distinct, nil
}

// hashRange is the hash values that begin with the bits of first; the rest of first is 0.
type hashRange struct {
	bits  int
	first uint64
}

func (r hashRange) has(seed maphash.Seed, text string) bool {
	return r.bits == 0 || (maphash.String(seed, text)^r.first)>>(64-r.bits) == 0
}

// mostFrequent returns the n words seen most often, or all when n is 0; of words seen
// equally often, the first by text.
func mostFrequent(words []tokenizer.Word, n int) []tokenizer.Word {
	if n == 0 || len(words) <= n {
		return words
	}
	slices.SortFunc(words, func(a, b tokenizer.Word) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Text, b.Text))
	})
	return slices.Clone(words[:n])
}
