package tokenizer

import (
	"bytes"
	"encoding/base64"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// specialsOf gives the specials of options with the ids that training gives them.
func specialsOf(o Options) map[string]uint32 {
	ids := map[string]uint32{}
	for i, name := range o.Specials {
		ids[name] = uint32(i)
	}
	return ids
}

// What one format says can be said in another: the files of a tokenizer, each read for
// itself, encode alike.
func TestOpen(t *testing.T) {
	o := options()
	o.Specials = append(o.Specials, "sem colchetes")
	tok := trained(t, o)
	given := Given{Splitter: o.Splitter, Normalizer: o.Normalizer}
	named := given
	named.Specials = specialsOf(o)
	for _, c := range []struct {
		what  string
		files map[string]string // name ← name that Save gave it
		open  string
		given Given
		same  bool // the tokenizer.json that it makes is the one it came from
	}{
		{"a directory with all", map[string]string{}, "", Given{}, true},
		{"a file", map[string]string{"anything.json": FileName}, "anything.json", Given{}, true},
		{"a pair", map[string]string{"vocab.json": "vocab.json", "merges.txt": "merges.txt"}, "", named, true},
		{"a pair by its merges", map[string]string{"vocab.json": "vocab.json", "merges.txt": "merges.txt"}, "merges.txt", named, true},
		{"a pair under GPT-2's names", map[string]string{"encoder.json": "vocab.json", "vocab.bpe": "merges.txt"}, "encoder.json", named, true},
		{"a pair with a name before", map[string]string{"um-vocab.json": "vocab.json", "um-merges.txt": "merges.txt"}, "", named, true},
		{"ranks", map[string]string{"x.tiktoken": "tokenizer.tiktoken"}, "", named, false},
		{"ranks under any name", map[string]string{"x": "tokenizer.tiktoken"}, "x", named, false},
		{"ranks without specials", map[string]string{"x.tiktoken": "tokenizer.tiktoken"}, "", given, false},
	} {
		all, dir := t.TempDir(), t.TempDir()
		if err := tok.Save(all); err != nil {
			t.Fatal(err)
		}
		for name, from := range c.files {
			if err := os.Rename(filepath.Join(all, from), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if len(c.files) == 0 {
			dir = all
		}
		other, err := Open(filepath.Join(dir, c.open), c.given)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if c.same && !bytes.Equal(other.file, tok.file) {
			t.Errorf("%s: it does not make the same tokenizer.json", c.what)
		}
		for _, text := range append(excerpts(t), strange...) {
			if !slices.Equal(tok.Encode(nil, text), other.Encode(nil, text)) {
				t.Errorf("%s: %.40q gives other ids", c.what, text)
			}
		}
		again, err := Read(bytes.NewReader(other.file))
		if err != nil {
			t.Fatalf("%s: its tokenizer.json: %v", c.what, err)
		}
		if !bytes.Equal(again.marshal(), other.file) || len(again.whole) != len(other.whole) || !maps.Equal(again.names, other.names) {
			t.Errorf("%s: its tokenizer.json is read as something else", c.what)
		}
	}
}

// A tiktoken file has no merges. All ways of making a token are merges then, and a piece
// that is a token needs none.
func TestTiktokenMergesAllThatMakesAToken(t *testing.T) {
	var b strings.Builder
	for i, c := range byteOrder {
		line(&b, string([]byte{c}), i)
	}
	for i, token := range []string{"bc", "abc", "ab", "xyz"} {
		line(&b, token, 256+i)
	}
	path := filepath.Join(t.TempDir(), "x.tiktoken")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	tok, err := Open(path, Given{Splitter: "ptbr"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"abc": "abc", "aabc": "a|abc", "abd": "ab|d", "xyz": "xyz", "xyzz": "x|y|z|z"} {
		var parts []string
		for _, id := range tok.Encode(nil, text) {
			parts = append(parts, tok.Token(id))
		}
		if got := strings.Join(parts, "|"); got != want {
			t.Errorf("%s is %s; must be %s", text, got, want)
		}
	}
}

func line(b *strings.Builder, token string, id int) {
	b.WriteString(base64.StdEncoding.EncodeToString([]byte(token)) + " " + itoa(id) + "\n")
}

func TestOpenRefuses(t *testing.T) {
	o := options()
	tok := trained(t, o)
	good := t.TempDir()
	if err := tok.Save(good); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string { return string(must(os.ReadFile(filepath.Join(good, name)))) }
	vocab, merges, ranks := read("vocab.json"), read("merges.txt"), read("tokenizer.tiktoken")
	second := strings.Split(merges, "\n")[2] // line 3
	left, right, _ := strings.Cut(second, " ")
	firstRank, _, _ := strings.Cut(ranks, "\n")
	pair := func(vocab, merges string) map[string]string {
		return map[string]string{"vocab.json": vocab, "merges.txt": merges}
	}
	one := func(name, body string) map[string]string { return map[string]string{name: body} }
	ptbr := Given{Splitter: "ptbr"}
	specials := Given{Splitter: "ptbr", Specials: specialsOf(o)}
	for _, c := range []struct {
		what  string
		files map[string]string
		open  string
		given Given
		want  string // DIR is the directory
	}{
		{"nothing there", nil, "x", Given{}, "DIR/x: no such file or directory"},
		{"an empty directory", nil, "", Given{}, "DIR: has no tokenizer; looked for tokenizer.json, vocab.json with merges.txt"},
		{"two of a kind", map[string]string{"a.tiktoken": "", "b.tiktoken": ""}, "", ptbr, "DIR: has several tokenizers, a.tiktoken, b.tiktoken; name one"},
		{"something else", one("x.bin", "\x00\x01"), "x.bin", Given{}, "DIR/x.bin: is no tokenizer known here, which are: tokenizer.json,"},
		{"a tokenizer.json cut short", one(FileName, string(tok.file[:999])), "", Given{}, "DIR/tokenizer.json: not valid JSON at line"},
		{"a tokenizer.json and a splitter", one(FileName, string(tok.file)), "", ptbr, "DIR/tokenizer.json: a tokenizer.json says itself"},
		{"a vocabulary in place of a tokenizer.json", one(FileName, vocab), "", Given{}, "DIR/tokenizer.json: model: is missing; is this a tokenizer.json?"},

		{"a vocabulary alone", one("vocab.json", vocab), "", Given{}, "DIR/merges.txt: no such file or directory; DIR/vocab.json goes with it"},
		{"merges alone", one("x-vocab.bpe", merges), "x-vocab.bpe", Given{}, "DIR/x-encoder.json: no such file or directory; DIR/x-vocab.bpe goes with it"},
		{"a vocabulary cut short", pair(vocab[:999], merges), "", Given{}, "DIR/vocab.json: not valid JSON at line"},
		{"an empty vocabulary", pair("", merges), "", Given{}, "DIR/vocab.json: not valid JSON at line 1 of 1"},
		{"a list", pair("[]", merges), "", Given{}, "DIR/vocab.json: must be an object of token → id"},
		{"an id that is none", pair(strings.Replace(vocab, `"!": 5`, `"!": null`, 1), merges), "", Given{}, `DIR/vocab.json["!"]: must be a whole number`},
		{"one id twice", pair(strings.Replace(vocab, `"!": 5`, `"!": 6`, 1), merges), "", Given{}, `DIR/vocab.json["\""]: has the id 6, which "!" has already`},
		{"a token twice", pair(strings.Replace(vocab, `"!": 5`, `"!": 5, "!": 9`, 1), merges), "", Given{}, `DIR/vocab.json["!"]: stands there twice, as 5 and as 9`},
		{"a byte missing", pair(strings.Replace(vocab, `"!": 5`, `"[!]": 5`, 1), merges), "", Given{}, `DIR/vocab.json: there is no token for the byte 0x21`},
		{"an id far away", pair(strings.Replace(vocab, `"!": 5`, `"!": 500000`, 1), merges), "", Given{}, `DIR/vocab.json["!"]: the id is 500000, but there are 1500 tokens`},
		{"not of the alphabet", pair(strings.Replace(vocab, `"!": 5`, `"日": 5`, 1), merges), "", Given{}, `DIR/vocab.json["日"]: no merge in DIR/merges.txt makes`},
		{"merges cut short", pair(vocab, merges[:len(merges)/2]), "", Given{}, "are the two files of one tokenizer, and whole?"},
		{"merges cut in a line", pair(vocab, merges[:len(merges)-len(right)-3]), "", Given{}, "is the file whole?"},
		{"no merges", pair(vocab, ""), "", Given{}, "DIR/merges.txt: is empty"},
		{"a merge of one", pair(vocab, strings.Replace(merges, second, left, 1)), "", Given{}, "DIR/merges.txt:3: must be two tokens with a space between them, is \"" + left},
		{"a merge of three", pair(vocab, strings.Replace(merges, second, second+" a", 1)), "", Given{}, "DIR/merges.txt:3: must be two tokens"},
		{"a merge of an unknown token", pair(vocab, strings.Replace(merges, second, second+"\nxyzzy a", 1)), "", Given{}, `DIR/merges.txt:4: the token "xyzzy" is not in DIR/vocab.json`},
		{"a merge twice", pair(vocab, merges+second+"\n"), "", Given{}, `: the pair "` + left + `" "` + right + `" was merged before`},
		{"a merge of a special", pair(vocab, merges+"[ PAD]\n"), "", Given{}, `the token "PAD]" is not in DIR/vocab.json`},
		{"a special of another id", pair(vocab, merges), "", Given{Specials: map[string]uint32{"[EOS]": 9}}, `the id given for the special token "[EOS]": is 9, but DIR/vocab.json gives "[EOS]" the id 3`},
		{"no such splitter", pair(vocab, merges), "", Given{Splitter: "x"}, `there is no splitter "x"`},
		{"no such normal form", pair(vocab, merges), "", Given{Splitter: "ptbr", Normalizer: []string{"x"}}, `there is no normalizer "x"`},

		{"ranks without a splitter", one("x.tiktoken", ranks), "", Given{}, "DIR/x.tiktoken: a .tiktoken file does not say how text is split; name the splitter, which is one of ptbr"},
		{"no ranks", one("x.tiktoken", "\n"), "", ptbr, "DIR/x.tiktoken: is empty"},
		{"not base64", one("x.tiktoken", "!! 0\n"), "", ptbr, `DIR/x.tiktoken:1: must be a token in base64, a space and its id, is "!! 0"`},
		{"a rank cut short", one("x.tiktoken", firstRank+"\nIQ"), "", ptbr, `DIR/x.tiktoken:2: must be a token in base64`},
		{"an id that is no number", one("x.tiktoken", "IQ== x\n"), "", ptbr, `DIR/x.tiktoken:1: the id must be a whole number from 0 to 2³¹-1, is "x"`},
		{"a token twice in ranks", one("x.tiktoken", ranks+firstRank+"\n"), "", ptbr, `the token "!" stands there twice, as 5 and as 5`},
		{"an id twice in ranks", one("x.tiktoken", ranks+"enl4enk= 5\n"), "", ptbr, `DIR/x.tiktoken["zyxzy"]: has the id 5, which "!" has already`},
		{"a byte missing in ranks", one("x.tiktoken", strings.Replace(ranks, firstRank+"\n", "", 1)), "", ptbr, `DIR/x.tiktoken: there is no token for the byte 0x21`},
		{"ranks cut short", one("x.tiktoken", ranks[:1000]), "", ptbr, `DIR/x.tiktoken`},
		{"an endless token", one("x.tiktoken", base64.StdEncoding.EncodeToString(make([]byte, 9999))+" 5\n"), "", ptbr, `DIR/x.tiktoken:1: the token has 9999 bytes; at most 4096`},
		{"a special where a token is", one("x.tiktoken", ranks), "", Given{Splitter: "ptbr", Specials: map[string]uint32{"<x>": 5}}, `the id given for the special token "<x>": has the id 5, which "!" has already`},
		{"specials that are not alone", one("x.tiktoken", ranks+"W1BBRF0= 1500\n"), "", specials, `the id given for the special token "[PAD]": is 0, but DIR/x.tiktoken gives "[PAD]" the id 1500`},
	} {
		dir := t.TempDir()
		for name, body := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(filepath.Join(dir, c.open), c.given)
		if err == nil {
			t.Errorf("%s: was read", c.what)
		} else if got := strings.ReplaceAll(err.Error(), dir, "DIR"); !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: the error is\n%v\nmust say\n%s", c.what, got, c.want)
		}
	}
}

// Whatever the files of older formats hold, reading them ends in a tokenizer that works
// or in an error.
func FuzzOpen(f *testing.F) {
	o := options()
	o.VocabSize, o.Specials = 262, []string{End}
	tok := trained(f, o)
	f.Add(0, append(tok.vocab(""), '\n'), tok.mergesText())
	f.Add(1, tok.tiktoken(), []byte(nil))
	f.Add(2, []byte(nil), tok.file)
	names := []string{"vocab.json", "x.tiktoken", "y.json"}
	f.Fuzz(func(t *testing.T, kind int, a, b []byte) {
		dir := t.TempDir()
		name := names[uint(kind)%uint(len(names))]
		if name == "y.json" {
			a = b
		}
		for n, body := range map[string][]byte{name: a, "merges.txt": b} {
			if err := os.WriteFile(filepath.Join(dir, n), body, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		g := Given{Splitter: "ptbr"}
		if name == "y.json" {
			g = Given{}
		}
		tok, err := Open(filepath.Join(dir, name), g)
		if err != nil {
			return
		}
		const text = "Uma noite [EOS] \u0301"
		if name != "y.json" && tok.Decode(tok.Encode(nil, text)) != text {
			t.Errorf("%q came back as %q", text, tok.Decode(tok.Encode(nil, text)))
		}
		tok.EncodeSpecials(nil, text, []string{End})
		if _, err := Read(bytes.NewReader(tok.file)); err != nil {
			t.Errorf("the tokenizer.json made of it cannot be read: %v", err)
		}
	})
}
