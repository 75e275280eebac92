package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The vocabulary and the merges are nearly all of a tokenizer.json. They are read entry
// by entry: many times faster than into maps and slices of package json, and a map
// would let the second of two equal tokens win in silence.

// vocabulary is model.vocab, or a vocab.json.
type vocabulary struct {
	entries []entry // as the file has them
	ids     map[string]uint32
}

type entry struct {
	token string
	id    uint32
}

// UnmarshalJSON reads an object of token → id.
func (v *vocabulary) UnmarshalJSON(b []byte) error { return v.read(b, "model.vocab") }

// read reads an object of token → id, which errors call name.
func (v *vocabulary) read(b []byte, name string) error {
	s := scanner{b: b}
	if !s.take('{') {
		return fmt.Errorf("%s: must be an object of token → id", name)
	}
	v.ids = map[string]uint32{}
	for !s.take('}') {
		token, err := s.text()
		if err != nil {
			return err
		}
		s.take(':')
		raw := s.scalar()
		id, err := strconv.ParseUint(raw, 10, 31)
		if err != nil {
			return fmt.Errorf("%s[%q]: must be a whole number from 0 to 2³¹-1, is %.40s", name, token, raw)
		}
		if was, ok := v.ids[token]; ok {
			return fmt.Errorf("%s[%q]: stands there twice, as %d and as %d", name, token, was, id)
		}
		v.ids[token] = uint32(id)
		v.entries = append(v.entries, entry{token, uint32(id)})
		s.take(',')
	}
	return nil
}

// mergeList is model.merges: "a b" or ["a", "b"], the first when no token has a space.
type mergeList [][2]string

// UnmarshalJSON reads both forms.
func (m *mergeList) UnmarshalJSON(b []byte) error {
	s := scanner{b: b}
	if !s.take('[') {
		return errors.New("model.merges: must be a list")
	}
	*m = mergeList{}
	for !s.take(']') {
		at := s.at
		var sides []string
		switch {
		case s.peek() == '"':
			text, err := s.text()
			if err != nil {
				return err
			}
			sides = strings.Split(text, " ")
		case s.take('['):
			for !s.take(']') && s.peek() == '"' {
				text, err := s.text()
				if err != nil {
					return err
				}
				sides = append(sides, text)
				s.take(',')
			}
		}
		if len(sides) != 2 || slices.Contains(sides, "") {
			is, _, _ := strings.Cut(strings.TrimSpace(string(b[at:])), "\n")
			return fmt.Errorf(`model.merges[%d]: must name two tokens, as "a b" or ["a", "b"], is %.40s`, len(*m), is)
		}
		*m = append(*m, [2]string{sides[0], sides[1]})
		s.take(',')
	}
	return nil
}

// scanner walks over JSON that package json has found to be well-formed.
type scanner struct {
	b  []byte
	at int
}

func (s *scanner) peek() byte {
	for s.b[s.at] <= ' ' {
		s.at++
	}
	return s.b[s.at]
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	if s.at++; s.at == len(s.b) {
		s.b = append(s.b[:len(s.b):len(s.b)], 0xff) // something to peek at
	}
	return true
}

// text takes a string.
func (s *scanner) text() (string, error) {
	s.peek()
	start, escaped := s.at, false
	for s.at++; s.b[s.at] != '"'; s.at++ {
		if s.b[s.at] == '\\' {
			escaped = true
			s.at++
		}
	}
	s.at++
	if !escaped {
		return strings.ToValidUTF8(string(s.b[start+1:s.at-1]), "\ufffd"), nil
	}
	var text string
	err := json.Unmarshal(s.b[start:s.at], &text)
	return text, err
}

// scalar takes what is neither string, object nor list, as it is written; of those it
// takes the first byte, which parses as nothing.
func (s *scanner) scalar() string {
	s.peek()
	start := s.at
	for s.at++; !strings.ContainsRune(" \t\r\n,:]}", rune(s.b[s.at])); s.at++ {
	}
	return string(s.b[start:s.at])
}
