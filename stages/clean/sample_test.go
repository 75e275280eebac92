package clean

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/ptbr-slm/pipeline/corpus"
	"github.com/ptbr-slm/pipeline/corpus/mediawiki"
)

// wikiDocs reads the articles of the sample corpus.
func wikiDocs(t testing.TB) (docs []corpus.Document) {
	t.Helper()
	for _, name := range []string{"wiki-dragonexperience.xml.bz2", "ptwiki-berlim-rev56220935.xml.bz2", "ptwiki-berlim-rev62017799.xml.bz2"} {
		b, err := os.ReadFile("../../pipelines/sample/" + name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := mediawiki.Open(bytes.NewReader(b), int64(len(b)), 0, int64(len(b)), 2)
		if err != nil {
			t.Fatal(err)
		}
		for {
			p, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Redirect == "" {
				docs = append(docs, corpus.Document{ID: p.Title, Source: "wiki", Title: p.Title, Text: p.Text, Meta: map[string]any{"format": "wikitext"}})
			}
		}
		r.Close()
	}
	return docs
}

// plainDocs reads the sessions of the sample corpus.
func plainDocs(t testing.TB) (docs []corpus.Document) {
	t.Helper()
	f, err := os.Open("../../pipelines/sample/senado-cpi.jsonl.zst")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := corpus.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for len(docs) < 10 {
		var d corpus.Document
		if err := r.Next(&d); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, d)
	}
	return docs
}
