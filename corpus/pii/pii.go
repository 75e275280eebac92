// Package pii finds personal data in Brazilian text by its form: CPF and CNPJ with
// their check digits, CEP, telephone numbers, e-mail and IPv4 addresses. Names and
// street addresses have no form and are not found.
package pii

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is a kind of personal data.
type Kind string

// The kinds, in the order in which they are tried.
const (
	CNPJ  Kind = "cnpj"
	CPF   Kind = "cpf"
	Phone Kind = "phone"
	CEP   Kind = "cep"
	IPv4  Kind = "ipv4"
	Email Kind = "email"
)

// Kinds lists them all.
var Kinds = []Kind{CNPJ, CPF, Phone, CEP, IPv4, Email}

// Match is one find: s[Start:End].
type Match struct {
	Kind       Kind
	Start, End int
}

// Find returns the matches in s, in order, none inside another.
func Find(s string) []Match {
	var m []Match
	last := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '@':
			if start, end, ok := email(s, i, last); ok {
				m = append(m, Match{Email, start, end})
				i, last = end-1, end
			}
		case c >= '0' && c <= '9' || c == '(' || c == '+' || c >= 'A' && c <= 'Z':
			if i < last || !begins(s, i) {
				continue
			}
			for _, f := range finders {
				if end := f.match(s, i); end > 0 && ends(s, end) {
					m = append(m, Match{f.kind, i, end})
					i, last = end-1, end
					break
				}
			}
		}
	}
	sort.SliceStable(m, func(i, j int) bool { return m[i].Start < m[j].Start })
	return m
}

// Mask returns s with every match replaced by its kind: [CPF].
func Mask(s string, m []Match) string {
	var b strings.Builder
	last := 0
	for _, x := range m {
		b.WriteString(s[last:x.Start])
		b.WriteString("[" + strings.ToUpper(string(x.Kind)) + "]")
		last = x.End
	}
	b.WriteString(s[last:])
	return b.String()
}

var finders = []struct {
	kind  Kind
	match func(s string, i int) (end int) // 0: none at i
}{
	{CNPJ, cnpj}, {CPF, cpf}, {Phone, phone}, {CEP, cep}, {IPv4, ipv4},
}

// begins says whether a number or code can begin at i: not inside a word or number.
func begins(s string, i int) bool {
	r, n := utf8.DecodeLastRuneInString(s[:i])
	if unicode.IsLetter(r) || unicode.IsDigit(r) {
		return false
	}
	if i > n && (r == '.' || r == ',' || r == '-' || r == '/' || r == ':') {
		b := s[i-n-1]
		return b < '0' || b > '9'
	}
	return true
}

// ends says whether it can end before i.
func ends(s string, i int) bool {
	r, n := utf8.DecodeRuneInString(s[i:])
	if unicode.IsLetter(r) || unicode.IsDigit(r) {
		return false
	}
	if i+n < len(s) && (r == '.' || r == ',' || r == '-' || r == '/') {
		b := s[i+n]
		return b < '0' || b > '9'
	}
	return true
}

// shape matches a pattern at i: 0 is a digit, X a digit or capital, anything else itself.
func shape(s string, i int, pattern string) (end int, ok bool) {
	if len(s)-i < len(pattern) {
		return 0, false
	}
	for k := 0; k < len(pattern); k++ {
		c := s[i+k]
		switch p := pattern[k]; {
		case p == '0' && c >= '0' && c <= '9':
		case p == 'X' && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z'):
		case p != '0' && p != 'X' && p == c:
		default:
			return 0, false
		}
	}
	return i + len(pattern), true
}

// said says whether a word stands shortly before i.
func said(s string, i int, words ...string) bool {
	before := strings.ToLower(s[max(0, i-24):i])
	for _, w := range words {
		if strings.Contains(before, w) {
			return true
		}
	}
	return false
}

// cpf: 000.000.000-00, or eleven digits after the word CPF; two check digits, each the
// sum of the digits before it by weights that fall to 2, modulo 11.
func cpf(s string, i int) int {
	end, ok := shape(s, i, "000.000.000-00")
	if !ok {
		if end, ok = shape(s, i, "00000000000"); !ok || !said(s, i, "cpf") {
			if end, ok = shape(s, i, "000000000-00"); !ok {
				return 0
			}
		}
	}
	if checks(values(s[i:end]), 11, 11) {
		return end
	}
	return 0
}

// cnpj: 00.000.000/0000-00, or fourteen digits after the word; since 2026 the first
// twelve places may hold capitals, worth their ASCII code less 48 (IN RFB 2.229/2024).
func cnpj(s string, i int) int {
	end, ok := shape(s, i, "XX.XXX.XXX/XXXX-00")
	if !ok {
		if end, ok = shape(s, i, "XXXXXXXXXXXX00"); !ok || !said(s, i, "cnpj") {
			return 0
		}
	}
	if checks(values(s[i:end]), 14, 9) {
		return end
	}
	return 0
}

func values(s string) (v []int) {
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' {
			v = append(v, int(c)-48)
		}
	}
	return v
}

// checks tests the last two of n values; weights run from 2 to top, from the right,
// and begin again.
func checks(v []int, n, top int) bool {
	if len(v) != n {
		return false
	}
	same := true
	for _, x := range v {
		same = same && x == v[0]
	}
	if same {
		return false
	}
	for k := n - 2; k < n; k++ {
		sum := 0
		for i := range k {
			sum += v[i] * (2 + (k-1-i)%(top-1))
		}
		d := 11 - sum%11
		if d > 9 {
			d = 0
		}
		if v[k] != d {
			return false
		}
	}
	return true
}

// cep: 00000-000 or 00.000-000; eight digits after the word CEP.
func cep(s string, i int) int {
	for _, p := range []string{"00000-000", "00.000-000"} {
		if end, ok := shape(s, i, p); ok {
			return end
		}
	}
	if end, ok := shape(s, i, "00000000"); ok && said(s, i, "cep") {
		return end
	}
	return 0
}

// areas are the area codes in use, by their first digit.
var areas = [10]string{1: "123456789", 2: "12478", 3: "1234578", 4: "123456789", 5: "1345", 6: "123456789", 7: "134579", 8: "123456789", 9: "123456789"}

// phone: an area code in parentheses or after +55, then eight digits or nine that begin
// with 9; 0800 numbers; and without an area code only after a word that says telephone.
func phone(s string, i int) int {
	if end, ok := shape(s, i, "0800 000 0000"); ok && s[i:i+4] == "0800" {
		return end
	}
	j := i
	country := strings.HasPrefix(s[j:], "+55")
	if country {
		j = space(s, j+3)
	}
	open := j < len(s) && s[j] == '('
	if open {
		j++
	}
	if country || open {
		if j < len(s) && s[j] == '0' {
			j++
		}
		if j+2 > len(s) || s[j] < '1' || s[j] > '9' || !strings.Contains(areas[s[j]-'0'], s[j+1:j+2]) {
			return 0
		}
		j += 2
		if open {
			if j >= len(s) || s[j] != ')' {
				return 0
			}
			j++
		}
		j = space(s, j)
	} else if !said(s, i, "tel", "fone", "celular", "whats", "fax", "ramal") {
		return 0
	}
	for _, p := range []string{"00000-0000", "00000 0000", "0 0000-0000", "000000000", "0000-0000", "0000 0000", "0000.0000", "00000000"} {
		end, ok := shape(s, j, p)
		if !ok || !ends(s, end) {
			continue
		}
		nine := len(values(s[j:end])) == 9
		if nine == (s[j] == '9') || !nine && s[j] >= '2' {
			return end
		}
	}
	return 0
}

func space(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '-') {
		i++
	}
	return i
}

// ipv4: four numbers up to 255, without leading zeros. A word that speaks of versions
// or sections before it makes it something else.
func ipv4(s string, i int) int {
	j := i
	for k := range 4 {
		n, from := 0, j
		for j < len(s) && j < from+3 && s[j] >= '0' && s[j] <= '9' {
			n = 10*n + int(s[j]-'0')
			j++
		}
		if j == from || n > 255 || s[from] == '0' && j > from+1 {
			return 0
		}
		if k < 3 {
			if j >= len(s) || s[j] != '.' {
				return 0
			}
			j++
		}
	}
	if said(s, i, "vers", "seção", "item", "cap", "art", "build", "firmware") {
		return 0
	}
	return j
}

// email finds the address around the @ at i, beginning no earlier than from.
func email(s string, i, from int) (start, end int, ok bool) {
	start = i
	for start > from && (isAtom(s[start-1]) || s[start-1] == '.') {
		start--
	}
	for start < i && s[start] == '.' {
		start++
	}
	end = i + 1
	dot := 0
	for end < len(s) && (isHost(s[end]) || s[end] == '.' && end+1 < len(s) && isHost(s[end+1])) {
		if s[end] == '.' {
			dot = end
		}
		end++
	}
	if start == i || s[i-1] == '.' || dot == 0 || dot == i+1 || end-dot < 3 || i-start > 64 || end-i > 254 {
		return 0, 0, false
	}
	for _, c := range []byte(s[dot+1 : end]) {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return 0, 0, false
		}
	}
	return start, end, true
}

func isHost(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-'
}

func isAtom(c byte) bool {
	return isHost(c) || strings.IndexByte("!#$%&'*+/=?^_`{|}~", c) >= 0
}
