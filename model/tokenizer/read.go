package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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

	// What errors call the vocabulary and a merge, where they are not fields of a tokenizer.json.
	vocabName string
	mergeName func(i int) string
}

func (f *file) vocab() string {
	if f.vocabName != "" {
		return f.vocabName
	}
	return "model.vocab"
}

func (f *file) merge(i int) string {
	if f.mergeName != nil {
		return f.mergeName(i)
	}
	return fmt.Sprintf("model.merges[%d]", i)
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
	Content        string `json:"content"`
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
	if t.splitter, t.prefixSpace, err = f.PreTokenizer.splitter(); err != nil {
		return nil, err
	}
	return t, f.fill(t)
}

// fill sets all of t that follows from vocabulary, merges and added tokens.
func (f *file) fill(t *Tokenizer) error {
	if err := f.readVocab(t); err != nil {
		return err
	}
	if err := t.indexTokens(); err != nil {
		return fmt.Errorf("%s: %w", f.vocab(), err)
	}
	if err := f.readMerges(t); err != nil {
		return err
	}
	err := t.indexMerges()
	var twice *mergedTwice
	if errors.As(err, &twice) {
		return fmt.Errorf("%s: %w", f.merge(twice.rank), err)
	}
	return err
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
		return fmt.Errorf("model.dropout: is %g; must be null, or ids would be random", *m.Dropout)
	case given(m.Prefix):
		return fmt.Errorf("model.continuing_subword_prefix: is %q; must be null in a byte-level BPE", *m.Prefix)
	case given(m.Suffix):
		return fmt.Errorf("model.end_of_word_suffix: is %q; must be null in a byte-level BPE", *m.Suffix)
	case m.ByteFallback:
		return errors.New("model.byte_fallback: is true; must be false, a byte-level BPE knows every byte")
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

// splitter finds the splitter that the pre-tokenizer means, and whether a text is given
// a space to begin with. Three forms are read:
//
//	ByteLevel with its own regular expression, which is GPT-2's
//	Sequence of Split (Regex, Isolated) and ByteLevel without its own
//	Sequence of ByteLevel alone, as the first
func (c *component) splitter() (s *splitter, prefixSpace bool, err error) {
	const want = "Sequence of Split (Regex, Isolated) and ByteLevel without its own regex, or a ByteLevel with it"
	field := "pre_tokenizer"
	switch {
	case c == nil:
		return nil, false, fmt.Errorf("pre_tokenizer: is missing; must be a %s", want)
	case c.Type == "Sequence" && len(c.PreTokenizers) == 1:
		c, field = &c.PreTokenizers[0], "pre_tokenizer.pretokenizers[0]"
	}
	switch {
	case c.Type == "ByteLevel" && c.UseRegex != nil && !*c.UseRegex:
		return nil, false, fmt.Errorf("%s.use_regex: is false, which leaves text in one piece; must be a %s", field, want)
	case c.Type == "ByteLevel":
		s, err := findSplitter("gpt2")
		return s, c.AddPrefixSpace, err
	case c.Type != "Sequence":
		return nil, false, fmt.Errorf("%s.type: is %q; must be a %s", field, c.Type, want)
	case len(c.PreTokenizers) != 2:
		return nil, false, fmt.Errorf("%s.pretokenizers: has %d entries; must be a %s", field, len(c.PreTokenizers), want)
	}
	s, err = c.PreTokenizers[0].split("pre_tokenizer.pretokenizers[0]")
	if err != nil {
		return nil, false, err
	}
	field = "pre_tokenizer.pretokenizers[1]"
	switch level := &c.PreTokenizers[1]; {
	case level.Type != "ByteLevel":
		return nil, false, fmt.Errorf("%s.type: is %q; must be ByteLevel", field, level.Type)
	case level.AddPrefixSpace:
		return nil, false, fmt.Errorf("%s.add_prefix_space: is true; must be false behind a Split, every piece would be given a space", field)
	case level.UseRegex == nil || *level.UseRegex:
		return nil, false, fmt.Errorf("%s.use_regex: is true; must be false, the Split before it cuts the text", field)
	}
	return s, false, nil
}

// split finds the splitter whose regular expression a Split has.
func (c *component) split(field string) (*splitter, error) {
	switch {
	case c.Type != "Split":
		return nil, fmt.Errorf("%s.type: is %q; must be Split", field, c.Type)
	case c.Behavior != "Isolated":
		return nil, fmt.Errorf("%s.behavior: is %q; must be Isolated", field, c.Behavior)
	case c.Invert:
		return nil, fmt.Errorf("%s.invert: is true; must be false", field)
	case c.Pattern.String != nil:
		return nil, fmt.Errorf("%s.pattern.String: is %q; must be a Regex, that of a splitter known here", field, *c.Pattern.String)
	case c.Pattern.Regex == nil:
		return nil, fmt.Errorf("%s.pattern: must be a Regex", field)
	}
	if s := splitterOf(*c.Pattern.Regex); s != nil {
		return s, nil
	}
	var known []string
	for _, s := range splitters {
		known = append(known, fmt.Sprintf("%s (%s)", s.name, s.regex))
	}
	return nil, fmt.Errorf("%s.pattern.Regex: %q is no splitter known here; known are %s", field, *c.Pattern.Regex, strings.Join(known, ", "))
}

// maxHoles is how many ids may be without a token. Vocabularies made to a round size
// have some between the tokens that were learnt and those that were added.
const maxHoles = 1024

// readVocab sets tokens, special, literal and added.
func (f *file) readVocab(t *Tokenizer) error {
	vocab := f.Model.Vocab
	added := map[string]addedToken{}
	entries := slices.Clone(vocab.entries)
	next := uint32(len(vocab.entries)) // id of the next added token that model.vocab does not have
	for i, a := range f.AddedTokens {
		if a.Content == "" {
			return fmt.Errorf("added_tokens[%d].content: is empty", i)
		}
		if was, ok := added[a.Content]; ok {
			return fmt.Errorf("added_tokens[%d].content: %q was added before, as %d", i, a.Content, was.ID)
		}
		id, known := vocab.ids[a.Content]
		if known && id != a.ID {
			return fmt.Errorf("%s: is %d, but %s gives %q the id %d", f.added(i), a.ID, f.vocab(), a.Content, id)
		}
		if !known {
			if a.ID != next && f.vocabName == "" {
				return fmt.Errorf("added_tokens[%d].id: is %d (%q); must be %d, the next that is free: Hugging Face's library takes that whatever stands here", i, a.ID, a.Content, next)
			}
			entries = append(entries, entry{a.Content, a.ID})
			if !a.Special {
				if t.literal == nil {
					t.literal = map[uint32]bool{}
				}
				t.literal[a.ID] = true
			}
		}
		if a.ID >= next {
			next = a.ID + 1
		}
		added[a.Content] = a
		t.added = append(t.added, a)
	}
	size := 0
	for _, e := range entries {
		if size = max(size, int(e.id)+1); size > len(entries)+maxHoles {
			return fmt.Errorf("%s: the id is %d, but there are %d tokens; their ids must be near to 0 to %d", f.where(e), e.id, len(entries), len(entries)-1)
		}
	}
	t.tokens, t.special = make([]string, size), make([]bool, size)
	names := make([]string, size)
	for _, e := range entries {
		if e.token == "" {
			return fmt.Errorf("%s: a token cannot be empty", f.where(e))
		}
		if t.tokens[e.id] != "" {
			return fmt.Errorf("%s: has the id %d, which %q has already; each token must have an id of its own", f.where(e), e.id, names[e.id])
		}
		tok := e.token
		a, isAdded := added[e.token]
		if !a.Special && !t.literal[e.id] {
			var bad rune
			var ok bool
			if tok, bad, ok = unspell(e.token); !ok {
				return fmt.Errorf("%s: the character %q is not of the byte-level alphabet, in which a space is Ġ; only tokens of added_tokens are written as they are", f.where(e), bad)
			}
			if isAdded && tok != e.token {
				return fmt.Errorf("%s: is added for the text %q, but in the vocabulary it spells the bytes %q; take it out of one of them", f.where(e), e.token, tok)
			}
		}
		names[e.id], t.tokens[e.id], t.special[e.id] = e.token, tok, a.Special
	}
	if f.Model.IgnoreMerges {
		t.whole = make(map[string]uint32, len(vocab.entries))
		for _, e := range vocab.entries {
			if !t.special[e.id] {
				t.whole[t.tokens[e.id]] = e.id
			}
		}
	}
	return nil
}

// where is the field that gives a token its id.
func (f *file) where(e entry) string {
	if _, ok := f.Model.Vocab.ids[e.token]; ok {
		return fmt.Sprintf("%s[%q]", f.vocab(), e.token)
	}
	return f.added(slices.IndexFunc(f.AddedTokens, func(a addedToken) bool { return a.Content == e.token }))
}

// added is the field of an added token's id, or whose id it is where no file has it.
func (f *file) added(i int) string {
	if f.vocabName != "" {
		return fmt.Sprintf("the id given for the special token %q", f.AddedTokens[i].Content)
	}
	return fmt.Sprintf("added_tokens[%d].id", i)
}

func (f *file) readMerges(t *Tokenizer) error {
	vocab := f.Model.Vocab.ids
	token := func(i int, s string) (uint32, error) {
		id, ok := vocab[s]
		switch {
		case !ok:
			return 0, fmt.Errorf("%s: the token %q is not in %s, though each merge is of two of its tokens and gives a third", f.merge(i), s, f.vocab())
		case t.special[id]:
			return 0, fmt.Errorf("%s: the token %q is special, which no merge may take or give", f.merge(i), s)
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
