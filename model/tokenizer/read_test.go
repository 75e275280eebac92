package tokenizer

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// hub is a tokenizer.json as Hugging Face's library writes it: merges as pairs, other
// spacing, the fields it adds.
func hub(t testing.TB, tok *Tokenizer) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(tok.file, &m); err != nil {
		t.Fatal(err)
	}
	model := m["model"].(map[string]any)
	var pairs []any
	for _, x := range model["merges"].([]any) {
		a, b, _ := strings.Cut(x.(string), " ")
		pairs = append(pairs, []any{a, b})
	}
	model["merges"] = pairs
	m["normalizer"] = map[string]any{"type": "Sequence", "normalizers": []any{m["normalizer"]}}
	m["post_processor"] = map[string]any{"type": "ByteLevel", "trim_offsets": false}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReadsPairsOfMerges(t *testing.T) {
	tok := trained(t, options())
	other, err := Read(strings.NewReader(hub(t, tok)))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append(excerpts(t), strange...) {
		if !slices.Equal(tok.Encode(nil, text), other.Encode(nil, text)) {
			t.Fatalf("%.40q gives other ids", text)
		}
	}
	if other.Digest() == tok.Digest() {
		t.Error("two files with different bytes have one digest")
	}
}

// Added tokens outside the vocabulary follow it, as in many files of the hub.
func TestReadsAddedTokensBehindTheVocabulary(t *testing.T) {
	o := options()
	o.Specials = []string{End}
	tok := trained(t, o)
	s := string(tok.file)
	s = strings.Replace(s, `"[EOS]": 0,`, "", 1)
	for id := 1; id < tok.VocabSize(); id++ { // everything moves down by one
		old := quote(tok.text(uint32(id))) + ": "
		s = strings.Replace(s, "\n      "+old+itoa(id), "\n      "+old+itoa(id-1), 1)
	}
	s = strings.Replace(s, `{"id": 0, "content": "[EOS]"`, `{"id": `+itoa(tok.VocabSize()-1)+`, "content": "[EOS]"`, 1)
	other, err := Read(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := other.Special(End); !ok || int(id) != tok.VocabSize()-1 {
		t.Errorf("[EOS] is %d, %v", id, ok)
	}
	for _, text := range excerpts(t) {
		a, b := tok.Encode(nil, text), other.Encode(nil, text)
		for i := range a {
			if a[i] != b[i]+1 {
				t.Fatalf("id %d is %d and %d", i, a[i], b[i])
			}
		}
	}
}

// ByteLevel with its own expression cuts as GPT-2 does; the type of the model may be
// left out, as in the file that GPT-2 goes around with.
func TestReadsFormsOfPreTokenizers(t *testing.T) {
	o := options()
	o.Splitter = "gpt2"
	tok := trained(t, o)
	s := string(tok.file)
	from, to := strings.Index(s, `"pre_tokenizer"`), strings.Index(s, `,
  "post_processor"`)
	for _, c := range []struct{ form, before string }{
		{`{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}`, ""},
		{`{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true}`, ""},
		{`{"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false}]}`, ""},
		{`{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true}`, " "},
	} {
		file := s[:from] + `"pre_tokenizer": ` + c.form + s[to:]
		file = strings.Replace(file, `    "type": "BPE",`, "", 1)
		other, err := Read(strings.NewReader(file))
		if err != nil {
			t.Errorf("%s: %v", c.form, err)
			continue
		}
		again, err := Read(bytes.NewReader(other.marshal()))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range append(excerpts(t), strange...) {
			before := c.before
			if text == "" || text[0] == ' ' {
				before = ""
			}
			want := tok.Encode(nil, before+text)
			if !slices.Equal(other.Encode(nil, text), want) || !slices.Equal(again.Encode(nil, text), want) {
				t.Errorf("%s: %.40q gives other ids", c.form, text)
			}
		}
	}
}

func itoa(n int) string { return strings.TrimSpace(string(must(json.Marshal(n)))) }

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestReadRefuses(t *testing.T) {
	tok := trained(t, options())
	good := string(tok.file)
	high := slices.IndexFunc(tok.tokens, func(s string) bool { return !utf8.ValidString(s) })
	spelled := tok.text(uint32(high))
	first := quote(tok.text(tok.merges[0].left) + " " + tok.text(tok.merges[0].right))
	for _, c := range []struct{ name, old, new, want string }{
		{"empty", good, "", "not valid JSON at line 1 of 1"},
		{"cut short", good[len(good)/2:], "", "not valid JSON at line"},
		{"not an object", good, "[1]", "must be a"},
		{"something else", good, `{"a": 1}`, "model: is missing; is this a tokenizer.json?"},
		{"not BPE", `"type": "BPE"`, `"type": "Unigram"`, `model.type: is "Unigram"; only BPE is read`},
		{"merge of an unknown token", first, `"Ġ Ġxyzzy"`, `model.merges[0]: the token "Ġxyzzy" is not in model.vocab`},
		{"merge of three", first, `"a b c"`, `model.merges[0]: must name two tokens`},
		{"merge of a number", first, `7`, `model.merges[0]: must name two tokens, as "a b" or ["a", "b"], is 7`},
		{"merges no list", `"merges": [`, `"merges": null, "x": [`, `model.merges: must be a list`},
		{"merge of an object", first, `{"a": 1}`, `model.merges[0]: must name two tokens`},
		{"merge of lists", first, `[["a"], ["b"]]`, `model.merges[0]: must name two tokens`},
		{"merge that makes nothing", first, `["Ċ", "]"]`, `model.merges[0]: the token "Ċ]" is not in model.vocab`},
		{"merge of a special", first, `["[EOS]", "a"]`, `model.merges[0]: the token "[EOS]" is special`},
		{"merge twice", first, first + "," + first, `model.merges[1]: the pair`},
		{"same id twice", `"\"": 6`, `"\"": 5`, `model.vocab["\""]: has the id 5, which "!" has already`},
		{"hole", `"\"": 6`, `"\"": 9999`, `model.vocab["\""]: the id is 9999, but there are 1500 tokens`},
		{"same token twice", `"\"": 6`, `"!": 6`, `model.vocab["!"]: stands there twice, as 5 and as 6`},
		{"id no number", `"\"": 6`, `"\"": "6"`, `model.vocab["\""]: must be a whole number`},
		{"id below zero", `"\"": 6`, `"\"": -6`, `model.vocab["\""]: must be a whole number`},
		{"id an object", `"\"": 6`, `"\"": {"a": "b c"}`, `model.vocab["\""]: must be a whole number`},
		{"id a string with an escape", `"\"": 6`, `"\"": "\", 6"`, `model.vocab["\""]: must be a whole number`},
		{"vocab no object", `"vocab": {`, `"vocab": [], "x": {`, `model.vocab: must be an object`},
		{"character outside the alphabet", `"\"": 6`, `" ": 6`, `model.vocab[" "]: the character ' ' is not of the byte-level alphabet`},
		{"byte missing", `"\"": 6`, `"!!!!!!": 6`, `there is no token for the byte 0x22`},
		{"other splitter", `\\p{N}{1,2}`, `\\p{N}{1,9}`, `pre_tokenizer.pretokenizers[0].pattern.Regex:`},
		{"other behaviour", `"Isolated"`, `"Removed"`, `pre_tokenizer.pretokenizers[0].behavior: is "Removed"; must be Isolated`},
		{"other pre-tokenizer", `"type": "Split"`, `"type": "Digits"`, `pre_tokenizer.pretokenizers[0].type: is "Digits"`},
		{"byte level with a regex", `"trim_offsets": true, "use_regex": false}
    ]`, `"trim_offsets": true, "use_regex": true}]`, `pre_tokenizer.pretokenizers[1].use_regex: is true`},
		{"text for an expression", `"pattern": {"Regex": `, `"pattern": {"String": `, `pre_tokenizer.pretokenizers[0].pattern.String: is`},
		{"no pattern", `"pattern": {"Regex": `, `"pattern": {}, "other": {"Regex": `, `pre_tokenizer.pretokenizers[0].pattern: must be a Regex`},
		{"inverted", `"invert": false`, `"invert": true`, `pre_tokenizer.pretokenizers[0].invert: is true`},
		{"no pre-tokenizer", `"pre_tokenizer": {`, `"pre_tokenizer": null, "other": {`, `pre_tokenizer: is missing; must be a Sequence`},
		{"text in one piece", `"pre_tokenizer": {`, `"pre_tokenizer": {"type": "ByteLevel", "use_regex": false}, "other": {`, `pre_tokenizer.use_regex: is false`},
		{"three pre-tokenizers", `"pretokenizers": [`, `"pretokenizers": [{"type": "Digits"},`, `pre_tokenizer.pretokenizers: has 3 entries`},
		{"Whitespace", `"pre_tokenizer": {`, `"pre_tokenizer": {"type": "Whitespace"}, "other": {`, `pre_tokenizer.type: is "Whitespace"`},
		{"prefix space", `"type": "ByteLevel", "add_prefix_space": false`, `"type": "ByteLevel", "add_prefix_space": true`, `pre_tokenizer.pretokenizers[1].add_prefix_space: is true`},
		{"NFKC", `"NFC"`, `"NFKC"`, `normalizer.type: is "NFKC"`},
		{"template", `"post_processor": null`, `"post_processor": {"type": "TemplateProcessing"}`, `post_processor.type: is "TemplateProcessing"`},
		{"other decoder", `"decoder": {"type": "ByteLevel"`, `"decoder": {"type": "WordPiece"`, `decoder.type: is "WordPiece"`},
		{"truncation", `"truncation": null`, `"truncation": {"max_length": 512}`, `truncation: is set`},
		{"padding", `"padding": null`, `"padding": {"length": 8}`, `padding: is set`},
		{"dropout", `"dropout": null`, `"dropout": 0.1`, `model.dropout: is 0.1`},
		{"wrong type", `"dropout": null`, `"dropout": "no"`, `model.dropout: is a JSON string`},
		{"byte fallback", `"byte_fallback": false`, `"byte_fallback": true`, `model.byte_fallback: is true`},
		{"subword prefix", `"continuing_subword_prefix": null`, `"continuing_subword_prefix": "##"`, `model.continuing_subword_prefix: is "##"`},
		{"word suffix", `"end_of_word_suffix": null`, `"end_of_word_suffix": "</w>"`, `model.end_of_word_suffix: is "</w>"`},
		{"added for other bytes", `"special": true`, `"special": false}, {"id": ` + itoa(high) + `, "content": "` + spelled + `", "special": false`,
			`model.vocab["` + spelled + `"]: is added for the text "` + spelled + `", but in the vocabulary it spells the bytes`},
		{"added far away", `"content": "[PAD]", `, `"content": "[FAR]", "id": 99999, `, `added_tokens[0].id: is 99999 ("[FAR]"); must be 1500, the next that is free`},
		{"added with another id", `{"id": 0,`, `{"id": 9,`, `added_tokens[0].id: is 9, but model.vocab gives "[PAD]" the id 0`},
		{"added twice", `"content": "[UNK]"`, `"content": "[PAD]"`, `added_tokens[1]`},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s: the file has no %.60s", c.name, c.old)
		}
		_, err := Read(strings.NewReader(strings.Replace(good, c.old, c.new, 1)))
		if err == nil {
			t.Errorf("%s: was read", c.name)
		} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error is\n%v\nmust say\n%s", c.name, err, c.want)
		}
	}
}

// Whatever a file holds, reading it ends in a tokenizer that works or in an error.
func FuzzRead(f *testing.F) {
	o := options()
	o.VocabSize, o.Specials = 270, []string{End}
	tok := trained(f, o)
	f.Add(tok.file)
	f.Add([]byte(hub(f, tok)))
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{},"merges":[]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		tok, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		const text = "Uma noite [EOS] \u0301"
		ids := tok.Encode(nil, text)
		strips := func(a addedToken) bool { return a.LStrip || a.RStrip }
		if got := tok.Decode(ids); len(tok.normalizer) == 0 && !tok.prefixSpace && !slices.ContainsFunc(tok.added, strips) && got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	})
}
