package page

import (
	"html/template"
	"strconv"
	"strings"
)

// Table is rows under named columns; the first cell of a row names it.
type Table struct {
	Caption string
	Columns []Column
	Rows    [][]Cell
	Note    string
}

// Column is a column of a table.
type Column struct {
	Name   string
	Number bool   // aligned to the right
	Doc    string // shown when pointed at
}

// Cell is one cell of a table.
type Cell struct {
	Text       string
	Bar        float64 // share of a bar drawn below the text, 0 to 1
	HasBar     bool
	Verdict    Verdict
	Mono       bool // code, drawn letter by letter
	Portuguese bool // text of the corpus
	Wide       bool // running text: the column keeps room for it
}

func (t Table) html() (template.HTML, error) { return execute("table", t) }

// Class gives the class attribute of a cell in column i.
func (t Table) Class(i int, c Cell) template.HTMLAttr {
	var class []string
	if i < len(t.Columns) && t.Columns[i].Number {
		class = append(class, "n")
	}
	if c.Wide {
		class = append(class, "wide")
	}
	if len(class) == 0 {
		return ""
	}
	return template.HTMLAttr(` class="` + strings.Join(class, " ") + `"`)
}

// Col makes a column of words, Num one of figures.
func Col(name string) Column { return Column{Name: name} }

// Num makes a column of figures; doc says what they are.
func Num(name, doc string) Column { return Column{Name: name, Number: true, Doc: doc} }

// Words makes a cell of plain words.
func Words(s string) Cell { return Cell{Text: s} }

// Code makes a cell of literal text.
func Code(s string) Cell { return Cell{Text: s, Mono: true} }

// Quote makes a cell of text from the corpus.
func Quote(s string) Cell { return Cell{Text: s, Portuguese: true, Wide: true} }

// Badge makes a cell with a verdict.
func Badge(s string, v Verdict) Cell { return Cell{Text: s, Verdict: v} }

// Figure makes a cell of a figure that is already written out.
func Figure(s string) Cell { return Cell{Text: s} }

// Share makes a cell with a bar of x, 0 to 1, below the text.
func Share(s string, x float64) Cell { return Cell{Text: s, Bar: x, HasBar: true} }

// Integer writes n with commas between groups of three digits.
func Integer(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Decimal writes x with so many digits after the point, and commas before it.
func Decimal(x float64, digits int) string {
	s := fixed(x, digits)
	whole, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return s // not a number, or beyond integers
	}
	w := Integer(n)
	if n == 0 && strings.HasPrefix(whole, "-") {
		w = "-0"
	}
	if frac == "" {
		return w
	}
	return w + "." + frac
}

// Percent writes a share as a percentage with one digit after the point.
func Percent(x float64) string { return Decimal(100*x, 1) + " %" }

// Bytes writes a size in B, KiB, MiB or GiB.
func Bytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	x, u := float64(n), 0
	for x >= 1024 && u < len(units)-1 {
		x /= 1024
		u++
	}
	if u == 0 {
		return Integer(n) + " B"
	}
	return Decimal(x, 1) + " " + units[u]
}

func fixed(x float64, digits int) string { return strconv.FormatFloat(x, 'f', digits, 64) }
