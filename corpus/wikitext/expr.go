package wikitext

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// evaluate computes an expression of {{#expr:}}: + - * / div mod ^ round, comparisons,
// and, or, not, parentheses and the functions of one argument. Truth is 1 and 0.
// (https://www.mediawiki.org/wiki/Help:Extension:ParserFunctions##expr)
func evaluate(s string) (float64, error) {
	if len(s) > 1000 {
		return 0, errors.New("expression is longer than 1000 bytes")
	}
	e := &expr{s: strings.ToLower(strings.ReplaceAll(s, "−", "-"))}
	x, err := e.binary(0)
	if err != nil {
		return 0, err
	}
	if e.space(); e.i < len(e.s) {
		return 0, fmt.Errorf("unexpected %q", e.s[e.i:])
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, errors.New("not a number")
	}
	return x, nil
}

// formatNumber writes a result with at most 14 digits, as MediaWiki does.
func formatNumber(x float64) string {
	if x == 0 {
		return "0"
	}
	if a := math.Abs(x); a >= 1e15 || a < 1e-4 {
		return strings.ToUpper(strconv.FormatFloat(x, 'g', 14, 64))
	}
	f, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 14, 64), 64)
	if err != nil {
		f = x
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

type expr struct {
	s     string
	i     int
	depth int
}

// levels lists the binary operators from the loosest to the tightest; the longer of
// two that begin alike stands first.
var levels = [][]string{
	{"or"},
	{"and"},
	{"!=", "<>", ">=", "<=", "=", "<", ">"},
	{"round"},
	{"+", "-"},
	{"*", "/", "div", "mod", "fmod"},
	{"^"},
}

func (e *expr) space() {
	for e.i < len(e.s) && strings.IndexByte(" \t\n", e.s[e.i]) >= 0 {
		e.i++
	}
}

// take consumes one of the words.
func (e *expr) take(words []string) string {
	e.space()
	for _, w := range words {
		if !strings.HasPrefix(e.s[e.i:], w) {
			continue
		}
		if end := e.i + len(w); isLetter(w[0]) && end < len(e.s) && isLetter(e.s[end]) {
			continue
		}
		e.i += len(w)
		return w
	}
	return ""
}

func (e *expr) binary(level int) (float64, error) {
	if level == len(levels) {
		return e.unary()
	}
	x, err := e.binary(level + 1)
	for err == nil {
		op := e.take(levels[level])
		if op == "" {
			return x, nil
		}
		var y float64
		if y, err = e.binary(level + 1); err == nil {
			x, err = apply(op, x, y)
		}
	}
	return 0, err
}

func apply(op string, x, y float64) (float64, error) {
	truth := func(b bool) (float64, error) {
		if b {
			return 1, nil
		}
		return 0, nil
	}
	switch op {
	case "or":
		return truth(x != 0 || y != 0)
	case "and":
		return truth(x != 0 && y != 0)
	case "!=", "<>":
		return truth(x != y)
	case ">=":
		return truth(x >= y)
	case "<=":
		return truth(x <= y)
	case "=":
		return truth(x == y)
	case "<":
		return truth(x < y)
	case ">":
		return truth(x > y)
	case "round":
		if math.Abs(y) > 15 {
			return x, nil
		}
		p := math.Pow(10, math.Trunc(y))
		return float64(math.Round(float64(x*p))) / p, nil
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return float64(x * y), nil
	case "^":
		return math.Pow(x, y), nil
	}
	if y == 0 {
		return 0, errors.New("division by zero")
	}
	switch op {
	case "mod":
		if math.Trunc(y) == 0 {
			return 0, errors.New("division by zero")
		}
		return math.Mod(math.Trunc(x), math.Trunc(y)), nil
	case "fmod":
		return math.Mod(x, y), nil
	}
	return x / y, nil
}

var functions = map[string]func(float64) float64{
	"abs": math.Abs, "floor": math.Floor, "ceil": math.Ceil, "trunc": math.Trunc, "sqrt": math.Sqrt,
	"not": func(x float64) float64 {
		if x == 0 {
			return 1
		}
		return 0
	},
}

var functionNames = []string{"abs", "floor", "ceil", "trunc", "sqrt", "not"}

func (e *expr) unary() (float64, error) {
	if e.depth++; e.depth > 100 {
		return 0, errors.New("nested too deep")
	}
	defer func() { e.depth-- }()
	if f := e.take(functionNames); f != "" {
		x, err := e.unary()
		return functions[f](x), err
	}
	switch e.take([]string{"+", "-", "("}) {
	case "+":
		return e.unary()
	case "-":
		x, err := e.unary()
		return -x, err
	case "(":
		x, err := e.binary(0)
		if err == nil && e.take([]string{")"}) == "" {
			err = errors.New("no ) for a (")
		}
		return x, err
	}
	start := e.i
	for e.i < len(e.s) && (e.s[e.i] >= '0' && e.s[e.i] <= '9' || e.s[e.i] == '.') {
		e.i++
	}
	if e.i > start && e.i < len(e.s) && e.s[e.i] == 'e' { // 1e6
		j := e.i + 1
		if j < len(e.s) && (e.s[j] == '-' || e.s[j] == '+') {
			j++
		}
		for ; j < len(e.s) && e.s[j] >= '0' && e.s[j] <= '9'; j++ {
			e.i = j + 1
		}
	}
	x, err := strconv.ParseFloat(e.s[start:e.i], 64)
	if err != nil {
		return 0, fmt.Errorf("no number at %q", e.s[start:min(len(e.s), start+10)])
	}
	return x, nil
}
