package clean

import (
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
)

func BenchmarkClean(b *testing.B) {
	for _, set := range []struct {
		name string
		docs []corpus.Document
	}{{"wikitext", wikiDocs(b)}, {"plain", plainDocs(b)}} {
		b.Run(set.name, func(b *testing.B) {
			c, err := newCleaner(Kind.Config.(Config))
			if err != nil {
				b.Fatal(err)
			}
			bytes := 0
			for i := range set.docs {
				bytes += len(set.docs[i].Text)
			}
			b.SetBytes(int64(bytes))
			for b.Loop() {
				r := corpus.NewReport("clean")
				for _, d := range set.docs {
					d.Meta = map[string]any{"format": d.Meta["format"]}
					if err := c.Clean(&d, r, 42); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
