package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Load reads the tokenizer.json of a directory.
func Load(dir string) (*Tokenizer, error) {
	f, err := os.Open(filepath.Join(dir, FileName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return t, nil
}

// Read reads a tokenizer.json: a byte-level BPE with a splitter and normalizers known
// here, merges as "a b" or as ["a", "b"]. What a file asks for beyond that is an error
// that names the field, because ignoring it would give other ids than the file means.
func Read(r io.Reader) (*Tokenizer, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, jsonError(b, err)
	}
	t, err := f.tokenizer()
	if err != nil {
		return nil, err
	}
	t.setFile(b)
	return t, nil
}

// file is tokenizer.json as Hugging Face's tokenizers 0.23 writes it.
type file struct {
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    *component      `json:"normalizer"`
	PreTokenizer  *component      `json:"pre_tokenizer"`
	PostProcessor *component      `json:"post_processor"`
	Decoder       *component      `json:"decoder"`
	Model         struct {
		Type         string      `json:"type"`
		Dropout      *float64    `json:"dropout"`
		UnkToken     *string     `json:"unk_token"`
		Prefix       *string     `json:"continuing_subword_prefix"`
		Suffix       *string     `json:"end_of_word_suffix"`
		ByteFallback bool        `json:"byte_fallback"`
		IgnoreMerges bool        `json:"ignore_merges"`
		Vocab        *vocabulary `json:"vocab"`
		Merges       mergeList   `json:"merges"`
	} `json:"model"`
}

type addedToken struct {
	ID         uint32 `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Special    bool   `json:"special"`
}

// component is a normalizer, pre-tokenizer, post-processor or decoder: the fields of
// all kinds that may appear in a byte-level tokenizer.
type component struct {
	Type          string      `json:"type"`
	Normalizers   []component `json:"normalizers"`
	PreTokenizers []component `json:"pretokenizers"`
	Pattern       struct {
		Regex  *string
		String *string
	} `json:"pattern"`
	Behavior       string `json:"behavior"`
	Invert         bool   `json:"invert"`
	AddPrefixSpace bool   `json:"add_prefix_space"`
	UseRegex       *bool  `json:"use_regex"` // absent: true
}

func (f *file) tokenizer() (*Tokenizer, error) {
	if err := f.unsupported(); err != nil {
		return nil, err
	}
	t := &Tokenizer{}
	var err error
	if t.normalizer, err = f.Normalizer.normalizer("normalizer"); err != nil {
		return nil, err
	}
	if t.splitter, err = f.PreTokenizer.splitter(); err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return f.readVocab(t) }, t.indexTokens,
		func() error { return f.readMerges(t) }, t.indexMerges,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// unsupported names the first field that asks for what is not done here.
func (f *file) unsupported() error {
	m := &f.Model
	given := func(s *string) bool { return s != nil && *s != "" }
	switch {
	case m.Type == "" && m.Vocab == nil:
		return errors.New("model: is missing; is this a tokenizer.json?")
	case m.Type != "BPE" && !(m.Type == "" && m.Merges != nil):
		return fmt.Errorf("model.type: is %q; only BPE is read", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return fmt.Errorf("model.dropout: is %g; must be null, ids would be random", *m.Dropout)
	case given(m.Prefix):
		return fmt.Errorf("model.continuing_subword_prefix: is %q; must be null in a byte-level BPE", *m.Prefix)
	case given(m.Suffix):
		return fmt.Errorf("model.end_of_word_suffix: is %q; must be null in a byte-level BPE", *m.Suffix)
	case m.ByteFallback:
		return errors.New("model.byte_fallback: is true; must be false, a byte-level BPE knows every byte")
	case m.IgnoreMerges:
		return errors.New("model.ignore_merges: is true; only false is read")
	case m.Vocab == nil:
		return errors.New("model.vocab: is missing")
	case m.Merges == nil:
		return errors.New("model.merges: is missing")
	case !null(f.Truncation):
		return errors.New("truncation: is set; must be null, texts are encoded whole")
	case !null(f.Padding):
		return errors.New("padding: is set; must be null, nothing is padded")
	case f.PostProcessor != nil && f.PostProcessor.Type != "ByteLevel":
		return fmt.Errorf("post_processor.type: is %q; must be null or ByteLevel, which adds no ids", f.PostProcessor.Type)
	case f.Decoder != nil && f.Decoder.Type != "ByteLevel":
		return fmt.Errorf("decoder.type: is %q; must be ByteLevel", f.Decoder.Type)
	}
	return nil
}

func null(b json.RawMessage) bool { return len(b) == 0 || string(b) == "null" }

func (c *component) normalizer(field string) (normalizer, error) {
	if c == nil {
		return nil, nil
	}
	switch s := step(c.Type); s {
	case stepNFC, stepNFD, stepLowercase, stepStripAccents:
		return normalizer{s}, nil
	}
	if c.Type != "Sequence" {
		return nil, fmt.Errorf("%s.type: is %q; only NFC, NFD, Lowercase, StripAccents and Sequence are read", field, c.Type)
	}
	var n normalizer
	for i := range c.Normalizers {
		m, err := c.Normalizers[i].normalizer(fmt.Sprintf("%s.normalizers[%d]", field, i))
		if err != nil {
			return nil, err
		}
		n = append(n, m...)
	}
	return n, nil
}

// splitter finds the splitter whose regular expression the file has.
func (c *component) splitter() (*splitter, error) {
	const want = "Sequence of Split (Regex, Isolated) and ByteLevel without its own regex"
	switch {
	case c == nil:
		return nil, fmt.Errorf("pre_tokenizer: is missing; must be a %s", want)
	case c.Type != "Sequence":
		return nil, fmt.Errorf("pre_tokenizer.type: is %q; must be a %s", c.Type, want)
	case len(c.PreTokenizers) != 2:
		return nil, fmt.Errorf("pre_tokenizer.pretokenizers: has %d entries; must be a %s", len(c.PreTokenizers), want)
	}
	split, level := &c.PreTokenizers[0], &c.PreTokenizers[1]
	field := "pre_tokenizer.pretokenizers[0]"
	switch {
	case split.Type != "Split":
		return nil, fmt.Errorf("%s.type: is %q; must be Split", field, split.Type)
	case split.Behavior != "Isolated":
		return nil, fmt.Errorf("%s.behavior: is %q; must be Isolated", field, split.Behavior)
	case split.Invert:
		return nil, fmt.Errorf("%s.invert: is true; must be false", field)
	case split.Pattern.Regex == nil:
		return nil, fmt.Errorf("%s.pattern: must be a Regex", field)
	case level.Type != "ByteLevel":
		return nil, fmt.Errorf("pre_tokenizer.pretokenizers[1].type: is %q; must be ByteLevel", level.Type)
	case level.AddPrefixSpace:
		return nil, errors.New("pre_tokenizer.pretokenizers[1].add_prefix_space: is true; must be false")
	case level.UseRegex == nil || *level.UseRegex:
		return nil, errors.New("pre_tokenizer.pretokenizers[1].use_regex: is true; must be false, the Split before it cuts the text")
	}
	var known []string
	for _, s := range splitters {
		if s.regex == *split.Pattern.Regex {
			return s, nil
		}
		known = append(known, fmt.Sprintf("%s (%s)", s.name, s.regex))
	}
	return nil, fmt.Errorf("%s.pattern.Regex: %q is no splitter known here; known are %s", field, *split.Pattern.Regex, strings.Join(known, ", "))
}

// readVocab sets tokens, special and order.
func (f *file) readVocab(t *Tokenizer) error {
	added := map[string]uint32{}
	for i, a := range f.AddedTokens {
		field := fmt.Sprintf("added_tokens[%d]", i)
		switch {
		case a.Content == "":
			return fmt.Errorf("%s.content: is empty", field)
		case !a.Special:
			return fmt.Errorf("%s.special: is false (%q); only special tokens may be added, so that text never becomes one unasked", field, a.Content)
		case a.SingleWord || a.LStrip || a.RStrip:
			return fmt.Errorf("%s: single_word, lstrip and rstrip must be false (%q)", field, a.Content)
		}
		if id, ok := f.Model.Vocab.ids[a.Content]; ok && id != a.ID {
			return fmt.Errorf("%s.id: is %d, but model.vocab gives %q the id %d", field, a.ID, a.Content, id)
		}
		if id, ok := added[a.Content]; ok {
			return fmt.Errorf("%s.content: %q was added before, as %d", field, a.Content, id)
		}
		added[a.Content] = a.ID
		t.order = append(t.order, a.ID)
	}
	entries := f.Model.Vocab.entries
	for i, a := range f.AddedTokens {
		if _, ok := f.Model.Vocab.ids[a.Content]; !ok {
			entries = append(entries, entry{a.Content, f.AddedTokens[i].ID})
		}
	}
	t.tokens, t.special = make([]string, len(entries)), make([]bool, len(entries))
	names := make([]string, len(entries))
	for _, e := range entries {
		switch {
		case int64(e.id) >= int64(len(entries)):
			return fmt.Errorf("model.vocab[%q]: the id is %d; %d tokens must have the ids 0 to %d", e.token, e.id, len(entries), len(entries)-1)
		case t.tokens[e.id] != "":
			return fmt.Errorf("model.vocab: %q and %q have the same id %d", names[e.id], e.token, e.id)
		}
		_, special := added[e.token]
		tok := e.token
		if !special {
			var bad rune
			var ok bool
			if tok, bad, ok = unspell(e.token); !ok {
				return fmt.Errorf("model.vocab[%q]: the character %q is not of the byte-level alphabet", e.token, bad)
			}
			if tok == "" {
				return errors.New(`model.vocab[""]: a token cannot be empty`)
			}
		}
		names[e.id], t.tokens[e.id], t.special[e.id] = e.token, tok, special
	}
	return nil
}

func (f *file) readMerges(t *Tokenizer) error {
	token := func(i int, s string) (uint32, error) {
		id, ok := f.Model.Vocab.ids[s]
		if !ok || t.special[id] {
			return 0, fmt.Errorf("model.merges[%d]: the token %q is not in model.vocab, or is special", i, s)
		}
		return id, nil
	}
	t.merges = make([]merge, 0, len(f.Model.Merges))
	for i, m := range f.Model.Merges {
		left, err := token(i, m[0])
		if err != nil {
			return err
		}
		right, err := token(i, m[1])
		if err != nil {
			return err
		}
		id, err := token(i, m[0]+m[1])
		if err != nil {
			return err
		}
		t.merges = append(t.merges, merge{left, right, id})
	}
	return nil
}

// jsonError says where a file stops being what it should, by field where that is known
// and else by line.
func jsonError(b []byte, err error) error {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return fmt.Errorf("%s: is a JSON %s; must be a %s", typ.Field, typ.Value, typ.Type)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1 + bytes.Count(b[:min(int64(len(b)), syntax.Offset)], []byte("\n"))
		return fmt.Errorf("not valid JSON at line %d of %d: %w; is the file whole?", line, 1+bytes.Count(b, []byte("\n")), err)
	}
	return err
}
