package tokenizer

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "rewrite testdata/huggingface/tokenizer.json and strange.json; then run record.py there")

// Hugging Face's tokenizers, reading our tokenizer.json, gave the ids in ids.json; and
// its trainer, given the excerpts, gave the same vocabulary and merges (record.py).
func TestHuggingFace(t *testing.T) {
	dir := filepath.Join("testdata", "huggingface")
	tok := trained(t, options())
	var valid []string
	for _, s := range strange {
		if utf8.ValidString(s) {
			valid = append(valid, s)
		}
	}
	if *update {
		b, err := json.Marshal(valid)
		if err != nil {
			t.Fatal(err)
		}
		for name, body := range map[string][]byte{FileName: tok.file, "strange.json": append(b, '\n')} {
			if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, tok.file) {
		t.Error("training does not give the tokenizer.json that was recorded")
	}
	read, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(filepath.Join(dir, "ids.json")); err != nil {
		t.Fatal(err)
	}
	var recorded []struct {
		Text string   `json:"text"`
		IDs  []uint32 `json:"ids"`
	}
	if err := json.Unmarshal(b, &recorded); err != nil {
		t.Fatal(err)
	}
	texts := append(excerpts(t), valid...)
	if len(texts) != len(recorded) {
		t.Fatalf("%d texts, %d recorded: run record.py", len(texts), len(recorded))
	}
	for i, r := range recorded {
		if !strings.HasPrefix(texts[i], r.Text) {
			t.Fatalf("text %d begins %.40q, recorded %.40q: run record.py", i, texts[i], r.Text)
		}
		for name, x := range map[string]*Tokenizer{"trained": tok, "read": read} {
			if ids := x.Encode(nil, texts[i]); !slices.Equal(ids, r.IDs) {
				t.Errorf("%s: %.60q gives %v; Hugging Face gives %v", name, texts[i], ids[:min(20, len(ids))], r.IDs[:min(20, len(r.IDs))])
			}
		}
	}
}
