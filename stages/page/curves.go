package page

import (
	"fmt"
	"html/template"
	"strings"
)

// Curves is lines over one pair of axes.
type Curves struct {
	Title string
	X, Y  string
	Lines []Line
}

// Line is one curve. X rises; points that are not finite are left out.
type Line struct {
	Name  string
	X, Y  []float64
	Style LineStyle
}

// LineStyle says how a curve is drawn.
type LineStyle int

// Plain is a line, Dotted marks each of its points too.
const (
	Plain LineStyle = iota
	Dotted
)

// maxPoints is how many points a curve draws: more cannot be told apart.
const maxPoints = 800

func (c Curves) html() (template.HTML, error) {
	first := true
	var x, y scale
	lines := make([]Line, len(c.Lines))
	for i, l := range c.Lines {
		if len(l.X) != len(l.Y) {
			return "", fmt.Errorf("curve %q has %d x and %d y", l.Name, len(l.X), len(l.Y))
		}
		l = finite(l)
		lines[i] = l
		for i := range l.X {
			if first {
				x.lo, x.hi, y.lo, y.hi, first = l.X[i], l.X[i], l.Y[i], l.Y[i], false
			}
			x.lo, x.hi = min(x.lo, l.X[i]), max(x.hi, l.X[i])
			y.lo, y.hi = min(y.lo, l.Y[i]), max(y.hi, l.Y[i])
		}
	}
	if first {
		return Text(c.Title + ": no points.").html()
	}
	yTicks, yEnd := niceTicks(y.lo, y.hi, 5)
	xTicks, _ := niceTicks(x.lo, x.hi, 6)
	y = scale{yTicks[0], yEnd, height - bottom, top}
	x.from, x.to = left, width-right
	var desc []string
	for _, l := range lines {
		if n := len(l.X); n > 0 {
			desc = append(desc, fmt.Sprintf("%s goes from %s at %s to %s at %s", l.Name, compact(l.Y[0]), compact(l.X[0]), compact(l.Y[n-1]), compact(l.X[n-1])))
		}
	}
	var s strings.Builder
	open(&s, c.Title, strings.Join(desc, "; ")+".")
	for _, t := range yTicks {
		grid(&s, y.at(t), compact(t))
	}
	for _, t := range xTicks {
		if t >= x.lo && t <= x.hi {
			label(&s, x.at(t), height-bottom+15, "middle", compact(t))
		}
	}
	for i, l := range lines {
		fmt.Fprintf(&s, `<polyline class="line s%d" points="`, i%5)
		stride := (len(l.X) + maxPoints - 1) / maxPoints
		for j := range l.X {
			if j%max(stride, 1) == 0 || j == len(l.X)-1 {
				fmt.Fprintf(&s, "%s,%s ", fixed(x.at(l.X[j]), 1), fixed(y.at(l.Y[j]), 1))
			}
		}
		s.WriteString(`"/>`)
		if l.Style == Dotted && len(l.X) <= 100 {
			for j := range l.X {
				fmt.Fprintf(&s, `<circle class="dot s%d" cx="%s" cy="%s" r="2.5"><title>%s: %s at %s</title></circle>`, i%5,
					fixed(x.at(l.X[j]), 1), fixed(y.at(l.Y[j]), 1), template.HTMLEscapeString(l.Name), trimZeros(fixed(l.Y[j], 4)), compact(l.X[j]))
			}
		}
	}
	axes(&s, c.X, c.Y)
	// The legend stands inside, at the top right: curves of losses fall. One curve is
	// named by the title.
	for i, l := range lines {
		if len(lines) == 1 {
			break
		}
		ly := float64(top + 10 + 16*i)
		fmt.Fprintf(&s, `<line class="line s%d" x1="%d" x2="%d" y1="%s" y2="%s"/>`, i%5, width-right-26, width-right-4, fixed(ly-4, 1), fixed(ly-4, 1))
		label(&s, width-right-32, ly, "end", l.Name)
	}
	s.WriteString("</svg></figure>")
	return template.HTML(s.String()), nil
}

func finite(l Line) Line {
	var x, y []float64
	for i := range l.X {
		if d := l.X[i] - l.X[i] + l.Y[i] - l.Y[i]; d == 0 { // of NaN and ±Inf it is NaN
			x, y = append(x, l.X[i]), append(y, l.Y[i])
		}
	}
	l.X, l.Y = x, y
	return l
}
