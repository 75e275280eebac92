package audit

import (
	"unicode"
	"unicode/utf8"
)

// words holds the words of one line: runs of letters, marks and digits, hyphens and
// apostrophes between them included, in lower case.
type words struct {
	buf        []byte // the words, one space between two
	start, end []int  // of each in buf
	runes      []int  // length of each in characters
}

// split takes the words of a line.
func (w *words) split(line string) {
	w.buf, w.start, w.end, w.runes = w.buf[:0], w.start[:0], w.end[:0], w.runes[:0]
	in := false
	n := 0
	var joint byte // a hyphen or apostrophe that is part of the word if a letter follows
	stop := func() {
		if in {
			w.end = append(w.end, len(w.buf))
			w.runes = append(w.runes, n)
		}
		in, joint = false, 0
	}
	for i := 0; i < len(line); {
		r, k := rune(line[i]), 1
		if r >= utf8.RuneSelf {
			r, k = utf8.DecodeRuneInString(line[i:])
		}
		i += k
		switch {
		case r < utf8.RuneSelf && (r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9'),
			r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r)):
			if !in {
				if len(w.buf) > 0 {
					w.buf = append(w.buf, ' ')
				}
				w.start = append(w.start, len(w.buf))
				in, n = true, 0
			} else if joint != 0 {
				w.buf = append(w.buf, joint)
				n++
			}
			joint = 0
			n++
			switch {
			case r >= 'A' && r <= 'Z':
				w.buf = append(w.buf, byte(r)|0x20)
			case r < utf8.RuneSelf:
				w.buf = append(w.buf, byte(r))
			default:
				w.buf = utf8.AppendRune(w.buf, unicode.ToLower(r))
			}
		case in && joint == 0 && (r == '-' || r == '\''):
			joint = byte(r)
		default:
			stop()
		}
	}
	stop()
}

func (w *words) len() int          { return len(w.end) }
func (w *words) word(i int) []byte { return w.buf[w.start[i]:w.end[i]] }

// gram is the n words from i on with one space between two.
func (w *words) gram(i, n int) []byte { return w.buf[w.start[i]:w.end[i+n-1]] }
