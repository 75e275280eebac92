package audit

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Issues names what costs a document points, in the report's order.
var Issues = []string{"short", "mojibake", "few-words", "few-stop-words", "too-many-stop-words", "poor-vocabulary",
	"fragments", "long-sentences", "markup", "english", "spanish"}

const (
	issueShort = iota
	issueMojibake
	issueFewWords
	issueFewStops
	issueManyStops
	issuePoor
	issueFragments
	issueLong
	issueMarkup
	issueEnglish
	issueSpanish
)

// passScore is the score from which the predecessor approved a document.
const passScore = 50

// Words are what stands between white space, in lower case, as the predecessor's lists
// between spaces had it.
var (
	stopWords = set("o a de que e do da em um para")
	enMarkers = set("the and is with for")
	esMarkers = set("y el los las una")
)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// documentScore gives a document 0 to 100 points as the predecessor's audit-corpus
// did, and the issues that cost it points as bits in the order of Issues. Under 500
// bytes, or with mojibake, it has 0. Else it starts at 100:
//
//	few-words            −20  under 50 words
//	few-stop-words       −40  stop words under 5 % of words
//	too-many-stop-words  −30  above 60 %
//	poor-vocabulary      −30  distinct words under 5 % of words
//	fragments            −20  under 4 words between . ! ?
//	long-sentences       −20  above 150
//	markup               −30  {[]}<>@#$%=|\ above 5 % of bytes
//	english              = 0  more English markers than stop words
//	spanish              −60  Spanish markers above half the stop words
func documentScore(text string, seen map[string]struct{}) (score int, issues uint16) {
	if len(text) < 500 {
		return 0, 1 << issueShort
	}
	for _, m := range []string{"Ã£", "Ã©", "Ã³"} {
		if strings.Contains(text, m) {
			return 0, 1 << issueMojibake
		}
	}
	clear(seen)
	var words, stops, en, es, symbols int
	sentences := 1
	eachField(text, func(w []byte) {
		words++
		switch {
		case stopWords[string(w)]:
			stops++
		case enMarkers[string(w)]:
			en++
		case esMarkers[string(w)]:
			es++
		}
		if _, ok := seen[string(w)]; !ok {
			seen[string(w)] = struct{}{}
		}
	})
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '.', '!', '?':
			sentences++
		case '{', '[', ']', '}', '<', '>', '@', '#', '$', '%', '=', '|', '\\':
			symbols++
		}
	}
	score = 100
	cost := func(points, issue int) {
		score -= points
		issues |= 1 << issue
	}
	n := max(words, 1)
	if words < 50 {
		cost(20, issueFewWords)
	}
	switch {
	case 100*stops < 5*n:
		cost(40, issueFewStops)
	case 100*stops > 60*n:
		cost(30, issueManyStops)
	}
	if 100*len(seen) < 5*n {
		cost(30, issuePoor)
	}
	switch {
	case words < 4*sentences:
		cost(20, issueFragments)
	case words > 150*sentences:
		cost(20, issueLong)
	}
	if 100*symbols > 5*len(text) {
		cost(30, issueMarkup)
	}
	if en > stops {
		cost(100, issueEnglish)
	}
	if 2*es > stops {
		cost(60, issueSpanish)
	}
	return max(score, 0), issues
}

// eachField calls f with each run of anything but white space, in lower case. The
// slice is reused.
func eachField(s string, f func([]byte)) {
	var w []byte
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == ' ' || c >= '\t' && c <= '\r':
				if len(w) > 0 {
					f(w)
					w = w[:0]
				}
			case c >= 'A' && c <= 'Z':
				w = append(w, c|0x20)
			default:
				w = append(w, c)
			}
			continue
		}
		r, k := utf8.DecodeRuneInString(s[i:])
		i += k
		if unicode.IsSpace(r) {
			if len(w) > 0 {
				f(w)
				w = w[:0]
			}
			continue
		}
		w = utf8.AppendRune(w, unicode.ToLower(r))
	}
	if len(w) > 0 {
		f(w)
	}
}
