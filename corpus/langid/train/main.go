// Command train makes ../model.bin.zst of the texts in ../text. Run it by go generate.
package main

import (
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/ptbr-slm/pipeline/corpus/langid"
)

func main() {
	files, err := filepath.Glob("text/*.txt")
	if err != nil || len(files) == 0 {
		log.Fatal("no texts: run this in corpus/langid")
	}
	text := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			log.Fatal(err)
		}
		text[strings.TrimSuffix(filepath.Base(f), ".txt")] = string(b)
	}
	b, err := langid.Train(text).AppendBinary(nil)
	if err != nil {
		log.Fatal(err)
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("model.bin.zst", z.EncodeAll(b, nil), 0o644); err != nil {
		log.Fatal(err)
	}
}
