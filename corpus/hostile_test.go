package corpus

import (
	"strings"
	"testing"
)

// A shard that asks for a window of two gigabytes gets none: zstd itself takes 128 MiB
// without being told otherwise, and what this package writes needs eight.
func TestShardWindow(t *testing.T) {
	r, err := NewReader(strings.NewReader("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"))
	if err == nil {
		err = r.Next(new(Document))
		r.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "window size exceeded") {
		t.Errorf("error is %v", err)
	}
}
