package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// Colours of the terminal, by what they mean here.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	dim    = "2"
)

// coloured says whether stdout takes colours: it is a terminal and NO_COLOR is not set.
var coloured = isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// columns is the width of the terminal on stdout, or 0 where there is none.
var columns = func() int {
	if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		return w
	}
	return 0
}()

func paint(code, s string) string {
	if !coloured || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// table is rows of text in aligned columns. On a terminal the last one is cut at the edge.
type table struct {
	rows     [][]string
	rightish map[int]bool
}

func newTable(head ...string) *table { return &table{rows: [][]string{head}, rightish: map[int]bool{}} }

// right aligns columns to the right.
func (t *table) right(cols ...int) *table {
	for _, c := range cols {
		t.rightish[c] = true
	}
	return t
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer) {
	width := make([]int, len(t.rows[0]))
	for _, r := range t.rows {
		for i, c := range r {
			width[i] = max(width[i], shownWidth(c))
		}
	}
	for n, r := range t.rows {
		var b strings.Builder
		used := 0
		for i, c := range r {
			if width[i] == 0 {
				continue
			}
			if i == len(r)-1 && columns > 0 {
				c = runewidth.Truncate(c, max(columns-used-2, 8), "…")
				width[i] = max(shownWidth(c), 1)
			}
			used += width[i] + 2
			pad := strings.Repeat(" ", max(width[i]-shownWidth(c), 0))
			if n == 0 {
				c = paint(dim, c)
			}
			if t.rightish[i] {
				c = pad + c
			} else {
				c += pad
			}
			if b.Len() > 0 {
				b.WriteString("  ")
			}
			b.WriteString(c)
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// shownWidth is the columns a string takes on the screen, colours not counted.
func shownWidth(s string) int {
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return runewidth.StringWidth(s)
		}
		j := strings.IndexByte(s[i:], 'm')
		s = s[:i] + s[i+j+1:]
	}
}

// duration shows seconds as people say them: "0.4 s", "12 s", "3 min 05 s", "2 h 10 min".
func duration(s float64) string {
	switch {
	case s < 10:
		return fmt.Sprintf("%.1f s", s)
	case s < 60:
		return fmt.Sprintf("%.0f s", s)
	}
	d := time.Duration(math.Round(s)) * time.Second
	if d < time.Hour {
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
}

// size shows bytes: "812 B", "3.4 MiB".
func size(n int64) string {
	x, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for _, u := range units {
		if x < 1024 || u == "TiB" {
			if u == "B" {
				return fmt.Sprintf("%d B", n)
			}
			return fmt.Sprintf("%.1f %s", x, u)
		}
		x /= 1024
	}
	return ""
}

// count shows a number with thin groups of three: 1 234 567.
func count(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// parts counts parts in words: "1 part", "12 parts".
func parts(n int) string {
	if n == 1 {
		return "1 part"
	}
	return fmt.Sprintf("%d parts", n)
}
