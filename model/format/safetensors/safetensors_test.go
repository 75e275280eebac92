package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func file(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func raw(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestRoundTrip(t *testing.T) {
	in := []Tensor{
		{"b", []int{2, 1, 3}, []float32{1, -2, 3, float32(math.Inf(1)), 1e-45, 0}},
		{"a \"quoted\"", []int{}, []float32{7}},
		{"c", []int{0, 4}, nil},
	}
	var b bytes.Buffer
	if err := Write(&b, in, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	if n := binary.LittleEndian.Uint64(b.Bytes()); n%8 != 0 || b.Len() != 8+int(n)+4*7 {
		t.Errorf("header of %d bytes in a file of %d", n, b.Len())
	}
	f, err := Open(file(t, b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if want := []string{"a \"quoted\"", "b", "c"}; !slices.Equal(f.Names(), want) || f.Metadata["format"] != "pt" {
		t.Errorf("names %q, metadata %v", f.Names(), f.Metadata)
	}
	for _, x := range in {
		got := make([]float32, len(x.Data))
		if err := f.Read(x.Name, x.Shape, got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, x.Data) {
			t.Errorf("%s: %v, want %v", x.Name, got, x.Data)
		}
	}
	if err := f.Read("d", nil, make([]float32, 1)); err == nil || !strings.Contains(err.Error(), "no tensor d") {
		t.Errorf("missing tensor: %v", err)
	}
	if err := f.Read("b", []int{6}, make([]float32, 6)); err == nil || !strings.Contains(err.Error(), "shape [2 1 3], must have [6]") {
		t.Errorf("wrong shape: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	for want, tensors := range map[string][]Tensor{
		"3 values": {{"a", []int{2}, make([]float32, 3)}},
		"is taken": {{"a", []int{1}, make([]float32, 1)}, {"a", []int{1}, make([]float32, 1)}},
		"__metada": {{metadataKey, []int{1}, make([]float32, 1)}},
	} {
		if err := Write(&bytes.Buffer{}, tensors, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	const a = `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	for _, q := range []struct {
		name, want string
		b          []byte
	}{
		{"empty", "too few", nil},
		{"huge header", "cut short", binary.LittleEndian.AppendUint64(nil, 1<<40)},
		{"no object", "not a JSON object", raw(`[]`, 0)},
		{"cut header", "header", raw(`{"a":`, 0)},
		{"data cut short", "cut short", raw("{"+a+"}", 4)},
		{"data too long", "not whole", raw("{"+a+"}", 12)},
		{"twice", "names a twice", raw("{"+a+","+a+"}", 8)},
		{"other type", "only F32", raw(`{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}`, 4)},
		{"shape and bytes differ", "has shape [3]", raw(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8)},
		{"negative shape", "is none", raw(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}`, 8)},
		{"overflowing shape", "is none", raw(`{"a":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,8]}}`, 8)},
		{"hole", "begins at byte 12", raw("{"+a+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}`, 16)},
		{"overlap", "begins at byte 4", raw("{"+a+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8)},
	} {
		f, err := Open(file(t, q.b))
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), q.want) {
			t.Errorf("%s: %v, want %q", q.name, err, q.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"x":"y"}}`), int64(8))
	f.Add([]byte(`{}`), int64(0))
	f.Add([]byte(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}`), int64(4))
	f.Fuzz(func(t *testing.T, header []byte, size int64) {
		entries, _, err := parse(header, size)
		if err != nil {
			return
		}
		var total int64
		for _, e := range entries {
			total += e.Offsets[1] - e.Offsets[0]
			if e.Offsets[0] < 0 || e.Offsets[1] > size {
				t.Fatalf("%v lies outside of %d bytes", e, size)
			}
		}
		if total != size {
			t.Fatalf("tensors of %d bytes in %d", total, size)
		}
	})
}
