package draw

import (
	"fmt"
	"html"
	"sort"
	"strings"
)

// Sizes of the drawing, in pixels.
const (
	boxHeight  = 40
	laneHeight = 8 // of a line that passes between boxes
	gap        = 14
	layerGap   = 64
	charWidth  = 7.2 // of the 12 px font, on the wide side
	margin     = 16
)

// place is a box in the drawing, or a point where a long line passes a layer.
type place struct {
	v      *vertex // nil: a line passes
	above  []*place
	centre float64 // mean height of what stands to the left, as a share of the drawing
	x, y   float64 // of the left end, of the middle
	w, h   float64
}

// line is one connection: from a box over passing points to a box.
type line struct {
	label string
	via   []*place
}

// drawSVG lays the graph out in layers from left to right: sources at the left, each
// stage right of all it reads. A line over several layers has a lane of its own in each
// (the dummy vertices of Sugiyama's method), so that it passes boxes instead of crossing
// them; within a layer all are ordered by the mean height of what they come from. Lines
// that leave one box for the same layer and box share their lanes.
func drawSVG(b *strings.Builder, name string, vs []*vertex) {
	layers, lines := layOut(vs)
	x, height := float64(margin), 0.0
	for _, l := range layers {
		w, h := 0.0, 0.0
		for _, p := range l {
			w = max(w, p.w)
			h += p.h + gap
		}
		for _, p := range l {
			p.x, p.w = x, w
		}
		x += w + layerGap
		height = max(height, h-gap)
	}
	width := x - layerGap + margin
	for i, l := range layers {
		if i > 0 {
			order(l, height)
		}
		h := -float64(gap)
		for _, p := range l {
			h += p.h + gap
		}
		y := margin + (height-h)/2
		for _, p := range l {
			p.y = y + p.h/2
			y += p.h + gap
		}
	}
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" font-family="sans-serif" font-size="12" role="img">`+"\n",
		width, height+2*margin, width, height+2*margin)
	fmt.Fprintf(b, "<title>pipeline %s</title>\n", html.EscapeString(name))
	b.WriteString(`<style>
 rect, path { fill: #fff; stroke: #4a6785; stroke-width: 1.2 }
 .source { fill: #eef3f8 } path { fill: none; stroke: #9db0c4 } text { fill: #1d2a38 } .kind { fill: #63788f; font-size: 11px }
 @media (prefers-color-scheme: dark) { rect { fill: #18222d } .source { fill: #22303e } text { fill: #e4ecf4 } .kind { fill: #a7b8ca } }
</style>
`)
	for _, l := range lines {
		drawLine(b, l)
	}
	for _, l := range layers {
		for _, p := range l {
			if p.v != nil {
				drawBox(b, p)
			}
		}
	}
	b.WriteString("</svg>\n")
}

// layOut makes the places of all vertices and the lanes of all long lines, by layer.
func layOut(vs []*vertex) (layers [][]*place, lines []line) {
	at := map[*vertex]*place{}
	add := func(layer int, p *place) {
		for len(layers) <= layer {
			layers = append(layers, nil)
		}
		layers[layer] = append(layers[layer], p)
	}
	for _, v := range vs {
		p := &place{v: v, h: boxHeight}
		for _, t := range strings.Split(v.title("\n"), "\n") {
			p.w = max(p.w, charWidth*float64(len([]rune(t)))+24)
		}
		at[v] = p
		add(v.layer, p)
	}
	lanes := map[[2]*vertex][]*place{}
	for _, v := range vs {
		for _, e := range v.in {
			between := lanes[[2]*vertex{e.from, v}]
			if between == nil && e.from.layer+1 < v.layer {
				for layer := e.from.layer + 1; layer < v.layer; layer++ {
					lane := &place{h: laneHeight}
					add(layer, lane)
					between = append(between, lane)
				}
				lanes[[2]*vertex{e.from, v}] = between
			}
			via := append(append([]*place{at[e.from]}, between...), at[v])
			for i, p := range via[1:] {
				p.above = append(p.above, via[i])
			}
			lines = append(lines, line{e.label() + " → " + v.name, via})
		}
	}
	return layers, lines
}

// order sorts a layer by the mean height of what each place comes from.
func order(l []*place, height float64) {
	for _, p := range l {
		p.centre = 0
		for _, a := range p.above {
			p.centre += a.y / height / float64(len(p.above))
		}
	}
	sort.SliceStable(l, func(i, j int) bool { return l[i].centre < l[j].centre })
}

func drawLine(b *strings.Builder, l line) {
	from := l.via[0]
	fmt.Fprintf(b, `<path d="M%.1f %.1f`, from.x+from.w, from.y)
	x, y := from.x+from.w, from.y
	for i, p := range l.via[1:] {
		m := (p.x - x) / 2
		fmt.Fprintf(b, "C%.1f %.1f %.1f %.1f %.1f %.1f", x+m, y, p.x-m, p.y, p.x, p.y)
		if x, y = p.x, p.y; i+2 < len(l.via) {
			x += p.w
			fmt.Fprintf(b, "L%.1f %.1f", x, y)
		}
	}
	fmt.Fprintf(b, `"><title>%s</title></path>`+"\n", html.EscapeString(l.label))
}

func drawBox(b *strings.Builder, p *place) {
	class := "stage"
	if p.v.kind == "" {
		class = "source"
	}
	y := p.y - p.h/2
	fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.0f" rx="6"/>`+"\n", class, p.x, y, p.w, p.h)
	lines := strings.Split(p.v.title("\n"), "\n")
	base := p.y + 4
	if len(lines) == 2 {
		base -= 8
		fmt.Fprintf(b, `<text class="kind" x="%.1f" y="%.1f">%s</text>`+"\n", p.x+12, base+15, html.EscapeString(lines[1]))
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f">%s</text>`+"\n", p.x+12, base, html.EscapeString(lines[0]))
}
