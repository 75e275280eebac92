package tokenizer

import "bytes"

// Facts is what a tokenizer is, besides its tokens.
type Facts struct {
	Digest       string   `json:"digest"` // sha256 of tokenizer.json
	Vocab        int      `json:"vocab"`  // ids
	Merges       int      `json:"merges"`
	Splitter     string   `json:"splitter"`
	Normalizer   []string `json:"normalizer"` // names that Options.Normalizer takes; of other steps those in tokenizer.json
	Lossy        bool     `json:"lossy"`
	IgnoreMerges bool     `json:"ignore-merges"` // a piece that is a token is that token, whatever the merges make of it
	PrefixSpace  bool     `json:"prefix-space"`  // a text that does not begin with a space is given one
	Added        []Added  `json:"added"`
}

// Added is a token that is found in text before it is split.
type Added struct {
	ID      uint32 `json:"id"`
	Token   string `json:"token"`
	Special bool   `json:"special"` // found only where the caller allows it
}

// Facts returns the facts of the tokenizer.
func (t *Tokenizer) Facts() Facts {
	f := Facts{Digest: t.digest, Vocab: len(t.tokens), Merges: len(t.merges), Splitter: t.splitter.name,
		Normalizer: t.normalizer.names(), Lossy: t.Lossy(), IgnoreMerges: t.whole != nil, PrefixSpace: t.prefixSpace, Added: []Added{}}
	for _, a := range t.added {
		f.Added = append(f.Added, Added{a.ID, a.Content, a.Special})
	}
	return f
}

// names finds the named normalizers that n consists of, the longest first.
func (n normalizer) names() []string {
	names := []string{}
	for len(n) > 0 {
		name, steps := n[0].form, 1
		for _, known := range Normalizers() {
			k := normalizers[known]
			if len(k) <= len(n) && (len(k) > steps || name == n[0].form) && bytes.Equal(k.marshal(), n[:len(k)].marshal()) {
				name, steps = known, len(k)
			}
		}
		names = append(names, name)
		n = n[steps:]
	}
	return names
}
