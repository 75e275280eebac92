package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokenizer inspects and converts the small tokenizer of the tests of model/tokenizer.
func TestTokenizer(t *testing.T) {
	s := newSandbox(t)
	b, err := os.ReadFile(filepath.Join("..", "..", "model", "tokenizer", "testdata", "huggingface", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("tok/tokenizer.json", string(b))
	s.write("textos/um.txt", "A cidade de São Paulo.\n")
	s.write("textos/.pipeline-view", "no text\n")
	s.write("textos/.git/um.txt", "no text\n")
	s.write("textos/mais.jsonl", `{"id": "1", "source": "senado", "text": "O presidente da sessão."}`+"\n\n"+`{"id": "2", "text": "Sem fonte"}`)
	s.write("quebrado.jsonl", "{\n")
	s.write("cheio/x", "")
	s.write("nada/vazio.jsonl", "")

	for _, c := range []struct {
		args []string
		code int
		says []string // of stdout, or of stderr where the code is not 0
	}{
		{[]string{"inspect", "tok"}, 0, []string{"ids             1 500\n", "splitter        ptbr\n", "[PAD] 0, [UNK] 1", "longest tokens\n", "....."}},
		{[]string{"inspect", "tok/tokenizer.json", "--from", "3", "--limit", "2"}, 0, []string{"3      5  special  [EOS]\n", "4      5  special  [SEP]\n"}},
		{[]string{"inspect", "tok", "--search", " de", "--limit", "1"}, 0, []string{"·de"}},
		{[]string{"inspect", "tok", "--search", "xyzzy"}, 0, []string{"no such tokens\n"}},
		{[]string{"inspect", "tok", "--text", "Em\n[EOS] \u0301 \t👩"}, 0, []string{"E|m|↵\n|[|E|O|S|]|·|\\xcc|\\x81|·|⇥|\\xf0|\\x9f|", "17 tokens of 2 words in 17 bytes, 8.50 a word, 1.00 bytes a token"}},
		{[]string{"inspect", "tok", "--text", "a[EOS]", "--allow-specials", "[EOS]"}, 0, []string{"a|[EOS]\n", " 3     1   6  special  [EOS]\n"}},
		{[]string{"inspect", "tok", "--text-files", "textos", "--against", "files/vocab.json"}, 0, []string{"against: tokens", "mais.jsonl  ", "senado  ", "um.txt  ", "all                 3  "}},
		{[]string{"convert", "tok", "files"}, 2, []string{"files is not empty: it has merges.txt"}},
		{[]string{"convert", "tok", "cheio/x"}, 2, []string{"cheio/x"}},
		{[]string{"convert", "files/tokenizer.tiktoken", "ranks", "--splitter", "ptbr", "--normalizer", "nfc", "--special", "[EOS]=3"}, 0, nil},
		{[]string{"inspect", "ranks"}, 0, []string{"special tokens          [EOS] 3\n", "stay whole"}},
		{[]string{"inspect", "ranks", "--limit", "1"}, 0, []string{" 3      5  special  [EOS]\n"}},

		{[]string{"inspect"}, 2, []string{"inspect: accepts 1 arg(s), received 0; usage: pipeline tokenizer inspect PATH"}},
		{[]string{"explode"}, 2, []string{`there is no command "explode" of tokenizer; there are inspect and convert`}},
		{[]string{"inspect", "nowhere"}, 2, []string{"nowhere: no such file or directory"}},
		{[]string{"inspect", "textos"}, 2, []string{"textos: has no tokenizer; looked for tokenizer.json"}},
		{[]string{"inspect", "files/tokenizer.tiktoken"}, 2, []string{"name the splitter, which is one of ptbr"}},
		{[]string{"inspect", "tok", "--splitter", "ptbr"}, 2, []string{"tok/tokenizer.json: a tokenizer.json says itself"}},
		{[]string{"inspect", "files/vocab.json", "--special", "x"}, 2, []string{"--special x: must be NAME=ID"}},
		{[]string{"inspect", "tok", "--from", "-1"}, 2, []string{"must not be below 0"}},
		{[]string{"inspect", "tok", "--against", "files"}, 2, []string{"name some with --text-files"}},
		{[]string{"inspect", "tok", "--text-files", "textos", "--against", "textos"}, 2, []string{"--against: textos: has no tokenizer"}},
		{[]string{"inspect", "tok", "--text", "a", "--allow-specials", "[X]"}, 2, []string{"no such special token; it has [PAD], [UNK]"}},
		{[]string{"inspect", "tok", "--allow-specials", "[EOS]"}, 2, []string{"--allow-specials is for --text"}},
		{[]string{"inspect", "tok", "--text-files", "quebrado.jsonl"}, 2, []string{"quebrado.jsonl: line 1: "}},
		{[]string{"inspect", "tok", "--text-files", "nada"}, 2, []string{"there is no text in nada"}},
		{[]string{"inspect", "tok", "--text-files", "cinco"}, 2, []string{"cinco: no such file"}},
	} {
		if len(c.args) > 5 && c.args[5] == "files/vocab.json" {
			if code, _, stderr := s.pipeline("tokenizer", "convert", "tok", "files"); code != 0 {
				t.Fatal(stderr)
			}
			// The two files alone do not say how they are split; for this any way will do.
			if err := os.Remove(filepath.Join(s.dir, "files", "tokenizer.json")); err != nil {
				t.Fatal(err)
			}
		}
		code, out, stderr := s.pipeline(append([]string{"tokenizer"}, c.args...)...)
		if code != 0 {
			out = stderr
		}
		if code != c.code {
			t.Errorf("%q: exit code %d, must be %d\n%s", c.args, code, c.code, stderr)
		}
		for _, says := range c.says {
			if !strings.Contains(out, says) {
				t.Errorf("%q: prints\n%s\nmust say\n%s", c.args, out, says)
			}
		}
	}

	var d inspection
	_, out, _ := s.pipeline("tokenizer", "inspect", "tok", "--json", "--text", "São Paulo", "--from", "0", "--limit", "1", "--text-files", "textos/um.txt")
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("stdout is not the document: %v\n%s", err, out)
	}
	if d.Vocab != 1500 || len(d.Longest) != 10 || len(d.Tokens) != 1 || d.Text.Text != "São Paulo" || len(d.Fit) != 1 || d.Fit[0].Words != 5 || d.Fit[0].Against != nil {
		t.Errorf("the document is %s", out)
	}
	if last := d.Text.Tokens[len(d.Text.Tokens)-1]; last.To != d.Text.Bytes || last.To != len("São Paulo") {
		t.Errorf("the last token ends at %d of %d bytes", last.To, d.Text.Bytes)
	}
}

// What a full disk interrupts leaves the directory as it was.
func TestFill(t *testing.T) {
	full := errors.New("no space left on device")
	half := func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte("{"), 0o644); err != nil {
			t.Fatal(err)
		}
		return full
	}
	dir := filepath.Join(t.TempDir(), "new")
	if err := fill(dir, half); !errors.Is(err, full) || !strings.Contains(err.Error(), "nothing was kept") {
		t.Errorf("a directory that is new: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new directory is still there: %v", err)
	}
	dir = t.TempDir()
	if err := fill(dir, half); !errors.Is(err, full) {
		t.Errorf("an empty directory: %v", err)
	}
	if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
		t.Errorf("the directory has %v (%v), must be empty", there, err)
	}
	if err := fill(dir, func(string) error { return nil }); err != nil {
		t.Errorf("once more: %v", err)
	}
}
