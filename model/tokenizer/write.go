package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// FileName is the file that Load reads; the others are for other programs.
const FileName = "tokenizer.json"

// Write writes the files of the tokenizer, each through create and closed:
//
//	tokenizer.json           Hugging Face's tokenizers; all there is to know
//	vocab.json, merges.txt   readers of GPT-2's two files
//	tokenizer.tiktoken       tiktoken's mergeable ranks, base64; without the specials
//	tokenizer_config.json    what AutoTokenizer.from_pretrained looks for
//	special_tokens_map.json  likewise
func (t *Tokenizer) Write(create func(name string) (io.WriteCloser, error)) error {
	for _, f := range []struct {
		name string
		body []byte
	}{
		{FileName, t.file},
		{"vocab.json", append(t.vocab(""), '\n')},
		{"merges.txt", t.mergesText()},
		{"tokenizer.tiktoken", t.tiktoken()},
		{"tokenizer_config.json", t.config()},
		{"special_tokens_map.json", indented(t.roles())},
	} {
		w, err := create(f.name)
		if err != nil {
			return err
		}
		if _, err := w.Write(f.body); err != nil {
			w.Close()
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Save writes the files into a directory.
func (t *Tokenizer) Save(dir string) error {
	return t.Write(func(name string) (io.WriteCloser, error) { return os.Create(filepath.Join(dir, name)) })
}

// text is the form of a token in vocabularies: bytes in the alphabet; as they are,
// specials and other added tokens.
func (t *Tokenizer) text(id uint32) string {
	if t.special[id] || t.literal[id] {
		return t.tokens[id]
	}
	return spell(t.tokens[id])
}

// marshal gives tokenizer.json. Merges are strings of two tokens, which readers of any
// age take: no token of the alphabet has a space.
func (t *Tokenizer) marshal() []byte {
	var b bytes.Buffer
	b.WriteString("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [")
	for i, a := range t.added {
		fmt.Fprintf(&b, "%s\n    {\"id\": %d, \"content\": %s, \"single_word\": %t, \"lstrip\": %t, \"rstrip\": %t, \"normalized\": %t, \"special\": %t}",
			comma(i), a.ID, quote(a.Content), a.SingleWord, a.LStrip, a.RStrip, a.Normalized, a.Special)
	}
	b.WriteString("\n  ],\n  \"normalizer\": ")
	b.Write(t.normalizer.marshal())
	b.WriteString(",\n  \"pre_tokenizer\": ")
	if t.prefixSpace {
		b.WriteString(`{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}`)
	} else {
		fmt.Fprintf(&b, `{
    "type": "Sequence",
    "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": %s}, "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}
    ]
  }`, quote(t.splitter.regex))
	}
	fmt.Fprintf(&b, `,
  "post_processor": null,
  "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
  "model": {
    "type": "BPE",
    "dropout": null,
    "unk_token": null,
    "continuing_subword_prefix": null,
    "end_of_word_suffix": null,
    "fuse_unk": false,
    "byte_fallback": false,
    "ignore_merges": %t,
    "vocab": `, t.whole != nil)
	b.Write(t.vocab("    "))
	b.WriteString(",\n    \"merges\": [")
	for i, m := range t.merges {
		fmt.Fprintf(&b, "%s\n      %s", comma(i), quote(t.text(m.left)+" "+t.text(m.right)))
	}
	b.WriteString("\n    ]\n  }\n}\n")
	return b.Bytes()
}

// vocab gives token → id as a JSON object in the order of ids. Added tokens that are
// not special are only in added_tokens, where their bytes are not taken for letters of the alphabet.
func (t *Tokenizer) vocab(indent string) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	n := 0
	for id, tok := range t.tokens {
		if tok == "" || t.literal[uint32(id)] {
			continue
		}
		fmt.Fprintf(&b, "%s\n%s  %s: %d", comma(n), indent, quote(t.text(uint32(id))), id)
		n++
	}
	b.WriteString("\n" + indent + "}")
	return b.Bytes()
}

func (t *Tokenizer) mergesText() []byte {
	var b bytes.Buffer
	b.WriteString("#version: 0.2\n")
	for _, m := range t.merges {
		fmt.Fprintf(&b, "%s %s\n", t.text(m.left), t.text(m.right))
	}
	return b.Bytes()
}

func (t *Tokenizer) tiktoken() []byte {
	var b bytes.Buffer
	for id, tok := range t.tokens {
		if tok != "" && !t.special[id] && !t.literal[uint32(id)] {
			fmt.Fprintf(&b, "%s %d\n", base64.StdEncoding.EncodeToString([]byte(tok)), id)
		}
	}
	return b.Bytes()
}

// gpt2End is the one special token of GPT-2, which stands between texts.
const gpt2End = "<|endoftext|>"

// roles says which special plays which part in Hugging Face's classes.
func (t *Tokenizer) roles() map[string]any {
	known := map[string]string{Pad: "pad_token", Unknown: "unk_token", Begin: "bos_token", End: "eos_token", Separator: "sep_token"}
	m := map[string]any{}
	var more []string
	for _, a := range t.added {
		name := a.Content
		if !a.Special {
			continue
		}
		_, begin := t.names[Begin]
		_, end := t.names[End]
		switch role, ok := known[name]; {
		case ok:
			m[role] = name
		case name == gpt2End && !begin && !end:
			m["bos_token"], m["eos_token"] = name, name
		default:
			more = append(more, name)
		}
	}
	if more != nil {
		m["additional_special_tokens"] = more
	}
	return m
}

func (t *Tokenizer) config() []byte {
	m := t.roles()
	m["tokenizer_class"] = "PreTrainedTokenizerFast"
	m["clean_up_tokenization_spaces"] = false
	m["model_max_length"] = 1000000
	m["lossy_normalizer"] = t.Lossy()
	return indented(m)
}

// indented encodes a map of plain values, keys sorted.
func indented(m map[string]any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		panic(err) // strings, booleans and numbers only
	}
	return b.Bytes()
}

// quote writes a JSON string, without the escapes that HTML would need.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}
