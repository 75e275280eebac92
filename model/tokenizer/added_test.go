package tokenizer

import (
	"strings"
	"testing"
)

// Added tokens are found in text as Hugging Face's tokenizers find them; what each of
// these lines says was checked against them.
func TestAddedTokens(t *testing.T) {
	o := options()
	o.Normalizer = []string{"lowercase"}
	tok := trained(t, o)
	for _, c := range []struct{ fields, text, want string }{
		{``, "um <x> dois<x>três", "um |<x>| dois|<x>|três"},
		{`"lstrip": true`, "um \n <x> <x> dois", "um|<x>|<x>| dois"},
		{`"rstrip": true`, "um <x> \n <x> dois", "um |<x>|<x>|dois"},
		{`"single_word": true`, "um<x> <x>s (<x>) <x>", "um<x> <x>s (|<x>|) |<x>"},
		{``, "<X>", "<x>"}, // found before the normal form: here it is not
		{`"normalized": true`, "<X> <x>", "<x>| |<x>"},
		{`"special": true`, "a <x> b", "a <x> b"},
	} {
		added := `{"id": ` + itoa(tok.VocabSize()) + `, "content": "<x>"` + comma(len(c.fields)) + c.fields + `}`
		other, err := Read(strings.NewReader(strings.Replace(string(tok.file), `"added_tokens": [`, `"added_tokens": [`+added+",", 1)))
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		plain := false // the last part is text
		for _, id := range other.Encode(nil, c.text) {
			s := other.Token(id)
			if int(id) != tok.VocabSize() && plain {
				parts[len(parts)-1] += s
				continue
			}
			plain = int(id) != tok.VocabSize()
			parts = append(parts, s)
		}
		if got := strings.Join(parts, "|"); got != c.want {
			t.Errorf("{%s} %q: %q; must be %q", c.fields, c.text, got, c.want)
		}
	}
}
