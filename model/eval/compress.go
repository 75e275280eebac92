package eval

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Zstd is the size of text under a general compressor.
type Zstd struct {
	Window int   `json:"window"` // bytes: all of what is compressed fits
	Alone  int64 `json:"alone"`  // compressed bytes of the text by itself
	After  int64 `json:"after"`  // what it adds to the training text, compressed before it
}

// CompressAfter compresses text with zstd at its best level, alone and behind the
// training text, from which it may copy.
func CompressAfter(train, text []string) (Zstd, error) {
	t, x := strings.Join(train, "\n"), strings.Join(text, "\n")
	window := 1 << max(bits.Len(uint(len(t)+len(x))), 10)
	if window > zstd.MaxWindowSize {
		return Zstd{}, fmt.Errorf("zstd baseline: %d bytes of training text and %d of text do not fit the largest window, %d; lower train-bytes",
			len(t), len(x), zstd.MaxWindowSize)
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithWindowSize(window), zstd.WithEncoderCRC(false))
	if err != nil {
		return Zstd{}, fmt.Errorf("zstd baseline: %w", err)
	}
	defer e.Close()
	size := func(s string) int64 { return int64(len(e.EncodeAll([]byte(s), nil))) }
	return Zstd{window, size(x), size(t+"\n"+x) - size(t)}, nil
}
