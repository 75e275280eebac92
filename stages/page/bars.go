package page

import (
	"cmp"
	"fmt"
	"html/template"
	"strings"
)

// Bars is a histogram: one column a bin.
type Bars struct {
	Title string
	X, Y  string // what the axes count
	Bins  []Bin
}

// Bin is one column of a histogram.
type Bin struct {
	Label string // below the column, where there is room
	Range string // shown when pointed at; empty: the label
	Count int64
}

// The drawing's size in user units; it scales to the page's width.
const (
	width  = 640
	height = 240
	left   = 64
	right  = 12
	top    = 12
	bottom = 44
)

func (b Bars) html() (template.HTML, error) {
	var peak, total int64
	peakAt := ""
	for _, x := range b.Bins {
		total += x.Count
		if x.Count > peak {
			peak, peakAt = x.Count, cmp.Or(x.Range, x.Label)
		}
	}
	if total == 0 {
		return Text(b.Title + ": nothing to count.").html()
	}
	var s strings.Builder
	desc := fmt.Sprintf("%s %s in %d bins; the fullest, %s, holds %s.", Integer(total), b.Y, len(b.Bins), peakAt, Integer(peak))
	open(&s, b.Title, desc)
	ticks, limit := niceTicks(0, float64(peak), 4)
	y := scale{0, limit, height - bottom, top}
	for _, t := range ticks {
		grid(&s, y.at(t), compact(t))
	}
	step := float64(width-left-right) / float64(len(b.Bins))
	every := (len(b.Bins) + 11) / 12 // as many labels as fit beside each other
	for i, x := range b.Bins {
		x0 := left + float64(float64(i)*step)
		y0 := y.at(float64(x.Count))
		if x.Count > 0 {
			y0 = min(y0, height-bottom-1) // one document in a million still shows
		}
		fmt.Fprintf(&s, `<rect class="col" x="%s" y="%s" width="%s" height="%s"><title>%s: %s</title></rect>`,
			fixed(x0+0.5, 1), fixed(y0, 1), fixed(max(step-1, 0.5), 1), fixed(height-bottom-y0, 1),
			template.HTMLEscapeString(cmp.Or(x.Range, x.Label)), Integer(x.Count))
		if i%every == 0 {
			label(&s, x0+float64(step*0.5), height-bottom+15, "middle", x.Label)
		}
	}
	axes(&s, b.X, b.Y)
	s.WriteString("</svg></figure>")
	return template.HTML(s.String()), nil
}

// Pair is drawings beside each other where the screen is wide enough.
type Pair []Block

func (p Pair) html() (template.HTML, error) {
	s := `<div class="pair">`
	for _, b := range p {
		h, err := b.html()
		if err != nil {
			return "", err
		}
		s += string(h)
	}
	return template.HTML(s + "</div>"), nil
}

func open(s *strings.Builder, title, desc string) {
	fmt.Fprintf(s, `<figure><figcaption>%s</figcaption><svg viewBox="0 0 %d %d" role="img" aria-label="%s. %s">`,
		template.HTMLEscapeString(title), width, height, template.HTMLEscapeString(title), template.HTMLEscapeString(desc))
}

func label(s *strings.Builder, x, y float64, anchor, text string) {
	fmt.Fprintf(s, `<text x="%s" y="%s" text-anchor="%s">%s</text>`, fixed(x, 1), fixed(y, 1), anchor, template.HTMLEscapeString(text))
}

func grid(s *strings.Builder, y float64, text string) {
	fmt.Fprintf(s, `<line class="grid" x1="%d" x2="%d" y1="%s" y2="%s"/>`, left, width-right, fixed(y, 1), fixed(y, 1))
	label(s, left-6, y+4, "end", text)
}

func axes(s *strings.Builder, x, y string) {
	fmt.Fprintf(s, `<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>`, left, width-right, height-bottom, height-bottom)
	label(s, float64(left+width-right)/2, height-6, "middle", x)
	fmt.Fprintf(s, `<text transform="translate(13 %d) rotate(-90)" text-anchor="middle">%s</text>`, (top+height-bottom)/2, template.HTMLEscapeString(y))
}

// scale maps [lo, hi] to [from, to].
type scale struct{ lo, hi, from, to float64 }

func (s scale) at(x float64) float64 {
	if s.hi == s.lo {
		return s.from
	}
	return s.from + float64((x-s.lo)/(s.hi-s.lo)*(s.to-s.from))
}

// niceTicks gives about n ticks at multiples of 1, 2 or 5 × 10^k that cover lo to hi,
// and the last of them.
func niceTicks(lo, hi float64, n int) ([]float64, float64) {
	if !(hi > lo) {
		hi = lo + 1
	}
	unit := 1.0
	for unit*10 <= (hi-lo)/float64(n) {
		unit *= 10
	}
	for unit > (hi-lo)/float64(n) {
		unit /= 10
	}
	step := unit
	for _, m := range []float64{1, 2, 5, 10} {
		if step = unit * m; step >= (hi-lo)/float64(n) {
			break
		}
	}
	first := int64(lo / step)
	if float64(first)*step > lo {
		first--
	}
	var ticks []float64
	for i := first; ; i++ {
		t := float64(i) * step
		ticks = append(ticks, t)
		if t >= hi {
			return ticks, t
		}
	}
}

// compact writes an axis label in few letters: 1.5k, 20M, 0.25.
func compact(x float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if x >= u.size || -x >= u.size {
			return trimZeros(fixed(x/u.size, 2)) + u.name
		}
	}
	return trimZeros(fixed(x, 4))
}

func trimZeros(s string) string {
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}
