package traintokenizer

import (
	"bytes"
	"testing"

	"github.com/ptbr-slm/pipeline/model/tokenizer"
)

// What is read of a damaged counts file is written the same again, or it is an error.
func FuzzReadCounts(f *testing.F) {
	var b bytes.Buffer
	if err := writeCounts(&b, []*sourceCounts{{source: "a", documents: 1, pieces: []tokenizer.Word{{Text: "ab", Count: 2}, {Text: "abc", Count: 300}}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		read := func(in []byte) (all []*sourceCounts, err error) {
			err = readCounts(bytes.NewReader(in), func(c *sourceCounts) error { all = append(all, c); return nil })
			return all, err
		}
		all, err := read(in)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := writeCounts(&out, all); err != nil {
			t.Fatal(err)
		}
		again, err := read(out.Bytes())
		if err != nil || len(again) != len(all) {
			t.Fatalf("%d sources became %d: %v", len(all), len(again), err)
		}
		for i := range all {
			if all[i].source != again[i].source || len(all[i].pieces) != len(again[i].pieces) {
				t.Errorf("source %q came back as %q", all[i].source, again[i].source)
			}
		}
	})
}
