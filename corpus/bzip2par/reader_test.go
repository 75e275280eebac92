package bzip2par

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dsnet/compress/bzip2"
)

// text of n bytes that compresses about as prose does.
func text(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	words := strings.Fields("a casa de pedra ficava no alto da serra onde o vento nunca cessa e as crianças ouviam histórias antigas")
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%s%d ", words[r.IntN(len(words))], r.IntN(1000))
	}
	return b.Bytes()[:n]
}

func compress(t testing.TB, level int, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := bzip2.NewWriter(&b, &bzip2.WriterConfig{Level: level})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(p)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// all reads a range; errs are the corruptions in it.
func all(t testing.TB, z []byte, from, to int64, cpus int) (out []byte, errs []*CorruptError) {
	t.Helper()
	r := NewReader(bytes.NewReader(z), int64(len(z)), from, to, cpus)
	defer r.Close()
	for {
		b, err := r.Next()
		var c *CorruptError
		switch {
		case errors.As(err, &c):
			if c.Past {
				return out, errs
			}
			errs = append(errs, c)
		case err == io.EOF:
			return out, errs
		case err != nil:
			t.Fatal(err)
		case b.Past:
			return out, errs
		default:
			out = append(out, b.Data...)
		}
	}
}

func TestRangesTile(t *testing.T) {
	p := text(250_000, 1)
	one := compress(t, 1, p) // blocks of 100 kB
	multi := append(append(compress(t, 1, p[:120_000]), compress(t, 2, nil)...), compress(t, 9, p[120_000:])...)
	for name, z := range map[string][]byte{"one stream": one, "three streams": multi, "empty": compress(t, 9, nil)} {
		want := p
		if name == "empty" {
			want = nil
		}
		size := int64(len(z))
		for _, part := range []int64{size, size/2 + 1, 7919} {
			for _, cpus := range []int{1, 3} {
				var got []byte
				for from := int64(0); from < size; from += part {
					out, errs := all(t, z, from, min(from+part, size), cpus)
					if len(errs) > 0 {
						t.Fatalf("%s, parts of %d: %v", name, part, errs[0])
					}
					got = append(got, out...)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s, parts of %d, %d CPUs: %d bytes differ from the %d that were compressed", name, part, cpus, len(got), len(want))
				}
			}
		}
	}
}

func TestCorrupt(t *testing.T) {
	p := text(450_000, 2)
	z := compress(t, 1, p)
	var marks []mark
	for f := newFinder(bytes.NewReader(z), int64(len(z)), 0); ; {
		m, err := f.next()
		if err != nil {
			break
		}
		marks = append(marks, m)
	}
	if len(marks) < 5 || !marks[len(marks)-1].end {
		t.Fatalf("marks of the fixture: %v", marks)
	}
	second := marks[1].bit / 8
	tests := []struct {
		name   string
		damage func(z []byte) []byte
		errs   []string // what each error says
		blocks string   // what is left, as the blocks' numbers
	}{
		{"cut inside a block", func(z []byte) []byte { return z[:marks[3].bit/8+100] }, []string{fmt.Sprintf("cut off: what begins at byte %d", marks[3].bit/8)}, "012"},
		{"cut inside the end", func(z []byte) []byte { return z[:len(z)-2] }, []string{"cut off"}, "01234"},
		{"header alone", func(z []byte) []byte { return z[:4] }, []string{"cut off: what begins at byte 0"}, ""},
		{"a bit flipped", func(z []byte) []byte { z[second+500] ^= 4; return z }, []string{fmt.Sprintf("bytes %d-", second)}, "0234"},
		{"a magic destroyed", func(z []byte) []byte { z[second+2] ^= 0xff; return z }, []string{"bytes 4-"}, "234"},
		{"zeros", func(z []byte) []byte { clear(z[second+100 : second+9000]); return z }, []string{fmt.Sprintf("bytes %d-", second)}, "0234"},
		{"CRC of the stream", func(z []byte) []byte { z[len(z)-3] ^= 1; return z }, []string{"blocks are missing"}, "01234"},
		{"garbage after the end", func(z []byte) []byte { return append(z, "lixo"...) }, []string{`"lixo"`}, "01234"},
		{"a magic that is none", func(z []byte) []byte { return z }, nil, "01234"},
	}
	blocks := map[byte][]byte{}
	r := NewReader(bytes.NewReader(z), int64(len(z)), 0, int64(len(z)), 1)
	for i := range len(marks) - 1 {
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		blocks["0123456789"[i]] = b.Data
	}
	r.Close()
	for _, test := range tests {
		bad := test.damage(bytes.Clone(z))
		got, errs := all(t, bad, 0, int64(len(bad)), 2)
		var want []byte
		for _, b := range []byte(test.blocks) {
			want = append(want, blocks[b]...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes left, want blocks %s, %d bytes", test.name, len(got), test.blocks, len(want))
		}
		if len(errs) != len(test.errs) {
			t.Errorf("%s: errors %v, want %d", test.name, errs, len(test.errs))
			continue
		}
		for i, e := range errs {
			if !strings.Contains(e.Error(), test.errs[i]) {
				t.Errorf("%s: error %q does not say %q", test.name, e, test.errs[i])
			}
		}
	}
}

// A magic inside a block is found by chance once in 2^48 bits; here it is put into the
// list of marks.
func TestFalseMark(t *testing.T) {
	p := text(150_000, 3)
	z := compress(t, 1, p)
	size := int64(len(z))
	r := NewReader(bytes.NewReader(z), size, 0, size, 1)
	real, err := r.find.next()
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.find.next()
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	close(closed)
	middle := (real.bit + second.bit) / 2
	seg := func(from, to int64) *segment {
		s := &segment{mark: mark{bit: from}, stop: to, done: closed}
		s.data, s.crc, s.err = decode(r.r, from, to)
		return s
	}
	r.queue = []*segment{seg(real.bit, middle), seg(middle, second.bit)}
	r.ahead = &second
	var got []byte
	for {
		b, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Data...)
	}
	if !bytes.Equal(got, p) {
		t.Errorf("%d bytes, want %d", len(got), len(p))
	}
	// The same mark as the first of a range: the block belongs to the range before.
	late := NewReader(bytes.NewReader(z), size, middle/8, size, 1)
	late.queue, late.ahead = []*segment{seg(middle, second.bit)}, &second
	late.find.off, late.find.min = second.bit/8+6, second.bit+48
	b, err := late.Next()
	if err != nil || b.Offset != second.bit/8 {
		t.Errorf("block at %d, error %v; want the block at %d", b.Offset, err, second.bit/8)
	}
}

func FuzzReader(f *testing.F) {
	z := compress(f, 1, text(2000, 4))
	f.Add(z, uint16(0))
	f.Add(append(bytes.Clone(z), z...), uint16(30))
	f.Add(z[:len(z)-5], uint16(0))
	f.Fuzz(func(t *testing.T, z []byte, cut uint16) {
		size := int64(len(z))
		whole, errs := all(t, z, 0, size, 2)
		if len(errs) > 0 {
			return
		}
		at := min(int64(cut), size)
		a, _ := all(t, z, 0, at, 1)
		b, _ := all(t, z, at, size, 1)
		if at > 0 && !bytes.Equal(append(a, b...), whole) {
			t.Errorf("cut at %d: %d + %d bytes, want %d", at, len(a), len(b), len(whole))
		}
	})
}

func BenchmarkReader(b *testing.B) {
	p := text(8<<20, 5)
	z := compress(b, 9, p)
	for _, cpus := range []int{1, 2} {
		b.Run(fmt.Sprint(cpus, " CPUs"), func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				all(b, z, 0, int64(len(z)), cpus)
			}
		})
	}
}

func BenchmarkFinder(b *testing.B) {
	z := compress(b, 9, text(8<<20, 5))
	b.SetBytes(int64(len(z)))
	for b.Loop() {
		for f := newFinder(bytes.NewReader(z), int64(len(z)), 0); ; {
			if _, err := f.next(); err != nil {
				break
			}
		}
	}
}
