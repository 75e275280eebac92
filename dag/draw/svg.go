package draw

import (
	"fmt"
	"html"
	"sort"
	"strings"
)

// Sizes of the drawing, in pixels.
const (
	boxHeight = 40
	boxGap    = 16
	layerGap  = 72
	charWidth = 7.2 // of the 12 px font, on the wide side
	margin    = 16
)

// drawSVG lays the graph out in layers from left to right: sources at the left, each
// stage right of all it reads. Within a layer the vertices are ordered by the mean
// place of what they read (Sugiyama's barycentre rule), which keeps lines short.
func drawSVG(b *strings.Builder, name string, vs []*vertex) {
	layers := layered(vs)
	x := make([]float64, len(layers))
	w := make([]float64, len(layers))
	at, height := float64(margin), 0.0
	for i, l := range layers {
		x[i] = at
		for _, v := range l {
			for _, line := range strings.Split(v.title("\n"), "\n") {
				w[i] = max(w[i], charWidth*float64(len([]rune(line)))+24)
			}
		}
		at += w[i] + layerGap
		height = max(height, float64(len(l))*(boxHeight+boxGap)-boxGap)
	}
	width := at - layerGap + margin
	top := func(v *vertex) float64 {
		n := float64(len(layers[v.layer]))
		free := height - (n*(boxHeight+boxGap) - boxGap)
		return margin + free/2 + float64(v.row)*(boxHeight+boxGap)
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
	for _, v := range vs {
		for _, e := range v.in {
			x0, y0 := x[e.from.layer]+w[e.from.layer], top(e.from)+boxHeight/2
			x1, y1 := x[v.layer], top(v)+boxHeight/2
			m := (x1 - x0) / 2
			fmt.Fprintf(b, `<path d="M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f"><title>%s → %s</title></path>`+"\n",
				x0, y0, x0+m, y0, x1-m, y1, x1, y1, html.EscapeString(e.label()), html.EscapeString(v.name))
		}
	}
	for _, v := range vs {
		class := "stage"
		if v.kind == "" {
			class = "source"
		}
		y := top(v)
		fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="6"/>`+"\n", class, x[v.layer], y, w[v.layer], boxHeight)
		lines := strings.Split(v.title("\n"), "\n")
		base := y + boxHeight/2 + 4
		if len(lines) == 2 {
			base -= 8
			fmt.Fprintf(b, `<text class="kind" x="%.1f" y="%.1f">%s</text>`+"\n", x[v.layer]+12, base+15, html.EscapeString(lines[1]))
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f">%s</text>`+"\n", x[v.layer]+12, base, html.EscapeString(lines[0]))
	}
	b.WriteString("</svg>\n")
}

func layered(vs []*vertex) [][]*vertex {
	var layers [][]*vertex
	for _, v := range vs {
		for len(layers) <= v.layer {
			layers = append(layers, nil)
		}
		layers[v.layer] = append(layers[v.layer], v)
	}
	for _, l := range layers {
		centre := map[*vertex]float64{}
		for _, v := range l {
			for _, e := range v.in {
				centre[v] += float64(e.from.row) / float64(len(layers[e.from.layer])) / float64(len(v.in))
			}
		}
		sort.SliceStable(l, func(i, j int) bool { return centre[l[i]] < centre[l[j]] })
		for i, v := range l {
			v.row = i
		}
	}
	return layers
}
