package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/ptbr-slm/pipeline/artifacts"
)

const config, list = `{"a":1}`, `[["x"]]`

// soundEntry is an entry that decode accepts.
func soundEntry() *artifacts.Entry {
	comps := fmt.Sprintf(`{"engine":1,"kind":"clean","version":2,"config":"%s","inputs":{"docs":{"count":1,"list":"%s"}},"seed":1}`,
		digestOf([]byte(config)), digestOf([]byte(list)))
	m := &artifacts.Manifest{Files: []artifacts.ManifestFile{{Path: "docs/é.txt", Digest: strings.Repeat("ab", 32), Size: 3, Stats: json.RawMessage(`{"documents":1}`)}}}
	b, err := m.Encode()
	if err != nil {
		panic(err)
	}
	return &artifacts.Entry{
		Action: &artifacts.Action{Key: digestOf([]byte(comps)), Kind: "clean", Version: 2, Components: json.RawMessage(comps), Config: digestOf([]byte(config)),
			Outputs: m, Artifact: digestOf(b), Seconds: 1e-7, InputBytes: 1 << 60, Refusal: "<é> & \u2028\n", Counts: json.RawMessage(`{"counts":{"a":{"b":1}}}`)},
		Texts:   map[string][]byte{digestOf([]byte(config)): []byte(config), digestOf([]byte(list)): []byte(list)},
		Metrics: []artifacts.Metric{{Name: "loss", Step: -1, Value: 1e300}, {Name: "loss", Step: 2, Value: math.NaN()}},
	}
}

// TestDecodeRefuses holds what a lying or malicious entry cannot do.
func TestDecodeRefuses(t *testing.T) {
	e := soundEntry()
	good, err := encode(e)
	if err != nil {
		t.Fatal(err)
	}
	manifest := func(path, digest string, size int) func(d *document) {
		return func(d *document) {
			d.Outputs = fmt.Sprintf(`{"files":[{"digest":"%s","path":"%s","size":%d}],"format":1}`, digest, path, size)
			d.Artifact = digestOf([]byte(d.Outputs))
		}
	}
	ok := strings.Repeat("ab", 32)
	for _, c := range []struct {
		name   string
		change func(d *document)
		says   string
	}{
		{"another key", func(d *document) { d.Key = strings.Repeat("0", 64) }, "expected is"},
		{"other components", func(d *document) { d.Components = strings.Replace(d.Components, `"seed":1`, `"seed":2`, 1) }, "not its key"},
		{"another kind", func(d *document) { d.Kind = "filter" }, "kind, version or config"},
		{"another version", func(d *document) { d.Version = 3 }, "kind, version or config"},
		{"another config", func(d *document) { d.Config = d.Key }, "kind, version or config"},
		{"no config", func(d *document) { d.Texts = d.Texts[:0] }, "no text of it"},
		{"a changed config", func(d *document) { d.Texts = []string{`{"a":2}`, list} }, "no text of it"},
		{"no list", func(d *document) { d.Texts = []string{config} }, "no text of it"},
		{"another artifact", func(d *document) { d.Artifact = d.Key }, "outputs hash to"},
		{"a path that leads out", manifest("docs/../../../etc/passwd", ok, 1), "not the path of a file"},
		{"an absolute path", manifest("/etc/passwd", ok, 1), "not the path of a file"},
		{"a digest that leads out", manifest("docs/a", "../../../../etc/passwd", 1), "not a sha256"},
		{"a size below zero", manifest("docs/a", ok, -1), "below zero"},
		{"a manifest with spaces", func(d *document) { d.Outputs += " "; d.Artifact = digestOf([]byte(d.Outputs)) }, "canonical"},
		{"counts that are none", func(d *document) { d.Counts = "{" }, "counts are no JSON"},
		{"time below zero", func(d *document) { d.Seconds = -1 }, "less than nothing"},
		{"an older format", func(d *document) { d.Format = 0 }, "format 0"},
		{"a newer format", func(d *document) { d.Format = 2 }, "newer"},
	} {
		var d document
		if err := json.Unmarshal(good, &d); err != nil {
			t.Fatal(err)
		}
		c.change(&d)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = decode(e.Action.Key, text); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.says)
		}
		if errors.Is(err, errNewer) != (d.Format > entryFormat) {
			t.Errorf("%s: taken for a newer format: %v", c.name, err)
		}
	}
	if _, err := decode(e.Action.Key, bytes.Repeat([]byte(" "), maxEntry+1)); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("too large: %v", err)
	}
	e.Action.Refusal = "\xff"
	if _, err := encode(e); err != nil {
		t.Errorf("a refusal in no encoding: %v", err)
	}
}

// FuzzEntry holds that no bytes make decode panic or accept what it must refuse, and that
// what it accepts is written back to something that reads the same.
func FuzzEntry(f *testing.F) {
	e := soundEntry()
	good, err := encode(e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(bytes.Replace(good, []byte(`"format":1`), []byte(`"format":2`), 1))
	f.Add(bytes.Replace(good, []byte(`docs/`), []byte(`../..`), 1))
	f.Add(bytes.Replace(good, []byte(`"value":null`), []byte(`"value":"NaN"`), 1))
	f.Add([]byte(`{"format":1,"key":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := decode(e.Action.Key, text)
		if err != nil {
			return
		}
		if digestOf(got.Action.Components) != e.Action.Key {
			t.Fatalf("components %s", got.Action.Components)
		}
		for digest, text := range got.Texts {
			if digestOf(text) != digest {
				t.Fatalf("text %s", text)
			}
		}
		again, err := encode(got)
		if err != nil {
			t.Fatalf("accepted, but cannot be written: %v", err)
		}
		if third, err := decode(e.Action.Key, again); err != nil || fmt.Sprintf("%+v", third.Action.Outputs) != fmt.Sprintf("%+v", got.Action.Outputs) {
			t.Fatalf("reads otherwise the second time: %v", err)
		}
	})
}
