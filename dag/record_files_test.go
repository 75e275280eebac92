package dag

import (
	"bytes"
	"fmt"
	"testing"
)

// The list keeps its digest however it is encoded: runs of earlier programs name it.
func TestCanonicalFilesIsCanonical(t *testing.T) {
	for _, count := range []int{0, 1, 2, 300} {
		list := make([]SourceFile, count)
		for i := range list {
			list[i] = SourceFile{Name: fmt.Sprintf("ação <%d> & \"%d\"\n", i, i*i), Path: fmt.Sprintf("in/%0*d.txt", 1+i%40, i), SHA256: digestOf([]byte{byte(i)}), Size: int64(i) << 30}
			if i%3 == 0 {
				list[i].URL = "https://example.org/?a=1&b=<2>"
			}
		}
		got := canonicalFiles(count, func(i int) SourceFile { return list[i] })
		if want := canonical(list); !bytes.Equal(got, want) {
			t.Fatalf("%d files: found %s, expected %s", count, got, want)
		}
	}
}
