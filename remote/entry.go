package remote

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/ptbr-slm/pipeline/artifacts"
)

// entryFormat is raised when a reader of the last format would misread an entry.
const entryFormat = 1

// maxEntry is the largest entry that is written or read: the listing of some 500,000
// files, or as many metrics.
const maxEntry = 64 << 20 // bytes

// document is an entry as it is written. The fields are in the order of their names.
//
// What is named by a digest, the key included, stands there as a string, so that every
// program hashes the same bytes, whatever its JSON library does to numbers and spaces.
type document struct {
	Artifact   string           `json:"artifact"`   // sha256 of outputs
	Components string           `json:"components"` // the text whose sha256 is the key
	Config     string           `json:"config"`
	Counts     string           `json:"counts"` // JSON, or empty
	Format     int              `json:"format"`
	InputBytes int64            `json:"input_bytes"`
	Key        string           `json:"key"`
	Kind       string           `json:"kind"`
	Metrics    []documentMetric `json:"metrics"`
	Outputs    string           `json:"outputs"` // manifest
	Refusal    string           `json:"refusal"`
	Seconds    float64          `json:"seconds"`
	Texts      []string         `json:"texts"` // the configs and lists that components names
	Version    int              `json:"version"`
}

type documentMetric struct {
	Name  string   `json:"name"`
	Step  int64    `json:"step"`
	Value *float64 `json:"value"` // null is not a number
}

// components is what is looked at of the text that a key is the digest of.
type components struct {
	Kind    string `json:"kind"`
	Version int    `json:"version"`
	Config  string `json:"config"`
	Inputs  map[string]struct {
		Digest string `json:"list"`
	} `json:"inputs"`
}

// texts lists the digests that components names beside those of files: its config and
// the lists of its inputs, each once, sorted.
func (c *components) texts() []string {
	names := map[string]bool{c.Config: true}
	for _, l := range c.Inputs {
		if l.Digest != "" {
			names[l.Digest] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func parseComponents(text string) (*components, error) {
	var c components
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, fmt.Errorf("components: %w", err)
	}
	return &c, nil
}

// errNewer is an entry of a format that this program does not know.
var errNewer = errors.New("it has a newer format: use a newer program to share it")

// encode writes an entry that decode accepts, or fails.
func encode(e *artifacts.Entry) ([]byte, error) {
	a := e.Action
	outputs, err := a.Outputs.Encode()
	if err != nil {
		return nil, err
	}
	d := document{Artifact: digestOf(outputs), Components: string(a.Components), Config: a.Config, Counts: string(a.Counts), Format: entryFormat,
		InputBytes: a.InputBytes, Key: a.Key, Kind: a.Kind, Metrics: []documentMetric{}, Outputs: string(outputs), Refusal: a.Refusal,
		Seconds: a.Seconds, Texts: []string{}, Version: a.Version}
	for _, digest := range slices.Sorted(maps.Keys(e.Texts)) {
		d.Texts = append(d.Texts, string(e.Texts[digest]))
	}
	for _, m := range e.Metrics {
		w := documentMetric{Name: m.Name, Step: m.Step}
		if !math.IsNaN(m.Value) && !math.IsInf(m.Value, 0) {
			w.Value = &m.Value
		}
		d.Metrics = append(d.Metrics, w)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if _, err := decode(a.Key, text); err != nil {
		return nil, err
	}
	return text, nil
}

// decode reads the entry of a key and checks everything that can be checked without the
// objects: that the components hash to the key and say what the rest says, that every
// text they name is there, that the outputs are a sound manifest and hash to their name.
func decode(key string, text []byte) (*artifacts.Entry, error) {
	if len(text) > maxEntry {
		return nil, fmt.Errorf("it is larger than %d bytes", maxEntry)
	}
	var f struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	if f.Format > entryFormat {
		return nil, errNewer
	}
	if f.Format != entryFormat {
		return nil, fmt.Errorf("it has format %d, expected is %d", f.Format, entryFormat)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	c, err := parseComponents(d.Components)
	if err != nil {
		return nil, err
	}
	switch {
	case d.Key != key:
		return nil, fmt.Errorf("it is of key %.64q, expected is %s", d.Key, key)
	case digestOf([]byte(d.Components)) != key:
		return nil, fmt.Errorf("its components hash to %s, which is not its key", digestOf([]byte(d.Components)))
	case c.Kind != d.Kind || c.Version != d.Version || c.Config != d.Config:
		return nil, errors.New("kind, version or config are not those of its components")
	case digestOf([]byte(d.Outputs)) != d.Artifact:
		return nil, fmt.Errorf("its outputs hash to %s, but it says %.64q", digestOf([]byte(d.Outputs)), d.Artifact)
	case d.Counts != "" && !json.Valid([]byte(d.Counts)):
		return nil, errors.New("its counts are no JSON")
	case d.InputBytes < 0 || d.Seconds < 0:
		return nil, errors.New("it took less than nothing")
	case !utf8.ValidString(d.Kind) || hasControl(d.Kind) || hasControl(d.Config):
		return nil, errors.New("kind or config hold control characters")
	}
	e := &artifacts.Entry{Texts: map[string][]byte{}, Action: &artifacts.Action{Key: key, Kind: d.Kind, Version: d.Version,
		Components: json.RawMessage(d.Components), Config: d.Config, Artifact: d.Artifact, Seconds: d.Seconds, InputBytes: d.InputBytes,
		Refusal: d.Refusal}}
	if d.Counts != "" {
		e.Action.Counts = json.RawMessage(d.Counts)
	}
	if e.Action.Outputs, err = artifacts.DecodeManifest([]byte(d.Outputs)); err != nil {
		return nil, err
	}
	// The store writes the manifest anew, so it must be as the store writes it.
	if again, err := e.Action.Outputs.Encode(); err != nil || string(again) != d.Outputs {
		return nil, errors.New("its outputs are not in canonical form")
	}
	given := map[string]string{}
	for _, t := range d.Texts {
		given[digestOf([]byte(t))] = t
	}
	for _, digest := range c.texts() {
		t, ok := given[digest]
		if !ok {
			return nil, fmt.Errorf("its components name %.64q, and no text of it hashes to that", digest)
		}
		e.Texts[digest] = []byte(t)
	}
	for _, m := range d.Metrics {
		v := math.NaN()
		if m.Value != nil {
			v = *m.Value
		}
		e.Metrics = append(e.Metrics, artifacts.Metric{Name: m.Name, Step: m.Step, Value: v})
	}
	return e, nil
}

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 {
			return true
		}
	}
	return false
}

func digestOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
