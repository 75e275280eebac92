package tokenizer

import (
	"os"
	"strings"
	"sync"
	"testing"
)

func speedTexts(b *testing.B) []string {
	raw, err := os.ReadFile(os.Getenv("TEXT"))
	if err != nil {
		b.Skip(err)
	}
	s := string(raw)
	var out []string
	for len(s) > 16<<10 {
		n := strings.IndexByte(s[16<<10:], '\n')
		if n < 0 {
			break
		}
		n += 16<<10 + 1
		out = append(out, s[:n])
		s = s[n:]
	}
	return append(out, s)
}

func BenchmarkSpeed1(b *testing.B) { speedN(b, 1) }
func BenchmarkSpeed2(b *testing.B) { speedN(b, 2) }
func BenchmarkSpeedSplit(b *testing.B) {
	texts := speedTexts(b)
	n := 0
	for _, t := range texts {
		n += len(t)
	}
	b.SetBytes(int64(n))
	for b.Loop() {
		for _, text := range texts {
			for i := 0; i < len(text); {
				i = ptbr(text, i)
			}
		}
	}
}
func BenchmarkSpeedPlain(b *testing.B) {
	texts := speedTexts(b)
	n := 0
	for _, t := range texts {
		n += len(t)
	}
	b.SetBytes(int64(n))
	k := 0
	for b.Loop() {
		k = 0
		for _, text := range texts {
			if isPlain(text) {
				k++
			}
		}
	}
	b.ReportMetric(float64(k)/float64(len(texts)), "plain")
}
func speedN(b *testing.B, g int) {
	texts := speedTexts(b)
	tok, err := Load(os.Getenv("TOK"))
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, t := range texts {
		n += len(t)
	}
	b.SetBytes(int64(n))
	dst := make([][]uint32, g)
	b.ReportAllocs()
	for b.Loop() {
		var wg sync.WaitGroup
		for w := range g {
			wg.Go(func() {
				for i := w; i < len(texts); i += g {
					dst[w] = tok.Encode(dst[w][:0], texts[i])
				}
			})
		}
		wg.Wait()
	}
}
