package dag

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/ptbr-slm/pipeline/dag/stage"
)

// decodeStats reads the statistics of a file as a manifest has them. A plan reads those
// of every part there is, nearly always in the form that manifestFile wrote, which is
// read here twenty times as fast as by encoding/json.
func decodeStats(b json.RawMessage) (s stage.Stats, err error) {
	if len(b) == 0 {
		return s, nil
	}
	if s, ok := plainStats(string(b)); ok {
		return s, nil
	}
	s = stage.Stats{}
	err = json.Unmarshal(b, &s)
	return s, err
}

// plainStats reads an object of numbers and of strings that stand for themselves, without
// spaces, and gives up (false) on anything else.
func plainStats(b string) (s stage.Stats, ok bool) {
	if b, ok = strings.CutPrefix(b, "{"); !ok {
		return s, false
	}
	if b, ok = strings.CutSuffix(b, "}"); !ok {
		return s, false
	}
	for first := true; b != ""; first = false {
		if !first {
			if b, ok = strings.CutPrefix(b, ","); !ok {
				return s, false
			}
		}
		if b, ok = strings.CutPrefix(b, `"`); !ok {
			return s, false
		}
		var name string
		if name, b, ok = strings.Cut(b, `":`); !ok {
			return s, false
		}
		switch name {
		case "first", "last":
			if b, ok = strings.CutPrefix(b, `"`); !ok {
				return s, false
			}
			var v string
			if v, b, ok = strings.Cut(b, `"`); !ok || !isPlain(v) {
				return s, false
			}
			if name == "first" {
				s.First = v
			} else {
				s.Last = v
			}
		case "documents", "bytes", "tokens":
			end := strings.IndexByte(b, ',')
			if end < 0 {
				end = len(b)
			}
			v, err := strconv.ParseInt(b[:end], 10, 64)
			if err != nil || strconv.FormatInt(v, 10) != b[:end] {
				return s, false
			}
			b = b[end:]
			switch name {
			case "documents":
				s.Documents = v
			case "bytes":
				s.Bytes = v
			default:
				s.Tokens = v
			}
		default:
			return s, false
		}
	}
	return s, true
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
