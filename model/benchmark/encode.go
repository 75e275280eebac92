package benchmark

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// Encode is the encoding of a text, document by document, with the ids of each in a slice of its own.
type Encode struct {
	Tokenizer string  `json:"tokenizer"` // sha256 of tokenizer.json
	Vocab     int     `json:"vocab"`
	Threads   int     `json:"threads"`
	Documents int     `json:"documents"`
	Bytes     int     `json:"bytes"`
	Tokens    int     `json:"tokens"`
	Speed     float64 `json:"megabytes-per-second"` // 10⁶ bytes of text
	IDs       string  `json:"ids"`                  // sha256 of all ids, each as four bytes, least first
}

// documentBytes is the least that a document has; it ends with the line.
const documentBytes = 16 << 10

// documents cuts text after the first line end past each documentBytes.
func documents(text string) (d []string) {
	for len(text) > documentBytes {
		n := strings.IndexByte(text[documentBytes:], '\n')
		if n < 0 {
			break
		}
		n += documentBytes + 1
		d = append(d, text[:n])
		text = text[n:]
	}
	if text != "" {
		d = append(d, text)
	}
	return d
}

func encodes(ctx context.Context, o *Options, r *Report) error {
	if o.Tokenizer == nil {
		return nil
	}
	texts := documents(o.Text)
	for _, threads := range o.Threads {
		e := Encode{Tokenizer: o.Tokenizer.Digest(), Vocab: o.Tokenizer.VocabSize(), Threads: threads, Documents: len(texts), Bytes: len(o.Text)}
		var ids [][]uint32
		e.Speed = perSecond(ctx, o, func() { ids = o.Tokenizer.EncodeBatch(texts, threads) }) * float64(len(o.Text)) / 1e6
		sum := sha256.New()
		var b []byte
		for _, document := range ids {
			b = b[:0]
			for _, id := range document {
				b = binary.LittleEndian.AppendUint32(b, id)
			}
			sum.Write(b)
			e.Tokens += len(document)
		}
		e.IDs = hex.EncodeToString(sum.Sum(nil))
		r.Encodes = append(r.Encodes, e)
	}
	o.Done("encoding")
	return nil
}
