package droplist

import (
	"bytes"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	in := []Entry{
		{"b", "wiki", "wiki:a", false, Near, 0.9},
		{"x", "lei", "lei:x", true, Kept, 1},
		{"a", "wiki", "wiki:a", true, Kept, 0.9},
	}
	var b bytes.Buffer
	if err := Write(&b, in); err != nil {
		t.Fatal(err)
	}
	if want := `{"id":"x","source":"lei","cluster":"lei:x","keep":true,"reason":"kept","jaccard":1}` + "\n"; !strings.HasPrefix(b.String(), want) {
		t.Errorf("first line is not %s: %s", want, b.String())
	}
	l := List{}
	if err := l.Read(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	if e, ok := l.Find("wiki", "b"); !ok || e != (Entry{"b", "wiki", "wiki:a", false, Near, 0.9}) {
		t.Errorf("b: %+v", e)
	}
	if _, ok := l.Find("lei", "b"); ok {
		t.Error("b of another source was found")
	}
	for _, c := range []struct{ source, id, want string }{{"wiki", "b", "wiki:a"}, {"wiki", "a", "wiki:a"}, {"wiki", "c", "wiki:c"}} {
		if got := l.Cluster(c.source, c.id); got != c.want {
			t.Errorf("cluster of %s: %s, want %s", c.id, got, c.want)
		}
	}
}

func TestRefuse(t *testing.T) {
	for in, want := range map[string]string{
		`{"id":"a"}` + "\n{": "entry 2",
		`{"id":"a","source":"s","cluster":"x"}` + "\n" + `{"id":"a","source":"s","cluster":"y"}`: `listed twice, in clusters "x" and "y"`,
	} {
		if err := (List{}).Read(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}
