// Package rwkvcpp reads the model files of rwkv.cpp (github.com/RWKV/rwkv.cpp): six
// 32-bit words (magic, version, vocabulary, width, layers, type), then tensors until the
// end of the file, each with its number of dimensions, key length, type, shape (fastest
// first), key and values, all little-endian, nothing aligned. RWKV-4 in FP32 is read.
package rwkvcpp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"

	"github.com/ptbr-slm/pipeline/model/rwkv"
)

const (
	magic  = 0x67676d66 // "ggmf"
	oldest = 100
	newest = 101
	fp32   = 0
)

// maxTensor bounds what a header can ask for, in values.
const maxTensor = 1 << 32

// Read reads a model. time_decay is stored there as w = -e^decay and comes back as decay.
func Read(r io.Reader) (*rwkv.Params[float32], error) {
	b := bufio.NewReaderSize(r, 1<<16)
	var head [6]int32
	if err := binary.Read(b, binary.LittleEndian, &head); err != nil {
		return nil, fmt.Errorf("not a model of rwkv.cpp: its header is cut short: %w", err)
	}
	if head[0] != magic || head[1] < oldest || head[1] > newest {
		return nil, fmt.Errorf("not a model of rwkv.cpp: magic %#x, version %d; must be %#x, %d or %d", head[0], head[1], magic, oldest, newest)
	}
	if head[5] != fp32 {
		return nil, fmt.Errorf("model of rwkv.cpp in data type %d; only 0, FP32, is read here", head[5])
	}
	c := rwkv.Config{Vocab: int(head[2]), Embd: int(head[3]), Layers: int(head[4])}
	tensors := map[string]tensor{}
	for {
		key, t, err := readTensor(b)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("model of rwkv.cpp, tensor %d: %w", len(tensors), err)
		}
		if _, twice := tensors[key]; twice {
			return nil, fmt.Errorf("model of rwkv.cpp has %s twice", key)
		}
		tensors[key] = t
	}
	if _, later := tensors["blocks.0.att.ln_x.weight"]; later {
		return nil, errors.New("model of rwkv.cpp is of RWKV-5 or later; only RWKV-4 is read here")
	}
	if t, ok := tensors["blocks.0.ffn.key.weight"]; ok && len(t.shape) == 2 {
		c.FFN = t.shape[0]
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("model of rwkv.cpp: %w", err)
	}
	if have, need := len(tensors), 5+rwkv.BlockTensors*c.Layers+1; have != need {
		return nil, fmt.Errorf("model of rwkv.cpp has %d tensors, %d layers need %d", have, c.Layers, need)
	}
	// Checked before anything of that size is made: a header may ask for any.
	specs := c.Tensors()
	for _, q := range specs {
		t, ok := tensors[keyOf(q.Name)]
		if !ok {
			return nil, fmt.Errorf("model of rwkv.cpp has no %s", keyOf(q.Name))
		}
		if len(t.data) != q.End-q.Start {
			return nil, fmt.Errorf("model of rwkv.cpp: %s has shape %v, must have %v", keyOf(q.Name), t.shape, q.Shape)
		}
	}
	p := rwkv.NewParams[float32](c)
	for _, q := range specs {
		t, x := tensors[keyOf(q.Name)], p.Flat[q.Start:q.End]
		copy(x, t.data)
		if q.Group == rwkv.TimeDecay {
			for i, w := range x {
				if !(w < 0) {
					return nil, fmt.Errorf("model of rwkv.cpp: %s holds %g; a decay is below 0", keyOf(q.Name), w)
				}
				x[i] = float32(math.Log(-float64(w)))
			}
		}
	}
	return p, nil
}

type tensor struct {
	shape []int // slowest first
	data  []float32
}

func readTensor(b *bufio.Reader) (string, tensor, error) {
	var t tensor
	var head [3]int32 // dimensions, key length, type
	if err := binary.Read(b, binary.LittleEndian, &head); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("its header is cut short")
		}
		return "", t, err
	}
	dims, keyLen := head[0], head[1]
	if dims < 1 || dims > 3 || keyLen < 1 || keyLen > 256 || head[2] != fp32 {
		return "", t, fmt.Errorf("%d dimensions, a key of %d bytes, data type %d: the file is damaged, or not FP32", dims, keyLen, head[2])
	}
	n := int64(1)
	t.shape = make([]int, dims)
	for i := range t.shape {
		var s int32
		if err := binary.Read(b, binary.LittleEndian, &s); err != nil || s < 1 {
			return "", t, errors.New("its shape is cut short or not positive")
		}
		t.shape[int(dims)-1-i] = int(s)
		if n *= int64(s); n > maxTensor {
			return "", t, fmt.Errorf("shape %v is too large: the file is damaged", t.shape)
		}
	}
	key := make([]byte, keyLen)
	if _, err := io.ReadFull(b, key); err != nil {
		return "", t, errors.New("its key is cut short")
	}
	// Grown as the bytes come, so that a damaged shape cannot ask for memory.
	var chunk [4096]byte
	for n > 0 {
		c := chunk[:min(4*n, int64(len(chunk)))]
		if _, err := io.ReadFull(b, c); err != nil {
			return "", t, fmt.Errorf("%s is cut short", key)
		}
		for i := 0; i < len(c); i += 4 {
			t.data = append(t.data, math.Float32frombits(binary.LittleEndian.Uint32(c[i:])))
		}
		n -= int64(len(c) / 4)
	}
	return string(key), t, nil
}

var blockName = regexp.MustCompile(`^rwkv\.blocks\.(\d+)\.(attention|feed_forward|ln1|ln2|pre_ln)\.(.*)$`)

// keyOf is RWKV-LM's name, which rwkv.cpp uses, of a tensor named as Hugging Face does.
func keyOf(name string) string {
	switch {
	case name == "rwkv.embeddings.weight":
		return "emb.weight"
	case strings.HasPrefix(name, "rwkv.ln_out"):
		return strings.TrimPrefix(name, "rwkv.")
	}
	m := blockName.FindStringSubmatch(name)
	if m == nil {
		return name
	}
	part, rest := m[2], m[3]
	switch part {
	case "attention":
		part = "att"
	case "feed_forward":
		part = "ffn"
	case "pre_ln":
		part = "ln0"
	}
	switch rest {
	case "time_mix_key":
		rest = "time_mix_k"
	case "time_mix_value":
		rest = "time_mix_v"
	case "time_mix_receptance":
		rest = "time_mix_r"
	}
	return "blocks." + m[1] + "." + part + "." + rest
}
