package textparse

import (
	"bytes"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/ptbr-slm/pipeline/dag/stage/stagetest"
)

// A few kilobytes of Parquet that hold 80 MiB of text are refused once 64 MiB and
// max-ratio times its size have come out.
func TestParquetBomb(t *testing.T) {
	var b bytes.Buffer
	type row struct {
		Text string `parquet:"text,dict,zstd"` // one entry, and a number for each row
	}
	w := parquet.NewGenericWriter[row](&b)
	rows := make([]row, 1280)
	for i := range rows {
		rows[i].Text = strings.Repeat("a", 64<<10)
	}
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c := Kind.Config.(Config)
	c.Source, c.MaxRatio = "s", 10
	_, err := stagetest.Try(t, Kind, c, map[string][]stagetest.Input{"files": {{Name: "a.parquet", Data: b.Bytes()}}}, 1, false)
	if err == nil || !strings.Contains(err.Error(), "the file unpacks to more than 10 times its size; refused") {
		t.Errorf("%d bytes end with %v", b.Len(), err)
	}
}
