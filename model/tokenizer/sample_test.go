package tokenizer

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/charmap"
)

// sample reads every text of the sample corpus, markup and all: novels, pages of laws,
// sessions, dumps of wikis. Of each it gives most bytes at most; 0: all.
func sample(t testing.TB, most int) (texts []string) {
	t.Helper()
	add := func(b []byte) {
		text := string(b)
		if !utf8.ValidString(text) {
			var err error
			if text, err = charmap.Windows1252.NewDecoder().String(text); err != nil {
				t.Fatal(err)
			}
		}
		if most > 0 && len(text) > most {
			text = validUTF8(text[:most])
		}
		texts = append(texts, text)
	}
	names, err := filepath.Glob("../../pipelines/sample/*")
	if err != nil || len(names) < 6 {
		t.Fatalf("the sample corpus has %d files: %v", len(names), err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = bytes.NewReader(b)
		switch filepath.Ext(name) {
		case ".bz2":
			r = bzip2.NewReader(r)
		case ".zst":
			z, err := zstd.NewReader(r)
			if err != nil {
				t.Fatal(err)
			}
			defer z.Close()
			r = z
		}
		switch {
		case strings.Contains(name, ".jsonl"):
			lines := bufio.NewReader(r)
			for {
				line, err := lines.ReadBytes('\n')
				if errors.Is(err, io.EOF) {
					break
				}
				var document struct{ Text string }
				if err != nil || json.Unmarshal(line, &document) != nil {
					t.Fatalf("%s: %.40q is no document", name, line)
				}
				add([]byte(document.Text))
			}
			continue
		case strings.Contains(name, ".tar"):
			members := tar.NewReader(r)
			for {
				_, err := members.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if b, err = io.ReadAll(members); err != nil {
					t.Fatal(err)
				}
				add(b)
			}
			continue
		}
		if b, err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		add(b)
	}
	return texts
}
