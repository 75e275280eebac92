package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ptbr-slm/pipeline/model/tokenizer"
	"github.com/spf13/cobra"
)

func tokenizerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "tokenizer",
		Short: "Look at tokenizers, and write them in other formats",
		Long: `Look at a tokenizer of any format read here, and write it in the others: Hugging Face's
tokenizer.json, vocab.json with merges.txt (also under the names of GPT-2's files,
encoder.json with vocab.bpe), and tiktoken's ranks.`,
		Example: "  pipeline tokenizer inspect out/sample/tokenizer\n  pipeline tokenizer convert encoder.json gpt2",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage{fmt.Errorf("there is no command %q of tokenizer; there are inspect and convert", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(inspectCommand(), convertCommand())
	return c
}

// givenFlags are the flags for what older formats leave unsaid.
type givenFlags struct {
	splitter   string
	normalizer []string
	specials   []string // NAME=ID
}

func (f *givenFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.splitter, "splitter", "", "how text is split, where the file does not say it: "+strings.Join(tokenizer.Splitters(), ", ")+" (default gpt2 for vocab.json and merges.txt)")
	c.Flags().StringSliceVar(&f.normalizer, "normalizer", nil, "steps of the normal form, where the file does not say them: "+strings.Join(tokenizer.Normalizers(), ", "))
	c.Flags().StringArrayVar(&f.specials, "special", nil, "a special token, where the file does not say it, as NAME=ID; may be repeated")
	for flag, names := range map[string][]string{"splitter": tokenizer.Splitters(), "normalizer": tokenizer.Normalizers()} {
		must(c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)))
	}
}

// open reads the tokenizer at path. Its errors are errors of usage: the file is not what
// it was said to be.
func (f *givenFlags) open(path string) (*tokenizer.Tokenizer, error) {
	g := tokenizer.Given{Splitter: f.splitter, Normalizer: f.normalizer}
	for _, s := range f.specials {
		i := strings.LastIndexByte(s, '=')
		id, err := strconv.ParseUint(s[i+1:], 10, 31)
		if i < 1 || err != nil {
			return nil, usage{fmt.Errorf("--special %s: must be NAME=ID, the ID a whole number", s)}
		}
		if g.Specials == nil {
			g.Specials = map[string]uint32{}
		}
		g.Specials[s[:i]] = uint32(id)
	}
	t, err := tokenizer.Open(path, g)
	if err != nil {
		return nil, usage{err}
	}
	return t, nil
}

func convertCommand() *cobra.Command {
	var f givenFlags
	c := &cobra.Command{
		Use:   "convert PATH DIR",
		Short: "Write a tokenizer in every format",
		Long: `Read a tokenizer of any format and write all of them into DIR, which must not exist or be
empty: tokenizer.json with tokenizer_config.json and special_tokens_map.json, so that
AutoTokenizer.from_pretrained(DIR) opens it, vocab.json with merges.txt, and
tokenizer.tiktoken. A tokenizer.json that is read is written as it is.

PATH is a file or a directory. vocab.json with merges.txt is taken to be split as GPT-2
does, and to have as special tokens those that no merge makes and that stand in brackets;
a .tiktoken says neither how it is split nor what special tokens there are.`,
		Example: `  pipeline tokenizer convert encoder.json gpt2
  pipeline tokenizer convert cl100k_base.tiktoken cl100k --splitter cl100k --special '<|endoftext|>=100257'`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := f.open(args[0])
			if err != nil {
				return err
			}
			dir := args[1]
			if err := fill(dir, t.Save); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "%s: %s ids, tokenizer.json %.12s\n", dir, count(int64(t.VocabSize())), t.Digest())
			return nil
		},
	}
	f.add(c)
	return c
}

// fill has save write into a directory that is new or empty, and leaves it so where save fails.
func fill(dir string, save func(dir string) error) error {
	_, err := os.Stat(dir)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usage{err}
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return usage{fmt.Errorf("%s is not empty: it has %s; name a directory that does not exist yet", dir, there[0].Name())}
	}
	if err := save(dir); err != nil {
		written, _ := os.ReadDir(dir)
		for _, e := range written {
			os.Remove(filepath.Join(dir, e.Name()))
		}
		if isNew {
			os.Remove(dir)
		}
		return fmt.Errorf("%w; nothing was kept: put that right and convert again", err)
	}
	return nil
}

// inspection is the JSON document of `pipeline tokenizer inspect --json`.
type inspection struct {
	Path string `json:"path"`
	tokenizer.Facts
	Longest []vocabularyEntry `json:"longest"`
	Tokens  []vocabularyEntry `json:"tokens,omitempty"`
	Text    *encodedText      `json:"text,omitempty"`
	Fit     []*fit            `json:"fit,omitempty"`
}

// vocabularyEntry is a row of the vocabulary.
type vocabularyEntry struct {
	ID    uint32 `json:"id"`
	Token string `json:"token"` // U+FFFD for bytes that are no character by themselves
	Hex   string `json:"hex"`   // its bytes
	Kind  string `json:"kind,omitempty"`

	bytes string
}

// encodedText is what a text becomes.
type encodedText struct {
	Text   string         `json:"text"`
	Form   string         `json:"form"` // its normal form: what the tokens are decoded to
	Bytes  int            `json:"bytes"`
	Words  int            `json:"words"`
	Tokens []encodedToken `json:"tokens"`
}

type encodedToken struct {
	vocabularyEntry
	From int `json:"from"` // bytes of the text
	To   int `json:"to"`
}

func inspectCommand() *cobra.Command {
	var f givenFlags
	var text, search, against string
	var files, allowed []string
	var from, limit, longest int
	var asJSON bool
	c := &cobra.Command{
		Use:   "inspect PATH",
		Short: "Show what a tokenizer is, its vocabulary, and what it makes of text",
		Long: `Show what a tokenizer is: its size, splitter, normal form, special tokens, longest tokens.
PATH is a tokenizer.json, a vocab.json or merges.txt (also GPT-2's encoder.json and
vocab.bpe), a .tiktoken, or a directory with one of these.

--from, --limit and --search show the vocabulary itself. --text shows what a text becomes
("-" reads it from stdin): its tokens, in turn in two colours on a terminal and with bars
between them elsewhere, and their places in the text in bytes. --text-files measures texts:
documents (.jsonl, .jsonl.zst) by their source, other files by their name, directories by
all of these in them but hidden ones; --against puts a second tokenizer beside it.

A token is shown with · for a space, ↵ for a line feed, and \xNN for a byte that is no
character by itself. A word is a run between white space that holds a letter or digit.

With --json: {"path", "digest", "vocab", "merges", "splitter", "normalizer", "lossy",
"ignore-merges", "prefix-space", "added": [{"id", "token", "special"}], "longest": [{"id",
"token", "hex"}], "tokens": [{"id", "token", "hex", "kind"}], "text": {"text", "form",
"bytes", "words", "tokens": [{"id", "token", "hex", "from", "to"}]}, "fit": [{"source", "documents",
"bytes", "words", "tokens", "fertility", "bytes-per-token", "against": {"tokens",
"fertility", "bytes-per-token"}}]}.`,
		Example: `  pipeline tokenizer inspect out/sample/tokenizer
  pipeline tokenizer inspect out/sample/tokenizer --text "Dir-se-ia que não há coração"
  pipeline tokenizer inspect out/sample/tokenizer --search ção --limit 20
  pipeline get split.val val
  pipeline tokenizer inspect out/sample/tokenizer --text-files val --against encoder.json
  pipeline tokenizer inspect cl100k_base.tiktoken --splitter cl100k --text - < carta.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			flags := c.Flags()
			switch {
			case from < 0 || limit < 0 || longest < 0:
				return usage{errors.New("--from, --limit and --longest must not be below 0")}
			case against != "" && len(files) == 0:
				return usage{errors.New("--against compares on texts: name some with --text-files")}
			case len(allowed) > 0 && !flags.Changed("text"):
				return usage{errors.New("--allow-specials is for --text")}
			}
			t, err := f.open(args[0])
			if err != nil {
				return err
			}
			i := &inspection{Path: args[0], Facts: t.Facts(), Longest: longestTokens(t, longest)}
			table := flags.Changed("from") || flags.Changed("limit") || flags.Changed("search")
			if table {
				i.Tokens = vocabularyRows(t, from, limit, search)
			}
			if flags.Changed("text") {
				for _, name := range allowed {
					if _, ok := t.Special(name); !ok {
						return usage{fmt.Errorf("--allow-specials %s: the tokenizer has no such special token; it has %s", name, strings.Join(specialNames(i.Facts), ", "))}
					}
				}
				if text == "-" {
					b, err := io.ReadAll(c.InOrStdin())
					if err != nil {
						return err
					}
					text = string(b)
				}
				i.Text = encoded(t, text, allowed)
			}
			if len(files) > 0 {
				var other *tokenizer.Tokenizer
				if against != "" {
					if other, err = tokenizer.Open(against, tokenizer.Given{}); err != nil {
						return usage{fmt.Errorf("--against: %w", err)}
					}
				}
				if i.Fit, err = measureFit(c.Context(), files, t, other); err != nil {
					return err
				}
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), i)
			}
			i.print(c.OutOrStdout(), table)
			return nil
		},
	}
	f.add(c)
	c.Flags().StringVar(&text, "text", "", `show what this text becomes; "-" reads it from stdin`)
	c.Flags().StringSliceVar(&allowed, "allow-specials", nil, "special tokens that become their ids where --text has them written out")
	c.Flags().IntVar(&from, "from", 0, "show the vocabulary from this id on")
	c.Flags().IntVar(&limit, "limit", 50, "how many rows of the vocabulary to show; 0: all")
	c.Flags().StringVar(&search, "search", "", "show the tokens that contain this text")
	c.Flags().IntVar(&longest, "longest", 10, "how many of the longest tokens to show")
	c.Flags().StringSliceVar(&files, "text-files", nil, "measure the fit to these documents, texts or directories")
	c.Flags().StringVar(&against, "against", "", "with --text-files, measure this tokenizer too")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return c
}

func specialNames(f tokenizer.Facts) (names []string) {
	for _, a := range f.Added {
		if a.Special {
			names = append(names, a.Token)
		}
	}
	return names
}

func rowOf(t *tokenizer.Tokenizer, kinds map[uint32]string, id uint32) vocabularyEntry {
	s := t.Token(id)
	return vocabularyEntry{id, t.Decode([]uint32{id}), fmt.Sprintf("%x", s), kinds[id], s}
}

// kinds says which ids are not of the vocabulary that was learnt.
func kinds(t *tokenizer.Tokenizer) map[uint32]string {
	m := map[uint32]string{}
	for _, a := range t.Facts().Added {
		m[a.ID] = "added"
		if a.Special {
			m[a.ID] = "special"
		}
	}
	return m
}

// vocabularyRows lists limit tokens from an id on, or of those on that contain a text.
func vocabularyRows(t *tokenizer.Tokenizer, from, limit int, search string) (rows []vocabularyEntry) {
	kinds := kinds(t)
	for id := from; id < t.VocabSize() && (limit == 0 || len(rows) < limit); id++ {
		if t.Has(uint32(id)) && strings.Contains(t.Token(uint32(id)), search) {
			rows = append(rows, rowOf(t, kinds, uint32(id)))
		}
	}
	return rows
}

// longestTokens lists the n tokens of most characters that were learnt, of equally long
// ones the first.
func longestTokens(t *tokenizer.Tokenizer, n int) []vocabularyEntry {
	kinds := kinds(t)
	byLength := map[int][]uint32{}
	for id := range uint32(t.VocabSize()) {
		if t.Has(id) && kinds[id] == "" {
			l := len([]rune(t.Token(id)))
			byLength[l] = append(byLength[l], id)
		}
	}
	rows := []vocabularyEntry{}
	for _, l := range slices.Backward(slices.Sorted(maps.Keys(byLength))) {
		for _, id := range byLength[l] {
			if len(rows) == n {
				return rows
			}
			rows = append(rows, rowOf(t, kinds, id))
		}
	}
	return rows
}
