package tokenizer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/unicode/rangetable"
)

// The test of other programs on our files, and of ours on GPT-2's. What they gave stands
// in testdata/interop/ids.json, which every run is held against; with the path of a
// Python that has tokenizers, tiktoken and transformers in INTEROP_PYTHON (`make interop`)
// they are asked again, about every id, and with -update what they say is recorded.

// interopCase is a tokenizer that both sides encode with.
type interopCase struct {
	Name     string            `json:"name"`
	Kind     string            `json:"kind"`     // json: Hugging Face's tokenizers read tokenizer.json; pair: the two files; tiktoken
	Regex    string            `json:"regex"`    // of the splitter, for tiktoken
	Specials []string          `json:"specials"` // names of the special tokens
	Found    bool              `json:"found"`    // specials in text become their ids
	Texts    []int             `json:"texts"`    // which are encoded
	Roles    map[string]string `json:"roles"`    // what AutoTokenizer must know

	tok *Tokenizer
}

const (
	fuzzedTexts = 100_000
	autoTexts   = 300 // fuzzed strings that AutoTokenizer encodes
	recordedIDs = 150 // fuzzed strings of which all ids are recorded, for two of the cases; a tenth of them for others
	perDigest   = 1000
	everyRun    = 10_000 // fuzzed strings that every run of the tests encodes; all, with GPT-2's files
)

// interopTexts are the whole sample corpus and, from first on, the fuzzed strings.
func interopTexts(t *testing.T) (texts []string, first int) {
	texts = sample(t, 0)
	first = len(texts)
	r := rand.New(rand.NewPCG(5, 32000))
	words := strings.Fields(strings.Join(excerpts(t), " "))
	specials := []string{Pad, Unknown, Begin, End, Separator, "<|endoftext|>", "[EOS", "<x>", "<N>", "<n>", " <x> ", "<xx>"}
	for len(texts) < first+fuzzedTexts {
		var b strings.Builder
		for range 1 + r.IntN(24) {
			switch k := r.IntN(16); {
			case k < 4:
				b.WriteString(words[r.IntN(len(words))])
			case k < 6:
				b.WriteByte(' ')
			case k < 7:
				b.WriteString(specials[r.IntN(len(specials))])
			case k < 8:
				b.WriteRune(stableRune(r))
			case k < 9:
				b.WriteString(strings.Repeat(alphabet[r.IntN(len(alphabet))], r.IntN(70)))
			default:
				b.WriteString(alphabet[r.IntN(len(alphabet))])
			}
		}
		texts = append(texts, validUTF8(b.String()))
	}
	return texts, first
}

// oldUnicode are the characters that the oldest of the programs' Unicode tables have.
var oldUnicode = rangetable.Assigned("9.0.0")

// stableRune is any rune of which all programs know the same: one that is assigned in
// all their tables, or in none.
func stableRune(r *rand.Rand) rune {
	for {
		var x rune
		switch r.IntN(3) {
		case 0:
			x = rune(r.IntN(0x800))
		case 1:
			x = rune(r.IntN(0x10000))
		default:
			x = rune(r.IntN(unicode.MaxRune + 1))
		}
		if unassigned := x > 0x3ffff && x < 0xe0000; utf8.ValidRune(x) && (unassigned || unicode.Is(oldUnicode, x)) {
			if x == 0x1cf2 || x == 0x1cf3 { // marks until Unicode 12, letters since
				return 0x1cf4
			}
			return x
		}
	}
}

// interopCases makes the tokenizers. Two are learnt from the whole sample, the others
// from the excerpts, one for each splitter and each normalizer.
func interopCases(t *testing.T, texts []string, first int) (cases []*interopCase) {
	t.Helper()
	all, some := make([]int, len(texts)), make([]int, 0, len(texts))
	for i := range texts {
		all[i] = i
		if i >= first || i%8 == 0 {
			some = append(some, i)
		}
	}
	add := func(name, kind string, tok *Tokenizer, which []int, found bool) {
		c := &interopCase{Name: name, Kind: kind, Regex: tok.splitter.regex, Texts: which, Found: found, tok: tok, Roles: map[string]string{}, Specials: []string{}}
		for _, a := range tok.added {
			if a.Special {
				c.Specials = append(c.Specials, a.Content)
			}
		}
		for role, name := range tok.roles() {
			if name, ok := name.(string); ok {
				c.Roles[role] = name
			}
		}
		cases = append(cases, c)
	}

	gpt2, err := Open(gpt2Files(t), Given{})
	if err != nil {
		t.Fatal(err)
	}
	add("gpt2", "pair", gpt2, all, false)
	add("gpt2-json", "json", gpt2, some, true)
	ranks := filepath.Join(t.TempDir(), "gpt2.tiktoken")
	if err := os.WriteFile(ranks, gpt2.tiktoken(), 0o644); err != nil {
		t.Fatal(err)
	}
	fromRanks, err := Open(ranks, Given{Splitter: "gpt2"})
	if err != nil {
		t.Fatal(err)
	}
	add("gpt2-tiktoken", "tiktoken", fromRanks, all, false)

	o := options()
	counter, err := NewCounter(o.Splitter, o.Normalizer)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts[:first] {
		counter.Add(text)
	}
	words := counter.Words()
	for _, size := range []int{32000, 2048} {
		o.VocabSize = size
		tok, err := Train(context.Background(), words, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		add("sample-"+itoa(size), "json", tok, all, false)
	}

	o = options()
	for _, name := range Splitters() {
		o.Splitter, o.Normalizer = name, nil
		tok := trained(t, o)
		add("splitter-"+name, "json", tok, some, false)
		if err := os.WriteFile(ranks, tok.tiktoken(), 0o644); err != nil {
			t.Fatal(err)
		}
		if tok, err = Open(ranks, Given{Splitter: name, Specials: specialsOf(o)}); err != nil {
			t.Fatal(err)
		}
		add("tiktoken-"+name, "tiktoken", tok, some, false)
	}
	o.Splitter = "ptbr"
	for _, form := range Normalizers() {
		o.Normalizer = []string{form}
		add("normalizer-"+form, "json", trained(t, o), some, form == "nfc")
	}
	o.Normalizer = []string{"lowercase"}
	lower := trained(t, o)
	for name, old := range map[string]string{"added": `"ignore_merges": false`, "added-ignore-merges": `"ignore_merges": true`} {
		text := strings.Replace(string(lower.file), `"ignore_merges": false`, old, 1)
		var list strings.Builder
		next := lower.VocabSize()
		for _, fields := range []string{
			`"content": "<x>", "lstrip": true, "rstrip": false, "single_word": false, "normalized": false, "special": false`,
			`"content": "<xx>", "lstrip": false, "rstrip": true, "single_word": false, "normalized": false, "special": false`,
			`"content": "<N>", "lstrip": false, "rstrip": false, "single_word": false, "normalized": true, "special": false`,
			`"content": "que", "lstrip": false, "rstrip": false, "single_word": true, "normalized": true, "special": false`,
			`"content": "  ", "lstrip": false, "rstrip": false, "single_word": false, "normalized": false, "special": false`,
			`"content": "<|endoftext|>", "lstrip": true, "rstrip": true, "single_word": false, "normalized": true, "special": true`,
		} {
			content := strings.Split(fields, `"`)[3]
			id := slices.IndexFunc(lower.tokens, func(s string) bool { return spell(s) == content })
			if id < 0 {
				id = next
				next++
			}
			list.WriteString(`, {"id": ` + itoa(id) + `, ` + fields + `}`)
		}
		at := strings.Index(text, "\n  ],\n  \"normalizer\"")
		tok, err := Read(strings.NewReader(text[:at] + list.String() + text[at:]))
		if err != nil {
			t.Fatal(err)
		}
		add(name, "json", tok, some, name == "added")
	}
	prefixed, err := Read(bytes.NewReader(gpt2.file))
	if err != nil {
		t.Fatal(err)
	}
	prefixed.prefixSpace = true
	prefixed.setFile(prefixed.marshal())
	if prefixed, err = Read(bytes.NewReader(prefixed.file)); err != nil {
		t.Fatal(err)
	}
	add("prefix-space", "json", prefixed, some, true)
	slices.SortStableFunc(cases, func(a, b *interopCase) int { return strings.Compare(a.Name, b.Name) })
	return cases
}

// gpt2Files is a directory with GPT-2's two files as OpenAI gave them out.
func gpt2Files(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, from := range map[string]string{"encoder.json": "testdata/gpt2/encoder.json.zst", "vocab.bpe": "gpt2/merges.txt.zst"} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		z, err := zstd.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (c *interopCase) encode(dst []uint32, text string) []uint32 {
	if c.Found {
		return c.tok.EncodeSpecials(dst, text, c.Specials)
	}
	return c.tok.Encode(dst, text)
}

// interopRecord is ids.json.
type interopRecord struct {
	Peers []string                 `json:"peers"` // programs that gave the ids
	Texts string                   `json:"texts"` // digest of all texts
	Cases map[string]*recordedCase `json:"cases"`
}

type recordedCase struct {
	Tokenizer string     `json:"tokenizer"` // digest of tokenizer.json
	Digests   []string   `json:"digests"`   // of the ids of each text of the corpus, and of each 1000 fuzzed strings
	IDs       [][]uint32 `json:"ids"`       // of the first fuzzed strings
}

// digests takes the ids of the texts of a case as they come.
type digests struct {
	recordedCase
	first int // fuzzed text
	keep  int
	h     []byte
	n     int
}

func (d *digests) add(text int, ids []uint32) {
	d.h = binary.LittleEndian.AppendUint32(d.h, uint32(len(ids)))
	for _, id := range ids {
		d.h = binary.LittleEndian.AppendUint32(d.h, id)
	}
	if text >= d.first {
		if len(d.IDs) < d.keep {
			d.IDs = append(d.IDs, slices.Clone(ids))
		}
		if d.n++; d.n < perDigest {
			return
		}
	}
	sum := sha256.Sum256(d.h)
	d.Digests = append(d.Digests, hex.EncodeToString(sum[:6]))
	d.h, d.n = d.h[:0], 0
}

func TestInterop(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("encodes the sample corpus many times")
	}
	path := filepath.Join("testdata", "interop", "ids.json")
	texts, first := interopTexts(t)
	h := sha256.New()
	for _, text := range texts {
		h.Write(append([]byte(text), 0))
	}
	digest := hex.EncodeToString(h.Sum(nil))
	cases := interopCases(t, texts, first)
	keep := func(c *interopCase) int {
		if c.Name == "gpt2" || c.Name == "sample-32000" {
			return recordedIDs
		}
		return recordedIDs / 10
	}
	if python := os.Getenv("INTEROP_PYTHON"); python != "" {
		record := askPeers(t, python, texts, first, cases, keep)
		record.Texts = digest
		if *update && !t.Failed() {
			b, err := json.Marshal(record)
			if err != nil {
				t.Fatal(err)
			}
			b = bytes.ReplaceAll(b, []byte(`"digests":`), []byte("\n\"digests\":"))
			b = append(bytes.ReplaceAll(b, []byte(`"ids":`), []byte("\n\"ids\":")), '\n')
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	var record interopRecord
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &record); err != nil {
		t.Fatal(err)
	}
	if record.Texts != digest {
		t.Fatal("the texts are not those of which ids were recorded: run `make interop-record`")
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			want := record.Cases[c.Name]
			if want == nil || want.Tokenizer != c.tok.Digest() {
				t.Fatal("the tokenizer is not that of which ids were recorded: run `make interop-record`")
			}
			d := &digests{first: first, keep: keep(c)}
			var ids []uint32
			for _, i := range c.Texts {
				if i >= first+everyRun && c.Name != "gpt2" {
					break
				}
				ids = c.encode(ids[:0], texts[i])
				d.add(i, ids)
			}
			if len(d.Digests) > len(want.Digests) || len(d.IDs) != len(want.IDs) {
				t.Fatal("other texts were recorded: run `make interop-record`")
			}
			for i, ids := range d.IDs {
				if !slices.Equal(ids, want.IDs[i]) {
					t.Fatalf("%q gives %v; others give %v", texts[first+i], ids, want.IDs[i])
				}
			}
			for i, got := range d.Digests {
				if got != want.Digests[i] {
					t.Fatalf("digest %d of %d is not that of what others give; `make interop` says for which texts", i, len(d.Digests))
				}
			}
		})
	}
}

// askPeers has the other programs encode, and compares every id.
func askPeers(t *testing.T, python string, texts []string, first int, cases []*interopCase, keep func(*interopCase) int) *interopRecord {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "texts.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for _, text := range texts {
		w.WriteString(quote(text) + "\n")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, c := range cases {
		sub := filepath.Join(dir, c.Name)
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := c.tok.Save(sub); err != nil {
			t.Fatal(err)
		}
		if c.Kind == "pair" { // as they came
			for theirs, name := range map[string]string{"encoder.json": "vocab.json", "vocab.bpe": "merges.txt"} {
				if err := os.Rename(filepath.Join(gpt2Files(t), theirs), filepath.Join(sub, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	auto := make([]int, autoTexts)
	for i := range auto {
		auto[i] = first + i
	}
	b := must(json.Marshal(map[string]any{"cases": cases, "auto": auto}))
	if err := os.WriteFile(filepath.Join(dir, "cases.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, filepath.Join("testdata", "interop", "ids.py"), dir)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("ids.py: %v", err)
	}
	record := &interopRecord{Peers: strings.Split(strings.TrimSpace(string(out)), "\n"), Cases: map[string]*recordedCase{}}
	t.Logf("%d texts, by %s", len(texts), strings.Join(record.Peers, ", "))
	for _, c := range cases {
		f, err := os.Open(filepath.Join(dir, c.Name+".ids"))
		if err != nil {
			t.Error(err)
			continue
		}
		r := bufio.NewReaderSize(f, 1<<20)
		d := &digests{first: first, keep: keep(c)}
		d.Tokenizer = c.tok.Digest()
		different, bytes, total := 0, 0, 0
		var ours []uint32
		for _, i := range c.Texts {
			theirs := readIDs(t, r)
			ours = c.encode(ours[:0], texts[i])
			if d.add(i, theirs); !slices.Equal(ours, theirs) {
				if different++; different <= 3 {
					at := 0
					for at < len(ours) && at < len(theirs) && ours[at] == theirs[at] {
						at++
					}
					t.Errorf("%s: text %d, %.200q, differs from id %d on: ours %q, theirs %q", c.Name, i, texts[i], at,
						c.shown(ours[at:]), c.shown(theirs[at:]))
				}
			}
			bytes += len(texts[i])
			total += len(theirs)
		}
		f.Close()
		t.Logf("%s: %d texts, %d bytes, %d ids: %d texts differ", c.Name, len(c.Texts), bytes, total, different)
		record.Cases[c.Name] = &d.recordedCase
	}
	return record
}

func (c *interopCase) shown(ids []uint32) (tokens []string) {
	for _, id := range ids[:min(8, len(ids))] {
		tokens = append(tokens, c.tok.Token(id))
	}
	return tokens
}

func readIDs(t *testing.T, r io.Reader) []uint32 {
	t.Helper()
	var n uint32
	if err := binary.Read(r, binary.LittleEndian, &n); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4*n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return ids
}
