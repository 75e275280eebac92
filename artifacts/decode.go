package artifacts

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// DecodeManifest reads what Encode wrote, and any other JSON of that shape. What it
// returns is as sound as what Encode accepts.
func DecodeManifest(b []byte) (*Manifest, error) { return decodeManifest(string(b)) }

// decodeManifest reads what Encode wrote, and any other JSON of that shape.
func decodeManifest(text string) (*Manifest, error) {
	m, ok := decodeCanonical(text)
	if !ok {
		var err error
		if m, err = decodeAny(text); err != nil {
			return nil, err
		}
	}
	return m, m.check()
}

// decodeCanonical reads a manifest as Encode writes it and gives up (false) on anything
// else, also on what is rare, such as an escape in a path. A plan reads a manifest for
// every part there is, and encoding/json takes ten times as long. The strings of the
// result are pieces of text, and stats are not looked into.
func decodeCanonical(text string) (*Manifest, bool) {
	files, ok := strings.CutPrefix(text, `{"files":[`)
	if !ok {
		return nil, false
	}
	m := &Manifest{}
	if n := strings.Count(files, `{"digest":"`); n > 0 {
		m.Files = make([]ManifestFile, 0, n)
	}
	for first := true; !strings.HasPrefix(files, "]"); first = false {
		if !first {
			if files, ok = strings.CutPrefix(files, ","); !ok {
				return nil, false
			}
		}
		var f ManifestFile
		if files, ok = strings.CutPrefix(files, `{"digest":"`); !ok {
			return nil, false
		}
		if f.Digest, files, ok = strings.Cut(files, `","path":"`); !ok || !isPlain(f.Digest) {
			return nil, false
		}
		if f.Path, files, ok = strings.Cut(files, `","size":`); !ok || !isPlain(f.Path) {
			return nil, false
		}
		digits := len(files) - len(strings.TrimLeft(files, "0123456789"))
		size, err := strconv.ParseInt(files[:digits], 10, 64)
		if err != nil || digits > 1 && files[0] == '0' {
			return nil, false
		}
		f.Size, files = size, files[digits:]
		if stats, ok := strings.CutPrefix(files, `,"stats":`); ok {
			n := objectLen(stats)
			if n == 0 {
				return nil, false
			}
			f.Stats, files = json.RawMessage(stats[:n]), stats[n:]
		}
		if files, ok = strings.CutPrefix(files, "}"); !ok {
			return nil, false
		}
		m.Files = append(m.Files, f)
	}
	format, _ := strings.CutPrefix(files, `],"format":`)
	return m, format == strconv.Itoa(manifestFormat)+"}"
}

// isPlain says that a JSON string of these bytes stands for itself.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// objectLen is the length of the JSON object that s begins with, 0 if there is none.
func objectLen(s string) int {
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0:
			return 0
		}
	}
	return 0
}

func decodeAny(text string) (*Manifest, error) {
	var j struct {
		Files []struct {
			Digest string          `json:"digest"`
			Path   string          `json:"path"`
			Size   int64           `json:"size"`
			Stats  json.RawMessage `json:"stats"`
		} `json:"files"`
		Format int `json:"format"`
	}
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if j.Format != manifestFormat {
		return nil, fmt.Errorf("manifest: found format %d, this program reads %d: use a newer program", j.Format, manifestFormat)
	}
	m := &Manifest{Files: make([]ManifestFile, len(j.Files))}
	for i, f := range j.Files {
		m.Files[i] = ManifestFile{Path: f.Path, Digest: f.Digest, Size: f.Size, Stats: f.Stats}
	}
	return m, nil
}
